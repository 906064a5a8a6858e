# SPDX-License-Identifier: MIT
"""Section 7: the closing handshake (RFC 6455 sections 5.5.1, 7). Every case ends with the server closing the TCP
connection in order, whatever still comes behind the close frame."""
from cases_wire import (CLOSE, PING, TEXT, case, close_payload, closes, fragments, frame, gets, is_closed, is_failed,
                        sends)

HELLO = b"Hello, world!"


def order():
    normal = frame(CLOSE, close_payload(1000))
    first, second = fragments(TEXT, [b"fragment1", b"fragment2"])
    large = b"BAsd7&jh23" * 26215  # 256 KiB and a little
    yield case("7.1.1", "message, then close", sends(frame(TEXT, HELLO)), gets(TEXT, HELLO), closes())
    yield case("7.1.2", "two close frames", sends(normal, normal), is_closed(1000))
    yield case("7.1.3", "ping behind the close", sends(normal, frame(PING, b"?")), is_closed(1000))
    yield case("7.1.4", "text behind the close", sends(normal, frame(TEXT, HELLO)), is_closed(1000))
    yield case("7.1.5", "close between two fragments", sends(first, normal, second), is_closed(1000))
    yield case("7.1.6", "large message, close, ping", sends(frame(TEXT, large), normal, frame(PING, b"?")),
               gets(TEXT, large), is_closed(1000))


def payloads():
    # A close without code is answered by one without or, as a courtesy, with 1000.
    yield case("7.3.1", "close without payload", sends(frame(CLOSE)), is_closed(None, 1000))
    yield case("7.3.2", "close with a payload of one byte", sends(frame(CLOSE, b"a")), is_closed(1002))
    yield case("7.3.3", "close with a code", sends(frame(CLOSE, close_payload(1000))), is_closed(1000))
    yield case("7.3.4", "close with code and reason", sends(frame(CLOSE, close_payload(1000, HELLO))), is_closed(1000))
    yield case("7.3.5", "close with a reason of 123 bytes", sends(frame(CLOSE, close_payload(1000, b"*" * 123))),
               is_closed(1000))
    yield case("7.3.6", "close with a reason of 124 bytes", sends(frame(CLOSE, close_payload(1000, b"*" * 124))),
               is_failed(1002))
    bad = bytes.fromhex("ceba e1bdb9 cf83 cebc ceb5 eda080") + b"edited"
    yield case("7.5.1", "close with a reason that is not UTF-8", sends(frame(CLOSE, close_payload(1000, bad))),
               is_closed(1007))


VALID = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999)
INVALID = (0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999)  # RFC 6455 section 7.4
OUTSIDE = (5000, 65535)


def codes():
    for i, code in enumerate(VALID, 1):
        yield case(f"7.7.{i}", f"code {code}", sends(frame(CLOSE, close_payload(code))), is_closed(code))
    for group, invalid in ((9, INVALID), (13, OUTSIDE)):
        for i, code in enumerate(invalid, 1):
            yield case(f"7.{group}.{i}", f"invalid code {code}", sends(frame(CLOSE, close_payload(code))),
                       is_closed(1002))


def cases():
    for part in (order, payloads, codes):
        yield from part()
