# SPDX-License-Identifier: MIT
"""Where uploads to the node (dialect rnn) can get to: paths of all kinds, links, and folders that become links meanwhile
(N-58, Q-40, Q-50)."""
import asyncio
import ctypes
import multiprocessing
import os

from case import expect
from server import Server
from uploads import Roots, files_below, register, section, upload_whole, uploader

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
