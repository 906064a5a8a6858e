# SPDX-License-Identifier: MIT
"""What a test may say about itself. A test is a function `test_...` of a module `test_*.py`, plain or async; its
docstring names the rows of the requirements that it proves. It passes when it returns."""


# How long anything that has to come may take. It is an emergency brake, not a measure: a test whose server does what it
# should passes however busy the machine is, and one that waits in vain fails in the end.
BRAKE_SECONDS = 120


class Skip(Exception):
    """Raised by a test that cannot run here; the text says why."""


def plain_only(reason):
    """Marks a test that makes no sense when every listener speaks TLS (run.py --tls)."""
    def mark(test):
        test.plain_only = reason
        return test
    return mark


def full(test):
    """Marks a test that takes long: it runs with --full only."""
    test.full_only = True
    return test


def expect(found, wanted, what=""):
    """Fails unless both are equal, and shows them."""
    if found != wanted:
        raise AssertionError(f"{what or 'value'}\n  expected {shown(wanted)}\n  found    {shown(found)}")


def shown(value):
    text = repr(value)
    return text if len(text) <= 2000 else f"{text[:1000]} ... {text[-200:]} ({len(text)} characters)"
