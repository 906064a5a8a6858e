# SPDX-License-Identifier: MIT
"""crypto as its documented clients meet it. What a transcript shows already is not repeated here; these are the rows that
need real time, two shards, many or slow connections, other clients, or headers on the wire."""
import asyncio
import datetime
import json
import pathlib
import subprocess
import time

import websockets

import client
from case import BRAKE_SECONDS, expect, full
from server import Server, until
from wire import PING, TEXT, Wire, frame, upgrade_request

HERE = pathlib.Path(__file__).resolve().parent
TOPICS = ["market_data", "explorers", "news", "sentiment", "whale_tracking", "rpc_nodes", "onchain", "health_checker",
          "pool_manager", "scheduler", "huggingface", "persistence"]
INTERVALS = [5, 10, 60, 30, 15, 20, 30, 30, 20, 15, 60, 30]
OWN = ("health_checker", "pool_manager", "scheduler")
PRICES = {"prices": {"bitcoin": 61000.5}, "volumes": {"bitcoin": 27000000000}, "market_caps": {}, "price_changes": {},
          "source": "feed-a"}


def serve(**options):
    return Server(crypto=options)


async def open_at(server, path):
    """(connection, its first message)"""
    ws = await client.connect(server.url("crypto", path))
    return ws, await client.receive_json(ws)


async def ask(ws, action, **more):
    await ws.send(json.dumps({"action": action} | more))
    return await client.receive_json(ws)


def get(server, path, **headers):
    status, content = server.request("crypto", "GET", path, headers=headers)
    return status, json.loads(content)


# --- the documented clients ---

async def test_client_that_subscribes_when_it_is_greeted():
    """C-30, C-34, C-59 to C-61: subscribes twice from within its receive loop, on the greeting only; reads `prices`."""
    got = {}

    async def run(url):
        async with websockets.connect(url) as ws:
            async for text in ws:
                message = json.loads(text)
                if message["type"] == "connection_established":
                    got["id"] = message["data"]["client_id"]
                    await ws.send(json.dumps({"action": "subscribe", "service": "market_data"}))
                    await ws.send(json.dumps({"action": "subscribe", "service": "whale_tracking"}))
                elif message["type"] == "update":
                    got.setdefault(message["service"], []).append(message["data"])
                elif message["type"] == "error":
                    got["error"] = message["data"]["message"]
                if len(got.get("market_data", [])) == 3:
                    return

    with serve(market_data_interval="300ms") as server:
        server.publish("crypto/market_data", PRICES)
        server.publish("crypto/whale_tracking", {"large_transactions": [{"hash": "0x1", "value": 1000000000}]})
        await asyncio.wait_for(run(server.url("crypto", "/ws/master")), BRAKE_SECONDS)
    expect("error" in got, False)
    expect([data["prices"]["bitcoin"] for data in got["market_data"]], [61000.5] * 3)
    expect(got["whale_tracking"][0]["large_transactions"][0]["hash"], "0x1")
    expect(got["id"].split("_")[:2], ["client", "1"])


NODE_CLIENT = """
const WebSocket = require('ws');
const log = [];
const ws = new WebSocket(process.argv[1]);
const say = (action, service) => ws.send(JSON.stringify({action, service}));
ws.onopen = () => { say('subscribe', 'market_data'); say('get_status'); say('unsubscribe', 'market_data'); say('fly'); };
ws.onmessage = (event) => {
  const message = JSON.parse(event.data);
  log.push(message.service + ' ' + message.type);
  if (message.type === 'error') { console.log(JSON.stringify([log, message.data.message])); ws.close(); }
};
"""


def test_node_client():
    """C-19 to C-25, C-59: the same in JavaScript, sending as its very first act."""
    with serve() as server:
        server.publish("crypto/market_data", PRICES)
        done = subprocess.run(["node", "-e", NODE_CLIENT, server.url("crypto", "/ws")], cwd=HERE, timeout=BRAKE_SECONDS,
                              capture_output=True, text=True, check=True)
        log, error = json.loads(done.stdout)
    expect(log, ["system connection_established", "system subscription_confirmed", "market_data update", "system status",
                 "system unsubscription_confirmed", "system error"])
    expect(error, "Unknown action: fly")


