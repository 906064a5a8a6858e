# SPDX-License-Identifier: MIT
"""plain: what is published to a channel is what its readers get."""
import asyncio
import json

import websockets

import client
from case import BRAKE_SECONDS, expect
from server import INGEST_KEY, Server, free_port
from wire import CLOSE, TEXT, Wire

NAMES_64 = [f"c{i}" for i in range(64)]


async def connect_all(server, path, count):
    return list(await asyncio.gather(*(client.connect(server.url("plain", path)) for _ in range(count))))


async def test_payloads_arrive_byte_for_byte():
    """O-2, Q-18: every size around the frame header's steps, text where it is UTF-8, else binary; at 8 readers."""
    payloads = [b"", b"x", b"\xc3\xa9" * 62 + b"e", b"y" * 126, b"z" * 127, b"a" * 65535, b"b" * 65536,
                b"c" * (1 << 20),
                b"\xff\x00\xfe", b"\xed\xa0\x80", "\u00e9\u4e2d\U0001f600".encode(), b'{"json": true}', b"\r\n",
                b"\x00"]
    with Server(plain={"outbox_bytes_max": "16MiB"}) as server:
        readers = await connect_all(server, "/plain/news", 8)
        for payload in payloads:
            for kind in ("text/plain", "application/octet-stream"):
                expect(server.publish("plain/news", payload, kind), 8, "receivers")
                try:
                    wanted = payload if kind == "application/octet-stream" else payload.decode()
                except UnicodeDecodeError:
                    wanted = payload
                for ws in readers:
                    expect(await client.receive(ws), wanted, f"{len(payload)} bytes as {kind}")
        await client.quiet(*readers)
        await client.close_all(readers)


async def test_a_message_of_sixteen_mebibytes():
    """I-3, Q-19: the largest body goes out whole to an idle reader though its budget is 4 MiB."""
    body = bytes(range(256)) * (1 << 16)
    with Server(plain={}) as server:
        readers = await connect_all(server, "/plain/large", 4)
        expect(server.publish("plain/large", body, "application/octet-stream"), 4, "receivers")
        for ws in readers:
            expect(await client.receive(ws, 10) == body, True, "16 MiB arrived unchanged")
        await client.close_all(readers)


async def test_many_channels_on_one_connection():
    """O-1, Q-18: 64 channels on one connection, each there once however often it is named; 65 are refused."""
    with Server(plain={}) as server:
        path = "/plain/" + ",".join(NAMES_64)
        ws = await client.connect(server.url("plain", path + ",c0,c1"))
        other = await client.connect(server.url("plain", "/plain/c7"))
        for name in NAMES_64:
            expect(server.publish(f"plain/{name}", name, "text/plain"), 2 if name == "c7" else 1,
                   f"receivers of {name}")
        expect(sorted(await client.receive_many(ws, 64)), sorted(NAMES_64))
        expect(await client.receive(other), "c7")
        await client.quiet(ws, other)
        expect(await client.refused(server.url("plain", path + ",c64")), 400)
        await client.close_all([ws, other])


async def test_channel_names():
    """O-1: 1 to 128 of the documented characters, decoded first; anything else is 404."""
    with Server(plain={}) as server:
        for name in ("A", "a.b_c:d-9", "x" * 128, "%41%2e"):
            ws = await client.connect(server.url("plain", f"/plain/{name}"))
            await ws.close()
        for path in ("/plain", "/plain/", "/plain/a%2fb", "/plain/a%20b", "/plain/" + "x" * 129, "/plain/a,",
                     "/plain/,a",
                     "/plain/%zz", "/plain/%c3%a9", "/plain/a/b", "/", "/plains/a"):
            expect(await client.refused(server.url("plain", path)), 404, f"status of {path}")


