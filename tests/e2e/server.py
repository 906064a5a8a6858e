# SPDX-License-Identifier: MIT
"""The real binary as a test's own server: a configuration in a folder of its own, free ports, and at the end a stop
that is a check of its own: the process ends by TERM with code 0, every message that was expected has been delivered,
dropped with a reason or is in flight, and no key stands in the log."""
import http.client
import json
import os
import pathlib
import random
import re
import resource
import signal
import socket
import subprocess
import tempfile
import time

import syscalls
import transport
from case import BRAKE_SECONDS, expect

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ.get("RINGCAST_BINARY") or str(ROOT / "build" / "release" / "ringcast")
for name in [name for name in os.environ if name.startswith("RINGCAST_")]: # settings of whoever runs the tests are not the tests'
    del os.environ[name]
PORTS = range(21000, 22000)
INGEST_KEY = "ingest-key-of-the-tests"

next_port = random.randrange(len(PORTS))


def free_port():
    """A port that nobody uses on either loopback address; each call gives another one."""
    global next_port
    for _ in PORTS:
        port = PORTS[next_port % len(PORTS)]
        next_port += 1
        try:
            for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
                with socket.socket(family, socket.SOCK_STREAM) as probe:
                    probe.bind((host, port))
            return port
        except OSError:
            continue
    raise RuntimeError(f"no free port from {PORTS.start} to {PORTS.stop - 1}")


def free_listen():
    return [f"127.0.0.1:{free_port()}"]


def speak_tls(values):
    """Puts the word behind each address of a section that has no word there yet."""
    for key in values:
        if key == "listen" or key.endswith("_listen"):
            values[key] = [entry if " " in entry else f"{entry} tls" for entry in values[key]]


def to_yaml(sections):
    """Sections as the file has them; those of "server" stand at top level. JSON values are YAML values."""
    lines = [f"{key}: {json.dumps(value)}" for key, value in sections.get("server", {}).items()]
    for name, values in sections.items():
        if name != "server":
            lines += [f"{name}:"] + [f"  {key}: {json.dumps(value)}" for key, value in values.items()]
    return "\n".join(lines) + "\n"


