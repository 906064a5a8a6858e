# SPDX-License-Identifier: MIT
"""An acknowledged chunk is kept: the node is killed with SIGKILL at random moments under uploads and started again from the same
store and the same folder. How much load a round has and when the kill comes is counted in acknowledgements, not in time; the
seed is printed with what went wrong, and RINGCAST_KILL_SEED repeats the draws (not the scheduling of the machine)."""
import asyncio
import hashlib
import os
import random
import shutil
import tempfile
import time

import websockets

from case import expect, full
from server import Server
from uploads import digest, files_below, pieces, register, section, uploader

CLIENTS = 4
FILES = 2  # that a client has on the way at once
ACKS_MAX = 120  # of a round, before it is killed
KILLED_AT_START = 0.2  # the part of the rounds whose process is also killed before it has loaded its records
SETTINGS = {"messages_max": 0, "connections_per_key": 0, "idle_timeout": "0", "ping_interval": "0"}  # nothing that a busy machine could meet


class File:
    """One upload as its client knows it: what has been acknowledged, and what may have happened unseen."""

    def __init__(self, draws, path):
        self.path = path
        self.content = draws.randbytes(draws.choice((0, 1, 3000, 40000, 200000)))
        self.chunk = draws.choice((1000, 4096, 30000, 65536))
        self.pieces = dict(pieces(self.content, self.chunk))
        self.session = None
        self.acknowledged = set()
        self.ended = False  # its end was told
        self.last_sent = False  # a chunk was sent with which it may have ended unseen


class Play:
    """The load of one folder over many lives of its server."""

    def __init__(self, server, root, seed):
        self.server, self.root = server, root
        self.random = random.Random(seed)
        self.round = 0
        self.findings = []
        self.files = []  # all of all rounds
        self.open = [[] for _ in range(CLIENTS)]
        self.acks = self.acks_wanted = self.chunks = 0
        self.enough = None
        self.killed = self.finishing = False
        self.forgets = False  # what the node has kept of sessions is thrown away at each kill

    def find(self, text):
        self.findings.append(f"round {self.round}: {text}")

    def ack(self):
        self.acks += 1
        if self.acks >= self.acks_wanted:
            self.enough.set()

    # --- clients ---

    async def begin(self, peer, number):
        file = File(self.random, f"{number}/{len(self.files)}")
        self.files.append(file)
        await self.start_session(peer, file)
        self.open[number].append(file)
        self.ack()

    async def start_session(self, peer, file):
        """Its session; a start whose answer was lost with the server is not ours any more."""
        file.session = await peer.start(file.path, file.content, file.chunk)
        file.acknowledged = set()
        if not file.content:
            await self.end(peer, file)

    async def end(self, peer, file):
        message = await peer.receive()
        expect((message["type"], message["payload"]["session_id"]), ("file.upload.complete", file.session), message)
        if message["payload"]["file_hash"] != digest(file.content):
            self.find(f"{file.path}: {message['payload']['file_hash']} is not its hash")
        file.ended = True

    async def go_on(self, peer, file):
        """Behind a restart: every chunk that was acknowledged is there."""
        await peer.send("resume", session_id=file.session)
        message = await peer.receive()
        payload = message["payload"]
        if message["type"] == "file.upload.complete" and payload["session_id"] == file.session:
            return self.whole(file)
        if message["type"] == "file.upload.error":
            if not file.last_sent:
                self.find(f"{file.path}: {payload['code']} of a session with {len(file.pieces) - len(file.acknowledged)} chunks missing")
            return self.whole(file)
        lost = file.acknowledged & set(payload["missing_chunks"])
        if lost:
            self.find(f"{file.path}: {sorted(lost)[:10]} were acknowledged and are missing")
        file.acknowledged = set(file.pieces) - set(payload["missing_chunks"])
        if payload["chunks_received"] != len(file.acknowledged):
            self.find(f"{file.path}: {payload['chunks_received']} received, {len(file.acknowledged)} not missing")
        if file.content and not payload["missing_chunks"]:
            await self.end(peer, file)

    def whole(self, file):
        """Its session is gone: then all of it is in its place."""
        found = files_below(self.root).get(f"1/{file.path}")
        if found != file.content:
            self.find(f"{file.path}: its session is gone, its file {'is not there' if found is None else 'is another one'}")
        file.ended = True

    async def one_chunk(self, peer, file):
        missing = sorted(set(file.pieces) - file.acknowledged)
        index = self.random.choice(missing) if self.random.random() < 0.5 else missing[0]
        if file.acknowledged and self.random.random() < 0.05:
            index = self.random.choice(sorted(file.acknowledged))  # once more
        file.last_sent |= missing == [index]
        progress = await peer.chunk(file.session, index, file.pieces[index])
        if progress["chunks_received"] != len(file.acknowledged | {index}):
            self.find(f"{file.path}: {progress['chunks_received']} received, {len(file.acknowledged | {index})} acknowledged")
        file.acknowledged.add(index)
        self.chunks += 1
        self.ack()
        if len(file.acknowledged) == len(file.pieces) and missing == [index]:
            await self.end(peer, file)

    async def work(self, number):
        peer = await uploader(self.server, f"user {number}")
        for file in self.open[number]:
            await self.go_on(peer, file)
        while True:
            self.open[number] = [file for file in self.open[number] if not file.ended]
            if self.finishing and not self.open[number]:
                return await peer.close()
            if not self.finishing and len(self.open[number]) < FILES:
                await self.begin(peer, number)
            else:
                await self.one_chunk(peer, self.random.choice(self.open[number]))

    # --- rounds ---

    async def to_the_kill(self, work):
        try:
            await work
        except (websockets.ConnectionClosed, OSError):
            if not self.killed:
                raise

    async def load(self):
        self.killed = False
        self.acks, self.acks_wanted = 0, self.random.randint(1, ACKS_MAX)
        self.enough = asyncio.Event()
        tasks = [asyncio.create_task(self.to_the_kill(self.work(number))) for number in range(CLIENTS)]
        reached = asyncio.create_task(self.enough.wait())
        everybody = asyncio.gather(*tasks)
        await asyncio.wait([reached, everybody], return_when=asyncio.FIRST_COMPLETED)
        if not self.enough.is_set():
            reached.cancel()
            await everybody  # raises what went wrong
        time.sleep(self.random.uniform(0, 0.01))  # the server goes on while the clients stand still
        self.killed = True
        self.server.kill()
        await everybody  # what was in their sockets still counts

    def start(self):
        """Sometimes a start is killed too."""
        while self.random.random() < KILLED_AT_START:
            self.server.spawn()
            time.sleep(self.random.uniform(0, 0.03))
            self.server.kill()
        self.server.start()

    def look(self):
        """What has its final name is whole, is somebody's, and lies below the root."""
        wanted = {f"1/{file.path}": file for file in self.files}
        found = files_below(self.root)
        for path, content in found.items():
            if path not in wanted:
                self.find(f"{path}: nobody has uploaded that")
            elif content != wanted[path].content:
                self.find(f"{path}: {len(content)} bytes, {hashlib.sha256(content).hexdigest()[:8]}, are not what was uploaded")
        for path, file in wanted.items():
            if file.ended and path not in found:
                self.find(f"{path}: its end was told, and it is not there")
        beside = os.listdir(os.path.dirname(self.root))
        if beside != [os.path.basename(self.root)]:
            self.find(f"beside the root: {beside}")

    def one_round(self):
        self.round += 1
        asyncio.run(self.load())
        self.look()
        if self.forgets:
            shutil.rmtree(os.path.join(self.root, ".upload-staging"))
        self.start()

    def finish(self):
        """The last life gets all the rest."""
        async def everybody():
            self.enough = asyncio.Event()
            await asyncio.gather(*(self.work(number) for number in range(CLIENTS)))
        self.finishing = True
        self.round += 1
        asyncio.run(everybody())
        self.look()
        for file in self.files:
            if file.session is not None and not file.ended:
                self.find(f"{file.path} has not ended")


