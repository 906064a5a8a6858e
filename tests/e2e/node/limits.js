// SPDX-License-Identifier: MIT
// Runs into three limits of rustorium and prints how each ends: node limits.js URL
'use strict';
const WebSocket = require('ws');
const { once } = require('events');

const print = (...values) => console.log(JSON.stringify(values));
const url = process.argv[2];

async function open() {
    const socket = new WebSocket(url);
    socket.on('message', () => {});
    await once(socket, 'open');
    return socket;
}

async function closed(socket) {
    const [code, reason] = await once(socket, 'close');
    return [code, reason.toString()];
}

async function main() {
    const sockets = [];
    for (let i = 0; i < 10; i++)
        sockets.push(await open());
    print('eleventh', ...await closed(await open()));

    const ping = JSON.stringify({ type: 'ping', id: 'p', data: { x: '' } });
    const padded = (bytes) => ping.replace('""', `"${'y'.repeat(bytes - ping.length)}"`);
    sockets[0].send(padded(65536));
    await once(sockets[0], 'message');
    sockets[0].send(padded(65537));
    print('large', (await closed(sockets[0]))[0]);

    for (let i = 0; i < 10; i++)
        sockets[1].send('not json');
    print('invalid', ...await closed(sockets[1]));
    sockets.forEach((socket) => socket.close());
}

main();
