# SPDX-License-Identifier: MIT
"""Uploads to the node (dialect rnn, 5.5) through clients that nobody here wrote the protocol code of: scenarios SN-4 and SN-5,
what holds of paths, bounds and groups, and what is there again after a restart. The kills are in test_upload_kill.py."""
import asyncio
import base64
import ctypes
import multiprocessing
import os
import random
import subprocess
import sys
import tempfile

import client
from case import BRAKE_SECONDS, expect
from server import ROOT, Server, until
from test_node import Node
from test_rnn import send, token, user
from uploads import digest, files_below, pieces, register, section, uploader

TEXT = b"hello rnn!"
TEXT_HASH = "sha256:93bad441a0fac99ecd2951257d746c63eda6a8c48eaf38d0269c5ff01a8082c8"


class Roots:
    """with Roots() as (root, outside): the folder of a server's uploads, and one beside it that nobody may write to."""

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="ringcast-uploads-")
        root, outside = (os.path.join(self.folder.name, name) for name in ("root", "outside"))
        os.mkdir(root)
        os.mkdir(outside)
        return root, outside

    def __exit__(self, *_):
        self.folder.cleanup()


def test_pause_disorder_repetition_and_resume_after_a_restart():
    """SN-4: N-52, N-53, N-60 to N-62, N-64 to N-69, N-72."""
    with Roots() as (root, _), Server(rnn=section(root)) as server:
        register(server)
        session = asyncio.run(begin_hello(server))
        server.kill()
        server.start()
        asyncio.run(end_hello(server, session))
        expect(files_below(root), {"1/in/hi.txt": TEXT})


def hello(session, received, uploaded, percentage, **more):
    return {"session_id": session, "chunks_received": received, "bytes_uploaded": uploaded, "percentage": percentage} | more


async def begin_hello(server):
    peer = await uploader(server)
    await peer.send("start", service_id=1, upload_group_id="g-1", filename="hi.txt", file_path="in/hi.txt", file_index=0,
                    total_files=1, total_size=10, total_chunks=3, chunk_size=4)
    message = await peer.receive()
    session = message["payload"]["session_id"]
    expect(message["payload"], hello(session, 0, 0, 0, upload_group_id="g-1", file_index=0))
    expect((session[:8], [len(part) for part in session[8:].split("-")]), ("session-", [8, 4, 4, 4, 12]))
    for _ in range(2): # the second one is a repetition
        await peer.send_chunk(session, 1, b"o rn")
        await peer.expect("progress", **hello(session, 1, 4, 40))
    await peer.send("pause", session_id=session)
    await peer.expect("progress", **hello(session, 1, 4, 40, status="paused"))
    await peer.send_chunk(session, 0, b"hell")
    await peer.expect_error(session, "WRITE_FAILED", "Upload session is paused")
    return session


async def end_hello(server, session):
    peer = await uploader(server)
    await peer.send("resume", session_id=session)
    await peer.expect("progress", **hello(session, 1, 4, 40, status="active", next_chunk_index=0, missing_chunks=[0, 2]))
    await peer.send_chunk(session, 2, b"n!")
    await peer.expect("progress", **hello(session, 2, 6, 60))
    await peer.send_chunk(session, 0, b"hell")
    await peer.expect("progress", **hello(session, 3, 10, 100))
    await peer.expect("complete", session_id=session, file_hash=TEXT_HASH, group_complete=True)
    await peer.send_chunk(session, 0, b"hell") # N-70
    await peer.expect_error(session, "SESSION_NOT_FOUND", "Upload session not found")
    await peer.close()


def test_errors_leave_the_session_usable():
    """SN-5: N-55, N-59, N-63, N-68, N-73, N-74, Q-48."""
    with Roots() as (root, _), Server(rnn=section(root)) as server:
        register(server)
        asyncio.run(make_errors(server, root))
        expect(files_below(root), {"1/a": TEXT, "1/floor": TEXT, "1/escaped": b"\xff\xff\xff\xff"})


