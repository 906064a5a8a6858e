# SPDX-License-Identifier: MIT
"""How paths are read: the same on every listener, whatever stands behind it."""
from case import expect
from server import INGEST_KEY, Server
from wire import Wire, upgrade_request


def test_percent_encoded_letters_are_letters_on_every_listener():
    """RFC 3986 section 6.2.2.2: in the prefix of a dialect, its paths, those of ingest and those of operators. Of what is
    reserved nothing is decoded for routing, a bad escape is no path, and nothing is decoded twice."""
    every = {"plain": {"prefix": "/live"}, "crypto": {"prefix": "/crypto"}, "echo": {}, "rustorium": {"keys": []},
             "aitbc": {"jobs_public": True, "unknown_job": "wait"}}
    key = {"Authorization": f"Bearer {INGEST_KEY}"}
    with Server(**every) as server:
        for section, path, status in (
                ("plain", "/l%69ve/pl%61in/%6eews", 101), ("plain", "/live%2Fplain/news", 404),
                ("plain", "/live/plain/%2577", 404), ("plain", "/live/plain/%%377", 404),
                ("crypto", "/%63rypto/%77s/news", 101), ("crypto", "/crypto/ws%2Fnews", 404),
                ("echo", "/%65cho", 101), ("echo", "/%65cho%", 404), ("echo", "/%2565cho", 404),
                ("rustorium", "/%77s", 101), ("rustorium", "/%77s%2F", 404),
                ("aitbc", "/v1/%6aobs/j/w%73", 101), ("aitbc", "/v1/jobs/j%2Fws", 404)):
            with Wire(server.port(section)) as wire:
                wire.send(upgrade_request(path))
                expect(wire.head()[0], status, f"status of {path}")
        expect(server.request("crypto", "GET", "/crypt%6f/ws/ser%76ices")[0], 200)
        for path, status in (("/%68ealth/read%79", 200), ("/%6detrics", 200), ("/health%2Fready", 404), ("/metrics%", 404)):
            expect(server.get(path)[0], status, f"status of {path}")
        expect(server.request("ingest", "POST", "/%69ngest/v%31/pl%61in/%6eews", "x", key)[0], 202)
        expect(server.request("ingest", "POST", "/ingest%2Fv1/plain/news", "x", key)[0], 404)
        with Wire(server.port("ingest")) as wire:
            wire.send(upgrade_request("/ingest/v1/%77s", headers=[f"Authorization: Bearer {INGEST_KEY}"]))
            expect(wire.head()[0], 101, "status of the publisher's path")
