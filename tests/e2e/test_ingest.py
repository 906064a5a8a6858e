# SPDX-License-Identifier: MIT
"""The publisher's HTTP API (section 8 of the requirements)."""
import json
import re

import client
from case import expect
from server import INGEST_KEY, Server
from wire import Wire

BEARER = {"Authorization": f"Bearer {INGEST_KEY}"}
RUSTORIUM = {"keys": ["rk-1"], "attempts_per_minute": 0}


def post_text(path, body, *headers, key=INGEST_KEY, length=True):
    """A request as it stands on the wire."""
    lines = [f"POST /ingest/v1/{path} HTTP/1.1", "Host: localhost", f"X-Ingest-Key: {key}", *headers]
    if length:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def block(number, **other):
    return {"number": number, "hash": f"0x{number}", "parent_hash": f"0x{number - 1}",
            "timestamp": "2024-01-23T12:34:56Z", "transactions": []} | other


def test_authentication():
    """I-2: the key as bearer or in X-Ingest-Key; missing, wrong or in the query: 401."""
    with Server(plain={}) as server:
        def status(path="/ingest/v1/plain/a", **headers):
            fields = {name.replace("_", "-"): value for name, value in headers.items()}
            return server.request("ingest", "POST", path, b"x", fields)[0]
        expect(status(Authorization=f"Bearer {INGEST_KEY}"), 202)
        expect(status(Authorization=f"bearer {INGEST_KEY}"), 202)
        expect(status(X_Ingest_Key=INGEST_KEY), 202)
        expect(status(), 401)
        expect(status(Authorization="Bearer wrong"), 401)
        expect(status(Authorization="Bearer "), 401)
        expect(status(Authorization=f"Basic {INGEST_KEY}"), 401)
        expect(status(X_Ingest_Key=INGEST_KEY[:-1]), 401)
        expect(status(X_Ingest_Key=INGEST_KEY + "x"), 401)
        for name in ("key", "api_key", "token", "ingest_key", "X-Ingest-Key"):
            expect(status(f"/ingest/v1/plain/a?{name}={INGEST_KEY}"), 401, f"status with {name} in the query")


def test_permissions():
    """I-2: patterns of dialect/topic per key, also for reading; what is not permitted is 403 and not delivered."""
    keys = ["all-key *", "plain-key plain/*", "one-key plain/news rustorium/state", "prefix-key plain/host.*"]
    with Server(plain={"retain": 1}, rustorium=RUSTORIUM, ingest={"keys": keys}) as server:
        state = {"key": "0x1", "value": "", "block_number": 1}
        for key, topic, wanted in (("all-key", "plain/x", 202), ("all-key", "rustorium/state", 202),
                                   ("plain-key", "plain/x", 202),
                                   ("plain-key", "rustorium/state", 403), ("one-key", "plain/news", 202),
                                   ("one-key", "plain/news2", 403), ("one-key", "rustorium/state", 202),
                                   ("one-key", "rustorium/blocks", 403), ("prefix-key", "plain/host.a", 202),
                                   ("prefix-key", "plain/host", 403)):
            expect(server.ingest(topic, state, key=key)[0], wanted, f"{key} to {topic}")
        expect(server.read_state("plain/x")[0], 401, "reading with an unknown key")
        one = {"X-Ingest-Key": "one-key"}
        expect(server.request("ingest", "GET", "/ingest/v1/plain/news", headers=one)[0], 200)
        expect(server.request("ingest", "GET", "/ingest/v1/plain/x", headers=one)[0], 403)


