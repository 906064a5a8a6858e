#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Conformance cases of RFC 6455 and RFC 7692 against the dialect echo of the real binary.

    /usr/bin/python3 tests/e2e/cases.py [-k NUMBER] [--long] [--tls] [--list] [--self-test]

The numbers are those of the field's well-known conformance suite, so that a failure can be looked up there; cases and
code are our own and mostly stricter: a verdict is pass or fail, nothing between. NUMBER is a case, a group or a
section: 5.19, 6.4, 9. The binary is build/release/ringcast, or what RINGCAST_BINARY says. Prints a line per section and
failure; the last line is "cases: N passed, N failed"; the exit code is 1 when one failed or none ran.
"""
import argparse
import itertools
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import cases_close
import cases_deflate
import cases_framing
import cases_load
import cases_utf8
import server
import transport
from cases_wire import NotNegotiated, Unexpected, run

TITLES = {
    1: "framing", 2: "pings and pongs", 3: "reserved bits", 4: "opcodes", 5: "fragmentation", 6: "UTF-8", 7: "closing",
    9: "limits and performance", 10: "miscellaneous", 12: "deflate: contents", 13: "deflate: offers"
}
FAST = frozenset({1, 2, 3, 4, 5, 6, 7, 10})
AT_ONCE = 8  # cases of the fast sections, so that those that wait in vain do not add up
COUNT = 517
MESSAGE_BYTES_MAX = "64MiB"


def table(long=False):
    """All cases by section, in order."""
    every = itertools.chain(cases_framing.cases(), cases_utf8.cases(), cases_close.cases(), cases_load.cases(),
                            cases_deflate.cases(long))
    found = sorted(every, key=lambda one: [int(part) for part in one.number.split(".")])
    numbers = {one.number for one in found}
    if len(found) != COUNT or len(numbers) != COUNT:
        raise AssertionError(f"{len(found)} cases with {len(numbers)} numbers instead of {COUNT}")
    return found


def chosen(number, pattern):
    return number == pattern or number.startswith(pattern + ".")


class Tally:
    def __init__(self):
        self.passed, self.failures, self.skips = 0, [], []

    def add(self, one, result, detail):
        if result == "passed":
            self.passed += 1
        else:
            (self.failures if result == "failed" else self.skips).append((one, detail))


def verdict(one, address):
    """("passed" | "failed" | "skipped", detail)"""
    try:
        run(one, address)
    except NotNegotiated as reason:
        return "skipped", str(reason)
    except (Unexpected, OSError) as error:
        return "failed", str(error)
    return "passed", ""


def run_section(section, some, address, out):
    tally, begin = Tally(), time.monotonic()
    with ThreadPoolExecutor(AT_ONCE if section in FAST else 1) as workers:
        for one, found in zip(some, workers.map(lambda one: verdict(one, address), some)):
            tally.add(one, *found)
    sums = f"{tally.passed} passed, {len(tally.failures)} failed, {len(tally.skips)} skipped"
    out(f"{section:2} {TITLES[section]}: {sums} ({time.monotonic() - begin:.1f} s)")
    for one, error in tally.failures:
        out(f"   case {one.number} ({one.title}): {error}")
    for reason in sorted({reason for _, reason in tally.skips}):
        out(f"   skipped {sum(why == reason for _, why in tally.skips)}: {reason}")
    return tally


def run_all(some, address, out=print):
    """(passed, failed, skipped)"""
    total = [0, 0, 0]
    for section, group in itertools.groupby(some, key=lambda one: one.section):
        tally = run_section(section, list(group), address, out)
        for i, count in enumerate((tally.passed, len(tally.failures), len(tally.skips))):
            total[i] += count
    return tuple(total)


def echo_server():
    """The real binary; its default limit of a message is below what section 9 sends."""
    return server.Server(echo={"message_bytes_max": MESSAGE_BYTES_MAX, "outbox_bytes_max": MESSAGE_BYTES_MAX})


def main():
    parser = argparse.ArgumentParser(description="Conformance cases of RFC 6455 and RFC 7692.")
    parser.add_argument("-k", metavar="NUMBER", help="only this case, group or section")
    parser.add_argument("--long", action="store_true", help="1,000 messages in every case of sections 12 and 13")
    parser.add_argument("--tls", action="store_true", help="over TLS")
    parser.add_argument("--list", action="store_true", help="print numbers and titles only")
    parser.add_argument("--self-test", action="store_true", help="show that planted faults of a server are found")
    options = parser.parse_args()
    some = [one for one in table(options.long) if options.k is None or chosen(one.number, options.k)]
    if options.list:
        for one in some:
            print(one.number, one.title)
        return 0
    if options.self_test:
        import cases_canary
        return cases_canary.main()
    if options.tls:
        transport.use_everywhere()
    server.PORTS = range(22000, 22500)  # so that run.py may run beside it
    passed = failed = skipped = 0
    try:
        with echo_server() as echo:
            passed, failed, skipped = run_all(some, ("127.0.0.1", echo.port("echo")))
    except (AssertionError, OSError) as error:  # the server did not start, has ended, or did not end well
        print("\n".join(["the server:", str(error), *getattr(error, "__notes__", [])]))
        failed += 1
    print(f"cases: {passed} passed, {failed} failed")
    return 0 if passed + skipped > 0 and failed == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
