# SPDX-License-Identifier: MIT
"""The load client as a client of the job hub: what it finds clean has gone through once, with its payload; and it ends by itself and
names what it lacks when a hub does not do its part. No figure of it is judged."""
import json
import os
import pathlib
import subprocess

from case import Skip, expect, plain_only
from server import BINARY, Server

NO_LIMITS = {"messages_max": 0, "claim_timeout": "600s", "heartbeat_interval": "1h"}


def bench(server, *options):
    """The exit code, the result, and what was said beside it."""
    program = pathlib.Path(BINARY).with_name("ringcast-bench")
    if not os.access(program, os.X_OK):
        raise Skip(f"{program} has not been built")
    command = [program, "jobs", server.url("emprops", "/"), "--quiet", "--json", "-", "--warmup", "0", "--timeout", "100s", *options]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=200)
    return done.returncode, json.loads(done.stdout) if done.stdout else None, done.stderr


def clean(server, *options):
    code, result, said = bench(server, *options)
    expect(code in (0, 3), True, f"exit code {code}: {said}")
    return result


@plain_only("the load client speaks plain text to a hub")
def test_jobs_of_the_load_client_are_done_once():
    """E-84, E-16, E-32, E-61: jobs of many submitters through many workers, payloads below and beyond what the hub keeps with a job;
    workers that listen, that ask again, that accept first, and that claim before they are answered."""
    with Server(emprops=NO_LIMITS) as server:
        for options in (["--accept"], ["--poll", "5ms", "--eager"], ["--size", "70000", "--window", "4"], ["--listeners", "20"]):
            result = clean(server, "--submitters", 5, "--workers", 3, "--messages", 60, *options)
            expect({name: result[name] for name in ("submitted", "acknowledged", "completed", "notified")},
                   {"submitted": 60, "acknowledged": 60, "completed": 60, "notified": 60}, f"{options}")
            expect(result["submit_to_ack_us"]["count"], 60)


@plain_only("the load client speaks plain text to a hub")
def test_every_listener_of_the_load_client_is_told_of_every_job():
    """E-60: 40 listeners, of whom the first are told each by itself and the others together."""
    with Server(emprops=NO_LIMITS) as server:
        result = clean(server, "--submitters", 1, "--workers", 0, "--listeners", 40, "--lockstep", "--messages", 25)
        expect(result["told"], 40 * 25)


@plain_only("the load client speaks plain text to a hub")
def test_claims_beside_jobs_that_nobody_can_do():
    """E-30, E-33: each claim is answered that there is no job, without and with waiting jobs."""
    with Server(emprops=NO_LIMITS) as server:
        result = clean(server, "--submitters", 2, "--workers", 2, "--unfit", 50, "--claims", 30, "--messages", 10)
        expect([result[name]["count"] for name in ("claim_us", "claim_beside_waiting_us")], [30, 30])


@plain_only("the load client speaks plain text to a hub")
def test_what_a_hub_does_not_do_is_named():
    """A full queue ends the run with the hub's own words; what stays away, with what is missing."""
    with Server(emprops=NO_LIMITS | {"queue_max": 3}) as server:
        code, result, said = bench(server, "--submitters", 1, "--workers", 0, "--messages", 10)
        expect([code, result, "QUEUE_FULL" in said], [1, None, True], said)
    with Server(emprops=NO_LIMITS | {"keys": ["token client"]}) as server:
        code, result, said = bench(server, "--submitters", 1, "--workers", 1, "--messages", 10, "--key", "token")
        expect([code, result, "AUTH_FAILED" in said], [1, None, True], said)
