# SPDX-License-Identifier: MIT
"""Section 9: large messages, many fragments, many small writes, many round trips."""
from cases_wire import BINARY, TEXT, case, closes, fragments, frame, pieces

KIB, MIB = 1024, 1 << 20
ROUND_TRIPS = 1000


def content(opcode, size):
    """Not of one byte only, so that a part that is lost, twice or elsewhere is seen; its period divides no buffer."""
    period = b"BAsd7&jh23," if opcode == TEXT else bytes(range(251))
    return (period * (size // len(period) + 1))[:size]


def echoes(opcode, size, fragment=0, chop=0, times=1):
    def step(peer):
        payload = content(opcode, size)
        for _ in range(times):
            parts = pieces(payload, fragment) if fragment else [payload]
            peer.send(b"".join(fragments(opcode, parts)) if fragment else frame(opcode, payload), chop)
            peer.expect(opcode, payload)

    return step


def cases():
    sizes = (64 * KIB, 256 * KIB, MIB, 4 * MIB, 8 * MIB, 16 * MIB)
    fragment_sizes = [64 * 4**i for i in range(8)] + [4 * MIB]
    chops = (64, 128, 256, 512, 1024, 2048)
    small = (0, 16, 64, 256, 1024, 4096)
    for number, opcode in ((0, TEXT), (1, BINARY)):
        for i, size in enumerate(sizes, 1):
            yield case(f"9.{1 + number}.{i}", f"message of {size} bytes", echoes(opcode, size), closes())
        for i, size in enumerate(fragment_sizes, 1):
            yield case(f"9.{3 + number}.{i}", f"4 MiB in fragments of {size}", echoes(opcode, 4 * MIB, fragment=size),
                       closes())
        for i, size in enumerate(chops, 1):
            yield case(f"9.{5 + number}.{i}", f"1 MiB in chops of {size}", echoes(opcode, MIB, chop=size), closes())
        for i, size in enumerate(small, 1):
            yield case(f"9.{7 + number}.{i}", f"{ROUND_TRIPS} round trips of {size} bytes",
                       echoes(opcode, size, times=ROUND_TRIPS), closes())
