# SPDX-License-Identifier: MIT
"""The client's side of one WebSocket connection, byte by byte: it can say anything, also what is forbidden, and it
believes nothing that it hears.

cases_*.py build cases out of the steps below; cases.py runs them. A step is a function of a Peer that returns when what
it waits for has come and raises Unexpected when something else has.
"""
import base64
import hashlib
import os
import socket
import struct
import zlib
from dataclasses import dataclass

import transport

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
NAMES = {CONTINUATION: "continuation", TEXT: "text", BINARY: "binary", CLOSE: "close", PING: "ping", PONG: "pong"}
RSV1, RSV2, RSV3 = 4, 2, 1

PATIENCE = 120.0  # seconds for an answer: only a server that never answers makes a case last so long
GOODBYE = 1.0  # seconds from the last close frame to the end of the TCP connection: far below the server's time-outs
SYNC_TAIL = b"\x00\x00\xff\xff"


class Unexpected(Exception):
    """Something else has come than the case expects."""

    def __init__(self, expected, seen):
        super().__init__(f"expected {expected}, seen {seen}")


class NotNegotiated(Exception):
    """The server has declined the extension that the case needs."""


@dataclass(frozen=True)
class Case:
    number: str
    title: str
    steps: tuple
    offer: str = ""  # Sec-WebSocket-Extensions of the handshake

    @property
    def section(self):
        return int(self.number.split(".")[0])


def case(number, title, *steps, offer=""):
    return Case(number, title, steps, offer)


# --- frames -----------------------------------------------------------------------------------------------------------


