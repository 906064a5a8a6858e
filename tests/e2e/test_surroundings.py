# SPDX-License-Identifier: MIT
"""What surrounds the process: a log that nobody reads, signals, files that are no files, containers without IPv6, a namespace
in which it is process 1, what Kubernetes puts into the environment."""
import contextlib
import fcntl
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import client
from case import Skip, expect
from server import BINARY, Server, free_port, until
from wire import TEXT, Wire, frame


class Piped(Server):
    """A server whose stderr is what `stderr` says; `prefix` stands in front of the command."""

    def __init__(self, *, stderr=None, prefix=(), preexec=None, **options):
        super().__init__(**options)
        self.stderr, self.prefix, self.preexec = stderr, list(prefix), preexec

    def spawn(self):
        self.write_config()
        pathlib.Path(self.log_path).touch()
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [*self.prefix, *self.command()], stdin=subprocess.DEVNULL,
                stdout=log, stderr=log if self.stderr is None else self.stderr, env=self.environment,
                preexec_fn=self.preexec)


def echoes(server, word=b"x"):
    with Wire(server.port("echo")).upgrade("/echo") as wire:
        wire.send(frame(TEXT, word))
        expect(wire.frame(), (TEXT, word))


def log_of_start(server):
    """It is written a moment behind what it tells of."""
    return until(lambda: server.log() if 'msg="ready"' in server.log() else None, what="the line about being ready")


def cause_lines(server, count):
    """Requests that are refused with a line each."""
    for _ in range(count):
        with contextlib.suppress(OSError):
            server.request("echo", "GET", "/nowhere" + "x" * 300)


# --- the log ---

def small_pipe():
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    return reader, writer


def test_a_log_that_nobody_reads_stops_nobody():
    """H3: stderr is a pipe whose reader stands still: messages go on, a reload is taken, TERM is served; what was lost is
    counted, and said once somebody reads again."""
    reader, writer = small_pipe()
    with Piped(stderr=writer, echo={}, server={"shards": 2}) as server:
        os.close(writer)
        deadline = time.monotonic() + 30
        while server.metric("ringcast_log_lines_dropped_total") == 0:
            cause_lines(server, 50)
            expect(time.monotonic() < deadline, True, "lines are dropped in the end")
        echoes(server)
        server.signal(signal.SIGHUP)
        expect(server.get("/health/live")[0], 200)
        dropped = server.metric("ringcast_log_lines_dropped_total")
        read = []
        thread = threading.Thread(target=lambda: read.extend(iter(lambda: os.read(reader, 65536), b"")))
        thread.start()
        said = r'msg="log lines were dropped" count=(\d+)'
        until(lambda: re.search(said, b"".join(read).decode()), what="the line about dropped ones")
        until(lambda: "configuration reloaded" in b"".join(read).decode() or
              server.metric("ringcast_log_lines_dropped_total") > dropped, what="the lines behind it")
        server.signal(signal.SIGTERM)
        expect(server.wait(10), 0, "exit code")
        thread.join()
        os.close(reader)
        text = b"".join(read).decode()
        expect(sum(map(int, re.findall(said, text))) >= dropped, True, "all that was counted is said")
        expect('msg="stopped"' in text, True, "the last line")


def test_term_with_a_log_that_nobody_reads():
    """H3: TERM ends the process within its time while the pipe stays full, the second shard and the main thread included."""
    reader, writer = small_pipe()
    with Piped(stderr=writer, echo={}) as server:
        os.close(writer)
        while server.metric("ringcast_log_lines_dropped_total") == 0:
            cause_lines(server, 50)
        begin = time.monotonic()
        server.signal(signal.SIGTERM)
        expect(server.wait(10), 0, "exit code")
        expect(time.monotonic() - begin < 8, True, "it waits a bounded time for the reader")
    os.close(reader)


