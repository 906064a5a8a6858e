#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes the first inputs of every harness: fuzz/seeds.py FOLDER makes FOLDER/NAME/*. They come from the transcripts, the example
configurations, and the golden bytes of the RFCs; what the fuzzers add to them is in fuzz/corpus."""

import pathlib
import re
import sys

from seed_dialect import dialects, piece
from seed_transcripts import ROOT, messages, transcripts
from seed_wire import HEADS, deflates, handshakes, streams

OUT = pathlib.Path(sys.argv[1] if len(sys.argv) == 2 else sys.exit("usage: fuzz/seeds.py FOLDER"))


def write(harness, inputs):
    folder = OUT / harness
    folder.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(inputs):
        (folder / f"seed-{number:03}").write_bytes(data)


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


def uploads():
    """Plays by chance against the model (even), and payloads of all kinds behind good members (odd)."""
    yield from walks((0, 2, 4, 6, 8, 10), 400)
    for kind in range(4):
        for members in (b"", b'"chunk_index":2', b'"data":"QUI="', b'"file_index":1,"total_files":3', b'"upload_group_id":"g"',
                        b'"file_path":"a/../b"', b'"total_size":0,"total_chunks":0', b'"session_id":7'):
            yield b"\1" + b"\x05\0\1" + piece(b"") + b"".join(b"\x05" + bytes([kind, 1]) + piece(members) for _ in range(3))


def main():
    write("hub", [*hubs()])
    write("upload", [*uploads()])
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
