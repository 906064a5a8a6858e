# SPDX-License-Identifier: MIT
"""The process: arguments, configuration, signals, exhaustion."""
import asyncio
import contextlib
import ctypes
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time

import websockets

import client
from case import BRAKE_SECONDS, Skip, expect
from server import BINARY, INGEST_KEY, Server, free_port, until
from wire import TEXT, Wire, close_payload, frame, upgrade_request

HEADERS = {"Authorization": f"Bearer {INGEST_KEY}"}


def run(*arguments, text=None, environment=None, **options):
    """(exit code, stdout, stderr) of the binary."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("RINGCAST_")} | (environment or {})
    done = subprocess.run([BINARY, *arguments], input=text, capture_output=True, text=True,
                          timeout=BRAKE_SECONDS, env=env,
                          **options)
    return done.returncode, done.stdout, done.stderr


# --- arguments and configuration ---

def test_wrong_arguments_exit_with_2():
    """Usage errors: exit 2, a line that names the argument, nothing on stdout."""
    for arguments in (["--nonsense"], ["nonsense"], ["serve", "extra"], ["serve", "-c"], ["check", "--set"],
                      ["publish"], ["subscribe"], ["version", "--jsno"], ["genconfig", "x"]):
        code, out, err = run(*arguments)
        expect((code, out), (2, ""), f"ringcast {' '.join(arguments)}")
        expect("ringcast: " in err, True, f"a line about {arguments}: {err!r}")


def test_help_goes_to_stdout():
    """--help of each command: exit 0, on stdout."""
    for arguments in (["help"], ["--help"],
                      *([c, "--help"] for c in ("serve", "check", "genconfig", "publish", "subscribe", "version"))):
        code, out, err = run(*arguments)
        expect((code, err), (0, ""), f"ringcast {' '.join(arguments)}")
        expect("usage: ringcast" in out, True, "the usage line")


def findings(lines, *sets):
    """(exit code, findings) of `serve` with that file."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write("\n".join(lines) + "\n")
        file.flush()
        arguments = [argument for value in sets for argument in ("--set", value)]
        results = [run(command, "-c", file.name, *arguments) for command in ("check", "serve")]
        expect(results[0], results[1], "check and serve find the same")
        code, out, err = results[0]
        expect(out, "", "stdout")
        return code, err.replace(file.name, "FILE").splitlines()


def test_wrong_configuration_exits_with_78():
    """K-33: every finding in a line of its own with file, line and key; unknown keys with the nearest that there is."""
    code, lines = findings(["plain:", "  listne: [\"127.0.0.1:21999\"]", "  retain: many", "  message_bytes_max: 64",
                            "  ping_interval: 30", "shard: 2", "plian:", "  keys: []"])
    expect(code, 78)
    for pattern in (r"FILE:2: plain\.listne: unknown key; did you mean listen\?", r"FILE:3: plain\.retain: .*",
                    r"FILE:4: plain\.message_bytes_max: .*", r"FILE:5: plain\.ping_interval: .*",
                    r"FILE:6: shard: unknown key; did you mean shards\?", r"FILE:7: plian: unknown key; .*"):
        expect(any(re.fullmatch(pattern, line) for line in lines), True, f"{pattern} in {lines}")
    for text in (["shards: ["], ["shards: 1", "shards: 2"], ["- a"], ["plain: 7"], ["plain:", "  listen: {a: b}"],
                 ["plain:", "  listen: [\"nowhere\"]"], ["plain:", "  policy: [\"newest\"]"],
                 ["plain:", "  listen: [\"127.0.0.1:21999\"]", "admin:", "  listen: [\"127.0.0.1:21999\"]"]):
        code, lines = findings(text)
        expect((code, all(line.startswith("FILE:") for line in lines), len(lines) > 0), (78, True, True),
               f"{text}: {lines}")
    code, lines = findings([], "plain.retain=x", "plain.nonsense=1")
    expect((code, len(lines)), (78, 2), f"{lines}")
    code, out, err = run("serve", "-c", "/nonexistent/ringcast.yaml")
    expect((code, out), (78, ""))
    expect("/nonexistent/ringcast.yaml" in err, True, err)