def test_a_closed_stderr():
    """Nothing that the server opens stands where stderr was, and lines go nowhere."""
    def close_all():
        for fd in (0, 1, 2):
            os.close(fd)
    with Piped(preexec=close_all, echo={}) as server:
        opened = [os.readlink(f"/proc/{server.process.pid}/fd/{fd}") for fd in (0, 1, 2)]
        expect(opened, ["/dev/null"] * 3)
        cause_lines(server, 20)
        echoes(server)
        until(lambda: server.metric("ringcast_log_lines_dropped_total") > 0, what="lines that are counted as lost")
    code = subprocess.run([BINARY, "version"], stderr=subprocess.PIPE, preexec_fn=lambda: os.close(1), check=False)
    expect(code.returncode, 1, "a command that cannot print fails")


# --- signals ---

def test_signals_of_log_rotation_and_broken_pipes_are_ignored():
    """USR1, USR2 and PIPE change nothing: there is no file to open again."""
    with Server(echo={}) as server:
        for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGPIPE) * 3:
            server.signal(number)
        echoes(server)
        expect(server.process.poll(), None)


def namespace(*flags):
    """The words that put a command into namespaces of its own; skips where that is not allowed."""
    if shutil.which("unshare") is None:
        raise Skip("unshare is not installed")
    words = ["unshare", *flags]
    done = subprocess.run([*words, "true"], capture_output=True, check=False)
    if done.returncode != 0:
        words = ["unshare", "--user", "--map-root-user", *flags]
        done = subprocess.run([*words, "true"], capture_output=True, check=False)
    if done.returncode != 0:
        raise Skip("this machine does not allow namespaces: " + done.stderr.decode().strip())
    return words


def test_process_1_hears_term_and_hup():
    """As process 1 of a namespace, where the kernel drops signals that nobody catches."""
    prefix = namespace("--pid", "--fork")
    with Piped(prefix=prefix, echo={}) as server:
        outer = server.process.pid
        pid = int(pathlib.Path(f"/proc/{outer}/task/{outer}/children").read_text().split()[0])
        expect(re.search(r"pid=(\d+)", log_of_start(server))[1], "1")
        os.kill(pid, signal.SIGUSR1)
        os.kill(pid, signal.SIGHUP)
        until(lambda: "configuration reloaded" in server.log(), what="the reload")
        echoes(server)
        os.kill(pid, signal.SIGTERM)
        server.told_to_stop = True
        expect(server.wait(10), 0, "exit code")


def test_term_is_heard_while_a_shard_stands_still():
    """A reload waits for all shards. One of them is held in front of its next system call: TERM ends the process all the same, with 1
    because that shard did not take part."""
    if shutil.which("strace") is None:
        raise Skip("strace is not installed")
    with Server(plain={"keys": ["key-of-plain"]}, server={"drain_timeout": "500ms"}, traced=False) as server:
        tasks = pathlib.Path(f"/proc/{server.process.pid}/task")
        shard = next(task.name for task in tasks.iterdir() if (task / "comm").read_text() == "shard-1\n")
        held = subprocess.Popen(["strace", "-p", shard, "-e", "inject=io_uring_enter:delay_enter=60s", "-o", "/dev/null"],
                                stderr=subprocess.PIPE, text=True)
        try:
            if "attached" not in held.stderr.readline():
                raise Skip("this machine does not allow a trace")
            server.sections["plain"]["keys"] = []
            server.write_config()
            server.signal(signal.SIGHUP)
            until(lambda: "now open to everybody" in server.log(), what="settings to be handed out")
            server.signal(signal.SIGTERM)
            until(lambda: "a shard has not ended in time" in server.log(), 20, "the last line")
            held.kill()  # a thread that is traced ends when its tracer lets it go
            expect(server.wait(20), 1, "exit code")
            expect("configuration reloaded" in server.log(), False, "shard 1 never took it over")
            expect("draining" in server.log(), True, "TERM was heard")
        finally:
            held.kill()
            held.wait()
        server.stop = lambda: None  # it has ended, and not well


# --- files ---