async def test_every_message_has_the_envelope():
    """C-28, C-29: service, type, data, timestamp come first and in this order, in every message of /ws/all."""
    with serve(market_data_interval="100ms") as server:
        for topic in TOPICS:
            if topic not in OWN:
                server.publish(f"crypto/{topic}", {})
        ws, _ = await open_at(server, "/ws/all")
        seen = []
        while len(seen) < 15:
            message = await client.receive_json(ws)
            expect(list(message), ["service", "type", "data", "timestamp"])
            expect((message["type"], isinstance(message["data"], dict)), ("update", True))
            expect((len(message["timestamp"]), len(message["data"]["timestamp"])), (24, 24))
            seen.append(message["service"])
        expect(seen[:12], TOPICS, "one snapshot of each, in order")
        expect(set(seen[12:]), {"market_data"})
        await ws.close()


# --- time ---

async def test_ticks_arrive_when_they_happen():
    """C-34, C-38: ticks come to both shards while nothing else wakes the server: no ping is due for an hour. (That a tick
    is on its way in the turn in which it is due, and a sleeping shard is woken for it: the simulation.)"""
    with serve(market_data_interval="1s", ping_interval="1h", idle_timeout="2h") as server:
        sockets = [(await open_at(server, "/ws/market_data"))[0] for _ in range(10)]
        server.publish("crypto/market_data", PRICES)
        for _ in range(2):
            for ws in sockets:
                expect(json.loads(await client.receive(ws))["service"], "market_data")
        await client.close_all(sockets)


async def test_ticks_never_come_early():
    """C-38, K-16: 25 updates of a 200 ms interval take 5 s at least, and their time stamps rise. (That they stay on their
    grid however late one is: interval/*, schedule/keeps_the_documented_intervals_without_drift and the simulation.)"""
    def stamp_of(text):
        return datetime.datetime.fromisoformat(json.loads(text)["timestamp"].replace("Z", "+00:00")).timestamp()

    with serve(market_data_interval="200ms") as server:
        server.publish("crypto/market_data", PRICES)
        ws, _ = await open_at(server, "/ws/market_data")
        await client.receive(ws)  # the snapshot
        begin, stamps = time.monotonic(), [stamp_of(await client.receive(ws))]
        for i in range(1, 26):
            stamps.append(stamp_of(await client.receive(ws)))
        passed = time.monotonic() - begin
        expect(passed > 25 * 0.2 - 0.01, True, f"{passed:.3f} s for 25 intervals, and the rest of the one before")
        expect(stamps[-1] > stamps[0] and sorted(stamps) == stamps, True, "time stamps that rise")
        await ws.close()


@full
async def test_documented_interval_and_silence():
    """C-38, C-64: market data every 5 s, never before; 12 s of silence once unsubscribed."""
    with serve() as server:
        server.publish("crypto/market_data", PRICES)
        ws, _ = await open_at(server, "/ws/market_data")
        await client.receive(ws)
        begin = time.monotonic()
        await client.receive(ws)
        for i in range(1, 4):
            await client.receive(ws)
            passed = time.monotonic() - begin
            expect(passed > 5 * i - 0.01, True, f"{passed:.3f} s for {i} intervals, and the rest of the one before")
        expect((await ask(ws, "unsubscribe", service="market_data"))["type"], "unsubscription_confirmed")
        await client.quiet(ws, seconds=12)
        await ws.close()


@full
async def test_status_every_30_seconds():
    """C-37: subscribers of `system` get their own status with the counts of all."""
    with serve() as server:
        ws, hello = await open_at(server, "/ws")
        begin = time.monotonic()
        other, _ = await open_at(server, "/ws/news")
        await ask(ws, "subscribe", service="system")
        for i in (1, 2):
            status = await client.receive_json(ws)
            expect(time.monotonic() - begin > 30 * i - 1, True, "every 30 s, not before")
            expect((status["service"], status["type"]), ("system", "status"))
            expect(status["data"]["client_id"], hello["data"]["client_id"])
            expect(status["data"]["subscription_counts"], {"news": 1, "system": 1})
            expect(status["data"]["total_clients"], 2)
        await client.quiet(other)
        await client.close_all([ws, other])


# --- many and slow ---

