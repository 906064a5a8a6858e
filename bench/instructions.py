# SPDX-License-Identifier: MIT
"""Counts instructions by valgrind's callgrind: what bench/callgrind and bench/growth share.

Reads the profiles that callgrind writes. It never judges a figure.
"""

import re
from collections import defaultdict

STAND_IN = "bench/null_kernel.c"  # what stands in for the kernel is not counted as ours


def self_costs(profile):
    """{(file, function): instructions} of a callgrind profile; what was inlined counts for the function it is part of.

    Lines: "fl=" or "fn=" begin a file or function, with names abbreviated as "(number)" after their first use; "calls="
    announces that the next line is the cost of a callee, which is counted where the callee stands; other lines that begin
    with a position are "position cost".
    """
    names, costs = {"f": {}, "n": {}}, defaultdict(int)
    file = function = None
    callee = False
    for line in profile.read_text(encoding="utf-8").splitlines():
        named = re.match(r"(fl|fn|fi|fe|cfi|cfl|cfn)=\((\d+)\)(?: (.*))?$", line)
        if named:
            kind, number, name = named.groups()
            table = names["n" if kind in ("fn", "cfn") else "f"]
            if name is not None:
                table[number] = name
            if kind == "fl":
                file = table[number]
            elif kind == "fn":
                function = table[number]
        elif line.startswith("calls="):
            callee = True
        elif re.match(r"[+*\-0-9]", line):
            if not callee:
                costs[file, function] += int(line.split()[1])
            callee = False
    return costs


def of_ours(profile):
    """All instructions of a profile but the stand-in's."""
    return sum(cost for (file, _), cost in self_costs(profile).items() if not file.endswith(STAND_IN))
