# SPDX-License-Identifier: MIT
"""The publisher's WebSocket (I-5)."""
import asyncio
import base64
import json

import websockets

import client
from case import BRAKE_SECONDS, expect
from server import INGEST_KEY, Server, until

HEADERS = {"Authorization": f"Bearer {INGEST_KEY}"}


async def open_publisher(server, key=INGEST_KEY):
    return await client.connect(server.url("ingest", "/ingest/v1/ws"), extra_headers={"X-Ingest-Key": key})


def publish(seq, data, topic="a", dialect="plain"):
    return json.dumps({"op": "publish", "dialect": dialect, "topic": topic, "seq": seq, "data": data})


async def answers_until(ws, seq):
    """All answers up to the acknowledgement of that seq."""
    answers = []
    while not answers or answers[-1] != {"op": "ack", "seq": seq}:
        answers.append(await client.receive_json(ws))
    return answers


async def test_authentication():
    """I-2, I-5: the same as for HTTP: 401 without the key, whatever the query says; permissions by topic."""
    with Server(plain={}, ingest={"keys": [f"{INGEST_KEY} plain/a*"]}) as server:
        url = server.url("ingest", "/ingest/v1/ws")
        for bad in (url, f"{url}?key={INGEST_KEY}", f"{url}?token={INGEST_KEY}"):
            expect(await client.refused(bad), 401, bad)
        expect(server.request("ingest", "GET", "/ingest/v1/ws", headers=HEADERS)[0], 426, "without an upgrade")
        ws = await open_publisher(server)
        await ws.send(publish(1, "x", "b"))
        answer = await client.receive_json(ws)
        expect((answer["op"], answer["seq"]), ("nack", 1))
        await ws.send(publish(2, "x", "ab"))
        expect(await client.receive_json(ws), {"op": "ack", "seq": 2})
        await ws.close()


async def test_data_forms():
    """O-3, Q-18: `data` is delivered as the JSON text that it is, `data_base64` as a binary message."""
    with Server(plain={}) as server:
        ws = await open_publisher(server)
        reader = await client.connect(server.url("plain", "/plain/a"))
        texts = ['{"b" : [1, 2.50e1], "a":null}', '"text \\u00e9"', "17", "null", "[]"]
        for seq, text in enumerate(texts):
            await ws.send(f'{{"op":"publish","dialect":"plain","topic":"a","seq":{seq},"data":{text}}}')
            expect(await client.receive(reader), text)
        for seq, data in enumerate((b"", b"plain text", bytes(range(256)) * 300)):
            await ws.send(json.dumps({"op": "publish", "dialect": "plain", "topic": "a", "seq": 10 + seq,
                                      "data_base64": base64.b64encode(data).decode()}))
            expect(await client.receive(reader), data)
        await answers_until(ws, 12)
        await client.close_all([ws, reader])


async def test_refused_objects_are_named():
    """I-5, Q-17: a nack with the seq, or null when there is none to read; the connection goes on."""
    with Server(plain={}, rustorium={"keys": ["rk-1"]}) as server:
        ws = await open_publisher(server)
        good = {"op": "publish", "dialect": "plain", "topic": "a", "seq": 7, "data": 1}
        for changed, seq in (({"op": "punish"}, 7), ({"op": None}, 7), ({"dialect": "none"}, 7), ({"dialect": 1}, 7),
                             ({"topic": "a b"}, 7), ({"topic": None}, 7), ({"seq": "7"}, None), ({"seq": -7}, None),
                             ({"seq": 7.5}, None), ({"data_base64": "AA=="}, 7)):
            await ws.send(json.dumps(good | changed))
            answer = await client.receive_json(ws)
            expect((answer["op"], answer["seq"]), ("nack", seq), f"answer to {changed}")
            expect(bool(answer["error"]), True, "an error text")
        for text, seq in (("nonsense", None), ("[]", None), ("{}", None), ('{"op":"publish","seq":8}', 8)):
            await ws.send(text)
            answer = await client.receive_json(ws)
            expect((answer["op"], answer["seq"]), ("nack", seq), f"answer to {text}")
        await ws.send(publish(10, {"number": 1}, "blocks", "rustorium"))
        answer = await client.receive_json(ws)
        expect((answer["op"], answer["seq"]), ("nack", 10), "answer to a wrong shape")
        await ws.send(publish(11, "good"))
        expect(await client.receive_json(ws), {"op": "ack", "seq": 11})
        await ws.close()


async def test_what_is_not_base64_is_refused():
    """O-3, I-5: a text that is not base64 (RFC 4648 section 4) to its last character gets a nack; nothing of it is
    delivered, above all not its beginning."""
    with Server(plain={}) as server:
        ws = await open_publisher(server)
        accepted = []
        for seq, data in enumerate((5, "%%%%", "%%%", "Q", "QU", "QUJ", "QUJDR", "QUJDRA", "QUJDREU", "QQ==QQ==",
                                    "Q===", "=",
                                    "====", "QU=J", "QUJD RA==", "QUJDRA==x")):
            await ws.send(json.dumps({"op": "publish", "dialect": "plain", "topic": "a", "seq": seq,
                                      "data_base64": data}))
            if (await client.receive_json(ws))["op"] != "nack":
                accepted.append(data)
        expect(accepted, [], "acknowledged")
        await ws.close()


async def test_binary_messages_end_the_connection():
    """I-5: the envelope is text; a binary message is closed with 1003."""
    with Server(plain={}) as server:
        ws = await open_publisher(server)
        await ws.send(b"{}")
        expect((await client.closed(ws))[0], 1003)


