# SPDX-License-Identifier: MIT
"""What every answer owes (RFC 9110, the table in protocol/http.md), on every listener: the statuses that it can give are provoked
and each answer is held against the same list, whoever made it."""
import email.utils
import gzip
import json
import re
import time

from case import expect
from server import INGEST_KEY, ROOT, Server
from wire import Wire, upgrade_request

KEY = f"X-Ingest-Key: {INGEST_KEY}"


def request(line, *fields, body="", host="localhost", http="1.1"):
    lines = [f"{line} HTTP/{http}", *([f"Host: {host}"] if host else []), *fields]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + (body.encode() if isinstance(body, str) else body)


def expect_date(value):
    """RFC 9110 section 5.6.7: IMF-fixdate, and it is now."""
    then = email.utils.parsedate_to_datetime(value)
    expect(email.utils.format_datetime(then, usegmt=True), value, "form of Date")
    expect(abs(then.timestamp() - time.time()) < 60, True, f"Date {value} is now")


def expect_duties(status, headers, content, *, method="GET", http="1.1"):
    """Which fields a final answer has, and which not."""
    expect_date(headers["date"])
    for name, statuses in (("www-authenticate", (401,)), ("upgrade", (426,)), ("sec-websocket-version", (426,)),
                           ("accept-encoding", (415,)), ("retry-after", (429, 503))):
        expect(name in headers, status in statuses, f"{name} in a {status}: {headers}")
    expect("allow" in headers, status == 405 or method == "OPTIONS", f"Allow in a {status}: {headers}")
    if status == 401:
        expect(headers["www-authenticate"], "Bearer")
    if status == 415:
        expect(headers["accept-encoding"], "identity")
    if status == 426:
        expect((headers["upgrade"], headers["sec-websocket-version"]), ("websocket", "13"))
    options = [word.strip().lower() for word in headers.get("connection", "").split(",") if word.strip()]
    expect("upgrade" in options, status == 426, f"Connection of a {status}")
    if http == "1.0":
        expect("close" in options or "keep-alive" in options, True, "a peer of HTTP/1.0 is told")
    if status in (204, 304):
        expect((content, "content-length" in headers), (b"", False), f"a {status} has no content")
    else:
        expect(int(headers["content-length"]) > 0, True, "every answer says something")
    if status >= 400 and method != "HEAD":
        expect((headers["content-type"], type(json.loads(content))), ("application/json", dict), f"a {status}")


def ask(server, section, text, *, method="GET", http="1.1"):
    """One request on a connection of its own, its answer held against the list: (status, headers, content)."""
    with Wire(server.port(section)) as wire:
        wire.send(text)
        status, headers = wire.head()
        length = 0 if method == "HEAD" or status == 204 else int(headers.get("content-length", 0))
        content = wire.take(length)
        expect_duties(status, headers, content, method=method, http=http)
        if "close" in headers.get("connection", ""):
            expect(wire.ended(), True, f"the connection ends behind a {status} that says so, and nothing comes with it")
        else:
            wire.send(request("HEAD /nowhere"))
            expect(wire.head()[0] >= 400, True, "the connection goes on")
        return status, headers, content


def every_dialect():
    return {"plain": {"keys": ["plain-key"], "connections_per_key": 1, "retain": 1}, "crypto": {"keys": ["crypto-key"]},
            "echo": {}, "rustorium": {"keys": ["rust-key"], "auth_reject": "http401"},
            "aitbc": {"keys": ["aitbc-key blockchain"]}}


PATHS = {"plain": "/plain/a", "crypto": "/ws/news", "echo": "/echo", "rustorium": "/ws", "aitbc": "/v1/jobs/j/ws"}


def test_every_status_of_every_dialect_owes_the_same():
    """Head errors, routing, methods, upgrades and keys (W1, W2): 400, 401, 404, 405, 414, 417, 426, 431, 501, 505."""
    with Server(**every_dialect()) as server:
        for section, path in PATHS.items():
            for text, status in (
                    (request("GET /nowhere"), 404), (request(f"GET {path}"), 426), (request(f"POST {path}"), 405),
                    (request(f"DELETE {path}"), 405), (upgrade_request(path, version="12"), 426),
                    (upgrade_request(path, key="short"), 400), (b"nonsense\r\n\r\n", 400),
                    (request(f"GET {path}", host=None), 400), (request(f"GET {path}", "Expect: more"), 417),
                    (request("GET /" + "x" * 9000), 414), (request("GET /", *["a: b"] * 200), 431),
                    (request(f"POST {path}", "Transfer-Encoding: gzip"), 501), (request(f"GET {path}", http="2.0"), 505)):
                expect(ask(server, section, text)[0], status, f"{section}: {text[:60]!r}")
            if section != "echo":
                expect(ask(server, section, upgrade_request(path))[0], 401, section)
            for text, status in ((request("HEAD /nowhere"), 404), (request(f"HEAD {path}"), 405),
                                 (request(f"HEAD {path}", host=None), 400)):
                expect(ask(server, section, text, method="HEAD")[0], status, f"{section}: {text[:60]!r}")


