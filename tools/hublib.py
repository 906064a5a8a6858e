# SPDX-License-Identifier: MIT
"""What the programs that talk to the job hub (dialect emprops) share: one connection after the other, each registered,
and the envelope of messages. Needs the package websockets (Debian: python3-websockets)."""
import argparse
import asyncio
import json
import os
import sys
import time
import urllib.parse

from feedlib import Failure

try:
    import websockets
except ModuleNotFoundError:
    sys.exit("the package websockets is not installed (Debian: apt-get install python3-websockets)")

RETRIES = 10
RETRY_SECONDS = 1
MESSAGE_BYTES_MAX = 10 << 20  # the hub's own limit


class Hub:
    """One registered connection."""

    def __init__(self, socket):
        self.socket = socket

    async def send(self, kind, **fields):
        await self.socket.send(json.dumps({"type": kind, "timestamp": int(time.time() * 1000)} | fields))

    async def messages(self):
        """Each message, to the end of the connection; pings are answered here."""
        try:
            async for text in self.socket:
                message = json.loads(text)
                if message["type"] == "ping":
                    await self.send("pong")
                else:
                    yield message
        except websockets.ConnectionClosed:
            return

    async def register(self, kind, **fields):
        """Says who this is; an error ends the program with what the hub says."""
        token = os.environ.get("RINGCAST_HUB_TOKEN")
        await self.send(kind, **fields, **({"token": token} if token else {}))
        async for message in self.messages():
            if message["type"] in ("client_registered", "worker_registered"):
                return
            if message["type"] == "error":
                raise Failure(f"the hub says: {message['error']} ({message['error_code']}); see RINGCAST_HUB_TOKEN")
        raise ConnectionError("the connection ended before the registration")


async def serve(url, kind, fields, talk):
    """Connects, registers and calls talk(hub) until it returns True; connects again when the hub was restarted."""
    failed = 0
    while True:
        try:
            async with websockets.connect(url, max_size=MESSAGE_BYTES_MAX, ping_interval=None) as socket:
                hub = Hub(socket)
                await hub.register(kind, **fields)
                failed = 0
                if await talk(hub):
                    return
        except (OSError, asyncio.TimeoutError, websockets.WebSocketException) as fault:
            failed += 1
            if failed > RETRIES:
                raise Failure(f"{url}: {str(fault) or type(fault).__name__}; is the server running?") from fault
        await asyncio.sleep(RETRY_SECONDS)


def argument_parser(doc):
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", type=_url, default="ws://localhost:3002/", help="the job hub (default %(default)s)")
    return parser


def _url(text):
    parts = urllib.parse.urlsplit(text)
    if parts.scheme not in ("ws", "wss") or not parts.hostname:
        raise argparse.ArgumentTypeError(f"{text} is no address; write ws://HOST:PORT/")
    return text
