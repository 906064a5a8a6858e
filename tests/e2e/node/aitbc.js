// SPDX-License-Identifier: MIT
// Follows a job to its end, from an origin and with no sub-protocol: node aitbc.js URL ORIGIN
'use strict';
const WebSocket = require('ws');

const print = (...values) => console.log(JSON.stringify(values));
const [url, origin] = process.argv.slice(2);
const socket = new WebSocket(url, [], { headers: { Origin: origin } });

socket.onmessage = (event) => {
    const status = JSON.parse(event.data);
    print(status.state, status.progress || 0, socket.protocol);
    if (['COMPLETED', 'FAILED', 'CANCELLED', 'EXPIRED'].includes(status.state))
        socket.close();
};
socket.onclose = (event) => print('closed', event.code);
socket.on('unexpected-response', (request, response) => {
    print('refused', response.statusCode);
    request.destroy();
    socket.onclose = null;
});