async def make_errors(server, root):
    peer, other = await uploader(server), await uploader(server, "somebody else")
    await peer.send_chunk("session-none", 0, b"hell")
    await peer.expect_error("session-none", "SESSION_NOT_FOUND", "Upload session not found")
    session = await peer.start("a", TEXT, 4)
    for kind in ("pause", "resume"):
        await other.send(kind, session_id=session)
        await other.expect_error(session, "SESSION_NOT_FOUND", "Upload session not found")
    await other.send_chunk(session, 0, b"hell")
    await other.expect_error(session, "SESSION_NOT_FOUND", "Upload session not found")
    for data in ("%%%", "aGVsbA=", "aGVsbA", "aGVs bA==", "aGVsbB==", "aGVs\nbA=="): # the last bits are not zero; line ends
        await peer.send("chunk", session_id=session, chunk_index=0, data=data)
        message = await peer.receive()
        expect((message["type"], message["payload"]["code"]), ("file.upload.error", "INVALID_ENCODING"), data)
    await peer.send_chunk(session, 0, b"hel")
    await peer.expect_error(session, "WRITE_FAILED", "Chunk size mismatch: expected 4 bytes, got 3")
    await peer.send_chunk(session, 2, b"n!!")
    await peer.expect_error(session, "WRITE_FAILED", "Chunk size mismatch: expected 2 bytes, got 3")
    for index in (3, 2**40, -1):
        await peer.send_chunk(session, index, b"hell")
        await peer.expect_error(session, "WRITE_FAILED", "Chunk index out of range")
    for kind, payload in (("chunk", {"session_id": 7, "chunk_index": 0, "data": ""}), ("chunk", {"session_id": session, "data": ""}),
                          ("chunk", {"session_id": session, "chunk_index": "0", "data": ""}),
                          ("chunk", {"session_id": session, "chunk_index": 0, "data": 7}), ("pause", {}), ("resume", {"session_id": None})):
        await peer.send(kind, **payload)
        message = await peer.receive()
        expect((message["type"], message["payload"]["code"]), ("error", "INVALID_PAYLOAD"), payload)
    for index, piece in pieces(TEXT, 4):
        await peer.chunk(session, index, piece)
    await peer.expect("complete", session_id=session, file_hash=TEXT_HASH, group_complete=True)
    await floor_form(peer)
    await escaped_letters(peer)
    await restore_fails(peer, root)
    await peer.close()
    await other.close()


async def escaped_letters(peer):
    """N-59: what the text of JSON says, however it is written."""
    session = await peer.start("escaped", b"\xff\xff\xff\xff", 4)
    data = base64.b64encode(b"\xff\xff\xff\xff").decode().replace("/", "\\/").replace("w", "\\u0077")
    await peer.ws.send('{"type":"file.upload.chunk","payload":{"session_id":"%s","chunk_index":0,"data":"%s"},"timestamp":1}' % (session, data))
    await peer.expect("progress", **hello(session, 1, 4, 100))
    await peer.expect("complete", session_id=session, file_hash=digest(b"\xff\xff\xff\xff"), group_complete=True)


async def floor_form(peer):
    """N-55: the last chunk has what is left over."""
    session = await peer.start("floor", TEXT, 4, total_chunks=2)
    await peer.chunk(session, 0, b"hell")
    await peer.send_chunk(session, 1, b"o rn")
    await peer.expect_error(session, "WRITE_FAILED", "Chunk size mismatch: expected 6 bytes, got 4")
    await peer.chunk(session, 1, b"o rnn!")
    await peer.expect("complete", session_id=session, file_hash=TEXT_HASH, group_complete=True)


