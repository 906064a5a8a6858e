# SPDX-License-Identifier: MIT
"""The node (dialect rnn) through clients that nobody here wrote the protocol code of: login over HTTP, tables that are told at
their intervals, search, events in order, and what of it is there again after a restart. Scenario numbers are those of the
requirements: SN-1 to SN-3 and SN-6."""
import asyncio
import base64
import collections
import functools
import hashlib
import hmac
import http.client
import json
import os
import socket
import subprocess
import time

import client
import transport
from case import BRAKE_SECONDS, expect, plain_only
from server import BINARY, INGEST_KEY, ROOT, Server, until
from wire import Wire

SECRET = "a secret of the tests, long enough for HS256"
NODE = {"secrets": [SECRET], "peer_id": "12D3KooWTestNode", "peer_name": "test", "dht_node_id": "0xabcd"}
QUICK = {f"{name}_interval": "200ms" for name in
         ("status", "peers", "blacklist", "relay_sessions", "relay_candidates", "services", "workflows")}
THUMBS = {"id": 1, "name": "thumbs", "description": "image thumbnails", "service_type": "DOCKER", "type": "COMPUTE",
          "config": {"image": "x/thumbs:1", "capabilities": ["resize"]}, "status": "ACTIVE", "created_at": 1703520000,
          "updated_at": 1703520100}


def user(name="op", password="secret"):
    """An entry of `users`, as the command makes it."""
    done = subprocess.run([BINARY, "hash-password", name], input=password + "\n", capture_output=True, text=True, check=True)
    return done.stdout.strip()


def token(secret=SECRET, header=None, **claims):
    """One that somebody else made with the same secret (N-3)."""
    def part(value):
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")
    text = part(header or {"alg": "HS256", "typ": "JWT"}) + b"." + part({"sub": "op", "exp": int(time.time()) + 60} | claims)
    return (text + b"." + base64.urlsafe_b64encode(hmac.new(secret.encode(), text, hashlib.sha256).digest()).rstrip(b"=")).decode()


def request(server, section, path, body=None, method=None, **headers):
    """Status, headers, and the object of the answer."""
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    kind = functools.partial(http.client.HTTPSConnection, context=transport.trusting()) if server.speaks_tls(section) \
        else http.client.HTTPConnection
    connection = kind("127.0.0.1", server.port(section), timeout=BRAKE_SECONDS)
    try:
        connection.request(method or ("GET" if body is None else "POST"), path, data,
                           {"Content-Type": "application/json"} | headers)
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, answer.headers, json.loads(text) if text else None
    finally:
        connection.close()


def login(server, body):
    return request(server, "rnn", "/api/auth/login", body)


def publish(server, topic, body, wanted=202, **headers):
    status, _, answer = request(server, "ingest", f"/ingest/v1/rnn/{topic}", body,
                                Authorization=f"Bearer {INGEST_KEY}", **headers)
    expect(status, wanted, answer)
    return answer


UPGRADE = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
           "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}


async def connect(server, of=None, **options):
    ws = await client.connect(server.url("rnn", f"/api/ws?token={of or token()}"), **options)
    greeting = await client.receive_json(ws)
    expect({name: greeting[name] for name in ("type", "payload")},
           {"type": "connected", "payload": {"message": "Connected to WebSocket server",
                                             "peer_id": greeting["payload"]["peer_id"]}})
    expect(list(greeting), ["type", "payload", "timestamp"]) # N-9
    return ws, greeting["payload"]["peer_id"]


async def send(ws, kind, payload=None):
    await ws.send(json.dumps({"type": kind, "payload": payload, "timestamp": 1703520000}))


async def next_of(ws, *kinds):
    """The next message of one of these types."""
    while True:
        message = await client.receive_json(ws)
        if message["type"] in kinds:
            return message


