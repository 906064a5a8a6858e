# SPDX-License-Identifier: MIT
"""TLS clients that look at records: one that gives and takes ciphertext by hand (ssl.MemoryBIO), and hellos written byte by
byte (RFC 8446 sections 4.1.2 and 5.1)."""
import os
import socket
import ssl
import struct

import transport
from case import BRAKE_SECONDS

CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, APPLICATION = 20, 21, 22, 23
CLIENT_HELLO, SERVER_HELLO = 1, 2
HANDSHAKE_FAILURE, PROTOCOL_VERSION = 40, 70


def connect(port):
    plain = socket.create_connection(("127.0.0.1", port), BRAKE_SECONDS)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return plain


def read_to_end(plain):
    """All that comes until the server ends the connection; a reset ends it too."""
    found = b""
    try:
        while part := plain.recv(1 << 16):
            found += part
    except ConnectionResetError:
        pass
    return found


# --- ciphertext by hand -----------------------------------------------------------------------------------------------


class Records:
    """One connection. What the client's TLS has to say waits in `out` until `push`."""

    def __init__(self, port, *, context=None, name="localhost", piece=0):
        self.socket = connect(port)
        self.piece = piece
        self.incoming, self.out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = (context or transport.trusting()).wrap_bio(self.incoming, self.out, server_hostname=name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def push(self):
        """Sends what waits, in pieces of `piece` bytes if that is not 0."""
        data = self.out.read()
        step = self.piece or max(1, len(data))
        for at in range(0, len(data), step):
            self.socket.sendall(data[at:at + step])

    def pull(self):
        """Takes bytes of the server; false: TCP has ended."""
        data = self.socket.recv(1 << 16)
        if data:
            self.incoming.write(data)
        else:
            self.incoming.write_eof()
        return bool(data)

    def until_done(self, step):
        while True:
            try:
                result = step()
                self.push()
                return result
            except ssl.SSLWantReadError:
                self.push()
                self.pull()

    def shake_hands(self):
        self.until_done(self.tls.do_handshake)
        return self

    def send(self, data):
        self.tls.write(data)
        self.push()

    def receive(self):
        """What one record holds; b"": close_notify has come."""
        try:
            return self.until_done(lambda: self.tls.read(1 << 16))
        except ssl.SSLZeroReturnError:
            return b""

    def take(self, count):
        found = b""
        while len(found) < count:
            part = self.receive()
            if not part:
                raise AssertionError(f"close_notify behind {found!r}")
            found += part
        return found

    def close_notify(self):
        """Says goodbye and waits for nothing."""
        try:
            self.tls.unwrap()
        except ssl.SSLWantReadError:
            pass
        self.push()


# --- hellos byte by byte ----------------------------------------------------------------------------------------------


def record(kind, body, version=0x0301):
    return struct.pack(">BHH", kind, version, len(body)) + body


def counted(form, data):
    return struct.pack(form, len(data)) + data


def extension(number, body):
    return struct.pack(">H", number) + counted(">H", body)


def hello(suites, *, version=0x0303, versions=(0x0304,), name=None):
    """The record of a client hello. `versions`: of the extension, none without it."""
    groups = b"".join(struct.pack(">H", group) for group in (0x001D, 0x0017, 0x0018))
    signatures = b"".join(struct.pack(">H", one) for one in (0x0403, 0x0503, 0x0804, 0x0805, 0x0401, 0x0501, 0x0201))
    extensions = extension(10, counted(">H", groups)) + extension(11, b"\x01\x00")
    extensions += extension(13, counted(">H", signatures))
    if versions:
        extensions += extension(43, counted(">B", b"".join(struct.pack(">H", one) for one in versions)))
    if 0x0304 in versions:
        share = os.urandom(31) + b"\x01"  # any number below 2^255 is a key of X25519
        extensions += extension(51, counted(">H", struct.pack(">H", 0x001D) + counted(">H", share)))
    if name:
        extensions += extension(0, counted(">H", b"\x00" + counted(">H", name.encode())))
    body = struct.pack(">H", version) + os.urandom(32) + b"\x00"
    body += counted(">H", b"".join(struct.pack(">H", suite) for suite in suites)) + b"\x01\x00"
    body += counted(">H", extensions)
    return record(HANDSHAKE, struct.pack(">I", CLIENT_HELLO << 24 | len(body)) + body)


def answer(port, request):
    """("hello", suite) or ("alert", description) or ("end", bytes): the first record that comes back."""
    with connect(port) as plain:
        plain.sendall(request)
        found = b""
        while len(found) < 5 or len(found) < 5 + struct.unpack(">H", found[3:5])[0]:
            try:
                part = plain.recv(1 << 16)
            except ConnectionResetError:
                part = b""
            if not part:
                return "end", found
            found += part
        body = found[5:]
        if found[0] == ALERT:
            return "alert", body[1]
        if (found[0], body[0]) != (HANDSHAKE, SERVER_HELLO):
            return "end", found
        at = 4 + 2 + 32
        at += 1 + body[at]
        return "hello", struct.unpack(">H", body[at:at + 2])[0]


def suites_on_offer(port, **options):
    """Every suite that the server would take, out of all 65536 code points. A hello holds 140: libraries do not read more."""
    found = []
    for first in range(0, 65536, 140):
        some = set(range(first, min(first + 140, 65536))) - {0x00FF, 0x5600}  # those two are signals, no suites
        while some:
            kind, what = answer(port, hello(sorted(some), **options))
            if (kind, what) == ("alert", HANDSHAKE_FAILURE):
                break
            if kind != "hello":
                raise AssertionError(f"{kind} {what!r} in answer to suites from {first:#06x} on")
            found.append(what)
            some.remove(what)
    return found
