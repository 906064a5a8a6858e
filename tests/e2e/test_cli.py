# SPDX-License-Identifier: MIT
"""The other commands of the binary, against a server that runs."""
import asyncio
import base64
import hashlib
import json
import os
import pathlib
import re
import signal
import socket
import stat
import subprocess
import tempfile
import time
import urllib.request

import client
import transport
from case import BRAKE_SECONDS, Skip, expect, plain_only
from server import BINARY, INGEST_KEY, Server, free_port, until
from test_process import run
from wire import TEXT, Wire, frame

ROOT = pathlib.Path(__file__).resolve().parents[2]
KEY = {"RINGCAST_INGEST_KEY": INGEST_KEY}


def trust(server):
    return ["--ca", transport.certificates() / "authority.pem"] if server.secure else []


def subscribe(server, *arguments, path="/plain/news", environment=None):
    return subprocess.Popen([BINARY, "subscribe", *trust(server), *arguments, server.url("plain", path)], text=True,
                            errors="replace",
                            env={"PATH": os.environ["PATH"]} | (environment or {}),
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def publish(server, *arguments, **options):
    return run("publish", *trust(server), "--url", server.url("ingest", "", "http"), *arguments,
               environment=options.pop("environment", KEY), **options)


def wait_for_subscribers(server, count):
    until(lambda: server.metric("ringcast_subscriptions") == count, what=f"{count} subscriptions")


def test_publish_and_subscribe():
    """A message as argument, from stdin, and lines: each is printed by the subscriber as a line; --count ends it."""
    with Server(plain={}) as server:
        reader = subscribe(server, "--count", "5")
        wait_for_subscribers(server, 1)
        for arguments, text, accepted in ((["plain/news", "hello"], None, 1), (["plain/news", "-"], "from stdin", 1),
                                          (["--ndjson", "plain/news"], "one\ntwo\nthree\n", 3)):
            code, out, err = publish(server, *arguments, text=text)
            expect((code, json.loads(out), err), (0, {"accepted": accepted, "receivers": accepted}, ""), f"{arguments}")
        out, err = reader.communicate(timeout=BRAKE_SECONDS)
        expect((reader.returncode, out, err), (0, "hello\nfrom stdin\none\ntwo\nthree\n", ""))


def test_publish_refused():
    """Exit code 1 and what the server said: a wrong key, no key, a wrong topic, nobody there; 2 for no address."""
    with Server(plain={}) as server:
        for arguments, environment, status in ((["plain/a", "x"], {"RINGCAST_INGEST_KEY": "wrong"}, "401"),
                                               (["plain/a", "x"], {}, "401"), (["none/a", "x"], KEY, "404")):
            code, out, err = publish(server, *arguments, environment=environment)
            expect((code, out), (1, ""), f"{arguments} {environment}")
            expect(status in err, True, err)
        with tempfile.NamedTemporaryFile("w", suffix=".key") as file:
            file.write(f"{INGEST_KEY} *\n")
            file.flush()
            expect(publish(server, "-k", file.name, "plain/a", "x", environment={})[0], 0, "the key from a file")
    expect(publish(server, "plain/a", "x")[0], 1, "nobody there")
    expect(run("publish", "--url", "nonsense", "plain/a", "x", environment=KEY)[0], 2, "no address")


def test_subscribe_ends():
    """SIGINT and SIGTERM close with 1000 and exit 0; a close by the server is printed with code and reason, exit 1; the
    key comes from RINGCAST_KEY; --header says when, what and how much."""
    with Server(plain={"keys": ["pk-1"]}) as server:
        key = {"RINGCAST_KEY": "pk-1"}
        for number in (signal.SIGINT, signal.SIGTERM):
            reader = subscribe(server, environment=key)
            wait_for_subscribers(server, 1)
            server.publish("plain/news", "hello", "text/plain")
            expect(reader.stdout.readline(), "hello\n", "it has read the answer to its upgrade, so it minds signals")
            reader.send_signal(number)
            out, err = reader.communicate(timeout=BRAKE_SECONDS)
            expect((reader.returncode, out), (0, ""), f"after {number.name} ({err})")
            wait_for_subscribers(server, 0)
        out, err = (refused := subscribe(server)).communicate(timeout=BRAKE_SECONDS)
        expect((refused.returncode, out, "401" in err), (1, "", True), err)
        reader = subscribe(server, "--header", environment=key)
        wait_for_subscribers(server, 1)
        server.publish("plain/news", b"\xff\x00", "application/octet-stream")
        server.publish("plain/news", "text", "text/plain")
        time.sleep(0.1)
        server.signal(signal.SIGTERM)
        out, err = reader.communicate(timeout=BRAKE_SECONDS)
        expect((reader.returncode, "1001" in err, "going away" in err), (1, True, True), err)
        expect("text" in out and re.search(r"\b4\b", out) is not None, True, out)


def test_subscriber_understands_any_frame():
    """Large, empty and fragmented messages with pings in between are printed whole."""
    with Server(plain={}) as server:
        reader = subscribe(server, "--count", "3")
        wait_for_subscribers(server, 1)
        for size in (0, 200, 1 << 20):
            server.publish("plain/news", "x" * size, "text/plain")
        out, err = reader.communicate(timeout=BRAKE_SECONDS)
        expect((reader.returncode, err), (0, ""))
        expect([len(line) for line in out.split("\n")], [0, 200, 1 << 20, 0])


GOOD_ANSWER = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade",
               "Sec-WebSocket-Accept: ACCEPT"]