def test_settings_that_can_have_no_effect_are_refused():
    """W9, L16: origins that no browser sends, durations near the end of their type: the line and what would be right."""
    for value in ("app.example", "https://app.example/", "https://app.example/x", "https://*", "https://a.*.example"):
        code, lines = findings(["plain:", "  origin_check: true", f"  origins: [\"{value}\"]"])
        expect((code, len(lines), lines[0].startswith("FILE:3: plain.origins: ")), (78, 1, True), lines)
    for name in ("idle_timeout", "ping_interval", "duration_max", "messages_window"):
        code, lines = findings([], f"plain.{name}=18446744073709551615ms")
        expect((code, len(lines), "out of range" in lines[0]), (78, 1, True), lines)


def test_precedence():
    """K-33: defaults, then the file, then the environment, then flags."""
    environment = {"RINGCAST_PLAIN_RETAIN": "2"}
    with Server(plain={"retain": 1}) as server:
        def value(*arguments, **options):
            code, out, _ = run("check", *arguments, **options)
            expect(code, 0)
            return re.search(r"^  retain: (.*)$", out, re.MULTILINE)[1]
        expect(value(), "0  # default")
        expect(value("-c", server.config_path), f"1  # {server.config_path}:{config_line(server, 'retain')}")
        expect(value("-c", server.config_path, environment=environment), "2  # env RINGCAST_PLAIN_RETAIN")
        expect(value("-c", server.config_path, "--set", "plain.retain=3", environment=environment), "3  # --set")


def config_line(server, key):
    with open(server.config_path, encoding="utf-8") as file:
        return next(n for n, line in enumerate(file, 1) if line.strip().startswith(key + ":"))


def test_a_port_in_use_is_an_error():
    """Two instances of one configuration: the second ends with 1 and says which address and why; the first goes on."""
    with Server(plain={}, echo={}) as server:
        code, _, err = run("serve", "-c", server.config_path)
        expect(code, 1, "exit code of the second instance")
        lines = [line for line in err.splitlines() if "level=error" in line]
        expect(len(lines), 1, f"error lines in {err}")
        expect("cannot listen" in lines[0] and re.search(r"127\.0\.0\.1:\d+", lines[0]) is not None, True, lines[0])
        with Wire(server.port("echo")).upgrade("/echo") as wire:
            wire.send(frame(TEXT, b"x"))
            expect(wire.frame(), (TEXT, b"x"))


def test_two_dialects_with_one_path_are_refused():
    """G-2: a start-up error that names both, never a silent decision: /plain/ws would be a channel and rustorium's."""
    with Server(plain={}) as server:
        listen = f"127.0.0.1:{free_port()}"
        code, _, err = run("serve", "--set", f"plain.listen={listen}", "--set", f"rustorium.listen={listen}",
                           "--set", "rustorium.prefix=/plain", "--set", "ingest.listen=", "--set", "admin.listen=")
        expect(code in (1, 78), True, f"exit code {code}")
        expect(all(word in err for word in ("plain", "rustorium", "/plain/ws")), True, err)
        expect(server.get("/healthz")[0], 200)


def test_origins_that_are_no_address():
    """W9, A-14: null (sandboxed frames, local files), file://, all hosts below one."""
    origins = ["null", "file://", "https://*.example.com"]
    with Server(echo={"origin_check": True, "origins": origins}) as server:
        for origin, status in (("null", 101), ("file://", 101), ("https://a.example.com", 101), ("https://example.com", 403),
                               ("http://localhost", 403)):
            with Wire(server.port("echo")) as wire:
                wire.send(upgrade_request("/echo", headers=[f"Origin: {origin}"]))
                expect(wire.head()[0], status, origin)


