# SPDX-License-Identifier: MIT
"""The job hub through clients that nobody here wrote the protocol code of: python3-websockets and npm `ws`. What single
messages look like stands in the transcripts; here jobs run to their end, connections die and come back."""
import asyncio
import base64
import hashlib
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time

import client
import hub
from case import BRAKE_SECONDS, expect, plain_only
from server import ROOT, Server
from test_node import Node

TOKEN = "token-of-the-hub"
JOBS = 12


class EmpQueueClient:
    """The documented Python client: these methods and no more. Answers are found by the id of their request."""

    async def connect(self, url, client_id):
        self.ws = await client.connect(url)
        self.waiting, self.followed, self.on_stats, self.on_fault = {}, {}, print, print
        self.greeted = asyncio.get_running_loop().create_future()
        self.reader = asyncio.create_task(self.read())
        await self.greeted
        return await self.ask("register_client", client_type="job_client", client_id=client_id, version="1.0.0")

    async def read(self):
        async for text in self.ws:
            message = json.loads(text)
            if message["type"] == "connection_established":
                self.greeted.set_result(message)
            elif message.get("request_id") in self.waiting:
                self.waiting.pop(message["request_id"]).set_result(message)
            elif message["type"] == "system_status":
                self.on_stats(message)
            elif message["type"] == "error":
                self.on_fault(message)
            elif message.get("job_id") in self.followed:
                self.followed[message["job_id"]](message)

    async def ask(self, kind, **fields):
        request = f"msg-{random.getrandbits(40):x}"
        answer = self.waiting[request] = asyncio.get_running_loop().create_future()
        await self.ws.send(json.dumps({"type": kind, "id": request, "timestamp": int(time.time() * 1000)} | fields))
        return await asyncio.wait_for(answer, BRAKE_SECONDS)

    async def disconnect(self):
        await self.ws.send(json.dumps({"type": "disconnect", "reason": "Client shutdown", "cleanup_subscriptions": True}))
        await self.reader
        return self.ws.close_code

    async def submit_job(self, **job):
        return (await self.ask("submit_job", **job))["job_id"]

    async def subscribe_to_job(self, job_id, callback):
        self.followed[job_id] = callback
        return await self.ask("subscribe_job", job_id=job_id)

    async def subscribe_to_stats(self, callback):
        self.on_stats = callback
        return await self.ask("subscribe_stats", enabled=True, interval_seconds=1, include_sections=["jobs", "workers"])

    def on_error(self, callback):
        self.on_fault = callback


def sum_job(name, n):
    return {"job_type": "sum", "payload": {"name": name, "n": n, "numbers": [n, n + 1]}, "customer_id": name,
            "priority": 75, "requirements": {"service_type": "arithmetic"}}


async def python_client(url, name):
    """Submits all jobs, follows them to their end: the sum of each, and the changes of each that were told."""
    it, results, seen, ended_with, ended = EmpQueueClient(), {}, {}, {}, asyncio.Event()
    expect((await it.connect(url, name))["status"], "registered")

    def follow(n):
        def told(message):
            if n in results: # E-51: it had ended when the subscription came, and is told to the subscriber at once
                expect(message | {"timestamp": 0}, ended_with[n] | {"timestamp": 0}, "how it ended, told again")
                return
            if message.get("previous_status", "") is not None: # else it is how things stand, the answer to a subscription
                seen.setdefault(n, []).append(message["status"])
            if message["type"] == "job_completed":
                results[n], ended_with[n] = message["result"]["sum"], message
            if len(results) == JOBS:
                ended.set()
        return told

    for n in range(JOBS):
        await it.subscribe_to_job(await it.submit_job(**sum_job(name, n)), follow(n))
    await asyncio.wait_for(ended.wait(), BRAKE_SECONDS)
    expect(await it.disconnect(), 1000, "the close")
    return results, seen


