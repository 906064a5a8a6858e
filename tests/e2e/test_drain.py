# SPDX-License-Identifier: MIT
"""A drain at a pace: closes in random order, everybody is told, progress can be read."""
import asyncio
import re
import signal

import client
from case import expect
from server import Server, until

LEFT = "ringcast_drain_remaining_connections"


async def read_ends(sockets, order):
    async def end(number, ws):
        order.append((number, await client.closed(ws)))
    await asyncio.gather(*(end(number, ws) for number, ws in enumerate(sockets)))


async def test_drain_closes_everybody_at_a_pace_within_its_time():
    """K-31: more than the rate could close in time: the spread is shortened; each gets 1001, exit 0, no order of coming."""
    with Server(plain={}, server={"drain_timeout": "4s", "drain_rate": 1}) as server:
        sockets = [await client.connect(server.url("plain", "/plain/a")) for _ in range(100)]
        order = []
        server.signal(signal.SIGTERM)
        await read_ends(sockets, order)
        expect(await asyncio.to_thread(server.wait), 0, "exit code")
        expect({why for _, why in order}, {(1001, "going away")})
        expect([number for number, _ in order] != sorted(number for number, _ in order), True, "in random order")
        spread = int(re.search(r"closing connections.*spread_ms=(\d+)", server.log()).group(1))
        expect(1000 <= spread <= 2800, True, f"spread {spread} ms")


async def test_drain_in_progress_is_in_metrics_and_log_and_can_be_hurried():
    """K-31: at one close a second a hundred clients take long: most are still there when the first is told, the gauge says
    so, and a second TERM ends it."""
    with Server(plain={}, server={"drain_timeout": "1h", "drain_rate": 1}) as server:
        sockets = [await client.connect(server.url("plain", "/plain/a")) for _ in range(100)]
        expect(server.metric(LEFT), 0)
        tasks = [asyncio.create_task(client.closed(ws)) for ws in sockets]
        server.signal(signal.SIGTERM)
        done, waiting = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        expect({task.result() for task in done}, {(1001, "going away")})
        expect(len(waiting) > 0, True, "the others are still there")
        left = await asyncio.to_thread(server.metric, LEFT)
        expect(0 < left <= 100, True, f"{left} are left")
        await asyncio.to_thread(until, lambda: server.log().count("draining") >= 3, what="lines of progress")
        expect("spread_ms=100000" in server.log(), True, "the time that it takes")
        server.signal(signal.SIGTERM)
        expect(await asyncio.to_thread(server.wait), 0, "exit code")
        await asyncio.gather(*waiting, return_exceptions=True)


async def test_drain_without_a_rate_closes_all_at_once():
    """K-31: drain_rate 0."""
    with Server(plain={}, server={"drain_timeout": "1h", "drain_rate": 0}) as server:
        sockets = [await client.connect(server.url("plain", "/plain/a")) for _ in range(50)]
        order = []
        server.signal(signal.SIGTERM)
        await read_ends(sockets, order)
        expect(await asyncio.to_thread(server.wait), 0, "exit code")
        expect({why for _, why in order}, {(1001, "going away")})
        expect("spread_ms=0" in server.log(), True)