async def test_one_update_per_tick_for_a_thousand():
    """C-38, C-57, SC-4: 500 ingests within a few ticks; each of 1000 subscribers gets one update a tick, the same one."""
    with serve(market_data_interval="1s") as server:
        sockets = []
        for _ in range(20):
            sockets += await asyncio.gather(*(client.connect(server.url("crypto", "/ws/market_data")) for _ in range(50)))

        def publish():
            for i in range(500):
                server.publish("crypto/market_data", {"prices": {"bitcoin": i}, "source": "a"})

        def values_of(ws):
            return tuple(json.loads(text)["data"]["prices"]["bitcoin"] for text in list(ws.messages)[1:])

        begin = time.monotonic()
        await asyncio.get_running_loop().run_in_executor(None, publish)
        while not all(499 in values_of(ws) for ws in sockets):
            await asyncio.sleep(0.05)
        passed = time.monotonic() - begin
        seen = {values[:values.index(499) + 1] for values in map(values_of, sockets)}  # the next tick has come to some
        expect(len(seen), 1, "all have got the same")
        values = seen.pop()
        expect(values[-1], 499)
        expect(sorted(values), list(values), "and each the newest of its time")
        expect(len(values) <= passed + 2, True, f"one a tick: {len(values)} in {passed:.1f} s")
        await client.close_all(sockets)


async def test_a_slow_reader_finds_the_newest_update_only():
    """C-57, SC-4, K-15: who does not read is not closed and holds no memory; it goes on with the newest of each service."""
    with serve(market_data_interval="100ms", memory="8MiB") as server:
        padding = "p" * 400_000
        with Wire(server.port("crypto"), receive_buffer=4096).upgrade("/ws/market_data") as wire:
            for i in range(40):
                server.publish("crypto/market_data", {"prices": {"bitcoin": i}, "x": padding})
                await asyncio.sleep(0.1)
            until(lambda: server.metric("ringcast_messages_dropped_total") > 10, what="conflated updates")
            expect(server.metric("ringcast_sessions"), 1)
            expect(server.metric("ringcast_messages_in_flight") <= 2, True, "one is being sent, one waits")
            expect(json.loads(wire.frame()[1])["type"], "connection_established")
            values = []
            while not values or values[-1] < 39:
                values.append(json.loads(wire.frame()[1])["data"]["prices"]["bitcoin"])
            expect(sorted(values), values, "never an older one behind a newer one")
            expect(len(values) < 30, True, f"most were passed over: {len(values)}")


async def test_a_reader_that_has_stopped_is_kept_whatever_the_size_of_the_newest():
    """C-57, K-15: 400 kB are being sent and 400 kB wait, beyond outbox_bytes_max, while pings are due and requests are answered."""
    with serve(market_data_interval="100ms", ping_interval="100ms", memory="15MiB", outbox_bytes_max="64KiB") as server:
        padding = "p" * 400_000
        with Wire(server.port("crypto"), receive_buffer=4096).upgrade("/ws/market_data") as wire:
            for i in range(5):
                server.publish("crypto/market_data", {"prices": {"bitcoin": i}, "x": padding})
                wire.send(frame(TEXT, b'{"action": "ping"}'))
                conflated = server.metric("ringcast_messages_dropped_total")
                until(lambda: server.metric("ringcast_messages_dropped_total") > conflated + 2, what="conflated updates")
            expect(server.metric("ringcast_sessions"), 1)
            expect(server.metric("ringcast_slow_consumers_total"), 0)
            values, pongs, pings = [], 0, 0
            while not values or values[-1] < 4:
                opcode, payload = await asyncio.to_thread(wire.frame)
                pings += opcode == PING
                message = json.loads(payload) if opcode == TEXT else {}
                pongs += message.get("type") == "pong"
                if message.get("type") == "update":
                    values.append(message["data"]["prices"]["bitcoin"])
            expect(sorted(values), values, "never an older one behind a newer one")
            expect((pongs, pings > 0), (5, True), "what is the connection's own waits beside it")


async def test_replies_beyond_a_mebibyte_end_a_reader():
    """C-57: replies are never dropped; who asks and does not read is closed, and only that one."""
    with serve(messages_max=0) as server:
        other, _ = await open_at(server, "/ws")
        with Wire(server.port("crypto"), receive_buffer=4096).upgrade("/ws") as wire:
            ping = json.dumps({"action": "ping", "data": "d" * 60_000}).encode()
            try:
                for _ in range(200):
                    wire.send(frame(TEXT, ping))
            except OSError:
                pass
            until(lambda: server.metric("ringcast_slow_consumer_events_total") == 1, what="a slow consumer")
        expect((await ask(other, "ping"))["type"], "pong")
        await other.close()


# --- numbers, limits ---

