# SPDX-License-Identifier: MIT
"""aitbc as its documented clients meet it. What a transcript shows already is not repeated here; these are the rows that
need three ports, two shards, a reload, other clients, or bytes on the wire."""
import asyncio
import contextlib
import json
import os
import pathlib
import re
import time

import websockets

import client
from case import BRAKE_SECONDS, expect
from server import Server, free_port, until
from test_node import Node
from wire import BINARY, TEXT, Wire, close_payload, frame, upgrade_request

KEY = "key-alpha-of-the-tests"
OTHER = "key-beta-of-the-tests"
BLOCK = {"type": "new_block", "block": {"height": 501, "hash": "0xaa01", "timestamp": "2026-05-11T10:00:00Z",
                                        "transactions": []}}
OFFER = {"type": "new_offer", "offer": {"id": "offer-9", "gpu_type": "nvidia-rtx-4090", "gpu_memory": 24,
                                        "price_per_hour": 0.8, "currency": "AITBC"}}
PING = '{"type":"ping"}'


class Ports(Server):
    """Each stream on a port of its own, as documented, and a fourth port with both event streams."""

    def __init__(self, **options):
        self.ports = {name: free_port() for name in ("jobs", "blockchain", "marketplace", "both")}
        at = {name: f"localhost:{port}" for name, port in self.ports.items()}
        defaults = {"listen": [], "keys": [KEY, OTHER], "jobs_listen": [at["jobs"]],
                    "blockchain_listen": [at["blockchain"], at["both"]],
                    "marketplace_listen": [at["marketplace"], at["both"]]}
        super().__init__(aitbc=defaults | options)

    def on(self, stream, path="/v1/events", host="127.0.0.1"):
        return f"{'wss' if self.secure else 'ws'}://{host}:{self.ports[stream]}{path}"

    def job(self, identity, key=KEY):
        return self.on("jobs", f"/v1/jobs/{identity}/ws?api_key={key}")

    def report(self, identity, state, **members):
        self.publish("aitbc/jobs", {"job_id": identity, "state": state} | members)


async def refusal(port, path, *headers):
    """(status, headers, content, ended) of an upgrade that is refused."""
    with Wire(port) as wire:
        wire.send(upgrade_request(path, headers=headers))
        status, found, content = wire.response()
        return status, found, json.loads(content), await asyncio.to_thread(wire.ended)


# --- the documented clients ---

async def test_job_monitor_step_by_step():
    """A-16, A-27, A-29 to A-31: reads `state` of every message and `progress` with 0 when it is missing, and leaves at a
    terminal state."""
    log = []

    async def monitor(url):
        async with websockets.connect(url) as ws:
            async for text in ws:
                data = json.loads(text)
                log.append((data["state"], data.get("progress", 0)))
                if data["state"] in ("COMPLETED", "FAILED", "CANCELLED", "EXPIRED"):
                    break

    with Ports() as server:
        server.report("job-id", "QUEUED")
        task = asyncio.create_task(monitor(server.job("job-id")))
        while not log:
            await asyncio.sleep(0.01)
        for count, progress in ((2, 0.25), (3, 0.5)):
            await asyncio.to_thread(server.report, "job-id", "RUNNING", progress=progress, assigned_miner_id="miner-1")
            while len(log) < count: # one that is behind is told the newest of equal states
                await asyncio.sleep(0.01)
        await asyncio.to_thread(server.report, "job-id", "COMPLETED")
        await asyncio.wait_for(task, BRAKE_SECONDS)
    expect(log, [("QUEUED", 0), ("RUNNING", 0.25), ("RUNNING", 0.5), ("COMPLETED", 1.0)])


async def test_event_monitors_without_a_key():
    """A-2, A-3, A-10, A-39, A-46, A-58: both monitors connect without a key, with the client's default extensions."""
    with Ports() as server:
        async with websockets.connect(server.on("blockchain")) as chain, websockets.connect(server.on("marketplace")) as market:
            server.publish("aitbc/blockchain", BLOCK)
            server.publish("aitbc/blockchain", {"type": "transaction_confirmed", "tx_hash": "0xt1"})
            server.publish("aitbc/marketplace", OFFER)
            expect((await client.receive_json(chain))["block"]["height"], 501)
            expect((await client.receive_json(chain))["tx_hash"], "0xt1")
            offer = (await client.receive_json(market))["offer"]
            expect((offer["gpu_type"], offer["gpu_memory"], offer["price_per_hour"]), ("nvidia-rtx-4090", 24, 0.8))
            await client.quiet(chain, market)