async def test_history_without_gap_or_repetition_while_publishing():
    """O-5: readers that come one after the other with ?last=N while somebody publishes all the time see a row of
    numbers without a gap and without a repetition, from N before the newest on."""
    with Server(plain={"retain": 50, "policy": ["lossless"]}) as server:
        stop = asyncio.Event()

        async def publish():
            count = 0
            headers = {"Authorization": f"Bearer {INGEST_KEY}"}
            async with websockets.connect(server.url("ingest", "/ingest/v1/ws"), extra_headers=headers) as ws:
                while not stop.is_set():
                    for _ in range(20):
                        await ws.send(json.dumps({"op": "publish", "dialect": "plain", "topic": "ticks", "seq": count,
                                                  "data": count}))
                        count += 1
                    while int(json.loads(await ws.recv())["seq"]) < count - 1:
                        pass
                    await asyncio.sleep(0)
            return count

        publisher = asyncio.create_task(publish())
        readers = []
        for _ in range(60):
            readers.append(await client.connect(server.url("plain", "/plain/ticks?last=30")))
            await asyncio.sleep(0.005)
        stop.set()
        count = await asyncio.wait_for(publisher, BRAKE_SECONDS)
        for ws in readers:
            numbers = [int(await client.receive(ws))]
            while numbers[-1] < count - 1:
                numbers.append(int(await client.receive(ws)))
            expect(numbers, list(range(numbers[0], count)), "what a reader saw")
        late = await client.connect(server.url("plain", "/plain/ticks?last=1000"))
        expect([int(text) for text in await client.receive_many(late, 50)], list(range(count - 50, count)))
        await client.quiet(late, *readers)
        await client.close_all([late, *readers])


async def test_history_of_several_channels():
    """O-5, O-1: each channel of a connection brings its own newest N; binary ones stay binary."""
    with Server(plain={"retain": 3}) as server:
        for i in range(5):
            server.publish("plain/a", f"a{i}", "text/plain")
            server.publish("plain/b", bytes([i]), "application/octet-stream")
        ws = await client.connect(server.url("plain", "/plain/a,b?last=2"))
        found = await client.receive_many(ws, 4)
        expect([m for m in found if isinstance(m, str)], ["a3", "a4"])
        expect([m for m in found if isinstance(m, bytes)], [b"\x03", b"\x04"])
        none = await client.connect(server.url("plain", "/plain/a,b"))
        await client.quiet(ws, none)
        await client.close_all([ws, none])


async def test_history_ends_with_its_age():
    """O-5: what is older than retain_age is not sent any more."""
    with Server(plain={"retain": 10, "retain_age": "1h"}) as server:
        server.publish("plain/a", "old", "text/plain")
        young = await client.connect(server.url("plain", "/plain/a?last=9"))
        expect(await client.receive(young), "old")
        await young.close()
    with Server(plain={"retain": 10, "retain_age": "300ms"}) as server:
        server.publish("plain/a", "old", "text/plain")
        await asyncio.sleep(0.5)
        late = await client.connect(server.url("plain", "/plain/a?last=9"))
        server.publish("plain/a", "new", "text/plain")
        expect(await client.receive(late), "new")
        await client.quiet(late)
        await late.close()


def fill(server, channel, enough):
    """Publishes numbered messages of 40 kB until `enough` says so; how many."""
    count = 0
    while not enough():
        server.publish(f"plain/{channel}", f"{count} ".ljust(40000, "."), "text/plain")
        count += 1
        expect(count < 1000, True, "the slow reader is noticed")
    return count


def numbers_and_close(slow):
    """What a slow reader finds when it reads again: the numbers of its messages, and the close frame's payload."""
    numbers = []
    while True:
        opcode, payload = slow.frame()
        if opcode == CLOSE:
            return numbers, payload
        expect((opcode, len(payload)), (TEXT, 40000))
        numbers.append(int(payload.split()[0]))


