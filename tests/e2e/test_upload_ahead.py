# SPDX-License-Identifier: MIT
"""Chunks of a connection that are sent without waiting: several are under way at the depot, and the answers keep the order of the
messages, whatever stands between the chunks (N-52, N-60, N-64 to N-66, N-69)."""
import asyncio
import random
import tempfile

import websockets

from case import expect
from server import Server
from uploads import digest, files_below, pieces, section, uploader

CHUNK = 50000


def what(message):
    """What of an answer is told apart here."""
    payload = message["payload"]
    return (message["type"].rsplit(".", 1)[-1], payload.get("session_id"), payload.get("chunks_received"), payload.get("status"),
            payload.get("error"))


class Script:
    """Messages for two uploads in an order of chance, and what has to be answered to each, in that order."""

    def __init__(self, draws, sessions, contents):
        self.draws, self.sessions, self.contents = draws, sessions, contents
        self.left = [draws.sample(pieces(content, CHUNK), len(pieces(content, CHUNK))) for content in contents]
        self.received, self.paused = [0] * len(sessions), [False] * len(sessions)
        self.answers = []

    def answer(self, kind, session, count=None, status=None, error=None):
        self.answers.append((kind, session, count, status, error))

    async def step(self, up):
        n = self.draws.choice([n for n, left in enumerate(self.left) if left])
        session = self.sessions[n]
        draw = self.draws.random()
        if draw < 0.1:
            self.paused[n] = not self.paused[n]
            await up.send("pause" if self.paused[n] else "resume", session_id=session)
            self.answer("progress", session, self.received[n], "paused" if self.paused[n] else "active")
        elif draw < 0.15:
            await up.send("pause", session_id="session-none")
            self.answer("error", "session-none", error="Upload session not found")
        elif draw < 0.2:
            await up.send("start", service_id=1, filename="x", file_path="../x", total_size=1, total_chunks=1, chunk_size=1)
            self.answer("error", "", error="Invalid file path")
        elif self.paused[n]:
            await up.send_chunk(session, *self.left[n][-1])
            self.answer("error", session, error="Upload session is paused")
        else:
            await up.send_chunk(session, *self.left[n].pop())
            self.received[n] += 1
            self.answer("progress", session, self.received[n])
            if not self.left[n]:
                self.answer("complete", session)


async def test_answers_keep_the_order_of_messages_that_wait_for_none():
    draws = random.Random(1)
    with tempfile.TemporaryDirectory() as root, Server(rnn=section(root, require_service=False, messages_max=0)) as server:
        for turn in range(6):
            up = await uploader(server)
            contents = [draws.randbytes(draws.randrange(CHUNK, 12 * CHUNK)) for _ in range(2)]
            names = [f"{turn}/{n}" for n in range(2)]
            sessions = [await up.start(name, content, CHUNK) for name, content in zip(names, contents)]
            script = Script(draws, sessions, contents)
            reader = asyncio.ensure_future(read_all(up, script))
            while any(script.left):
                await script.step(up)
            await up.send("pause", session_id="session-end")
            script.answer("error", "session-end", error="Upload session not found")
            heard = await reader
            expect(heard, script.answers, f"turn {turn}")
            found = files_below(root)
            for name, content in zip(names, contents):
                expect(found["1/" + name] == content, True, name)
            await up.close()


async def read_all(up, script):
    """To the answer of the last message; the hashes are looked at."""
    heard = []
    while not heard or heard[-1][1] != "session-end":
        message = await up.receive()
        heard.append(what(message))
        if message["type"] == "file.upload.complete":
            content = script.contents[script.sessions.index(message["payload"]["session_id"])]
            expect(message["payload"]["file_hash"], digest(content))
    return heard


async def test_a_start_for_a_known_service_waits_its_turn_behind_chunks():
    """It asks the node for its service first (N-54): that and the chunks before it do not get into each other's way."""
    from uploads import register
    with tempfile.TemporaryDirectory() as root, Server(rnn=section(root)) as server:
        register(server)
        up = await uploader(server)
        content = bytes(range(256)) * 1000
        session = await up.start("a", content, CHUNK)
        for _ in range(3):
            for index, piece in pieces(content, CHUNK)[:-1]:
                await up.send_chunk(session, index, piece)
            await up.send("start", service_id=2, filename="b", file_path="b", total_size=5, total_chunks=1, chunk_size=5)
            for count in range(len(pieces(content, CHUNK)) - 1):
                message = await up.receive()
                expect((message["type"], message["payload"]["session_id"]), ("file.upload.progress", session), count)
            message = await up.receive()
            expect((message["type"], message["payload"]["chunks_received"]), ("file.upload.progress", 0))
        await up.close()


async def test_a_connection_that_goes_with_chunks_under_way_leaves_the_others_alone():
    with tempfile.TemporaryDirectory() as root, Server(rnn=section(root, require_service=False, messages_max=0)) as server:
        content = bytes(range(256)) * 4000
        other = await uploader(server)
        mine = await other.start("mine", content, CHUNK)
        for turn in range(10):
            up = await uploader(server)
            session = await up.start(f"gone/{turn}", content, CHUNK)
            for index, piece in pieces(content, CHUNK)[:6]:
                await up.send_chunk(session, index, piece)
            up.ws.transport.abort()
            try:
                await up.ws.wait_closed()
            except websockets.ConnectionClosed:
                pass
            expect((await other.chunk(mine, turn, pieces(content, CHUNK)[turn][1]))["chunks_received"], turn + 1)
        for index, piece in pieces(content, CHUNK)[10:]:
            await other.chunk(mine, index, piece)
        await other.expect("complete", session_id=mine, file_hash=digest(content), group_complete=True)
        await other.close()
