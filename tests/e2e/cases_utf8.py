# SPDX-License-Identifier: MIT
"""Section 6: text is UTF-8 (RFC 3629), checked while it comes: at the first byte that makes it certain that a text is
none, the connection is failed with 1007 (RFC 6455 section 8.1), without waiting for the rest."""
from cases_wire import TEXT, case, closes, fragments, frame, gets, is_failed, pieces, sends, sends_each

KOSME = bytes.fromhex("ceba e1bdb9 cf83 cebc ceb5")
SURROGATE = KOSME + bytes.fromhex("eda080") + b"edited"
BEYOND = KOSME + bytes.fromhex("f4908080") + b"edited"


def one(number, title, payload, valid):
    """The same payload as one frame."""
    verdict = (gets(TEXT, payload), closes()) if valid else (is_failed(1007),)
    return case(number, title, sends(frame(TEXT, payload)), *verdict)


def whole_texts():
    hello = "Hello-µ@ßöäüàá-UTF-8!!".encode()
    middle = b"middle frame payload"
    yield one("6.1.1", "empty text", b"", True)
    yield case("6.1.2", "three empty fragments", sends(*fragments(TEXT, [b"", b"", b""])), gets(TEXT), closes())
    yield case("6.1.3", "the first and third of three fragments empty", sends(*fragments(TEXT, [b"", middle, b""])),
               gets(TEXT, middle), closes())
    yield one("6.2.1", "text with characters of two bytes", hello, True)
    yield case("6.2.2", "in two fragments, cut between characters", sends(*fragments(TEXT, [hello[:12], hello[12:]])),
               gets(TEXT, hello), closes())
    yield case("6.2.3", "in fragments of one byte", sends(*fragments(TEXT, pieces(hello, 1))), gets(TEXT, hello),
               closes())
    yield case("6.2.4", "characters of two and three bytes in fragments of one byte",
               sends(*fragments(TEXT, pieces(KOSME, 1))), gets(TEXT, KOSME), closes())


def invalid_texts():
    yield one("6.3.1", "a surrogate", SURROGATE, False)
    yield case("6.3.2", "a surrogate, in fragments of one byte", sends(*fragments(TEXT, pieces(SURROGATE, 1))),
               is_failed(1007))


def fail_fast():
    """The server is to fail before the last part is sent. So the verdict comes when only the first two are on the way,
    and not when only the first is: that part alone is good."""
    for number, title, parts in (
        ("6.4.1", "fragments: good, bad, (good)", [KOSME, b"\xf4\x90\x80\x80", b"edited"]),
        ("6.4.2", "fragments: up to the first bad byte, that byte, (the rest)",
         [KOSME + b"\xf4", b"\x90", b"\x80\x80edited"]),
    ):
        frames = fragments(TEXT, parts)
        yield case(number, title, sends(frames[0]), sends(frame(0x9, b"?")), gets(0xA, b"?"), sends(frames[1]),
                   is_failed(1007))
    whole = frame(TEXT, BEYOND)
    header = len(whole) - len(BEYOND)
    for number, title, cut in (
        ("6.4.3", "one frame that has come up to the bad character", header + len(KOSME) + 4),
        ("6.4.4", "one frame that has come up to its first bad byte", header + len(KOSME) + 2),
    ):
        yield case(number, title, sends_each(whole[: header + len(KOSME)], whole[header + len(KOSME) : cut]),
                   is_failed(1007))


def hexes(text):
    return [bytes.fromhex(word) for word in text.split()]


def points(*values):
    return [chr(value).encode() for value in values]


GROUPS = [
    # section, title, valid, payloads
    ("6.5", "characters of one to four bytes in a text", True,
     [b"hello\x24world", b"hello\xc2\xa2world", b"hello\xe2\x82\xacworld", b"hello\xf0\xa4\xad\xa2world", KOSME]),
    ("6.7", "first of its length", True, hexes("00 c280 e0a080 f0908080")),
    ("6.8", "first of five and six bytes", False, hexes("f888808080 fc8480808080")),
    ("6.9", "last of its length", True, hexes("7f dfbf efbfbf f48fbfbf")),
    ("6.10", "last of four, five and six bytes", False, hexes("f7bfbfbf fbbfbfbfbf fdbfbfbfbfbf")),
    ("6.12", "continuation bytes alone", False,
     [b"\x80", b"\xbf"] + [(b"\x80\xbf" * 3)[:count] for count in range(2, 7)] + [bytes(range(0x80, 0xBF))]),
    ("6.13", "start bytes alone, each before a space", False,
     [b"".join(bytes([byte, 0x20]) for byte in range(low, high))
      for low, high in ((0xC0, 0xE0), (0xE0, 0xF0), (0xF0, 0xF8), (0xF8, 0xFC), (0xFC, 0xFE))]),
    ("6.14", "the last continuation byte missing", False,
     hexes("c0 e080 f08080 f8808080 fc80808080 df efbf f7bfbf fbbfbfbf fdbfbfbfbf")),
    ("6.15", "all of them in a row", False,
     [bytes.fromhex("c0e080f08080f8808080fc80808080dfefbff7bfbffbbfbfbffdbfbfbfbf")]),
    ("6.16", "bytes that never occur", False, hexes("fe ff fefeffff")),
    ("6.17", "overlong slash", False, hexes("c0af e080af f08080af f8808080af fc80808080af")),
    ("6.18", "largest overlong form", False, hexes("c1bf e09fbf f08fbfbf f887bfbfbf fc83bfbfbfbf")),
    ("6.19", "overlong NUL", False, hexes("c080 e08080 f0808080 f880808080 fc8080808080")),
    ("6.20", "surrogate", False, hexes("eda080 edadbf edae80 edafbf edb080 edbe80 edbfbf")),
    ("6.21", "pair of surrogates", False,
     hexes("eda080edb080 eda080edbfbf edadbfedb080 edadbfedbfbf edae80edb080 edae80edbfbf edafbfedb080 edafbfedbfbf")),
    ("6.22", "no character, but UTF-8", True,
     points(*[plane << 16 | low for plane in range(17) for low in (0xFFFE, 0xFFFF)])),
    ("6.23", "special character", True, points(*range(0xFFF9, 0x10000))),
]


def groups():
    for section, title, valid, payloads in GROUPS:
        for i, payload in enumerate(payloads, 1):
            yield one(f"{section}.{i}", f"{title}: {payload[:16].hex()}", payload, valid)
    whole_prefixes = {2, 5, 7, 9, 11}
    for count in range(1, len(KOSME) + 1):
        yield one(f"6.6.{count}", f"the first {count} bytes of a text", KOSME[:count], count in whole_prefixes)
    for i, text in enumerate(("ed9fbf", "ee8080", "efbfbd", "f48fbfbf"), 1):
        yield one(f"6.11.{i}", f"at a boundary: {text}", bytes.fromhex(text), True)
    yield one("6.11.5", "beyond the last: f4908080", bytes.fromhex("f4908080"), False)


def cases():
    for part in (whole_texts, invalid_texts, fail_fast, groups):
        yield from part()