def test_paths_and_methods():
    """I-3, I-4, K-30: unknown places are 404, unknown methods 405 with Allow; the connection goes on."""
    with Server(plain={}, rustorium=RUSTORIUM) as server:
        for path in ("/", "/ingest/v1/", "/ingest/v1/plain", "/ingest/v1/plain/", "/ingest/v1/none/x",
                     "/ingest/v1/plain/a!",
                     "/ingest/v1/rustorium/weather", "/ingest/v1/echo/x", "/plain/a", "/ingest/v1/plain/" + "x" * 129):
            status, content = server.request("ingest", "POST", path, b"{}", BEARER)
            expect(status, 404, f"status of {path}")
            expect(list(json.loads(content)), ["error"])
        with Wire(server.port("ingest")) as wire:
            for method in ("PUT", "DELETE", "PATCH", "OPTIONS"):
                head = [f"{method} /ingest/v1/plain/a HTTP/1.1", "Host: localhost", f"X-Ingest-Key: {INGEST_KEY}", "", ""]
                wire.send("\r\n".join(head).encode())
                status, headers, _ = wire.response()
                expect((status, headers["allow"]), (405, "GET, HEAD, POST"), method)


def test_single_objects():
    """I-4, I-8, I-14, Q-17: 202; 400 what is no JSON; 422 what has not the shape, by field; 409 what may not be."""
    with Server(rustorium=RUSTORIUM) as server:
        expect(server.ingest("rustorium/blocks", block(1)), (202, {"accepted": 1}))
        for body in (b"", b"{", b"nope", b'{"a":1}x', b'{"number":1,}', b'{"hash":"\xff"}'):
            expect(server.ingest("rustorium/blocks", body)[0], 400, f"status of {body!r}")
        for field, value in (("number", "1"), ("number", -1), ("number", 1.5), ("number", None), ("hash", 1),
                             ("parent_hash", None), ("timestamp", "yesterday"), ("transactions", "0xt"),
                             ("transactions", [1])):
            status, answer = server.ingest("rustorium/blocks", block(2) | {field: value})
            expect((status, answer["accepted"], answer["errors"][0]["field"]), (422, 0, field), f"{field} = {value!r}")
        for field in block(2):
            missing = block(2)
            del missing[field]
            status, answer = server.ingest("rustorium/blocks", missing)
            expect((status, answer["errors"][0]["field"]), (422, field), f"without {field}")
        expect(server.ingest("rustorium/transactions", {"tx_hash": "0xt", "block_number": 1, "confirmations": 1,
                                                        "timestamp": "2024-01-23T12:34:56Z"})[0], 409)
        deep = {"key": "0x1", "value": "", "block_number": 1, "x": json.loads("[" * 63 + "]" * 63)}
        expect(server.ingest("rustorium/state", deep)[0], 202, "64 levels")
        deep["x"] = [deep["x"]]
        expect(server.ingest("rustorium/state", deep)[0] in (400, 422), True, "65 levels are refused")


async def test_batches_take_what_is_good():
    """I-3, I-4, Q-13, Q-18: NDJSON with bad objects between: the good ones are delivered, in order, the others listed
    with index, status, field and message; blank lines and CR do not count."""
    with Server(rustorium=RUSTORIUM) as server:
        ws = await client.connect(server.url("rustorium", "/ws?token=rk-1"))
        await ws.send('{"type":"subscribe","id":"s","data":{"channel":"blocks"}}')
        await client.receive(ws)
        lines = [json.dumps(block(1)), json.dumps(block(2, hash=7)), "", "nonsense", json.dumps(block(3)) + "\r", "  ",
                 json.dumps(block(4))]
        status, answer = server.ingest("rustorium/blocks", "\n".join(lines), "application/x-ndjson")
        expect((status, answer["accepted"]), (422, 3))
        expect([(e["index"], e["status"], e["field"]) for e in answer["errors"]], [(1, 422, "hash"), (2, 422, "")])
        expect(all(e["message"] for e in answer["errors"]), True, "messages")
        numbers = [json.loads(text)["data"]["number"] for text in await client.receive_many(ws, 3)]
        expect(numbers, [1, 3, 4])
        lines = [json.dumps(block(n)) for n in range(5, 2005)]
        expect(server.ingest("rustorium/blocks", "\n".join(lines) + "\n", "application/x-ndjson"),
               (202, {"accepted": 2000}))
        numbers = [json.loads(text)["data"]["number"] for text in await client.receive_many(ws, 2000)]
        expect(numbers, list(range(5, 2005)))
        await ws.close()


