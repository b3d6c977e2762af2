"""memory - random text, and whether any piece of it stands in a process

    needles = Needles()
    text = random_text(200)
    needles.add(text)
    for name, content in memory(pid):       # of each mapping; needs root
        assert not needles.found(content), name
"""
import os
import random
import re
import string

from agent import VARIANT, comm

# A piece of this length of random text stands nowhere by chance.
PIECE = 12
# No mapping of ours is larger; asan's shadow is, and keeps no content.
MAPPING_MAX = 1 << 32
PAGE = os.sysconf("SC_PAGESIZE")
RUN = re.compile(rb"[A-Za-z0-9+/]{%d,}" % PIECE)
LETTERS = (string.ascii_letters + string.digits).encode()
RANDOM = random.Random(20240229)


def random_text(length):
    return bytes(RANDOM.choices(LETTERS, k=length))


class Needles:
    """Texts to look for; found(haystack) gives a piece of one that is there."""

    def __init__(self):
        self.short, self.pieces = set(), set()

    def add(self, text):
        if len(text) < PIECE:
            self.short.add(text)
        self.pieces.update(text[n:n + PIECE] for n in range(len(text) - PIECE + 1))

    def found(self, haystack):
        for text in self.short:
            if text in haystack:
                return text
        for run in RUN.finditer(haystack):
            text = run.group()
            for n in range(len(text) - PIECE + 1):
                if text[n:n + PIECE] in self.pieces:
                    return text[n:n + 64]
        return None


def mappings(pid):
    """(start, end, name) of what can be read and holds anything of the process itself: where
    no page of a private mapping was written, it is the file that it maps."""
    found, at = [], {}
    with open(f"/proc/{pid}/smaps", encoding="utf-8", errors="replace") as f:
        for line in f:
            words = line.split()
            if not words[0].endswith(":"):
                start, end = (int(n, 16) for n in words[0].split("-"))
                at = {"range": (start, end, " ".join(words[5:])), "mode": words[1]}
            at[words[0]] = words[1]
            if words[0] != "VmFlags:" or at["mode"][0] != "r" or at["Rss:"] == "0":
                continue
            start, end, name = at["range"]
            if end - start < MAPPING_MAX and (not name.startswith("/usr/") or
                                              at["Anonymous:"] != "0"):
                found.append(at["range"])
    return found


def touched(pid, start, end):
    """(start, end) of each run of pages that are there, or in the swap."""
    with open(f"/proc/{pid}/pagemap", "rb") as f:
        f.seek(start // PAGE * 8)
        entries = f.read((end - start) // PAGE * 8)
    there = bytes(entry >> 6 and 1 for entry in entries[7::8])
    for run in re.finditer(b"\1+", there):
        yield start + run.start() * PAGE, start + run.end() * PAGE


def memory(pid):
    """(name, content) of every mapping of a process."""
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as f:
        for start, end, name in mappings(pid):
            for at, to in touched(pid, start, end):
                try:
                    content = os.pread(f.fileno(), to - at, at)
                except OSError:
                    assert name.startswith("[v"), (comm(pid), name)
                    continue
                assert len(content) == to - at, (comm(pid), name)
                yield f"{comm(pid)} {name or hex(start)}", content


def is_ours(name):
    """Is what a mapping NAME of memory() holds of our making? Whoever binds a symbol when it is
    called first saves the vector registers on the stack, with what was copied last: so does the
    sanitizers' own library."""
    return VARIANT != "asan" or not name.endswith(" [stack]")
