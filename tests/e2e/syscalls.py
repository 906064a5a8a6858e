# SPDX-License-Identifier: MIT
"""Which system calls a thread of the server may make, and why none of them waits for anybody but its own ring: the list, and a
trace (strace) of a server that is held against it. run.py --trace does so with every server that a test starts."""
import collections
import re
import shutil
import time

from case import Skip

everywhere = False

MEMORY = {call: "the allocator" for call in ("brk", "mmap", "munmap", "mprotect", "mremap", "madvise")}
START = {call: "the start of a thread, whose name comes last" for call in ("set_robust_list", "rseq", "prctl")}
END = {call: "the thread's end" for call in ("exit", "rt_sigprocmask")}

# By the first word of the thread's name.
ALLOWED = {
    "shard": MEMORY | START | END | {
        "io_uring_enter": "the turn: submits, and waits for completions only",
        "io_uring_register": "sockets into the ring's table, memory for sends without a copy",
        "getpeername": "who was accepted",
        "close": "of a descriptor that the ring's table has taken over: the socket stays open there",
        "setsockopt": "of an accepted socket",
        "write": "wakes another thread: an eventfd, a counter that never fills",
        "futex": "the allocator's and the TLS library's locks, and the log's doorbell (a wake)",
        "getrandom": "keys of TLS: from a source that has been seeded long before",
        "sigaltstack": "the stack for the words of a crash, at the start",
        "gettid": "the crash's table of threads, at the start",
        "sched_yield": "the allocator",
    },
    # Between the first and the last time that it waits for a signal.
    "ringcast": MEMORY | START | {
        "rt_sigtimedwait": "where it hears SIGTERM",
        "rt_sigprocmask": "around the start of the thread that reads settings again",
        "clone3": "that thread", "clone": "that thread", "sched_getaffinity": "that thread",
        "futex": "its join, when it has ended; the allocator's locks; the log's doorbell (a wake)",
        "write": "wakes shards: an eventfd",
        "clock_nanosleep": "10 ms at most, at the end",
        "getpid": "the log line about being ready",
    },
    "log": MEMORY | START | END | {
        "futex": "sleeps until there is a line",
        "write": "the line: may wait for its reader as long as that takes, nobody waits for this thread",
        "poll": "the same, for a descriptor that does not block",
    },
    "storage": MEMORY | START | END | {
        "futex": "sleeps until a shard has something to keep; locks; the log's doorbell",
        "pwrite64": "the store's files: may wait for the disk as long as that takes, no shard waits for this thread",
        "openat": "its folder, which is synced once behind a new log", "close": "the same",
        "pread64": "the same", "fdatasync": "the same", "ftruncate": "the same, at a checkpoint", "newfstatat": "the same",
        "write": "wakes shards: an eventfd",
    },
    "offload": MEMORY | START | END | {
        "futex": "sleeps until a shard has something to compute; the allocator's locks",
        "write": "wakes shards: an eventfd",
    },
    "reload": MEMORY | START | END | {
        "openat": "the settings, keys and certificates: without blocking", "newfstatat": "only if regular", "fstat": "the same",
        "read": "of a regular file", "close": "the same", "futex": "locks; the log's doorbell",
        "getrandom": "trying certificates",
    },
}
WRITES_EVENTFD_ONLY = ("shard", "ringcast", "storage", "offload")
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
        allowed = call in ALLOWED.get(kind, {})
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
        raise AssertionError("system calls that are not in the list of tests/e2e/syscalls.py:\n" + "\n".join(lines))
    return counts