async def test_lossless_channel_closes_a_slow_reader():
    """O-6, K-25, Q-20: it gets what was on its way, without a gap, then 1013; who reads has everything."""
    with Server(plain={"outbox_bytes_max": "256KiB"}) as server:
        slow = Wire(server.port("plain"), receive_buffer=4096).upgrade("/plain/a")
        reader = await client.connect(server.url("plain", "/plain/a"))
        count = await asyncio.to_thread(fill, server, "a", lambda: server.metric("ringcast_slow_consumer_events_total"))
        numbers, payload = numbers_and_close(slow)
        expect(payload, (1013).to_bytes(2, "big") + b"slow consumer")
        expect(numbers, list(range(len(numbers))), "what the slow reader got")
        expect(len(numbers) < count, True, "some are missing")
        slow.socket.close()
        found = [int(text.split()[0]) for text in await client.receive_many(reader, count)]
        expect(found, list(range(count)), "what the other reader got")
        expect(server.metrics()['ringcast_messages_dropped_total{reason="slow_consumer"}'], count - len(numbers))
        await reader.close()


async def test_latest_channel_gives_a_slow_reader_the_newest():
    """O-6: by prefix; numbers rise, the last one is the newest, what was skipped is counted as conflated."""
    with Server(plain={"outbox_bytes_max": "256KiB", "policy": ["lossless", "host.=latest"]}) as server:
        slow = Wire(server.port("plain"), receive_buffer=4096).upgrade("/plain/host.a")
        conflated = 'ringcast_messages_dropped_total{reason="conflated"}'
        count = await asyncio.to_thread(fill, server, "host.a", lambda: server.metrics()[conflated] > 20)
        numbers = []
        while not numbers or numbers[-1] != count - 1:
            opcode, payload = slow.frame()
            expect((opcode, len(payload)), (TEXT, 40000))
            numbers.append(int(payload.split()[0]))
        expect(numbers, sorted(set(numbers)), "rising numbers")
        expect(server.metrics()[conflated], count - len(numbers), "skipped")
        server.publish("plain/host.a", "after", "text/plain")
        expect(slow.frame(), (TEXT, b"after"))
        slow.socket.close()


async def test_client_messages_are_ignored_or_published():
    """O-4: off: ignored, connections stay; on: to the first channel, text and binary, the sender too, and retained."""
    with Server(plain={}) as server:
        sockets = await connect_all(server, "/plain/a", 3)
        await sockets[0].send("hello?")
        await sockets[0].send(b"\x01")
        await client.quiet(*sockets)
        await client.close_all(sockets)
    with Server(plain={"client_publish": True, "retain": 10, "messages_max": 0}) as server:
        sockets = await connect_all(server, "/plain/b,a", 4) + await connect_all(server, "/plain/a", 4)
        for i in range(50):
            await sockets[0].send(f"text {i}")
        await sockets[0].send(["frag", "men", "", "ted"])
        await sockets[0].send(b"\xff")
        wanted = [f"text {i}" for i in range(50)] + ["fragmented", b"\xff"]
        for ws in sockets[:4]:
            expect(await client.receive_many(ws, 52), wanted)
        await client.quiet(*sockets)
        late = await client.connect(server.url("plain", "/plain/b?last=2"))
        expect(await client.receive_many(late, 2), wanted[-2:])
        await client.close_all([*sockets, late])


async def test_message_rate_limit():
    """Q-18, section 0: the 100th message of a second is accepted, the 101st closes with 1008, only that connection."""
    with Server(plain={}) as server:
        ws, other = await connect_all(server, "/plain/a", 2)
        for _ in range(100):
            await ws.send("x")
        await client.quiet(ws)
        await asyncio.sleep(1)
        for _ in range(100):
            await ws.send("x")
        await client.quiet(ws, other)
        await client.close_all([ws, other])
    # A second that is over before all are sent would forgive the 101st.
    with Server(plain={"messages_window": "1h"}) as server:
        ws, other = await connect_all(server, "/plain/a", 2)
        for _ in range(100):
            await ws.send("x")
        await client.quiet(ws)
        await ws.send("x")
        expect(await client.closed(ws), (1008, "message rate limit exceeded"))
        await client.quiet(other)
        await other.close()