def answered_with(lines, behind=b"", scheme="ws"):
    """What `subscribe` makes of these lines (ACCEPT is filled in) and bytes: (exit code, stdout, stderr, what it sent behind)."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        reader = subprocess.Popen([BINARY, "subscribe", "-n", "1", f"{scheme}://127.0.0.1:{listener.getsockname()[1]}/x"],
                                  text=True, errors="replace", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            peer, _ = listener.accept()
            peer.settimeout(10)
            with peer:
                request = b""
                while b"\r\n\r\n" not in request:
                    request += peer.recv(4096)
                key = re.search(rb"Sec-WebSocket-Key: (\S+)", request)[1]
                digest = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
                accept = base64.b64encode(digest).decode()
                head = "\r\n".join([*lines, "", ""]).replace("ACCEPT", accept)
                peer.sendall(head.encode() + behind)
                peer.shutdown(socket.SHUT_WR)
                sent = b"".join(iter(lambda: peer.recv(4096), b""))
            out, err = reader.communicate(timeout=10)
            return reader.returncode, out, err, sent
        finally:
            reader.kill()
            reader.wait()


def test_the_client_checks_the_answer_as_rfc_6455_says():
    """RFC 6455 section 4.1: status line, Upgrade, Connection, Accept; extensions and subprotocols that it has not asked for."""
    hello = b"\x81\x05hello"
    good = (
        GOOD_ANSWER,
        [line.lower() if i in (1, 2) else line for i, line in enumerate(GOOD_ANSWER)],
        [*GOOD_ANSWER[:2], "connection: keep-alive,  UPGRADE", GOOD_ANSWER[3], "X-Other: 1"],
        [*GOOD_ANSWER[:2], "Connection: keep-alive", "Connection: upgrade", GOOD_ANSWER[3]],
        ["HTTP/1.1 103 Early Hints", "Link: </x>", "", *GOOD_ANSWER],
        ["HTTP/1.1 101 "] + GOOD_ANSWER[1:],
    )
    for lines in good:
        code, out, err, _ = answered_with(lines, hello)
        expect((code, out), (0, "hello\n"), f"{lines}: {err}")
    bad = (
        [*GOOD_ANSWER, "Sec-WebSocket-Extensions: x-foo"],
        [*GOOD_ANSWER, "Sec-WebSocket-Extensions: permessage-deflate"],
        [*GOOD_ANSWER, "sec-websocket-protocol: chat"],
        [*GOOD_ANSWER, GOOD_ANSWER[3]],
        GOOD_ANSWER[:3],
        [*GOOD_ANSWER[:3], "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="],
        [*GOOD_ANSWER[:3], "Sec-WebSocket-Accept: ACCEPT="],
        [GOOD_ANSWER[0], *GOOD_ANSWER[2:]],
        [GOOD_ANSWER[0], "Upgrade: websockets", *GOOD_ANSWER[2:]],
        [*GOOD_ANSWER[:2], GOOD_ANSWER[3]],
        [*GOOD_ANSWER[:2], "Connection: keep-alive", GOOD_ANSWER[3]],
        ["HTTP/1.0 101 Switching Protocols", *GOOD_ANSWER[1:]],
        ["HTTP/1.1 1010 Switching Protocols", *GOOD_ANSWER[1:]],
        ["HTTP/1.1 200 OK", *GOOD_ANSWER[1:]],
    )
    for lines in bad:
        code, out, err, _ = answered_with(lines, hello)
        expect((code, out, err.count("ringcast: ")), (1, "", 1), f"{lines}: {err}")


def test_the_client_refuses_frames_that_no_server_sends():
    """RFC 6455 sections 5.1, 5.2, 5.5: masked frames, RSV bits, unknown opcodes, broken UTF-8: the end, and the server is told."""
    for frame_bytes, close in ((b"\x81\x85\0\0\0\0hello", 1002), (b"\xc1\x05hello", 1002), (b"\x83\x00", 1002),
                               (b"\x81\x02\xff\xff", 1007), (b"\x09\x00", 1002), (b"\x80\x00", 1002)):
        code, out, err, sent = answered_with(GOOD_ANSWER, frame_bytes)
        expect((code, out, "broke the protocol" in err), (1, "", True), f"{frame_bytes}: {err}")
        key, payload = sent[2:6], sent[6:8]
        expect((sent[0], sent[1], bytes(a ^ b for a, b in zip(payload, key))), (0x88, 0x82, close.to_bytes(2, "big")),
               f"the close frame behind {frame_bytes}")


def test_schemes_in_any_case():
    """RFC 3986 section 3.1."""
    for scheme in ("WS", "Ws", "ws"):
        expect(answered_with(GOOD_ANSWER, b"\x81\x01x", scheme)[:2], (0, "x\n"), scheme)
    with Server(plain={}, secure=False) as server:
        url = server.url("ingest", "", "http").replace("http", "HTTP")
        expect(run("publish", "--url", url, "plain/a", "x", environment=KEY)[0], 0)
    for scheme in ("wsx", "http", "w"):
        expect(run("subscribe", f"{scheme}://127.0.0.1:1/")[0], 2, scheme)


def test_check_prints_what_would_load_again():
    """K-33, K-32: the effective values with their origins, secrets masked; the print is itself a configuration."""
    with Server(plain={"keys": ["plain-secret"], "retain": 5}, echo={}, rustorium={"keys": ["rk-secret"]}) as server:
        code, out, err = run("check", "-c", server.config_path, "--set", "plain.retain=7")
        expect((code, err), (0, ""))
        expect([word for word in ("plain-secret", "rk-secret", INGEST_KEY) if word in out], [], "secrets are masked")
        again = server.config_path + ".again"
        with open(again, "w", encoding="utf-8") as file:
            file.write(out)
        os.chmod(again, 0o600)
        code, second, err = run("check", "-c", again)
        expect((code, err), (0, ""))

        def values(text):
            return [line.split("  #")[0] for line in text.splitlines()]
        expect(values(second), values(out))


def test_genconfig():
    """A file for its owner only, never overwritten, with keys that nobody has seen, that check accepts."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "ringcast.yaml")
        expect(run("genconfig", "-o", path), (0, "", ""))
        expect(stat.S_IMODE(os.stat(path).st_mode), 0o600, "mode")
        with open(path, encoding="utf-8") as file:
            text = file.read()
        code, _, err = run("genconfig", "-o", path)
        expect((code, "not overwritten" in err), (1, True), err)
        expect(run("check", "-c", path)[0], 0)
        code, other, _ = run("genconfig")
        expect(code, 0)
        keys = [set(re.findall(r"[0-9a-f]{64}", part)) for part in (text, other)]
        expect((len(keys[0]), len(keys[1]), keys[0] & keys[1]), (2, 2, set()), "fresh keys")