def masked(payload, key):
    """RFC 6455 section 5.3, as one operation on a long number: fast enough for 16 MiB."""
    count = len(payload)
    pattern = (key * (count // 4 + 1))[:count]
    return (int.from_bytes(payload, "little") ^ int.from_bytes(pattern, "little")).to_bytes(count, "little")


def frame(opcode, payload=b"", fin=True, rsv=0):
    """A client's frame: the length in its shortest form, a fresh masking key."""
    head = bytes([fin << 7 | rsv << 4 | opcode])
    count = len(payload)
    if count < 126:
        head += bytes([0x80 | count])
    elif count < 65536:
        head += struct.pack(">BH", 0x80 | 126, count)
    else:
        head += struct.pack(">BQ", 0x80 | 127, count)
    key = os.urandom(4)
    return head + key + masked(payload, key)


def fragments(opcode, parts, rsv=0):
    """One message, each part a frame."""
    last = len(parts) - 1
    return [
        frame(CONTINUATION if i else opcode, part, fin=i == last, rsv=0 if i else rsv) for i, part in enumerate(parts)
    ]


def pieces(payload, size):
    """The payload in parts of so many bytes; an empty payload is one empty part."""
    return [payload[at : at + size] for at in range(0, len(payload), size)] or [b""]


def close_payload(code, reason=b""):
    return struct.pack(">H", code) + reason


def describe(opcode, payload):
    if opcode == CLOSE:
        code = struct.unpack(">H", payload[:2])[0] if len(payload) >= 2 else "without code"
        return f"close {code} {payload[2:].decode('utf-8', 'backslashreplace')!r}"
    shown = bytes(payload[:24])
    return f"{NAMES.get(opcode, opcode)} of {len(payload)} bytes {shown!r}{'...' if len(payload) > 24 else ''}"


# --- permessage-deflate -----------------------------------------------------------------------------------------------


def parse_offer(text):
    """One extension of Sec-WebSocket-Extensions: (name, {parameter: value or None}). Nothing may come twice."""
    name, *rest = [part.strip() for part in text.split(";")]
    parameters = {}
    for item in rest:
        key, separator, value = item.partition("=")
        if key in parameters:
            raise Unexpected("each parameter once", text)
        parameters[key] = value.strip('"') if separator else None
    return name, parameters


def bits(parameters, key):
    value = parameters.get(key)
    if key in parameters and (value is None or not value.isdigit() or not 8 <= int(value) <= 15 or value[0] == "0"):
        raise Unexpected(f"{key} of 8-15 (RFC 7692 section 7.1.2)", value)
    return int(value) if value else 15


def offered_bits(parameters, key):
    """client_max_window_bits may be offered without a value (RFC 7692 section 7.1.2.2)."""
    return 15 if parameters[key] is None else bits(parameters, key)


class Deflate:
    """What was negotiated (RFC 7692), and both directions of it by zlib."""

    def __init__(self, answer, offers):
        name, agreed = parse_offer(answer)
        if name != "permessage-deflate":
            raise Unexpected("permessage-deflate or no extension", answer)
        known = {"server_no_context_takeover", "client_no_context_takeover", "server_max_window_bits",
                 "client_max_window_bits"}
        if set(agreed) - known:
            raise Unexpected("known parameters (RFC 7692 section 7.1)", answer)
        if not any(self.answers(agreed, parse_offer(offer)[1]) for offer in offers.split(",")):
            raise Unexpected(f"an answer to one of the offers: {offers}", answer)
        self.server_bits = bits(agreed, "server_max_window_bits")
        self.client_bits = bits(agreed, "client_max_window_bits")
        self.server_forgets = "server_no_context_takeover" in agreed
        self.client_forgets = "client_no_context_takeover" in agreed
        self.compressor = self.decompressor = None

    @staticmethod
    def answers(agreed, offered):
        """RFC 7692 section 7.1: what the client asks is granted, and what it may not understand is not used."""
        if "server_no_context_takeover" in offered and "server_no_context_takeover" not in agreed:
            return False
        if "server_max_window_bits" in offered and (
            "server_max_window_bits" not in agreed
            or bits(agreed, "server_max_window_bits") > bits(offered, "server_max_window_bits")
        ):
            return False
        return "client_max_window_bits" not in agreed or (
            "client_max_window_bits" in offered
            and bits(agreed, "client_max_window_bits") <= offered_bits(offered, "client_max_window_bits")
        )

    def compress(self, payload):
        if self.compressor is None or self.client_forgets:
            if self.client_bits == 8:
                raise NotNegotiated("zlib cannot compress with a window of 8 bits")
            self.compressor = zlib.compressobj(1, zlib.DEFLATED, -self.client_bits)
        data = self.compressor.compress(payload) + self.compressor.flush(zlib.Z_SYNC_FLUSH)
        return data[: -len(SYNC_TAIL)]

    def decompress(self, payload):
        if self.decompressor is None or self.server_forgets:
            self.decompressor = zlib.decompressobj(-max(9, self.server_bits))
        try:
            return self.decompressor.decompress(bytes(payload) + SYNC_TAIL)
        except zlib.error as error:
            raise Unexpected("deflate data within the agreed window", error) from error


# --- the connection ---------------------------------------------------------------------------------------------------


class Peer:
    def __init__(self, address, path="/echo", offer=""):
        self.input = bytearray()
        self.at = 0
        self.open_message = False
        self.deflate = None
        self.socket = socket.create_connection(address, timeout=PATIENCE)
        try:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if transport.everywhere:
                self.socket = transport.wrap(self.socket)
            self.shake_hands(path, address, offer)
        except BaseException:
            self.socket.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def shake_hands(self, path, address, offer):
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [
            f"GET {path} HTTP/1.1", f"Host: {address[0]}:{address[1]}", "Upgrade: websocket", "Connection: Upgrade",
            "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}"
        ]
        if offer:
            lines.append(f"Sec-WebSocket-Extensions: {offer}")
        self.socket.sendall("\r\n".join(lines + ["", ""]).encode())
        while b"\r\n\r\n" not in self.input:
            self.receive("the response to the handshake")
        head, _, rest = bytes(self.input).partition(b"\r\n\r\n")
        self.input = bytearray(rest)
        status, *fields = head.decode("latin-1").split("\r\n")
        if not status.startswith("HTTP/1.1 101"):
            raise Unexpected("HTTP/1.1 101", status)
        answer = {}
        for line in fields:
            name, _, value = line.partition(":")
            if name.lower() in answer:
                raise Unexpected("each field of the 101 once", line)
            answer[name.lower()] = value.strip()
        magic = (key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()  # RFC 6455 section 1.3
        accept = base64.b64encode(hashlib.sha1(magic).digest()).decode()
        if answer.get("sec-websocket-accept") != accept:
            raise Unexpected(f"Sec-WebSocket-Accept: {accept}", answer.get("sec-websocket-accept"))
        if "sec-websocket-protocol" in answer:
            raise Unexpected("no subprotocol, as none was offered", answer["sec-websocket-protocol"])
        extension = answer.get("sec-websocket-extensions", "")
        if extension:
            if not offer:
                raise Unexpected("no extension, as none was offered", extension)
            self.deflate = Deflate(extension, offer)

    def receive(self, awaited):
        """Some more bytes; the end of the stream is an error here."""
        data = self.receive_or_end(awaited, PATIENCE)
        if not data:
            raise Unexpected(awaited, "end of the TCP connection")
        self.input += data

    def receive_or_end(self, awaited, seconds):
        self.socket.settimeout(seconds)
        try:
            return self.socket.recv(1 << 18)
        except socket.timeout as error:
            raise Unexpected(awaited, f"nothing for {seconds:g} s") from error
        except OSError as error:
            raise Unexpected(awaited, error) from error

    def send(self, data, chop=0):
        """Writes all of it, in pieces of `chop` bytes if that is not 0; the server reads on whatever it thinks."""
        self.socket.settimeout(PATIENCE)
        try:
            if chop == 0:
                self.socket.sendall(data)
            else:
                view = memoryview(data)
                for at in range(0, len(view), chop):
                    self.socket.sendall(view[at : at + chop])
        except OSError as error:
            raise Unexpected("a server that reads", error) from error

    def take(self, count, awaited):
        while len(self.input) - self.at < count:
            self.receive(awaited)
        data = bytes(memoryview(self.input)[self.at : self.at + count])
        self.at += count
        if self.at == len(self.input) or self.at > 1 << 20:
            del self.input[: self.at]
            self.at = 0
        return data

    def next_frame(self, awaited):
        """(fin, rsv, opcode, payload) of a frame as a server has to write it (RFC 6455 sections 5.1, 5.2, 5.5)."""
        first, second = self.take(2, awaited)
        fin, rsv, opcode, length = first >> 7 == 1, first >> 4 & 7, first & 15, second & 127
        if second & 0x80:
            raise Unexpected("frames without mask", "a masked frame")
        if opcode not in NAMES:
            raise Unexpected(awaited, f"opcode {opcode}")
        if length == 126:
            length = struct.unpack(">H", self.take(2, awaited))[0]
            if length < 126:
                raise Unexpected("the shortest form of the length", f"{length} in 2 bytes")
        elif length == 127:
            length = struct.unpack(">Q", self.take(8, awaited))[0]
            if length < 65536 or length >= 1 << 63:
                raise Unexpected("the shortest form of the length", f"{length} in 8 bytes")
        if opcode >= CLOSE and (not fin or length > 125):
            raise Unexpected("a whole control frame of up to 125 bytes", f"{length} bytes, fin {fin}")
        compressed = self.deflate is not None and opcode in (TEXT, BINARY)
        if rsv & ~(RSV1 if compressed else 0):
            raise Unexpected("no reserved bits", f"rsv {rsv} in a {NAMES[opcode]} frame")
        return fin, rsv, opcode, self.take(length, awaited)

    def next_message(self, awaited):
        """(opcode, payload) of the next control frame or whole message; no control frames inside a message."""
        fin, rsv, opcode, payload = self.next_frame(awaited)
        if opcode == CONTINUATION:
            raise Unexpected(awaited, "a continuation of nothing")
        while not fin:
            fin, _, inner, more = self.next_frame(awaited)
            if inner != CONTINUATION:
                raise Unexpected("the rest of a message", describe(inner, more))
            payload += more
        if rsv:
            payload = self.deflate.decompress(payload)
        return opcode, payload

    def expect(self, opcode, payload):
        awaited = describe(opcode, payload)
        seen_opcode, seen = self.next_message(awaited)
        if seen_opcode != opcode or seen != payload:
            raise Unexpected(awaited, describe(seen_opcode, seen))

    def message_frames(self, opcode, payload, fragment=0):
        """The frames of a message, compressed when that was negotiated."""
        rsv = 0
        if self.deflate is not None:
            payload, rsv = self.deflate.compress(payload), RSV1
        return b"".join(fragments(opcode, pieces(payload, fragment) if fragment else [payload], rsv))

    def expect_close(self, codes):
        awaited = "close " + " or ".join(str(code) for code in codes)
        opcode, payload = self.next_message(awaited)
        if opcode != CLOSE or len(payload) == 1:
            raise Unexpected(awaited, describe(opcode, payload))
        code = struct.unpack(">H", payload[:2])[0] if payload else None
        if code not in codes:
            raise Unexpected(awaited, describe(opcode, payload))
        try:
            payload[2:].decode()
        except UnicodeDecodeError as error:
            raise Unexpected("a reason in UTF-8", payload[2:]) from error

    def expect_end(self):
        """The server closes the TCP connection (RFC 6455 section 7.1.1), in order (FIN, no reset), and adds nothing."""
        awaited = "end of the TCP connection by the server"
        rest = bytes(self.input[self.at :]) or self.receive_or_end(awaited, GOODBYE)
        if rest:
            raise Unexpected(awaited, f"bytes behind the close frame: {rest[:24]!r}")


# --- steps ------------------------------------------------------------------------------------------------------------


def sends(*frames, chop=0):
    """All frames in one write, or in pieces."""
    return lambda peer: peer.send(b"".join(frames), chop)


def sends_each(*frames):
    """Each frame in a write of its own."""

    def step(peer):
        for one in frames:
            peer.send(one)

    return step


def gets(opcode, payload=b""):
    return lambda peer: peer.expect(opcode, payload)


def is_failed(code):
    """The server fails the connection (RFC 6455 section 7.1.7): its close frame, then, once answered, the end."""

    def step(peer):
        peer.expect_close([code])
        peer.send(frame(CLOSE, close_payload(code)))
        peer.expect_end()

    return step


def is_closed(*codes):
    """The server has answered the client's close frame, and ends the connection."""

    def step(peer):
        peer.expect_close(codes)
        peer.expect_end()

    return step


def closes():
    """The client closes: the answer proves that nothing else was still to come."""

    def step(peer):
        peer.send(frame(CLOSE, close_payload(1000)))
        is_closed(1000)(peer)

    return step


def run(one, address):
    """Raises Unexpected, or NotNegotiated when an offered extension was declined."""
    with Peer(address, offer=one.offer) as peer:
        if one.offer and peer.deflate is None:
            closes()(peer)
            raise NotNegotiated("the server has declined permessage-deflate")
        for step in one.steps:
            step(peer)
