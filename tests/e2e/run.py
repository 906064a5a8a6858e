#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Runs the end-to-end tests against the real binary.

    /usr/bin/python3 tests/e2e/run.py [-k PATTERN] [--full] [--tls] [--list]

PATTERN is a regular expression that is searched in MODULE.NAME. --tls: every listener and every client speaks TLS. The binary is build/release/ringcast, or what
RINGCAST_BINARY says. The last line is "N passed, N failed"; the exit code is 1 when a test failed or none ran."""
import argparse
import asyncio
import importlib
import inspect
import pathlib
import re
import signal
import sys
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import syscalls  # noqa: E402
import transport  # noqa: E402
from case import Skip  # noqa: E402

SECONDS_MAX = 600  # emergency brakes, as case.BRAKE_SECONDS
SECONDS_MAX_FULL = 3600


class OutOfTime(BaseException):
    """Past every handler of a test."""


def out_of_time(number, frame):
    raise OutOfTime("out of time")


def describe(error):
    """What went wrong, and where: only the lines of the tests themselves."""
    text = traceback.format_exception_only(error)
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = pathlib.Path(frame.filename)
        if path.parent == HERE and path.name != "run.py":
            text.append(f"  {path.name}:{frame.lineno} {frame.name}: {frame.line}\n")
    return "".join(text)


def collect():
    """(name, function) of all tests: module by module in the order of the names, then as they stand in the file."""
    for path in sorted(HERE.glob("test_*.py")):
        module = importlib.import_module(path.stem)
        subject = path.stem.removeprefix("test_")
        for name, member in list(vars(module).items()):
            if name.startswith("test_") and inspect.isfunction(member) and member.__module__ == path.stem:
                yield f"{subject}.{name.removeprefix('test_')}", member
        if hasattr(module, "cases"):
            for name, member in module.cases():
                yield f"{subject}.{name}", member


def run_one(test):
    """("ok" | "SKIP" | "FAIL", detail)"""
    signal.signal(signal.SIGALRM, out_of_time)
    signal.alarm(SECONDS_MAX_FULL if getattr(test, "full_only", False) else SECONDS_MAX)
    try:
        if inspect.iscoroutinefunction(test):
            asyncio.run(test())
        else:
            test()
        return "ok", ""
    except Skip as reason:
        return "SKIP", str(reason)
    except (OutOfTime, Exception) as error:
        return "FAIL", describe(error)
    finally:
        signal.alarm(0)


def main():
    parser = argparse.ArgumentParser(description="End-to-end tests of ringcast.")
    parser.add_argument("-k", metavar="PATTERN", default="", help="only tests whose MODULE.NAME has it")
    parser.add_argument("--full", action="store_true", help="also the long ones (minutes)")
    parser.add_argument("--tls", action="store_true", help="every listener and every client speaks TLS")
    parser.add_argument("--trace", action="store_true",
                        help="every server's system calls are held against core/sandbox.def (strace; slow)")
    parser.add_argument("--list", action="store_true", help="print names and docstrings only")
    options = parser.parse_args()
    if options.tls:
        transport.use_everywhere()
    syscalls.everywhere = options.trace
    counts = {"ok": 0, "SKIP": 0, "FAIL": 0}
    failed = []
    for name, test in collect():
        if not re.search(options.k, name):
            continue
        if options.list:
            print(f"{name}: {' '.join((test.__doc__ or '').split())}")
            continue
        begin = time.monotonic()
        if getattr(test, "full_only", False) and not options.full:
            result, detail = "SKIP", "takes long; --full runs it"
        elif transport.everywhere and hasattr(test, "plain_only"):
            result, detail = "SKIP", test.plain_only
        else:
            result, detail = run_one(test)
        counts[result] += 1
        if result == "FAIL":
            failed.append(name)
        print(f"{result:4} {name} {time.monotonic() - begin:.2f} s" + (f": {detail}" if result == "SKIP" else ""))
        if result == "FAIL":
            print("     " + detail.rstrip().replace("\n", "\n     "))
        sys.stdout.flush()
    if options.list:
        return 0
    if counts["SKIP"]:
        print(f"{counts['SKIP']} skipped")
    for name in failed:
        print(f"failed: {name}")
    print(f"{counts['ok']} passed, {counts['FAIL']} failed")
    return 0 if counts["ok"] > 0 and counts["FAIL"] == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
