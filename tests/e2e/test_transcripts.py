# SPDX-License-Identifier: MIT
"""Plays tests/transcripts/*.txt (its README.md has the format) against the real server. Each file names the rows that
it proves in its first lines."""
import asyncio
import pathlib
import re

import client
from case import Skip, expect, shown
from server import Server

TRANSCRIPTS = pathlib.Path(__file__).resolve().parents[1] / "transcripts"
WAIT_MS_MAX = 3000

PLACEHOLDER = re.compile(r"<([A-Za-z][A-Za-z0-9-]*)(?:\+(\d+))?>")
PATTERNS = {
    "unix-s": r"\d{10}",
    "any": r"[A-Za-z0-9._:-]+",
    "iso-s": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ",
    "iso-ms": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z",
}


class Values:
    """The placeholders that have a value."""

    def __init__(self):
        self.known = {}

    def expand(self, text):
        def value(match):
            name, plus = match.groups()
            if name not in self.known:
                return match[0]
            return str(int(self.known[name]) + int(plus)) if plus else self.known[name]
        return PLACEHOLDER.sub(value, text)

    def match(self, expected, found):
        """Whether they are equal; placeholders that come for the first time are remembered."""
        pattern, at, groups = "", 0, {}
        text = self.expand(expected)
        for match in PLACEHOLDER.finditer(text):
            pattern += re.escape(text[at:match.start()])
            at = match.end()
            name = match[1]
            if name in PATTERNS:
                pattern += PATTERNS[name]
            elif name in groups:
                pattern += f"(?P={groups[name]})"
            else:
                groups[name] = f"g{len(groups)}"
                pattern += f"(?P<{groups[name]}>{PATTERNS['any']})"
        result = re.fullmatch(pattern + re.escape(text[at:]), found, re.DOTALL)
        if result is None:
            return False
        self.known |= {name: result[group] for name, group in groups.items()}
        return True


def read_steps(path):
    """(line number, connection, sign, text) of each step; a loop is (line number, "", "for", (name, range, steps))."""
    steps, outer = [], None
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        match = re.fullmatch(r"([A-Z][A-Z0-9]*)?(>x|<x|[><@!])(?: (.*))?", line, re.DOTALL)
        expect(match is not None, True, f"line {number} is a step")
        connection, sign, text = match[1] or "", match[2], match[3] or ""
        if sign == "@" and text.startswith("for "):
            _, name, first, last = text.split()
            outer, steps = steps, []
            outer.append((number, "", "for", (name, range(int(first), int(last) + 1), steps)))
        elif sign == "@" and text == "end":
            steps, outer = outer, None
        else:
            steps.append((number, connection, sign, text))
    return steps


def options_of(steps):
    """(dialect, {option: value}) of the first lines."""
    dialect, options = None, {}
    for _, _, sign, text in steps:
        words = text.split(" ", 2) if sign == "@" else [""]
        if words[0] == "dialect":
            dialect = words[1]
        elif words[0] == "set":
            value = words[2]
            options[words[1]] = value.split(",") if words[1] in ("keys", "origins", "policy", "sources") else value
    return dialect, options


