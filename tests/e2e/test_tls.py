# SPDX-License-Identifier: MIT
"""Who gets in over TLS, with what, and what becomes of it: clients that nobody here wrote, versions and suites, tickets,
certificates on both sides, reload, configuration. Records are in test_tls_records.py; that all else works over TLS as it does
without is shown by run.py --tls."""
import contextlib
import json
import os
import re
import shutil
import ssl
import subprocess
import tempfile

import client
import tls_peer
import transport
from case import BRAKE_SECONDS, Skip, expect
from server import BINARY, INGEST_KEY, Server, free_listen, free_port, to_yaml, until
from test_node import Node
from test_process import run
from wire import TEXT, Wire, frame, upgrade_request

SUITES_13 = [0x1301, 0x1302, 0x1303]
SUITES_12_ECDSA = [0xC02B, 0xC02C, 0xCCA9]  # ECDHE with AES-GCM or ChaCha20-Poly1305
SUITES_12_RSA = [0xC02F, 0xC030, 0xCCA8]
NAMED = re.compile(r'subject="([^"]*)"')


def serve(**sections):
    return Server(secure=True, **({"echo": {}} | sections))


def curl(*arguments, text=None):
    """(exit code, what it prints)"""
    done = subprocess.run(["curl", "--silent", "--max-time", "10", *arguments], input=text, capture_output=True, text=True,
                          timeout=BRAKE_SECONDS, env={"PATH": os.environ["PATH"]})
    return done.returncode, done.stdout


def authority():
    return str(transport.certificates() / "authority.pem")


def context(*, certificate=None, version=None):
    """A client's own context, with a certificate of its own, or with that version only."""
    made = ssl.create_default_context(cafile=authority())
    if certificate:
        made.load_cert_chain(*transport.pair(certificate).split())
    if version:
        made.minimum_version = made.maximum_version = version
    return made


def echoes(wire, text=b"x"):
    wire.send(frame(TEXT, text))
    expect(wire.frame(), (TEXT, text))


# --- clients ---

async def test_python_client():
    """K-4: python3-websockets over wss, the certificate checked."""
    with serve() as server:
        ws = await client.connect(server.url("echo", "/echo"), ssl=context())
        for message in ("text", b"binary", "x" * 60000):
            await ws.send(message)
            expect(await client.receive(ws), message)
        await ws.close()
        expect(ws.close_code, 1000)


def test_javascript_client():
    """K-4: npm `ws` over wss, all sizes and kinds of messages, with and without compression."""
    transport.certificates()
    with serve(echo={"message_bytes_max": "1MiB"}) as server, Node("echo.js", server.url("echo", "/echo")) as node:
        expect([node.line() for _ in range(3)], [["same", 32], ["pong", "payload"], ["close", 1000]])


