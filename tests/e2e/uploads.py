# SPDX-License-Identifier: MIT
"""A client of uploads (dialect rnn, 5.5) over python3-websockets: the steps that the tests take most often. It knows the
protocol and nothing of how the node does its work."""
import base64
import hashlib
import json
import os

from case import expect
from test_rnn import NODE, connect, next_of, publish, send, token

SERVICES = [{"id": number, "name": f"service {number}", "service_type": "DATA", "type": "STORAGE"} for number in (1, 2)]
KINDS = ("file.upload.progress", "file.upload.complete", "file.upload.error", "error")


def section(root, **more):
    """What a server of these tests is configured with."""
    return NODE | {"uploads": str(root), "snapshot_on_connect": False} | more


def register(server, *services):
    """The services that files are for (N-54)."""
    publish(server, "services", {"op": "upsert", "items": list(services) or SERVICES})


def digest(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


def files_below(root):
    """{path: content} of what has its final name below the root; what is in the making is the node's own."""
    found = {}
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = os.path.join(folder, name)
            if os.path.islink(path):
                continue
            with open(path, "rb") as file:
                found[os.path.relpath(path, root)] = file.read()
    return found


class Uploader:
    """One connection. What is told to everybody is passed over."""

    def __init__(self, ws):
        self.ws = ws

    async def send(self, kind, **payload):
        await send(self.ws, f"file.upload.{kind}", payload)

    async def receive(self):
        return await next_of(self.ws, *KINDS)

    async def expect(self, kind, **payload):
        """The next message is of that kind and has this payload, exactly."""
        message = await self.receive()
        expect((message["type"], message["payload"]), (f"file.upload.{kind}", payload))

    async def expect_error(self, session_id, code, error, **more):
        await self.expect("error", session_id=session_id, error=error, code=code, **more)

    async def start(self, path, content, chunk_size, *, service_id=1, total_chunks=None, **more):
        """The session's id; the reply has been looked at."""
        chunks = -(-len(content) // chunk_size) if total_chunks is None else total_chunks
        await self.send("start", **{"service_id": service_id, "filename": os.path.basename(path) or "file", "file_path": path,
                                    "total_size": len(content), "total_chunks": chunks, "chunk_size": chunk_size} | more)
        message = await self.receive()
        expect(message["type"], "file.upload.progress", message)
        return message["payload"]["session_id"]

    async def send_chunk(self, session_id, index, piece):
        await self.send("chunk", session_id=session_id, chunk_index=index, data=base64.b64encode(piece).decode())

    async def chunk(self, session_id, index, piece):
        """The answer's payload, which is progress."""
        await self.send_chunk(session_id, index, piece)
        message = await self.receive()
        expect(message["type"], "file.upload.progress", message)
        return message["payload"]

    async def refuse(self, start, error, group="g"):
        """A start that is refused with this sentence; `start` on top of what is good."""
        good = {"service_id": 1, "upload_group_id": group, "filename": "x", "file_path": "x", "total_size": 4, "total_chunks": 1,
                "chunk_size": 4}
        await self.send("start", **good | start)
        message = await self.receive()
        index = (good | start).get("file_index", 0)
        expect((message["type"], message["payload"]),
               ("file.upload.error", {"session_id": "", "error": error, "code": "UPLOAD_START_FAILED", "upload_group_id": group,
                                      "file_index": index}), start)

    async def resume(self, session_id):
        await self.send("resume", session_id=session_id)
        message = await self.receive()
        expect(message["type"], "file.upload.progress", message)
        return message["payload"]

    async def close(self):
        await self.ws.close()


def pieces(content, chunk_size):
    """[(index, bytes)] of its chunks, the ceiling form of N-55."""
    return [(at // chunk_size, content[at:at + chunk_size]) for at in range(0, len(content), chunk_size)]


async def uploader(server, user="op", **options):
    ws, _ = await connect(server, token(sub=user), **options)
    return Uploader(ws)
