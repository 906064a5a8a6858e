#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Does our HTTP parser divide a connection into requests as another server does? Where two parsers disagree, a request
can be smuggled past the one that stands in front.

    /usr/bin/python3 tests/e2e/differential.py [-k CLASS] [--show]

Each odd request of differential_requests.py goes to our publisher API and to Debian's nginx, followed by a marker: a
request that both answer with 401. The rule: what we accept, nginx has to divide alike: the same responses in the same
order, the same content lengths, the marker at the same place. To refuse more than nginx and close is always right; to
accept what nginx refuses needs a reason in LESS_STRICT. And it makes no difference to us whether a request comes whole
or byte by byte. --show prints every request with both answers. Without nginx
nothing is tested, and that is said.
"""
import argparse
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import differential_requests as requests
import server
from case import BRAKE_SECONDS, Skip

# Names that the requests use: which of them are hosts at all is what is compared, not which are ours (421, test_http.py).
HOSTS = ["test", "other", "marker", "inner", "a", "a,b", "a_b", "-", ".", "..", "a..b", "%41", "a;b"]
MARKER = b"GET /ingest/v1/marker HTTP/1.1\r\nHost: marker\r\n\r\n"
MARKER_STATUS = 401
QUIET = 0.3  # seconds without an answer: the server waits for more
QUIET_SURELY = 10  # before a difference is said to be one: a server that had no time is not one that waits
AT_ONCE = 8
REQUESTS_MIN = 300
SPLIT_BYTES_MAX = 3000  # longer requests are sent whole only
CONTENTS_MIN = 50  # so many times at least the content that we published is compared with what nginx read

# What we accept though nginx ends the connection there, in answer to it or behind its answer: (what the request has in
# it, why that is right). Nothing that comes behind is heard by nginx, so nothing can be smuggled past it.
LESS_STRICT = [
    (rb"(Length|Encoding):[ \t]*\t|(5|chunked) ?\t\r\n",
     "RFC 9110 section 5.6.3: white space is SP or HTAB; nginx takes SP"),
    (rb"Host: (\.|\.\.|a\.\.b)\r\n",
     "RFC 3986 section 3.2.2: a name may have empty labels; nginx uses it in file names"),
    (rb"Connection: (closed|close;a|x-close|close close)\r\n",
     "RFC 9110 section 7.6.1: other options than close, or none; nginx looks for the five letters anywhere"),
    (rb"Expect: 100-continue\r\nExpect:",
     "RFC 9110 sections 5.3, 10.1.1: a list may come in several lines"),
]

# The content is read whole before the request is passed on, as in front of any application, and the second server tells
# how long it was. What nginx would refuse only for its size is let through.
NGINX_CONFIG = """
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 1000; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    large_client_header_buffers 8 64k;
    client_max_body_size 32m;
    keepalive_requests 100000;
    server {{
        listen 127.0.0.1:{port};
        location = /ingest/v1/marker {{ return 401; }}
        location / {{ proxy_pass http://127.0.0.1:{inner_port}; }}
    }}
    server {{
        listen 127.0.0.1:{inner_port};
        large_client_header_buffers 8 64k;
        location / {{ add_header X-Content-Bytes $content_length always; return 202; }}
    }}
}}
"""


class Nginx:
    def __init__(self, binary):
        self.binary, self.folder, self.process = binary, tempfile.TemporaryDirectory(prefix="ringcast-nginx-"), None

    def __enter__(self):
        self.port = server.free_port()
        path = os.path.join(self.folder.name, "nginx.conf")
        with open(path, "w", encoding="utf-8") as file:
            file.write(NGINX_CONFIG.format(folder=self.folder.name, port=self.port, inner_port=server.free_port()))
        log = os.path.join(self.folder.name, "error.log")
        self.process = subprocess.Popen([self.binary, "-c", path, "-e", log], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            server.until(self.answers, what="nginx")
        except BaseException:
            self.__exit__()
            raise
        return self

    def answers(self):
        if self.process.poll() is not None:
            with open(os.path.join(self.folder.name, "error.log"), encoding="utf-8") as log:
                raise AssertionError("nginx did not start: " + log.read())
        try:
            return exchange(self.port, MARKER, QUIET).kinds() == ["marker"]
        except OSError:
            return False

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(10)
        self.folder.cleanup()


def find_nginx():
    return shutil.which("nginx") or shutil.which("/usr/sbin/nginx")


# --- one exchange -----------------------------------------------------------------------------------------------------


@dataclass
class Answer:
    statuses: list = field(default_factory=list)
    content_bytes: list = field(default_factory=list)  # of requests, where the server tells; else None
    closed: bool = False  # by the server, of its own accord

    def kinds(self):
        """What each answer says about the framing. "refused" ends the connection; whatever else was answered was a
        request with a place in the stream: "accepted", or "declined" for what it asks."""
        found = ["accepted" if status < 300 else "declined" for status in self.statuses]
        if found and self.closed and self.statuses[-1] >= 400:
            found[-1] = "refused"
        elif found and self.statuses[-1] == MARKER_STATUS:
            found[-1] = "marker"
        return found

    def __str__(self):
        return " ".join(map(str, self.statuses)) + (" closed" if self.closed else " waits")


def read_responses(data, answer, method_is_head):
    """Takes whole final responses from the front; returns what is left."""
    while b"\r\n\r\n" in data:
        head, _, rest = data.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        status = int(lines[0].split()[1])
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        length = 0 if status < 200 or (method_is_head and not answer.statuses) else int(fields.get("content-length", 0))
        if len(rest) < length:
            return data
        data = rest[length:]
        if status >= 200:
            told = fields.get("x-content-bytes")
            answer.statuses.append(status)
            answer.content_bytes.append(int(told) if told else None)
    return data


def exchange(port, sent, quiet, chop=0):
    answer, data = Answer(), b""
    head = sent.lstrip(b"\r\n").startswith(b"HEAD ")
    with socket.create_connection(("127.0.0.1", port), timeout=BRAKE_SECONDS) as connection:
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for at in range(0, len(sent), chop or len(sent)):
                connection.sendall(sent[at : at + (chop or len(sent))])
        except OSError:
            pass  # refused and closed while we were speaking: what it answered is still to be read
        connection.settimeout(quiet)
        while True:
            try:
                part = connection.recv(1 << 16)
            except socket.timeout:
                break
            except OSError:
                part = b""
            if not part:
                answer.closed = True
                break
            data = read_responses(data + part, answer, head)
            if answer.statuses and answer.statuses[-1] == MARKER_STATUS:
                connection.settimeout(0.02)  # nothing is expected behind the marker
    return answer


# --- the verdict ------------------------------------------------------------------------------------------------------


def alike(a, b):
    """A request may be taken by one and declined by the other: both know where it ends."""
    return a == b or {a, b} == {"accepted", "declined"}


def reason_for(sent):
    return next((why for pattern, why in LESS_STRICT if re.search(pattern, sent)), None)


def verdict(sent, ours, theirs):
    """("alike" | "both refuse" | "stricter" | "less strict" | "DIFFERENT", why)"""
    mine, other = ours.kinds(), theirs.kinds()
    same = 0
    while same < min(len(mine), len(other)) and alike(mine[same], other[same]):
        same += 1
    if any(None not in pair and pair[0] != pair[1] for pair in zip(ours.content_bytes[:same], theirs.content_bytes)):
        return "DIFFERENT", f"content of {ours.content_bytes} bytes here, {theirs.content_bytes} there"
    if same == len(mine) == len(other) and ours.closed == theirs.closed:
        return ("both refuse" if mine == ["refused"] else "alike"), ""
    if ours.closed and (same == len(mine) or mine[same:] == ["refused"]):
        return "stricter", ""
    if theirs.closed and other[same:] in ([], ["refused"]):
        if mine[same:same + 1] == ["declined"] and other[same:]:
            return "less strict", "nginx ends the connection at a request that we decline"
        if reason_for(sent):
            return "less strict", reason_for(sent)
    return "DIFFERENT", ""


@dataclass
class Result:
    group: str
    title: str
    sent: bytes
    ours: Answer
    theirs: Answer
    found: str
    why: str


def compare(job, ringcast, nginx, quiet=QUIET):
    index, group, title, sent = job
    topic = f"t{index}"
    sent = sent.replace(requests.PATH, f"/ingest/v1/plain/{topic}".encode())
    sent = sent.replace(requests.KEY, server.INGEST_KEY.encode())
    ours, theirs = (exchange(port, sent + MARKER, quiet) for port in (ringcast.port("ingest"), nginx.port))
    if ours.kinds()[:1] == ["accepted"]:
        status, content = ringcast.read_state(f"plain/{topic}")
        ours.content_bytes[0] = len(content) if status == 200 else None
    found, why = verdict(sent, ours, theirs)
    if len(sent) <= SPLIT_BYTES_MAX:
        split = exchange(ringcast.port("ingest"), sent + MARKER, quiet, chop=1)
        if str(split) != str(ours):
            found, why = "DIFFERENT", f"byte by byte: {split}"
    if found == "DIFFERENT" and quiet < QUIET_SURELY:
        return compare(job, ringcast, nginx, QUIET_SURELY)
    return Result(group, title, sent, ours, theirs, found, why)


def run_all(pattern="", out=print, show=False):
    """(requests, results that are different)"""
    binary = find_nginx()
    if binary is None:
        raise Skip("nginx is not installed; tools/dev cases installs it")
    jobs = [(group, title, sent) for group, make in requests.CLASSES.items() for title, sent in make()
            if pattern in group]
    jobs = [(i, *job) for i, job in enumerate(jobs)]
    if not pattern and len(jobs) < REQUESTS_MIN:
        raise AssertionError(f"only {len(jobs)} requests")
    with server.Server(plain={"retain": 1}, server={"hosts": HOSTS}) as ringcast, Nginx(binary) as nginx, ThreadPoolExecutor(AT_ONCE) as workers:
        results = list(workers.map(lambda job: compare(job, ringcast, nginx), jobs))
    report(results, out, show)
    if not pattern:
        check_alive(results)
    return len(results), [one for one in results if one.found == "DIFFERENT"]


def check_alive(results):
    """Who refuses everything would be strict enough; and there is no rule of this file that nothing falls under."""
    for one in results:
        if one.group == requests.CONTROLS and (one.found != "alike" or set(one.ours.kinds()) != {"accepted", "marker"}):
            raise AssertionError(f"{one.title} is to be accepted: ours {one.ours}, nginx {one.theirs}")
    compared = sum(None not in pair
                   for one in results for pair in zip(one.ours.content_bytes, one.theirs.content_bytes))
    if compared < CONTENTS_MIN:
        raise AssertionError(f"only {compared} contents were compared")
    for _, why in LESS_STRICT:
        if not any(one.why == why for one in results):
            raise AssertionError(f"no request needs the reason: {why}")


def report(results, out, show):
    columns = ("alike", "both refuse", "stricter", "less strict", "DIFFERENT")
    out(f"{'class':20}" + "".join(f"{name:>13}" for name in ("requests", *columns)))
    for group in dict.fromkeys(one.group for one in results):
        found = [one.found for one in results if one.group == group]
        out(f"{group:20}{len(found):13}" + "".join(f"{found.count(name):13}" for name in columns))
    for one in results:
        if one.found == "DIFFERENT" or show:
            out(f"{one.found}: {one.group}: {one.title}: ours {one.ours}, nginx {one.theirs}; {one.why}".rstrip("; "))
            if one.found == "DIFFERENT":
                out(f"    {one.sent[:400]!r}")


def main():
    parser = argparse.ArgumentParser(description="Our HTTP parser beside nginx.")
    parser.add_argument("-k", metavar="CLASS", default="", help="only classes with this in their name")
    parser.add_argument("--show", action="store_true", help="print every request's answers")
    options = parser.parse_args()
    server.PORTS = range(22000, 22500)  # so that run.py may run beside it
    try:
        count, different = run_all(options.k, show=options.show)
    except Skip as reason:
        print(f"differential: skipped: {reason}")
        return 0
    print(f"differential: {count - len(different)} passed, {len(different)} failed")
    return 1 if different or not count else 0


if __name__ == "__main__":
    sys.exit(main())
