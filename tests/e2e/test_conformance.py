# SPDX-License-Identifier: MIT
"""The suites that have a runner of their own, as tests of run.py: cases.py (its fast sections and
the smallest messages of compression) and differential.py."""
import cases as conformance
import differential
from case import Skip, plain_only


def lines_of(run):
    """(what it returns, what it prints)"""
    lines = []
    return run(lines.append), "\n".join(lines)


def run_cases(some):
    """All have to pass; when the server declines what they are about, they are skipped."""
    with conformance.echo_server() as echo:
        address = ("127.0.0.1", echo.port("echo"))
        (passed, failed, skipped), printed = lines_of(lambda out: conformance.run_all(some, address, out))
        if failed:
            raise AssertionError(f"{passed} of {len(some)} cases passed, {failed} failed\n{printed}")
    if skipped:
        raise Skip(f"{skipped} of {len(some)} cases: {printed.splitlines()[-1].strip()}")


def test_fast_sections():
    """RFC 6455 sections 5-8, K-2: framing, pings, reserved bits, opcodes, fragments, UTF-8, closing."""
    run_cases([one for one in conformance.table() if one.section in conformance.FAST])


def test_compression():
    """RFC 7692, K-3: every kind of content and every kind of offer, with small messages."""
    run_cases([one for one in conformance.table() if one.section in (12, 13) and one.number.endswith(".1")])


@plain_only("the nginx beside it speaks plain text")
def test_requests_divided_as_by_nginx():
    """RFC 9112 sections 2-7, K-30: no request that we accept is divided in another way by nginx."""
    (_, different), printed = lines_of(lambda out: differential.run_all(out=out))
    if different:
        raise AssertionError(f"{len(different)} requests are divided in another way\n{printed}")
