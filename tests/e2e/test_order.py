# SPDX-License-Identifier: MIT
"""Order and completeness over shards: everything that was published arrives once, in order, everywhere."""
import asyncio
import os
import pathlib
import re
import subprocess

import client
from case import Skip, expect, full
from server import BINARY, INGEST_KEY, Server

CHANNELS, MESSAGES, PUBLISHERS = 100, 20000, 4


async def publish(server, publisher):
    """Each publisher publishes to every channel, in turn; payloads name it and count."""
    ws = await client.connect(server.url("ingest", "/ingest/v1/ws"), extra_headers={"X-Ingest-Key": INGEST_KEY})
    count = MESSAGES // PUBLISHERS
    for seq in range(count):
        await ws.send(f'{{"op":"publish","dialect":"plain","topic":"c{seq % CHANNELS}","seq":{seq},'
                      f'"data":[{seq % CHANNELS},{publisher},{seq}]}}')
    while (await client.receive_json(ws, 30))["seq"] < count - 1:
        pass
    await ws.close()


async def read(server, channels):
    """What arrives, per channel."""
    ws = await client.connect(server.url("plain", "/plain/" + ",".join(f"c{c}" for c in channels)))
    messages = {c: [] for c in channels}

    async def collect():
        for text in await client.receive_many(ws, len(channels) * MESSAGES // CHANNELS, 60):
            channel, publisher, seq = map(int, text[1:-1].split(","))
            messages[channel].append((publisher, seq))
        await client.quiet(ws)
        await ws.close()
        return messages
    return collect()


async def test_many_publishers_channels_and_readers():
    """I-6, O-2: 4 publishers, 100 channels and 8 readers on two shards: complete, each publisher's own order kept, and
    one order per channel for all readers."""
    with Server(plain={"outbox_bytes_max": "64MiB"}) as server:
        halves = [range(CHANNELS // 2), range(CHANNELS // 2, CHANNELS)]
        readers = [await read(server, halves[i % 2]) for i in range(8)]
        found, _ = await asyncio.gather(asyncio.gather(*readers),
                                        asyncio.gather(*(publish(server, p) for p in range(PUBLISHERS))))
        for channel in range(CHANNELS):
            rows = [messages[channel] for messages in found if channel in messages]
            expect(len(rows), 4, f"readers of channel {channel}")
            for row in rows[1:]:
                expect(row, rows[0], f"channel {channel} as another reader got it")
            for publisher in range(PUBLISHERS):
                seqs = [seq for p, seq in rows[0] if p == publisher]
                expect(seqs, list(range(channel, MESSAGES // PUBLISHERS, CHANNELS)),
                       f"channel {channel}, publisher {publisher}")
        expect(server.metric("ringcast_messages_published_total"), MESSAGES)
        expect(server.check_conservation(),
               {"expected": 4 * MESSAGES, "delivered": 4 * MESSAGES, "dropped": 0, "in_flight": 0})


async def test_a_burst_far_larger_than_the_rings():
    """I-6: 40 NDJSON bodies at once from both shards, each longer than a mail ring holds, while readers of both shards
    read: backpressure, no loss."""
    lines, bodies = 5000, 40

    def post(number):
        body = "\n".join(f"{number} {i}" for i in range(lines))
        return server.ingest("plain/burst", body, "application/x-ndjson")

    with Server(plain={"outbox_bytes_max": "64MiB"}) as server:
        readers = [await client.connect(server.url("plain", "/plain/burst")) for _ in range(2)]
        collected = [asyncio.create_task(client.receive_many(ws, lines * bodies, 50)) for ws in readers]
        answers = await asyncio.gather(*(asyncio.to_thread(post, number) for number in range(bodies)))
        expect(answers, [(202, {"accepted": lines, "receivers": 2 * lines})] * bodies)
        rows = await asyncio.gather(*collected)
        expect(rows[1] == rows[0], True, "both readers got the same order")
        at = {number: [] for number in range(bodies)}
        for text in rows[0]:
            number, i = map(int, text.split())
            at[number].append(i)
        for number in range(bodies):
            expect(at[number], list(range(lines)), f"lines of body {number}")
        await client.close_all(readers)


@full
def test_a_million_messages():
    """I-6: the same by ringcast-bench, which checks every payload: 100 channels with 4 readers each, a million
    deliveries and more, no loss, no repetition, no disorder."""
    bench = pathlib.Path(BINARY).with_name("ringcast-bench")
    if not os.access(bench, os.X_OK):
        raise Skip(f"{bench} has not been built")
    with Server(plain={"client_publish": True, "messages_max": 0, "outbox_bytes_max": "64MiB"}) as server:
        command = [bench, "channels", server.url("plain", "/plain/{channel}"), "--channels", str(CHANNELS), "--conns",
                   "4",
                   "--rate", "50000", "--duration", "25s"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        expect(done.returncode in (0, 3), True, f"exit code {done.returncode}; output\n{done.stdout}{done.stderr}")
        published = server.metric("ringcast_messages_published_total")
        expect(published >= 1_000_000, True, f"published {published}\n{re.sub(' +', ' ', done.stdout)}")