def until(condition, seconds=BRAKE_SECONDS, what="a condition"):
    """Waits until the condition gives something true, and returns that."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s in vain for {what}")
        time.sleep(0.01)


class Server:
    """with Server(plain={"retain": 3}, rustorium={"keys": ["rk-1"]}, server={"shards": 1}) as server: ...

    A dialect that is named is served, on a port of its own. Two shards unless the test says otherwise. `secure`: its
    listeners speak TLS, the words behind an address that a test has written stay."""

    def __init__(self, *, arguments=(), environment=None, open_files=None, secure=None, traced=None, **sections):
        self.traced = syscalls.everywhere if traced is None else traced
        self.secure = transport.everywhere if secure is None else secure
        self.sections = {
            "server": {"shards": 2, "pin": False, "log_level": "debug"} | sections.pop("server", {}),
            "ingest": {"listen": free_listen(), "keys": [f"{INGEST_KEY} *"]} | sections.pop("ingest", {}),
            "admin": {"listen": free_listen()} | sections.pop("admin", {}),
        }
        self.folder = tempfile.TemporaryDirectory(prefix="ringcast-e2e-")
        for name, values in sections.items():
            self.sections[name] = ({} if name == "tls" else {"listen": free_listen()}) | values
        for name in ("emprops", "rnn"): # what is acknowledged is kept: in a file that lives as long as the test
            if name in self.sections:
                self.sections[name] = {"store": os.path.join(self.folder.name, "jobs.db")} | self.sections[name]
        if self.secure:
            self.sections["tls"] = {"certificates": [transport.pair("server")]} | self.sections.get("tls", {})
            for values in self.sections.values():
                speak_tls(values)
        self.arguments = list(arguments)
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("RINGCAST_")}
        self.environment = inherited | (environment or {})
        self.open_files = open_files
        self.told_to_stop = False
        self.config_path = os.path.join(self.folder.name, "ringcast.yaml")
        self.log_path = os.path.join(self.folder.name, "log")
        self.trace_path = os.path.join(self.folder.name, "trace")
        self.process = None

    # --- the process ---

    def command(self):
        return [*(syscalls.prefix(self.trace_path) if self.traced else []), BINARY, "serve", "-c", self.config_path,
                *self.arguments]

    def write_config(self):
        with open(self.config_path, "w", encoding="utf-8", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.write(to_yaml(self.sections))

    def start(self):
        """Starts the process and returns once it is ready."""
        self.spawn()
        try:
            until(self.is_ready, what="readiness")
        except BaseException:
            self.kill()
            raise
        return self

    def spawn(self):
        self.write_config()
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, env=self.environment, preexec_fn=self.limit_open_files if self.open_files else None)

    def limit_open_files(self):
        resource.setrlimit(resource.RLIMIT_NOFILE, (self.open_files, self.open_files))

    def is_ready(self):
        if self.process.poll() is not None:
            raise AssertionError(f"the server ended with code {self.process.returncode}\n{self.log()}")
        try:
            return self.get("/health/ready")[0] == 200
        except OSError:
            return False

    def signal(self, number):
        self.process.send_signal(number)
        self.told_to_stop |= number in (signal.SIGTERM, signal.SIGINT, signal.SIGKILL)

    def reload(self, line="configuration reloaded", **sections):
        """Changes the file, sends HUP and returns when the log has that line once more."""
        before = self.log().count(line)
        for name, values in sections.items():
            self.sections[name] = self.sections[name] | values
        if self.secure:
            for values in self.sections.values():
                speak_tls(values)
        self.write_config()
        self.signal(signal.SIGHUP)
        until(lambda: self.log().count(line) > before, what=f"the log line {line!r}")

    def wait(self, seconds=BRAKE_SECONDS):
        """The exit code."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the server has not ended within {seconds} s") from None

    def stop(self):
        """Ends the process, unless the test has asked for that already, and checks how it ended."""
        if not self.told_to_stop:
            self.check_conservation()
            self.signal(signal.SIGTERM)
        expect(self.wait(), 0, "exit code")
        self.check_log()
        expect("system call refused" in self.log(), False, "a thread makes a call that core/sandbox.def does not have")
        if self.traced:
            self.calls = syscalls.check(self.trace_path, self.process.pid)

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, error, trace):
        try:
            if error is None:
                self.stop()
        except BaseException as why:
            error = why
            raise
        finally:
            if error is not None:
                code = self.process.poll()
                lines = [line for line in self.log().splitlines() if 'reason="http done"' not in line]
                state = "runs" if code is None else f"ended with {code}"
                error.add_note("\n".join([f"the server {state}; the end of its log:", *lines[-8:]]))
            self.kill()
            self.folder.cleanup()

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    # --- what it costs ---

    def pss_bytes(self):
        """Memory that is its own, and its part of what it shares."""
        rollup = pathlib.Path(f"/proc/{self.process.pid}/smaps_rollup").read_text()
        return int(re.search(r"^Pss: +(\d+) kB$", rollup, re.MULTILINE)[1]) * 1024

    def forget_peak(self):
        pathlib.Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def peak_bytes(self):
        """The most memory that was resident since forget_peak."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)[1]) * 1024

    # --- what it says ---

    def log(self):
        with open(self.log_path, "rb") as file:
            return file.read().decode()

    def check_log(self):
        """Credentials appear nowhere (K-32)."""
        log = self.log()
        for section in self.sections.values():
            for entry in section.get("keys", []):
                key = entry.split()[0]
                if key in log:
                    raise AssertionError(f"the key {key} stands in the log")
        for entry in self.sections.get("tls", {}).get("certificates", []):
            for line in pathlib.Path(entry.split()[1]).read_text(encoding="utf-8").splitlines():
                if line in log:
                    raise AssertionError(f"a line of {entry.split()[1]} stands in the log")

    def metrics(self):
        """{"name" or 'name{labels}': value}"""
        status, text = self.get("/metrics")
        expect(status, 200, "status of /metrics")
        lines = (line.rsplit(" ", 1) for line in text.decode().splitlines() if line and not line.startswith("#"))
        return {name: int(value) for name, value in lines}

    def metric(self, name):
        """The sum over all labels."""
        return sum(value for key, value in self.metrics().items() if key.split("{")[0] == name)

    def check_conservation(self):
        """expected = delivered + dropped + in flight. Shards count one after the other, so it may take a moment."""
        def sums():
            values = {}
            for key, value in self.metrics().items():
                match = re.match(r"ringcast_messages_(expected|delivered|dropped|in_flight)", key)
                if match:
                    values[match[1]] = values.get(match[1], 0) + value
            return values

        deadline = time.monotonic() + BRAKE_SECONDS
        while True:
            found = sums()
            if found["expected"] == found["delivered"] + found["dropped"] + found["in_flight"]:
                return found
            if time.monotonic() > deadline:
                raise AssertionError(f"messages are not conserved: {found}")
            time.sleep(0.02)

    # --- ways in ---

    def port(self, section):
        return int(self.sections[section]["listen"][0].split()[0].rsplit(":", 1)[1])

    def speaks_tls(self, section):
        return " tls" in self.sections[section]["listen"][0]

    def url(self, section, path, scheme="ws"):
        secure = "s" if self.speaks_tls(section) else ""
        return f"{scheme}{secure}://127.0.0.1:{self.port(section)}{path}"

    def request(self, section, method, path, body=None, headers=None):
        """(status, content)"""
        if self.speaks_tls(section):
            connection = http.client.HTTPSConnection("127.0.0.1", self.port(section), timeout=BRAKE_SECONDS,
                                                     context=transport.trusting())
        else:
            connection = http.client.HTTPConnection("127.0.0.1", self.port(section), timeout=BRAKE_SECONDS)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def get(self, path):
        return self.request("admin", "GET", path)

    def ingest(self, topic, body, kind="application/json", key=INGEST_KEY):
        """Publishes to DIALECT/TOPIC: (status, content read as JSON)."""
        body = body if isinstance(body, (bytes, str)) else json.dumps(body)
        headers = {"Content-Type": kind, "Authorization": f"Bearer {key}"}
        status, content = self.request("ingest", "POST", f"/ingest/v1/{topic}", body, headers)
        return status, json.loads(content)

    def publish(self, topic, body, kind="application/json"):
        """Publishes one message, which has to be accepted; how many it was handed to."""
        status, answer = self.ingest(topic, body, kind)
        expect((status, answer["accepted"] if status == 202 else answer), (202, 1), f"publishing to {topic}")
        return answer.get("receivers")

    def read_state(self, topic):
        headers = {"Authorization": f"Bearer {INGEST_KEY}"}
        return self.request("ingest", "GET", f"/ingest/v1/{topic}", headers=headers)