def test_node_client_with_an_origin():
    """A-15, A-31: npm ws with an empty list of sub-protocols and an Origin that is on the list; one that is not."""
    with Ports(origins=["https://your-domain.com"]) as server:
        server.report("j", "QUEUED")
        with Node("aitbc.js", server.job("j"), "https://your-domain.com") as node:
            expect(node.line(), ["QUEUED", 0, ""])
            server.report("j", "COMPLETED")
            expect([node.line(), node.line()], [["COMPLETED", 1, ""], ["closed", 1000]])
        with Node("aitbc.js", server.job("j"), "https://evil.example") as node:
            expect(node.line(), ["refused", 403])


async def test_heartbeats_beside_a_stream():
    """A-48, A-49: heartbeats on each endpoint are answered there, a job's with its status."""
    with Ports() as server:
        server.report("j", "RUNNING", progress=0.5)
        job = await client.connect(server.job("j"))
        status = await client.receive(job)
        events = [await client.connect(server.on(stream)) for stream in ("blockchain", "marketplace", "both")]
        for _ in range(3):
            for ws in (job, *events):
                await ws.send(PING)
            expect(await client.receive(job), status)
            for ws in events:
                pong = await client.receive_json(ws)
                expect((list(pong), pong["type"]), (["type", "timestamp"], "pong"))
        await client.close_all([job, *events])


# --- mounts ---

async def test_each_stream_where_it_is_mounted():
    """A-1 to A-5, Q-9, K-1: with and without /api, on both loopback addresses; elsewhere 404."""
    with Ports() as server:
        server.report("j", "QUEUED")
        job = f"/v1/jobs/j/ws?api_key={KEY}"
        for stream in server.ports:
            for prefix in ("", "/api"):
                for host in ("127.0.0.1", "[::1]"):
                    for path, served in ((job, stream == "jobs"), ("/v1/events", stream != "jobs")):
                        url = server.on(stream, prefix + path, host)
                        if served:
                            await (await client.connect(url)).close()
                        else:
                            expect(await client.refused(url), 404, url)
        expect(await client.refused(server.on("blockchain", "/v1/events?types=new_offer")), 400)
        expect(await client.refused(server.on("marketplace", "/v1/events?source=blockchain")), 400)


async def test_merged_stream_keeps_the_order():
    """A-5, I-6, SA-3: 300 events of both kinds reach 8 merged listeners over both shards in one and the same order, and the
    narrowed ones their part of it."""
    with Ports(connections_per_address=0) as server:
        merged = [await client.connect(server.on("both", "/api/v1/events")) for _ in range(8)]
        market = [await client.connect(server.on("both", "/v1/events?source=marketplace")) for _ in range(4)]
        types = await client.connect(server.on("both", "/v1/events?types=new_block,price_update"))
        sent = []
        for number in range(300):
            if number % 3 == 0:
                topic, body = "blockchain", {"type": "new_block", "block": BLOCK["block"] | {"height": number}}
            elif number % 3 == 1:
                topic, body = "blockchain", {"type": "transaction_confirmed", "tx_hash": f"0x{number}"}
            else:
                topic, body = "marketplace", {"type": "offer_matched", "offer": {"id": str(number)},
                                              "timestamp": "2026-05-11T10:00:00Z"}
            server.publish(f"aitbc/{topic}", body)
            sent.append(body)
        for ws in merged:
            expect([json.loads(text) for text in await client.receive_many(ws, 300)], sent)
        for ws in market:
            expect([json.loads(text) for text in await client.receive_many(ws, 100)], sent[2::3])
        expect([json.loads(text) for text in await client.receive_many(types, 100)], sent[0::3])
        await client.quiet(*merged, *market, types)
        await client.close_all([*merged, *market, types])


# --- limits ---

async def test_ten_connections_of_an_address_over_three_ports():
    """A-52, A-55, SA-4: exact over ports, endpoints and both shards; the place of a closed one is free at once."""
    with Ports() as server:
        server.report("j", "QUEUED")
        urls = [server.job("j"), server.on("blockchain"), server.on("marketplace")]
        for _ in range(3):
            held = [await client.connect(urls[i % 3]) for i in range(10)]
            for url in urls:
                expect(await client.refused(url), 429)
            status, headers, content, ended = await refusal(server.ports["blockchain"], "/v1/events")
            expect((status, headers["retry-after"], headers["connection"], content, ended),
                   (429, "5", "close", {"error": "Too many connections"}, True))
            other = await client.connect(server.on("blockchain", host="[::1]"))  # another address
            expect([ws.open for ws in held], [True] * 10)
            await held.pop().close()
            held.append(await client.connect(urls[0]))
            expect(await client.refused(urls[1]), 429)
            await client.close_all([*held, other])