async def python_worker(peer, name, done):
    """Works until it is cancelled: claims when there is something, and whenever it has finished something."""
    await peer.send("claim_job")
    while True:
        message = await peer.receive()
        if message["type"] == "job_available":
            await peer.send("claim_job")
        elif message["type"] == "job_assigned":
            job_id, payload = message["job_id"], message["payload"]
            await peer.send("job_accepted_by_worker", job_id=job_id, worker_id=name)
            await peer.send("update_job_progress", job_id=job_id, worker_id=name, progress=50)
            await peer.send("complete_job", job_id=job_id, worker_id=name, result={"success": True, "sum": sum(payload["numbers"])})
            done.append((payload["name"], payload["n"]))
            await peer.send("claim_job")
        else:
            expect(message["type"] in ("ack", "job_completed_ack"), True, f"unexpected {message}")


def statuses_in_order(statuses):
    """What a submitter is told of a job that succeeds: the rest of the way, behind where it began to look, each once."""
    way = ["assigned", "in_progress", "completed"]
    places = [way.index(status) for status in statuses]
    return places == list(range(places[0], len(way)))


async def test_two_clients_and_two_workers_in_two_languages():
    """E-1 to E-15, E-28, E-32, E-35 to E-39, E-60 to E-62, E-85: a submitter and a worker in Python, one of each in JavaScript with `ws`:
    each job is done once, and its own submitter hears of it."""
    with Server(emprops={"keys": [TOKEN]}) as server:
        url, done = server.url("emprops", f"/?token={TOKEN}"), []
        with Node("emprops.js", "worker", url, "node-worker") as node_worker, \
                Node("emprops.js", "client", url, "node-client", str(JOBS)) as node_client:
            expect(await asyncio.to_thread(node_worker.line), ["registered", "node-worker"])
            expect(await asyncio.to_thread(node_client.line), ["registered", "node-client"])
            peer = await hub.worker(server, "python-worker", services=["arithmetic"], listen=True, path=f"/?token={TOKEN}")
            worker = asyncio.create_task(python_worker(peer, "python-worker", done))
            results, seen = await python_client(url, "python-client")
            expect(results, {n: 2 * n + 1 for n in range(JOBS)})
            expect([n for n, statuses in seen.items() if not statuses_in_order(statuses)], [], f"of {seen}")
            lines = [await asyncio.to_thread(node_client.line) for _ in range(JOBS + 1)]
            expect(sorted(line[:3] for line in lines[:-1]), [["completed", n, 2 * n + 1] for n in range(JOBS)])
            expect(lines[-1], ["closed", 1000])
            node_worker.process.stdin.close()
            node_worker.process.stdin = None
            while (line := await asyncio.to_thread(node_worker.line))[0] != "closed":
                expect(line[0], "done", f"of {line}")
                done.append((line[1], line[2]))
            worker.cancel()
            await peer.close()
            expect(sorted(done), [(name, n) for name in ("node-client", "python-client") for n in range(JOBS)], "each once")


async def test_the_documented_client_hears_errors_and_statistics():
    """E-55, E-56, E-64, E-68: the other two callbacks of the documented client."""
    with Server(emprops={}) as server:
        it, stats = EmpQueueClient(), asyncio.Queue()
        await it.connect(server.url("emprops", "/"), "app")
        answer = await it.ask("submit_job", job_type="x", payload={}, requirements={"hardware": {"gpu_memory_gb": -1}})
        expect((answer["error_code"], answer["details"]["field"]), ("INVALID_PARAMETERS", "requirements.hardware.gpu_memory_gb"))
        faults = asyncio.Queue()
        it.on_error(faults.put_nowait)
        await it.ws.send('{"type":"request_job_status","job_id":"job-none"}')
        expect((await asyncio.wait_for(faults.get(), BRAKE_SECONDS))["error_code"], "JOB_NOT_FOUND")
        confirmed = await it.subscribe_to_stats(stats.put_nowait)
        expect((confirmed["type"], confirmed["update_interval"]), ("subscription_confirmed", 1))
        await it.submit_job(job_type="x", payload={})
        while (status := await asyncio.wait_for(stats.get(), BRAKE_SECONDS))["pending_jobs"] == 0: # the first may have been on its way
            pass
        expect((status["pending_jobs"], status["jobs"]["queued"], status["active_workers"]), (1, 1, 0))
        expect(await it.disconnect(), 1000, "the close")