def test_login_and_connection():
    """SN-1: N-1 to N-5, N-7, N-9, N-10, N-15, N-16, N-19, N-77."""
    with Server(rnn=NODE | {"users": [user()]}) as server:
        status, _, answer = login(server, {"username": "op", "password": "secret"})
        expect(status, 200, answer)
        expect(abs(answer["expires_at"] - time.time() - 86400) < 60, True, answer)
        expect(answer["token"].startswith("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9."), True)
        for wrong in ({"username": "op", "password": "Secret"}, {"username": "nobody", "password": "secret"}):
            status, headers, refused = login(server, wrong)
            expect((status, refused), (401, {"error": "Invalid credentials"}))
        for body, wanted in ((b"{", 400), ({"username": "op"}, 400), ([1], 400), (b"x" * 4097, 413), (b"", 400)):
            expect(login(server, body)[0], wanted, body)
        status, headers, _ = request(server, "rnn", "/api/auth/login")
        expect((status, headers["Allow"]), (405, "POST, OPTIONS"))
        asyncio.run(converse(server, answer["token"]))


async def converse(server, good):
    for query, wanted in (("", "Missing authentication token"), ("?token=", "Missing authentication token"),
                          ("?token=abc", "Invalid authentication token"),
                          (f"?token={token(exp=int(time.time()) - 31)}", "Invalid authentication token"),
                          (f"?token={token(header={'alg': 'none'})}", "Invalid authentication token"),
                          (f"?token={token(secret='x' * 40)}", "Invalid authentication token")):
        status, headers, answer = await asyncio.to_thread(request, server, "rnn", "/api/ws" + query, **UPGRADE)
        expect((status, answer, headers["Content-Type"]), (401, {"error": wanted}, "application/json"))
    ws, peer_id = await connect(server, good)
    expect(peer_id, "12D3KooWTestNode")
    await send(ws, "ping")
    expect((await next_of(ws, "pong"))["payload"], None)
    for invalid in ('{"type":17}', "{", "[]", '"ping"', '{"payload":{}}'):
        await ws.send(invalid)
    await send(ws, "pong")
    await send(ws, "ping")
    expect((await next_of(ws, "pong", "error"))["type"], "pong", "what is no message has no answer")
    for unknown in ("no.such.type", "node.status", "connected"):
        await send(ws, unknown, {})
        expect((await next_of(ws, "error"))["payload"],
               {"error": f"Unknown message type: {unknown}", "code": "UNKNOWN_MESSAGE_TYPE"})
    await ws.close()


@plain_only("it writes HTTP by hand")
def test_content_however_it_comes():
    """Content by length and in chunks, two logins on a connection, behind each other at once; too much of it; half of it and the end."""
    body = b'{"username":"op","password":"secret"}'
    chunked = b"".join(b"%x\r\n%s\r\n" % (1, body[at:at + 1]) for at in range(len(body))) + b"0\r\n\r\n"
    head = b"POST /api/auth/login HTTP/1.1\r\nHost: localhost\r\n"
    by_length = head + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
    in_chunks = head + b"Transfer-Encoding: chunked\r\n\r\n"
    with Server(rnn=NODE | {"users": [user()]}) as server:
        with Wire(server.port("rnn")) as wire:
            wire.send(by_length + in_chunks + chunked + by_length)
            for _ in range(3):
                expect(wire.response()[0], 200)
        with Wire(server.port("rnn")) as wire:
            wire.send(head + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body))
            expect(wire.response()[0], 100)
            wire.send(body)
            expect(wire.response()[0], 200)
        for too_much in (b"1388\r\n" + b"x" * 5000, b"zz\r\n"):
            with Wire(server.port("rnn")) as wire:
                wire.send(in_chunks + too_much)
                expect(wire.response()[0], 413 if too_much[0] == ord("1") else 400)
        for _ in range(50):
            with Wire(server.port("rnn")) as wire:
                wire.send(by_length[:-10])
        with Wire(server.port("rnn")) as wire:
            wire.send(by_length)
            expect(wire.response()[0], 200)
            held = [value for name, value in server.metrics().items() if name.startswith("ringcast_memory_bytes") and 'kind="input"' in name]
            expect(len(held) > 0, True)
        until(lambda: not any(value for name, value in server.metrics().items()
                              if name.startswith("ringcast_memory_bytes") and 'kind="input"' in name),
              what="what half requests held to be given back")