async def restore_fails(peer, root):
    """N-68: the file in the making is gone."""
    session = await peer.start("gone", TEXT, 4)
    await peer.chunk(session, 0, b"hell")
    await peer.send("pause", session_id=session)
    await peer.receive()
    removed = 0
    for folder, _, names in os.walk(root):
        for name in names:
            if session in name:
                os.remove(os.path.join(folder, name))
                removed += 1
    expect(removed, 1, "files in the making of the session")
    for code in ("SESSION_RESTORE_FAILED", "SESSION_NOT_FOUND"):
        await peer.send("resume", session_id=session)
        message = await peer.receive()
        expect((message["type"], message["payload"]["session_id"], message["payload"]["code"]), ("file.upload.error", session, code))


# --- starts that are refused ---

def test_starts_beyond_the_bounds_are_refused():
    """N-52, N-54 to N-56, N-71, N-74, Q-40, Q-43: at the value, and one beyond."""
    with Roots() as (root, _), Server(rnn=section(root)) as server:
        register(server)
        asyncio.run(refuse_starts(server))
        expect(files_below(root), {})


MAX = 7340032
REFUSED = [
    ({"service_id": 999}, "Service not found"),
    ({"total_size": 10, "total_chunks": 5}, None),
    ({"total_size": 10, "total_chunks": 1}, None),
    ({"total_size": 8, "total_chunks": 1}, None), # the last one would have 2 x chunk_size
    ({"total_size": 4, "total_chunks": 0}, None),
    ({"total_size": 4, "total_chunks": 2}, None), # the last one would be empty
    ({"chunk_size": 0}, None),
    ({"total_size": MAX + 1, "total_chunks": 1, "chunk_size": MAX + 1}, None),
    ({"total_size": 2 * MAX - 1, "total_chunks": 1, "chunk_size": MAX}, "Last chunk too large"),
    ({"total_size": (10 << 30) + 1, "total_chunks": 10 << 10, "chunk_size": 1 << 20}, None),
    ({"file_index": 1}, None),
    ({"file_index": 2, "total_files": 2}, None),
    ({"total_files": 0}, None),
    ({"total_size": -1}, None),
    ({"total_size": 1.5}, None),
    ({"total_size": "4"}, None),
    ({"total_size": 2**64}, None),
    ({"chunk_size": None}, None),
    ({"service_id": "1"}, None),
    ({"filename": 7}, None),
    ({"file_path": []}, None),
]


async def refuse_starts(server):
    peer = await uploader(server)
    good = {"service_id": 1, "upload_group_id": "g", "filename": "x", "file_path": "x", "total_size": 4, "total_chunks": 1, "chunk_size": 4}
    missing = [({name: value for name, value in good.items() if name != gone}, None) for gone in good if gone != "upload_group_id"]
    for start, wanted in [(good | start, wanted) for start, wanted in REFUSED] + missing:
        await peer.send("start", **start)
        message = await peer.receive()
        found = message["payload"]
        expect((message["type"], found["code"], found["session_id"], found["upload_group_id"]),
               ("file.upload.error", "UPLOAD_START_FAILED", "", "g"), start)
        expect(found["error"] != "", True, start)
        if wanted is not None:
            expect(found["error"], wanted, start)
    await send(peer.ws, "file.upload.start", 7)
    message = await peer.receive()
    expect((message["type"], message["payload"]["code"]), ("file.upload.error", "UPLOAD_START_FAILED"))
    session = await peer.start("at the limit", b"x" * MAX, MAX)
    expect((await peer.chunk(session, 0, b"x" * MAX))["percentage"], 100)
    expect((await peer.receive())["payload"]["file_hash"], digest(b"x" * MAX))
    await peer.close()
    for folder in ("1",): # so that files_below has nothing to show
        os.remove(os.path.join(server.sections["rnn"]["uploads"], folder, "at the limit"))


def test_services_need_not_be_known_when_that_is_configured():
    """N-54: rnn.require_service."""
    with Roots() as (root, _), Server(rnn=section(root, require_service=False)) as server:
        asyncio.run(upload_whole(server, "x", TEXT, service_id=999))
        expect(files_below(root), {"999/x": TEXT})


