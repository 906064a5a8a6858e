# SPDX-License-Identifier: MIT
"""What the measuring scripts share: servers that end by themselves, runs of the measuring programs, and statistics.

Owns every process that it starts and ends each by its pid. It never decides what to measure.
"""

import contextlib
import json
import math
import os
import platform
import resource
import signal
import socket
import statistics
import string
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / "bench/peers"
START_S = 10  # until a server listens
STOP_S = 15  # until it has ended after SIGTERM
SLACK_S = 60  # a measurement may take so much longer than its duration
BUSY_LOAD = 0.5  # above it a neighbour shares the two cores
PORTS_PER_ADDRESS = 10000  # of the client; the kernel has about 28,000, and looks long for the last ones
TABLE_SHARE = 0.9  # of a shard's table: the kernel does not spread connections evenly
TABLE_SPARE = 64  # of a shard's table: publishers, listeners
CLEAN, CLIENT_LIMITED = 0, 3  # exit codes of ringcast-bench with which its figures can be used


class Failed(Exception):
    pass


def two_cores():
    """One for the sender, one for the receiver."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise Failed("two cores are needed: one for the sender, one for the receiver")
    return cores[:2]


def prepared(core, idle=False):
    """For preexec_fn: the child runs on that core only, may open as many files as the hard limit says, and, `idle`,
    runs only when nobody else wants the core."""

    def prepare():
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        if core is not None:
            os.sched_setaffinity(0, {core})
        if idle:
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))

    return prepare


def shards_for(sockets):
    """One if it can hold them: its table of descriptors is bound by RLIMIT_NOFILE; else more, all on one core."""
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1 if sockets + TABLE_SPARE <= files else math.ceil(sockets / (files * TABLE_SHARE))


def source_addresses(conns):
    """Options for ringcast-bench: more than one address when the connections need them."""
    addresses = math.ceil(conns / PORTS_PER_ADDRESS)
    if addresses == 1:
        return []
    return ["--bind-address", ",".join(f"127.0.0.{2 + number}" for number in range(addresses))]


def milliseconds(seconds):
    return f"{max(1, round(seconds * 1000))}ms"


def warn_if_busy(program):
    load = os.getloadavg()[0]
    if load > BUSY_LOAD:
        print(f"{program}: the machine is busy (load {load:.1f}): expect wide spreads", file=sys.stderr)


def end_on_sigterm():
    """So that every `with` block ends its process."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def measure(command, core, seconds):
    """Runs one measuring program to its end and returns the JSON that it has written."""
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        command = [str(part) for part in command] + ["--json", file.name, "--quiet"]
        try:
            done = subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=seconds + SLACK_S,
                                  preexec_fn=prepared(core), check=False)
        except subprocess.TimeoutExpired as error:
            raise Failed(f"{command[0]} did not end") from error
        return read_result(command, done.returncode, done.stderr, file.name)


def read_result(command, code, errors, path):
    text = Path(path).read_text(encoding="utf-8")
    if code not in (CLEAN, CLIENT_LIMITED):
        raise Failed(f"{' '.join(command)}: exit code {code}\n{errors}{text}")
    return json.loads(text)


@contextlib.contextmanager
def measuring(command, core, seconds, idle=False, stage="measure"):
    """ringcast-bench beside something else: when that stage of it has begun, yields a function that waits for the
    result, and whose `process` may be signalled."""
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        command = [str(part) for part in command] + ["--json", file.name]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                              preexec_fn=prepared(core, idle)) as process:
            for line in process.stderr:  # ends with the process; its stages are bounded by --timeout
                if line.strip() == stage:
                    break

            def result():
                try:
                    _, errors = process.communicate(timeout=seconds + SLACK_S)
                except subprocess.TimeoutExpired as error:
                    raise Failed(f"{command[0]} did not end") from error
                return read_result(command, process.returncode, errors, file.name)

            result.process = process
            try:
                yield result
            finally:
                if process.poll() is None:
                    process.kill()


class Template(string.Template):
    """Nginx has a use of its own for the dollar."""
    delimiter = "@"
    pattern = r"(?:(?P<escaped>@@)|@(?P<named>[A-Z]+)@|(?P<braced>(?!))|(?P<invalid>(?!)))"


def filled(name, folder, **values):
    """A peer's configuration with its folder and more written in."""
    path = Path(folder) / name
    path.write_text(Template((PEERS / name).read_text(encoding="utf-8")).substitute(values, FOLDER=folder))
    return path


class Server:
    """A server on one core for as long as the `with` block lasts. `worker`: it works in its only child."""

    def __init__(self, command, address, core, worker=False):
        self.command = [str(part) for part in command]
        self.address = address
        self.core = core
        self.worker = worker
        self.process = None
        self.pid = None

    def listens(self):
        try:
            socket.create_connection(self.address, timeout=1).close()
            return True
        except OSError:
            return False

    def find_pid(self):
        """Of the process that works: the kernel accepts connections before a worker has been forked."""
        children = []
        if self.worker:
            children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        self.pid = int(children[0]) if children else None if self.worker else self.process.pid
        return self.pid

    def __enter__(self):
        if self.listens():
            raise Failed(f"something else listens on {self.address[0]}:{self.address[1]}")
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, preexec_fn=prepared(self.core))
        try:
            deadline = time.monotonic() + START_S
            while not self.listens() or not self.find_pid():
                if self.process.poll() is not None:
                    raise Failed(f"{self.command[0]} ended with exit code {self.process.returncode}")
                if time.monotonic() > deadline:
                    raise Failed(f"{self.command[0]} does not listen after {START_S} s")
                time.sleep(0.05)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            print(f"{self.command[0]} did not stop and was killed", file=sys.stderr)


def metrics(address):
    """What ringcast's operators' listener tells: {name: the sum over all labels}."""
    with urllib.request.urlopen(f"http://{address[0]}:{address[1]}/metrics", timeout=START_S) as answer:
        lines = answer.read().decode("utf-8").splitlines()
    sums = {}
    for line in lines:
        if line and not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            name = name.partition("{")[0]
            sums[name] = sums.get(name, 0) + float(value)
    return sums


def spread(values, digits=2):
    """Median (min-max)."""
    if not values:
        return "-"
    return f"{statistics.median(values):,.{digits}f} ({min(values):,.{digits}f}-{max(values):,.{digits}f})"


def ratios(values, to):
    """Repetition by repetition; those that failed on either side are left out."""
    return [a / b for a, b in zip(values, to) if a is not None and b]


def median_run(values, to):
    """The repetition whose ratio is the median (of an even number the lower of the two in the middle), or None: medians of both
    sides, each taken by itself, need not have that ratio, nor ever have been measured together."""
    runs = [(a / b, i) for i, (a, b) in enumerate(zip(values, to)) if a is not None and b]
    return sorted(runs)[(len(runs) - 1) // 2][1] if runs else None


def table(head, rows):
    """A Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def cpu_model():
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def commit():
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


def heading():
    """Date, machine, kernel and what was run, as Markdown."""
    program = Path(sys.argv[0])
    words = " ".join([f"bench/{program.name}", *sys.argv[1:]])
    cores = len(os.sched_getaffinity(0))
    return (f"`{words}`  \n{time.strftime('%Y-%m-%d %H:%M')}, {cores} x {cpu_model()}, Linux {platform.release()}, "
            f"commit {commit()}\n")
