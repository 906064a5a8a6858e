# SPDX-License-Identifier: MIT
"""The store of the job hub as an operator meets it: what a start refuses and with which line, what a full disk does and
what follows when there is room again, and what a stop, a start and a reload leave as it was."""
import asyncio
import hashlib
import os
import pathlib
import sqlite3
import subprocess

import websockets

import hub
from case import Skip, expect
from server import BINARY, Server, until
from test_surroundings import namespace

APPLICATION_ID = 0x52434153


class Mounted(Server):
    """A server whose store lies on a file system of its own, in a mount namespace that nobody else sees. `mount`: shell
    commands that make it at $0."""

    def __init__(self, mount, **emprops):
        self.words = namespace("--mount")
        super().__init__(emprops=emprops, traced=False)
        self.mount = mount
        self.disk = os.path.join(self.folder.name, "disk")
        os.mkdir(self.disk)
        done = subprocess.run([*self.words, "sh", "-c", mount, self.disk], capture_output=True, check=False)
        if done.returncode != 0:
            raise Skip("this machine does not allow a mount: " + done.stderr.decode().strip())
        self.sections["emprops"]["store"] = os.path.join(self.disk, "jobs.db")

    def command(self):
        return [*self.words, "sh", "-c", f'{self.mount} && exec "$@"', self.disk, *super().command()]

    def seen(self, name):
        """The path of a file of that disk, from here."""
        return f"/proc/{self.process.pid}/root{self.disk}/{name}"


def lines_of_failure(server, code):
    """Starts what has to be refused: its lines of level error."""
    server.spawn()
    try:
        expect(server.wait(), code, f"exit code\n{server.log()}")
        return [line for line in server.log().splitlines() if "level=error" in line]
    finally:
        server.kill()


def refused_store(make, part, code=1):
    """A start whose store `make(path)` has prepared: one line with the path and `part`; what was there is as it was."""
    server = Server(emprops={}, traced=False)
    path = server.sections["emprops"]["store"]
    path = server.sections["emprops"]["store"] = make(path) or path
    before = fingerprint(path)
    try:
        lines = lines_of_failure(server, code)
        expect(len(lines), 1, f"lines of level error, for {part!r}: {lines}")
        expect((part in lines[0], path in lines[0]), (True, True), f"{part!r} and {path!r} in {lines[0]}")
        expect(fingerprint(path), before, f"the file, for {part!r}")
    finally:
        server.folder.cleanup()


def fingerprint(path):
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest() if os.path.isfile(path) else os.path.exists(path)


# --- what a start refuses ---

def test_a_hub_without_a_store_is_refused_by_check_and_serve():
    """E-84: where jobs are kept has to be said; nothing is kept in silence in a place that nobody has chosen."""
    server = Server(emprops={}, traced=False)
    del server.sections["emprops"]["store"]
    server.write_config()
    try:
        for command in ("check", "serve"):
            done = subprocess.run([BINARY, command, "-c", server.config_path], capture_output=True, text=True, check=False)
            lines = done.stderr.splitlines()
            expect((done.returncode, len(lines)), (78, 1), f"{command}: exit code and lines of {done.stderr}")
            expect(all(word in lines[0] for word in ("emprops.store", "name a file", "memory")), True, lines[0])
    finally:
        server.folder.cleanup()


def test_stores_that_cannot_be_are_refused_with_one_line():
    """E-84: folder missing, a directory, another kind of file, another program's database, a newer version, damage: exit
    code 1, what is wrong and what would be right, and the file is left as it was."""
    def newer(path):
        database(path, f"PRAGMA application_id = {APPLICATION_ID}", "PRAGMA user_version = 1000", "CREATE TABLE t (a)")

    def foreign(path):
        database(path, "PRAGMA application_id = 77", "CREATE TABLE accounts (name)")

    refused_store(lambda path: path.replace("jobs.db", "none/jobs.db"), "its folder does not exist")
    refused_store(os.mkdir, "is a directory")
    refused_store(lambda path: pathlib.Path(path).write_text("a letter\n" * 300, encoding="utf-8") and None,
                  "is no store of this server")
    refused_store(foreign, "is no store of this server")
    refused_store(newer, "was made by a newer version (its schema is 1000")


def database(path, *statements):
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


