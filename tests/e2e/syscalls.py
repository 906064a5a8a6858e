# SPDX-License-Identifier: MIT
"""Which system calls a thread of the server may make, and why none of them waits for anybody but its own ring: the list, and a
trace (strace) of a server that is held against it. run.py --trace does so with every server that a test starts."""
import collections
import pathlib
import re
import shutil
import time

from case import Skip

everywhere = False

# The list is core/sandbox.def, of which the server makes its filters; here each thread's lists without those that only a
# filter has: the words of a crash, and what the main thread does behind its last signal.
TABLE = (pathlib.Path(__file__).resolve().parents[2] / "core" / "sandbox.def").read_text(encoding="utf-8")


def table():
    """{first word of a thread's name: its calls}"""
    lists = collections.defaultdict(set)
    for name, call in re.findall(r"^CALL\((\w+), (\w+), \"", TABLE, re.MULTILINE):
        lists[name].add(call)
    rows = re.findall(r"^THREAD\((\w+), \"(\w+)\", ([^,]*), [^,]*\)$", TABLE, re.MULTILINE)
    return {word: lists[own].union(*(lists[name] for name in re.findall(r"OF\((\w+)\)", of))) for own, word, of in rows}


ALLOWED = table()
WRITES_EVENTFD_ONLY = ("shard", "ringcast", "storage", "offload", "depot")
# Storage waits for its own files, and opens nothing but their folder.
STORE_FILE = re.compile(r"\d+</[^>]*\.db(-wal)?>")
REAL_FILE = re.compile(r"\d+</")
OF_STORE = {call: STORE_FILE for call in ("pwrite64", "pread64", "ftruncate", "newfstatat")} | {
    "fdatasync": REAL_FILE, "close": REAL_FILE, "openat": re.compile(r'[^"]*"/[^"]*", O_RDONLY\|O_CLOEXEC')}
# glibc looks once whether it may give a part of an arena back: the kernel's memory, not a file of anybody's.
BY_GLIBC = "/proc/sys/vm/overcommit_memory"
# Debian's packaged TLS library seeds itself there; it never waits, as getrandom would not.
BY_LIBRARY = "/dev/urandom"

LINE = re.compile(r"\d+<([^>]*)> +(\w+)\((.*)")  # where a call begins; "<... read resumed>" is its end


def prefix(path):
    """The words in front of a command whose trace goes to `path`; the process stays our own child."""
    if shutil.which("strace") is None:
        raise Skip("strace is not installed")
    return ["strace", "-D", "-f", "-q", "-y", "--decode-pids=comm", "-o", path]


def calls(path, pid):
    """(thread, call, arguments) in order, once the trace of that process is complete; None when it could not be traced."""
    end = re.compile(rf"^{pid}<[^>]*> \+\+\+ ", re.MULTILINE)
    deadline = time.monotonic() + 60
    while True:
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read()
        if end.search(text):
            break
        if not text and time.monotonic() > deadline - 55:
            raise Skip("this machine does not allow a trace")
        if time.monotonic() > deadline:
            raise AssertionError(f"the trace of process {pid} does not end")
        time.sleep(0.02)
    return [match.groups() for match in map(LINE.match, text.splitlines()) if match]


def findings(traced):
    """What is not in the list: {(thread, call): the first arguments}, and how many calls were looked at per thread."""
    found, counts = {}, collections.Counter()
    waits = [i for i, (thread, call, _) in enumerate(traced) if thread == "ringcast" and call == "rt_sigtimedwait"]
    for i, (thread, call, arguments) in enumerate(traced):
        kind = thread.split("-")[0]
        if kind == "strace" or (kind == "ringcast" and not (waits and waits[0] <= i <= waits[-1])):
            continue
        counts[kind] += 1
        allowed = call in ALLOWED.get(kind, ())
        if call == "write" and kind in WRITES_EVENTFD_ONLY and "[eventfd]" not in arguments.split(",")[0]:
            allowed = False
        if kind == "storage" and call in OF_STORE and not OF_STORE[call].match(arguments):
            allowed = False
        if call in ("openat", "read", "close") and (BY_GLIBC in arguments or BY_LIBRARY in arguments):
            allowed = True
        if not allowed:
            found.setdefault((thread, call), arguments[:120])
    return found, counts


def check(path, pid):
    found, counts = findings(calls(path, pid))
    if found:
        lines = [f"{thread}: {call}({arguments}" for (thread, call), arguments in found.items()]
        raise AssertionError("system calls that are not in the list of core/sandbox.def:\n" + "\n".join(lines))
    return counts
