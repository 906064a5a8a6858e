# SPDX-License-Identifier: MIT
"""Shows that the cases are alive: a small echo server passes all that are tried, and with one fault planted at a time
it fails those that are about that fault. cases.py --self-test runs this; it needs no binary."""
import base64
import hashlib
import socket
import socketserver
import struct
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor

import cases
import cases_wire
from cases_wire import (BINARY, CLOSE, CONTINUATION, PING, PONG, RSV1, SYNC_TAIL, TEXT, close_payload, masked,
                        parse_offer)

# fault: the cases that have to find it, by number, group or section; all others of CHECKED have to pass
FAULTS = {
    "": [],
    "long length": ["1.1.1"],
    "masks": ["1.1.1"],
    "loses a byte": ["1.1.2"],
    "echoes twice": ["1.1.2"],
    "no pong": ["2.2"],
    "pong to pong": ["2.7"],
    "takes reserved bits": ["3.1", "3.6"],
    "takes opcodes": ["4.1.1", "4.2.1"],
    "takes lonely continuations": ["5.9", "5.12", "5.15"],
    "pongs late": ["5.6", "5.19"],
    "checks no UTF-8": ["6.3.1", "6.4.1", "6.20.1"],
    "checks UTF-8 late": ["6.4.1", "6.4.2", "6.4.3", "6.4.4"],
    "takes close codes": ["7.9.1", "7.13.1"],
    "wrong close code": ["3.1", "5.9", "7.9.1"],
    "answers close with 1000": ["7.7.2", "7.7.13"],
    "stays": ["1.1.1", "7.1.1"],
    "resets": ["1.1.1", "7.1.1"],
    "talks behind close": ["7.1.3"],
    "no compression": [],
    "RSV1 on each fragment": ["12.1.11"],
    "forgets to answer an offer": ["13.2.1"],
    "window too large": ["13.3.10"],
}
CHECKED = ["1.1.1", "1.1.2", "1.2.8", "2.2", "2.7", "2.11", "3.1", "3.6", "4.1.1", "4.2.1", "5.6", "5.9", "5.12",
           "5.15", "5.19", "6.3.1", "6.4.1", "6.4.2", "6.4.3", "6.4.4", "6.20.1", "6.22.1", "7.1.1", "7.1.3", "7.3.1",
           "7.7.2", "7.7.13", "7.9.1", "7.13.1", "10.1.1", "12.1.11", "12.2.10", "13.1.1", "13.2.1", "13.3.10",
           "13.7.5"]


class Fail(Exception):
    """Fail the connection with this code."""


