# SPDX-License-Identifier: MIT
"""Sections 12 and 13: permessage-deflate (RFC 7692), with content of five kinds and with seven ways to offer it. A case
whose offer the server declines is skipped, not passed."""
import json
import random

from cases_wire import BINARY, TEXT, case, closes

MESSAGES = 1000
BYTES_PER_CASE = 4 << 20  # a case sends MESSAGES messages, fewer when they are large; cases.py --long: always all

# (message bytes, fragment bytes; 0: not fragmented)
SIZES = [(16, 0), (64, 0), (256, 0), (1024, 0), (4096, 0), (8192, 0), (16384, 0), (32768, 0), (65536, 0), (131072, 0),
         (8192, 256), (16384, 512), (32768, 1024), (65536, 2048), (131072, 4096), (131072, 8192), (131072, 16384),
         (131072, 32768)]
CONTENT_BYTES = 262144

DEFAULT = "permessage-deflate; client_no_context_takeover; client_max_window_bits"
WORDS = ("Wind Wald Wiese Weg Stein Strom Stadt Straße schön größer über Tür Bäume Häuser grün früh spät der die das "
         "und nicht ein eine mit von zu auf im dem den ist war wird noch schon wieder").split()


def prose(seed):
    source = random.Random(seed)
    text = " ".join(source.choice(WORDS) for _ in range(CONTENT_BYTES // 4))
    return text


def records(seed):
    source = random.Random(seed)
    rows = []
    while len(rows) < CONTENT_BYTES // 90:
        rows.append({"id": len(rows), "name": source.choice(WORDS), "value": source.random(), "tags": ["a", "b"]})
    return json.dumps(rows).encode()


def picture(seed):
    source = random.Random(seed)
    return bytes((x * 3 + y + source.randrange(4)) & 0xFF for y in range(512) for x in range(512))


def markup(seed):
    source = random.Random(seed)
    row = '<tr class="row{}"><td>{}</td><td><a href="/x/{}">{}</a></td></tr>\n'
    return "".join(row.format(i % 2, source.choice(WORDS), i, source.choice(WORDS))
                   for i in range(CONTENT_BYTES // 60)).encode("ascii", "xmlcharrefreplace")


class Content:
    """Messages cut out of one long content, each at another place. Text is cut between characters."""

    def __init__(self, title, opcode, make):
        self.title, self.opcode, self.make, self.data = title, opcode, make, None

    def message(self, index, size):
        if self.data is None:
            self.data = self.make(7)
            self.data += self.data[: 131072 + 8] if self.opcode == BINARY else b""
        start = index * 977 % (len(self.data) - size)
        if self.opcode == BINARY:
            return self.data[start : start + size]
        return self.data[start : start + size].decode("utf-8", "ignore").encode()


def text_of(make):
    """As long as every message needs, whatever its characters take."""
    return lambda seed: make(seed) * (1 + 2 * CONTENT_BYTES // len(make(seed)))


CONTENTS = [
    Content("JSON", TEXT, text_of(records)),
    Content("a picture", BINARY, picture),
    Content("prose in Latin-1", BINARY, lambda seed: prose(seed).encode("latin-1")),
    Content("HTML", TEXT, text_of(markup)),
    Content("prose in UTF-8", TEXT, text_of(lambda seed: prose(seed).encode())),
]

OFFERS = [
    DEFAULT,
    DEFAULT + "; server_no_context_takeover",
    DEFAULT + "; server_max_window_bits=9",
    DEFAULT + "; server_max_window_bits=15",
    DEFAULT + "; server_no_context_takeover; server_max_window_bits=9",
    DEFAULT + "; server_no_context_takeover; server_max_window_bits=15",
    ", ".join([
        DEFAULT + "; server_no_context_takeover; server_max_window_bits=9",
        DEFAULT + "; server_no_context_takeover",
        DEFAULT,
    ]),
]


def exchange(content, size, fragment, count):
    def step(peer):
        for index in range(count):
            payload = content.message(index, size)
            peer.send(peer.message_frames(content.opcode, payload, fragment))
            peer.expect(content.opcode, payload)

    return step


def cases(long=False):
    groups = [(f"12.{i}", one, DEFAULT) for i, one in enumerate(CONTENTS, 1)]
    groups += [(f"13.{i}", CONTENTS[0], offer) for i, offer in enumerate(OFFERS, 1)]
    for group, content, offer in groups:
        for i, (size, fragment) in enumerate(SIZES, 1):
            count = MESSAGES if long else min(MESSAGES, BYTES_PER_CASE // size)
            how = f" in fragments of {fragment}" if fragment else ""
            title = f"{count} messages of {content.title}, {size} bytes{how}"
            yield case(f"{group}.{i}", title, exchange(content, size, fragment, count), closes(), offer=offer)