def test_no_root_means_no_uploads():
    """A node without rnn.uploads does not know their messages; nothing else changes."""
    with Server(rnn={name: value for name, value in section("").items() if name != "uploads"}) as server:
        register(server)
        async def talk():
            peer = await uploader(server)
            for kind in ("start", "chunk", "pause", "resume"):
                await peer.send(kind, session_id="session-none")
                message = await peer.receive()
                expect((message["type"], message["payload"]["code"]), ("error", "UNKNOWN_MESSAGE_TYPE"))
            await peer.close()
        asyncio.run(talk())


async def upload_whole(server, path, content, chunk_size=4, **more):
    peer = await uploader(server)
    session = await peer.start(path, content, chunk_size, **more)
    for index, piece in pieces(content, chunk_size):
        await peer.chunk(session, index, piece)
    message = await peer.receive()
    expect((message["type"], message["payload"]["file_hash"]), ("file.upload.complete", digest(content)))
    await peer.close()
    return session


def test_the_65th_open_session_is_refused_until_one_ends():
    """N-56, Q-38: paused ones count; others' do not."""
    with Roots() as (root, _), Server(rnn=section(root)) as server:
        register(server)
        async def talk():
            peer, other = await uploader(server), await uploader(server, "other")
            sessions = [await peer.start(f"f{number}", TEXT, 4) for number in range(64)]
            await peer.send("pause", session_id=sessions[1])
            await peer.receive()
            await peer.refuse({}, "Too many open uploads")
            await other.start("theirs", TEXT, 4)
            for index, piece in pieces(TEXT, 4):
                await peer.chunk(sessions[0], index, piece)
            expect((await peer.receive())["type"], "file.upload.complete")
            await peer.start("one more", TEXT, 4)
            await peer.close()
            await other.close()
        asyncio.run(talk())
        expect(files_below(root), {"1/f0": TEXT})


# --- paths ---

BAD_PATHS = ["../x", "/etc/x", "a//b", "a/./b", "a\\b", "..", ".", "/", "//x", "./x", "a/..", "a/../b", "a/../../b", "../../x", "a/.",
             "a/b/..", "a//", "/x", "\\x", "..\\x", "a\\..\\b", "C:/x", "c:x", "C:", "Z:\\x", "a\u0000b", "\u0000", "a\nb", "a\rb",
             "a\tb", "\u0001", "a\u001fb", "a\u007fb", "x" * 256, "a/" + "x" * 256, "x" * 256 + "/a", "/".join(["x" * 200] * 6), "é" * 128,
             ".upload-x", "a/.upload-x", ".upload-", ".upload-a/b", "../", "a/../", "...//x", "a/ /../b"]
BAD_NAMES = ["", ".", "..", "a/b", "/x", "a\\b", "\u0000", "a\u0000", "x" * 256, ".upload-x", "C:", "C:x", "\n", "a/"]
GOOD_PATHS = {"plain": "plain", "a/b/c": "a/b/c", "..x": "..x", "...": "...", "x..": "x..", "a/..b/c": "a/..b/c", ".hidden": ".hidden",
              "a b/c d": "a b/c d", "grüße/日本": "grüße/日本", "12:30": "12:30", "ab:c": "ab:c", "a/C:": "a/C:", "x" * 255: "x" * 255,
              "é" * 127: "é" * 127, "%2e%2e": "%2e%2e", "~": "~", "-rf": "-rf", "*": "*", "in/": "in/file", "": "file",
              "upload-x": "upload-x", "a/b/": "a/b/file", "'; rm": "'; rm", "\u202etxt": "\u202etxt",
              "/".join(["y" * 203] * 5): "/".join(["y" * 203] * 5)} # the last is 1,019 bytes long