def test_a_probe_that_resets_is_no_line():
    """A load balancer connects and leaves by a reset: nobody is at fault, the line is one for debugging."""
    with Server(echo={}, server={"log_level": "debug", "shards": 1}) as server:
        for port in (server.port("echo"), server.port("admin")):
            before = server.metric("ringcast_connections_accepted_total")
            wire = Wire(port, tls=False)
            until(lambda: server.metric("ringcast_connections") > 1 and
                  server.metric("ringcast_connections_accepted_total") > before + 2, what="the accept")
            wire.reset()
        with Wire(server.port("echo"), tls=False) as wire:
            wire.send(b"GET ")
            until(lambda: server.metric("ringcast_bytes_received_total") > 0, what="the bytes")
            wire.reset()
        until(lambda: re.search('level=info.*reason="peer gone"', server.log()), what="the line of who has said something")
        lines = [line for line in server.log().splitlines() if 'reason="peer gone"' in line]
        expect((sum("level=info" in line for line in lines), len(lines) > 1), (1, True), lines)


def test_the_binary_is_hardened():
    """Stack canaries, checked copies, no table of functions that stays writable, an address that is drawn."""
    if shutil.which("readelf") is None:
        raise Skip("readelf is not installed")
    def read(*what):
        return subprocess.run(["readelf", "-W", *what, BINARY], capture_output=True, text=True, check=True).stdout
    expect(" NOW" in read("-d") and "GNU_RELRO" in read("-l"), True, "BIND_NOW and RELRO")
    expect("DYN" in read("-h"), True, "position-independent")
    symbols = read("--dyn-syms")
    expect("__stack_chk_fail" in symbols, True, "stack protector")
    expect(re.search(r"__(memcpy|snprintf|vsnprintf|fprintf|read)_chk", symbols) is not None, True, "FORTIFY")


def test_private_listeners_are_not_shared():
    """K-33: ingest and admin share an address with nobody."""
    listen = f"127.0.0.1:{free_port()}"
    for one, other in (("plain", "ingest"), ("plain", "admin"), ("ingest", "admin")):
        code, out, err = run("check", "--set", f"{one}.listen={listen}", "--set", f"{other}.listen={listen}")
        expect((code, out), (78, ""), f"{one} and {other}")
        expect(one in err and other in err, True, err)


# --- reload ---

async def test_reload_rotates_keys():
    """K-31, A-13: a new key works, sessions of a removed one are closed with 1008, those of others do not notice."""
    with Server(plain={"keys": ["pk-old", "pk-both"]},
                rustorium={"keys": ["rk-old", "rk-both"], "attempts_per_minute": 0}) as server:
        def url(dialect, path, name, key):
            return server.url(dialect, f"{path}?{name}={key}")
        old = [await client.connect(url("plain", "/plain/a", "api_key", "pk-old")) for _ in range(6)]
        old += [await client.connect(url("rustorium", "/ws", "token", "rk-old")) for _ in range(6)]
        both = [await client.connect(url("plain", "/plain/a", "api_key", "pk-both")),
                await client.connect(url("rustorium", "/ws", "token", "rk-both"))]
        server.reload(plain={"keys": ["pk-both", "pk-new"]}, rustorium={"keys": ["rk-new", "rk-both"]})
        for ws in old:
            expect(await client.closed(ws), (1008, "key revoked"))
        await client.quiet(*both)
        expect(await client.refused(url("plain", "/plain/a", "api_key", "pk-old")), 401)
        refused = await client.connect(url("rustorium", "/ws", "token", "rk-old"))
        await client.receive(refused)
        expect((await client.closed(refused))[0], 4000)
        both.append(await client.connect(url("plain", "/plain/a", "api_key", "pk-new")))
        both.append(await client.connect(url("rustorium", "/ws", "token", "rk-new")))
        expect(server.publish("plain/a", "x", "text/plain"), 2, "receivers")
        await client.close_all(both)


