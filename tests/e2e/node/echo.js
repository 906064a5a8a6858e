// SPDX-License-Identifier: MIT
// Sends messages of all kinds to an echo and compares what comes back: node echo.js URL
'use strict';
const WebSocket = require('ws');
const { once } = require('events');
const assert = require('assert');

const print = (...values) => console.log(JSON.stringify(values));
const SIZES = [0, 1, 125, 126, 127, 65535, 65536, 1 << 20];

async function open(perMessageDeflate) {
    const socket = new WebSocket(process.argv[2], { perMessageDeflate });
    await once(socket, 'open');
    return socket;
}

async function expectEcho(socket, message, send) {
    const answer = once(socket, 'message');
    send(message);
    const [data, isBinary] = await answer;
    assert.strictEqual(isBinary, typeof message !== 'string');
    assert.ok(data.equals(Buffer.from(message)), `${data.length} bytes came back for ${message.length}`);
}

async function main() {
    let same = 0;
    let socket;
    for (const compression of [true, false]) {
        socket = await open(compression);
        for (const size of SIZES) {
            for (const message of ['x'.repeat(size), Buffer.alloc(size, 0xff)]) {
                await expectEcho(socket, message, (m) => socket.send(m));
                await expectEcho(socket, message, (m) => {
                    const binary = typeof m !== 'string';
                    socket.send(m.slice(0, size / 2), { fin: false, binary });
                    socket.send(m.slice(size / 2), { fin: true, binary });
                });
                same++;
            }
        }
    }
    print('same', same);

    const pong = once(socket, 'pong');
    socket.ping('payload');
    print('pong', (await pong)[0].toString());

    const closed = once(socket, 'close');
    socket.close(1000, 'done');
    print('close', (await closed)[0]);
    process.exit(0);
}

main();