async def test_a_damaged_store_is_refused_and_left_as_it_is():
    """E-84: pages overwritten while nobody looked: exit code 1, one line, nothing is written over the rest."""
    with Server(emprops={}, traced=False) as server:
        peer = await hub.connect(server)
        for number in range(50):
            await peer.submit("x", {"n": number, "text": "x" * 2000})
        await peer.close()
        server.stop()
        path = server.sections["emprops"]["store"]
        with open(path, "r+b") as file:
            file.seek(8 * 4096)
            file.write(b"\xa5" * 4096 * 8)
        before = fingerprint(path)
        lines = lines_of_failure(server, 1)
        expect([("is damaged" in line, path in line) for line in lines], [(True, True)], f"{lines}")
        expect(fingerprint(path), before, "the file")
        server.stop = lambda: None


async def test_a_second_process_on_the_same_store_is_refused():
    """E-84: it ends with 1 and one line that names the first process, which goes on undisturbed."""
    with Server(emprops={}, traced=False) as first:
        peer = await hub.connect(first)
        job_id = await peer.submit("x", {})
        second = Server(emprops={"store": first.sections["emprops"]["store"]}, traced=False)
        lines = await asyncio.to_thread(lines_of_failure, second, 1)
        expect([(f"process {first.process.pid}" in line, "in use" in line) for line in lines], [(True, True)], f"{lines}")
        expect((await peer.status(job_id))["status"], "queued")
        await peer.submit("x", {})
        await peer.close()
        second.folder.cleanup()


async def test_a_store_is_readable_by_its_owner_only():
    """E-84: payloads are other people's; and the file is a database that sqlite3 opens after a stop."""
    with Server(emprops={}) as server:
        peer = await hub.connect(server)
        job_id = await peer.submit("x", {"prompt": "a red boat"})
        await peer.close()
        path = server.sections["emprops"]["store"]
        files = [name for name in os.listdir(server.folder.name) if name.startswith("jobs.db")]
        modes = {name: oct(os.stat(os.path.join(server.folder.name, name)).st_mode & 0o777) for name in files}
        expect(set(modes.values()), {"0o600"}, f"{modes}")
        server.stop()
        connection = sqlite3.connect(path)
        rows = connection.execute("SELECT CAST(key AS TEXT), json_extract(value, '$.payload.prompt') FROM emprops_jobs").fetchall()
        connection.close()
        expect(rows, [("000000000001-" + job_id.removeprefix("job-"), "a red boat")])
        server.stop = lambda: None


# --- disks ---

def test_a_store_on_a_read_only_file_system_is_refused():
    """E-84: one line, exit code 1, both where there is a store already and where there is none."""
    for make in ('mount -t tmpfs -o ro tmpfs "$0"',
                 'mount -t tmpfs tmpfs "$0" && cp "$0/../jobs.db" "$0/jobs.db" && mount -o remount,ro "$0"'):
        server = Mounted(f"touch \"$0/../jobs.db\" && {make}")
        try:
            lines = lines_of_failure(server, 1)
            expect(["read-only" in line for line in lines], [True], f"{make}: {lines}")
        finally:
            server.folder.cleanup()


async def submit_until_refused(server, accepted):
    """Submits until the hub takes no more, and adds to `accepted` what it has acknowledged."""
    peer = await hub.connect(server)
    try:
        while True:
            await peer.send("submit_job", job_type="x", payload={"text": "x" * 100000})
            message = await peer.receive()
            if message["type"] == "error": # the one that found no room; the close follows
                expect(message["error_code"], "INTERNAL_ERROR", f"of {message}")
                expect((await hub.until_closed(peer), peer.ws.close_reason), (1012, "service restart"), "the close")
                return
            expect(message["type"], "job_accepted", f"of {message}")
            accepted.append(message["job_id"])
    except websockets.ConnectionClosed as closed:
        expect((closed.code, closed.reason), (1012, "service restart"), "the close")


async def ready_status(server, status):
    await asyncio.to_thread(until, lambda: server.get("/health/ready")[0] == status, what=f"/health/ready {status}")