def test_browser():
    """K-4: Chromium over wss, the test authority told to it as the key of our certificate."""
    program = shutil.which("chromium")
    if program is None:
        raise Skip("chromium is not installed")
    public = subprocess.run(["openssl", "x509", "-pubkey", "-noout", "-in", transport.certificates() / "server.pem"],
                            check=True, capture_output=True).stdout
    key = subprocess.run("openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | base64", shell=True,
                         input=public, check=True, capture_output=True).stdout.decode().strip()
    with serve() as server, tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        page = os.path.join(folder, "page.html")
        with open(page, "w", encoding="utf-8") as file:
            file.write(f"""<script>
                const socket = new WebSocket("{server.url('echo', '/echo')}");
                socket.onopen = () => socket.send('from a browser');
                socket.onmessage = (event) => socket.close(event.data === 'from a browser' ? 4321 : 4322);
                </script>""")
        browser = subprocess.Popen([program, "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0",
                                    f"--user-data-dir={folder}/profile", f"--ignore-certificate-errors-spki-list={key}",
                                    f"file://{page}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            until(lambda: "code=43" in server.log(), what="the browser's close")
            expect("code=4321" in server.log(), True, "the browser has got its message back")
        finally:
            browser.terminate()
            browser.wait(10)


def test_curl():
    """K-4: https for publishing, REST and operators; who does not know the authority does not trust us; TLS 1.2 only when it
    is allowed."""
    with serve(plain={}, tls={"minimum_version": "1.3"}) as server:
        ask = server.url("admin", "/healthz", "http")
        expect(curl("--cacert", authority(), ask)[0], 0, "admin")
        expect(curl(ask)[0], 60, "an unknown authority")
        expect(curl("--cacert", authority(), "--tls-max", "1.2", ask)[0], 35, "TLS 1.2")
        url = server.url("ingest", "/ingest/v1/plain/a", "http")
        code, out = curl("--cacert", authority(), "-H", f"Authorization: Bearer {INGEST_KEY}", "-H",
                         "Content-Type: text/plain", "-d", "x" * 20000, url)
        expect((code, json.loads(out)), (0, {"accepted": 1, "receivers": 0}))
    with serve(tls={"minimum_version": "1.2"}) as server:
        url = server.url("admin", "/healthz", "http")
        expect(curl("--cacert", authority(), "--tls-max", "1.2", url)[0], 0, "TLS 1.2")


def test_publish_and_subscribe_commands():
    """K-4: `publish` over https, `subscribe` over wss: --ca, --insecure, --cert; a wrong authority is exit code 1 and said."""
    keys = [f"{INGEST_KEY} *", "certificate:feed-7 *"]
    with serve(plain={}, ingest={"keys": keys, "listen": [f"{free_listen()[0]} tls client=optional"]},
               tls={"client_authorities": authority()}) as server:
        strangers = str(transport.certificates() / "strangers.pem")
        chain, own_key = transport.pair("client").split()
        cert = ["--cert", chain, "--cert-key", own_key]
        key = {"RINGCAST_INGEST_KEY": INGEST_KEY}
        url = server.url("ingest", "", "http")
        for trust, environment, code, said in (
                (["--ca", authority()], key, 0, ""), (["--insecure"], key, 0, ""), ([], key, 1, "authority"),
                (["--ca", strangers], key, 1, "authority"), (["--ca", authority(), *cert], {}, 0, ""),
                (["--ca", authority()], {}, 1, "401")):
            found, _, err = run("publish", *trust, "--url", url, "plain/a", "x", environment=environment)
            expect((found, said in err), (code, True), f"{trust}: {err}")
        url = server.url("plain", "/plain/a")
        expect(run("subscribe", url)[0], 1, "an unknown authority")
        reader = subprocess.Popen([BINARY, "subscribe", "--ca", authority(), "--count", "1", url], text=True,
                                  stdout=subprocess.PIPE)
        until(lambda: server.metric("ringcast_subscriptions") == 1, what="the subscription")
        server.publish("plain/a", "hello", "text/plain")
        expect(reader.communicate(timeout=BRAKE_SECONDS)[0], "hello\n")


def test_addresses_are_verified_as_addresses():
    """RFC 9110 section 4.3.5, RFC 6125: who asks for an address wants it in an iPAddress of the certificate; a name that looks like
    one, in a dNSName or the common name, stands for nothing."""
    for certificate, good in (("server", {"127.0.0.1", "[::1]", "localhost"}), ("addressless", set()), ("other", set())):
        port = free_port()
        with Server(secure=False, plain={"listen": [f"localhost:{port} tls"]},
                    tls={"certificates": [transport.pair(certificate)]}):
            for host in ("127.0.0.1", "[::1]", "localhost", "127.1", "0177.0.0.1"):
                code, _, err = run("publish", "--ca", authority(), "--url", f"https://{host}:{port}", "plain/a", "x")
                reached = "404" in err or "426" in err or "refused: " in err
                expect((code, reached), (1, host in good), f"{host} with {certificate}: {err}")


# --- versions, suites, tickets ---

def test_suites_on_offer():
    """K-4: of all 65536 code points, those on the list are taken and no other; 1.2 only when allowed, older versions never."""
    pairs = [transport.pair("server"), transport.pair("rsa")]
    with serve(tls={"certificates": pairs}) as server:
        port = server.port("echo")
        for name in (None, "rsa.test"):
            expect(sorted(tls_peer.suites_on_offer(port, name=name)), SUITES_13, f"1.3, {name}")
        refused = ("alert", tls_peer.PROTOCOL_VERSION)
        for version in (0x0303, 0x0302, 0x0301, 0x0300):
            asked = tls_peer.hello(SUITES_12_ECDSA + [0xC009, 0x002F], version=version, versions=())
            expect(tls_peer.answer(port, asked), refused, f"a hello of version {version:#x} when 1.3 is the least")
    with serve(tls={"certificates": pairs, "minimum_version": "1.2"}) as server:
        port = server.port("echo")
        expect(sorted(tls_peer.suites_on_offer(port)), SUITES_13, "1.3 beside 1.2")
        expect(sorted(tls_peer.suites_on_offer(port, versions=())), SUITES_12_ECDSA, "1.2")
        expect(sorted(tls_peer.suites_on_offer(port, versions=(), name="rsa.test")), SUITES_12_RSA, "1.2 with RSA")
        for version in (0x0302, 0x0301, 0x0300):
            asked = tls_peer.hello(SUITES_12_ECDSA + [0xC009, 0x002F], version=version, versions=())
            expect(tls_peer.answer(port, asked), refused, f"a hello of version {version:#x} when 1.2 is the least")


@contextlib.contextmanager
def s_client(port, *arguments):
    """openssl's own client, at which commands (R, K, k) and text may be typed; gives (say, log)."""
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-CAfile", authority(), *arguments],
                                   stdin=subprocess.PIPE, stdout=log, stderr=log, text=True, bufsize=0)

        def said():
            return os.pread(log.fileno(), 1 << 20, 0).decode(errors="replace")

        def say(text):
            process.stdin.write(text)
        try:
            yield say, said
        finally:
            process.kill()
            process.communicate()


def test_no_renegotiation():
    """RFC 5246 section 7.4.1.1: a second hello ends a connection of TLS 1.2, and the log says why."""
    with serve(tls={"minimum_version": "1.2"}) as server:
        with s_client(server.port("admin"), "-tls1_2") as (say, said):
            until(lambda: "Verify return code: 0" in said(), what="a connection")
            say("R\n")
            until(lambda: "an attempt to renegotiate" in server.log(), what="the log line")


def test_key_updates():
    """RFC 8446 section 4.6.3: the peer changes its keys, or both are changed, and the connection works on."""
    with serve() as server, s_client(server.port("admin"), "-tls1_3") as (say, said):
        until(lambda: "Verify return code: 0" in said(), what="a connection")
        for round, command in enumerate("kKkKK", 1):
            say(f"{command}\n")
            until(lambda: said().count("KEYUPDATE") == round, what="the command")
            say("GET /healthz HTTP/1.1\nHost: localhost\n\n".replace("\n", "\r\n"))
            until(lambda: said().count("HTTP/1.1 200") == round, what=f"the answer after {command}")


def connected(port, *, session=None, name="localhost", asked="/healthz", **options):
    """A connection that has had an answer, so that tickets have come: (socket, answer)."""
    wrapped = options.pop("context").wrap_socket(tls_peer.connect(port), server_hostname=name, session=session)
    wrapped.sendall(f"GET {asked} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return wrapped, wrapped.recv(4096)


def test_tickets():
    """Sessions are resumed by any shard and after a reload, by both versions, and no early data is taken (RFC 8446 section
    4.2.10); with ticket_lifetime 0 there are no tickets."""
    for version in (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2):
        mine = context(version=version)
        with serve(tls={"minimum_version": "1.2"}) as server:
            port = server.port("admin")
            first, _ = connected(port, context=mine)
            for _ in range(2):
                shards, begin = set(), len(server.log())
                for _ in range(64):
                    wrapped, _ = connected(port, context=mine, session=first.session)
                    expect(wrapped.session_reused, True, f"resumed, {version.name}")
                    wrapped.close()
                    found = re.findall(r"conn=(\d+) .*resumed=true", server.log()[begin:])
                    shards = {int(number) & 63 for number in found}
                    if len(shards) == 2:
                        break
                expect(shards, {0, 1}, "shards that have resumed a session")
                server.reload(echo={"message_bytes_max": "2MiB"})
            first.close()
            expect(server.metrics()['ringcast_tls_handshakes_total{result="resumed"}'] >= 4, True)
    with serve(tls={"ticket_lifetime": "0s"}) as server:
        mine = context()
        first, _ = connected(server.port("admin"), context=mine)
        expect(first.session.has_ticket if first.session else False, False, "a ticket")
        first.close()
    with serve() as server, s_client(server.port("admin"), "-tls1_3") as (say, said):
        say("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        until(lambda: "HTTP/1.1 200" in said(), what="an answer")
        say("Q\n")
        until(lambda: "Max Early Data" in said(), what="a ticket")
        expect(set(re.findall(r"Max Early Data: (\d+)", said())), {"0"})


def test_a_ticket_is_no_certificate():
    """A ticket of a listener that asks for no certificate does not open one that requires it, and who has shown one is known on
    every connection."""
    at = free_listen()[0]
    with serve(ingest={"listen": [f"{at} tls client=required"], "keys": ["certificate:feed-7 *"]},
               tls={"minimum_version": "1.2", "client_authorities": authority()}) as server:
        port = server.port("ingest")
        for version in (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2):
            anonymous = context(version=version)
            guest, _ = connected(server.port("admin"), context=anonymous)
            try:
                wrapped, found = connected(port, context=anonymous, session=guest.session)
            except (ssl.SSLError, ConnectionError):
                found = b""
            expect(found, b"", f"an answer to a ticket without a certificate, {version.name}")
            guest.close()
            known, session = context(version=version, certificate="client"), None
            for _ in range(3):
                wrapped, found = connected(port, context=known, session=session, asked="/ingest/v1/echo/a")
                expect(b" 401 " in found or not found, False, found)
                session = wrapped.session
                wrapped.close()


# --- certificates ---

def name_of(port, name):
    """The common name of the certificate that a client gets which asks for that name."""
    mine = context()
    mine.check_hostname = False
    with mine.wrap_socket(tls_peer.connect(port), server_hostname=name) as wrapped:
        return dict(pair[0] for pair in wrapped.getpeercert()["subject"])["commonName"]


def test_server_names():
    """RFC 6066 section 3: the certificate whose names fit; unknown names, addresses and none get the first."""
    pairs = [transport.pair(name) for name in ("server", "other", "rsa")]
    with serve(tls={"certificates": pairs}) as server:
        for asked, found in (("localhost", "localhost"), ("other.test", "other.test"), ("a.other.test", "other.test"),
                             ("OTHER.test", "other.test"), ("a.b.other.test", "localhost"), ("rsa.test", "rsa.test"),
                             ("nobody.test", "localhost"), ("test", "localhost"), (None, "localhost")):
            expect(name_of(server.port("echo"), asked), found, f"asked for {asked}")


def test_reload_takes_new_certificates():
    """K-4, K-31: HUP: new connections get the new certificate from the same file names, those that live stay and work; with a
    bad one all stays as it was, one line and a metric say so."""
    with tempfile.TemporaryDirectory() as folder:
        def put(certificate, key):
            shutil.copy(transport.certificates() / f"{certificate}.pem", f"{folder}/used.pem")
            shutil.copy(transport.certificates() / f"{key}.key", f"{folder}/used.key")

        put("server", "server")
        with Server(secure=False, echo={"listen": [f"{free_listen()[0]} tls"]},
                    tls={"certificates": [f"{folder}/used.pem {folder}/used.key"]}) as server:
            port = server.port("echo")
            old = Wire(port, tls=context()).upgrade("/echo")
            put("other", "other")
            server.reload()
            until(lambda: name_of(port, "localhost") == "other.test", what="the new certificate")
            echoes(old)
            for certificate, key, why in (("server", "other", "the key does not belong to the certificate"),
                                          ("server", "server.pem", "no private key")):
                if key.endswith(".pem"):
                    shutil.copy(transport.certificates() / key, f"{folder}/used.key")
                else:
                    put(certificate, key)
                before = len(server.log().splitlines())
                server.reload("reload refused, the old configuration stays")
                lines = server.log().splitlines()[before:]
                expect([why in line and "tls.certificates" in line for line in lines if "level=error" in line], [True], lines)
                expect(server.metric("ringcast_config_last_reload_successful"), 0)
                expect({name_of(port, "localhost") for _ in range(8)}, {"other.test"}, "the old certificate stays")
            echoes(old)
            put("rsa", "rsa")
            server.reload()
            expect(server.metric("ringcast_config_last_reload_successful"), 1)
            until(lambda: {name_of(port, "localhost") for _ in range(8)} == {"rsa.test"}, what="the third certificate")
            echoes(old)
            old.socket.close()


def test_client_certificates():
    """K-4: none is asked for, one may be shown, one has to be: ours, none, a stranger's, one out of date; the log has the
    subject."""
    at = {word: free_listen()[0] for word in ("tls", "tls client=optional", "tls client=required")}
    with serve(tls={"client_authorities": authority(), "minimum_version": "1.2"},
               echo={"listen": [f"{address} {word}" for word, address in at.items()]}) as server:
        for version in (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2):
            for shown, allowed in ((None, {"tls", "tls client=optional"}), ("client", set(at)), ("stranger", {"tls"}),
                                   ("outdated", {"tls"})):
                for word, address in at.items():
                    mine = context(version=version, certificate=shown)
                    found = gets_in(int(address.rsplit(":", 1)[1]), mine)
                    expect(found, word in allowed, f"{word}, shown {shown}, {version.name}")
        until(lambda: NAMED.search(server.log()), what="a subject in the log")
        expect(set(NAMED.findall(server.log())), {"/O=ringcast tests/CN=feed-7"}, "subjects in the log")
        for why in ("unknown authority", "has expired", "one is required"):
            until(lambda why=why: why in server.log(), what=f"the log line {why!r}")


def gets_in(port, mine):
    try:
        with Wire(port, tls=mine) as wire:
            echoes(wire.upgrade("/echo"))
            return True
    except (OSError, AssertionError):  # in 1.3 the client hears of it when it reads
        return False


def test_publishing_by_certificate():
    """The common name of a verified certificate is the ingest key `certificate:NAME`, with its patterns; nobody can send it as
    a key."""
    with serve(plain={}, ingest={"listen": [f"{free_listen()[0]} tls client=optional"],
                                 "keys": ["certificate:feed-7 plain/a", "key-1 *"]},
               tls={"client_authorities": authority()}) as server:
        def post(certificate, topic, *headers):
            with Wire(server.port("ingest"), tls=context(certificate=certificate)) as wire:
                lines = [f"POST /ingest/v1/plain/{topic} HTTP/1.1", "Host: localhost", "Content-Type: text/plain",
                         "Content-Length: 1", *headers]
                wire.send(("\r\n".join(lines) + "\r\n\r\nx").encode())
                return wire.response()[0]

        expect(post("client", "a"), 202)
        expect(post("client", "b"), 403)
        expect(post(None, "a"), 401)
        expect(post("client", "b", "Authorization: Bearer key-1"), 202)
        for certificate in (None, "client"):
            expect(post(certificate, "a", "Authorization: Bearer certificate:feed-7"), 401, "sent as a key")
            expect(post(certificate, "a", "X-Ingest-Key: certificate:feed-7"), 401, "sent as a key")


# --- the wrong port, the wrong configuration ---

def test_the_other_language():
    """Plain HTTP on a port for TLS gets 400 with what to do; a hello on a plain port is refused; both are the peer's fault."""
    with serve(plain={"listen": free_listen()}, tls={}) as server:
        with Wire(server.port("echo"), tls=False) as wire:
            wire.send(upgrade_request("/echo"))
            status, _, content = wire.response()
            expect((status, b"https:// or wss://" in content), (400, True), content)
            expect(wire.ended(), True)
    with Server(plain={}, secure=False) as server:
        with tls_peer.connect(server.port("plain")) as plain:
            plain.sendall(tls_peer.hello(SUITES_13))
            found = tls_peer.read_to_end(plain)
            expect(found[:12], b"HTTP/1.1 400", found)


def test_wrong_configurations():
    """K-33: exit code 78, and FILE:LINE: KEY of what is wrong."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "wrong.yaml")
        first, second = free_listen()[0], free_listen()[0]
        certificates = str(transport.certificates())
        good = transport.pair("server")
        for sections, line, key, why in (
                ({"plain": {"listen": [f"{first} tls"]}}, 2, "plain.listen", "asks for TLS"),
                ({"tls": {"certificates": [f"{certificates}/server.pem {certificates}/other.key"]}}, 2, "tls.certificates",
                 "the key does not belong to the certificate"),
                ({"tls": {"certificates": [f"{certificates}/none.pem {certificates}/other.key"]}}, 2, "tls.certificates",
                 "cannot be read"),
                ({"tls": {"certificates": [f"{certificates}/server.pem"]}}, 2, "tls.certificates", "CHAIN.pem KEY.pem"),
                ({"tls": {"certificates": [f"{certificates}/server.key {certificates}/server.key"]}}, 2, "tls.certificates",
                 "no certificate in PEM form"),
                ({"tls": {"certificates": [good], "client_authorities": f"{certificates}/server.key"}}, 2,
                 "tls.certificates", "client authority"),
                ({"tls": {"certificates": [good], "minimum_version": "1.1"}}, 3, "tls.minimum_version", "1.3"),
                ({"tls": {"certificates": [good]}, "plain": {"listen": [f"{first} tls client=required"]}}, 4, "plain.listen",
                 "client_authorities"),
                ({"tls": {"certificates": [good]}, "plain": {"listen": [f"{first} tls tls"]}}, 4, "plain.listen", "tls"),
                ({"tls": {"certificates": [good]}, "plain": {"listen": [f"{first} tls"]}, "echo": {"listen": [first]}}, 6,
                 "echo.listen", "plain.listen"),
                ({"tls": {"certificates": [good]}, "plain": {"listen": [first, f"{first} tls"]}}, 4, "plain.listen",
                 "listen")):
            with open(path, "w", encoding="utf-8") as file:
                file.write(to_yaml(sections))
            for command in ("check", "serve"):
                code, _, err = run(command, "-c", path, "--set", f"ingest.listen={second}", "--set", "admin.listen=")
                expect((code, f"{path}:{line}: {key}" in err, why in err), (78, True, True), f"{command} {sections}: {err}")
            expect("PRIVATE" in err, False, "a key in what is printed")
