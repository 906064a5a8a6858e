# SPDX-License-Identifier: MIT
"""Nothing blocks: the system calls of each thread, traced while it does everything that it can, are those of the list; and the
kernel lets each make those only."""
import json
import pathlib
import re
import tempfile

import client
import hub
import syscalls
import test_rnn
import transport
from case import Skip, expect
from server import INGEST_KEY, Server, until
from wire import TEXT, Wire, frame


async def test_threads_make_only_the_calls_of_the_list():
    """All dialects, publishers of both kinds, jobs that are kept, TLS and plain, compression, a large message, refusals, operators,
    a reload that is taken and one that is refused, a stop with clients."""
    with tempfile.TemporaryDirectory() as folder, Server(traced=True, echo={}, plain={"keys": ["key-of-plain"], "retain": 3}, rustorium={"keys": ["key-of-r"]}, crypto={},
                aitbc={}, emprops={"cache": "0B"}, rnn=test_rnn.NODE | {"users": [test_rnn.user()], "uploads": folder, "require_service": False},
                tls={"certificates": [transport.pair("server")]}) as server:
        await upload_something(server)
        reader = await client.connect(server.url("plain", "/plain/a?api_key=key-of-plain"))
        for body in ("x", "y" * 100000):
            server.publish("plain/a", body, "text/plain")
            expect(await client.receive(reader), body)
        publisher = await client.connect(server.url("ingest", "/ingest/v1/ws"), extra_headers={"X-Ingest-Key": INGEST_KEY})
        await publisher.send(json.dumps({"op": "publish", "dialect": "plain", "topic": "a", "seq": 1, "data": 1}))
        expect(await client.receive_json(publisher), {"op": "ack", "seq": 1})
        submitter, worker = await hub.submitter(server, "c"), await hub.worker(server, "w")
        job_id = await submitter.submit("x", {"text": "x" * 50000})
        await worker.send("claim_job")
        await worker.expect("job_assigned", job_id=job_id)
        await worker.ask("complete_job", "job_completed_ack", job_id=job_id, result={})
        await client.close_all([submitter.ws, worker.ws])
        for path in ("/metrics", "/healthz", "/none"):
            server.get(path)
        for section, path in (("crypto", "/ws/stats"), ("plain", "/plain/a"), ("echo", "/none"), ("aitbc", "/none")):
            server.request(section, "GET", path)
        expect(test_rnn.login(server, {"username": "op", "password": "secret"})[0], 200)
        with Wire(server.port("echo")).upgrade("/echo") as wire:
            wire.send(frame(TEXT, b"x"))
            expect(wire.frame(), (TEXT, b"x"))
            wire.reset()
        server.reload(plain={"retain": 4})
        server.reload("reload refused", plain={"retian": 4})
        del server.sections["plain"]["retian"]
        await client.close_all([reader, publisher])
    expect(all(server.calls[kind] > 0 for kind in syscalls.ALLOWED), True, server.calls)


async def upload_something(server):
    """A file in two chunks, one given up, one that is refused for its path."""
    ws, _ = await test_rnn.connect(server)

    async def ask(kind, answer, **payload):
        await test_rnn.send(ws, f"file.upload.{kind}", payload)
        return (await test_rnn.next_of(ws, f"file.upload.{answer}"))["payload"]

    start = {"service_id": 1, "filename": "f", "file_path": "a/b/f", "total_size": 4, "total_chunks": 2, "chunk_size": 2}
    session = (await ask("start", "progress", **start))["session_id"]
    await ask("chunk", "progress", session_id=session, chunk_index=1, data="YWI=")
    await ask("pause", "progress", session_id=session)
    await ask("resume", "progress", session_id=session)
    await ask("chunk", "complete", session_id=session, chunk_index=0, data="YWI=")
    await ask("start", "progress", **start)
    await ask("start", "error", **start | {"file_path": "a/b/f/g"})
    await ws.close()


def test_the_trace_finds_what_is_not_in_the_list():
    """The check is alive: a shard that writes to stderr, opens a file, or sleeps is found, and so is the main thread."""
    good = [("ringcast", "openat", 'AT_FDCWD, "x"'), ("ringcast", "rt_sigtimedwait", "[HUP INT TERM], "),
            ("shard-0", "write", "9<anon_inode:[eventfd]>, "), ("log", "write", '2<pipe:[1]>, "'),
            ("storage", "pwrite64", '9</tmp/jobs.db-wal>, "x"'), ("storage", "fdatasync", "9</tmp/jobs.db-wal>"),
            ("ringcast", "rt_sigtimedwait", "[HUP INT TERM], "), ("ringcast", "read", "1, ")]
    expect(syscalls.findings(good)[0], {})
    for bad in (("shard-1", "write", '2<pipe:[1]>, "time="'), ("shard-0", "openat", 'AT_FDCWD, "x"'),
                ("shard-0", "clock_nanosleep", ""), ("ringcast", "openat", 'AT_FDCWD, "x"'), ("ringcast", "write", "2</x>, "),
                ("storage", "pwrite64", '2<pipe:[1]>, "x"'), ("storage", "write", '5</tmp/jobs.db>, "x"'), ("storage", "recvfrom", "7, "),
                ("storage", "openat", 'AT_FDCWD</>, "/tmp/x", O_RDWR'), ("storage", "close", "7<socket:[9]>"),
                ("other", "read", "")):
        expect(list(syscalls.findings([*good[:4], bad, *good[4:]])[0]), [bad[:2]], bad)


def filters(server):
    """{thread's name: whether the kernel filters its calls}"""
    found = {}
    for task in pathlib.Path(f"/proc/{server.process.pid}/task").iterdir():
        status = (task / "status").read_text(encoding="utf-8")
        found[re.search(r"^Name:\t(.*)$", status, re.MULTILINE)[1]] = re.search(r"^Seccomp:\t2$", status, re.MULTILINE) is not None
    return found


def test_each_thread_has_a_filter():
    """By default, unless this kernel or this build cannot; off is off. Nothing that the threads do is refused."""
    folder = tempfile.TemporaryDirectory()
    options = {"emprops": {"cache": "0B"}, "rnn": test_rnn.NODE | {"users": [test_rnn.user()], "uploads": folder.name}}
    names = ["depot", "log", "offload", "ringcast", "shard-0", "shard-1", "storage"]
    with Server(**options) as server:
        server.get("/health/live")
        if 'msg="no sandbox"' in server.log():
            raise Skip("no filters with this kernel or this build")
        until(lambda: sorted(filters(server)) == names and all(filters(server).values()),
              what="the names of all threads, which each gives itself, and the main thread's filter, which is the last")
        server.reload()
        expect(server.metric("ringcast_system_calls_refused_total"), 0)
    with Server(server={"sandbox": "off"}, **options) as server:
        until(lambda: sorted(filters(server)) == names, what="the names of all threads, which each gives itself")
        expect(filters(server), dict.fromkeys(names, False))