async def test_thousands_without_waiting():
    """I-5, I-6: far more than the window at once, over 20 channels on both shards: acknowledgements rise, the last
    one covers all, and each reader has its channel complete and in order by then."""
    count = 10000
    with Server(plain={"outbox_bytes_max": "16MiB"}) as server:
        readers = [await client.connect(server.url("plain", f"/plain/c{i}")) for i in range(20)]
        ws = await open_publisher(server)
        for seq in range(count):
            await ws.send(publish(seq, seq, f"c{seq % 20}"))
        answers = await asyncio.wait_for(answers_until(ws, count - 1), BRAKE_SECONDS)
        seqs = [answer["seq"] for answer in answers]
        expect({answer["op"] for answer in answers}, {"ack"})
        expect(seqs, sorted(set(seqs)), "rising acknowledgements")
        for i, reader in enumerate(readers):
            expect(await client.receive_many(reader, count // 20), [str(n) for n in range(i, count, 20)])
        await client.close_all([ws, *readers])


async def test_an_acknowledgement_passes_over_no_refusal():
    """I-5: good and bad ones mixed: each bad one has its nack, each good one is covered by an acknowledgement."""
    with Server(plain={}) as server:
        ws = await open_publisher(server)
        for seq in range(1000):
            await ws.send(publish(seq, seq, "bad topic" if seq % 10 == 5 else "a"))
        await ws.send(publish(1000, "end"))
        answers = await answers_until(ws, 1000)
        expect(sorted(a["seq"] for a in answers if a["op"] == "nack"), list(range(5, 1000, 10)))
        acks = [a["seq"] for a in answers if a["op"] == "ack"]
        expect((acks, acks[-1]), (sorted(acks), 1000))
        expect(server.metric("ringcast_messages_published_total"), 901, "published")
        await ws.close()


async def test_a_publisher_that_never_reads():
    """K-25: its acknowledgements do not grow without bound, and others are served meanwhile."""
    with Server(plain={}) as server:
        ws = await open_publisher(server)
        ws.transport.pause_reading()

        async def flood():
            for seq in range(200000):
                await ws.send(publish(seq, "x" * 100))
                await asyncio.sleep(0)  # what it does not fill it would keep from the others here, not at the server
        task = asyncio.create_task(flood())
        other = await open_publisher(server)
        reader = await client.connect(server.url("plain", "/plain/b"))
        for seq in range(50):
            await other.send(publish(seq, seq, "b"))
            expect(await client.receive(reader), str(seq))
            await asyncio.sleep(0.01)
        expect(server.metrics()['ringcast_memory_bytes{kind="frames"}'] < 32 << 20, True, "bounded memory")
        task.cancel()
        try:
            await task
        except (asyncio.CancelledError, websockets.ConnectionClosed):
            pass
        ws.transport.abort()
        await client.close_all([other, reader])


async def test_strings_of_the_envelope_may_be_escaped():
    """I-5, RFC 8259 section 7: any character may be escaped: PHP writes each slash so, .NET each plus."""
    with Server(plain={}) as server:
        ws = await open_publisher(server)
        reader = await client.connect(server.url("plain", "/plain/a-b"))
        for seq, (text, wanted) in enumerate((
                (r"\/\/\/\/", b"\xff\xff\xff"), (r"\u002B\u002B\u002b+", b"\xfb\xef\xbe"), (r"aGk\u003d", b"hi"),
                (r"\/" * 40000, b"\xff\xff\xff" * 10000))):
            await ws.send(r'{"\u006fp":"\u0070ublish","dialect":"pl\u0061in","topic":"a\u002db","seq":%d,"data_base64":"%s"}'
                          % (seq, text))
            expect(await client.receive_json(ws), {"op": "ack", "seq": seq}, text[:40])
            expect(await reader.recv(), wanted, text[:40])
        await ws.send(r'{"op":"publish","dialect":"plain","topic":"%s","seq":9,"data":1}' % (r"\u0061" * 1000))
        expect((await client.receive_json(ws))["op"], "nack", "a topic that is too long")
        await ws.send(r'{"op":"publish","dialect":"plain","topic":"a-b","seq":10,"data_base64":"\u00e4AAA"}')
        expect((await client.receive_json(ws))["op"], "nack", "no base64")
        await client.close_all([ws, reader])


async def test_a_key_that_is_taken_away():
    """K-31, I-2: after a reload without the key its publisher publishes nothing more."""
    with Server(plain={}, ingest={"keys": ["old-ingest-key *", f"{INGEST_KEY} *"]}) as server:
        ws = await open_publisher(server, "old-ingest-key")
        await ws.send(publish(1, "x"))
        expect(await client.receive_json(ws), {"op": "ack", "seq": 1})
        server.reload(ingest={"keys": [f"{INGEST_KEY} *"]})
        try:
            await ws.send(publish(2, "x"))
            expect((await client.receive_json(ws))["op"], "nack")
        except websockets.ConnectionClosed:
            expect(ws.close_code, 1008)
        expect(server.metric("ringcast_messages_published_total"), 1, "published")
        expect(await client.refused(server.url("ingest", "/ingest/v1/ws"),
                                    extra_headers={"X-Ingest-Key": "old-ingest-key"}), 401)
        until(lambda: server.ingest("plain/a", "x")[0] == 202, what="the other key")
        ws.transport.abort()
