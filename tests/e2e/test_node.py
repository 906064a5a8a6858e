# SPDX-License-Identifier: MIT
"""Clients of npm `ws`, each a small program in node/ that prints what it saw as JSON lines."""
import json
import pathlib
import shutil
import signal
import subprocess

from case import BRAKE_SECONDS, Skip, expect
from server import Server
from test_rustorium import KEY, PATH, block

HERE = pathlib.Path(__file__).resolve().parent


class Node:
    """with Node("file.js", argument...) as node: node.line() is what it printed next, read as JSON."""

    def __init__(self, name, *arguments):
        if shutil.which("node") is None:
            raise Skip("node is not installed")
        if not (HERE / "node_modules" / "ws").is_dir():
            subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=HERE, check=True, stdout=subprocess.DEVNULL)
        self.process = subprocess.Popen(["node", HERE / "node" / name, *arguments], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            self.process.kill()
        self.process.communicate(timeout=BRAKE_SECONDS)
        if kind is None:
            expect(self.process.returncode, 0, "exit code of node")

    def line(self):
        text = self.process.stdout.readline()
        expect(text != "", True, "a line from node")
        return json.loads(text)


def test_documented_javascript_client():
    """R-38, R-1 to R-6, R-10, R-11, R-21 to R-24: what the documented client does, step by step, with `ws`."""
    with Server(rustorium={"keys": [KEY], "attempts_per_minute": 0}) as server:
        with Node("rustorium.js", server.url("rustorium", PATH)) as node:
            expect([node.line() for _ in range(3)], [["subscribe_success", "sub1"], ["subscribe_success", "sub2"],
                                                     ["subscribe_success", "sub3"]])
            expect(node.line(), ["error", 4003, "Unknown channel"])
            server.publish("rustorium/blocks", block(900, transactions=["0xt1"]))
            expect([node.line(), node.line()], [["new_block", 900], ["tx_confirmed", "0xt1"]])
            server.publish("rustorium/state", {"key": "0x12", "value": "AAAA", "block_number": 900})
            expect(node.line(), ["state_update", "0x12"])
            server.signal(signal.SIGTERM)
            expect(node.line(), ["close", 1001, "going away"])


def test_javascript_client_with_a_bad_token():
    """R-3: `onclose` sees code and reason, `onmessage` the error in front of them."""
    with Server(rustorium={"keys": [KEY], "attempts_per_minute": 0}) as server:
        with Node("rustorium.js", server.url("rustorium", "/ws?token=bad")) as node:
            expect(node.line(), ["error", 4000, "Invalid token"])
            expect(node.line(), ["close", 4000, "Invalid token"])


def test_javascript_limits():
    """R-33, R-36, R-31: the eleventh connection, 64 KiB and one byte, ten invalid messages, as `ws` sees them."""
    with Server(rustorium={"keys": [KEY], "attempts_per_minute": 0}) as server:
        with Node("limits.js", server.url("rustorium", PATH)) as node:
            expect(node.line(), ["eleventh", 4001, "Rate limited"])
            expect(node.line(), ["large", 1009])
            expect(node.line(), ["invalid", 4002, "Invalid message"])


def test_javascript_echo():
    """O-8, K-2: all sizes, text and binary, fragments, ping and pong, with and without an offer of compression."""
    with Server(echo={"message_bytes_max": "1MiB"}) as server:
        with Node("echo.js", server.url("echo", "/echo")) as node:
            expect(node.line(), ["same", 32])
            expect(node.line(), ["pong", "payload"])
            expect(node.line(), ["close", 1000])