async def test_reload_without_closing():
    """A-13: close_on_revoke off: sessions of a removed key stay, new ones are refused."""
    with Server(plain={"keys": ["pk-old"], "close_on_revoke": False}) as server:
        ws = await client.connect(server.url("plain", "/plain/a?api_key=pk-old"))
        server.reload(plain={"keys": ["pk-new"]})
        expect(await client.refused(server.url("plain", "/plain/a?api_key=pk-old")), 401)
        await client.quiet(ws)
        await ws.close()


async def test_reload_of_limits_and_keys_file():
    """K-31: limits apply to those who are there; keys_file is read again; what needs a restart is named."""
    with Server(plain={"messages_max": 5}) as server:
        keys = os.path.join(server.folder.name, "keys")
        with open(keys, "w", encoding="utf-8") as file:
            file.write("file-key-1\n")
        ws = await client.connect(server.url("plain", "/plain/a"))
        server.reload(plain={"messages_max": 2, "keys_file": keys}, server={"shards": 1})
        expect("shards" in server.log().split("configuration reloaded")[-1], True, "shards need a restart")
        for _ in range(3):
            await ws.send("x")
        expect((await client.closed(ws))[0], 1008)
        ws = await client.connect(server.url("plain", "/plain/a?api_key=file-key-1"))
        with open(keys, "w", encoding="utf-8") as file:
            file.write("file-key-2\n")
        server.reload()
        expect((await client.closed(ws))[0], 1008)
        ws = await client.connect(server.url("plain", "/plain/a?api_key=file-key-2"))
        await ws.close()
        expect("file-key" in server.log(), False, "a key in the log")


async def test_a_bad_reload_keeps_the_old():
    """K-31: nothing changes, the log names the mistake, the metric says so until a good one comes."""
    name = "ringcast_config_last_reload_successful"
    with Server(plain={"keys": ["pk-1"]}) as server:
        ws = await client.connect(server.url("plain", "/plain/a?api_key=pk-1"))
        server.reload("reload refused", plain={"keys": ["pk-2"], "retian": 5})
        expect("plain.retian" in server.log(), True, "the finding in the log")
        expect(server.metric(name), 0)
        other = await client.connect(server.url("plain", "/plain/a?api_key=pk-1"))
        await client.quiet(ws, other)
        del server.sections["plain"]["retian"]
        server.reload(plain={"keys": ["pk-1"]})
        expect(server.metric(name), 1)
        await client.quiet(ws, other)
        await client.close_all([ws, other])


async def test_reload_again_and_again_under_load():
    """K-31: 30 reloads while messages flow: none is lost."""
    with Server(plain={"keys": ["pk-1"]}) as server:
        readers = [await client.connect(server.url("plain", "/plain/a?api_key=pk-1")) for _ in range(6)]
        for i in range(30):
            server.publish("plain/a", f"a{i}", "text/plain")
            server.signal(signal.SIGHUP)
            server.publish("plain/a", f"b{i}", "text/plain")
        wanted = [f"{c}{i}" for i in range(30) for c in "ab"]
        for ws in readers:
            expect(await client.receive_many(ws, 60), wanted)
        await client.close_all(readers)


# --- stop ---