def test_failed_logins_are_limited():
    """N-2, Q-34: the 11th failure of an address in a minute, and then the right password too."""
    with Server(rnn=NODE | {"users": [user()], "logins_failed_max": 3}) as server:
        for _ in range(3):
            expect(login(server, {"username": "op", "password": "x"})[0], 401)
        for password in ("x", "secret"):
            status, headers, _ = login(server, {"username": "op", "password": password})
            expect((status, headers["Retry-After"]), (429, "60"))


def test_logins_begun_at_once_are_limited_too():
    """N-2: of 60 wrong ones under way together no more than the limit are told that they are wrong."""
    async def run(server):
        answers = await asyncio.gather(*(asyncio.to_thread(login, server, {"username": "op", "password": str(n)}) for n in range(60)))
        statuses = collections.Counter(status for status, _, _ in answers)
        expect((statuses[401] <= 5, statuses[401] + statuses[429] + statuses[503]), (True, 60), statuses)
    with Server(rnn=NODE | {"users": [user()], "logins_failed_max": 5}) as server:
        asyncio.run(run(server))


def test_preflight():
    """N-2, Q-52."""
    with Server(rnn=NODE | {"users": [user()], "origin_check": True, "origins": ["https://app.example"]}) as server:
        url = server, "rnn", "/api/auth/login"
        status, headers, _ = request(*url, method="OPTIONS", Origin="https://app.example",
                                     **{"Access-Control-Request-Method": "POST"})
        expect((status, headers["Access-Control-Allow-Origin"], headers["Access-Control-Allow-Methods"]),
               (204, "https://app.example", "POST"))
        status, headers, _ = request(*url, method="OPTIONS", Origin="https://other.example")
        expect((status, headers["Access-Control-Allow-Origin"]), (204, None))
        status, headers, _ = request(*url, {"username": "op", "password": "secret"}, Origin="https://app.example")
        expect((status, headers["Access-Control-Allow-Origin"]), (200, "https://app.example"))


def test_connections_of_a_user_are_limited():
    """N-18, Q-36: the one beyond the limit gets 429, another user is let in."""
    async def run(server):
        first, _ = await connect(server)
        second, _ = await connect(server)
        status, _, answer = await asyncio.to_thread(request, server, "rnn", f"/api/ws?token={token()}", **UPGRADE)
        expect((status, answer), (429, {"error": "Too many connections"}))
        other, _ = await connect(server, token(sub="other"))
        for ws in (first, second, other):
            await ws.close()
    with Server(rnn=NODE | {"connections_per_key": 2}) as server:
        asyncio.run(run(server))


def test_messages_are_limited():
    """N-18, Q-46: beyond the rate RATE_LIMITED, not processed, and the connection stays."""
    async def run(server):
        ws, _ = await connect(server)
        for _ in range(4):
            await send(ws, "ping")
        kinds = [(await next_of(ws, "pong", "error"))["type"] for _ in range(4)]
        expect(kinds, ["pong", "pong", "pong", "error"])
        await ws.close()
    with Server(rnn=NODE | {"messages_max": 3, "messages_window": "1h"}) as server:
        asyncio.run(run(server))


