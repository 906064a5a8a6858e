# SPDX-License-Identifier: MIT
"""TLS as bytes: records in pieces, cut off, too long or changed, goodbyes in both directions, handshakes that do not end or are
too many, buffers that run out, and what it all costs in memory."""
import asyncio
import os
import socket
import ssl
import time

import client
import tls_peer
import transport
from case import expect, full
from server import Server, free_listen, until
from test_tls import context, echoes, serve
from tls_peer import ALERT, APPLICATION, HANDSHAKE, Records, record
from wire import CLOSE, TEXT, Wire, close_payload, frame, upgrade_request

MIB = 1 << 20
FAILED = 'ringcast_tls_handshakes_total{result="failed"}'
REFUSED = 'ringcast_tls_handshakes_total{result="refused"}'
HELD = ("ringcast_tls_memory_bytes", 'ringcast_memory_bytes{kind="tls_buffers"}')


def beside_plain(dialect, settings, tls):
    """One shard; the dialect speaks TLS with these settings, operators and publishers come in plain text."""
    return Server(secure=False, server={"shards": 1, "log_level": "info"}, tls={"certificates": [transport.pair("server")]} | tls,
                  **{dialect: {"listen": [f"{free_listen()[0]} tls"]} | settings})


def upgraded(port, **options):
    peer = Records(port, **options).shake_hands()
    peer.send(upgrade_request("/echo"))
    expect(peer.receive()[:12], b"HTTP/1.1 101")
    return peer


def echoed(peer, text=b"x"):
    peer.send(frame(TEXT, text))
    expect(peer.take(2 + len(text)), bytes([0x81, len(text)]) + text)


# --- records ---

def test_records_at_every_byte():
    """RFC 8446 section 5.1: handshake and messages one byte at a time, and many records at once, in both versions."""
    with serve(tls={"minimum_version": "1.2"}) as server:
        for version in (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2):
            with upgraded(server.port("echo"), context=context(version=version), piece=1) as peer:
                for size in (0, 1, 100):
                    echoed(peer, b"y" * size)
            with upgraded(server.port("echo"), context=context(version=version)) as peer:
                for number in range(50):  # each a record; all in one write
                    peer.tls.write(frame(TEXT, b"%02d" % number))
                peer.push()
                expect(peer.take(200), b"".join(b"\x81\x02%02d" % number for number in range(50)))


def test_records_that_break_the_rules():
    """RFC 8446 sections 5 and 6: a connection ends at once, with an alert and without a byte of what came behind; who is
    connected beside it notices nothing, and the log says what was wrong."""
    live = [
        (record(APPLICATION, os.urandom(16384 + 257), 0x0303), "a record that is too long"),
        (record(APPLICATION, os.urandom(16), 0x0303), "a record that is shorter than its tag"),
        (record(APPLICATION, b"", 0x0303), "a record that is shorter than its tag"),
        (record(APPLICATION, os.urandom(100), 0x0303), "changed on its way"),
        (record(HANDSHAKE, os.urandom(100), 0x0303), "a record that is not encrypted"),
        (record(ALERT, b"\x01\x00", 0x0303), "a record that is not encrypted"),
        (record(99, os.urandom(100), 0x0303), "a record of unknown type"),
        (record(APPLICATION, os.urandom(100), 0x0909), "a record of unknown version"),
        (record(APPLICATION, os.urandom(100), 0x0303)[:50], "peer gone"),
    ]
    first = [
        (os.urandom(2000).replace(b"\x16", b"\x80").join([b"\x80", b""]), "a record of unknown type"),
        (record(HANDSHAKE, b""), "an empty record"),
        (record(HANDSHAKE, os.urandom(40000)[:20000]), "a record that is too long"),
        (record(APPLICATION, os.urandom(100)), "something else than a client hello"),
        (tls_peer.hello([0x1301])[:-1], None),
        (tls_peer.hello([0x1301])[:3], None),
        (b"", None),
    ]
    with serve() as server, upgraded(server.port("echo")) as witness:
        for data, why in live:
            with upgraded(server.port("echo")) as peer:
                before = len(server.log())
                peer.socket.sendall(data)
                if why == "peer gone":
                    peer.socket.shutdown(socket.SHUT_WR)
                found = tls_peer.read_to_end(peer.socket)
                expect(found[:1] in (b"\x17", b""), True, found)
                until(lambda: why in server.log()[before:], what=f"the log line {why!r}")
                expect(len(found) <= 5 + 16 + 3, True, f"nothing but an alert: {found!r}")
            echoed(witness)
        for data, why in first:
            with tls_peer.connect(server.port("echo")) as plain:
                before = len(server.log())
                plain.sendall(data)
                if why is None:
                    plain.shutdown(socket.SHUT_WR)
                tls_peer.read_to_end(plain)
                until(lambda: (why or "connection ended") in server.log()[before:], what=f"the log line {why!r}")
            echoed(witness)