async def test_proxies_say_who_connects():
    """A-52: X-Forwarded-For counts from a trusted proxy only; IPv6 addresses of one /64 as one when told so."""
    async def fill(server, forwarded, count):
        headers = {"X-Forwarded-For": forwarded} if forwarded else {}
        held = [await client.connect(server.on("blockchain"), extra_headers=headers) for _ in range(count)]
        expect(await client.refused(server.on("blockchain"), extra_headers=headers), 429)
        return held

    with Ports(connections_per_address=2, trusted_proxies=["127.0.0.0/8"], group_ipv6=True) as server:
        held = await fill(server, "192.0.2.1", 2) + await fill(server, "192.0.2.2", 2)
        held += await fill(server, None, 2)
        held += await fill(server, "192.0.2.1, 198.51.100.7", 2)
        held += await fill(server, "2001:db8:0:1::5", 2)
        expect(await client.refused(server.on("blockchain"), extra_headers={"X-Forwarded-For": "2001:db8:0:1:9::"}), 429)
        held.append(await client.connect(server.on("blockchain"), extra_headers={"X-Forwarded-For": "2001:db8:0:2::"}))
        await client.close_all(held)
        held = await fill(server, "192.0.2.1", 2)
        await client.close_all(held)
    with Ports(connections_per_address=2) as server:
        held = await fill(server, "192.0.2.1", 2)
        expect(await client.refused(server.on("blockchain"), extra_headers={"X-Forwarded-For": "192.0.2.9"}), 429)
        await client.close_all(held)


async def test_message_101_of_a_second():
    """A-53, SA-4: 100 pings within a second are answered; with the next one in that window only its connection ends."""
    with Ports() as server:
        held = [await client.connect(server.on("blockchain")) for _ in range(10)]
        for _ in range(100):
            await held[0].send(PING)
        expect(len(await client.receive_many(held[0], 100)), 100)
        await asyncio.sleep(1.1)
        for _ in range(100):
            await held[0].send(PING)
        expect(len(await client.receive_many(held[0], 100)), 100)
        await client.close_all(held)
    with Ports(messages_window="1h") as server:  # a second that is over before all are sent would forgive the 101st
        held = [await client.connect(server.on("blockchain")) for _ in range(10)]
        for _ in range(101):
            await held[0].send(PING)
        expect(len(await client.receive_many(held[0], 100)), 100)
        with contextlib.suppress(websockets.ConnectionClosed):
            await held[0].recv()
        expect((held[0].close_code, held[0].close_reason), (1008, "message rate limit exceeded"))
        await client.quiet(*held[1:])
        await client.close_all(held)


async def test_connection_duration_limit():
    """A-54, SA-4."""
    with Ports(duration_max="1s") as server:
        begin = time.monotonic()
        ws = await client.connect(server.on("blockchain"))
        expect(await client.closed(ws), (1001, "connection duration limit"))
        expect(time.monotonic() - begin >= 0.9, True, f"after {time.monotonic() - begin} s")


async def test_silent_peers_are_closed_and_pongs_are_life():
    """A-50: pings go out; who answers them within 5 s stays, who says nothing is closed with 1001 idle."""
    with Ports(ping_interval="200ms", idle_timeout="5s") as server:
        alive = await client.connect(server.on("blockchain"))
        silent = Wire(server.ports["blockchain"]).upgrade("/v1/events")
        opcodes = []
        while True:
            opcode, payload = await asyncio.to_thread(silent.frame)
            opcodes.append(opcode)
            if opcode == 8:
                break
        expect(payload, close_payload(1001, "idle"))
        expect(len(opcodes) >= 2 and set(opcodes[:-1]) == {9}, True, f"opcodes {opcodes}")
        silent.socket.close()
        await client.quiet(alive, seconds=1)
        await alive.close()


async def test_sizes_and_kinds_of_messages():
    """A-51, K-19, K-26: 64 KiB are taken, a byte more is 1009; binary is 1003; the close handshake is orderly (A-57)."""
    with Ports() as server:
        ws = await client.connect(server.on("blockchain"))
        await ws.send("x" * 65536)
        await client.quiet(ws)
        await ws.send("x" * 65537)
        expect((await client.closed(ws))[0], 1009)
        with Wire(server.ports["blockchain"]) as wire:
            wire.upgrade("/v1/events")
            wire.send(frame(BINARY, b"{}"))
            expect(wire.frame(), (8, close_payload(1003, "binary messages are not supported")))
            wire.send(frame(8, close_payload(1003)))
            expect(wire.ended(), True)


