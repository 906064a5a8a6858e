# SPDX-License-Identifier: MIT
"""What the transcripts of the dialects hold, for the seeds that are made of them."""

import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parent.parent


def transcripts():
    """The dialect of each transcript, and its lines."""
    for path in sorted((ROOT / "tests/transcripts").glob("*.txt")):
        lines = path.read_text().splitlines()
        yield next(line.split()[2] for line in lines if line.startswith("@ dialect ")), lines


def messages(dialect=None):
    """What clients send and get, and what is ingested: all of it text, most of it JSON."""
    for name, lines in transcripts():
        for line in lines if dialect in (None, name) else ():
            found = re.match(r"[A-Z0-9]*[<>] (.*)", line) or re.match(r"! ingest \S+ (.*) -> \d+$", line)
            if found:
                yield found[1]