def test_paths_lead_nowhere_but_below_the_service():
    """N-58, Q-40, Q-50: a table of what is refused and what is not; nothing is written elsewhere."""
    with Roots() as (root, outside), Server(rnn=section(root)) as server:
        register(server)
        async def talk():
            peer = await uploader(server)
            for path in BAD_PATHS:
                await peer.refuse({"file_path": path}, "Invalid file path")
            for name in BAD_NAMES:
                await peer.refuse({"file_path": "in/", "filename": name}, "Invalid file path")
            for raw in ("\\ud800", "a\\udc00"): # half of a pair: no JSON, and no message (N-16)
                await peer.ws.send('{"type":"file.upload.start","payload":{"service_id":1,"filename":"x","file_path":"%s"}}' % raw)
            for path in GOOD_PATHS:
                session = await peer.start(path, b"four", 4, filename="file")
                await peer.chunk(session, 0, b"four")
                message = await peer.receive()
                expect(message["type"], "file.upload.complete", (path, message))
            await peer.close()
        asyncio.run(talk())
        expect(files_below_all(root), {f"1/{path}": b"four" for path in GOOD_PATHS.values()})
        expect(os.listdir(outside), [])
        expect(sorted(os.listdir(os.path.dirname(root))), ["outside", "root"])


def files_below_all(root):
    """As files_below, hidden files and folders of a service included."""
    found = {}
    for service in os.listdir(root):
        if service.startswith("."):
            continue
        for path, content in files_below_hidden(os.path.join(root, service)).items():
            found[f"{service}/{path}"] = content
    return found


def files_below_hidden(folder):
    found = {}
    for at, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(at, name)
            with open(path, "rb") as file:
                found[os.path.relpath(path, folder)] = file.read()
    return found


def test_links_lead_nowhere():
    """N-58, Q-50, N-69: through a link, to a link, into a folder's place; a file that is there is replaced."""
    with Roots() as (root, outside), Server(rnn=section(root)) as server:
        register(server)
        os.makedirs(os.path.join(root, "1", "folder"))
        os.symlink(outside, os.path.join(root, "1", "out"))
        os.symlink("folder", os.path.join(root, "1", "in"))
        os.symlink(os.path.join(outside, "target"), os.path.join(root, "1", "file"))
        os.symlink(outside, os.path.join(root, "2"))
        with open(os.path.join(root, "1", "old"), "wb") as file:
            file.write(b"old content")
        async def refused(peer, path, service_id=1):
            await peer.send("start", service_id=service_id, filename="x", file_path=path, total_size=4, total_chunks=1, chunk_size=4)
            message = await peer.receive()
            if message["type"] == "file.upload.error": # at the start, or at the end when it can be seen only there
                expect(message["payload"]["code"], "UPLOAD_START_FAILED")
                return
            await peer.send_chunk(message["payload"]["session_id"], 0, b"four")
            expect((await peer.receive())["type"], "file.upload.progress")
            message = await peer.receive()
            expect((message["type"], message["payload"].get("code")), ("file.upload.error", "WRITE_FAILED"), path)
        async def talk():
            peer = await uploader(server)
            for path in ("out/x", "out/new/x", "in/x", "file", "file/x", "out", "folder", "old/x"):
                await refused(peer, path)
            await refused(peer, "x", service_id=2)
            await peer.close()
            await upload_whole(server, "old", b"new!")
        asyncio.run(talk())
        expect(os.listdir(outside), [])
        expect(os.listdir(os.path.join(root, "1", "folder")), [])
        expect(files_below(root), {"1/old": b"new!"})


def exchange(one, other):
    """Both names change places in one step."""
    at_cwd, rename_exchange = -100, 2
    if ctypes.CDLL(None, use_errno=True).renameat2(at_cwd, os.fsencode(one), at_cwd, os.fsencode(other), rename_exchange) != 0:
        raise OSError(ctypes.get_errno(), f"renameat2: {os.strerror(ctypes.get_errno())}")


def swap(stop, turns, folder, link):
    """Of a process beside: the folder becomes the link and a folder again, as fast as that goes."""
    while not stop.is_set():
        exchange(folder, link)
        exchange(folder, link)
        turns.value += 1