async def test_batches_of_plain():
    """O-3, Q-18: one message a line, any text; the receivers of all are added up."""
    with Server(plain={}) as server:
        readers = [await client.connect(server.url("plain", "/plain/a")) for _ in range(3)]
        body = b"one\r\n\r\n\ntwo\nnot json {\n\xff\xfe\nlast"
        status, answer = server.ingest("plain/a", body, "application/x-ndjson")
        expect((status, answer), (202, {"accepted": 5, "receivers": 15}))
        for ws in readers:
            expect(await client.receive_many(ws, 5), ["one", "two", "not json {", b"\xff\xfe", "last"])
        expect(server.ingest("plain/a", b"", "application/x-ndjson")[0], 202, "an empty batch")
        await client.quiet(*readers)
        await client.close_all(readers)


def test_size_limit():
    """I-3, I-4: 16 MiB or less as configured; beyond: 413 and the end of the connection, announced or chunked."""
    with Server(plain={}, ingest={"body_bytes_max": "1000B"}) as server:
        expect(server.ingest("plain/a", b"x" * 1000)[0], 202)
        with Wire(server.port("ingest")) as wire:
            wire.send(post_text("plain/a", b"x" * 1001))
            expect(wire.response()[0], 413)
            expect(wire.ended(), True, "the connection ends")
        with Wire(server.port("ingest")) as wire:
            wire.send(post_text("plain/a", b"", "Transfer-Encoding: chunked", length=False))
            wire.send(b"3e8\r\n", b"x" * 1000, b"\r\n", b"1\r\nx\r\n")
            expect(wire.response()[0], 413)
            expect(wire.ended(), True, "the connection ends")


async def test_chunked_bodies():
    """K-30 (RFC 9112 section 7.1): chunks with extensions and trailers, cut anywhere; malformed ones: 400."""
    body = b"5;name=value\r\nhello\r\n1\r\n \r\nA\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n"
    head = post_text("plain/a", b"", "Content-Type: text/plain", "Transfer-Encoding: chunked", length=False)
    with Server(plain={}) as server:
        ws = await client.connect(server.url("plain", "/plain/a"))
        with Wire(server.port("ingest")) as wire:
            for cut in range(1, len(body)):
                wire.send(head + body[:cut])
                wire.send(body[cut:])
                expect(wire.response()[0], 202, f"status when cut at {cut}")
                expect(await client.receive(ws), "hello 0123456789")
        for bad in (b"x\r\n", b"5\r\nhello!\r\n", b"-1\r\n", b"5 \r\nhello\r\n", b"ffffffffffffffffff\r\n"):
            with Wire(server.port("ingest")) as wire:
                wire.send(head + bad)
                expect(wire.response()[0] in (400, 413), True, f"{bad!r} is refused")
                expect(wire.ended(), True, "the connection ends")
        await client.quiet(ws)
        await ws.close()


def test_ambiguous_lengths_are_refused():
    """K-30 (RFC 9112 section 6.3): nothing of a request whose length can be read in two ways is served."""
    with Server(plain={}) as server:
        for headers in (["Content-Length: 5", "Transfer-Encoding: chunked"], ["Content-Length: 5", "Content-Length: 6"],
                        ["Content-Length: 5, 6"], ["Content-Length: +5"], ["Content-Length: 0x5"],
                        ["Content-Length: -1"],
                        ["Transfer-Encoding: chunked, identity"], ["Transfer-Encoding: gzip"], ["Content-Length : 5"],
                        ["Content-Length: 99999999999999999999999"]):
            with Wire(server.port("ingest")) as wire:
                wire.send(post_text("plain/a", b"", *headers, length=False) + b"0\r\n\r\n")
                status, _, _ = wire.response()
                expect(400 <= status <= 501, True, f"{headers} are refused ({status})")
                expect(wire.ended(), True, "the connection ends")
        expect(server.metric("ringcast_messages_published_total"), 0, "published")