class Echo(socketserver.BaseRequestHandler):
    def has(self, fault):
        return self.server.fault == fault

    def take(self, count):
        data = b""
        while len(data) < count:
            part = self.request.recv(count - len(data))
            if not part:
                raise EOFError
            data += part
        return data

    def handle(self):
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self.shake_hands()
            self.serve()
        except (EOFError, OSError):
            return

    def shake_hands(self):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self.take(1)
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:] if line)
        digest = hashlib.sha1((fields["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
        answer = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade",
                  f"Sec-WebSocket-Accept: {base64.b64encode(digest).decode()}"]
        self.deflate, self.forgets, self.bits = "Sec-WebSocket-Extensions" in fields, False, 15
        if self.has("no compression"):
            self.deflate = False
        if self.deflate:
            wanted = parse_offer(fields["Sec-WebSocket-Extensions"].split(",")[0])[1]
            agreed = "permessage-deflate"
            if "server_no_context_takeover" in wanted and not self.has("forgets to answer an offer"):
                self.forgets, agreed = True, agreed + "; server_no_context_takeover"
            if "server_max_window_bits" in wanted:
                self.bits = int(wanted["server_max_window_bits"])
                agreed += f"; server_max_window_bits={self.bits}"
            answer.append(f"Sec-WebSocket-Extensions: {agreed}")
            self.deflater, self.inflater = None, zlib.decompressobj(-15)
        self.request.sendall("\r\n".join(answer + ["", ""]).encode())

    # --- out ---

    def frame(self, opcode, payload, fin=True, rsv=0):
        mask = 0x80 if self.has("masks") else 0
        head, count = bytes([fin << 7 | rsv << 4 | opcode]), len(payload)
        if count < 126 and not self.has("long length"):
            head += bytes([mask | count])
        elif count < 65536:
            head += struct.pack(">BH", mask | 126, count)
        else:
            head += struct.pack(">BQ", mask | 127, count)
        self.request.sendall(head + (b"\0\0\0\0" if mask else b"") + payload)

    def echo(self, opcode, payload):
        if self.has("loses a byte"):
            payload = payload[:-1]
        if not self.deflate:
            for _ in range(2 if self.has("echoes twice") and payload else 1):
                self.frame(opcode, payload)
            return
        if self.deflater is None or self.forgets:
            self.deflater = zlib.compressobj(1, zlib.DEFLATED, -15 if self.has("window too large") else -self.bits)
        data = (self.deflater.compress(payload) + self.deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]
        self.frame(opcode, data[:5], fin=False, rsv=RSV1)
        self.frame(CONTINUATION, data[5:], rsv=RSV1 if self.has("RSV1 on each fragment") else 0)

    # --- in ---

    def text_fault(self, payload, final):
        if self.has("checks no UTF-8"):
            return False
        try:
            if final:
                payload.decode()
            elif not self.has("checks UTF-8 late"):
                payload.decode()
        except UnicodeDecodeError as error:
            return final or error.reason != "unexpected end of data"
        return False

    def read_payload(self, length, key, so_far, checked):
        """Byte by byte where it is text, so that it can be refused at once."""
        if not checked:
            return masked(self.take(length), key)
        payload = b""
        while len(payload) < length:
            at = len(payload)
            payload += bytes([self.take(1)[0] ^ key[at % 4]])
            if self.text_fault(so_far + payload, False):
                raise Fail(1007)
        return payload

    def check_header(self, fin, rsv, opcode, length, message_opcode):
        allowed = RSV1 if self.deflate and opcode in (TEXT, BINARY) else 0
        if rsv & ~allowed and not self.has("takes reserved bits"):
            raise Fail(1002)
        if opcode not in (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG) and not self.has("takes opcodes"):
            raise Fail(1002)
        if opcode >= CLOSE and (not fin or length > 125):
            raise Fail(1002)
        if opcode == CONTINUATION and message_opcode is None and not self.has("takes lonely continuations"):
            raise Fail(1002)
        if opcode in (TEXT, BINARY) and message_opcode is not None:
            raise Fail(1002)

    def serve(self):
        try:
            self.read_frames()
        except Fail as failure:
            code = failure.args[0]
            if self.has("wrong close code") and code == 1002:
                code = 1000
            self.frame(CLOSE, close_payload(code))
            self.end()

    def read_frames(self):
        message_opcode, message, compressed, late = None, b"", False, []
        while True:
            first, second = self.take(2)
            fin, rsv, opcode, length = first >> 7 == 1, first >> 4 & 7, first & 15, second & 127
            if length == 126:
                length = struct.unpack(">H", self.take(2))[0]
            elif length == 127:
                length = struct.unpack(">Q", self.take(8))[0]
            self.check_header(fin, rsv, opcode, length, message_opcode)
            key = self.take(4)
            kind = opcode if opcode != CONTINUATION else message_opcode
            payload = self.read_payload(length, key, message, kind == TEXT and not self.deflate and length < 100)
            if opcode == CLOSE:
                self.answer_close(payload)
                return
            if opcode == PING and not self.has("no pong"):
                if self.has("pongs late") and message_opcode is not None:
                    late.append(payload)
                else:
                    self.frame(PONG, payload)
            if opcode == PONG and self.has("pong to pong"):
                self.frame(PONG, payload)
            if kind is None or opcode >= 3:
                continue
            if opcode != CONTINUATION:
                message_opcode, message, compressed = opcode, b"", rsv == RSV1 and self.deflate
            message += payload
            if not fin:
                continue
            if compressed:
                message = self.inflater.decompress(message + SYNC_TAIL)
            if message_opcode == TEXT and self.text_fault(message, True):
                raise Fail(1007)
            self.echo(message_opcode, message)
            for one in late:
                self.frame(PONG, one)
            message_opcode, message, late = None, b"", []

    def answer_close(self, payload):
        code = struct.unpack(">H", payload[:2])[0] if len(payload) >= 2 else None
        known = code in (None, 1000, 1001, 1002, 1003, *range(1007, 1012)) or 3000 <= code < 5000
        if len(payload) == 1 or not known and not self.has("takes close codes"):
            raise Fail(1002)
        if self.has("answers close with 1000"):
            code = 1000
        self.frame(CLOSE, b"" if code is None else close_payload(code))
        if self.has("talks behind close"):
            self.frame(PONG, b"?")
        self.end()

    def end(self):
        if self.has("stays"):
            while self.request.recv(4096):
                pass
        elif self.has("resets"):
            self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.request.close()
        else:
            self.request.shutdown(socket.SHUT_WR)
            while self.request.recv(4096):
                pass


class EchoServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True
    request_queue_size = 100

    def __init__(self, fault):
        super().__init__(("127.0.0.1", 0), Echo)
        self.fault = fault


def judge(fault, found_by, table):
    """What is wrong with the verdicts on a server with this fault; "" when nothing is."""
    with EchoServer(fault) as echo:
        threading.Thread(target=echo.serve_forever, daemon=True).start()
        try:
            with ThreadPoolExecutor(cases.AT_ONCE) as workers:
                found = workers.map(lambda number: cases.verdict(table[number], echo.server_address), CHECKED)
                verdicts = dict(zip(CHECKED, found))
        finally:
            echo.shutdown()
    if not fault:
        bad = {number: detail for number, (result, detail) in verdicts.items() if result != "passed"}
        return f"a good server fails {bad}" if bad else ""
    if fault == "no compression":
        bad = [number for number in CHECKED if number[:2] in ("12", "13") and verdicts[number][0] != "skipped"]
        return f"not skipped: {bad}" if bad else ""
    missed = [number for number in found_by if verdicts[number][0] != "failed"]
    return f"not found by {missed}" if missed else ""


def main():
    cases_wire.PATIENCE = 1.0
    table = {one.number: one for one in cases.table()}
    failed = 0
    for fault, found_by in FAULTS.items():
        wrong = judge(fault, found_by, table)
        failed += bool(wrong)
        print(f"{'FAIL' if wrong else 'ok':4} {fault or 'no fault'}{': ' if wrong else ''}{wrong}")
    print(f"cases: {len(FAULTS) - failed} passed, {failed} failed")
    return 1 if failed else 0