# --- keys ---

async def test_refused_upgrades_end_their_connection():
    """A-11, A-14, A-28: status, body and the end of the TCP connection."""
    with Ports() as server:
        for path, headers, wanted in (
                ("/v1/jobs/none/ws", (), (401, {"error": "Authentication failed"})),
                ("/v1/jobs/none/ws", ("Origin: https://evil.example",), (403, {"error": "Origin not allowed"})),
                ("/v1/jobs/none/ws?api_key=" + KEY, (), (404, {"error": "Job not found"}))):
            status, found, content, ended = await refusal(server.ports["jobs"], path, *headers)
            expect((status, content, found["connection"], ended), (*wanted, "close", True), path)


async def test_a_removed_key_closes_its_connections():
    """A-13, SA-5: on HUP those of the removed key close with 1008 and new ones get 401; others stay; keys of the file and of
    the list count alike, and a key that only loses a permission keeps what it has."""
    with Ports() as server:
        path = os.path.join(server.folder.name, "keys.txt")

        def write(*lines):
            pathlib.Path(path).write_text("# keys\n" + "\n".join(lines) + "\n", encoding="utf-8")

        write("key-file-1", "key-file-2 jobs:j blockchain")
        server.reload(aitbc={"keys_file": path})
        server.report("j", "QUEUED")
        sockets = {}
        for key in (KEY, OTHER, "key-file-1", "key-file-2"):
            sockets[key] = [await client.connect(server.job("j", key)) for _ in range(2)]
            for ws in sockets[key]:
                await client.receive(ws)
        public = await client.connect(server.on("blockchain"))
        write("key-file-2 blockchain")
        server.reload(aitbc={"keys": [OTHER]})
        for key in (KEY, "key-file-1"):
            for ws in sockets[key]:
                expect(await client.closed(ws), (1008, "key revoked"))
            expect(await client.refused(server.job("j", key)), 401)
        await client.quiet(*sockets[OTHER], *sockets["key-file-2"], public)
        expect(await client.refused(server.job("j", "key-file-2")), 403)
        server.report("j", "RUNNING")
        for ws in (*sockets[OTHER], *sockets["key-file-2"]):
            expect((await client.receive_json(ws))["state"], "RUNNING")
        server.reload(aitbc={"keys": [], "close_on_revoke": False})
        await client.quiet(*sockets[OTHER])
        expect(await client.refused(server.job("j", OTHER)), 401)
        await client.close_all([*sockets[OTHER], *sockets["key-file-2"], public])


# --- jobs ---

async def test_job_expires_after_its_ttl():
    """A-25, SA-5: in wall seconds."""
    with Ports() as server:
        begin = time.monotonic()
        server.report("short-1", "RUNNING", assigned_miner_id="miner-2", ttl_seconds=2, progress=0.1)
        ws = await client.connect(server.job("short-1"))
        first = await client.receive_json(ws)
        second = await client.receive_json(ws)
        passed = time.monotonic() - begin
        expect(passed >= 1.9, True, f"after {passed} s")
        expect(second, first | {"state": "EXPIRED", "timestamp": second["timestamp"]})
        expect(list(second), ["job_id", "state", "assigned_miner_id", "timestamp", "progress"])
        expect(await client.refused(server.job("short-2")), 404)
        status, answer = server.ingest("aitbc/jobs", {"job_id": "short-1", "state": "RUNNING"})
        expect((status, answer["accepted"]), (409, 0))
        await ws.close()


async def test_snapshot_never_falls_behind():
    """A-27, A-56: while a job makes progress, whoever connects sees it rise: no status is older than one before it."""
    with Ports(connections_per_address=0, messages_max=0) as server:
        server.report("j", "RUNNING", progress=0)
        stop = False

        async def feed():
            count = 0
            while not stop:
                lines = "\n".join(json.dumps({"job_id": "j", "state": "RUNNING", "progress": (count + i) / 1000000})
                                  for i in range(1, 6))
                count += 5
                status, _ = await asyncio.to_thread(server.ingest, "aitbc/jobs", lines, "application/x-ndjson")
                expect(status, 202)

        feeder = asyncio.create_task(feed())
        for _ in range(150):
            ws = await client.connect(server.job("j"))
            await ws.send(PING)
            seen = [(await client.receive_json(ws))["progress"] for _ in range(6)]
            expect(seen, sorted(seen))
            await ws.close()
        stop = True
        await feeder