async def test_keys():
    """O-7: query, header or bearer; without or with a wrong one 401, and no channel is told about it."""
    with Server(plain={"keys": ["pk-1", "pk-2"]}) as server:
        url = server.url("plain", "/plain/a")
        good = [await client.connect(f"{url}?api_key=pk-1"),
                await client.connect(url, extra_headers={"X-Api-Key": "pk-2"}),
                await client.connect(url, extra_headers={"Authorization": "Bearer pk-1"})]
        for bad in (url, f"{url}?api_key=", f"{url}?api_key=pk-", f"{url}?api_key=pk-11", f"{url}?token=pk-1"):
            expect(await client.refused(bad), 401, bad)
        expect(await client.refused(f"{url}?api_key=pk-1", extra_headers={"X-Api-Key": "no"}), 401, "the header counts")
        expect(server.publish("plain/a", "x", "text/plain"), 3, "receivers")
        await client.close_all(good)


async def test_connections_of_an_address():
    """G-13, K-21: the limit by address is exact over both shards and answers 429 before the upgrade."""
    with Server(plain={"connections_per_address": 5}) as server:
        url = server.url("plain", "/plain/a")
        for _ in range(3):
            sockets = await connect_all(server, "/plain/a", 5)
            for _ in range(3):
                expect(await client.refused(url), 429)
            await sockets.pop().close()
            sockets.append(await client.connect(url))
            expect(await client.refused(url), 429)
            await client.close_all(sockets)


async def test_both_loopback_addresses():
    """K-1: `localhost` is 127.0.0.1 and [::1]."""
    port = free_port()
    with Server(plain={"listen": [f"localhost:{port}"]}) as server:
        url = server.url("plain", "/plain/a")
        sockets = [await client.connect(url.replace("127.0.0.1", host)) for host in ("127.0.0.1", "[::1]", "localhost")]
        expect(server.publish("plain/a", "x", "text/plain"), 3, "receivers")
        for ws in sockets:
            expect(await client.receive(ws), "x")
        await client.close_all(sockets)


async def test_dialects_share_an_address():
    """K-1, G-1: one port for all dialects, told apart by path and prefix."""
    listen = [f"127.0.0.1:{free_port()}"]
    with Server(plain={"listen": listen, "prefix": "/p"}, echo={"listen": listen},
                rustorium={"listen": listen, "keys": ["rk-1"]}) as server:
        plain = await client.connect(server.url("plain", "/p/plain/a"))
        echo = await client.connect(server.url("plain", "/echo"))
        rustorium = await client.connect(server.url("plain", "/ws?token=rk-1"))
        expect(await client.refused(server.url("plain", "/plain/a")), 404)
        server.publish("plain/a", "x", "text/plain")
        expect(await client.receive(plain), "x")
        await echo.send("y")
        expect(await client.receive(echo), "y")
        await rustorium.send('{"type":"ping","id":"z"}')
        expect((await client.receive_json(rustorium))["id"], "z")
        await client.close_all([plain, echo, rustorium])


async def test_origins():
    """K-7, G-40: off by default; switched on, only listed origins get in, and clients without one."""
    foreign = {"Origin": "https://evil.example"}
    with Server(plain={}) as server:
        await (await client.connect(server.url("plain", "/plain/a"), extra_headers=foreign)).close()
    with Server(plain={"origin_check": True, "origins": ["https://good.example"]}) as server:
        url = server.url("plain", "/plain/a")
        expect(await client.refused(url, extra_headers=foreign), 403)
        expect(await client.refused(url, extra_headers={"Origin": "http://good.example"}), 403)
        for headers in ({}, {"Origin": "https://good.example"}):
            await (await client.connect(url, extra_headers=headers)).close()
