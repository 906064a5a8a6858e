#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes the first inputs of every harness: fuzz/seeds.py FOLDER makes FOLDER/NAME/*. They come from the transcripts, the example
configurations, and the golden bytes of the RFCs; what the fuzzers add to them is in fuzz/corpus."""

import pathlib
import re
import struct
import sys
import zlib

ROOT = pathlib.Path(__file__).resolve().parent.parent
OUT = pathlib.Path(sys.argv[1] if len(sys.argv) == 2 else sys.exit("usage: fuzz/seeds.py FOLDER"))


def write(harness, inputs):
    folder = OUT / harness
    folder.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(inputs):
        (folder / f"seed-{number:03}").write_bytes(data)


def transcripts():
    """The dialect of each transcript, and its lines."""
    for path in sorted((ROOT / "tests/transcripts").glob("*.txt")):
        lines = path.read_text().splitlines()
        yield next(line.split()[2] for line in lines if line.startswith("@ dialect ")), lines


def messages(dialect=None):
    """What clients send and get, and what is ingested: all of it text, most of it JSON."""
    for name, lines in transcripts():
        for line in lines if dialect in (None, name) else ():
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
        frame(0xC1, b"\xf2\x48\xcd\xc9\xc9\x07\x00"),
        frame(0x41, b"\xf2\x48\xcd") + frame(0x80, b"\xc9\xc9\x07\x00"),
        frame(0x88, struct.pack(">H", 1000) + "ü".encode()),
    ]
    bad = [
        frame(0xA1, b"a"),
        frame(0xC9, b"a"),
        frame(0x01, b"a") + frame(0xC0, b"a"),
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
        for settings in (0, 0x12, 0x18, 0x20):
            yield bytes([settings]) + stream
    yield b"\x19" + frame(0x81, b"Hello", mask=b"") + frame(0x82, b"x" * 300, mask=b"")
    yield b"\x01" + frame(0x81, b"Hello")
    fragmented = frame(0x02, b"") + frame(0x00, b"") * 2 + frame(0x80, b"x")
    yield b"\x06" + fragmented * 2 + frame(0x02, b"") + frame(0x00, b"") * 3


# --- permessage-deflate -------------------------------------------------------------------------------------------------

OFFERS = [
    "permessage-deflate", "permessage-deflate; client_max_window_bits", "x-webkit-deflate-frame, permessage-deflate",
    "permessage-deflate; server_max_window_bits=10; client_max_window_bits=\"9\"", "permessage-deflate; server_max_window_bits=8",
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover", "permessage-deflate; server_max_window_bits",
    "permessage-deflate; server_max_window_bits=07, permessage-deflate; x, permessage-deflate ; client_max_window_bits = 15",
    "permessage-deflate; server_no_context_takeover=1", "permessage-deflate; client_max_window_bits; client_max_window_bits",
    "a; b=\"c\\\"d,e\", permessage-deflate", ", ,permessage-deflate", "permessage-deflate; client_max_window_bits=\"", ";",
]  # fmt: skip


def deflates():
    """One byte of settings, then a payload, stream or field value (deflate.c)."""
    for settings in (0x1F, 0x39, 0x08, 0x2A):
        for offer in OFFERS:
            yield bytes([settings]) + offer.encode()
        for text in (b"", b"Hello", b"a" * 3000, bytes(range(256)) * 8, "κόσμε €".encode() * 50):
            yield bytes([settings]) + text
            packer = zlib.compressobj(9, zlib.DEFLATED, -15)
            stream = packer.compress(text) + packer.flush(zlib.Z_SYNC_FLUSH)
            yield bytes([settings]) + stream[:-4]
            yield bytes([settings]) + stream[:-6]
            yield bytes([settings]) + zlib.compress(text, 9, -15)
            yield bytes([settings]) + b"\1" + struct.pack("<HH", len(text), len(text) ^ 0xFFFF) + text + b"\0"


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
    yield b"\x1f{" + b",".join([b'"":0'] * 4097) + b"}"
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


METHODS = ["GET", "POST", "DELETE", "PUT", "HEAD", "OPTIONS"]  # as dialect.c has them


def opening(target, key=b"\1", method="GET", bad_origin=False, mode=2, path=0, origin=b""):
    """Step 0 of dialect.c: method and origin, the target (mode 0: behind one of the dialect's paths, 1: in the place of its last
    part, 2: alone), the credential, an origin, and that no place is refused."""
    shape = METHODS.index(method) | (128 if bad_origin else 0)
    where = bytes([mode]) + (b"" if mode == 2 else bytes([path]))
    return b"\0" + bytes([shape]) + where + piece(target) + key + (b"\3" + piece(origin) if origin else b"\0") + b"\0"


def settings(*values):
    return bytes([len(values)]) + b"".join(piece(value.encode()) for value in values)


def pause(ms):
    """Step 4: the clock moves by 100 ms times a power of two; with what is left over as further steps."""
    steps = b""
    while ms >= 100:
        power = min((ms // 100).bit_length() - 1, 11)
        steps += bytes([4, power])
        ms -= 100 << power
    return steps[:40]


def message(text, step=1):
    """Steps 1 (a message) and 3 (one over the limit)."""
    data = text.encode()[:1023]
    return bytes([step]) + struct.pack(">H", len(data)) + data + b"\0" + (b"\xff" if step == 3 else b"")


def request(kind, **data):
    return '{"type":"%s","id":"1","data":{%s}}' % (kind, ",".join(f'"{name}":{value}' for name, value in data.items()))


CONVERSATIONS = [
    [request("subscribe", channel=f'"{c}"', filter=f), request("unsubscribe", subscription_id='"00000007-1"')]
    for c, f in [("blocks", "{}"), ("blocks", '{"confirmations":2}'), ("transactions", '{"tx_hash":"a\\u0062"}'),
                 ("state", '{"key":"k"}'), ("state", '{"key_prefix":"k"}'), ("state", '{"key":"k","key_prefix":"k"}'),
                 ("state", '{"key":1}'), ("blocks", "1"), ("blocks", '{"key":"k"}'), ("other", "{}")]
] + [
    [request("subscribe", channel='"blocks"')] * 102,
    [request("subscribe", channel='"blocks"'), request("unsubscribe", subscription_id='"x"'), request("unsubscribe"),
     '{"type":"unsubscribe","id":"1"}', '{"type":"subscribe","id":"1"}', '{"type":"ping","id":"1","data":{"a":1,"a":1}}'],
    ["?"] * 12,
]  # fmt: skip


def dialects():
    """Dialect, settings, then steps (dialect.c): every message of the transcripts as sent, and as ingested."""
    names = re.findall(r"&(\w+)_dialect", (ROOT / "protocol/dialects.c").read_text())
    for name, lines in transcripts():
        yield bytes([names.index(name)]) + played(lines)
    for index, name in enumerate(names):
        dialect = bytes([index])
        key = settings("keys key-1,key-2 jobs:a blockchain marketplace")
        for path in range(8):
            for mode in (0, 1):
                for method in METHODS:
                    yield dialect + key + opening(b"", method=method, mode=mode, path=path) + message("{}") + pause(90000)
                for credential in (b"\0", b"\2", b"\3" + piece(b"key-2"), b"\3" + piece(b"wrong"), b"\3" + piece(b"")):
                    yield dialect + key + opening(b"?token=key-1", key=credential, mode=mode, path=path) + message("{}", 3)
            yield dialect + settings() + opening(b"", bad_origin=True, mode=0, path=path) + message("hello", 3)
            yield dialect + settings("connections_per_address 2") + opening(b"", mode=0, path=path)[:-1] + b"\3\1"
        yield from ingests(dialect)
    plain, rustorium = bytes([names.index("plain")]), bytes([names.index("rustorium")])
    for policy in ("latest", "a=latest,ab=lossless", "x=", "=latest", "a b=latest"):
        yield plain + settings("policy " + policy, "client_publish true", "keys key-1") + opening(b"/plain/ab") + message("hello")
    for target in (b"a,b,a?last=2", b"a?last=x", b"a!b", b"%", b",".join(b"%x" % i for i in range(66))):
        yield plain + settings() + opening(b"/plain/" + target) + b"\7" + piece(b"/plain/" + target)
    for texts in CONVERSATIONS:
        yield rustorium + settings("keys key-1") + opening(b"/ws") + b"".join(map(message, texts))
    for setting in ("auth_reject http401", "attempts_per_minute 0", "attempts_per_minute 3"):
        for key in (b"\0", b"\1"):
            yield rustorium + settings("keys key-1", setting) + opening(b"/ws", key) + message("{}", 3) + message("{}", 3)[:-1] + b"\0"


def played(lines):
    """A transcript as settings and steps. Its connections are one here, which begins again with each connect."""
    chosen, steps, credential, origin = [], [], b"\0", b""
    for line in lines:
        line = re.sub(r"^[A-Z][A-Z0-9]*(?=[@>])", "", line)
        verb, _, rest = line.partition(" ")
        words = rest.split(" ")
        if line.startswith("@ set "):
            chosen.append(rest[4:])
        elif line.startswith("@ header X-Api-Key: "):
            credential = b"\3" + piece(words[2].encode())
        elif line.startswith("@ header Origin: "):
            origin = words[2].encode()
        elif line.startswith("@ connect "):
            steps.append(opening(words[1].encode(), credential, origin=origin))
        elif line.startswith("@ request ") and words[1] in METHODS:
            steps.append(opening(words[2].encode(), credential, words[1], origin=origin))
        elif line.startswith("@ wait "):
            steps.append(pause(int(words[1])))
        elif verb == ">":
            steps.append(message(rest))
        elif line.startswith("! ingest "):
            steps.append(ingest(words[1], " ".join(words[2:]).rsplit(" -> ", 1)[0]))
        elif line.startswith("! read "):
            steps.append(b"\6\0\7" + piece(words[1].encode()) + b"\0\0\0")
    return settings(*chosen[:7]) + b"".join(steps)


def ingest(topic, text, room=0):
    """Step 5; `room` 15: little for what the dialect builds."""
    data, (topic, _, merge) = text.encode()[:2047], topic.partition("?")
    where = b"\7" + piece(topic.encode())
    return b"\5" + bytes([room]) + where + struct.pack(">H", len(data)) + data + b"\0" + (b"\3" if merge else b"\0") + b"\0"


def ingests(dialect):
    """Each object of the transcripts alone, whole and with a member missing, and some that are none."""
    objects = {("blocks", "1"), ("blocks", "x"), ("news", "hello"), ("a!b", "x"), ("blocks", "[]"), ("blocks", "{}"),
               ("blocks", '{"number":1,"hash":"h","parent_hash":"p","timestamp":1,"transactions":[1]}')}  # fmt: skip
    for _, lines in transcripts():
        objects |= {found.groups() for found in map(re.compile(r"! ingest (\S+) (.*) -> \d+$").match, lines) if found}
    for topic, text in sorted(objects):
        steps = [ingest(topic, text), ingest(topic, text, 15), ingest(topic, re.sub(r",[^,]*}$", "}", text)),
                 ingest(topic, re.sub(r":[^,]*", ":[0]", text, count=1)), b"\6\0\7" + piece(topic.encode()) + b"\0\0\0"]  # fmt: skip
        for setting in ("tx_source derive", "tx_source ingest"):
            yield dialect + settings(setting) + b"".join(steps)


def walks(shapes, count):
    """Rows of steps, the same in every run."""
    state = 1
    for shape in shapes:
        steps = bytearray([shape])
        for _ in range(count):
            state = state * 6364136223846793005 + 1442695040888963407 & (1 << 64) - 1
            steps.append(state >> 56)
        yield bytes(steps)


def block(name, parent, *txs):
    """Step 5 of chain.c: a block anywhere; no name is written with an escape."""
    return bytes([5, name, parent, len(txs), *txs]) + b"\1" * (2 + len(txs))


def reorganisations():
    """Listeners of the first three levels, then branches that take each other's place."""
    listeners = b"".join(bytes([12, 2 * level + txs, txs, 0, level]) for level in range(3) for txs in (0, 1))
    root, first = block(0, 23), block(1, 0, 5, 6) + block(2, 1, 7)
    for shape in (0, 1, 2):
        start = bytes([shape]) + listeners + root + first
        yield start + block(3, 0, 5) + block(4, 0, 5) + block(6, 4) + block(8, 6)
        yield start + block(3, 0, 5, 5) + block(4, 3, 5) + block(1, 0, 5, 6) + block(2, 1, 7) + block(9, 2)
        yield start + block(1, 2) + block(3, 1, 7, 8) + block(4, 20, 5, 7, 8) + block(9, 4, 5) + block(10, 9)
        yield start + b"\x0a" + bytes([11, 62]) + b"\x0a" + bytes([11, 63]) + b"\x0a"
        yield start + bytes([11, 60, 0, 0, 0, 1]) * 6 + bytes([11, 60, 1, 0, 11, 60, 0, 1, 0, 1]) + b"\x0a" + bytes([11, 61]) + b"\x0a"


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
    write("base64", [b"", b"AA==", b"AB==", b"AAA=", b"AAB=", b"AAAA", b"AAA", b"A===", b"AA=A", b"+/+/", b"AAAA====", b"A*AA"])
    write("config", yamls())
    write("dialect", dialects())
    write("chain", [*walks(range(8), 400), *reorganisations()])
    write("outbox", walks(range(4), 600))
    write("deflate", deflates())
    write("server", walks((0, 1, 2, 4, 8, 16, 128, 144, 31, 159), 300))
    write("canary", [b"seed"])


main()