def test_goodbyes():
    """RFC 8446 section 6.1: the peer's close_notify is answered with ours and the end of TCP, from a session as from an idle
    HTTP connection; a WebSocket close and a drain end with close_notify; TCP's end alone ends the connection too."""
    with serve() as server:
        for section in ("echo", "admin"):
            with Records(server.port(section)).shake_hands() as peer:
                if section == "echo":
                    peer.send(upgrade_request("/echo"))
                    peer.receive()
                peer.close_notify()
                expect(peer.receive(), b"", "close_notify")
                expect(peer.pull(), False, "TCP has ended")
        with upgraded(server.port("echo")) as peer:
            peer.send(frame(CLOSE, close_payload(1000)))
            expect(peer.take(4), b"\x88\x02\x03\xe8")
            expect(peer.receive(), b"", "close_notify behind the close frame")
        with upgraded(server.port("echo")) as peer:
            peer.socket.shutdown(socket.SHUT_WR)
            tls_peer.read_to_end(peer.socket)
        until(lambda: server.metric("ringcast_connections") <= 1, what="all to be gone")
        with upgraded(server.port("echo")) as peer, Records(server.port("echo")).shake_hands() as silent:
            server.signal(15)
            expect(peer.receive(), b"\x88\x0c\x03\xe9going away")
            peer.send(frame(CLOSE, close_payload(1001)))
            expect(peer.receive(), b"", "close_notify")
            expect(silent.receive(), b"", "close_notify")
            expect(server.wait(), 0, "exit code")


# --- handshakes ---

def test_slow_handshakes_end():
    """handshake_timeout counts from the accept on, through both handshakes."""
    with serve(server={"handshake_timeout": "2s"}) as server:
        hello = tls_peer.hello([0x1301])
        with tls_peer.connect(server.port("echo")) as half, tls_peer.connect(server.port("echo")) as silent, \
                Records(server.port("echo")).shake_hands() as mute, tls_peer.connect(server.port("echo")) as trickle:
            half.sendall(hello[:100])
            begin, at = time.monotonic(), 0
            while at < len(hello) - 1:  # which is never whole: nothing but the time ends it
                try:
                    trickle.sendall(hello[at:at + 1])
                except OSError:
                    break
                at += 1
                time.sleep(0.05)
            for plain in (half, silent, mute.socket, trickle):
                tls_peer.read_to_end(plain)
            expect(time.monotonic() - begin > 1.8, True, "not before its time")
        expect(server.metrics()[FAILED], 2, "handshakes that had begun")
        until(lambda: server.metric("ringcast_tls_handshakes_open") == 0, what="none to be open")


def test_handshakes_per_second():
    """What comes beyond it is ended before anything is computed, and counted; a second later all is well."""
    with beside_plain("echo", {}, {"handshakes_per_second": 1}) as server:
        hello, kinds = tls_peer.hello([0x1301]), []

        def both_seen():  # two in a second come soon, even on a machine that has no time for more
            kinds.append(tls_peer.answer(server.port("echo"), hello)[0])
            return set(kinds) == {"hello", "end"}
        until(both_seen, what="one that is answered and one that is not")
        expect(server.metrics()[REFUSED] >= kinds.count("end"), True, "refused")
        time.sleep(1.1)
        with Wire(server.port("echo"), tls=context()) as wire:
            echoes(wire.upgrade("/echo"))


def test_handshakes_max():
    """Who has not said all of its hello takes nobody's place; of those who do not go on the oldest makes room for the next."""
    with beside_plain("echo", {}, {"handshakes_max": 3}) as server:
        hello = tls_peer.hello([0x1301])
        half = [tls_peer.connect(server.port("echo")) for _ in range(5)]
        for plain in half:
            plain.sendall(hello[:50])
        whole = [tls_peer.connect(server.port("echo")) for _ in range(3)]
        for number, plain in enumerate(whole):
            plain.sendall(hello)
            until(lambda: server.metric("ringcast_tls_handshakes_open") == number + 1, what="one more to have begun")
        expect(gets_an_answer(server, hello), True, "the fourth")
        expect(tls_peer.read_to_end(whole[0]) != b"", True, "the first was answered, and has ended")
        for plain in half + whole:
            plain.close()
        until(lambda: server.metric("ringcast_tls_handshakes_open") == 0, what="an end of all")


def gets_an_answer(server, hello):
    return tls_peer.answer(server.port("echo"), hello)[0] == "hello"


# --- much at once ---

