# SPDX-License-Identifier: MIT
"""First inputs of what is read from the wire: HTTP heads, handshakes, WebSocket frames, compressed messages."""

import struct
import zlib

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
