# SPDX-License-Identifier: MIT
"""Sections 1-5 and 10: framing, pings and pongs, reserved bits, opcodes, fragmentation."""
from cases_wire import (BINARY, CONTINUATION, PING, PONG, TEXT, case, closes, fragments, frame, gets, is_failed, pieces,
                        sends, sends_each)

HELLO = b"Hello, world!"
ODD = bytes([0x00, 0xFF, 0xFE, 0xFD, 0xFC, 0xFB, 0x00, 0xFF])


def framing():
    sizes = [(0, 0), (125, 0), (126, 0), (127, 0), (128, 0), (65535, 0), (65536, 0), (65536, 997)]
    for kind, opcode, byte in ((1, TEXT, b"*"), (2, BINARY, b"\xfe")):
        for i, (size, chop) in enumerate(sizes, 1):
            payload = byte * size
            how = f" in chops of {chop}" if chop else ""
            yield case(f"1.{kind}.{i}", f"message of {size} bytes{how}",
                       sends(frame(opcode, payload), chop=chop), gets(opcode, payload), closes())


def pings():
    full = b"\xfe" * 125
    many = [b"payload-%d" % i for i in range(10)]
    pongs = [gets(PONG, one) for one in many]
    yield case("2.1", "ping without payload", sends(frame(PING)), gets(PONG), closes())
    yield case("2.2", "ping with text", sends(frame(PING, HELLO)), gets(PONG, HELLO), closes())
    yield case("2.3", "ping with bytes that are no text", sends(frame(PING, ODD)), gets(PONG, ODD), closes())
    yield case("2.4", "ping of 125 bytes", sends(frame(PING, full)), gets(PONG, full), closes())
    yield case("2.5", "ping of 126 bytes", sends(frame(PING, full + b"\xfe")), is_failed(1002))
    yield case("2.6", "ping of 125 bytes, byte by byte", sends(frame(PING, full), chop=1), gets(PONG, full), closes())
    yield case("2.7", "pong that nobody asked for", sends(frame(PONG)), closes())
    yield case("2.8", "the same with payload", sends(frame(PONG, HELLO)), closes())
    yield case("2.9", "such a pong, then a ping", sends(frame(PONG, HELLO), frame(PING, ODD)), gets(PONG, ODD),
               closes())
    yield case("2.10", "ten pings", sends(*[frame(PING, one) for one in many]), *pongs, closes())
    yield case("2.11", "ten pings, byte by byte", sends(*[frame(PING, one) for one in many], chop=1), *pongs, closes())


def reserved_bits():
    text, ping = frame(TEXT, HELLO), frame(PING)
    yield case("3.1", "text with RSV 1", sends(frame(TEXT, HELLO, rsv=1)), is_failed(1002))
    for number, rsv, chop, title in (("3.2", 2, 0, "in one write"), ("3.4", 4, 1, "byte by byte")):
        yield case(number, f"text, then text with RSV {rsv}, then a ping, {title}",
                   sends(text, frame(TEXT, HELLO, rsv=rsv), ping, chop=chop), gets(TEXT, HELLO), is_failed(1002))
    yield case("3.3", "text, then text with RSV 3, then a ping, each in a write",
               sends_each(text, frame(TEXT, HELLO, rsv=3), ping), gets(TEXT, HELLO), is_failed(1002))
    yield case("3.5", "binary with RSV 5", sends(frame(BINARY, ODD, rsv=5)), is_failed(1002))
    yield case("3.6", "ping with RSV 6", sends(frame(PING, HELLO, rsv=6)), is_failed(1002))
    yield case("3.7", "close with RSV 7", sends(frame(0x8, rsv=7)), is_failed(1002))


def opcodes():
    for kind, first in ((1, 3), (2, 11)):
        text, ping = frame(TEXT, HELLO), frame(PING)
        yield case(f"4.{kind}.1", f"opcode {first}", sends(frame(first)), is_failed(1002))
        yield case(f"4.{kind}.2", f"opcode {first + 1} with payload", sends(frame(first + 1, HELLO)), is_failed(1002))
        for i, payload, chop, title in ((3, b"", 0, ""), (4, HELLO, 0, " with payload"),
                                        (5, HELLO, 1, ", byte by byte")):
            yield case(f"4.{kind}.{i}", f"text, then opcode {first + i - 1}{title}, then a ping",
                       sends(text, frame(first + i - 1, payload), ping, chop=chop), gets(TEXT, HELLO), is_failed(1002))


WRITES = ((0, "in one write"), (None, "each frame in a write"), (1, "byte by byte"))


def written(frames, how):
    return sends_each(*frames) if how is None else sends(*frames, chop=how)


def fragmentation():
    two = fragments(TEXT, [b"fragment1", b"fragment2"])
    whole = gets(TEXT, b"fragment1fragment2")
    text = frame(TEXT, HELLO)
    number = iter(range(3, 15))
    yield case("5.1", "ping in two fragments", sends(*fragments(PING, [b"fragment1", b"fragment2"])), is_failed(1002))
    yield case("5.2", "pong in two fragments", sends(*fragments(PONG, [b"fragment1", b"fragment2"])), is_failed(1002))
    for how, title in WRITES:
        yield case(f"5.{next(number)}", f"text in two fragments, {title}", written(two, how), whole, closes())
    for how, title in WRITES:
        yield case(f"5.{next(number)}", f"the same with a ping between, {title}",
                   written([two[0], frame(PING, b"ping"), two[1]], how), gets(PONG, b"ping"), whole, closes())
    for fin in (True, False):
        for how, title in WRITES:
            yield case(f"5.{next(number)}", f"continuation of nothing with FIN {int(fin)}, then text, {title}",
                       written([frame(CONTINUATION, b"nothing", fin=fin), text], how), is_failed(1002))
    yield case("5.15", "text in two fragments, continuation of nothing, then text",
               sends(*two, frame(CONTINUATION, b"nothing", fin=False), text), whole, is_failed(1002))
    for name, fin in (("5.16", False), ("5.17", True)):
        yield case(name, f"twice: continuation of nothing with FIN {int(fin)}, then text in two fragments",
                   sends(*([frame(CONTINUATION, b"nothing", fin=fin)] + two) * 2), is_failed(1002))
    yield case("5.18", "both fragments with opcode text",
               sends(frame(TEXT, b"fragment1", fin=False), frame(TEXT, b"fragment2")), is_failed(1002))
    five = fragments(TEXT, [b"fragment%d" % i for i in range(1, 6)])
    joined = gets(TEXT, b"".join(b"fragment%d" % i for i in range(1, 6)))
    first, second = frame(PING, b"pongme 1"), frame(PING, b"pongme 2")
    yield case("5.19",
               "five fragments, a ping after the second and fourth; each pong has to come before the next fragment",
               sends(*five[:2], first), gets(PONG, b"pongme 1"), sends(*five[2:4], second), gets(PONG, b"pongme 2"),
               sends(five[4]), joined, closes())
    yield case("5.20", "the same without waiting, each frame in a write",
               sends_each(*five[:2], first, *five[2:4], second, five[4]),
               gets(PONG, b"pongme 1"), gets(PONG, b"pongme 2"), joined, closes())


def miscellaneous():
    payload = b"*" * 65536
    yield case("10.1.1", "65,536 bytes in fragments of 1,300",
               sends(*fragments(TEXT, pieces(payload, 1300))), gets(TEXT, payload), closes())


def cases():
    for part in (framing, pings, reserved_bits, opcodes, fragmentation, miscellaneous):
        yield from part()