class Player:
    def __init__(self, server, dialect):
        self.server = server
        self.dialect = dialect
        self.values = Values()
        self.connections = {}
        self.headers = {}

    async def play(self, steps):
        for number, connection, sign, text in steps:
            if sign == "for":
                name, numbers, inner = text
                for value in numbers:
                    self.values.known[name] = str(value)
                    await self.play(inner)
                del self.values.known[name]
                continue
            try:
                await self.step(connection, sign, text)
            except AssertionError as error:
                if not getattr(error, "line_known", False):
                    error.line_known = True
                    error.add_note(f"line {number}: {connection}{sign} {text}")
                raise

    async def step(self, name, sign, text):
        if sign == ">":
            await self.connections[name].send(self.values.expand(text))
        elif sign == ">x":
            await self.connections[name].send(bytes.fromhex(text))
        elif sign in ("<", "<x"):
            await self.expect_message(name, text if sign == "<" else bytes.fromhex(text))
        elif sign == "!":
            self.publisher_step(text)
        else:
            await self.control_step(name, *text.partition(" ")[::2])

    async def expect_message(self, name, wanted):
        while True:
            found = await client.receive(self.connections[name])
            if not is_heartbeat(found) or (isinstance(wanted, str) and '"heartbeat"' in wanted):
                break
        is_text = isinstance(wanted, str) and isinstance(found, str)
        if not (self.values.match(wanted, found) if is_text else found == wanted):
            wanted = self.values.expand(wanted) if isinstance(wanted, str) else wanted
            raise AssertionError(f"message\n  expected {shown(wanted)}\n  found    {shown(found)}")

    def publisher_step(self, text):
        head, _, result = text.rpartition(" -> ")
        verb, topic, *body = head.split(" ", 2)
        status, _, content = result.partition(" ")
        if verb == "ingest":
            kind = "text/plain" if self.dialect == "plain" else "application/json"
            found, answer = self.server.ingest(f"{self.dialect}/{topic}", self.values.expand(body[0]).encode(), kind)
            expect(found, int(status), f"status (answer {answer})")
        else:
            found, answer = self.server.read_state(f"{self.dialect}/{topic}")
            expect(found, int(status), "status")
            if content and not self.values.match(content, answer.decode()):
                raise AssertionError(f"state\n  expected {shown(content)}\n  found    {shown(answer)}")

    def http_step(self, text):
        request, _, result = text.partition(" -> ")
        status, _, content = result.partition(" ")
        found, answer = self.server.request(self.dialect, *request.split(" "))
        expect(found, int(status), "status")
        if content and not self.values.match(content, answer.decode()):
            raise AssertionError(f"content\n  expected {shown(content)}\n  found    {shown(answer)}")

    async def control_step(self, name, verb, rest):
        if verb in ("dialect", "set"):
            return
        if verb == "header":
            key, _, value = rest.partition(": ")
            self.headers.setdefault(name, {})[key] = value
        elif verb == "connect":
            path, _, status = rest.partition(" -> ")
            url = self.server.url(self.dialect, self.values.expand(path))
            headers = self.headers.pop(name, {})
            if status:
                expect(await client.refused(url, extra_headers=headers), int(status), "status of the upgrade")
            else:
                self.connections[name] = await client.connect(url, extra_headers=headers)
        elif verb == "request":
            self.http_step(rest)
        elif verb == "quiet":
            await client.quiet(self.connections[name])
        elif verb == "expect-close":
            code, _, reason = rest.partition(" ")
            expect(await client.closed(self.connections.pop(name)), (int(code), reason), "close")
        elif verb == "close":
            await self.connections.pop(name).close()
        elif verb == "wait":
            await asyncio.sleep(int(rest) / 1000)
        else:
            raise AssertionError(f"unknown step {verb}")

    async def end(self):
        """Nothing is left that no line expected."""
        await asyncio.sleep(client.QUIET_SECONDS)
        for name, ws in self.connections.items():
            left = [message for message in ws.messages if not is_heartbeat(message)]
            expect(left, [], f"messages left on connection {name!r}")
        await client.close_all(self.connections.values())


def is_heartbeat(message):
    return isinstance(message, str) and message.startswith('{"type":"heartbeat"')


def case_of(path):
    async def play():
        steps = read_steps(path)
        waits = [int(text.split()[1]) for _, _, sign, text in steps if sign == "@" and text.startswith("wait ")]
        if sum(waits) > WAIT_MS_MAX:
            raise Skip(f"waits {sum(waits) // 1000} s; the pure player plays it in simulated time")
        dialect, options = options_of(steps)
        with Server(**{dialect: options}) as server:
            player = Player(server, dialect)
            await player.play(steps)
            await player.end()
    play.__doc__ = path.read_text(encoding="utf-8").splitlines()[0].lstrip("# ")
    return play


def cases():
    for path in sorted(TRANSCRIPTS.glob("*.txt")):
        yield path.stem, case_of(path)