async def take(peer):
    """Claims and accepts one job; its id."""
    await peer.send("claim_job")
    job_id = (await peer.expect("job_assigned"))["job_id"]
    await peer.ask("job_accepted_by_worker", "ack", id="take", job_id=job_id)
    return job_id


async def test_a_monitor_sees_the_jobs_of_everybody():
    """E-8, E-52, E-59, E-61, E-62: by its filter, and each event once although it also follows the job."""
    with Server(emprops={}) as server:
        watcher, peer, worker = await hub.monitor(server, "wall"), await hub.connect(server), await hub.worker(server, "w")
        await watcher.ask("subscribe_job_notifications", "job_notifications_subscribed", enabled=True,
                          filters={"job_types": ["seen"]})
        await peer.submit("hidden", {}, priority=1)
        job_id = await peer.submit("seen", {})
        await watcher.expect("job_update", job_id=job_id, status="queued")
        await watcher.ask("subscribe_job", "subscription_confirmed", job_id=job_id)
        await watcher.expect("job_update", job_id=job_id, status="queued", previous_status=None)
        expect(await take(worker), job_id)
        await watcher.expect("job_update", job_id=job_id, status="assigned", worker_id="w")
        await worker.send("update_job_progress", job_id=job_id, progress=30)
        await watcher.expect("job_update", job_id=job_id, status="in_progress", progress=30)
        await worker.ask("complete_job", "job_completed_ack", job_id=job_id, result={"success": True})
        await watcher.expect("job_completed", job_id=job_id, result={"success": True})
        hidden = await take(worker)
        await worker.ask("complete_job", "job_completed_ack", job_id=hidden, result={})
        await client.quiet(watcher.ws)
        await client.close_all([watcher.ws, peer.ws, worker.ws])


async def test_a_worker_is_taken_over_by_its_next_connection():
    """E-12, E-47: its jobs come along, whatever shard either connection is at; the old one is closed with 1008."""
    with Server(emprops={}) as server:
        peer, old = await hub.submitter(server, "shop"), await hub.worker(server, "w")
        job_id = await peer.submit("x", {})
        expect(await take(old), job_id)
        await peer.expect("job_update", status="assigned")
        for progress in range(1, 9):
            new = await hub.worker(server, "w")
            expect((await hub.until_closed(old), old.ws.close_reason), (1008, "replaced"))
            await new.send("update_job_progress", job_id=job_id, progress=progress)
            await peer.expect("job_update", job_id=job_id, status="in_progress", progress=progress, worker_id="w")
            old = new
        await old.ask("complete_job", "job_completed_ack", job_id=job_id, result={"success": True})
        await peer.expect("job_completed", job_id=job_id)
        await client.close_all([peer.ws, old.ws])


async def test_a_worker_comes_back_within_its_grace():
    """E-47: its connection dies without a word; nothing is said of its job, and it goes on with it."""
    with Server(emprops={"worker_grace": "1h"}) as server:
        peer, worker = await hub.submitter(server, "shop"), await hub.worker(server, "w")
        job_id = await peer.submit("x", {})
        await take(worker)
        await peer.expect("job_update", status="assigned")
        worker.ws.transport.abort()
        worker = await hub.worker(server, "w")
        await worker.ask("complete_job", "job_completed_ack", job_id=job_id, result={})
        await peer.expect("job_completed", job_id=job_id, worker_id="w")
        await client.close_all([peer.ws, worker.ws])