async def test_slow_reader_gets_the_newest_progress():
    """A-21, K-15: of RUNNING only the newest waits for who does not read, yet no state is left out; nobody is cut."""
    with Ports(outbox_bytes_max="64KiB") as server:
        filler = "m" * 128
        server.report("j", "QUEUED")
        slow = Wire(server.ports["jobs"], receive_buffer=4096).upgrade(f"/v1/jobs/j/ws?api_key={KEY}")
        expect(json.loads(slow.frame()[1])["state"], "QUEUED")
        count = 20000
        for begin in range(0, count, 2000):
            lines = "\n".join(json.dumps({"job_id": "j", "state": "RUNNING", "assigned_miner_id": filler,
                                          "progress": n / count}) for n in range(begin, begin + 2000))
            expect(server.ingest("aitbc/jobs", lines, "application/x-ndjson"), (202, {"accepted": 2000}))
        server.report("j", "COMPLETED")
        seen = []
        while True:
            opcode, payload = await asyncio.to_thread(slow.frame)
            expect(opcode, TEXT)
            seen.append(json.loads(payload))
            if seen[-1]["state"] == "COMPLETED":
                break
        progress = [message["progress"] for message in seen[:-1]]
        expect(progress, sorted(progress), "progress rises")
        expect(progress[-1], (count - 1) / count, "the newest before the end")
        expect(len(seen) < count, True, "some were replaced")
        slow.socket.close()


async def test_batches_tell_the_status_of_each_object():
    """I-4, I-7, Q-13, A-26: 409 and 422 beside each other in one batch; the good ones are delivered."""
    with Ports() as server:
        server.report("j", "QUEUED")
        ws = await client.connect(server.job("j"))
        await client.receive(ws)
        lines = [{"job_id": "j", "state": "RUNNING", "progress": 2}, {"job_id": "j", "state": "RUNNING"},
                 {"job_id": "j", "state": "COMPLETED"}, {"job_id": "j", "state": "QUEUED"}, {"state": "QUEUED"}]
        status, answer = server.ingest("aitbc/jobs", "\n".join(map(json.dumps, lines)), "application/x-ndjson")
        expect((status, answer["accepted"]), (422, 2))
        expect([(e["index"], e["status"], e["field"]) for e in sorted(answer["errors"], key=lambda e: e["index"])],
               [(0, 422, "progress"), (3, 409, ""), (4, 422, "job_id")])
        expect([(await client.receive_json(ws))["state"] for _ in range(2)], ["RUNNING", "COMPLETED"])
        await client.quiet(ws)
        await ws.close()


async def test_states_can_be_read_by_the_publisher():
    """I-15, A-38."""
    with Ports() as server:
        for topic in ("jobs", "blockchain", "marketplace"):
            expect(server.read_state(f"aitbc/{topic}"), (404, b'{"error":"No state"}'))
        server.report("j", "QUEUED")
        server.publish("aitbc/blockchain", BLOCK)
        server.publish("aitbc/marketplace", OFFER)
        expect(json.loads(server.read_state("aitbc/jobs")[1])["count"], 1)
        expect(json.loads(server.read_state("aitbc/blockchain")[1]), {"heights": 1, "sync_status": None})
        expect(json.loads(server.read_state("aitbc/marketplace")[1]),
               {"count": 1, "offers": [{"id": "offer-9", "price_per_hour": 0.8, "currency": "AITBC"}]})


# --- the log ---

async def test_log_says_who_came_and_why_they_went():
    """A-59, K-32: a line each for accept, refusal and close, with reasons and without keys."""
    with Ports() as server:
        server.report("j", "QUEUED")
        ws = await client.connect(server.job("j"))
        await client.receive(ws)
        await ws.send(PING)
        await client.receive(ws)
        expect(await client.refused(server.job("none")), 404)
        expect(await client.refused(server.job("j", "wrong-key-in-the-url")), 401)
        await ws.close()
        until(lambda: len(re.findall("connection ended.*dialect=aitbc", server.log())) == 3, what="the lines of the ends")
        lines = server.log().splitlines()
        opened = [line for line in lines if "connection opened" in line and "aitbc" in line]
        refused = [line for line in lines if "request refused" in line]
        ended = [line for line in lines if "connection ended" in line and "aitbc" in line]
        expect((len(opened), len(refused), len(ended)), (1, 2, 3), "\n".join(lines[-10:]))
        expect("status=404" in refused[0] and "Job not found" in refused[0], True, refused[0])
        expect("status=401" in refused[1] and "Authentication failed" in refused[1], True, refused[1])
        for word in ("reason=", "fault=", "age_ms=", "messages_in=1", "bytes_out="):
            expect(any(word in line for line in ended), True, f"{word} in {ended}")
        expect("wrong-key-in-the-url" in server.log(), False, "a key in the log")
