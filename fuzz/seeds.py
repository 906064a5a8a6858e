#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes the first inputs of every harness: fuzz/seeds.py FOLDER makes FOLDER/NAME/*. They come from the transcripts, the example
configurations, and the golden bytes of the RFCs; what the fuzzers add to them is in fuzz/corpus."""

import json
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

EXTENSIONS = [
    ["permessage-deflate; client_max_window_bits"],
    ["permessage-deflate; server_max_window_bits=\"1\\0\", x-other ; a = b;c"],
    ["a, ,", "b;c"],
    ["a", ""],
    [""],
    ["a;"],
    ["a; b="],
    ["a; b=\"c d\""],
    ["a; b=\"c", "d\""],
    ["a; b=\"c\"d"],
    ["a b"],
]


def handshakes():
    yield head("GET /ws HTTP/1.1", *UPGRADE)
    for origin in ORIGINS:
        yield head("GET /ws HTTP/1.1", *UPGRADE, f"Origin: {origin}")
    for i in range(1, len(UPGRADE)):
        yield head("GET /ws HTTP/1.1", *UPGRADE[:i], *UPGRADE[i + 1 :])
        yield head("GET /ws HTTP/1.1", *UPGRADE, UPGRADE[i])
    for offers in EXTENSIONS:
        yield head("GET /ws HTTP/1.1", *UPGRADE, *("Sec-WebSocket-Extensions: " + offer for offer in offers))
    for names in (["chat"], ["a, b", "c"], ["a,", ",a"], [""], ["a b"], ["".join(f"p{i}," for i in range(65))]):
        yield head("GET /ws HTTP/1.1", *UPGRADE, *("Sec-WebSocket-Protocol: " + name for name in names))
    yield head("GET /ws HTTP/1.1", *UPGRADE, "Origin: http://h", "Origin: http://h")
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


def grants():
    """Lines, then keys and names (grant.c)."""
    lines = [b"alpha plain/* rustorium/blocks", b"beta", b" alpha\tjobs:one  jobs:render-* ", b"", b"gamma *"]
    asked = bytes([0]) + piece(b"plain/x") + bytes([47]) + piece(b"alphb") + piece(b"jobs:render-1") + bytes([4]) + piece(b"")
    for count in range(6):
        yield bytes([count]) + b"".join(map(piece, lines[:count])) + asked
    many = [b"key-%d topic/%d*" % (i % 20, i) for i in range(24)]
    yield bytes([24]) + b"".join(map(piece, many)) + b"".join(bytes([i]) + piece(b"topic/%d1" % i) for i in (1, 19, 22))


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


def opening(target, key=b"\1", method="GET", bad_origin=False, mode=2, path=0, origin=b"", upgrade=False):
    """Step 0 of dialect.c: method and origin, the target (mode 0: behind one of the dialect's paths, 1: in the place of its last
    part, 2: alone), the credential, an origin, and that no place is refused."""
    shape = METHODS.index(method) | (128 if bad_origin else 0) | (64 if upgrade else 0)
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
    names = re.findall(r"^DIALECT\((\w+)\)", (ROOT / "protocol/dialects/dialects.def").read_text(), re.MULTILINE)
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
        yield from oddities(name, dialect)
    yield from crypto(bytes([names.index("crypto")]))
    yield from aitbc(bytes([names.index("aitbc")]))
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
            steps.append(read(words[1]))
    return settings(*chosen[:7]) + b"".join(steps)


def ingest(topic, text, room=0, source=b""):
    """Step 5; `room` 15: little for what the dialect builds."""
    data, (topic, _, merge) = text.encode()[:2047], topic.partition("?")
    where = b"\7" + piece(topic.encode())
    return b"\5" + bytes([room]) + where + struct.pack(">H", len(data)) + data + b"\0" + (b"\3" if merge else b"\0") + (
        b"\3" + piece(source) if source else b"\0")  # fmt: skip


def read(topic):
    """Step 6."""
    return b"\6\0\7" + piece(topic.encode()) + b"\0\0\0"


def reload(*values):
    """Step 8."""
    return b"\x08" + settings(*values)


# In the place of each member of what is ingested, and of each member of its objects.
ODD = [
    None, "1", "0", "-1", "-1e400", "0.5", "1.5", "18446744073709551615", "18446744073709551616", "1" * 40, "true", "false", "null",
    '"x"', '""', "[]", "[1]", '["a"]', '[""]', "[{}]", "{}", '{"a":1}', '{"a":"b"}', '{"a":{}}', '"%s"' % ("x" * 300),
    '"%s"' % ("\\u0061" * 1200), '"\\u0061b"', '"FAILED"', '"2024-01-23T12:34:56Z"', '"2024-01-23T12:34:56.789Z"',
    '"2024-01-23T12:34:5\\u0036Z"', '"2024-02-30T00:00:00Z"', "1706013296", "1706013296500", "99999999999999999",
]  # fmt: skip

# What no transcript has, or not with all that it may have.
WHOLE = {
    "market_data": '{"prices":{"a":1},"volumes":{},"market_caps":{},"price_changes":{},"source":"s","timestamp":1}',
    "news": '{"articles":[{"title":"t","source":"s","url":"u","published_at":1}],"sources":[],"categories":[]}',
    "sentiment": '{"overall_sentiment":"s","sentiment_score":0.5,"social_volume":1,"trending_topics":[],"sentiment_by_source":{}}',
    "scheduler": '{"running":true,"total_jobs":1,"active_jobs":1,"jobs":[{"id":"a","next_run":1,"status":"running"}]}',
    "health_checker": '{"overall_health":"h","healthy_count":1,"providers":{"a":{"status":"up","last_check":1}}}',
    "jobs": '{"job_id":"j","state":"RUNNING","assigned_miner_id":"m","timestamp":1,"progress":0.5,"error":"e","ttl_seconds":60}',
    "marketplace": '{"type":"new_offer","offer":{"id":"o","gpu_type":"g","gpu_memory":8,"price_per_hour":1,"currency":"c",'
    '"expires_at":1,"previous_price":2},"job_id":"j","expires_at":1,"timestamp":1}',
}  # fmt: skip


def odd(topic, text):
    """The object with each member in turn replaced by each odd value, or left out."""
    whole = json.loads(text)

    def put(members):
        return "{" + ",".join(f'"{name}":{value}' for name, value in members.items() if value is not None) + "}"

    plain = {name: json.dumps(value) for name, value in whole.items()}
    for name, value in whole.items():
        inner = value[0] if isinstance(value, list) and value else value
        form = "[%s]" if inner is not value else "%s"
        members = {key: json.dumps(text) for key, text in inner.items()} if isinstance(inner, dict) else {}
        for other in ODD:
            yield ingest(topic, put(plain | {name: other}))
            for member in members:
                yield ingest(topic, put(plain | {name: form % put(members | {member: other})}))


def oddities(name, dialect):
    """Each kind of object once, and the odd ones that are made of it."""
    kinds = {(topic, text): (topic, text) for topic, text in WHOLE.items()} if name in ("aitbc", "crypto") else {}
    for owner, lines in transcripts():
        for line in lines if owner == name else ():
            found = re.match(r"! ingest (\S+) (\{.*\}) -> \d+$", line)
            if found and found[2].count('"a":1,"a"') == 0:
                try:
                    whole = json.loads(found[2])
                except ValueError:
                    continue
                kinds[(found[1], str(whole.get("type")), *sorted(whole))] = found.groups()
    steps = [step for topic, text in kinds.values() for step in odd(topic, text)]
    row = b""
    for number, step in enumerate(steps):
        row += step
        if number % 100 == 99 or number + 1 == len(steps) or len(row) > 12000:
            yield dialect + settings() + row
            row = b""


def crypto(dialect):
    """Orders of sources, more sources than there is room for, merges, unchanged objects, reloads, and pages."""
    def prices(source, text="1", merge=""):
        return ingest("market_data" + merge, '{"prices":{"a":%s},"source":"%s"}' % (text, source))

    many = b"".join(prices(f"s{i}") + pause(400) for i in range(18))
    watch = opening(b"/ws/market_data", b"\0")
    merge = [prices("s0"), prices("s0", '2,"\\u0061":3', "?merge=1"), prices("s0", '4},"prices":{"b":5', "?merge=1"),
             ingest("market_data?merge=1", '{"volumes":{"b":1},"prices":{"c":{"d":1}},"source":"s0"}'),
             ingest("onchain", '{"a":{"b":{"c":1},"x":[]}}'), ingest("onchain?merge=1", '{"a":{"b":{"d":1},"x":{}},"\\u0062":{}}'),
             ingest("onchain?merge=1", "{}"), ingest("onchain?merge=1", '{"a":1}'),
             ingest("explorers", "{}"), ingest("explorers?merge=1", '{"a":1}')]  # fmt: skip
    orders = ["s3 s1", "s1 s1", "", " ", " ".join(f"s{i}" for i in range(17)), "x" * 65, "s1,market_data=s2", "s1,other=s2", "s1,news=a b"]
    for order in orders:
        yield dialect + settings("sources market_data=" + order) + watch + many + pause(30000) + many
    for order in orders:
        again = reload("sources market_data=" + order, "market_data_interval 2s")
        yield dialect + settings() + watch + many + again + many + read("market_data")
        late = prices("s17") + pause(30000) + many + prices("new")
        yield dialect + settings() + watch + late + reload("sources market_data=" + order) + pause(50000) + many
    # two that nobody has heard of for long, not in the order of their age
    late = prices("s1") + pause(400) + prices("s0") + pause(30000) + b"".join(prices(f"s{i}") for i in range(2, 18))
    yield dialect + settings() + late + pause(400) + prices("s1") + pause(400) + prices("s0")
    old = b"".join(prices(f"s{i}") for i in range(14)) + pause(400) + prices("x") + pause(400) + prices("y")
    yield dialect + settings() + old + pause(30000) + prices("s0") + prices("new") + prices("x") + prices("newer") * 2
    yield dialect + settings() + prices("x") + pause(400) + old + pause(400) + prices("s3") + pause(30000) + prices("new") + prices("newer")
    yield dialect + settings() + old + reload("sources market_data=n0 n1 n2 n3") + prices("n3") + pause(30000) + prices("s5") + prices("z")
    yield dialect + settings("sources market_data=s17 s16") + many + pause(30000) + many + prices("new") + reload() + prices("new")
    for value in ("true", "false"):
        yield dialect + settings("resend_unchanged " + value) + watch + (prices("s0") + pause(5000) * 3) * 3 + b"".join(merge) + pause(60000)
    large = ingest("onchain", '{"a":"%s"}' % ("x" * 1500))
    yield dialect + settings("memory 1KiB") + large + prices("s0") + reload("memory 2KiB") + large + prices("s0") + b"".join(merge) * 2
    for source in (b"s0", b"x" * 65, b"\xff"):
        yield dialect + settings() + ingest("market_data", "{}", source=source) + ingest("onchain", "{}", source=source)
    sessions = watch + message('{"action":"subscribe","service":"news"}')
    for chosen in ((), ("origin_check true",), ("origin_check true", "origins https://o"), ("market_data_interval 1250ms",), ("prefix /x~y",)):
        for target in (b"stats?limit=1", b"stats?limit=9999&offset=1", b"stats?limit=%zz", b"stats?offset=x", b"stats?limit=",
                       b"services", b"endpoints", b"none"):  # fmt: skip
            rest = [opening(b"/ws/" + target, b"\0", origin=o) for o in (b"", b"https://o", b"http://h", b"x" * 255)]
            rest = b"".join(rest) + opening(b"/ws/" + target, b"\0", upgrade=True)
            yield dialect + settings(*chosen) + rest + sessions + rest
            yield bytes([dialect[0] + 5]) + settings(*chosen) + rest + opening(b"/docs", b"\0")


def aitbc(dialect):
    """Forks of one height, jobs to their end and beyond their memory, offers that expire, snapshots, parts of the paths."""
    def fork(height, text):
        return ingest("blockchain", '{"type":"new_block","block":{"height":%d,"hash":"%s"}}' % (height, text))

    def job(name, state, more=""):
        return ingest("jobs", '{"job_id":"%s","state":"%s"%s}' % (name, state, more))

    def offer(name, kind="new_offer", more=""):
        return ingest("marketplace", '{"type":"%s","offer":{"id":"%s","gpu_type":"g","gpu_memory":1,"price_per_hour":1,"currency":"c"%s}}'
                      % (kind, name, more))  # fmt: skip

    watch, wait = opening(b"/v1/events", b"\0"), opening(b"/v1/jobs/a/ws", b"\0")
    sync = ingest("blockchain", '{"type":"sync_status","syncing":true}')
    yield dialect + settings() + watch + b"".join(fork(5, f"h{i}") for i in range(20)) + read("blockchain")
    yield dialect + settings("detect_forks false") + watch + fork(5, "a") + fork(5, "b") + read("blockchain")
    for snapshot in ("true", "false"):
        chosen = settings("sync_snapshot " + snapshot)
        yield dialect + chosen + watch + sync + watch + read("blockchain") + message('{"type":"ping"}')
        yield dialect + chosen + opening(b"/v1/events?types=new_block", b"\0") + sync + watch
    for mounts in range(16):
        mounted = bytes([dialect[0] + 10 * mounts]) + settings("sync_snapshot true")
        yield mounted + sync + watch + sync + wait + job("a", "RUNNING") + opening(b"/v1/events?source=marketplace", b"\0")
    for unknown in ("wait", "reject"):
        chosen = settings("unknown_job " + unknown, "unknown_job_wait 1s", "close_after_end 1s", "job_retention 1s")
        yield dialect + chosen + wait + pause(2000) + wait + job("a", "QUEUED") + job("a", "RUNNING", ',"ttl_seconds":1') + pause(90000)
        for end in ("COMPLETED", "FAILED", "CANCELLED", "EXPIRED"):
            yield dialect + chosen + job("a", "RUNNING") + wait + job("a", end, ',"error":"e"') + wait + read("jobs") + pause(3000) + wait
    errors = [job("a", "RUNNING", f',"{name}":{value}') for name in ("error", "progress", "assigned_miner_id")
              for value in ('"e"', '"f"', "0.5", "0.25", "null")]  # fmt: skip
    yield dialect + settings() + wait + b"".join(errors) + read("jobs") + job("a", "FAILED")
    full = ',"error":"%s"' % ("x" * 1000)
    for state in ("RUNNING", "FAILED"):
        row = b"".join(job(f"j{i}", state, full) for i in range(15))
        yield dialect + settings("jobs_memory 64KiB", "close_after_end 1s") + row + pause(5000) + row
    for state in ("RUNNING", "COMPLETED"):
        row = b"".join(job(("%03d" % i) + "j" * 120, state, ',"progress":0') for i in range(75))
        yield dialect + settings("jobs_memory 64KiB", "close_after_end 1s") + row + pause(5000) + row
    row = b"".join(offer(f"o{i}" + "o" * 100) for i in range(70))
    yield dialect + settings("offers_memory 64KiB") + row + offer("o1", "price_update", ',"previous_price":3') + read("marketplace")
    yield dialect + settings("offers_memory 64KiB") + row + reload("offers_memory 1MiB") + row + read("marketplace")
    expiry = [offer(f"o{i}", kind, ',"expires_at":%d' % (1767225600000 + 1500 * i)) for i in range(3) for kind in ("new_offer", "price_update")]
    yield dialect + settings() + watch + b"".join(expiry) + offer("o1") + pause(20000) + offer("o2", "offer_expired") + read("marketplace")
    keys = settings("keys key-1 jobs:a*,key-2 jobs:a blockchain,key-3", "jobs_public false", "events_public false")
    for target in (b"/v1/jobs/a/ws", b"/v1/jobs/b/ws", b"/v1/events?source=marketplace", b"/v1/events"):
        for key in (b"key-1", b"key-2", b"key-3"):
            yield dialect + keys + job("a", "RUNNING") + job("b", "RUNNING") + opening(target, key=b"\3" + piece(key))
    yield dialect + settings("keys_file k", "events_public false") + watch


def ingests(dialect):
    """Each object of the transcripts alone, whole and with a member missing, and some that are none."""
    objects = {("blocks", "1"), ("blocks", "x"), ("news", "hello"), ("a!b", "x"), ("blocks", "[]"), ("blocks", "{}"),
               ("blocks", '{"number":1,"hash":"h","parent_hash":"p","timestamp":1,"transactions":[1]}')}  # fmt: skip
    for _, lines in transcripts():
        objects |= {found.groups() for found in map(re.compile(r"! ingest (\S+) (.*) -> \d+$").match, lines) if found}
    for topic, text in sorted(objects):
        steps = [ingest(topic, text), ingest(topic, text, 15), ingest(topic, re.sub(r",[^,]*}$", "}", text)),
                 ingest(topic, re.sub(r":[^,]*", ":[0]", text, count=1)), read(topic)]  # fmt: skip
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


def sessions():
    """A byte of settings, then steps of two bytes of place (one when small), the step and what it takes (tls.c)."""
    at = b"\0\0"  # a place in what the client has on its way; none is taken while there is nothing
    words = b"\x07\0\x40" + b"\x08\0\x80" + b"\0"
    large = b"\x07\x9c\0" + b"\0" + b"\x08\x9c\0" + b"\0"
    for settings in range(16):
        yield bytes([settings])
        yield bytes([settings]) + b"\0" + words + large
        yield bytes([settings]) + at + b"\x01\0\x05" + at + b"\x01\0\x40" + at + b"\0" + words
        yield bytes([settings]) + at + b"\x04\xff" + b"\0"
        yield bytes([settings]) + at + b"\x03\x05GET /" + b"\0"
        yield bytes([settings]) + b"\x0b" + at + b"\0" + words + b"\x09\0" + at + b"\0" + b"\x09\1\0"
        for kind, content in ((21, b"\1\0"), (22, b"\x18\0\0\1\1"), (22, b"\x18\0\0\1\1" * 40), (23, b""), (23, b"word"),
                              (22, b"\1\0\0\4\3\3\0\0"), (20, b"\1"), (21, b"\2\x28")):
            yield bytes([settings | 8]) + b"\x0a" + bytes([kind, len(content)]) + content + at + b"\0" + words


def hubs():
    """Plays by chance against the model (even), and what the transcripts say, each message whole from one of seven players (odd)."""
    yield from walks((0, 2, 4, 6, 8, 10, 12, 14), 600)
    for name, lines in transcripts():
        if name != "emprops":
            continue
        said = [found for found in (re.match(r"([A-Z0-9]*)> (.*)", line) for line in lines) if found]
        players = sorted({found[1] for found in said})
        yield b"\1" + b"".join(
            bytes([5, players.index(found[1]) % 7, 0, 0]) + piece(found[2].encode()[:255]) for found in said)
        yield b"\1" + b"".join(
            bytes([5, index % 7, index % 22, 1]) + piece(found[2].encode()[1:-1][:255]) for index, found in enumerate(said))


def main():
    write("hub", [*hubs()])
    write("http1", HEADS)
    write("handshake", handshakes())
    write("ws", streams())
    write("utf8", [text.encode() for text in TEXTS] + BAD_TEXTS)
    write("json", jsons())
    write("query", [bytes([i]) + target.encode() for target in TARGETS for i in (0, 1, 5)])
    write("timestamp", [bytes(range(8)) + text.encode() for text in TIMES] + [b"\0\0\0\x17\x48\x76\xe8\0", b"\xff" * 8])
    write("option", [bytes([row]) + text.encode() for row in range(8) for text in VALUES])
    write("token", tokens())
    write("grant", grants())
    write("base64", [b"", b"AA==", b"AB==", b"AAA=", b"AAB=", b"AAAA", b"AAA", b"A===", b"AA=A", b"+/+/", b"AAAA====", b"A*AA"])
    write("config", yamls())
    write("dialect", dialects())
    write("chain", [*walks(range(8), 400), *reorganisations()])
    write("outbox", walks(range(4), 600))
    write("deflate", deflates())
    write("tls", sessions())
    write("server", walks((0, 1, 2, 4, 8, 16, 128, 144, 31, 159), 300))
    write("canary", [b"seed"])


main()
