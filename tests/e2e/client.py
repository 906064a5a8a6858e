# SPDX-License-Identifier: MIT
"""The WebSocket client of the tests is Debian's python3-websockets; this is what they say to it most often."""
import asyncio
import contextlib
import json

import websockets

from case import BRAKE_SECONDS, expect, shown

QUIET_SECONDS = 0.2  # that nothing comes; what comes later goes unnoticed, so a busy machine fails nobody


async def connect(url, **options):
    """Without pings and limits of its own, so that only the server's count."""
    defaults = {"ping_interval": None, "max_size": None, "max_queue": None, "close_timeout": 2}
    return await websockets.connect(url, **(defaults | options))


async def refused(url, **options):
    """The HTTP status with which the upgrade is refused."""
    try:
        await connect(url, **options)
    except websockets.InvalidStatusCode as error:
        return error.status_code
    raise AssertionError(f"{url} was not refused")


async def receive(ws, seconds=BRAKE_SECONDS):
    """The next message."""
    try:
        return await asyncio.wait_for(ws.recv(), seconds)
    except asyncio.TimeoutError:
        raise AssertionError(f"no message within {seconds} s") from None


async def receive_json(ws, seconds=BRAKE_SECONDS):
    return json.loads(await receive(ws, seconds))


async def receive_many(ws, count, seconds=BRAKE_SECONDS):
    """That many messages, in order."""
    async def collect():
        return [await ws.recv() for _ in range(count)]
    return await asyncio.wait_for(collect(), seconds)


async def quiet(*sockets, seconds=QUIET_SECONDS):
    """Nothing comes on any of them, and they stay open."""
    await asyncio.sleep(seconds)
    for ws in sockets:
        if ws.messages:
            raise AssertionError(f"unexpected message {shown(ws.messages[0])}")
        expect(ws.open, True, "the connection is open")


async def closed(ws, seconds=BRAKE_SECONDS):
    """(code, reason) of the server's close; no message comes before it."""
    try:
        message = await asyncio.wait_for(ws.recv(), seconds)
    except websockets.ConnectionClosed:
        return ws.close_code, ws.close_reason
    except asyncio.TimeoutError:
        raise AssertionError(f"not closed within {seconds} s") from None
    raise AssertionError(f"message before the close: {shown(message)}")


async def close_all(sockets):
    with contextlib.suppress(websockets.ConnectionClosed):
        await asyncio.gather(*(ws.close() for ws in sockets))