def test_a_401_names_its_scheme_and_a_429_its_time():
    """RFC 9110 sections 15.5.2 and 10.2.3, RFC 6585 section 4."""
    with Server(**every_dialect()) as server:
        for path in ("/ws/stats", "/ws/services", "/ws/endpoints"):
            expect(ask(server, "crypto", request(f"GET {path}"))[0], 401)
        with Wire(server.port("plain")) as wire:
            wire.upgrade("/plain/a", headers=["X-Api-Key: plain-key"])
            status, headers, _ = ask(server, "plain", upgrade_request("/plain/a", headers=["X-Api-Key: plain-key"]))
            expect((status, headers["retry-after"]), (429, "5"))
        refused = upgrade_request("/v1/events", headers=["Authorization: Bearer aitbc-key", "Origin: https://evil.example"])
        status, headers, _ = ask(server, "aitbc", refused)
        expect((status, headers["vary"]), (403, "Origin"))


def test_every_status_of_ingest_owes_the_same():
    """I-3, I-4, W1, W2, W8: 202, 400, 401, 403, 404, 405, 413, 415, 422, 426."""
    some = f"{INGEST_KEY}-of-news"
    with Server(plain={"retain": 1}, rustorium={"keys": ["rust-key"]}, ingest={"keys": [f"{INGEST_KEY} *", f"{some} plain/news"],
                                                       "body_bytes_max": "4KiB"}) as server:
        def post(path, *fields, body="hello", key=KEY):
            return request(f"POST /ingest/v1/{path}", *([key] if key else []), *fields, f"Content-Length: {len(body)}", body=body)

        for text, status in (
                (post("plain/a"), 202), (post("plain/a", key=None), 401), (post("plain/a", key="X-Ingest-Key: other"), 401),
                (post("plain/a", key=f"X-Ingest-Key: {some}"), 403), (post("nothing/a"), 404),
                (request("GET /elsewhere"), 404), (request("PUT /ingest/v1/plain/a", KEY), 405),
                (request("OPTIONS /ingest/v1/plain/a", KEY), 405), (request("POST /ingest/v1/ws", KEY), 405),
                (request("GET /ingest/v1/ws", KEY), 426), (post("plain/a", body="x" * 5000), 413),
                (post("plain/a", "Transfer-Encoding: chunked"), 400), (post("rustorium/blocks", body="{}"), 422),
                (request("POST /ingest/v1/plain/a", KEY, "Transfer-Encoding: chunked", body="zz\r\n"), 400),
                (request("GET /ingest/v1/plain/a", KEY), 200), (request("GET /ingest/v1/plain/unheard", KEY), 404)):
            method = "OPTIONS" if text.startswith(b"OPTIONS") else "GET"
            expect(ask(server, "ingest", text, method=method)[0], status, f"{text[:80]!r}")
        for coding in ("gzip", "deflate", "br", "identity, gzip"):
            body = gzip.compress(b"hello")
            status, _, content = ask(server, "ingest", post("plain/a", f"Content-Encoding: {coding}", body=body))
            expect((status, b"Content-Encoding" in content), (415, True), coding)
        expect(ask(server, "ingest", post("plain/a", "Content-Encoding: identity"))[0], 202)
        expect(server.metric("ringcast_messages_published_total"), 2)


def test_head_says_what_get_says():
    """RFC 9110 sections 9.1 and 9.3.2: the same fields, no content: state, REST, health, metrics."""
    with Server(plain={"retain": 1}, crypto={}) as server:
        server.publish("plain/a", "hello", "text/plain")
        for section, target, fields in (
                ("ingest", "/ingest/v1/plain/a", (KEY,)), ("ingest", "/ingest/v1/plain/unheard", (KEY,)),
                ("ingest", "/ingest/v1/plain/a", ()), ("admin", "/health/live", ()), ("admin", "/health/ready", ()),
                ("admin", "/health", ()), ("admin", "/healthz", ()), ("admin", "/metrics", ()), ("admin", "/nowhere", ()),
                ("crypto", "/ws/stats", ()), ("crypto", "/ws/services", ()), ("crypto", "/ws/endpoints", ()),
                ("crypto", "/docs", ()), ("crypto", "/ws/nothing", ())):
            get = ask(server, section, request(f"GET {target}", *fields))
            head = ask(server, section, request(f"HEAD {target}", *fields), method="HEAD")
            expect((head[0], sorted(head[1]), head[2]), (get[0], sorted(get[1]), b""), f"HEAD {target}")
            if target not in ("/metrics", "/ws/stats"):
                expect(head[1]["content-length"], get[1]["content-length"], f"HEAD {target}")