async def test_a_full_disk_stops_acknowledgements_until_there_is_room():
    """E-84: what finds no room is never acknowledged, everybody is closed with 1012, whoever comes is refused with an error, readiness
    is 503 and the log says why; with room the hub goes on by itself, with every job that was acknowledged and no other."""
    with Mounted('mount -t tmpfs -o size=12m tmpfs "$0"') as server:
        accepted, stays = [], await hub.connect(server)
        with open(server.seen("filler"), "wb") as file:
            file.write(bytes(9 << 20))
        await submit_until_refused(server, accepted)
        expect(await hub.until_closed(stays), 1012, "the close of who did nothing")
        expect(server.get("/health/ready"), (503, b'{"status":"storage unavailable"}'))
        expect(server.get("/health/live")[0], 200, "it lives")
        peer = await hub.connect(server)
        refusal = await peer.ask("submit_job", "error", id="late", job_type="x", payload={})
        expect((refusal["error_code"], refusal["request_id"]), ("INTERNAL_ERROR", "late"))
        expect("there is no room on its file system" in server.log(), True, "the log says why")
        expect(server.metric("ringcast_storage_working"), 0)
        os.unlink(server.seen("filler"))
        await ready_status(server, 200)
        await peer.close()

        peer = await hub.monitor(server, "after")
        stats = await peer.ask("request_stats", "system_status", include_sections=["jobs"])
        expect(stats["jobs"]["queued"], len(accepted), "jobs that wait are those that were acknowledged")
        expect([(await peer.status(job_id))["status"] for job_id in accepted], ["queued"] * len(accepted))
        expect((await peer.ask("submit_job", "job_accepted", job_type="x", payload={}))["position"], len(accepted) + 1)
        await peer.close()
        expect(server.metric("ringcast_storage_working"), 1)


# --- stops, starts, reloads ---

def numbers(count):
    """(number, priority) as they are submitted, and their order of work: by priority, then as they came."""
    jobs = [(number, number * 7 % 4 * 25) for number in range(count)]
    return jobs, [number for number, priority in sorted(jobs, key=lambda job: -job[1])]


async def claim_all(worker, count):
    """The numbers of all waiting jobs in the order in which they are given out."""
    await worker.send("claim_job", id="all", max_jobs=count)
    return [(await worker.expect("job_assigned"))["payload"]["n"] for _ in range(count)]


async def test_waiting_jobs_keep_their_order_over_an_orderly_stop():
    """E-17, E-84: TERM and a start: the same jobs at the same places, and one that somebody worked on is back at its own."""
    jobs, order = numbers(40)
    with Server(emprops={}) as server:
        peer = await hub.submitter(server, "shop")
        ids = {number: await peer.submit("x", {"n": number}, priority=priority) for number, priority in jobs}
        worker = await hub.worker(server, "w")
        await worker.send("claim_job")
        first = await worker.expect("job_assigned")
        expect(first["payload"]["n"], order[0])
        await worker.ask("job_accepted_by_worker", "ack", id="a", job_id=first["job_id"])
        await asyncio.to_thread(server.stop)
        expect(await hub.until_closed(worker), 1001, "the close")
        expect(await hub.until_closed(peer), 1001, "the close")

        server.told_to_stop = False
        await asyncio.to_thread(server.start)
        peer = await hub.submitter(server, "shop")
        found = {number: (await peer.status(job_id))["position"] for number, job_id in ids.items()}
        expect(found, {number: place for place, number in enumerate(order, 1)}, "places")
        worker = await hub.worker(server, "w", slots=40)
        expect(await claim_all(worker, 40), order, "the order of work")
        await worker.close()
        await peer.close()


async def test_a_reload_leaves_jobs_alone():
    """HUP: connections, assignments and the queue stay, and new settings hold for what comes."""
    jobs, order = numbers(8)
    with Server(emprops={}) as server:
        peer = await hub.submitter(server, "shop")
        for number, priority in jobs:
            await peer.submit("x", {"n": number}, priority=priority)
        worker = await hub.worker(server, "w", slots=8)
        await worker.send("claim_job")
        first = await worker.expect("job_assigned")
        await worker.ask("job_accepted_by_worker", "ack", id="a", job_id=first["job_id"])
        await peer.expect("job_update", job_id=first["job_id"], status="assigned")
        await asyncio.to_thread(server.reload, emprops={"queue_max": 7})
        refusal = await peer.ask("submit_job", "error", job_type="x", payload={})
        expect((refusal["error_code"], refusal["details"]["maximum"]), ("QUEUE_FULL", 7), f"{refusal}")
        await worker.ask("complete_job", "job_completed_ack", job_id=first["job_id"], result={"n": order[0]})
        await peer.expect("job_completed", job_id=first["job_id"], result={"n": order[0]})
        expect(await claim_all(worker, 7), order[1:], "the order of work")
        await worker.close()
        await peer.close()
