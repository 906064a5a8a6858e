// SPDX-License-Identifier: MIT
// Uploads a file to a node in three chunks, the middle one first, with a pause behind it, by the steps of its documented
// protocol, with `ws`. Prints what it sees.
//   node rnn_upload.js URL FILE SERVICE
'use strict';
const fs = require('fs');
const WebSocket = require('ws');

const [url, path, service] = process.argv.slice(2);
const print = (...values) => console.log(JSON.stringify(values));
const content = fs.readFileSync(path);
const size = Math.ceil(content.length / 3);
const chunk = (index) => content.subarray(index * size, (index + 1) * size).toString('base64');

const ws = new WebSocket(url);
const waiting = [];
const send = (type, payload) => ws.send(JSON.stringify({ type, payload, timestamp: Math.floor(Date.now() / 1000) }));
const came = [];
const next = () => came.length > 0 ? Promise.resolve(came.shift()) : new Promise((resolve) => waiting.push(resolve));

ws.on('message', (data) => {
    const message = JSON.parse(data);
    if (!message.type.startsWith('file.upload.'))
        return;
    if (message.type === 'file.upload.error')
        print('error', message.payload);
    if (waiting.length > 0)
        waiting.shift()(message);
    else
        came.push(message);
});

async function upload() {
    send('file.upload.start', {
        service_id: Number(service), upload_group_id: 'upload-from-node', filename: 'from-node', file_path: 'from-node',
        file_index: 0, total_files: 1, total_size: content.length, total_chunks: 3, chunk_size: size,
    });
    const started = await next();
    const id = started.payload.session_id;
    print('started', started.payload.percentage);
    send('file.upload.chunk', { session_id: id, chunk_index: 1, data: chunk(1) });
    await next();
    send('file.upload.pause', { session_id: id });
    print('paused', (await next()).payload.chunks_received);
    send('file.upload.resume', { session_id: id });
    const resumed = await next();
    print('resumed', resumed.payload.missing_chunks);
    for (const index of resumed.payload.missing_chunks)
        send('file.upload.chunk', { session_id: id, chunk_index: index, data: chunk(index) });
    await next();
    await next();
    const complete = await next();
    print('complete', complete.payload.file_hash, complete.payload.group_complete);
    ws.close();
}

ws.on('open', upload);