def test_a_folder_that_becomes_a_link_meanwhile_leads_nowhere():
    """N-58: somebody renames while the server opens; whatever an upload comes to, nothing is written outside."""
    with Roots() as (root, outside), Server(rnn=section(root, messages_max=0)) as server:
        register(server)
        folder = os.path.join(root, "1", "race")
        os.makedirs(folder)
        os.symlink(outside, folder + ".link")
        fork = multiprocessing.get_context("fork")
        stop, turns = fork.Event(), fork.Value("Q", 0)
        racer = fork.Process(target=swap, args=(stop, turns, folder, folder + ".link"))
        ends = {"file.upload.complete": 0, "file.upload.error": 0}
        async def talk():
            peer = await uploader(server)
            for number in range(200):
                await peer.send("start", service_id=1, filename="x", file_path=f"race/{number}", total_size=4, total_chunks=1, chunk_size=4)
                message = await peer.receive()
                if message["type"] == "file.upload.progress":
                    await peer.send_chunk(message["payload"]["session_id"], 0, b"four")
                    while message["type"] == "file.upload.progress":
                        message = await peer.receive()
                ends[message["type"]] += 1
                if message["type"] == "file.upload.error" and message["payload"]["session_id"]: # N-70: it stays; end it
                    await until_complete(peer, message["payload"]["session_id"])
            await peer.close()
        async def until_complete(peer, session):
            """Another attempt after the other, each of which may meet the link."""
            for _ in range(1000):
                expect((await peer.resume(session))["missing_chunks"], [])
                if (await peer.receive())["type"] == "file.upload.complete":
                    return
            raise AssertionError("1,000 attempts have met the link")
        racer.start()
        try:
            asyncio.run(talk())
        finally:
            stop.set()
            racer.join()
        expect(os.listdir(outside), [], f"files outside, {ends}, {turns.value} swaps")
        expect((turns.value > 0, racer.exitcode), (True, 0), "the process beside")
        expect(set(files_below(root).values()) <= {b"four"}, True, "what has its name is whole")


# --- groups, empty files, connections ---

def test_groups_of_files():
    """N-71, N-72, Q-40, Q-49: parallel files of a group, what cannot be of it, its end, and its memory over a restart."""
    with Roots() as (root, _), Server(rnn=section(root)) as server:
        register(server)
        async def first():
            peer, other = await uploader(server), await uploader(server, "other")
            of = {"upload_group_id": "pair", "total_files": 2}
            a = await peer.start("a", TEXT, 4, file_index=0, **of)
            b = await peer.start("b", b"four", 4, file_index=1, **of)
            expect(await peer.start("a", TEXT, 4, file_index=0, **of), a, "the same file again is the same session")
            two = of | {"file_path": "x", "filename": "x"}
            for start, error in ((two | {"file_index": 2}, None), (two | {"total_files": 3, "file_index": 2}, None),
                                 (two | {"service_id": 2, "file_index": 1}, None),
                                 (two | {"file_index": 1}, "Upload already open with other values")):
                await peer.send("start", **{"service_id": 1, "total_size": 4, "total_chunks": 1, "chunk_size": 4} | start)
                message = await peer.receive()
                expect((message["type"], message["payload"]["code"], message["payload"]["file_index"]),
                       ("file.upload.error", "UPLOAD_START_FAILED", start["file_index"]), start)
                if error is not None:
                    expect(message["payload"]["error"], error)
            theirs = await other.start("c", b"four", 4, file_index=0, upload_group_id="pair", total_files=7)
            expect(theirs not in (a, b), True, "group ids are of a user")
            await peer.chunk(b, 0, b"four")
            await peer.expect("complete", session_id=b, file_hash=digest(b"four"))
            for index, piece in pieces(TEXT, 4):
                await peer.chunk(a, index, piece)
            await peer.expect("complete", session_id=a, file_hash=TEXT_HASH, group_complete=True)
            await peer.close()
            await other.close()
        async def second():
            peer = await uploader(server)
            for index in (0, 1):
                await peer.send("start", service_id=1, upload_group_id="pair", total_files=2, file_index=index, filename="z", file_path="z",
                                total_size=4, total_chunks=1, chunk_size=4)
                message = await peer.receive()
                expect((message["type"], message["payload"]["code"]), ("file.upload.error", "UPLOAD_START_FAILED"))
            await peer.close()
        asyncio.run(first())
        asyncio.run(second())
        server.kill()
        server.start()
        asyncio.run(second())
        expect(files_below(root), {"1/a": TEXT, "1/b": b"four"})