async def test_a_submitter_that_comes_back_hears_of_its_jobs():
    """E-28, E-84: after an aborted connection, and after the server itself was stopped and started; by its client_id alone."""
    with Server(emprops={}) as server:
        peer = await hub.submitter(server, "shop")
        ids = [await peer.submit("x", {"n": n}) for n in range(3)]
        peer.ws.transport.abort()
        peer, other, worker = await hub.submitter(server, "shop"), await hub.submitter(server, "other"), await hub.worker(server, "w")
        expect(await take(worker), ids[0])
        await peer.expect("job_update", job_id=ids[0], status="assigned")
        await worker.ask("complete_job", "job_completed_ack", job_id=ids[0], result={"n": 0})
        await peer.expect("job_completed", job_id=ids[0], result={"n": 0})
        await client.quiet(other.ws)

        await asyncio.to_thread(server.stop)
        server.told_to_stop = False
        await asyncio.to_thread(server.start)
        peer, worker = await hub.submitter(server, "shop"), await hub.worker(server, "w")
        expect(await take(worker), ids[1])
        await peer.expect("job_update", job_id=ids[1], status="assigned")
        await worker.ask("fail_job", "job_failed_ack", job_id=ids[1], error="no use", retry=False)
        await peer.expect("job_update", job_id=ids[1], status="failed", error="no use")
        expect((await peer.status(ids[0]))["status"], "completed")
        await client.close_all([peer.ws, worker.ws])


# --- long messages ---

def chunks(message, base, bytes_each=300_000):
    """A message in parts, counted from `base`, in any order."""
    text = json.dumps(message).encode()
    parts = [text[at:at + bytes_each] for at in range(0, len(text), bytes_each)]
    indexed = [{"chunk_id": f"chunk-{base}", "chunk_index": base + i, "total_chunks": len(parts), "data": base64.b64encode(part).decode(),
                "data_hash": hashlib.sha256(text).hexdigest(), "original_type": message["type"]} for i, part in enumerate(parts)]
    random.Random(base).shuffle(indexed)
    return indexed, len(text)


async def assembled(peer):
    """The message whose chunks come now; its own hash is right, and there is more than one."""
    parts, message = {}, await peer.expect("chunked_message")
    while True:
        parts[message["chunk_index"]] = base64.b64decode(message["data"])
        if len(parts) == message["total_chunks"]:
            break
        message = await peer.expect("chunked_message", chunk_id=message["chunk_id"])
    whole = b"".join(parts[index] for index in sorted(parts))
    expect((min(parts), len(parts) > 1, hashlib.sha256(whole).hexdigest()), (0, True, message["data_hash"]))
    return json.loads(whole)


async def chunked_job(server, base):
    """A job whose payload comes in chunks and is given out whole; its result comes in chunks too, and goes in chunks to who takes them."""
    payload, result = {"text": "p" * 2_000_000}, {"text": "r" * 2_000_000}
    peer, worker = await hub.connect(server), await hub.worker(server, f"w-{base}")
    await peer.ask("register_client", "client_registered", client_type="job_client", client_id=f"c-{base}",
                   capabilities={"chunked_messages": True})
    plain = await hub.submitter(server, f"c-{base}") # the same client, on a connection that takes no chunks
    parts, size = chunks({"type": "submit_job", "job_type": "x", "payload": payload}, base)
    for part in parts:
        await peer.send("chunked_message", **part)
    complete = await peer.receive()
    if complete["type"] == "chunked_message": # it is long itself, and comes as this client takes it
        parts = {complete["chunk_index"]: complete}
        while len(parts) < complete["total_chunks"]:
            complete = await peer.expect("chunked_message")
            parts[complete["chunk_index"]] = complete
        complete = json.loads(b"".join(base64.b64decode(parts[i]["data"]) for i in sorted(parts)))
    expect((complete["type"], complete["total_size"]), ("chunked_message_complete", size))
    job_id = (await peer.expect("job_accepted"))["job_id"]

    await worker.send("claim_job")
    expect((await worker.expect("job_assigned", job_id=job_id))["payload"] == payload, True, "the payload is whole")
    for part in chunks({"type": "complete_job", "job_id": job_id, "result": result}, base)[0]:
        await worker.send("chunked_message", **part)
    await worker.expect("chunked_message_complete")
    await worker.expect("job_completed_ack", job_id=job_id)
    await peer.expect("job_update", job_id=job_id, status="assigned")
    await plain.expect("job_update", job_id=job_id, status="assigned")
    told = await assembled(peer)
    expect((told["type"], told["job_id"], told["result"] == result), ("job_completed", job_id, True))
    expect((await plain.expect("job_completed", job_id=job_id))["result"] == result, True, "the result in one message")
    await client.close_all([peer.ws, plain.ws, worker.ws])