def test_operators_pages_owe_the_same():
    """200, 404, 405, and 503 while the server stops; HTTP/1.0 is told what becomes of the connection."""
    with Server(plain={}) as server:
        for target in ("/health/live", "/health/ready", "/health", "/healthz", "/metrics"):
            expect(ask(server, "admin", request(f"GET {target}"))[0], 200)
            expect(ask(server, "admin", request(f"POST {target}"))[0], 405)
            status, headers, _ = ask(server, "admin", request(f"GET {target}", host=None, http="1.0"), http="1.0")
            expect((status, headers["connection"]), (200, "close"))
            text = request(f"GET {target}", "Connection: keep-alive", host=None, http="1.0")
            status, headers, _ = ask(server, "admin", text, http="1.0")
            expect((status, headers["connection"]), (200, "keep-alive"))
        expect(ask(server, "admin", request("GET /nowhere"))[0], 404)


def test_preflights_where_other_origins_may_read():
    """The preflight of the Fetch standard comes without the key that it asks for; the answer depends on Origin (C-54)."""
    fields = ("Origin: https://page.example", "Access-Control-Request-Method: GET", "Access-Control-Request-Headers: authorization")
    with Server(crypto={"keys": ["crypto-key"]}) as server:
        for path in ("/ws/stats", "/ws/services", "/ws/endpoints", "/docs"):
            status, headers, _ = ask(server, "crypto", request(f"OPTIONS {path}", *fields), method="OPTIONS")
            expect((status, headers["access-control-allow-origin"], headers["access-control-allow-headers"]),
                   (204, "*", "Authorization, X-Api-Key"))
    with Server(crypto={"origin_check": True, "origins": ["https://page.example"]}) as server:
        for origin, found in (("https://page.example", "https://page.example"), ("https://evil.example", None)):
            text = request("OPTIONS /ws/stats", f"Origin: {origin}", "Access-Control-Request-Method: GET")
            status, headers, _ = ask(server, "crypto", text, method="OPTIONS")
            expect((status, headers.get("access-control-allow-origin"), headers["vary"]), (204, found, "Origin"))


def test_foreign_hosts_are_refused_at_loopback_addresses():
    """RFC 9110 section 7.4 (L8): 421 for operators' pages and ingest; `hosts` adds names, at a reload too."""
    with Server(plain={}, server={"hosts": ["own.example"]}) as server:
        for host, statuses in (("evil.example", (421, 421)), ("own.example", (200, 401)), ("127.0.0.1:1", (200, 401)),
                               ("localhost:1", (200, 401))):
            found = (ask(server, "admin", request("GET /metrics", host=host))[0],
                     ask(server, "ingest", request("GET /ingest/v1/plain/a", host=host))[0])
            expect(found, statuses, host)
        expect(ask(server, "plain", request("GET /plain/a", host="evil.example"))[0], 426, "a dialect is asked by any name")
        server.reload(server={"hosts": ["evil.example"]})
        expect(ask(server, "admin", request("GET /metrics", host="evil.example"))[0], 200)


def test_a_101_has_its_date_too():
    with Server(plain={}) as server:
        for section, path, fields in (("plain", "/plain/a", []), ("ingest", "/ingest/v1/ws", [KEY])):
            with Wire(server.port(section)) as wire:
                wire.send(upgrade_request(path, headers=fields))
                status, headers = wire.head()
                expect((status, headers["connection"]), (101, "Upgrade"))
                expect_date(headers["date"])


def test_each_row_of_the_table_names_tests_that_exist():
    """protocol/http.md: section, what, where, tests."""
    files = {"h1": "unit/protocol/test_http1*.c", "hs": "unit/protocol/test_handshake*.c", "e2e": "e2e/test_http.py",
             "cw": "unit/shards/conn/test_conn_write.c", "conn": "unit/shards/conn/test_conn*.c"}
    texts = {word: "".join(file.read_text(encoding="utf-8") for file in (ROOT / "tests").glob(path))
             for word, path in files.items()}
    table = [line.strip("| \n").split(" | ") for line in (ROOT / "protocol/http.md").read_text(encoding="utf-8").splitlines()
             if line.startswith("| 9")]
    expect(len(table) > 25, True, "rows of the table")
    for row in table:
        expect(len(row), 4, f"columns of {row}")
        named = 0
        for part in row[3].split("; "):
            word, rest = part.split(" ", 1)
            for name in re.findall(r"`([a-z0-9_]+)`", rest):
                named += 1
                pattern = rf"def test_{name}\(" if word == "e2e" else rf"Test\(\w+, {name}[,)]"
                expect(bool(re.search(pattern, texts[word])), True, f"{word} {name} of the row {row[:2]}")
        expect(named > 0, True, f"a test of the row {row[:2]}")
