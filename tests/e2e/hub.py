# SPDX-License-Identifier: MIT
"""A client of the job hub (dialect emprops) over python3-websockets: the steps that the tests take most often, and
nothing that knows how the hub does its work."""
import asyncio
import json
import time

import websockets

import client
from case import expect

PATH = "/"


class Peer:
    """One connection, past its greeting. `type` in front of the fields is all that the protocol asks for."""

    def __init__(self, ws):
        self.ws = ws

    async def send(self, kind, **fields):
        await self.ws.send(json.dumps({"type": kind, "timestamp": int(time.time() * 1000)} | fields))

    async def receive(self):
        """The next message that is not a ping."""
        while True:
            message = await client.receive_json(self.ws)
            if message["type"] != "ping":
                return message

    async def expect(self, kind, **fields):
        """The next message has this type and these fields, whatever else it has."""
        message = await self.receive()
        expect({name: message.get(name) for name in ("type", *fields)}, {"type": kind} | fields, f"of {message}")
        return message

    async def ask(self, kind, answer, **fields):
        """Sends, and takes the next message, which is of the type `answer`."""
        await self.send(kind, **fields)
        return await self.expect(answer)

    async def submit(self, job_type, payload, **fields):
        return (await self.ask("submit_job", "job_accepted", job_type=job_type, payload=payload, **fields))["job_id"]

    async def status(self, job_id):
        return await self.ask("request_job_status", "response_job_status", job_id=job_id)

    async def close(self):
        await self.ws.close()


async def connect(server, path=PATH, **options):
    ws = await client.connect(server.url("emprops", path), **options)
    peer = Peer(ws)
    await peer.expect("connection_established")
    return peer


async def submitter(server, client_id, **options):
    peer = await connect(server, **options)
    await peer.ask("register_client", "client_registered", client_type="job_client", client_id=client_id)
    return peer


async def worker(server, worker_id, services=("hash",), slots=1, listen=False, **options):
    peer = await connect(server, **options)
    await peer.ask("register_worker", "worker_registered", worker_id=worker_id, subscribe_to_jobs=listen, status="idle",
                   capabilities={"services": list(services)}, available_slots=slots)
    return peer


async def monitor(server, client_id):
    peer = await connect(server)
    await peer.ask("register_client", "client_registered", client_type="monitor", client_id=client_id,
                   permissions=["view_all_jobs", "view_system_stats"])
    return peer


async def until_closed(peer):
    """Reads on to the end of the connection, and returns its code."""
    try:
        while True:
            await client.receive(peer.ws)
    except websockets.ConnectionClosed:
        return peer.ws.close_code


def go(*coroutines):
    """Runs them beside each other until all have ended; the first failure is raised."""
    async def all_of_them():
        return await asyncio.gather(*coroutines)
    return all_of_them()
