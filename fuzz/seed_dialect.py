# SPDX-License-Identifier: MIT
"""First inputs of the harness of the dialects: conversations of the transcripts, and objects that are nearly good."""

import json
import re
import struct

from seed_transcripts import ROOT, transcripts


def piece(text):
    return bytes([len(text)]) + text


METHODS = ["GET", "POST", "DELETE", "PUT", "HEAD", "OPTIONS"]  # as dialect.c has them


def opening(target, key=b"\1", method="GET", bad_origin=False, mode=2, path=0, origin=b"", upgrade=False):
    """Step 0 of dialect.c: method and origin, the target (mode 0: behind one of the dialect's paths, 1: in the place of its last
    part, 2: alone), the credential, an origin, and that no place is refused."""
    shape = METHODS.index(method) | (128 if bad_origin else 0) | (64 if upgrade else 0)
    where = bytes([mode]) + (b"" if mode == 2 else bytes([path]))
    return b"\0" + bytes([shape]) + where + piece(target) + key + (b"\3" + piece(origin) if origin else b"\0") + b"\0"


def settings(*values):
    return bytes([len(values)]) + b"".join(piece(value.encode()) for value in values)


def pause(ms):
    """Step 4: the clock moves by 100 ms times a power of two; with what is left over as further steps."""
    steps = b""
    while ms >= 100:
        power = min((ms // 100).bit_length() - 1, 11)
        steps += bytes([4, power])
        ms -= 100 << power
    return steps[:40]


def message(text, step=1):
    """Steps 1 (a message) and 3 (one over the limit)."""
    data = text.encode()[:1023]
    return bytes([step]) + struct.pack(">H", len(data)) + data + b"\0" + (b"\xff" if step == 3 else b"")


def request(kind, **data):
    return '{"type":"%s","id":"1","data":{%s}}' % (kind, ",".join(f'"{name}":{value}' for name, value in data.items()))


CONVERSATIONS = [
    [request("subscribe", channel=f'"{c}"', filter=f), request("unsubscribe", subscription_id='"00000007-1"')]
    for c, f in [("blocks", "{}"), ("blocks", '{"confirmations":2}'), ("transactions", '{"tx_hash":"a\\u0062"}'),
                 ("state", '{"key":"k"}'), ("state", '{"key_prefix":"k"}'), ("state", '{"key":"k","key_prefix":"k"}'),
                 ("state", '{"key":1}'), ("blocks", "1"), ("blocks", '{"key":"k"}'), ("other", "{}")]
] + [
    [request("subscribe", channel='"blocks"')] * 102,
    [request("subscribe", channel='"blocks"'), request("unsubscribe", subscription_id='"x"'), request("unsubscribe"),
     '{"type":"unsubscribe","id":"1"}', '{"type":"subscribe","id":"1"}', '{"type":"ping","id":"1","data":{"a":1,"a":1}}'],
    ["?"] * 12,
]  # fmt: skip


def dialects():
    """Dialect, settings, then steps (dialect.c): every message of the transcripts as sent, and as ingested."""
    names = re.findall(r"^DIALECT\((\w+)\)", (ROOT / "protocol/dialects/dialects.def").read_text(), re.MULTILINE)
    for name, lines in transcripts():
        yield bytes([names.index(name)]) + played(lines)
    for index, name in enumerate(names):
        dialect = bytes([index])
        key = settings("keys key-1,key-2 jobs:a blockchain marketplace")
        for path in range(8):
            for mode in (0, 1):
                for method in METHODS:
                    yield dialect + key + opening(b"", method=method, mode=mode, path=path) + message("{}") + pause(90000)
                for credential in (b"\0", b"\2", b"\3" + piece(b"key-2"), b"\3" + piece(b"wrong"), b"\3" + piece(b"")):
                    yield dialect + key + opening(b"?token=key-1", key=credential, mode=mode, path=path) + message("{}", 3)
            yield dialect + settings() + opening(b"", bad_origin=True, mode=0, path=path) + message("hello", 3)
            yield dialect + settings("connections_per_address 2") + opening(b"", mode=0, path=path)[:-1] + b"\3\1"
        yield from ingests(dialect)
        yield from oddities(name, dialect)
    yield from crypto(bytes([names.index("crypto")]))
    yield from aitbc(bytes([names.index("aitbc")]))
    plain, rustorium = bytes([names.index("plain")]), bytes([names.index("rustorium")])
    for policy in ("latest", "a=latest,ab=lossless", "x=", "=latest", "a b=latest"):
        yield plain + settings("policy " + policy, "client_publish true", "keys key-1") + opening(b"/plain/ab") + message("hello")
    for target in (b"a,b,a?last=2", b"a?last=x", b"a!b", b"%", b",".join(b"%x" % i for i in range(66))):
        yield plain + settings() + opening(b"/plain/" + target) + b"\7" + piece(b"/plain/" + target)
    for texts in CONVERSATIONS:
        yield rustorium + settings("keys key-1") + opening(b"/ws") + b"".join(map(message, texts))
    for setting in ("auth_reject http401", "attempts_per_minute 0", "attempts_per_minute 3"):
        for key in (b"\0", b"\1"):
            yield rustorium + settings("keys key-1", setting) + opening(b"/ws", key) + message("{}", 3) + message("{}", 3)[:-1] + b"\0"


def played(lines):
    """A transcript as settings and steps. Its connections are one here, which begins again with each connect."""
    chosen, steps, credential, origin = [], [], b"\0", b""
    for line in lines:
        line = re.sub(r"^[A-Z][A-Z0-9]*(?=[@>])", "", line)
        verb, _, rest = line.partition(" ")
        words = rest.split(" ")
        if line.startswith("@ set "):
            chosen.append(rest[4:])
        elif line.startswith("@ header X-Api-Key: "):
            credential = b"\3" + piece(words[2].encode())
        elif line.startswith("@ header Origin: "):
            origin = words[2].encode()
        elif line.startswith("@ connect "):
            steps.append(opening(words[1].encode(), credential, origin=origin))
        elif line.startswith("@ request ") and words[1] in METHODS:
            steps.append(opening(words[2].encode(), credential, words[1], origin=origin))
        elif line.startswith("@ wait "):
            steps.append(pause(int(words[1])))
        elif verb == ">":
            steps.append(message(rest))
        elif line.startswith("! ingest "):
            steps.append(ingest(words[1], " ".join(words[2:]).rsplit(" -> ", 1)[0]))
        elif line.startswith("! read "):
            steps.append(read(words[1]))
    return settings(*chosen[:7]) + b"".join(steps)


def ingest(topic, text, room=0, source=b""):
    """Step 5; `room` 15: little for what the dialect builds."""
    data, (topic, _, merge) = text.encode()[:2047], topic.partition("?")
    where = b"\7" + piece(topic.encode())
    return b"\5" + bytes([room]) + where + struct.pack(">H", len(data)) + data + b"\0" + (b"\3" if merge else b"\0") + (
        b"\3" + piece(source) if source else b"\0")  # fmt: skip


def read(topic):
    """Step 6."""
    return b"\6\0\7" + piece(topic.encode()) + b"\0\0\0"


def reload(*values):
    """Step 8."""
    return b"\x08" + settings(*values)


# In the place of each member of what is ingested, and of each member of its objects.
ODD = [
    None, "1", "0", "-1", "-1e400", "0.5", "1.5", "18446744073709551615", "18446744073709551616", "1" * 40, "true", "false", "null",
    '"x"', '""', "[]", "[1]", '["a"]', '[""]', "[{}]", "{}", '{"a":1}', '{"a":"b"}', '{"a":{}}', '"%s"' % ("x" * 300),
    '"%s"' % ("\\u0061" * 1200), '"\\u0061b"', '"FAILED"', '"2024-01-23T12:34:56Z"', '"2024-01-23T12:34:56.789Z"',
    '"2024-01-23T12:34:5\\u0036Z"', '"2024-02-30T00:00:00Z"', "1706013296", "1706013296500", "99999999999999999",
]  # fmt: skip

# What no transcript has, or not with all that it may have.
WHOLE = {
    "market_data": '{"prices":{"a":1},"volumes":{},"market_caps":{},"price_changes":{},"source":"s","timestamp":1}',
    "news": '{"articles":[{"title":"t","source":"s","url":"u","published_at":1}],"sources":[],"categories":[]}',
    "sentiment": '{"overall_sentiment":"s","sentiment_score":0.5,"social_volume":1,"trending_topics":[],"sentiment_by_source":{}}',
    "scheduler": '{"running":true,"total_jobs":1,"active_jobs":1,"jobs":[{"id":"a","next_run":1,"status":"running"}]}',
    "health_checker": '{"overall_health":"h","healthy_count":1,"providers":{"a":{"status":"up","last_check":1}}}',
    "jobs": '{"job_id":"j","state":"RUNNING","assigned_miner_id":"m","timestamp":1,"progress":0.5,"error":"e","ttl_seconds":60}',
    "marketplace": '{"type":"new_offer","offer":{"id":"o","gpu_type":"g","gpu_memory":8,"price_per_hour":1,"currency":"c",'
    '"expires_at":1,"previous_price":2},"job_id":"j","expires_at":1,"timestamp":1}',
}  # fmt: skip


def odd(topic, text):
    """The object with each member in turn replaced by each odd value, or left out."""
    whole = json.loads(text)

    def put(members):
        return "{" + ",".join(f'"{name}":{value}' for name, value in members.items() if value is not None) + "}"

    plain = {name: json.dumps(value) for name, value in whole.items()}
    for name, value in whole.items():
        inner = value[0] if isinstance(value, list) and value else value
        form = "[%s]" if inner is not value else "%s"
        members = {key: json.dumps(text) for key, text in inner.items()} if isinstance(inner, dict) else {}
        for other in ODD:
            yield ingest(topic, put(plain | {name: other}))
            for member in members:
                yield ingest(topic, put(plain | {name: form % put(members | {member: other})}))


def oddities(name, dialect):
    """Each kind of object once, and the odd ones that are made of it."""
    kinds = {(topic, text): (topic, text) for topic, text in WHOLE.items()} if name in ("aitbc", "crypto") else {}
    for owner, lines in transcripts():
        for line in lines if owner == name else ():
            found = re.match(r"! ingest (\S+) (\{.*\}) -> \d+$", line)
            if found and found[2].count('"a":1,"a"') == 0:
                try:
                    whole = json.loads(found[2])
                except ValueError:
                    continue
                kinds[(found[1], str(whole.get("type")), *sorted(whole))] = found.groups()
    steps = [step for topic, text in kinds.values() for step in odd(topic, text)]
    row = b""
    for number, step in enumerate(steps):
        row += step
        if number % 100 == 99 or number + 1 == len(steps) or len(row) > 12000:
            yield dialect + settings() + row
            row = b""


def crypto(dialect):
    """Orders of sources, more sources than there is room for, merges, unchanged objects, reloads, and pages."""
    def prices(source, text="1", merge=""):
        return ingest("market_data" + merge, '{"prices":{"a":%s},"source":"%s"}' % (text, source))

    many = b"".join(prices(f"s{i}") + pause(400) for i in range(18))
    watch = opening(b"/ws/market_data", b"\0")
    merge = [prices("s0"), prices("s0", '2,"\\u0061":3', "?merge=1"), prices("s0", '4},"prices":{"b":5', "?merge=1"),
             ingest("market_data?merge=1", '{"volumes":{"b":1},"prices":{"c":{"d":1}},"source":"s0"}'),
             ingest("onchain", '{"a":{"b":{"c":1},"x":[]}}'), ingest("onchain?merge=1", '{"a":{"b":{"d":1},"x":{}},"\\u0062":{}}'),
             ingest("onchain?merge=1", "{}"), ingest("onchain?merge=1", '{"a":1}'),
             ingest("explorers", "{}"), ingest("explorers?merge=1", '{"a":1}')]  # fmt: skip
    orders = ["s3 s1", "s1 s1", "", " ", " ".join(f"s{i}" for i in range(17)), "x" * 65, "s1,market_data=s2", "s1,other=s2", "s1,news=a b"]
    for order in orders:
        yield dialect + settings("sources market_data=" + order) + watch + many + pause(30000) + many
    for order in orders:
        again = reload("sources market_data=" + order, "market_data_interval 2s")
        yield dialect + settings() + watch + many + again + many + read("market_data")
        late = prices("s17") + pause(30000) + many + prices("new")
        yield dialect + settings() + watch + late + reload("sources market_data=" + order) + pause(50000) + many
    # two that nobody has heard of for long, not in the order of their age
    late = prices("s1") + pause(400) + prices("s0") + pause(30000) + b"".join(prices(f"s{i}") for i in range(2, 18))
    yield dialect + settings() + late + pause(400) + prices("s1") + pause(400) + prices("s0")
    old = b"".join(prices(f"s{i}") for i in range(14)) + pause(400) + prices("x") + pause(400) + prices("y")
    yield dialect + settings() + old + pause(30000) + prices("s0") + prices("new") + prices("x") + prices("newer") * 2
    yield dialect + settings() + prices("x") + pause(400) + old + pause(400) + prices("s3") + pause(30000) + prices("new") + prices("newer")
    yield dialect + settings() + old + reload("sources market_data=n0 n1 n2 n3") + prices("n3") + pause(30000) + prices("s5") + prices("z")
    yield dialect + settings("sources market_data=s17 s16") + many + pause(30000) + many + prices("new") + reload() + prices("new")
    for value in ("true", "false"):
        yield dialect + settings("resend_unchanged " + value) + watch + (prices("s0") + pause(5000) * 3) * 3 + b"".join(merge) + pause(60000)
    large = ingest("onchain", '{"a":"%s"}' % ("x" * 1500))
    yield dialect + settings("memory 1KiB") + large + prices("s0") + reload("memory 2KiB") + large + prices("s0") + b"".join(merge) * 2
    for source in (b"s0", b"x" * 65, b"\xff"):
        yield dialect + settings() + ingest("market_data", "{}", source=source) + ingest("onchain", "{}", source=source)
    sessions = watch + message('{"action":"subscribe","service":"news"}')
    for chosen in ((), ("origin_check true",), ("origin_check true", "origins https://o"), ("market_data_interval 1250ms",), ("prefix /x~y",)):
        for target in (b"stats?limit=1", b"stats?limit=9999&offset=1", b"stats?limit=%zz", b"stats?offset=x", b"stats?limit=",
                       b"services", b"endpoints", b"none"):  # fmt: skip
            rest = [opening(b"/ws/" + target, b"\0", origin=o) for o in (b"", b"https://o", b"http://h", b"x" * 255)]
            rest = b"".join(rest) + opening(b"/ws/" + target, b"\0", upgrade=True)
            yield dialect + settings(*chosen) + rest + sessions + rest
            yield bytes([dialect[0] + 5]) + settings(*chosen) + rest + opening(b"/docs", b"\0")


def aitbc(dialect):
    """Forks of one height, jobs to their end and beyond their memory, offers that expire, snapshots, parts of the paths."""
    def fork(height, text):
        return ingest("blockchain", '{"type":"new_block","block":{"height":%d,"hash":"%s"}}' % (height, text))

    def job(name, state, more=""):
        return ingest("jobs", '{"job_id":"%s","state":"%s"%s}' % (name, state, more))

    def offer(name, kind="new_offer", more=""):
        return ingest("marketplace", '{"type":"%s","offer":{"id":"%s","gpu_type":"g","gpu_memory":1,"price_per_hour":1,"currency":"c"%s}}'
                      % (kind, name, more))  # fmt: skip

    watch, wait = opening(b"/v1/events", b"\0"), opening(b"/v1/jobs/a/ws", b"\0")
    sync = ingest("blockchain", '{"type":"sync_status","syncing":true}')
    yield dialect + settings() + watch + b"".join(fork(5, f"h{i}") for i in range(20)) + read("blockchain")
    yield dialect + settings("detect_forks false") + watch + fork(5, "a") + fork(5, "b") + read("blockchain")
    for snapshot in ("true", "false"):
        chosen = settings("sync_snapshot " + snapshot)
        yield dialect + chosen + watch + sync + watch + read("blockchain") + message('{"type":"ping"}')
        yield dialect + chosen + opening(b"/v1/events?types=new_block", b"\0") + sync + watch
    for mounts in range(16):
        mounted = bytes([dialect[0] + 10 * mounts]) + settings("sync_snapshot true")
        yield mounted + sync + watch + sync + wait + job("a", "RUNNING") + opening(b"/v1/events?source=marketplace", b"\0")
    for unknown in ("wait", "reject"):
        chosen = settings("unknown_job " + unknown, "unknown_job_wait 1s", "close_after_end 1s", "job_retention 1s")
        yield dialect + chosen + wait + pause(2000) + wait + job("a", "QUEUED") + job("a", "RUNNING", ',"ttl_seconds":1') + pause(90000)
        for end in ("COMPLETED", "FAILED", "CANCELLED", "EXPIRED"):
            yield dialect + chosen + job("a", "RUNNING") + wait + job("a", end, ',"error":"e"') + wait + read("jobs") + pause(3000) + wait
    errors = [job("a", "RUNNING", f',"{name}":{value}') for name in ("error", "progress", "assigned_miner_id")
              for value in ('"e"', '"f"', "0.5", "0.25", "null")]  # fmt: skip
    yield dialect + settings() + wait + b"".join(errors) + read("jobs") + job("a", "FAILED")
    full = ',"error":"%s"' % ("x" * 1000)
    for state in ("RUNNING", "FAILED"):
        row = b"".join(job(f"j{i}", state, full) for i in range(15))
        yield dialect + settings("jobs_memory 64KiB", "close_after_end 1s") + row + pause(5000) + row
    for state in ("RUNNING", "COMPLETED"):
        row = b"".join(job(("%03d" % i) + "j" * 120, state, ',"progress":0') for i in range(75))
        yield dialect + settings("jobs_memory 64KiB", "close_after_end 1s") + row + pause(5000) + row
    row = b"".join(offer(f"o{i}" + "o" * 100) for i in range(70))
    yield dialect + settings("offers_memory 64KiB") + row + offer("o1", "price_update", ',"previous_price":3') + read("marketplace")
    yield dialect + settings("offers_memory 64KiB") + row + reload("offers_memory 1MiB") + row + read("marketplace")
    expiry = [offer(f"o{i}", kind, ',"expires_at":%d' % (1767225600000 + 1500 * i)) for i in range(3) for kind in ("new_offer", "price_update")]
    yield dialect + settings() + watch + b"".join(expiry) + offer("o1") + pause(20000) + offer("o2", "offer_expired") + read("marketplace")
    keys = settings("keys key-1 jobs:a*,key-2 jobs:a blockchain,key-3", "jobs_public false", "events_public false")
    for target in (b"/v1/jobs/a/ws", b"/v1/jobs/b/ws", b"/v1/events?source=marketplace", b"/v1/events"):
        for key in (b"key-1", b"key-2", b"key-3"):
            yield dialect + keys + job("a", "RUNNING") + job("b", "RUNNING") + opening(target, key=b"\3" + piece(key))
    yield dialect + settings("keys_file k", "events_public false") + watch


def ingests(dialect):
    """Each object of the transcripts alone, whole and with a member missing, and some that are none."""
    objects = {("blocks", "1"), ("blocks", "x"), ("news", "hello"), ("a!b", "x"), ("blocks", "[]"), ("blocks", "{}"),
               ("blocks", '{"number":1,"hash":"h","parent_hash":"p","timestamp":1,"transactions":[1]}')}  # fmt: skip
    for _, lines in transcripts():
        objects |= {found.groups() for found in map(re.compile(r"! ingest (\S+) (.*) -> \d+$").match, lines) if found}
    for topic, text in sorted(objects):
        steps = [ingest(topic, text), ingest(topic, text, 15), ingest(topic, re.sub(r",[^,]*}$", "}", text)),
                 ingest(topic, re.sub(r":[^,]*", ":[0]", text, count=1)), read(topic)]  # fmt: skip
        for setting in ("tx_source derive", "tx_source ingest"):
            yield dialect + settings(setting) + b"".join(steps)