def test_settings_from_a_pipe_count_once():
    """M12: `-c <(decrypt FILE)` starts; a reload of it is refused with a line, and TERM is heard."""
    with Server(echo={}) as server:
        fifo = os.path.join(server.folder.name, "fifo")
        os.mkfifo(fifo)
        process = subprocess.Popen([BINARY, "serve", "-c", fifo], stderr=subprocess.PIPE)
        port = free_port()
        pathlib.Path(fifo).write_text(f'echo: {{listen: ["127.0.0.1:{port}"]}}\ningest: {{listen: []}}\nadmin: {{listen: []}}\n',
                                      encoding="utf-8")
        try:
            lines = iter(process.stderr.readline, b"")
            expect(any(b'msg="ready"' in line for line in lines), True, "it starts")
            process.send_signal(signal.SIGHUP)
            line = next(line for line in lines if b"reload" in line).decode()
            expect("reload refused" in line and "not a regular file" in line, True, line)
            process.send_signal(signal.SIGTERM)
            expect(process.wait(10), 0, "exit code")
        finally:
            process.kill()
            process.wait()


def test_keys_from_a_pipe_are_not_read_again():
    """M12: the same for keys_file: the keys stay, SIGTERM works."""
    with Server(plain={"keys": ["k-1"]}) as server:
        fifo = os.path.join(server.folder.name, "keys")
        os.mkfifo(fifo)
        server.reload("reload refused", plain={"keys_file": fifo})
        expect("not a regular file" in server.log(), True, server.log())
        expect(server.request("plain", "GET", "/plain/a")[0] in (401, 426), True)
        server.reload("reload refused", plain={"keys_file": "/dev/zero"})
        server.reload("reload refused", plain={"keys_file": "/"})
        begin = time.monotonic()
        server.signal(signal.SIGTERM)
        expect(server.wait(5), 0, "exit code")
        expect(time.monotonic() - begin < 5, True)


# --- what gets lost by accident ---

async def test_a_file_that_was_emptied_or_cut_keeps_the_old_settings():
    """W12: emptied, comments only, cut behind a section's name, cut in front of the keys: the old settings stay, and a line
    says why; with `keys: []` it is meant."""
    with Server(plain={"keys": ["s3cret-key"]}) as server:
        whole = pathlib.Path(server.config_path).read_text(encoding="utf-8")
        with open(server.config_path, encoding="utf-8") as file:
            expect("s3cret-key" in file.read(), True)
        head = whole.split("plain:")[0]
        listen = re.search(r"plain:\n  listen: .*\n", whole)[0]
        refused = 0
        for text in ("", "# nothing\n# here\n", "plain:\n", head, head + "plain:\n", head + listen,
                     head + listen + "  keys:\n", head + listen + '  keys: ""\n', head + listen + "  keys: [\"s3c"):
            pathlib.Path(server.config_path).write_text(text, encoding="utf-8")
            server.signal(signal.SIGHUP)
            until(lambda: server.metric("ringcast_config_last_reload_successful") == 0 and
                  server.log().count("reload refused") > refused, what=f"a refusal of {text!r}")
            refused = server.log().count("reload refused")
            expect(await client.refused(server.url("plain", "/plain/a")), 401, f"behind {text!r}")
        expect("configuration reloaded" in server.log(), False)
        server.reload(plain={"keys": []})
        expect('msg="now open to everybody" dialects=plain' in server.log(), True, server.log())
        await (await client.connect(server.url("plain", "/plain/a"))).close()


def test_empty_variables_over_keys_are_refused():
    """W12: RINGCAST_PLAIN_KEYS="" is a variable that somebody forgot to fill."""
    def check(**environment):
        done = subprocess.run([BINARY, "check"], env=environment, capture_output=True, text=True, check=False)
        return done.returncode, done.stderr
    for name in ("RINGCAST_PLAIN_KEYS", "RINGCAST_INGEST_KEYS", "RINGCAST_PLAIN_KEYS_FILE"):
        for value in ("", " ", ",") if not name.endswith("FILE") else ("",):
            code, err = check(**{name: value})
            expect((code, err.count(name)), (78, 1), err)
    expect(check(RINGCAST_PLAIN_KEYS="[]"), (0, ""))


def test_a_start_says_which_dialects_are_open():
    """W12: one line; none when all ask for keys."""
    with Server(echo={}, plain={"keys": ["key-of-plain"]}, rustorium={}) as server:
        lines = [line for line in log_of_start(server).splitlines() if "open to everybody" in line]
        expect((len(lines), "dialects=echo" in lines[0]), (1, True), lines)
    with Server(plain={"keys": ["key-of-plain"]}) as server:
        expect("open to everybody" in log_of_start(server), False)


