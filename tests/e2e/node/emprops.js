// SPDX-License-Identifier: MIT
// A client or a worker of the job hub, by the steps of its documented protocol, with `ws`. Prints what it sees.
//   node emprops.js client URL NAME COUNT     submits COUNT jobs, follows them to their end, and ends
//   node emprops.js worker URL NAME           works until its standard input ends
'use strict';
const WebSocket = require('ws');

const print = (...values) => console.log(JSON.stringify(values));

class EmpQueueClient {
    connect(url) {
        this.followed = new Map();
        this.waiting = new Map();
        this.listeners = { stats: () => {}, error: () => {} };
        this.serial = 0;
        this.socket = new WebSocket(url);
        this.socket.on('message', (data) => this.receive(JSON.parse(data)));
        return new Promise((resolve, reject) => {
            this.greeted = resolve;
            this.socket.on('error', reject);
        });
    }

    send(type, fields) {
        this.socket.send(JSON.stringify({ type, timestamp: Date.now(), ...fields }));
    }

    // Sends with an id, and resolves with the first answer to it: what is specific to the request, or else an ack.
    ask(type, fields) {
        const id = `msg-${++this.serial}`;
        this.send(type, { id, ...fields });
        return new Promise((resolve) => this.waiting.set(id, resolve));
    }

    receive(message) {
        const request = message.type === 'ack' ? message.message_id : message.request_id;
        if (message.type === 'connection_established')
            this.greeted();
        else if (message.type === 'ping')
            this.send('pong', {});
        else if (this.waiting.has(request))
            this.answer(request, message);
        else if (message.type === 'system_status')
            this.listeners.stats(message);
        else if (message.type === 'error')
            this.listeners.error(message);
        else if (this.followed.has(message.job_id))
            this.followed.get(message.job_id)(message);
    }

    answer(request, message) {
        this.waiting.get(request)(message);
        this.waiting.delete(request);
    }

    async submitJob(job) {
        return (await this.ask('submit_job', job)).job_id;
    }

    subscribeToJob(jobId, callback) {
        this.followed.set(jobId, callback);
        return this.ask('subscribe_job', { job_id: jobId });
    }

    subscribeToStats(callback) {
        this.listeners.stats = callback;
        return this.ask('subscribe_stats', { enabled: true, interval_seconds: 1, include_sections: ['jobs', 'workers'] });
    }

    onError(callback) {
        this.listeners.error = callback;
    }

    disconnect() {
        this.send('disconnect', { reason: 'Client shutdown', cleanup_subscriptions: true });
        return new Promise((resolve) => this.socket.on('close', resolve));
    }
}

async function submitter(url, name, count) {
    const hub = new EmpQueueClient();
    await hub.connect(url);
    hub.onError((message) => print('error', message.error_code, message.error));
    const { status } = await hub.ask('register_client', { client_type: 'job_client', client_id: name, version: '1.0.0' });
    print(status, name);
    const done = new Set(); // who subscribes to a job that has ended is told so once more
    let finish;
    const ended = new Promise((resolve) => {
        finish = resolve;
    });
    for (let n = 0; n < count; n++) {
        const id = await hub.submitJob({
            job_type: 'sum', priority: 75, payload: { name, n, numbers: [n, n + 1] }, customer_id: name,
            requirements: { service_type: 'arithmetic' },
        });
        await hub.subscribeToJob(id, (message) => {
            if (message.type !== 'job_completed' || done.has(n))
                return;
            print('completed', n, message.result.sum, message.worker_id);
            if (done.add(n).size === count)
                finish();
        });
    }
    await ended;
    print('closed', await hub.disconnect());
}

async function worker(url, name) {
    const hub = new EmpQueueClient();
    await hub.connect(url);
    hub.onError((message) => print('error', message.error_code, message.error));
    const { status } = await hub.ask('register_worker', {
        worker_id: name, capabilities: { services: ['arithmetic'] }, subscribe_to_jobs: true, status: 'idle',
    });
    print(status, name);
    const claim = () => hub.send('claim_job', { worker_id: name, max_jobs: 1 });
    hub.socket.on('message', async (data) => {
        const job = JSON.parse(data);
        if (job.type === 'job_available' || job.type === 'job_completed_ack')
            claim();
        if (job.type !== 'job_assigned')
            return;
        const { job_id } = job;
        await hub.ask('job_accepted_by_worker', { job_id, worker_id: name });
        hub.send('update_job_progress', { job_id, worker_id: name, progress: 50, status: 'in_progress' });
        const sum = job.payload.numbers.reduce((a, b) => a + b);
        hub.send('complete_job', { job_id, worker_id: name, processing_time: 0.1, result: { success: true, sum } });
        print('done', job.payload.name, job.payload.n);
    });
    claim();
    process.stdin.on('end', async () => print('closed', await hub.disconnect())).resume();
}

const [role, url, name, count] = process.argv.slice(2);
if (role === 'client')
    submitter(url, name, Number(count));
else
    worker(url, name);