def test_a_generated_configuration_serves():
    """genconfig, serve, publish, subscribe with the keys of the file."""
    code, text, _ = run("genconfig")
    expect(code, 0)
    ingest_key, plain_key = re.findall(r"[0-9a-f]{64}", text)
    with Server(ingest={"keys": [f"{ingest_key} plain/*"]}, plain={"keys": [plain_key]}) as server:
        reader = subscribe(server, "--count", "1", environment={"RINGCAST_KEY": plain_key})
        wait_for_subscribers(server, 1)
        expect(publish(server, "plain/news", "x", environment={"RINGCAST_INGEST_KEY": ingest_key})[0], 0)
        expect(reader.communicate(timeout=BRAKE_SECONDS), ("x\n", ""))


def test_version():
    """For people, and as JSON with the same facts."""
    code, text, _ = run("version")
    expect(code, 0)
    code, out, _ = run("version", "--json")
    facts = json.loads(out)
    expect(code, 0)
    expect([line.split(None, 1) for line in text.splitlines()], [[name, value] for name, value in facts.items()])
    expect({"version", "commit", "compiler", "kernel"} <= set(facts), True, f"{facts}")


def test_environment_alone():
    """K-33: a server configured by variables only."""
    with Server() as server:
        port = free_port()
        process = subprocess.Popen([BINARY], stderr=subprocess.DEVNULL, env={
            "PATH": os.environ["PATH"], "RINGCAST_PLAIN_LISTEN": f"127.0.0.1:{port}", "RINGCAST_SHARDS": "1",
            "RINGCAST_ADMIN_LISTEN": f"127.0.0.1:{free_port()}", "RINGCAST_INGEST_LISTEN": f"127.0.0.1:{free_port()}",
            "RINGCAST_PLAIN_CLIENT_PUBLISH": "true"})
        try:
            wire = until(lambda: connected(port), what="the server")
            wire.send(frame(TEXT, b"x"))
            expect(wire.frame(), (TEXT, b"x"))
            wire.socket.close()
            process.terminate()
            expect(process.wait(10), 0, "exit code")
        finally:
            process.kill()
        expect(server.get("/healthz")[0], 200)


