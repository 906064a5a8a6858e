# SPDX-License-Identifier: MIT
"""Health and metrics, for operators."""
import asyncio
import re
import signal

import client
from case import expect
from server import Server, until
from wire import PING, PONG, Wire, frame


def ask(wire, path, method="GET"):
    wire.send(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return wire.response()[0]


def test_health():
    """K-29: live, ready and their aliases; other places and methods."""
    with Server(plain={}) as server:
        for path in ("/health", "/health/live", "/health/ready", "/healthz"):
            expect(server.get(path), (200, b'{"status":"ok"}'), path)
        expect(server.get("/")[0], 404)
        expect(server.get("/health/")[0], 404)
        expect(server.request("admin", "POST", "/metrics", b"")[0], 405)
        status, content = server.request("admin", "HEAD", "/health/ready")
        expect((status, content), (200, b""))
        expect(server.request("plain", "GET", "/metrics")[0], 404, "not on a public listener")


def test_ready_is_503_while_draining():
    """K-31: from the first moment of a drain: for a connection that is kept, and for a new one."""
    with Server(echo={}) as server:
        with Wire(server.port("echo")).upgrade("/echo"), Wire(server.port("admin")) as kept:
            expect(ask(kept, "/health/ready"), 200)
            server.signal(signal.SIGTERM)
            while "draining" not in server.log():
                pass
            expect(ask(kept, "/health/ready"), 503, "ready, on a kept connection")


def test_new_probes_are_answered_while_draining():
    """K-31, K-29: whoever asks during a drain learns that it is one: ready 503, live 200, metrics."""
    with Server(echo={}) as server:
        with Wire(server.port("echo")).upgrade("/echo"):
            server.signal(signal.SIGTERM)
            while "draining" not in server.log():
                pass
            found = []
            for path in ("/health/ready", "/health/live", "/metrics"):
                try:
                    found.append(server.get(path)[0])
                except OSError as error:
                    found.append(type(error).__name__)
            expect(found, [503, 200, 200], "ready, live, metrics")


def test_metrics_have_a_form_that_prometheus_reads():
    """K-29: every line is a comment or a sample, every metric has HELP and TYPE once, in front of its samples, and no
    sample comes twice."""
    with Server(plain={}) as server:
        text = server.get("/metrics")[1].decode()
        expect(text.endswith("\n"), True, "the last line ends")
        types, samples = {}, set()
        for line in text.splitlines():
            if line.startswith("# TYPE "):
                _, _, name, kind = line.split()
                expect(name in types, False, f"second TYPE of {name}")
                types[name] = kind
            elif not line.startswith("# HELP "):
                match = re.fullmatch(r'([a-z_]+)(\{([a-z_]+="[^"\\]*",?)+\})? (\d+)', line)
                expect(match is not None, True, f"a sample: {line!r}")
                expect(match[1] in types, True, f"TYPE in front of {line!r}")
                expect((match[1], match[2]) in samples, False, f"second {line!r}")
                expect(match[1].endswith("_total"), types[match[1]] == "counter", f"the name of {line!r}")
                samples.add((match[1], match[2]))
        expect(len(samples) > 50, True, "samples")


async def test_counters_count():
    """K-29: connections, sessions, subscriptions, messages: what has just happened, to the unit."""
    with Server(plain={}) as server:
        before = server.metrics()
        readers = [await client.connect(server.url("plain", "/plain/a,b")) for _ in range(7)]
        for i in range(10):
            server.publish("plain/a" if i % 2 else "plain/c", "x" * i, "text/plain")
        await readers[0].send("ignored")
        for ws in readers:
            await client.receive_many(ws, 5)
        await client.refused(server.url("plain", "/nowhere"))
        after = server.metrics()

        def change(name):
            return after[name] - before[name]
        expect(change("ringcast_sessions"), 7)
        expect(change("ringcast_subscriptions"), 14)
        expect(change("ringcast_handshakes_total"), 7)
        expect(change("ringcast_messages_published_total"), 10)
        expect(change("ringcast_messages_expected_total"), 35)
        expect(change("ringcast_messages_delivered_total"), 35)
        expect(change("ringcast_messages_received_total"), 1)
        expect(change('ringcast_connections_rejected_total{reason="http"}'), 1)
        await client.close_all(readers)
        reason = 'ringcast_disconnects_total{reason="peer closed",fault="none"}'
        until(lambda: server.metrics()[reason] == 7, what="seven ends")
        closed = server.metrics()
        expect(closed["ringcast_sessions"], 0)
        expect(closed["ringcast_subscriptions"], 0)


def come_and_go(server):
    """Sixty readers that leave, one way or the other, while a message is on its way to them."""
    for i in range(60):
        guest = Wire(server.port("plain")).upgrade("/plain/a")
        server.publish("plain/a", str(i).ljust(20000), "text/plain")
        if i % 2:
            guest.reset()
        else:
            guest.socket.close()
        if i % 20 == 0:
            server.check_conservation()


async def test_conservation_with_readers_that_go_at_any_time():
    """Q-20: expected = delivered + dropped + in flight, also when readers reset, close, or never read."""
    with Server(plain={"outbox_bytes_max": "256KiB"}) as server:
        stayers = [await client.connect(server.url("plain", "/plain/a")) for _ in range(4)]
        stuck = [Wire(server.port("plain"), receive_buffer=4096).upgrade("/plain/a") for _ in range(6)]
        await asyncio.to_thread(come_and_go, server)
        for ws in stayers:
            expect([int(text) for text in await client.receive_many(ws, 60)], list(range(60)))
        found = server.check_conservation()
        expect(found["dropped"] > 0, True, "some were dropped")
        for wire in stuck:
            wire.reset()
        await client.close_all(stayers)


def test_a_session_holds_no_memory_when_it_idles():
    """K-25: whatever a connection has received, its input memory goes back."""
    with Server(echo={}) as server:
        wires = [Wire(server.port("echo")).upgrade("/echo") for _ in range(20)]
        for wire in wires:
            half = frame(PING, b"x" * 100)
            wire.send(half[:50])
            wire.send(half[50:])
            expect(wire.frame(), (PONG, b"x" * 100))
        expect(server.metrics()['ringcast_memory_bytes{kind="input"}'], 0)
        for wire in wires:
            wire.socket.close()
