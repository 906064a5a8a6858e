# SPDX-License-Identifier: MIT
"""echo: every message comes back with the same opcode and payload."""
import asyncio

import client
from case import expect
from server import Server
from wire import BINARY, CONTINUATION, PING, PONG, TEXT, Wire, frame

SIZES = (0, 1, 125, 126, 127, 65535, 65536, 1 << 20)


def serve(**options):
    return Server(echo={"message_bytes_max": "1MiB", "outbox_bytes_max": "16MiB"} | options)


async def test_sizes_as_text_and_binary():
    """O-8, K-2: all steps of the length field, in one message and in fragments, empty ones among them."""
    with serve() as server:
        ws = await client.connect(server.url("echo", "/echo"))
        for size in SIZES:
            binary = bytes(i * 7 & 255 for i in range(size))
            text = ("\u00e9a" * size)[:size // 2] if size > 1 else "x" * size
            for message in (binary, text):
                await ws.send(message)
                expect(await client.receive(ws) == message, True, f"{size} bytes came back")
                cuts = [0, size // 3, size // 3, size // 2, size]
                await ws.send([message[a:b] for a, b in zip(cuts, cuts[1:])])
                expect(await client.receive(ws) == message, True, f"{size} bytes in fragments came back")
        await ws.close()


async def test_one_byte_more_than_the_limit():
    """O-8: its own maximum; beyond it 1009."""
    with serve(message_bytes_max="1000B") as server:
        for message in (b"x" * 1001, ["x" * 500, "x" * 501]):
            ws = await client.connect(server.url("echo", "/echo"))
            await ws.send(b"y" * 1000)
            expect(await client.receive(ws), b"y" * 1000)
            await ws.send(message)
            expect((await client.closed(ws))[0], 1009)


async def test_order_of_many():
    """G-16: thousands of messages of 20 connections on both shards come back in order."""
    async def converse(number):
        ws = await client.connect(server.url("echo", "/echo"))
        wanted = [f"{number} {i}" for i in range(1000)]
        for message in wanted:
            await ws.send(message)
        expect(await client.receive_many(ws, 1000), wanted)
        await ws.close()
    with serve() as server:
        await asyncio.gather(*(converse(number) for number in range(20)))


def test_control_frames_between_fragments():
    """K-2 (RFC 6455 section 5.4): a ping in the middle of a message is answered at once, with its payload."""
    with serve() as server, Wire(server.port("echo")).upgrade("/echo") as wire:
        wire.send(frame(TEXT, b"\xe2\x82", fin=False), frame(PING, b"p" * 125), frame(CONTINUATION, b"", fin=False),
                  frame(PONG, b"nobody asked"), frame(CONTINUATION, b"\xac"))
        expect(wire.frame(), (PONG, b"p" * 125))
        expect(wire.frame(), (TEXT, b"\xe2\x82\xac"))


def test_every_split_of_two_messages():
    """K-2: wherever the stream is cut, the same two messages come back."""
    stream = frame(TEXT, b"first") + frame(BINARY, b"\x00" * 130)
    with serve() as server, Wire(server.port("echo")).upgrade("/echo") as wire:
        for cut in range(1, len(stream)):
            wire.send(stream[:cut])
            wire.send(stream[cut:])
            expect((wire.frame(), wire.frame()), ((TEXT, b"first"), (BINARY, b"\x00" * 130)), f"cut at {cut}")
