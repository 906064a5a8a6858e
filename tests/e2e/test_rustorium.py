# SPDX-License-Identifier: MIT
"""rustorium as its documented clients meet it. What a transcript shows already is not repeated here; these are the
rows that need two shards, many connections, other clients, or bytes on the wire."""
import asyncio
import json
import re
import signal

import websockets

import client
from case import BRAKE_SECONDS, expect, full
from server import Server, until
from wire import TEXT, Wire, frame

KEY = "rk-of-the-tests"
OTHER_KEY = "rk-of-another"
INVALID_TOKEN = {"type": "error", "id": None, "data": None, "error": {"code": 4000, "message": "Invalid token"}}
RATE_LIMITED = {"type": "error", "id": None, "data": None, "error": {"code": 4001, "message": "Rate limited"}}
PATH = f"/ws?token={KEY}"


def serve(**options):
    defaults = {"keys": [KEY, OTHER_KEY], "attempts_per_minute": 0}
    return Server(rustorium=defaults | options)


def block(number, parent=None, transactions=(), branch=""):
    """Block `number` of a branch; its parent is the one before it in the same branch unless said otherwise."""
    return {"number": number, "hash": f"0x{branch}{number:04}", "parent_hash": parent or f"0x{branch}{number - 1:04}",
            "timestamp": "2024-01-23T12:34:56Z", "transactions": list(transactions)}


async def ask(ws, kind, data=None, identity="r"):
    """Sends a request and returns the answer."""
    request = {"type": kind, "id": identity} | ({} if data is None else {"data": data})
    await ws.send(json.dumps(request))
    return await client.receive_json(ws)


async def subscribe(ws, channel, **options):
    """Subscribes; the id of the subscription."""
    answer = await ask(ws, "subscribe", {"channel": channel} | options)
    expect(answer["type"], "subscribe_success")
    return answer["data"]["subscription_id"]


def error(code, message, identity="r"):
    return {"type": "error", "id": identity, "data": None, "error": {"code": code, "message": message}}


# --- the documented clients ---

async def test_documented_client_step_by_step():
    """R-1, R-4 to R-6, R-10, R-11, R-21 to R-24, R-38: subscribes as its very first act, switches on types, reads
    `error`, and sees code and reason of the close."""
    log = []

    async def run(url):
        async with websockets.connect(url) as ws:
            await ws.send(json.dumps({"type": "subscribe", "id": "sub1", "data": {"channel": "blocks"}}))
            await ws.send(json.dumps({"type": "subscribe", "id": "sub2", "data": {"channel": "transactions"}}))
            await ws.send(json.dumps({"type": "subscribe", "id": "sub3", "data": {"channel": "state"}}))
            try:
                async for text in ws:
                    message = json.loads(text)
                    match message["type"]:
                        case "new_block":
                            log.append(("block", message["data"]["number"]))
                        case "tx_confirmed":
                            log.append(("transaction", message["data"]["tx_hash"]))
                        case "state_update":
                            log.append(("state", message["data"]["key"]))
                        case "error":
                            log.append(("error", message["error"]["code"]))
                        case kind:
                            log.append((kind, message["id"]))
            except websockets.ConnectionClosed:
                pass
            log.append(("closed", ws.close_code, ws.close_reason))

    with serve() as server:
        task = asyncio.create_task(run(server.url("rustorium", PATH)))
        while len(log) < 3:
            await asyncio.sleep(0.01)
        server.publish("rustorium/blocks", block(1, transactions=["0xt1"]))
        server.publish("rustorium/state", {"key": "0x12", "value": "AAAA", "block_number": 1})
        while len(log) < 6:
            await asyncio.sleep(0.01)
        server.signal(signal.SIGTERM)
        await asyncio.wait_for(task, BRAKE_SECONDS)
    expect(log[:3], [("subscribe_success", "sub1"), ("subscribe_success", "sub2"), ("subscribe_success", "sub3")])
    expect(log[3:5], [("block", 1), ("transaction", "0xt1")])
    expect(log[5:], [("state", "0x12"), ("closed", 1001, "going away")])


