// SPDX-License-Identifier: MIT
// Does what a documented JavaScript client does, and prints what it sees: node rustorium.js URL
'use strict';
const WebSocket = require('ws');

const print = (...values) => console.log(JSON.stringify(values));
const socket = new WebSocket(process.argv[2]);

socket.onopen = () => {
    ['blocks', 'transactions', 'state', 'weather'].forEach((channel, i) => {
        socket.send(JSON.stringify({ type: 'subscribe', id: `sub${i + 1}`, data: { channel } }));
    });
};

socket.onmessage = (event) => {
    const message = JSON.parse(event.data);
    switch (message.type) {
    case 'new_block':
        print(message.type, message.data.number);
        break;
    case 'tx_confirmed':
        print(message.type, message.data.tx_hash);
        break;
    case 'state_update':
        print(message.type, message.data.key);
        break;
    case 'error':
        print(message.type, message.error.code, message.error.message);
        break;
    case 'heartbeat':
        break;
    default:
        print(message.type, message.id);
    }
};

socket.onerror = (event) => print('onerror', event.message);
socket.onclose = (event) => print('close', event.code, event.reason);