def in_memory(pid, tail):
    """What stands in the memory that the process may write in front of these bytes, and they: up to 15 bytes back."""
    found = set()
    with open(f"/proc/{pid}/maps", encoding="utf-8") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in maps:
            span, flags = line.split()[:2]
            if not flags.startswith("rw"):
                continue
            begin, end = (int(part, 16) for part in span.split("-"))
            with contextlib.suppress(OSError, OverflowError):
                memory.seek(begin)
                text = memory.read(end - begin)
                at = text.find(tail)
                while at >= 0:
                    found.add(text[max(at - 15, 0):at + len(tail)])
                    at = text.find(tail, at + 1)
    return found


def test_keys_that_are_gone_are_gone_from_memory():
    """L3: behind a reload nothing of a file of keys stays but the keys that it has now."""
    old, new = ([f"{word}-key-{i:03}-of-the-test" for i in range(100)] for word in ("former", "present"))
    with Server(plain={}, ingest={}) as server:
        for section, words in (("plain", ""), ("ingest", " plain/*")):
            path = pathlib.Path(server.folder.name) / f"{section}.keys"
            for round_number, keys in enumerate((old, new)):
                path.write_text("".join(f"{key}{words}\n" for key in keys), encoding="utf-8")
                server.reload(**{section: {"keys_file": str(path)}})
                try:
                    found = in_memory(server.process.pid, b"-of-the-test")
                except PermissionError as why:
                    raise Skip("this user may not read the memory of the server") from why
                counts = [sum(any(spot.endswith(key.encode()) for spot in found) for key in keys) for keys in (old, new)]
                expect(counts, [100, 0] if round_number == 0 else [0, 100], f"{section}, reload {round_number + 1}")
            path.write_text("another" + words, encoding="utf-8")
            server.reload()


def test_files_with_keys_that_everybody_may_read_are_warned_of():
    """L12: the configuration with keys in it, a file of keys, a certificate's key; each with its name."""
    with Server(plain={"keys": ["key-of-plain"]}) as server:
        folder = pathlib.Path(server.folder.name)
        keys = folder / "more.keys"
        keys.write_text("key-of-the-file\n", encoding="utf-8")
        server.sections["plain"]["keys_file"] = str(keys)
        server.write_config()
        for mode, count in ((0o600, 0), (0o640, 0), (0o644, 1)):
            for path, other in ((pathlib.Path(server.config_path), keys), (keys, pathlib.Path(server.config_path))):
                os.chmod(other, 0o600)
                os.chmod(path, mode)
                done = subprocess.run([BINARY, "check", "-c", server.config_path], capture_output=True, text=True, check=True,
                                      env=server.environment)
                expect((done.stderr.count("everybody may read it"), done.stderr.count(f"{path}: ")), (count, count), done.stderr)
        server.reload()
        expect(server.log().count("everybody may read it"), 1, server.log())


# --- containers ---

def test_variables_of_kubernetes_are_no_settings():
    """W4: what the kubelet sets for Services named ringcast and ringcast-feed; a misspelled setting stays an error."""
    links = {}
    for name in ("RINGCAST", "RINGCAST_FEED"):
        links |= {f"{name}_SERVICE_HOST": "10.0.0.11", f"{name}_SERVICE_PORT": "9500", f"{name}_SERVICE_PORT_WS": "9500",
                  f"{name}_PORT": "tcp://10.0.0.11:9500"}
        for port in ("9500_TCP", "53_UDP"):
            base = f"{name}_PORT_{port}"
            links |= {base: "tcp://10.0.0.11:9500", f"{base}_PROTO": "tcp", f"{base}_PORT": "9500", f"{base}_ADDR": "10.0.0.11"}
    with Server(echo={}, environment=links) as server:
        lines = [line for line in log_of_start(server).splitlines() if "Kubernetes" in line]
        expect((len(lines), f"{len(links)} variables" in lines[0]), (1, True), lines)
    for name, value in (("RINGCAST_PORT", "9500"), ("RINGCAST_SHARD", "2"), ("RINGCAST_PLAIN_PORT_A", "x")):
        done = subprocess.run([BINARY, "check"], env={name: value}, capture_output=True, text=True, check=False)
        expect((done.returncode, name in done.stderr), (78, True), done.stderr)


