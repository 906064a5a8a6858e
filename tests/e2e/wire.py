# SPDX-License-Identifier: MIT
"""A client without manners: it sends the bytes that a test says and reads what comes back, with no check of its own."""
import os
import socket
import struct

import transport
from case import BRAKE_SECONDS, expect

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


def frame(opcode, payload=b"", *, fin=True, rsv=0, mask=True, announced=None):
    """A client's frame (RFC 6455 section 5.2). `announced` is a length other than the payload's, in 8 bytes."""
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    bit = 0x80 if mask else 0
    if announced is not None:
        head += bytes([bit | 127]) + struct.pack("!Q", announced)
    elif len(payload) < 126:
        head += bytes([bit | len(payload)])
    elif len(payload) < 65536:
        head += bytes([bit | 126]) + struct.pack("!H", len(payload))
    else:
        head += bytes([bit | 127]) + struct.pack("!Q", len(payload))
    if not mask:
        return head + payload
    key = os.urandom(4)
    repeated = key * (len(payload) // 4 + 1)
    masked = int.from_bytes(payload, "big") ^ int.from_bytes(repeated[:len(payload)], "big")
    return head + key + masked.to_bytes(len(payload), "big")


def close_payload(code, reason=""):
    return struct.pack("!H", code) + reason.encode()


def upgrade_request(path, *, headers=(), version="13", method="GET", http="1.1", key="dGhlIHNhbXBsZSBub25jZQ=="):
    lines = [f"{method} {path} HTTP/{http}", "Host: localhost", "Upgrade: websocket", "Connection: Upgrade"]
    if key is not None:
        lines.append(f"Sec-WebSocket-Key: {key}")
    if version is not None:
        lines.append(f"Sec-WebSocket-Version: {version}")
    return ("\r\n".join([*lines, *headers]) + "\r\n\r\n").encode()


class Wire:
    """One TCP connection, with TLS on it when all speak it, or when the test says so (False; or the client's context)."""

    def __init__(self, port, *, receive_buffer=None, tls=None):
        self.socket = socket.socket()
        self.socket.settimeout(BRAKE_SECONDS)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.connect(("127.0.0.1", port))
        if transport.everywhere if tls is None else tls:
            self.socket = transport.wrap(self.socket, context=None if tls in (None, True) else tls)
        self.held = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, *parts):
        self.socket.sendall(b"".join(parts))

    def half_close(self):
        socket.socket.shutdown(self.socket, socket.SHUT_WR)  # of TCP: TLS can still read

    def reset(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def more(self):
        part = self.socket.recv(1 << 20)
        self.held += part
        return bool(part)

    def take(self, count):
        while len(self.held) < count:
            if not self.more():
                raise AssertionError(f"the server has ended the connection; held: {self.held[:200]!r}")
        part, self.held = self.held[:count], self.held[count:]
        return part

    def head(self):
        """(status, {lower-case name: value}) of a response."""
        while b"\r\n\r\n" not in self.held:
            if not self.more():
                raise AssertionError(f"the server has ended the connection; held: {self.held[:200]!r}")
        text, _, self.held = self.held.partition(b"\r\n\r\n")
        first, *rest = text.decode().split("\r\n")
        return int(first.split()[1]), {n.lower(): v.strip() for n, v in (line.split(":", 1) for line in rest)}

    def response(self):
        """(status, headers, content)"""
        status, headers = self.head()
        return status, headers, self.take(int(headers.get("content-length", 0)))

    def frame(self):
        """(opcode, payload) of the next frame, which has to be whole, unmasked and without reserved bits."""
        first, second = self.take(2)
        expect((first & 0xF0, second & 0x80), (0x80, 0), "FIN, RSV and MASK of a server's frame")
        size = second
        if size == 126:
            size = struct.unpack("!H", self.take(2))[0]
        elif size == 127:
            size = struct.unpack("!Q", self.take(8))[0]
        return first & 15, self.take(size)

    def close_code(self):
        """The code of the close frame, which is the next thing that comes."""
        opcode, payload = self.frame()
        expect(opcode, CLOSE, "opcode")
        return struct.unpack("!H", payload[:2])[0] if payload else None

    def ended(self):
        """Whether the server ends the connection (FIN or reset) with nothing more sent."""
        try:
            return not self.held and not self.more()
        except ConnectionResetError:
            return True

    def upgrade(self, path, **options):
        self.send(upgrade_request(path, **options))
        status, _ = self.head()
        expect(status, 101, f"status of the upgrade to {path}")
        return self