async def test_term_under_load():
    """K-31, I-6: every client is told 1001; what was acknowledged has arrived at every reader that kept reading; exit 0
    within 10 s."""
    acknowledged, arrived, window = [-1], [], 500

    async def read(ws):
        numbers = []
        try:
            while True:
                numbers.append(int(await ws.recv()))
        except websockets.ConnectionClosed:
            arrived.append((numbers, ws.close_code, ws.close_reason))

    async def publish(ws):
        async def send():
            for number in range(1_000_000):
                while number > acknowledged[0] + window:
                    await asyncio.sleep(0)
                await ws.send(f'{{"op":"publish","dialect":"plain","topic":"a","seq":{number},"data":{number}}}')
        sender = asyncio.create_task(send())
        try:
            while True:
                answer = json.loads(await ws.recv())
                if answer["op"] == "ack":
                    acknowledged[0] = answer["seq"]
        except websockets.ConnectionClosed:
            sender.cancel()
            with contextlib.suppress(asyncio.CancelledError, websockets.ConnectionClosed):
                await sender
            return ws.close_code

    hour = {"drain_timeout": "1h"}  # a drain that waits for its end does not come to it here
    with Server(plain={"outbox_bytes_max": "64MiB"}, echo={}, server=hour) as server:
        readers = [await client.connect(server.url("plain", "/plain/a")) for _ in range(8)]
        idle = await client.connect(server.url("echo", "/echo"))
        publisher = await client.connect(server.url("ingest", "/ingest/v1/ws"), extra_headers=HEADERS)
        tasks = [asyncio.create_task(read(ws)) for ws in readers]
        publishing = asyncio.create_task(publish(publisher))
        while acknowledged[0] < 2000:
            await asyncio.sleep(0.01)
        server.signal(signal.SIGTERM)
        await asyncio.wait_for(asyncio.gather(*tasks), BRAKE_SECONDS)
        expect(await asyncio.wait_for(publishing, BRAKE_SECONDS), 1001, "close code of the publisher")
        expect(await client.closed(idle), (1001, "going away"))
        expect(await asyncio.to_thread(server.wait), 0, "exit code")
    for numbers, code, reason in arrived:
        expect((code, reason), (1001, "going away"))
        expect(numbers, list(range(len(numbers))), "what a reader got")
        expect(len(numbers) > acknowledged[0], True, f"{acknowledged[0]} was acknowledged, {len(numbers)} arrived")


def test_a_second_term_ends_at_once():
    """K-31: clients that never answer hold the drain up, a second signal does not wait for them."""
    for second in (signal.SIGTERM, signal.SIGINT):
        with Server(echo={}, server={"drain_timeout": "1h", "close_timeout": "1h"}) as server:
            wires = [Wire(server.port("echo")).upgrade("/echo") for _ in range(5)]
            server.signal(signal.SIGTERM)
            until(lambda: "draining" in server.log(), what="the drain")
            for wire in wires:
                expect(wire.frame(), (8, close_payload(1001, "going away")))
            time.sleep(0.3)
            expect(server.process.poll(), None, "it still drains")
            server.signal(second)
            expect(server.wait(), 0, "exit code")
            for wire in wires:
                expect(wire.ended(), True, "the connection ends")
                wire.socket.close()


def test_int_is_a_stop_too():
    """K-31: SIGINT ends as SIGTERM does."""
    with Server(echo={}) as server, Wire(server.port("echo")).upgrade("/echo") as wire:
        server.signal(signal.SIGINT)
        expect(wire.frame(), (8, close_payload(1001, "going away")))
        wire.send(frame(8, close_payload(1001)))
        wire.socket.close()
        expect(server.wait(), 0, "exit code")


def test_drain_ends_in_time_with_readers_that_are_stuck():
    """K-31: readers with a full socket, half requests, silent connections: the stop is not held up beyond its time."""
    with Server(plain={}, server={"drain_timeout": "2s"}) as server:
        stuck = [Wire(server.port("plain"), receive_buffer=4096).upgrade("/plain/a") for _ in range(4)]
        stuck += [Wire(server.port("plain")) for _ in range(4)]
        half = Wire(server.port("ingest"))
        half.send(b"POST /ingest/v1/plain/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\nX-Ingest-Key: " +
                  INGEST_KEY.encode() + b"\r\n\r\nhalf")
        for i in range(20):
            server.publish("plain/a", b"x" * 100000)
        server.signal(signal.SIGTERM)
        expect(server.wait(), 0, "exit code")
        for wire in [*stuck, half]:
            wire.socket.close()


def test_start_and_stop_many_times():
    """A stop leaves nothing that keeps the next start from the same addresses."""
    server = Server(plain={})
    for _ in range(10):
        server.start()
        with Wire(server.port("plain")).upgrade("/plain/a"):
            pass
        server.signal(signal.SIGTERM)
        expect(server.wait(), 0, "exit code")
    server.folder.cleanup()


# --- exhaustion ---