WITHOUT_IPV6 = {
    "disable_ipv6=1": "ip link set lo up; echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6",
    "no ::1": "ip link set lo up; ip addr del ::1/128 dev lo",
}


def start_in(script, listen, before=""):
    """(exit code or None, log) of a server in a network namespace of its own, which the script has prepared."""
    prefix = namespace("--net")
    if shutil.which("ip") is None:
        raise Skip("ip (iproute2) is not installed")
    serve = f"exec {before} {BINARY} serve --set echo.listen='{listen}' --set ingest.listen= --set admin.listen="
    process = subprocess.Popen([*prefix, "sh", "-c", f"set -e; {script}; {serve}"], stderr=subprocess.PIPE)
    lines = []
    try:
        for line in iter(process.stderr.readline, b""):
            lines.append(line.decode())
            if 'msg="ready"' in lines[-1]:
                process.send_signal(signal.SIGTERM)
        return process.wait(10), "".join(lines)
    finally:
        process.kill()
        process.wait()


def test_localhost_without_ipv6_is_the_other_address():
    """W7: a container's network without IPv6; an address that was asked for by its number stays an error."""
    for way, script in WITHOUT_IPV6.items():
        code, log = start_in(script, "localhost:23110")
        expect((code, "listen=127.0.0.1:23110 for=dialects" in log, log.count("not available here")), (0, True, 1),
               f"{way}: {log}")
        code, log = start_in(script, "[::1]:23110")
        expect((code, "cannot listen" in log), (1, True), f"{way}: {log}")
        code, log = start_in(script, "localhost:23110,[::1]:23110")
        expect((code, "cannot listen" in log), (1, True), f"{way}: {log}")
    code, log = start_in(WITHOUT_IPV6["disable_ipv6=1"], "*:23110")
    expect((code, 'msg="ready"' in log), (0, True), log)


FORBID_INET6 = """
import ctypes, os, sys
class F(ctypes.Structure): _fields_ = [("code", ctypes.c_ushort), ("jt", ctypes.c_ubyte), ("jf", ctypes.c_ubyte), ("k", ctypes.c_uint)]
class P(ctypes.Structure): _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.POINTER(F))]
rows = [(0x20, 0, 0, 0), (0x15, 0, 3, 41), (0x20, 0, 0, 16), (0x15, 0, 1, 10), (6, 0, 0, 0x50000 | 97), (6, 0, 0, 0x7FFF0000)]
rows = (F * len(rows))(*rows)
libc = ctypes.CDLL(None)
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.byref(P(len(rows), rows)), 0, 0): sys.exit(77)
os.execv(sys.argv[1], sys.argv[1:])
"""


def test_localhost_where_the_kernel_has_no_ipv6():
    """W7: socket(AF_INET6) fails with EAFNOSUPPORT, as without the module: localhost and * are IPv4."""
    for listen, shown in (("localhost:23111", "127.0.0.1:23111"), ("*:23111", "0.0.0.0:23111")):
        process = subprocess.Popen(
            [sys.executable, "-c", FORBID_INET6, BINARY, "serve", "--set", f"echo.listen={listen}", "--set",
             "ingest.listen=", "--set", "admin.listen="], stderr=subprocess.PIPE)
        log = ""
        try:
            for line in iter(process.stderr.readline, b""):
                log += line.decode()
                if 'msg="ready"' in log:
                    break
            if process.poll() == 77:
                raise Skip("this machine does not allow a seccomp filter")
            expect((f"listen={shown} for=dialects" in log, log.count("not available here")), (True, 1), log)
            with socket.create_connection(("127.0.0.1", 23111), 5):
                pass
            process.send_signal(signal.SIGTERM)
            expect(process.wait(10), 0, "exit code")
        finally:
            process.kill()
            process.wait()