def test_an_empty_file_is_complete_at_once():
    """N-57, Q-39"""
    with Roots() as (root, _), Server(rnn=section(root)) as server:
        register(server)
        async def talk():
            peer = await uploader(server)
            for chunks in (0, 1):
                await peer.send("start", service_id=1, upload_group_id=f"e{chunks}", filename="x", file_path=f"empty{chunks}", total_size=0,
                                total_chunks=chunks, chunk_size=4)
                message = await peer.receive()
                session = message["payload"]["session_id"]
                expect(message["payload"], hello(session, 0, 0, 100, upload_group_id=f"e{chunks}", file_index=0))
                await peer.expect("complete", session_id=session, file_hash=digest(b""), group_complete=True)
            await peer.close()
        asyncio.run(talk())
        expect(files_below(root), {"1/empty0": b"", "1/empty1": b""})


def test_a_session_goes_along_with_its_user():
    """N-66, N-67, N-73, Q-39, Q-42: another connection takes over, an end of the connection pauses."""
    with Roots() as (root, _), Server(rnn=section(root)) as server:
        register(server)
        async def talk():
            first, second = await uploader(server), await uploader(server)
            session = await first.start("x", TEXT, 4)
            await first.chunk(session, 0, b"hell")
            expect((await second.chunk(session, 1, b"o rn"))["chunks_received"], 2, "an active one moves with a chunk")
            await first.close()
            await client.quiet(second.ws)
            expect((await second.resume(session))["status"], "active", "who has left did not have it any more")
            await second.close()
            third = await uploader(server)
            while True: # until the node has noticed
                await third.send_chunk(session, 0, b"hell")
                message = await third.receive()
                if message["type"] == "file.upload.error":
                    break
                raise AssertionError(f"an active session without a connection: {message}")
            expect(message["payload"]["error"], "Upload session is paused")
            progress = await third.resume(session)
            expect((progress["chunks_received"], progress["next_chunk_index"], progress["missing_chunks"]), (2, 2, [2]))
            await third.chunk(session, 2, b"n!")
            await third.expect("complete", session_id=session, file_hash=TEXT_HASH, group_complete=True)
            await third.close()
        asyncio.run(talk())
        expect(files_below(root), {"1/x": TEXT})


def test_uploads_at_once_stay_apart():
    """N-53, N-60, N-61, N-71: several users, connections and sessions at once, chunks in any order, from a seed."""
    seed = int(os.environ.get("RINGCAST_UPLOAD_SEED") or random.SystemRandom().randrange(2**32))
    with Roots() as (root, _), Server(rnn=section(root)) as server:
        register(server)
        wanted = {}
        async def one(number):
            draws = random.Random(seed + number)
            peer = await uploader(server, f"user {number % 3}")
            files = []
            for file in range(4):
                content, chunk = draws.randbytes(draws.randint(1, 60000)), draws.choice((1000, 4096, 7777, 50000))
                files.append((await peer.start(f"{number}/{file}", content, chunk, service_id=1 + number % 2), content, chunk))
                wanted[f"{1 + number % 2}/{number}/{file}"] = content
            todo = [(session, index, piece) for session, content, chunk in files for index, piece in pieces(content, chunk)]
            draws.shuffle(todo)
            for session, index, piece in todo:
                await peer.send_chunk(session, index, piece)
            hashes = {}
            while len(hashes) < len(files):
                message = await peer.receive()
                expect(message["type"] in ("file.upload.progress", "file.upload.complete"), True, message)
                if message["type"] == "file.upload.complete":
                    hashes[message["payload"]["session_id"]] = message["payload"]["file_hash"]
            expect(hashes, {session: digest(content) for session, content, _ in files}, f"seed {seed}")
            await peer.close()
        async def everybody():
            await asyncio.gather(*(one(number) for number in range(6)))
        asyncio.run(everybody())
        expect(files_below(root) == wanted, True, f"the files, seed {seed}")