def test_out_of_descriptors():
    """K-24, K-25: more connections than descriptors: those who are in are served, the others are refused or wait, it
    neither spins nor floods the log but does say so, and when somebody leaves the next one gets in."""
    with Server(echo={}, server={"shards": 1}, open_files=64) as server:
        wires = [Wire(server.port("echo")).upgrade("/echo") for _ in range(55)]
        begin, tried = time.monotonic(), []
        while time.monotonic() - begin < 2:
            tried.append(Wire(server.port("echo"), tls=False))
            time.sleep(0.02)
        for wire in wires:
            wire.send(frame(TEXT, b"x"))
            expect(wire.frame(), (TEXT, b"x"))
        for wire in [*wires, *tried]:
            wire.reset()
        until(can_ask(server), what="a new connection to be served")
        with Wire(server.port("echo")).upgrade("/echo"):
            metrics = server.metrics()
            refused = metrics['ringcast_connections_rejected_total{reason="descriptors"}']
            lines, seconds = server.log().count("level=warn"), time.monotonic() - begin
            # At each listener one try in 100 ms, one more for each that has closed, and the first: so many at the most,
            # however long all this has taken. A server that spins has tens of thousands.
            tries_max = len(server.sections) * (seconds * 10 + len(wires) + len(tried) + 2)
            expect(1 <= refused <= tries_max, True, f"1 to {int(tries_max)} tries, found {refused}")
            expect(1 <= lines <= seconds + 2, True, f"1 to {int(seconds + 2)} warnings in the log, found {lines}")


def can_ask(server):
    def ask():
        try:
            return server.get("/healthz")[0] == 200
        except OSError:
            return False
    return ask


def test_connections_max():
    """K-24: connections_max is a limit that holds, and its places come back."""
    with Server(echo={}, server={"shards": 1, "connections_max": 20}) as server:
        wires = []
        with contextlib.suppress(OSError, AssertionError):
            for _ in range(40):
                wire = Wire(server.port("echo"))
                wire.socket.settimeout(0.3)
                wires.append(wire.upgrade("/echo"))
        expect(10 <= len(wires) <= 21, True, f"{len(wires)} connections")
        for wire in wires:
            wire.reset()
        until(can_ask(server), what="a new connection to be served")


SECCOMP_FILTER = [  # struct sock_filter {code, jt, jf, k}: io_uring_setup (425) fails with EPERM, all else is allowed
    (0x20, 0, 0, 0), (0x15, 0, 1, 425), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7FFF0000)]


def forbid_io_uring():
    """In the child, before the server is executed."""
    class SockFilter(ctypes.Structure):
        _fields_ = [("code", ctypes.c_ushort), ("jt", ctypes.c_ubyte), ("jf", ctypes.c_ubyte), ("k", ctypes.c_uint)]

    class SockFprog(ctypes.Structure):
        _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.POINTER(SockFilter))]
    rows = (SockFilter * len(SECCOMP_FILTER))(*SECCOMP_FILTER)
    libc = ctypes.CDLL(None, use_errno=True)
    program = SockFprog(len(SECCOMP_FILTER), rows)
    if libc.prctl(38, 1, 0, 0, 0) != 0 or libc.prctl(22, 2, ctypes.byref(program), 0, 0) != 0:
        os._exit(77)


def test_io_uring_is_forbidden():
    """Where the kernel refuses io_uring the start fails with 1 and one clear line."""
    with Server(echo={}) as server:
        code, _, err = run("serve", "--set", f"echo.listen=127.0.0.1:{free_port()}", "--set", "ingest.listen=",
                           "--set", "admin.listen=", preexec_fn=forbid_io_uring)
        if code == 77:
            raise Skip("this machine does not allow a seccomp filter")
        expect(code, 1, f"exit code ({err})")
        lines = [line for line in err.splitlines() if "level=error" in line]
        expect(len(lines) == 1 and "io_uring" in lines[0], True, f"error lines {lines}")
        expect(server.get("/healthz")[0], 200)