def test_tables_are_told():
    """SN-2: N-8, N-20 to N-26, N-38, I-11, I-12."""
    async def run(server):
        publish(server, "peers", {"op": "upsert", "items": [{"id": "12D3KooWPeerA", "addresses": ["192.168.1.20:8080"],
                                                             "last_seen": 1703520000, "is_relay": False, "can_be_relay": True,
                                                             "connection_quality": 95, "metadata": {}}]})
        publish(server, "services", {"op": "upsert", "items": [THUMBS]})
        ws, _ = await connect(server)
        status = await next_of(ws, "node.status")
        expect(list(status["payload"]), ["peer_id", "dht_node_id", "uptime_seconds", "stats", "known_peers"])
        expect(status["payload"]["stats"] | {"uptime_seconds": 0},
               {"peer_id": "12D3KooWTestNode", "dht_node_id": "0xabcd", "uptime_seconds": 0, "quic_connections": 0,
                "relay_sessions": 0, "services_count": 1})
        expect(status["payload"]["known_peers"], 1)
        services = (await next_of(ws, "services.updated"))["payload"]
        expect(json.dumps(services), json.dumps({"services": [
            {"id": "1", "name": "thumbs", "description": "image thumbnails", "type": "DOCKER", "config": THUMBS["config"],
             "status": "ACTIVE", "created_at": 1703520000, "updated_at": 1703520100}]}))
        expect((await next_of(ws, "blacklist.updated"))["payload"], {"blacklist": []})
        expect((await next_of(ws, "workflows.updated"))["payload"], {"workflows": []})
        seen = {(await client.receive_json(ws))["type"] for _ in range(20)}
        expect({kind for kind in seen if kind.startswith("relay.")}, set(), "no relay message while the modes are off")
        publish(server, "node", {"relay_mode": True, "nat_mode": True, "quic_connections": 5})
        publish(server, "relay_sessions", {"op": "upsert", "items": [{"session_id": "s-1", "start_time": int(time.time()) - 100}]})
        publish(server, "relay_candidates", {"op": "upsert", "items": [{"node_id": "0x1", "latency_ms": 50}]})
        while not (sessions := (await next_of(ws, "relay.sessions"))["payload"]["sessions"]):
            pass
        expect(100 <= sessions[0]["duration_seconds"] < 100 + BRAKE_SECONDS, True, sessions)
        while not (candidates := (await next_of(ws, "relay.candidates"))["payload"]["candidates"]):
            pass
        expect(candidates[0]["latency"], "50ms")
        publish(server, "peer_capabilities", {"op": "upsert", "items": [{"peer_id": "12D3KooWPeerA", "capabilities": {"gpu": True}}]})
        changed = await next_of(ws, "peer.capabilities.updated")
        expect({name: changed["payload"][name] for name in ("peer_id", "capabilities")},
               {"peer_id": "12D3KooWPeerA", "capabilities": {"gpu": True}})
        late, _ = await connect(server)
        first = [(await client.receive_json(late))["type"] for _ in range(7)]
        expect(first, ["node.status", "peers.updated", "blacklist.updated", "relay.sessions", "relay.candidates",
                       "services.updated", "workflows.updated"], "the snapshot")
        await late.close()
        await ws.close()
    with Server(rnn=NODE | QUICK) as server:
        asyncio.run(run(server))


def test_blacklist_entries_expire():
    """N-22."""
    async def run(server):
        now = int(time.time())
        publish(server, "blacklist", {"op": "replace", "items": [{"peer_id": "a", "expires_at": now - 1}, {"peer_id": "b"}]})
        ws, _ = await connect(server)
        entries = (await next_of(ws, "blacklist.updated"))["payload"]["blacklist"]
        expect(entries, [{"peer_id": "b", "reason": "", "added_at": 0, "expires_at": 0}])
        await ws.close()
    with Server(rnn=NODE | QUICK) as server:
        asyncio.run(run(server))


def test_tables_survive():
    """Q-54, N-7: tables, modes and an id that was made are there after kill -9."""
    node = {name: value for name, value in NODE.items() if name != "peer_id"} | QUICK
    async def look(server):
        ws, peer_id = await connect(server)
        while not (services := (await next_of(ws, "services.updated"))["payload"]["services"]):
            pass
        await next_of(ws, "relay.sessions")
        await ws.close()
        return peer_id, services
    with Server(rnn=node) as server:
        publish(server, "services", {"op": "upsert", "items": [THUMBS, THUMBS | {"id": 2, "name": "gone"}]})
        publish(server, "services", {"op": "delete", "ids": [2]})
        publish(server, "node", {"relay_mode": True})
        before = asyncio.run(look(server))
        server.kill()
        server.start()
        expect(asyncio.run(look(server)), before)


