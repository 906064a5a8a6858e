#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes the first inputs of every harness: fuzz/seeds.py FOLDER makes FOLDER/NAME/*. They come from the transcripts, the example
configurations, and the golden bytes of the RFCs; what the fuzzers add to them is in fuzz/corpus."""

import pathlib
import re
import struct
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
OUT = pathlib.Path(sys.argv[1] if len(sys.argv) == 2 else sys.exit("usage: fuzz/seeds.py FOLDER"))


def write(harness, inputs):
    folder = OUT / harness
    folder.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(inputs):
        (folder / f"seed-{number:03}").write_bytes(data)


def transcript_lines():
    for path in sorted((ROOT / "tests/transcripts").glob("*.txt")):
        yield from path.read_text().splitlines()


def messages():
    """What clients send and get, and what is ingested: all of it text, most of it JSON."""
    for line in transcript_lines():
        found = re.match(r"[A-Z0-9]*[<>] (.*)", line) or re.match(r"! ingest \S+ (.*) -> \d+$", line)
        if found:
            yield found[1]


# --- HTTP ---------------------------------------------------------------------------------------------------------------

KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # RFC 6455 section 1.3
UPGRADE = ["Host: h", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {KEY}"]


def head(line, *fields):
    return "".join(text + "\r\n" for text in (line, *fields, "")).encode()


HEADS = [
    head("GET / HTTP/1.1", "Host: example.com:80"),
    b"\r\n" + head("GET /a?b=c HTTP/1.0"),
    head("GET http://u.example/a?b HTTP/1.1", "Host: h", "Connection: close"),
    head("GET HTTPS://[::1]:443?q HTTP/1.1", "Host: [::1]"),
    head("OPTIONS * HTTP/1.1", "Host: h", "Connection: keep-alive, x"),
    head("POST /ingest/v1/plain/a HTTP/1.1", "Host: h", "Content-Length: 5", "Expect: 100-continue") + b"hello",
    head("POST / HTTP/1.1", "Host: h", "Transfer-Encoding: chunked", "Content-Type: application/json; q=1")
    + b"5;a=b\r\nhello\r\n0A \t;x\r\n0123456789\r\n000\r\nT: v\r\nU:\r\n\r\n",
    head("POST / HTTP/1.1", "Host: h", "Transfer-Encoding: chunked") + b"1f\r\nshort",
    head("POST / HTTP/1.1", "Host: h", "Transfer-Encoding: chunked") + b"1;" + b"x" * 1100,
    head("POST / HTTP/1.1", "Host: h", "Transfer-Encoding: chunked") + b"0\r\n" + b"A: " + b"x" * 8300,
    head("POST / HTTP/1.1", "Host: h", "Transfer-Encoding: chunked") + b"00000000000000001\r\n",
    head("POST / HTTP/1.1", "Host: h", "Transfer-Encoding: gzip"),
    head("POST / HTTP/1.1", "Host: h", "Transfer-Encoding: chunked", "Content-Length: 1"),
    head("POST / HTTP/1.0", "Transfer-Encoding: chunked"),
    head("POST / HTTP/1.1", "Host: h", "Content-Length: 99999999999999999999"),
    head("POST / HTTP/1.1", "Host: h", "Content-Length: 1", "Content-Length: 1"),
    head("POST / HTTP/1.1", "Host: h", "Expect: tea", "Content-Length: 1"),
    head("GET / HTTP/1.0", "Connection: keep-alive", "Host: a%20b"),
    head("GET / HTTP/1.1"),
    head("GET / HTTP/1.1", "Host: a", "Host: b"),
    head("GET / HTTP/1.1", "Host: a b"),
    head("GET / HTTP/1.1", "Host: h:70000"),
    head("GET / HTTP/1.1", "Host: [1::2"),
    head("GET / HTTP/1.1", "Host: h", " folded"),
    head("GET / HTTP/1.1", "Host: h", "No colon"),
    head("GET / HTTP/1.1", "Host: h", "A: \x01"),
    head("GET / HTTP/2.0", "Host: h"),
    head("GET / HTTP/1.x", "Host: h"),
    head("GET  / HTTP/1.1", "Host: h"),
    head("GET /# HTTP/1.1", "Host: h"),
    head("CONNECT h:1 HTTP/1.1", "Host: h"),
    head("GET h HTTP/1.1", "Host: h"),
    head("GET http://u@h/ HTTP/1.1", "Host: h"),
    head("GET /" + "a" * 8001 + " HTTP/1.1", "Host: h"),
    head("GET / HTTP/1.1", "Host: h", *["A: b"] * 70),
    head("GET / HTTP/1.1", "Host: h", *["A: " + "b" * 4000] * 5),
    b"GET /" + b"a" * 17000,
    b"GET / HTTP/1.1\nHost: h\r\n\r\n",
]

ORIGINS = ["http://localhost:3000", "https://h", "http://H:80", "null", "https://h:444", "ws://127.0.0.1", "x://[::1]:9", "://h", "https://h/"]


def handshakes():
    yield head("GET /ws HTTP/1.1", *UPGRADE)
    for origin in ORIGINS:
        yield head("GET /ws HTTP/1.1", *UPGRADE, f"Origin: {origin}")
    for i in range(1, len(UPGRADE)):
        yield head("GET /ws HTTP/1.1", *UPGRADE[:i], *UPGRADE[i + 1 :])
        yield head("GET /ws HTTP/1.1", *UPGRADE, UPGRADE[i])
    yield head("POST /ws HTTP/1.1", *UPGRADE)
    yield head("GET /ws HTTP/1.0", *UPGRADE)
    yield head("GET /ws HTTP/1.1", *UPGRADE, "Content-Length: 1")
    yield head("GET /ws HTTP/1.1", *UPGRADE[:3], "Sec-WebSocket-Version: 8", UPGRADE[4])
    yield head("GET /ws HTTP/1.1", *UPGRADE[:4], "Sec-WebSocket-Key: AA==")
    yield head("GET /ws HTTP/1.1", *UPGRADE[:4], "Sec-WebSocket-Key: " + KEY.replace("G", "*"))


# --- WebSocket ----------------------------------------------------------------------------------------------------------


def frame(byte0, payload, mask=b"\x37\xfa\x21\x3d", form=None):
    size = len(payload)
    form = form or (0 if size < 126 else 2 if size < 65536 else 8)
    length = bytes([size]) if form == 0 else b"\x7e" + struct.pack(">H", size) if form == 2 else b"\x7f" + struct.pack(">Q", size)
    length = bytes([length[0] | (0x80 if mask else 0)]) + length[1:]
    return bytes([byte0]) + length + (mask + bytes(b ^ mask[i % 4] for i, b in enumerate(payload)) if mask else payload)


def streams():
    """One byte of settings, then the stream (ws.c)."""
    text = "κόσμε €𝄞".encode()
    good = [
        frame(0x81, b"Hello"),
        frame(0x01, text[:3]) + frame(0x89, b"p") + frame(0x00, b"") + frame(0x80, text[3:]),
        frame(0x82, bytes(range(256))) + frame(0x8A, b""),
        frame(0x02, b"") + frame(0x00, b"") * 3 + frame(0x80, b"x"),
        frame(0x88, struct.pack(">H", 1000) + "büe".encode()) + frame(0x88, b"") + frame(0x88, b"\x03"),
        frame(0x82, b"x" * 66000),
    ]
    bad = [
        frame(0xC1, b"a"),
        frame(0x83, b"a"),
        frame(0x09, b"a"),
        frame(0x89, b"x" * 126),
        frame(0x80, b"a"),
        frame(0x01, b"a") + frame(0x81, b"b"),
        frame(0x82, b"a", form=2),
        frame(0x82, b"a", form=8),
        b"\x82\xff\x80" + b"\0" * 20,
        frame(0x81, b"\xed\xa0\x80"),
        frame(0x81, b"\xe2\x82"),
        frame(0x88, struct.pack(">H", 1005) + b"x"),
        frame(0x88, struct.pack(">H", 1000) + b"\xff"),
    ]
    for stream in good + bad:
        for settings in (0, 0x12, 0x18):
            yield bytes([settings]) + stream
    yield b"\x19" + frame(0x81, b"Hello", mask=b"") + frame(0x82, b"x" * 300, mask=b"")
    yield b"\x01" + frame(0x81, b"Hello")


# --- the rest -----------------------------------------------------------------------------------------------------------

JSON = [
    "{}", "[]", " [ 1 , -0.5e+10 , 1E-2 , true , false , null , \"a\\u00e9\\ud834\\udd1e\\n\\\"\\\\\\/\\b\\f\\r\\t\" ] ",
    '{"a":1,"\\u0061":2,"b":{"c":[[]]}}', '{"a":1,"a":1}', "[" * 40 + "]" * 40, "[" * 65, "18446744073709551615",
    "-9223372036854775808", "18446744073709551616", "-9223372036854775809", "-0", "01", "1.", "1e", "-", "[1,]", '{"a"}',
    '{"a":1,}', "{1:2}", '"\\ud800"', '"\\udc00"', '"\\ud800\\u0041"', '"\\x"', '"\\u12"', '"a', '"\x01"', "tru", "[1 2]",
    "{]", "1 1", "", '["\u00e9\u20ac\U0001d11e"]',
]  # fmt: skip


def jsons():
    for text in JSON + sorted(set(messages())):
        yield bytes([31]) + text.encode()
    yield b"\x01[[]]"
    yield b'\x1f"\xff"'
    yield b"\x1f{" + b",".join(b'"%d":0' % i for i in range(4097)) + b"}"
    yield b"\x1f{" + b",".join(b'"%d":0' % i for i in range(300)) + b',"7":1}'


TEXTS = ["a", "κόσμε", "€", "𝄞", "\u07ff\u0800\uffff\U00010000\U0010ffff", "plain ascii of more than eight bytes, €"]
BAD_TEXTS = [b"\x80", b"\xc0\x80", b"\xe0\x9f\xbf", b"\xed\xa0\x80", b"\xf0\x8f\xbf\xbf", b"\xf4\x90\x80\x80", b"\xff", b"\xe2\x82"]

TARGETS = [
    "/ws?token=secret&x=1", "/a?API_KEY=s&key=", "/?access%5Ftoken=s&%74oken=s", "/?a+b=c+d%20e", "/?last=5&last=6", "/%zz?%z=1",
    "/", "/?", "/?a", "/?=b&&=", "/a%2Fb?token=%4", "/?a%20b=1",
]  # fmt: skip

TIMES = [
    "2024-01-23T12:34:56Z", "2024-02-29T23:59:59.999Z", "2023-02-29T00:00:00Z", "0000-01-01T00:00:00Z", "9999-12-31T23:59:59.9Z",
    "2024-13-01T00:00:00Z", "2024-01-01T24:00:00Z", "2024-01-01T00:60:00Z", "2024-01-01T00:00:60Z", "2024-01-01T00:00:00.Z",
    "2024-01-01T00:00:00.1234567Z", "2024-01-01T00:00:00+00:00", "1969-12-31T23:59:59Z", "2100-02-29T00:00:00Z",
]  # fmt: skip

VALUES = [
    "true", "false", "0", "1", "1000001", "250ms", "10s", "5m", "24h", "512B", "64KiB", "4MiB", "1GiB", "10", "10 s", "s", "red",
    "a,b , c", "a,,b", " ", '"quoted\\"', "tab\tnew\nline\x01", "18446744073709551616", "20000000000h", "colour", "idle_timout",
]  # fmt: skip


def piece(text):
    return bytes([len(text)]) + text


def tokens():
    """keys, presented key, then shape, query, authorization, key (token.c)."""
    keys = b"\x03" + piece(b"alpha") + piece(b"beta") + piece(b"alpha")
    for which in range(4):
        for shape in (0, 1, 2, 3, 4, 7, 8, 9, 10):
            yield keys + bytes([which]) + (piece(b"other") if which > 2 else b"") + bytes([shape]) + piece(
                b"token=a%20b&x=1") + piece(b" Bearer  abc ") + b"x" * (20 if shape < 8 else 300)  # fmt: skip


def yamls():
    for path in sorted((ROOT / "tools/config").glob("*.yaml")):
        text = path.read_text()
        yield "".join(line for line in text.splitlines(True) if "keys_file" not in line).encode()
    yield b"shards: 2\nlog_level: debug\nplain:\n  listen: ['127.0.0.1:9500', \"*:9501\"]\n  policy: a=latest, lossless\n"
    yield b'plain:\n  listen: localhost:0\n  keys: ["a-long-secret-key"]\ningest:\n  keys: ["another-secret plain/* echo/x"]\n'
    yield b"plain: [1]\nshards:\n  - 1\nplan: {}\nechos:\n  a: 1\nshards: 1\n"
    yield b"a: b: c\n"
    yield b"- 1\n"
    yield b"--- {}\n--- {}\n"
    yield b"plain: {listen: '[::1]:1', prefix: /x/, messages_max: -1, idle_timeout: 10}\nadmin: {listen: '127.0.0.1:1'}\n"


def dialects():
    """Dialect, settings, then steps (dialect.c): every message of the transcripts as sent, and as ingested."""
    opening = [
        b"\x00\x00\x00" + piece(b"?token=key-1") + b"\x01\x00",
        b"\x00\x00\x01" + piece(b"a,b?last=2") + b"\x01\x00",
        b"\x00\x00\x00" + piece(b"") + b"\x00" + piece(b"wrong") + b"\x00",
        b"\x00\x00\x01" + piece(b"a!b") + b"\x01\x00",
        b"\x00\x00\x00" + piece(b"?token=key-1") + b"\x01\x03\x01",
    ]
    said = sorted({text for text in messages()})
    for index in range(8):
        for shape in (1, 3, 13, 17, 39):
            settings = bytes([index, shape])
            for first in opening:
                yield settings + first + b"\x04\x07" + piece(b"/ws")
        for begin in range(0, len(said), 24):
            steps = b""
            for text in (t.encode() for t in said[begin : begin + 24]):
                steps += b"\x01" + struct.pack(">H", len(text) % 1024) + text[: len(text) % 1024] + b"\x00"
            yield bytes([index, 1]) + opening[0] + steps
        for topic in range(5):
            for text in (t.encode() for t in said if '"hash"' in t or '"key"' in t or '"tx_hash"' in t):
                data = text[text.index(b'"data":') + 7 : -14] if b'"error":null}' in text else text
                ingest = b"\x05\x00" + bytes([topic]) + struct.pack(">H", len(data)) + data + b"\x00"
                yield bytes([index, 1 if topic != 1 else 9]) + ingest + b"\x06\x00" + bytes([topic]) + b"\x00"


def walks(shapes, count):
    """Rows of steps, the same in every run."""
    state = 1
    for shape in shapes:
        steps = bytearray([shape])
        for _ in range(count):
            state = state * 6364136223846793005 + 1442695040888963407 & (1 << 64) - 1
            steps.append(state >> 56)
        yield bytes(steps)


def main():
    write("http1", HEADS)
    write("handshake", handshakes())
    write("ws", streams())
    write("utf8", [text.encode() for text in TEXTS] + BAD_TEXTS)
    write("json", jsons())
    write("query", [bytes([i]) + target.encode() for target in TARGETS for i in (0, 1, 5)])
    write("timestamp", [bytes(range(8)) + text.encode() for text in TIMES] + [b"\0\0\0\x17\x48\x76\xe8\0", b"\xff" * 8])
    write("option", [bytes([row]) + text.encode() for row in range(8) for text in VALUES])
    write("token", tokens())
    write("config", yamls())
    write("dialect", dialects())
    write("chain", walks(range(8), 400))
    write("outbox", walks(range(4), 600))
    write("server", walks((0, 1, 2, 4, 8, 16, 128, 144, 31, 159), 300))
    write("canary", [b"seed"])


main()