async def test_long_messages_in_chunks_counted_from_0_and_from_1():
    """E-75 to E-80, Q-30: both directions, in any order, two million bytes each."""
    with Server(emprops={}) as server:
        await chunked_job(server, 0)
        await chunked_job(server, 1)


# --- the demo's work ---

def hash_of_each(folder, sizes):
    """Makes files of these sizes below the folder; {path: SHA-256}."""
    made = {}
    for number, size in enumerate(sizes):
        path = pathlib.Path(folder, *(["deeper"] if number % 2 else []), f"file-{number}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(random.Random(number).randbytes(size))
        made[str(path.relative_to(folder))] = hashlib.sha256(path.read_bytes()).hexdigest()
    return made


def tool(name, *arguments, token=TOKEN):
    return subprocess.Popen([sys.executable, ROOT / "tools" / name, *arguments], text=True, stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=os.environ | {"RINGCAST_HUB_TOKEN": token})


def ended_well(process, code=0):
    shown, _ = process.communicate(timeout=BRAKE_SECONDS)
    expect((process.returncode, shown if code == 0 else ""), (code, ""), f"exit code and output of {process.args[1].name}: {shown}")
    return shown


@plain_only("the tools know no authority of a test")
async def test_the_feeder_and_the_worker_of_the_demo_do_real_work():
    """tools/feed-jobs and tools/work-jobs: each file is hashed and compressed once, with progress, and the hashes are right;
    a path that leads out of the folder fails; a wrong token ends both with one line."""
    with Server(emprops={"keys": [TOKEN]}) as server, tempfile.TemporaryDirectory(prefix="ringcast-work-") as folder:
        url, wanted = server.url("emprops", "/"), hash_of_each(folder, [0, 1, 70_000, 300_000, 1_000_000])
        monitor = await hub.connect(server, f"/?token={TOKEN}")
        await monitor.ask("register_client", "client_registered", client_type="monitor", client_id="m", permissions=["view_all_jobs"])
        await monitor.ask("subscribe_job_notifications", "job_notifications_subscribed", enabled=True)
        worker = tool("work-jobs", "--url", url, folder)
        feeder = tool("feed-jobs", "--url", url, "--rate", "1000", "--once", folder)
        try:
            hashes, compressed, progress = [], [], 0
            while len(hashes) + len(compressed) < 2 * len(wanted):
                message = await monitor.receive()
                progress += message.get("progress", 0) > 0
                if message["type"] == "job_completed":
                    result = message["result"]
                    (hashes if "sha256" in result else compressed).append(result)
            expect(sorted(result["sha256"] for result in hashes), sorted(wanted.values()))
            expect(sorted(result["bytes"] for result in compressed), [0, 1, 70_000, 300_000, 1_000_000])
            expect(progress >= 6, True, f"{progress} updates of progress: at least the newest of each job of more than one piece")
            await asyncio.to_thread(ended_well, feeder)
            job = {"job_type": "hash", "payload": {"path": "../../etc/passwd"}, "requirements": {"service_type": "files"}}
            peer = await hub.connect(server, f"/?token={TOKEN}")
            await peer.ask("register_client", "client_registered", client_type="job_client", client_id="c")
            await peer.submit(**job)
            await peer.expect("job_update", status="assigned")
            failed = await peer.expect("job_update", status="failed")
            expect("is not below the folder" in failed["error"], True, failed["error"])
            await client.close_all([peer.ws, monitor.ws])
            for name in ("work-jobs", "feed-jobs"):
                shown = await asyncio.to_thread(ended_well, tool(name, "--url", url, folder, token="wrong"), 1)
                expect((len(shown.splitlines()), "RINGCAST_HUB_TOKEN" in shown), (1, True), shown)
        finally:
            for process in (worker, feeder):
                process.terminate()
        await asyncio.to_thread(ended_well, worker)