async def search(ws, **payload):
    """All services of the answers, and the last error."""
    await send(ws, "service.search.request", payload)
    found, partial = [], 0
    while True:
        answer = (await next_of(ws, "service.search.response"))["payload"]
        expect(len(answer["services"]) <= 50, True)
        if answer["complete"]:
            expect(answer["services"], [])
            return found, answer["error"], partial
        partial += 1
        found += answer["services"]


def test_large_tables_close_nobody():
    """N-8, N-25, N-34: a snapshot and answers of megabytes."""
    large = {"name": "large", "service_type": "DOCKER", "config": {"x": "x" * 12000}, "capabilities": {"y": "y" * 30000}}
    async def run(server):
        for first in range(0, 60, 20):
            publish(server, "services", {"op": "upsert", "items": [large | {"id": first + n} for n in range(20)]})
        await next_of((await connect(server))[0], "services.updated")
        ws, _ = await connect(server)
        expect(len((await next_of(ws, "services.updated"))["payload"]["services"]), 60)
        found, error, _ = await search(ws, query="large")
        expect((len(found), error), (60, ""))
        await ws.close()
    with Server(rnn=NODE | QUICK) as server:
        asyncio.run(run(server))


def test_search():
    """SN-3: N-28 to N-36, Q-36, Q-47."""
    async def run(server):
        resizer = {"id": 5, "name": "image-resizer", "description": "fast", "service_type": "DOCKER", "type": "COMPUTE",
                   "status": "ACTIVE", "pricing_amount": 0.001, "pricing_type": "PER_EXECUTION", "pricing_interval": 0,
                   "pricing_unit": "EXECUTION", "capabilities": {"gpu": True},
                   "interfaces": [{"interface_type": "STDIN", "path": "", "mount_function": ""}]}
        publish(server, "services", {"op": "upsert", "items": [THUMBS]})
        publish(server, "peer_services", {"peer_id": "12D3KooWPeerA", "peer_name": "node-a", "op": "replace", "items": [resizer]})
        publish(server, "peer_services", {"peer_id": "many", "op": "replace",
                                          "items": [resizer | {"id": 100 + n, "name": f"bulk {n}", "status": "INACTIVE" if n % 2 else "ACTIVE"}
                                                    for n in range(120)]})
        ws, _ = await connect(server)
        found, error, _ = await search(ws, query="image", service_type="DOCKER", peer_ids=[], active_only=True)
        expect((error, [service["id"] for service in found]), ("", [1, 5]))
        expect(found[0], {"id": 1, "name": "thumbs", "description": "image thumbnails", "service_type": "DOCKER", "type": "COMPUTE",
                          "status": "ACTIVE", "peer_id": "12D3KooWTestNode", "peer_name": "test", "interfaces": []})
        expect(json.dumps(found[1]), json.dumps({**{name: resizer[name] for name in list(resizer)[:11]}, "peer_id": "12D3KooWPeerA",
                                                 "peer_name": "node-a", "interfaces": resizer["interfaces"]}))
        for payload, wanted in (({"query": "IMAGE fast"}, [5]), ({"query": "image", "service_type": " data , docker"}, [1, 5]),
                                ({"query": "image", "service_type": "DATA"}, []), ({"query": "image", "peer_ids": ["unknown"]}, []),
                                ({"query": "image", "peer_ids": ["12D3KooWTestNode"]}, [1]), ({"query": "image nothing"}, [])):
            found, error, _ = await search(ws, **payload)
            expect((error, [service["id"] for service in found]), ("", wanted), payload)
        found, _, partial = await search(ws, query="bulk")
        expect((len(found), partial), (120, 3), "at most 50 in a message")
        found, _, _ = await search(ws, query="bulk", active_only=True)
        expect(len(found), 60)
        for payload, wanted in (({"service_type": "ROCKET"}, "Invalid service type: ROCKET"), ({"query": 7}, "query must be a string"),
                                ({"peer_ids": [7]}, "peer_ids must hold strings"), ({"active_only": "yes"}, "active_only must be true or false")):
            expect(await search(ws, **payload), ([], wanted, 0))
        await send(ws, "service.search.request", [])
        expect((await next_of(ws, "service.search.response"))["payload"],
               {"services": [], "error": "payload must be an object", "complete": True})
        await send(ws, "service.search.request", {"query": "thumbs", "request_id": "r-7"})
        expect([(await next_of(ws, "service.search.response"))["payload"]["request_id"] for _ in range(2)], ["r-7", "r-7"])
        await ws.close()
    with Server(rnn=NODE) as server:
        asyncio.run(run(server))