async def test_numbers_and_totals_over_two_shards():
    """C-23, C-31: each client has a number of its own, whatever its shard; totals count all paths."""
    with serve() as server:
        opened = [await open_at(server, path) for path in ("/ws", "/ws/master", "/ws/news", "/ws/ai") for _ in range(10)]
        numbers = sorted(int(hello["data"]["client_id"].split("_")[1]) for _, hello in opened)
        expect(numbers, list(range(1, 41)))
        status = await ask(opened[0][0], "get_status")
        expect(status["data"]["total_clients"], 40)
        status, stats = get(server, "/ws/stats?limit=3")
        expect((status, stats["data"]["total_connections"], len(stats["data"]["clients"])), (200, 40, 3))
        expect([entry["client_id"].split("_")[1] for entry in stats["data"]["clients"]], ["1", "2", "3"])
        expect(stats["data"]["subscription_counts"], {"news": 10, "huggingface": 10})
        await client.close_all(ws for ws, _ in opened)
        until(lambda: get(server, "/ws/stats")[1]["data"]["total_connections"] == 0, what="the end of all sessions")


async def test_message_rate():
    """C-58: a hundred messages of a second are answered, the next with an error, other connections have their own."""
    with serve() as server:
        ws, _ = await open_at(server, "/ws")
        for n in range(2):
            for i in range(100):
                await ws.send(json.dumps({"action": "ping", "data": i}))
            answers = [json.loads(text)["data"] for text in await client.receive_many(ws, 100)]
            expect(answers, list(range(100)), f"answers of second {n}")
            await asyncio.sleep(1)
        await ws.close()
    with serve(messages_window="1h") as server:  # a second that is over before all are sent would forgive the next
        (ws, _), (other, _) = await open_at(server, "/ws"), await open_at(server, "/ws")
        for i in range(103):
            await ws.send(json.dumps({"action": "ping", "data": i}))
        answers = [json.loads(text) for text in await client.receive_many(ws, 103)]
        expect([message["data"] for message in answers[:100]], list(range(100)))
        expect([message["data"] for message in answers[100:]], [{"message": "Rate limit exceeded"}] * 3)
        expect((await ask(other, "ping"))["type"], "pong")
        await client.close_all([ws, other])


@full
async def test_persistent_excess_is_closed():
    """C-58: more than ten seconds of it: close 1008."""
    with serve() as server:
        ws, _ = await open_at(server, "/ws")
        begin = time.monotonic()

        async def hammer():
            try:
                while True:
                    for _ in range(10):
                        await ws.send('{"action":"ping"}')
                    await asyncio.sleep(0.02)
            except websockets.ConnectionClosed:
                pass
        task = asyncio.create_task(hammer())
        try:
            while True:
                await ws.recv()
        except websockets.ConnectionClosed:
            pass
        await task
        expect((ws.close_code, ws.close_reason), (1008, "Rate limit exceeded"))
        expect(time.monotonic() - begin >= 10, True, "after ten seconds")


async def test_shutdown_is_told():
    """C-62, K-31: 1001."""
    with serve() as server:
        ws, _ = await open_at(server, "/ws")
        server.signal(15)
        expect(await client.closed(ws), (1001, "going away"))


# --- REST on the wire ---

def test_catalogues():
    """C-52, C-53, C-63, SC-5: 14 services with their intervals, 15 paths and an alias."""
    with serve() as server:
        _, services = get(server, "/ws/services")
        found = [row for group in services["data"]["services"].values() for row in group]
        expect([row["name"] for row in found], TOPICS + ["system", "all"])
        expect([row["update_interval_seconds"] for row in found[:12]], INTERVALS)
        expect((services["data"]["total_services"], services["data"]["api_version"]), (14, "2.0.0"))
        _, endpoints = get(server, "/ws/endpoints", Host="api.example:80")
        rows = endpoints["data"]["endpoints"]
        expect(len(rows), 15)
        expect(rows[1]["url"], f"{'wss' if server.secure else 'ws'}://api.example:80/ws/master")
        expect([row["aliases"] for row in rows if row["aliases"]], [["/ws/ai"]])