def test_chunks_do_not_count_as_messages():
    """N-18: 200 messages a second, chunks not among them."""
    with Roots() as (root, _), Server(rnn=section(root, messages_max=5, messages_window="1h")) as server:
        register(server)
        async def talk():
            content = bytes(100)
            peer = await uploader(server)
            session = await peer.start("x", content, 1)
            for index, piece in pieces(content, 1):
                await peer.chunk(session, index, piece)
            await peer.expect("complete", session_id=session, file_hash=digest(content), group_complete=True)
            for number in range(5):
                await peer.send("pause", session_id="none")
                message = await peer.receive()
                expect(message["payload"]["code"], "SESSION_NOT_FOUND" if number < 4 else "RATE_LIMITED")
            await peer.close()
        asyncio.run(talk())


# --- clients ---

def test_the_documented_steps_with_npm_ws():
    """N-52, N-60, N-64, N-66, N-69, N-76: a client in JavaScript uploads a file with a pause in the middle."""
    with Roots() as (root, _), Server(rnn=section(root)) as server:
        register(server)
        content = random.Random(1).randbytes(300000)
        path = os.path.join(os.path.dirname(root), "source")
        with open(path, "wb") as file:
            file.write(content)
        with Node("rnn_upload.js", server.url("rnn", f"/api/ws?token={token()}"), path, "2") as node:
            expect(node.line(), ["started", 0])
            expect(node.line(), ["paused", 1])
            expect(node.line(), ["resumed", [0, 2]])
            expect(node.line(), ["complete", digest(content), True])
        expect(files_below(root), {"2/from-node": content})


def test_upload_file():
    """The command of tools/: logs in, uploads, checks the hash; goes on where the server was killed."""
    with Roots() as (root, _), Server(rnn=section(root, users=[user()])) as server:
        register(server)
        content = random.Random(2).randbytes(1000000)
        path = os.path.join(os.path.dirname(root), "source.bin")
        with open(path, "wb") as file:
            file.write(content)
        environment = dict(os.environ, RINGCAST_PASSWORD="secret")
        command = [sys.executable, ROOT / "tools/upload-file", "--url", server.url("rnn", "/api/ws"), "--user", "op", "--service", "1"]
        if server.secure:
            return # the tool believes the system's authorities
        done = subprocess.run([*command, "--path", "docs/", path], env=environment, capture_output=True, text=True, timeout=BRAKE_SECONDS)
        expect((done.returncode, done.stdout), (0, f"{digest(content)} {path}\n"), done.stderr)
        expect(files_below(root), {"1/docs/source.bin": content})
        slow = subprocess.Popen([*command, "--chunk", "1000", "--path", "again", path], env=environment, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        until(lambda: any(name.startswith(".") and os.listdir(os.path.join(root, name)) for name in os.listdir(root)), what="a file in the making")
        server.kill()
        server.start()
        found, said = slow.communicate(timeout=BRAKE_SECONDS)
        expect((slow.returncode, found), (0, f"{digest(content)} {path}\n"), said)
        expect(files_below(root), {"1/docs/source.bin": content, "1/again": content})
        wrong = subprocess.run([*command, path], env=environment | {"RINGCAST_PASSWORD": "wrong"}, capture_output=True, text=True)
        expect((wrong.returncode, "401" in wrong.stderr, "wrong" in wrong.stderr), (1, True, False), wrong.stderr)