def play(rounds, forgets=False):
    """What was found after that many rounds, and figures."""
    seed = int(os.environ.get("RINGCAST_KILL_SEED") or random.SystemRandom().randrange(2**32))
    with tempfile.TemporaryDirectory(prefix="ringcast-uploads-") as folder:
        root = os.path.join(folder, "root")
        os.mkdir(root)
        with Server(rnn=section(root, **SETTINGS), server={"log_level": "info"}, traced=False) as server:
            register(server)
            it = Play(server, root, seed)
            it.forgets = forgets
            try:
                for _ in range(rounds):
                    it.one_round()
                    if it.findings:
                        break
                else:
                    it.finish()
            except BaseException as error:
                error.add_note(f"seed {seed}, round {it.round}, findings {it.findings}")
                raise
            whole = sum(file.ended for file in it.files)
            return it.findings, f"{rounds} kills, {it.chunks} chunks acknowledged, {whole} files, seed {seed}"


def expect_kept(rounds):
    findings, figures = play(rounds)
    expect(findings, [], f"what was acknowledged and is not so ({figures})")
    print(f"     {figures}: 0 lost, 0 corrupt, 0 elsewhere")


def test_acknowledged_chunks_survive_5_kills():
    """N-67, N-68, N-69: kill -9 under uploads, started again: no acknowledged chunk is lost, no file corrupt, none outside the
    root, none half-written under its final name."""
    expect_kept(5)


@full
def test_acknowledged_chunks_survive_50_kills():
    """N-68: the same, fifty times over one folder."""
    expect_kept(50)


def test_a_node_that_forgets_is_found_out():
    """The test of the tests: without what it has kept of sessions, chunks are lost that were acknowledged."""
    findings, figures = play(1, forgets=True)
    expect([text for text in findings if "SESSION_NOT_FOUND" in text] != [], True, f"findings, {figures}")