def test_methods_headers_and_keep_alive():
    """C-18, C-54, C-55: HEAD has no content, others are refused with Allow, all on one connection."""
    with serve() as server, Wire(server.port("crypto")) as wire:
        for path in ("/ws/stats", "/ws/services", "/ws/endpoints", "/docs"):
            wire.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            status, headers, content = wire.response()
            expect((status, headers["access-control-allow-origin"], len(content) > 100), (200, "*", True))
            wire.send(f"HEAD {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            status, headers = wire.head()
            expect((status, int(headers["content-length"]) > 100, wire.held), (200, True, b""))
            wire.send(f"POST {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            status, headers, _ = wire.response()
            expect((status, headers["allow"]), (405, "GET, HEAD, OPTIONS"))
            wire.send(upgrade_request(path))
            expect(wire.response()[0], 400)
        wire.send(upgrade_request("/ws/nonsense"))
        expect(wire.response()[::2], (404, b'{"status":"error","message":"Not found"}'))
        wire.upgrade("/ws/")


def test_two_origins_are_refused():
    """C-54 (RFC 6454 section 7.3): who would read one of two Origin fields misses the other; upgrades and plain HTTP alike."""
    with serve(origin_check=True, origins=["https://good.example"]) as server:
        for origins, status in ([], 200), (["https://good.example"], 200), (["https://good.example", "https://evil.example"], 400):
            fields = "".join(f"Origin: {origin}\r\n" for origin in origins)
            with Wire(server.port("crypto")) as wire:
                wire.send(f"GET /ws/stats HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n".encode())
                expect(wire.response()[0], status, f"status for {origins}")
            with Wire(server.port("crypto")) as wire:
                wire.send(upgrade_request("/ws", headers=fields.splitlines()))
                expect(wire.head()[0], 101 if status == 200 else status, f"status of the upgrade for {origins}")


def test_shares_a_listener():
    """G-1, G-2, C-18: paths outside /ws and /docs are others'; a prefix moves all of ours."""
    server = Server(crypto={"prefix": "/crypto"}, rustorium={"keys": ["rk-shared"]})
    server.sections["rustorium"]["listen"] = server.sections["crypto"]["listen"]
    with server:
        expect(get(server, "/crypto/ws/stats")[0], 200)
        _, endpoints = get(server, "/crypto/ws/endpoints")
        expect(endpoints["data"]["endpoints"][0]["path"], "/crypto/ws")
        expect(server.request("crypto", "GET", "/ws/stats")[0], 404)
        expect(server.request("crypto", "GET", "/ws")[0], 426, "this one is rustorium's")


# --- ingest ---

def test_sources_and_parts_over_http():
    """C-39, C-47, Q-16, I-9: X-Source decides, ?merge=1 merges, the body is delivered as it came."""
    with serve() as server:
        def publish(body, source, query=""):
            headers = {"Authorization": "Bearer ingest-key-of-the-tests", "X-Source": source}
            status, _ = server.request("ingest", "POST", f"/ingest/v1/crypto/market_data{query}", json.dumps(body), headers)
            expect(status, 202)

        publish({"prices": {"a": 1}, "timestamp": "2024-01-23T12:00:00.000Z"}, "one")
        publish({"prices": {"a": 2}}, "two")
        publish({"prices": {"b": 3}, "timestamp": "2024-01-23T12:00:01.000Z"}, "one", "?merge=1")
        status, content = server.read_state("crypto/market_data")
        expect((status, json.loads(content)),
               (200, {"prices": {"a": 1, "b": 3}, "timestamp": "2024-01-23T12:00:01.000Z"}))
        pools = json.loads(server.read_state("crypto/pool_manager")[1])
        expect(pools["pools"]["market_data"],
               {"active_source": "one", "available_sources": ["one", "two"], "health": "healthy"})
        expect((pools["active_sources"], pools["inactive_sources"], pools["failover_count"]), (["one"], ["two"], 0))


async def test_large_objects_and_snapshots():
    """C-36: what fits the memory reaches /ws/all whole; what does not is refused."""
    with serve(memory="15MiB", outbox_bytes_max="32MiB") as server:
        text = "x" * 7_000_000
        server.publish("crypto/explorers", {"t": text})
        server.publish("crypto/onchain", {"t": text})
        expect(server.ingest("crypto/news", {"t": text})[0], 422)
        ws, _ = await open_at(server, "/ws/all")
        sizes = {}
        for _ in range(5):
            message = await client.receive_json(ws)
            sizes[message["service"]] = len(message["data"].get("t", ""))
        expect(sizes["explorers"], len(text))
        expect(sizes["onchain"], len(text))
        await ws.close()


def test_reload_of_intervals_and_sources():
    """C-38, C-47: intervals and the order of sources are read again."""
    with serve(market_data_interval="60s") as server:
        for source in ("a", "b"):
            server.publish("crypto/market_data", {"source": source})
        server.reload(crypto={"market_data_interval": "1s", "sources": ["market_data=b a"]})
        server.publish("crypto/market_data", {"source": "b"})
        expect(json.loads(server.read_state("crypto/market_data")[1])["source"], "b")
        rows = get(server, "/ws/services")[1]["data"]["services"]["data_collection"]
        expect(rows[0]["update_interval_seconds"], 1)