def test_events():
    """SN-6: N-39 to N-50, Q-33, Q-51: in order, unchanged, at once; what is out of shape is refused."""
    events = [{"type": "docker.operation.start", "payload": {"operation_id": "op-9", "operation_type": "build", "service_name": "app",
                                                             "message": "Starting Docker image build..."}},
              {"type": "docker.build.output", "payload": {"service_name": "app", "image_name": "app:1", "stream": "Step 1/5 : FROM node:18\n",
                                                          "extra": [1, {"kept": None}]}},
              {"type": "execution.updated", "payload": {"execution_id": 7, "workflow_id": 2, "status": "running",
                                                        "started_at": "2024-01-01T12:00:00Z"}}]
    async def run(server):
        listeners = [(await connect(server))[0] for _ in range(3)]
        for event in events:
            publish(server, "events", event)
        kinds = [event["type"] for event in events]
        for ws in listeners:
            got = [await next_of(ws, *kinds) for _ in events]
            expect([{name: message[name] for name in ("type", "payload")} for message in got], events)
        for bad in ({"type": "execution.updated", "payload": {"execution_id": 7, "workflow_id": 2, "status": "exploded"}},
                    {"type": "docker.operation.start", "payload": {"operation_id": "o", "operation_type": "push", "service_name": "a", "message": ""}},
                    {"type": "standalone.operation.progress", "payload": {"operation_id": "o", "message": "", "percentage": 1, "step": "flying"}},
                    {"type": "docker.operation.error", "payload": {"operation_id": "o", "error": "", "code": "lower"}},
                    {"type": "node.status", "payload": {}}, {"type": "docker.build.output"}):
            publish(server, "events", bad, wanted=422)
        for ws in listeners:
            await ws.close()
    with Server(rnn=NODE) as server:
        asyncio.run(run(server))


def test_events_are_complete_and_in_order():
    """SN-6, 5.4: many lines to many receivers, none lost, none replaced by a newer one."""
    lines, receivers = 2000, 40
    async def take(ws):
        seen = []
        while len(seen) < lines:
            seen.append((await next_of(ws, "docker.build.output"))["payload"]["stream"])
        return seen
    async def run(server):
        sockets = [(await connect(server, token(sub=f"u{n}")))[0] for n in range(receivers)]
        taking = [asyncio.create_task(take(ws)) for ws in sockets]
        body = "".join(json.dumps({"type": "docker.build.output", "payload": {"service_name": "a", "image_name": "a", "stream": f"{n}\n"}}) + "\n"
                       for n in range(lines)).encode()
        answer = await asyncio.to_thread(publish, server, "events", body, **{"Content-Type": "application/x-ndjson"})
        expect(answer["accepted"], lines)
        for seen in await asyncio.gather(*taking):
            expect(seen, [f"{n}\n" for n in range(lines)])
        for ws in sockets:
            await ws.close()
    with Server(rnn=NODE) as server:
        asyncio.run(run(server))