async def test_keep_alive_and_pipelining():
    """K-30: hundreds of requests on one connection, one by one and all at once, answered and delivered in order."""
    with Server(plain={}) as server:
        ws = await client.connect(server.url("plain", "/plain/a"))
        with Wire(server.port("ingest")) as wire:
            for i in range(100):
                wire.send(post_text("plain/a", str(i).encode()))
                expect(wire.response()[0], 202)
            wire.send(*(post_text("plain/a", str(i).encode()) for i in range(100, 600)))
            for _ in range(500):
                status, _, content = wire.response()
                expect((status, json.loads(content)), (202, {"accepted": 1, "receivers": 1}))
            expect(await client.receive_many(ws, 600), [str(i) for i in range(600)])
            # another answer in the middle of a row does not disturb it
            wire.send(post_text("plain/a", b"x"), post_text("none/a", b"y"), post_text("plain/a", b"z", key="wrong"))
            expect([wire.response()[0] for _ in range(2)], [202, 404])
        with Wire(server.port("ingest")) as wire:
            wire.send(post_text("plain/a", b"last", "Connection: close"), post_text("plain/a", b"never"))
            status, headers, _ = wire.response()
            expect((status, headers.get("connection")), (202, "close"))
            expect(wire.ended(), True, "the connection ends")
        expect(await client.receive_many(ws, 2), ["x", "last"])
        await client.quiet(ws)
        await ws.close()


def test_expect_continue():
    """K-30 (RFC 9110 section 10.1.1): 100 before the body, or the refusal at once."""
    with Server(plain={}) as server, Wire(server.port("ingest")) as wire:
        for _ in range(2):
            request = post_text("plain/a", b"body", "Expect: 100-continue")
            wire.send(request[:-4])
            expect(wire.head()[0], 100)
            wire.send(b"body")
            expect(wire.response()[0], 202)
        wire.send(post_text("plain/a", b"body", "Expect: 100-continue", key="wrong")[:-4])
        expect(wire.response()[0], 401)
        expect(wire.ended(), True, "the connection ends: whether a body follows is unknown")


def test_stored_state():
    """I-15, Q-17: what is stored, or 404 "No state", with the same authentication."""
    with Server(plain={"retain": 2}, rustorium=RUSTORIUM) as server:
        for topic in ("plain/a", "rustorium/blocks", "rustorium/state"):
            status, content = server.read_state(topic)
            expect((status, json.loads(content)), (404, {"error": "No state"}), topic)
        server.publish("plain/a", b"\x00\xffbytes", "application/octet-stream")
        expect(server.read_state("plain/a"), (200, b"\x00\xffbytes"))
        server.publish("rustorium/blocks", block(5, extra="dropped"))
        status, content = server.read_state("rustorium/blocks")
        expect((status, json.loads(content)["head"]), (200, block(5)))
        expect(server.request("ingest", "GET", "/ingest/v1/plain/a")[0], 401)


def test_times_are_converted():
    """G-11, Q-1: ISO, with a fraction, unix seconds and milliseconds become ISO seconds."""
    with Server(rustorium=RUSTORIUM) as server:
        for number, time in enumerate(("2024-01-23T12:34:56Z", "2024-01-23T12:34:56.789Z", 1706013296, 1706013296789)):
            server.publish("rustorium/blocks", block(number + 1, timestamp=time))
            head = json.loads(server.read_state("rustorium/blocks")[1])["head"]
            expect(head["timestamp"], "2024-01-23T12:34:56Z", f"time given as {time!r}")
        server.publish("rustorium/state", {"key": "0x1", "value": "", "block_number": 1})
        stamp = json.loads(server.read_state("rustorium/state")[1])["state"][0]["timestamp"]
        expect(re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", stamp) is not None, True, f"a stamp {stamp}")