async def test_large_messages():
    """16 MiB in both directions, beside small ones of another connection."""
    sizes = {"message_bytes_max": "32MiB", "outbox_bytes_max": "64MiB"}
    with serve(echo=sizes) as server:
        large, small = [await client.connect(server.url("echo", "/echo"), ssl=context(), compression=None) for _ in range(2)]
        data = os.urandom(16 * MIB)
        sent = asyncio.create_task(large.send(data))
        for number in range(20):
            await small.send(str(number))
            expect(await client.receive(small), str(number))
        await sent
        expect(await client.receive(large, 30) == data, True, "the same 16 MiB come back")
        await client.close_all([large, small])


def test_stalled_readers_do_not_keep_the_buffers():
    """K-25: readers that stop in the middle of a record hold all that buffer_memory allows, and behind them others wait. Those who
    have not moved for seconds are cut, and everybody else gets what waits."""
    with beside_plain("plain", {"outbox_bytes_max": "64MiB"}, {"buffer_memory": "1MiB"}) as server:
        def connect(channel, **options):
            return Wire(server.port("plain"), tls=context(), **options).upgrade(f"/plain/{channel}")

        fine = [connect("fine") for _ in range(5)]
        stuck = [connect(f"stuck{number}", receive_buffer=4096) for number in range(40)]
        for number in range(len(stuck)):
            for _ in range(4):
                server.publish(f"plain/stuck{number}", "x" * MIB, "text/plain")
            if server.metric("ringcast_tls_buffers_short_total") > 0:
                break
        else:
            raise AssertionError("the buffers do not run out")
        server.publish("plain/fine", "y" * 60000, "text/plain")
        for wire in fine:
            wire.socket.settimeout(30)
            expect(wire.frame(), (TEXT, b"y" * 60000))
        expect(server.metrics()['ringcast_slow_consumer_events_total{policy="cut"}'] > 0, True, "some were cut")
        for wire in [*stuck, *fine]:
            wire.socket.close()


# --- memory ---

def held(server):
    return {name: server.metrics()[name] for name in HELD}


def aborted_and_completed(server, aborted, completed):
    """Handshakes that end in the middle, of all kinds, and whole ones, with a message each."""
    port, hello, mine = server.port("echo"), tls_peer.hello([0x1301]), context()
    distrusting = ssl.create_default_context(cafile=transport.certificates() / "strangers.pem")
    for number in range(aborted):
        kind = number % 4
        with tls_peer.connect(port) as plain:
            if kind == 3:
                try:
                    distrusting.wrap_socket(plain, server_hostname="localhost").close()
                except ssl.SSLError:
                    continue
            plain.sendall((hello[:3], hello[:-1], hello)[kind])
            if kind == 2:
                plain.recv(1)
    for _ in range(completed):
        with Wire(port, tls=mine) as wire:
            echoes(wire.upgrade("/echo"))


def expect_nothing_held(aborted, completed, pss_growth_max):
    with beside_plain("echo", {}, {"handshakes_per_second": 0}) as server:
        aborted_and_completed(server, 200, 200)
        until(lambda: server.metric("ringcast_connections") <= 1, what="the first to be gone")
        time.sleep(3)  # the pool lets go of what was not used for a second
        before, pss = held(server), server.pss_bytes()
        aborted_and_completed(server, aborted, completed)
        until(lambda: server.metric("ringcast_connections") <= 1, what="all to be gone")
        until(lambda: held(server) == before, what=f"{before}, now {held(server)}")
        grown = server.pss_bytes() - pss
        print(f"     {before}; after {aborted} aborted and {completed} completed handshakes PSS {pss} {grown:+d}")
        expect(grown <= pss_growth_max, True, f"PSS grew by {grown} bytes")


def test_handshakes_leave_nothing():
    """2,000 aborted and 500 completed handshakes: every byte of the TLS library and every buffer is back."""
    expect_nothing_held(2000, 500, 2 * MIB)


@full
def test_many_handshakes_leave_nothing():
    """100,000 aborted and 10,000 completed ones: the same, and the process has not grown by 1 MiB."""
    expect_nothing_held(100000, 10000, MIB)


def test_idle_connections():
    """1,000 wss connections that idle: no buffer each, and of the TLS library what it needs for a session (the packaged
    one, built for every purpose, needs ten times as much)."""
    with beside_plain("echo", {}, {"handshakes_per_second": 0}) as server:
        before, pss, mine = held(server), server.pss_bytes(), context()
        wires = [Wire(server.port("echo"), tls=mine).upgrade("/echo") for _ in range(1000)]
        until(lambda: held(server)[HELD[1]] == before[HELD[1]], what="no buffer to be held")
        each = (held(server)[HELD[0]] - before[HELD[0]]) / 1000
        print(f"     {each:.0f} bytes of the TLS library and {(server.pss_bytes() - pss) / 1000:.0f} of PSS a connection")
        packaged = "packaged" in server.log()
        expect(each < (96 << 10 if packaged else 8192), True, f"{each} bytes of the TLS library a connection")
        for wire in wires:
            wire.socket.close()