def test_shapes_of_tables():
    """I-4, I-12, I-14: one bad item refuses its operation; GET shows what is stored (I-15)."""
    with Server(rnn=NODE) as server:
        for topic, body, field in (("peers", {"op": "upsert", "items": [{"addresses": []}]}, "id"),
                                   ("peers", {"op": "upsert", "items": [{"id": 7}]}, "id"),
                                   ("peers", {"op": "upsert", "items": [{"id": "x" * 101}]}, "id"),
                                   ("peers", {"op": "merge", "items": []}, "op"), ("peers", {"op": "upsert"}, "items"),
                                   ("peers", {"op": "delete", "items": []}, "ids"), ("services", {"op": "upsert", "items": [THUMBS, 7]}, ""),
                                   ("services", {"op": "upsert", "items": [THUMBS | {"service_type": "ROCKET"}]}, "service_type"),
                                   ("peer_services", {"op": "replace", "items": []}, "peer_id"), ("node", {"relay_mode": 1}, "relay_mode")):
            answer = publish(server, topic, body, wanted=422)
            expect(answer["errors"][0]["field"], field, body)
        publish(server, "no_such_table", {}, wanted=404)
        publish(server, "peers", b"{", wanted=400)
        publish(server, "services", {"op": "upsert", "items": [THUMBS]})
        status, _, answer = request(server, "ingest", "/ingest/v1/rnn/services", Authorization=f"Bearer {INGEST_KEY}")
        expect((status, [item["name"] for item in answer["items"]]), (200, ["thumbs"]))


@plain_only("it looks at the socket's own buffers")
def test_a_reader_that_stops_is_closed():
    """N-12: a send that does not move for send_timeout ends its connection; the others get everything."""
    async def run(server):
        stopped = Wire(server.port("rnn"), receive_buffer=4096).upgrade(f"/api/ws?token={token(sub='stopped')}")
        reader, _ = await connect(server)
        line = json.dumps({"type": "docker.build.output", "payload": {"service_name": "a", "image_name": "a", "stream": "x" * 60000}})
        body = "".join(line + "\n" for _ in range(200)).encode()
        await asyncio.to_thread(publish, server, "events", body, **{"Content-Type": "application/x-ndjson"})
        for _ in range(200):
            await next_of(reader, "docker.build.output")
        await asyncio.to_thread(until, lambda: 'reason="send timeout"' in server.log(), what="the end of the stopped reader")
        await asyncio.to_thread(until, lambda: server.metric("ringcast_sessions") == 1, what="one session, of who reads")
        stopped.socket.close()
        await reader.close()
    with Server(rnn=NODE | {"send_timeout": "1s"}) as server:
        asyncio.run(run(server))


async def serving(server, peer_id, **more):
    """A publisher that is asked searches: it has sent serve and has been confirmed."""
    ws = await client.connect(server.url("ingest", "/ingest/v1/ws"), extra_headers={"X-Ingest-Key": INGEST_KEY})
    await ws.send(json.dumps({"op": "serve", "dialect": "rnn", "peer_id": peer_id} | more))
    expect(await client.receive_json(ws), {"op": "serving", "peer_id": peer_id})
    return ws


def found_service(number, name):
    return {"id": number, "name": name, "description": "", "service_type": "DOCKER", "type": "COMPUTE", "status": "ACTIVE"}


async def answer(ws, search_id, services, complete=True):
    await ws.send(json.dumps({"op": "results", "search_id": search_id, "services": services, "complete": complete}))


async def response(ws):
    payload = (await next_of(ws, "service.search.response"))["payload"]
    return [(s["id"], s["name"], s["peer_id"], s["peer_name"]) for s in payload["services"]], payload["error"], payload["complete"]