def connected(port):
    try:
        return Wire(port, tls=False).upgrade("/plain/a")
    except OSError:
        return None


async def a_job_is_completed(url):
    """What the line to paste does, until somebody's job has been done."""
    ws = await client.connect(url)
    await ws.send('{"type":"register_client","client_type":"monitor","client_id":"me"}')
    await ws.send('{"type":"subscribe_job_notifications","enabled":true}')
    while (await client.receive_json(ws))["type"] != "job_completed":
        pass
    await ws.close()


@plain_only("the demo has a configuration of its own")
def test_the_demo_asks_for_nothing_that_is_refused():
    """What a newcomer's terminal shows of `tools/dev run`: the lines to paste, and no refusal of a request of the demo's own;
    each of its checks is answered with success, the jobs that it submits to the hub are done, and its upload is in its place."""
    binary = ROOT / "build/release/ringcast"
    if not binary.exists():
        raise Skip(f"{binary} is not there")
    listens = {name: f"127.0.0.1:{free_port()}"
               for name in ("ingest.listen", "admin.listen", "plain.listen", "echo.listen", "rustorium.listen", "crypto.listen", "emprops.listen", "rnn.listen",
                            "aitbc.jobs_listen", "aitbc.blockchain_listen", "aitbc.marketplace_listen")}
    folder = tempfile.TemporaryDirectory(prefix="ringcast-demo-")
    store = os.path.join(folder.name, "jobs.db")
    uploads = os.path.join(folder.name, "uploads")
    os.mkdir(uploads)
    values = listens | {"emprops.store": store, "rnn.store": store, "rnn.uploads": uploads}
    sets = [word for name, value in values.items() for word in ("--set", f"{name}={value}")]
    address = listens["ingest.listen"]

    def providers():
        """Of the newest checks; none before the first."""
        request = urllib.request.Request(f"http://{address}/ingest/v1/crypto/health_checker",
                                         headers={"Authorization": "Bearer dev-ingest"})
        try:
            with urllib.request.urlopen(request, timeout=5) as response:
                return json.loads(response.read())["providers"]
        except OSError:
            return {}

    demo = subprocess.Popen([ROOT / "tools/demo", *sets], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            start_new_session=True,
                            # a shell that has started us in the background may have left it ignored, which bash cannot undo
                            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    try:
        until(providers, what="the first checks")
        expect({name: provider["status"] for name, provider in providers().items()},
               {"live": "healthy", "ready": "healthy", "crypto": "healthy"})
        asyncio.run(a_job_is_completed(f"ws://{listens['emprops.listen']}/"))
        uploaded = pathlib.Path(uploads, listens["rnn.listen"].rsplit(":", 1)[1], "demo", "README.md")
        until(uploaded.exists, what="the upload")
        expect(uploaded.read_bytes(), (ROOT / "README.md").read_bytes(), "the uploaded file")
    finally:
        demo.send_signal(signal.SIGINT)
        shown, _ = demo.communicate(timeout=BRAKE_SECONDS)
    expect(demo.returncode, 0, shown)
    expect([line for line in shown.splitlines() if "refused" in line or "level=error" in line], [], "refusals on the terminal")
    expect("Ctrl-C ends the demo." in shown, True, shown)