async def test_every_message_has_the_documented_fields():
    """R-5, R-11, R-21 to R-24: names, types and order of the members, `error` being null."""
    with serve() as server:
        ws = await client.connect(server.url("rustorium", PATH))
        identity = await subscribe(ws, "blocks")
        expect(len(identity) >= 8, True, "at least 8 characters in a subscription id")
        await subscribe(ws, "transactions")
        await subscribe(ws, "state")
        server.publish("rustorium/blocks", block(7, transactions=["0xt1"]))
        server.publish("rustorium/state", {"key": "0x12", "value": "AAAA", "block_number": 7})
        texts = [await client.receive(ws) for _ in range(3)]
        for text, kind, prefix, members in zip(
                texts, ("new_block", "tx_confirmed", "state_update"), ("block", "tx", "state"),
                (["number", "hash", "parent_hash", "timestamp", "transactions"],
                 ["tx_hash", "block_number", "timestamp", "confirmations"],
                 ["key", "value", "block_number", "timestamp"])):
            message = json.loads(text)
            expect(list(message), ["type", "id", "data", "error"], f"members of {kind}")
            expect((message["type"], message["error"]), (kind, None))
            expect(re.fullmatch(prefix + r"\d+", message["id"]) is not None, True, f"id {message['id']}")
            expect(list(message["data"]), members, f"members of data of {kind}")
            expect(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", message["data"]["timestamp"]) is not None, True)
        await ws.close()


# --- authentication ---

async def test_token_from_query_and_headers():
    """R-2, R-3, Q-5: the key in the query, percent-encoded too, in X-Api-Key or as bearer; any other is refused."""
    with serve(keys=[KEY, "k&y+x"]) as server:
        base = server.url("rustorium", "/ws")
        for url, headers in ((f"{base}?token={KEY}", {}), (f"{base}?a=1&token=k%26y%2Bx", {}),
                             (base, {"X-Api-Key": KEY}), (base, {"Authorization": f"Bearer {KEY}"})):
            ws = await client.connect(url, extra_headers=headers)
            expect((await ask(ws, "ping"))["type"], "pong", f"answer on {url} {headers}")
            await ws.close()
        for url, headers in ((base, {}), (f"{base}?token=", {}), (f"{base}?token={KEY}x", {}),
                             (f"{base}?token={KEY[:-1]}", {}),
                             (base, {"X-Api-Key": "bad"}), (base, {"Authorization": "Bearer bad"}),
                             (base, {"Authorization": f"Basic {KEY}"})):
            ws = await client.connect(url, extra_headers=headers)
            expect(await client.receive_json(ws), INVALID_TOKEN, f"first message on {url} {headers}")
            expect(await client.closed(ws), (4000, "Invalid token"))


async def test_a_first_message_behind_a_bad_token_is_not_answered():
    """R-3: a client that subscribes in `onopen` gets the error and the close, nothing else."""
    with serve() as server:
        ws = await client.connect(server.url("rustorium", "/ws?token=bad"))
        try:
            await ws.send(json.dumps({"type": "subscribe", "id": "s", "data": {"channel": "blocks"}}))
        except websockets.ConnectionClosed:
            pass
        expect(await client.receive_json(ws), INVALID_TOKEN)
        expect(await client.closed(ws), (4000, "Invalid token"))


async def test_bad_token_as_http_status():
    """R-3: auth_reject http401 refuses before the upgrade; a good key is not affected."""
    with serve(auth_reject="http401") as server:
        expect(await client.refused(server.url("rustorium", "/ws?token=bad")), 401)
        expect(await client.refused(server.url("rustorium", "/ws")), 401)
        ws = await client.connect(server.url("rustorium", PATH))
        expect((await ask(ws, "ping"))["type"], "pong")
        await ws.close()


# --- limits ---

async def connect_all(url, count):
    return list(await asyncio.gather(*(client.connect(url) for _ in range(count))))


async def works(ws):
    return (await ask(ws, "ping"))["type"] == "pong"


async def expect_rate_limited(ws):
    expect(await client.receive_json(ws), RATE_LIMITED)
    expect(await client.closed(ws), (4001, "Rate limited"))


async def test_ten_connections_of_a_key_over_two_shards():
    """R-33, G-13, Q-5: nine, ten, and not eleven, however the kernel has spread them; a place is free at once."""
    with serve() as server:
        url = server.url("rustorium", PATH)
        for _ in range(4):
            sockets = await connect_all(url, 10)
            for ws in sockets:
                expect(await works(ws), True)
            for _ in range(3):
                await expect_rate_limited(await client.connect(url))
            other = await client.connect(server.url("rustorium", f"/ws?token={OTHER_KEY}"))
            expect(await works(other), True, "another key has places of its own")
            for i in range(10):  # one goes, one comes
                await sockets[i].close()
                sockets[i] = await client.connect(url)
                expect(await works(sockets[i]), True, "the place is free at once")
            await expect_rate_limited(await client.connect(url))
            await client.close_all([*sockets, other])


async def test_exactly_ten_of_fifty_at_once():
    """R-33: when 50 come at the same moment, on both shards, ten stay."""
    with serve() as server:
        sockets = await connect_all(server.url("rustorium", PATH), 50)

        async def verdict(ws):
            try:
                await ws.send('{"type":"ping","id":"p"}')
                if json.loads(await ws.recv())["type"] == "pong":
                    return "stays"
                await ws.recv()
            except websockets.ConnectionClosed:
                return ws.close_code
        found = await asyncio.wait_for(asyncio.gather(*(verdict(ws) for ws in sockets)), BRAKE_SECONDS)
        expect((found.count("stays"), found.count(4001)), (10, 40), "stays, 4001")
        await client.close_all(sockets)


async def test_a_place_is_free_after_a_reset():
    """R-33, R-20: a connection that dies without a close frame gives its place back too."""
    with serve(connections_per_key=1) as server:
        wire = Wire(server.port("rustorium")).upgrade(PATH)
        await expect_rate_limited(await client.connect(server.url("rustorium", PATH)))
        wire.reset()
        until(lambda: server.metric("ringcast_sessions") == 0, what="the end of the session")
        ws = await client.connect(server.url("rustorium", PATH))
        expect(await works(ws), True)
        await ws.close()


async def test_connection_attempts_of_an_address_and_a_key():
    """R-30, Q-2: sixty attempts are served, refused ones counting, the 61st is not."""
    with serve(attempts_per_minute=60) as server:
        good, bad = server.url("rustorium", PATH), server.url("rustorium", "/ws?token=bad")
        for i in range(60):
            ws = await client.connect(bad if i % 3 == 0 else good)
            if i % 3 == 0:
                expect(await client.receive_json(ws), INVALID_TOKEN)
            await ws.close()
        for url in (good, bad):
            await expect_rate_limited(await client.connect(url))


async def test_message_window():
    """R-35: of a window of 5 the 6th is answered with 4001 and its id, the next are dropped, the 10th ends it; the next
    window begins anew, and other connections have their own."""
    with serve(messages_max=5, messages_window="1s") as server:
        (ws,) = await connect_all(server.url("rustorium", PATH), 1)
        for n in range(3):
            for i in range(1, 6):
                await ws.send(json.dumps({"type": "ping", "id": f"m{n}{i}"}))
            for i in range(1, 6):
                expect((await client.receive_json(ws))["id"], f"m{n}{i}")
            await asyncio.sleep(1)
        await ws.close()
    with serve(messages_max=5, messages_window="1h") as server:  # one that is not over before all are sent
        ws, other = await connect_all(server.url("rustorium", PATH), 2)
        for i in range(1, 8):
            await ws.send(json.dumps({"type": "ping", "id": f"m{i}"}))
        for i in range(1, 6):
            expect((await client.receive_json(ws))["id"], f"m{i}")
        expect(await client.receive_json(ws), error(4001, "Rate limited", "m6"))
        await client.quiet(ws)
        expect(await works(other), True)
        for i in range(8, 11):
            await ws.send(json.dumps({"type": "ping", "id": f"m{i}"}))
        expect(await client.receive_json(ws), error(4001, "Rate limited", "m10"))
        expect(await client.closed(ws), (4001, "Rate limited"))
        expect(await works(other), True)
        await other.close()


async def test_documented_message_window():
    """R-35: a thousand messages of one minute are answered, the 1001st is refused, the 2000th closes."""
    with serve() as server:
        ws = await client.connect(server.url("rustorium", PATH))
        for i in range(1, 2001):
            await ws.send(f'{{"type":"ping","id":"m{i}"}}')
        answers = await client.receive_many(ws, 1002)
        expect([json.loads(text)["id"] for text in answers], [f"m{i}" for i in [*range(1, 1002), 2000]])
        expect(await client.closed(ws), (4001, "Rate limited"))


async def test_inbound_size_limit():
    """R-36: 64 KiB are read, one byte more is a close with 1009; in fragments too."""
    with serve() as server:
        url = server.url("rustorium", PATH)
        ws = await client.connect(url)
        text = json.dumps({"type": "ping", "id": "p", "data": {"x": ""}})
        await ws.send(text.replace('"x": ""', '"x": "' + "y" * (65536 - len(text)) + '"'))
        expect((await client.receive_json(ws))["type"], "pong", "answer to 65536 bytes")
        await ws.send(["z" * 40000, "z" * 25537])
        expect((await client.closed(ws))[0], 1009, "close code of 65537 bytes in fragments")
        ws = await client.connect(url)
        await ws.send("z" * 65537)
        expect((await client.closed(ws))[0], 1009, "close code of 65537 bytes")


async def test_ten_invalid_messages_in_a_row():
    """R-31, Q-3: nine are forgiven by a good one; the tenth in a row gets its error, then the close."""
    invalid = ["", "[]", "7", '{"type":7,"id":"r"}', '{"id":"r"}', b"{}", '{"type":"ping","id":""}',
               '{"type":"ping","id":"' + "i" * 129 + '"}', '{"type":"ping","id":"r","data":[]}']
    with serve() as server:
        ws = await client.connect(server.url("rustorium", PATH))
        for message in invalid:
            await ws.send(message)
            answer = await client.receive_json(ws)
            expect((answer["type"], answer["error"]), ("error", {"code": 4002, "message": "Invalid message format"}),
                   repr(message))
        expect((await ask(ws, "subscribe", {"channel": "none"}))["error"]["code"], 4003)
        for _ in range(10):
            await ws.send("nonsense")
            expect((await client.receive_json(ws))["error"]["code"], 4002)
        expect(await client.closed(ws), (4002, "Invalid message"))


async def test_depth_of_a_request():
    """R-37, Q-7: 32 levels are read, 33 are not."""
    with serve() as server:
        ws = await client.connect(server.url("rustorium", PATH))
        for depth, kind in ((32, "pong"), (33, "error")):
            await ws.send('{"type":"ping","id":"p","data":{"x":' + "[" * (depth - 2) + "]" * (depth - 2) + "}}")
            expect((await client.receive_json(ws))["type"], kind, f"answer to {depth} levels")
        await ws.close()


# --- events ---

async def test_order_of_answers_and_reuse_of_ids():
    """R-6, G-16: answers in the order of the requests though half of them ask another shard; ids may come again."""
    with serve() as server:
        ws = await client.connect(server.url("rustorium", PATH))
        for i in range(60):
            kind = ("ping", "subscribe", "dance")[i % 3]
            await ws.send(json.dumps({"type": kind, "id": f"q{i}", "data": {"channel": "state"}}))
        answers = [json.loads(text) for text in await client.receive_many(ws, 60)]
        expect([answer["id"] for answer in answers], [f"q{i}" for i in range(60)])
        expect(len({a["data"]["subscription_id"] for a in answers if a["type"] == "subscribe_success"}), 20,
               "different subscription ids")
        expect([(await ask(ws, "ping", identity="same"))["id"] for _ in range(3)], ["same"] * 3)
        await ws.close()


async def test_filters_at_every_receiver():
    """R-16 to R-18, R-23: many connections with different filters on both shards, each gets what it asked for."""
    with serve(connections_per_key=0) as server:
        sockets = await connect_all(server.url("rustorium", PATH), 24)
        filters = [{}, {"key": "0x11"}, {"key_prefix": "0x1"}, {"key_prefix": "0x"}, {"key": "0x99"}, {"key": "0x1"}]
        for i, ws in enumerate(sockets):
            await subscribe(ws, "state", filter=filters[i % len(filters)])
        keys = ["0x11", "0x12", "0x21", "0x1", "0x99"]
        for number, key in enumerate(keys * 4):
            server.publish("rustorium/state", {"key": key, "value": "AAAA", "block_number": number})
        ids = {}
        for i, ws in enumerate(sockets):
            wanted = [(key, number) for number, key in enumerate(keys * 4) if
                      key == filters[i % 6].get("key", key) and key.startswith(filters[i % 6].get("key_prefix", ""))]
            found = [json.loads(text) for text in await client.receive_many(ws, len(wanted))]
            expect([(m["data"]["key"], m["data"]["block_number"]) for m in found], wanted,
                   f"events of {filters[i % 6]}")
            for message in found:  # the id is the same for all
                expect(message["id"], ids.setdefault(message["data"]["block_number"], message["id"]))
        await client.quiet(*sockets)
        await client.close_all(sockets)


async def test_overlapping_subscriptions_give_one_event():
    """R-18, R-13: a hundred subscriptions that all fit one event; as long as one is left it comes once."""
    with serve() as server:
        ws = await client.connect(server.url("rustorium", PATH))
        names = [await subscribe(ws, "state", filter={"key_prefix": "0x1234567890"[:2 + i % 8]}) for i in range(100)]
        expect(len(set(names)), 100, "different subscription ids")
        event = {"key": "0x1234567890", "value": "AAAA", "block_number": 1}
        server.publish("rustorium/state", event)
        expect((await client.receive_json(ws))["data"]["key"], "0x1234567890")
        await client.quiet(ws)
        for name in names[:-1]:
            expect((await ask(ws, "unsubscribe", {"subscription_id": name}))["type"], "unsubscribe_success")
        server.publish("rustorium/state", event)
        expect((await client.receive_json(ws))["data"]["key"], "0x1234567890")
        await ask(ws, "unsubscribe", {"subscription_id": names[-1]})
        server.publish("rustorium/state", event)
        await client.quiet(ws)
        await ws.close()


async def test_reorganisation():
    """R-25, R-22, Q-6: what the abandoned branch still held back is never delivered, what was delivered stays."""
    with serve() as server:
        blocks, deep, transactions = await connect_all(server.url("rustorium", PATH), 3)
        await subscribe(blocks, "blocks")
        await subscribe(deep, "blocks", filter={"confirmations": 2})
        await subscribe(transactions, "transactions", filter={"confirmations": 2})
        server.publish("rustorium/blocks", block(1))
        server.publish("rustorium/blocks", block(2, transactions=["0xlost"]))
        server.publish("rustorium/blocks", block(2, parent="0x0001", transactions=["0xkept"], branch="b"))
        server.publish("rustorium/blocks", block(3, branch="b"))
        hashes = [(await client.receive_json(blocks))["data"]["hash"] for _ in range(4)]
        expect(hashes, ["0x0001", "0x0002", "0xb0002", "0xb0003"], "blocks at one confirmation")
        expect([(await client.receive_json(deep))["data"]["hash"] for _ in range(2)], ["0x0001", "0xb0002"],
               "blocks at two confirmations")
        message = await client.receive_json(transactions)
        expect((message["data"]["tx_hash"], message["data"]["confirmations"]), ("0xkept", 2))
        await client.quiet(blocks, deep, transactions)
        await client.close_all([blocks, deep, transactions])


async def test_order_over_two_shards():
    """R-26, I-6: 300 blocks with transactions reach 16 connections complete and in order, a block before its own
    transactions wherever both are subscribed."""
    count = 300
    with serve(connections_per_key=0) as server:
        sockets = await connect_all(server.url("rustorium", PATH), 16)
        for ws in sockets:
            await subscribe(ws, "blocks")
            await subscribe(ws, "transactions")
        lines = "\n".join(json.dumps(block(n, transactions=[f"0xt{n}"])) for n in range(1, count + 1))
        status, answer = server.ingest("rustorium/blocks", lines, "application/x-ndjson")
        expect((status, answer), (202, {"accepted": count}))
        for ws in sockets:
            found = [json.loads(text) for text in await client.receive_many(ws, 2 * count)]
            numbers = [m["data"]["number"] for m in found if m["type"] == "new_block"]
            hashes = [m["data"]["tx_hash"] for m in found if m["type"] == "tx_confirmed"]
            expect(numbers, list(range(1, count + 1)))
            expect(hashes, [f"0xt{n}" for n in range(1, count + 1)])
            at = {m["data"].get("number") or m["data"]["tx_hash"]: i for i, m in enumerate(found)}
            late = [n for n in range(1, count + 1) if at[n] > at[f"0xt{n}"]]
            expect(late, [], "blocks that came behind their transactions")
        await client.close_all(sockets)


async def test_slow_reader_is_closed_and_nobody_else():
    """R-27, K-25, Q-20: who does not read is closed with 1013 behind what was on its way, others get everything."""
    value = "A" * 40000
    with serve(outbox_bytes_max="256KiB") as server:
        slow = Wire(server.port("rustorium"), receive_buffer=4096).upgrade(PATH)
        slow.send(frame(TEXT, b'{"type":"subscribe","id":"s","data":{"channel":"state"}}'))
        expect(json.loads(slow.frame()[1])["type"], "subscribe_success")
        reader = await client.connect(server.url("rustorium", PATH))
        await subscribe(reader, "state")
        count = 0
        while server.metric("ringcast_slow_consumer_events_total") == 0:
            server.publish("rustorium/state", {"key": "0x1", "value": value, "block_number": count})
            count += 1
            expect(count < 500, True, "the slow reader is found")
            expect((await client.receive_json(reader))["data"]["block_number"], count - 1)
        got = 0
        while True:
            opcode, payload = slow.frame()
            if opcode != TEXT:
                break
            expect(json.loads(payload)["data"]["block_number"], got)
            got += 1
        expect((opcode, payload), (8, (1013).to_bytes(2, "big") + b"slow consumer"), "what came behind the last event")
        expect(got < count, True, "some events were dropped")
        slow.socket.close()
        await client.quiet(reader)
        await reader.close()


@full
async def test_heartbeat_every_thirty_seconds():
    """R-7, R-8: on an idle and on a busy connection, 30 s apart within 1 s, the first within 30 s; and a ping frame."""
    async def watch(ws, pings):
        begin = asyncio.get_running_loop().time()
        times, stamps = [], []
        while len(times) < 2:
            message = await client.receive_json(ws)
            if message["type"] == "heartbeat":
                expect(list(message), ["type", "data"])
                times.append(asyncio.get_running_loop().time() - begin)
                stamps.append(message["data"]["timestamp"])
        expect(times[1] > 59 and stamps[1] - stamps[0] >= 29, True, f"not before: times {times}, stamps {stamps}")
        expect(len(pings) >= 1, True, "ping frames")

    async def feed(server):
        number = 0
        while True:
            await asyncio.to_thread(server.publish, "rustorium/state",
                                    {"key": "0x1", "value": "", "block_number": number})
            number += 1
            await asyncio.sleep(0.2)

    with serve() as server:
        idle, busy = await connect_all(server.url("rustorium", PATH), 2)
        seen = {idle: [], busy: []}
        for ws in (idle, busy):
            original = ws.pong
            ws.pong = lambda data=b"", ws=ws, original=original: (seen[ws].append(data), original(data))[1]
        await subscribe(busy, "state")
        feeder = asyncio.create_task(feed(server))
        await asyncio.gather(watch(idle, seen[idle]), watch(busy, seen[busy]))
        feeder.cancel()
        await client.close_all([idle, busy])