async def test_live_peers_are_asked():
    """I-13, N-34, N-35, Q-53: in parallel, answers forwarded on arrival, those who leave or say nothing are named."""
    with Server(rnn=NODE) as server:
        reader, _ = await connect(server)
        one, two, three = [await serving(server, f"peer-{name}", peer_name=name) for name in ("a", "b", "c")]
        query = {"query": "Re\u0073ize", "service_type": "docker", "peer_ids": ["peer-a", "peer-b", "peer-x"], "active_only": True,
                 "request_id": 7}
        await send(reader, "service.search.request", query)
        asked = [await client.receive_json(ws) for ws in (one, two)]
        for question in asked:
            expect({**question, "search_id": 0}, {"op": "search", "search_id": 0, "query": "Resize", "service_type": "docker",
                                                  "active_only": True})
        await answer(two, asked[1]["search_id"], [found_service(n, f"b{n}") for n in range(51)])
        expect(await response(reader), ([(n, f"b{n}", "peer-b", "b") for n in range(50)], "", False))
        expect(await response(reader), ([(50, "b50", "peer-b", "b")], "", False))
        await answer(one, asked[0]["search_id"], [found_service(1, "a1")], complete=False)
        expect(await response(reader), ([(1, "a1", "peer-a", "a")], "", False))
        await answer(one, asked[0]["search_id"], [])
        expect(await response(reader), ([], "", True))
        # who leaves during the search is named
        await send(reader, "service.search.request", {"query": "x"})
        for ws in (one, two, three):
            question = await client.receive_json(ws)
        await answer(one, question["search_id"], [])
        await two.close()
        await answer(three, question["search_id"], [found_service(3, "c3")])
        expect(await response(reader), ([(3, "c3", "peer-c", "c")], "", False))
        expect(await response(reader), ([], "No response from: peer-b", True))
        # what cannot be
        await answer(one, question["search_id"], [{"name": "no id"}])
        refused = await client.receive_json(one)
        expect((refused["op"], refused["seq"]), ("nack", None), refused)
        await one.send(json.dumps({"op": "serve", "dialect": "rnn", "peer_id": "z", "seq": 5}))
        expect((await client.receive_json(one))["seq"], 5)
        await send(reader, "service.search.request", {"query": "x"})
        await asyncio.gather(*[client.receive_json(ws) for ws in (one, three)])
        await reader.close() # N-37: it is aborted; others are not disturbed
        other, _ = await connect(server)
        await send(other, "service.search.request", {"query": "x", "peer_ids": ["nobody"]})
        expect(await response(other), ([], "", True))
        await client.close_all([one, three, other])


async def test_a_live_peer_that_says_nothing_is_waited_for_5_s():
    """N-34, N-35"""
    with Server(rnn=NODE) as server:
        reader, _ = await connect(server)
        quiet = await serving(server, "quiet")
        await send(reader, "service.search.request", {"query": ""})
        begun = time.monotonic()
        question = await client.receive_json(quiet)
        expect(await response(reader), ([], "No response from: quiet", True))
        expect(time.monotonic() - begun > 4.9, True, "not earlier")
        await answer(quiet, question["search_id"], [found_service(1, "late")]) # passed over
        await send(reader, "service.search.request", {"query": "", "peer_ids": ["nobody"]})
        expect(await response(reader), ([], "", True))
        await client.close_all([reader, quiet])


@plain_only("the feeder speaks plain HTTP")
def test_the_feeder_of_the_demo_publishes_this_machine():
    """What listens here is a service, who is connected a peer; the server itself among them."""
    with Server(rnn=NODE) as server, socket.create_connection(("127.0.0.1", server.port("rnn"))):
        done = subprocess.run([ROOT / "tools/feed-node", "--url", f"http://127.0.0.1:{server.port('ingest')}", "--count", "1"],
                              env=os.environ | {"RINGCAST_INGEST_KEY": INGEST_KEY}, capture_output=True, text=True, check=False)
        expect((done.returncode, done.stderr), (0, ""))
        tables = {topic: request(server, "ingest", f"/ingest/v1/rnn/{topic}", Authorization=f"Bearer {INGEST_KEY}")[2]["items"]
                  for topic in ("services", "peers")}
        expect(str(server.port("rnn")) in [service["id"] for service in tables["services"]], True, tables)
        expect("127.0.0.1" in [peer["id"] for peer in tables["peers"]], True, tables)
