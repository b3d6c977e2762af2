#!/usr/bin/python3
"""guest-file-* of the installed qemu-ga and of the agent (profile `legacy`), side by side:
the same steps on both, each in a directory of its own, every reply and in the end every
file compared. What may differ is listed, with the reason, in
tests/fixtures/side-by-side-files.txt.
"""
# run: limit 120
import base64
import contextlib
import fcntl
import json
import os
import random
import re
import shutil
import socket
import stat
import subprocess
import tempfile

import guard
import tap
from agent import Agent
from reference import Reference

LISTED = os.path.join(os.path.dirname(__file__), "../fixtures/side-by-side-files.txt")
MODES = ("r", "rb", "w", "wb", "a", "ab", "r+", "rb+", "r+b", "w+", "wb+", "w+b",
         "a+", "ab+", "a+b")
ONE_OF_EACH = ("r", "w", "a", "r+", "w+", "a+")
SEEDS = 24
STEPS = 400

# The agent of all tests, and what they needed of the list.
LIVE = {}


# ---- the list --------------------------------------------------------------------------

class Row:
    """One difference that is meant: where, what each of the two says, and why."""

    def __init__(self, place, request):
        self.place, self.request = place, request
        self.theirs = self.ours = self.reason = None
        self.used = False

    def accepts(self, place, request, theirs, ours):
        good = all(re.fullmatch(pattern, text, re.S) for pattern, text in (
            (self.place, place), (self.request, request),
            (self.theirs, theirs), (self.ours, ours)))
        self.used |= good
        return good


def read_rows():
    rows = []
    with open(LISTED, encoding="utf-8") as f:
        for line in f.read().split("\n"):
            kind, _, text = line.partition(" ")
            if kind == ">":
                rows.append(Row(*text.split(": ", 1)))
            elif kind == "<":
                rows[-1].theirs = text
            elif kind == "=":
                rows[-1].ours = text
            elif kind == "!":
                rows[-1].reason = text
            else:
                assert kind in ("", "#"), f"what is a line of '{kind}'?"
    assert all(r.theirs and r.ours and r.reason for r in rows), "a row lacks a line"
    return rows


# ---- the two ---------------------------------------------------------------------------

class Side:
    """One of the two: how it is called, its directory, the files that it holds open."""

    def __init__(self, call, top):
        self.call, self.top = call, top
        self.handles = {}

    def ask(self, command, arguments):
        """The reply as text; paths and handles as the caller knows them."""
        arguments = dict(arguments)
        if isinstance(arguments.get("path"), str):
            arguments["path"] = arguments["path"].replace("$D", self.top)
        if isinstance(arguments.get("handle"), str):
            arguments["handle"] = self.handles.get(arguments["handle"],
                                                   arguments["handle"])
        return self.call(f"guest-file-{command}", **arguments)

    def show(self, reply):
        text = json.dumps(reply, sort_keys=True).replace(self.top, "$D")
        for name, number in self.handles.items():
            text = text.replace(f"'{number}'", f"'{name}'")
        return text

    def tree(self):
        """What is in the directory: the type and permissions of each name, the content of
        each file."""
        found = {}
        for folder, folders, names in os.walk(self.top):
            for name in folders + names:
                path = os.path.join(folder, name)
                name = os.path.relpath(path, self.top)
                st = os.lstat(path)
                found["mode " + name] = stat.filemode(st.st_mode)
                if stat.S_ISREG(st.st_mode):
                    with open(path, "rb") as f:
                        found["content " + name] = repr(f.read())
        return found


class Both:
    """Does every step on both, and fails with the first difference that is not listed."""

    def __init__(self, place, theirs, ours):
        self.place = place
        self.sides = theirs, ours
        self.opened = 0

    def compare(self, what, theirs, ours):
        good = theirs == ours or any(r.accepts(self.place, what, theirs, ours)
                                     for r in LIVE["rows"])
        assert good, \
            f"{self.place}: {what}\nreference {theirs:.1000}\nours      {ours:.1000}"

    def __call__(self, command, **arguments):
        """A request; the two replies."""
        replies = [s.ask(command, arguments) for s in self.sides]
        shown = [s.show(r) for s, r in zip(self.sides, replies)]
        words = " ".join(f"{k}={v!r:.80}" for k, v in arguments.items())
        self.compare(f"{command} {words}", *shown)
        return replies

    def open(self, path, mode=None):
        """The handle's name for further steps, or None: refused, by one or both."""
        arguments = {"path": path} if mode is None else {"path": path, "mode": mode}
        name = f"h{self.opened}"
        self.opened += 1
        replies = [s.ask("open", arguments) for s in self.sides]
        for s, r in zip(self.sides, replies):
            if "return" in r:
                s.handles[name] = r["return"]
        shown = [s.show({"return": name} if "return" in r else r)
                 for s, r in zip(self.sides, replies)]
        self.compare(f"open {path} {mode}", *shown)
        return name if all("return" in r for r in replies) else None

    def write(self, handle, data, **more):
        return self("write", handle=handle, buf_b64=base64.b64encode(data).decode(), **more)

    def do(self, action):
        """ACTION with the directory of each: what the guest itself does meanwhile."""
        return [action(s.top) for s in self.sides]

    def put(self, name, content=b""):
        def put(top):
            with open(os.path.join(top, name), "wb") as f:
                f.write(content)
        self.do(put)

    def files(self):
        """Compare what is in the directories. Of the reference nothing may be buffered."""
        theirs, ours = (s.tree() for s in self.sides)
        for name in sorted(theirs.keys() | ours.keys()):
            self.compare(name, theirs.get(name, "none"), ours.get(name, "none"))


@contextlib.contextmanager
def both(place):
    """The two with an empty directory each. The reference is a new one every time: a
    close that failed has ruined it (protocol 5.3)."""
    with contextlib.ExitStack() as stack:
        tops = [os.path.realpath(tempfile.mkdtemp(prefix="postern-test-")) for _ in "12"]
        for top in tops:
            stack.callback(shutil.rmtree, top)
        reference = stack.enter_context(Reference())
        client = stack.enter_context(LIVE["agent"].client())
        LIVE["places"].add(place)
        ours = Side(client.call, tops[1])
        yield Both(place, Side(reference.call, tops[0]), ours)
        for handle in ours.handles.values():
            client.call("guest-file-close", handle=handle)


def read_all(b, h, count=4096):
    """Read until both say that this is the end, three times at the least."""
    for n in range(100):
        replies = b("read", handle=h, count=count)
        if n >= 2 and any(r.get("return", {"eof": True})["eof"] for r in replies):
            return
    raise AssertionError("no end")


# ---- modes -----------------------------------------------------------------------------

def test_the_agent_starts():
    LIVE["rows"] = read_rows()
    LIVE["places"] = set()
    LIVE["agent"] = Agent(profile="legacy", audit=False)


def use(b, h):
    """A bit of everything, in an order that shows where the position goes."""
    b("read", handle=h, count=3)
    b.write(h, b"WRITE")
    b("read", handle=h, count=3)
    b("seek", handle=h, offset=0, whence="cur")
    b("seek", handle=h, offset=2, whence="set")
    b.write(h, b"xy")
    b("seek", handle=h, offset=0, whence="cur")
    b("flush", handle=h)
    b("seek", handle=h, offset=-4, whence="end")
    b("read", handle=h)
    b.write(h, b"end")
    b("seek", handle=h, offset=0, whence="set")
    read_all(b, h)
    b("close", handle=h)


def mode_test(mode):
    def check():
        with both("modes") as b:
            b.put("there", b"0123456789")
            b.put("empty")
            for path in ("$D/there", "$D/empty", "$D/new", "$D/no/new"):
                h = b.open(path, mode)
                if h:
                    use(b, h)
                b.files()
    return f"mode {mode}", check


def test_the_mode_of_an_open_without_one():
    with both("default") as b:
        b.put("there", b"0123456789")
        use(b, b.open("$D/there"))
        b.open("$D/new")
        b.files()


def test_modes_that_are_none():
    with both("invalid") as b:
        b.put("there", b"0123456789")
        for mode in ("", "x", "R", "rw", "wr", "r ", " r", "br", "bw", "rbb", "r++", "r+b+",
                     "rb+b", "b", "+", "re", "wx", "r,ccs=UTF-8", "rt", "w+e", "é", "r\n",
                     "a" * 300):
            assert b.open("$D/there", mode) is None
            assert b.open("$D/new", mode) is None
        b.files()


def test_files_keep_their_mode_and_owner():
    with both("kept") as b:
        b.put("there", b"0123456789")
        for mode in ONE_OF_EACH:
            b.do(lambda top: os.chmod(f"{top}/there", 0o701))
            b("close", handle=b.open("$D/there", mode))
            b.files()


def test_programs_that_are_somebody_while_they_run():
    if os.geteuid() != 0:
        tap.skip("needs root: an ordinary user's write takes the bits away in any case")
    with both("setuid") as b:
        b.put("there", b"0123456789")
        for mode in ONE_OF_EACH:
            b.do(lambda top: os.chmod(f"{top}/there", 0o6755))
            h = b.open("$D/there", mode)
            b.write(h, b"x")
            b("close", handle=h)
            b.files()


# ---- seek ------------------------------------------------------------------------------

def test_every_whence():
    with both("whence") as b:
        b.put("there", bytes(range(100)))
        h = b.open("$D/there", "r+")
        for whence in ("set", "cur", "end", 0, 1, 2):
            for offset in (0, 1, 50, 99, 100, 101, 1 << 20, 1 << 40, -1, -3, -100, -101,
                           (1 << 62), -(1 << 62)):
                b("seek", handle=h, offset=10, whence="set")
                b("seek", handle=h, offset=offset, whence=whence)
                b("read", handle=h, count=2)
                b("seek", handle=h, offset=0, whence=1)
        for whence in (3, -1, 4, 1 << 31, 1 << 32, (1 << 63) - 1, "", "SET", "hole", 1.0,
                       0.5, True, None, [], {}, "0"):
            b("seek", handle=h, offset=5, whence=whence)
        b("seek", handle=h, offset=0, whence="cur")
        b("close", handle=h)
        b.files()


def test_seek_to_the_end_of_numbers():
    with both("far") as b:
        b.put("there", b"0123456789")
        h = b.open("$D/there", "r+")
        for offset in ((1 << 63) - 1, (1 << 63) - 2, -1 << 63):
            for whence in ("set", "cur", "end"):
                b("seek", handle=h, offset=0, whence="set")
                b("seek", handle=h, offset=offset, whence=whence)
        b("seek", handle=h, offset=1 << 63, whence="set")
        b("close", handle=h)


def test_behind_the_end_is_a_hole():
    with both("sparse") as b:
        for mode in ("w+", "r+", "a+"):
            b.put("there", b"start")
            h = b.open("$D/there", mode)
            b("seek", handle=h, offset=300000, whence="set")
            b("read", handle=h)
            b.write(h, b"far")
            b("seek", handle=h, offset=100000, whence="cur")
            b.write(h, b"farther")
            b("seek", handle=h, offset=0, whence="cur")
            b("seek", handle=h, offset=-20, whence="end")
            read_all(b, h)
            b("seek", handle=h, offset=0, whence="set")
            read_all(b, h, 65536)
            b("seek", handle=h, offset=1000000, whence="end")
            b("close", handle=h)
            b.files()


# ---- reading ---------------------------------------------------------------------------

def test_counts_of_a_read():
    with both("read counts") as b:
        b.put("there", bytes(range(256)) * 40)
        h = b.open("$D/there")
        b("read", handle=h)
        for count in (0, 1, 4095, 4096, 4097, 0, 6143 - 4096):
            b("read", handle=h, count=count)
        for count in (0, 1, 0, 48 << 20):
            b("read", handle=h, count=count)
        b("seek", handle=h, offset=0, whence="set")
        b("read", handle=h, count=48 << 20)
        for count in ((48 << 20) + 1, -1, 1 << 31, 1 << 32, (1 << 63) - 1, -1 << 63):
            b("read", handle=h, count=count)
        b("seek", handle=h, offset=0, whence="cur")
        w = b.open("$D/there", "a")
        for count in (-1, 0, 1, 1 << 40):
            b("read", handle=w, count=count)


def test_the_end_of_a_file():
    with both("eof") as b:
        b.put("there", b"0123456789")
        b.put("empty")
        for count in (1, 4, 5, 9, 10, 11):
            h = b.open("$D/there")
            for _ in range(14):
                b("read", handle=h, count=count)
            b("seek", handle=h, offset=-1, whence="cur")
            b("read", handle=h, count=1)
            b("read", handle=h, count=0)
            b("read", handle=h, count=1)
            b("close", handle=h)
        h = b.open("$D/empty")
        b("read", handle=h, count=0)
        read_all(b, h)


def test_a_file_that_grows_shrinks_and_changes():
    def more(top):
        with open(f"{top}/log", "ab") as f:
            f.write(b"more")

    def less(top):
        os.truncate(f"{top}/log", 3)

    def other(top):
        with open(f"{top}/log", "r+b") as f:
            f.write(b"Other")

    with both("changes") as b:
        b.put("log", b"0123456789")
        h, both_ways = b.open("$D/log"), b.open("$D/log", "r+")
        for change in (more, more, less, more, other, more, less):
            for handle in (h, both_ways):
                b("read", handle=handle, count=6)
            b.do(change)
            for handle in (h, both_ways):
                b("seek", handle=handle, offset=0, whence="cur")
                b("read", handle=handle)
                b("read", handle=handle)


def test_what_was_read_ahead_is_read_again():
    """The reference has read 4 KiB when it hands out 1 byte; what the guest then changes
    further on is not seen by it."""
    def change(top):
        with open(f"{top}/there", "r+b") as f:
            f.write(b"B" * 100)

    with both("ahead") as b:
        b.put("there", b"a" * 100)
        h = b.open("$D/there")
        b("read", handle=h, count=1)
        b.do(change)
        b("read", handle=h, count=1)
        b("seek", handle=h, offset=0, whence="cur")


def test_a_file_that_is_removed_or_replaced():
    with both("removed") as b:
        b.put("there", b"0123456789")
        h = b.open("$D/there", "r+")
        b.do(lambda top: os.unlink(f"{top}/there"))
        b("read", handle=h, count=3)
        b.write(h, b"abc")
        b.put("there", b"another")
        b("seek", handle=h, offset=0, whence="set")
        read_all(b, h)
        b("close", handle=h)
        b.files()


# ---- writing ---------------------------------------------------------------------------

def test_counts_of_a_write():
    with both("write counts") as b:
        h = b.open("$D/new", "w+")
        for size in (0, 1, 5, 4096, 10000):
            for count in (None, 0, 1, size - 1, size, size + 1, -1, 48 << 20, 1 << 40,
                          (1 << 63) - 1, -1 << 63):
                more = {} if count is None else {"count": count}
                b.write(h, bytes([65 + size % 26]) * size, **more)
        b("seek", handle=h, offset=0, whence="cur")
        b("close", handle=h)
        b.files()


def test_base64_of_a_write():
    with both("base64") as b:
        h = b.open("$D/new", "w")
        for text in ("", "YQ==", "YWI=", "YWJj", "YWJj\n", "YW\nJj", "YWJj\r\n", "YQ",
                     "YQ=", "YQ==YWJj", "====", "Y", "YWJjY", "YWJjZA", "+/+/", "-_-_",
                     "YQ= =", "YQ==\t", "é"):
            b("write", handle=h, buf_b64=text)
        b("close", handle=h)
        b.files()


def test_reads_and_writes_in_turn():
    with both("turns") as b:
        for mode in ("r+", "w+", "a+"):
            b.put("there", b"0123456789" * 10)
            h = b.open("$D/there", mode)
            for n in range(12):
                b("read", handle=h, count=n)
                b.write(h, b"-%d-" % n)
                b.write(h, b"")
                b.write(h, b"unseen", count=0)
                b("read", handle=h, count=0)
                if n % 4 == 3:
                    b("flush", handle=h)
                    b("flush", handle=h)
            b("close", handle=h)
            b.files()


def test_append_after_seek():
    with both("append") as b:
        for mode in ("a", "a+"):
            b.put("there", b"0123456789")
            h = b.open("$D/there", mode)
            b("seek", handle=h, offset=0, whence="cur")
            b("seek", handle=h, offset=3, whence="set")
            b.write(h, b"abc")
            b("seek", handle=h, offset=0, whence="cur")
            b("seek", handle=h, offset=1, whence="set")
            b("read", handle=h, count=2)
            b.write(h, b"def")
            b("read", handle=h)
            b("seek", handle=h, offset=100, whence="set")
            b.write(h, b"ghi")
            b("seek", handle=h, offset=0, whence="cur")
            b("close", handle=h)
            b.files()


def test_two_handles_of_one_file():
    with both("two") as b:
        one, two, log = b.open("$D/f", "w+"), b.open("$D/f", "r+"), b.open("$D/f", "a")
        for n in range(5):
            for h in (one, log, two):
                b.write(h, b"%d from %s." % (n, h.encode()))
                b("flush", handle=h)
            b("read", handle=two, count=4)
            b("seek", handle=two, offset=0, whence="cur")
        for h in (log, one, two):
            b("close", handle=h)
        b.files()


def test_truncated_under_the_hand():
    with both("truncated") as b:
        h = b.open("$D/f", "w+")
        b.write(h, b"0123456789")
        b("flush", handle=h)
        b("close", handle=b.open("$D/f", "w"))
        b("read", handle=h)
        b.write(h, b"behind")
        b("close", handle=h)
        b.files()


# ---- files of other kinds --------------------------------------------------------------

def test_files_of_proc():
    with both("proc") as b:
        for path in ("/proc/version", "/proc/cmdline", "/proc/filesystems", "/proc/devices",
                     "/proc/sys/kernel/ostype", "/proc/1/comm"):
            for count in (1, 7, 4096, 1 << 20):
                h = b.open(path)
                for _ in range(6):
                    b("read", handle=h, count=count)
                b("seek", handle=h, offset=2, whence="set")
                b("read", handle=h, count=3)
                b("close", handle=h)
        h = b.open("/proc/filesystems")
        b("seek", handle=h, offset=0, whence="end")
        b.open("/proc/none")
        b.open("/proc/self/none")


def test_directories():
    with both("directory") as b:
        b.do(lambda top: os.mkdir(f"{top}/d", 0o755))
        for path in ("$D/d", "$D/d/", "$D/d/.", "$D/d/../d", "/"):
            for mode in ONE_OF_EACH:
                h = b.open(path, mode)
                if h:
                    b("read", handle=h)
                    b("read", handle=h, count=0)
                    b("seek", handle=h, offset=0, whence="cur")
                    b.write(h, b"x")
                    b("flush", handle=h)
                    b("close", handle=h)
        b.files()


def pipe_ends(b, flags):
    """The test's own end of each of the two FIFOs."""
    return b.do(lambda top: os.open(f"{top}/p", flags | os.O_NONBLOCK))


def test_a_fifo():
    with both("fifo") as b:
        b.do(lambda top: os.mkfifo(f"{top}/p"))
        for mode in ("w", "a"):
            assert b.open("$D/p", mode) is None
        h = b.open("$D/p")
        b("read", handle=h, count=5)
        ends = pipe_ends(b, os.O_WRONLY)
        b("read", handle=h, count=5)
        for end in ends:
            os.write(end, b"0123456789")
        b("read", handle=h, count=5)
        b("seek", handle=h, offset=0, whence="set")
        b("read", handle=h, count=5)
        b("read", handle=h, count=0)
        b("read", handle=h, count=1)
        for end in ends:
            os.write(end, b"last")
            os.close(end)
        read_all(b, h, 3)
        b.write(h, b"no")
        b("close", handle=h)


def test_a_fifo_with_less_than_was_asked_for():
    with both("fifo short") as b:
        b.do(lambda top: os.mkfifo(f"{top}/p"))
        h = b.open("$D/p")
        ends = pipe_ends(b, os.O_WRONLY)
        for end in ends:
            os.write(end, b"0123456789")
        for _ in range(2):
            b("read", handle=h, count=20)
        for end in ends:
            os.close(end)


def test_a_fifo_is_written_to():
    with both("fifo write") as b:
        b.do(lambda top: os.mkfifo(f"{top}/p"))
        ends = pipe_ends(b, os.O_RDONLY)
        for mode in ("w", "a"):
            h = b.open("$D/p", mode)
            b.write(h, b"text")
            b("seek", handle=h, offset=0, whence="set")
            b("read", handle=h, count=1)
            b("close", handle=h)
            got = [os.read(end, 100) for end in ends]
            b.compare("what arrived", *map(repr, got))
        for end in ends:
            os.close(end)


def test_a_fifo_that_is_full():
    with both("fifo full") as b:
        b.do(lambda top: os.mkfifo(f"{top}/p"))
        ends = pipe_ends(b, os.O_RDONLY)
        for end in ends:
            fcntl.fcntl(end, fcntl.F_SETPIPE_SZ, 4096)
        h = b.open("$D/p", "w")
        b.write(h, b"a" * 4000)
        b("flush", handle=h)
        b.write(h, b"b" * 5000)
        for end in ends:
            os.close(end)


def test_a_fifo_for_both():
    with both("fifo both") as b:
        b.do(lambda top: os.mkfifo(f"{top}/p"))
        for mode in ("r+", "w+", "a+"):
            h = b.open("$D/p", mode)
            b.write(h, b"there and back")
            b("flush", handle=h)
            b("read", handle=h, count=14)
            b("close", handle=h)


def test_a_socket():
    with both("socket") as b, socket.socket(socket.AF_UNIX) as one, \
            socket.socket(socket.AF_UNIX) as two:
        for s, side in zip((one, two), b.sides):
            s.bind(f"{side.top}/s")
        for mode in ONE_OF_EACH:
            assert b.open("$D/s", mode) is None


def test_device_nodes():
    with both("device") as b:
        for mode in ONE_OF_EACH:
            h = b.open("/dev/null", mode)
            use(b, h)
        for mode in ("r", "r+"):
            h = b.open("/dev/zero", mode)
            for count in (0, 1, 5000, 1 << 20):
                b("read", handle=h, count=count)
            b("seek", handle=h, offset=100, whence="cur")
            b("read", handle=h)
            b("close", handle=h)
        h = b.open("/dev/zero", "w")
        b.write(h, b"away")
        b("close", handle=h)


def test_a_device_that_is_full():
    with both("full") as b:
        h = b.open("/dev/full", "w")
        b.write(h, b"x")
        b("flush", handle=h)


def shown_on(master):
    """What the terminal shows, up to what was written last: it may come in two pieces."""
    text = b""
    while b"shown" not in text:
        text += os.read(master, 100)
    return text


def test_a_terminal():
    with both("terminal") as b:
        ends = [os.openpty() for _ in b.sides]
        try:
            for side, (_, slave) in zip(b.sides, ends):
                os.symlink(os.ttyname(slave), f"{side.top}/tty")
            h, w = b.open("$D/tty"), b.open("$D/tty", "w")
            b("read", handle=h, count=5)
            for master, _ in ends:
                os.write(master, b"line\n")
            b("read", handle=h, count=5)
            b.write(w, b"shown\n")
            b("flush", handle=w)
            got = [shown_on(master) for master, _ in ends]
            b.compare("what was shown", *map(repr, got))
            b("seek", handle=h, offset=0, whence="set")
        finally:
            for master, slave in ends:
                os.close(master)
                os.close(slave)


def test_a_program_that_runs():
    with both("busy") as b:
        b.do(lambda top: shutil.copy("/bin/sleep", f"{top}/sleep"))
        running = b.do(lambda top: subprocess.Popen([f"{top}/sleep", "60"],
                                                    preexec_fn=guard.harmless))
        try:
            for mode in ("w", "a", "r+"):
                assert b.open("$D/sleep", mode) is None
            b("read", handle=b.open("$D/sleep"), count=100)
        finally:
            for program in running:
                program.kill()
                program.wait()


# ---- paths -----------------------------------------------------------------------------

def test_paths():
    def furnish(top):
        os.mkdir(f"{top}/d")
        for target, name in (("there", "l"), ("d", "dl"), ("none", "dangling"),
                             ("a2", "a1"), ("a1", "a2"), ("there/", "slash"),
                             ("../there", "d/up"), (f"{top}/d/up", "absolute"),
                             ("d/made", "far")):
            os.symlink(target, f"{top}/{name}")

    with both("paths") as b:
        b.put("there", b"0123456789")
        b.do(furnish)
        for path in ("$D/l", "$D/dl/up", "$D/absolute", "$D//d/../there", "$D/./there",
                     "$D/there/", "$D/there/.", "$D/there/..", "$D/there/x", "$D/a1",
                     "$D/a1/x", "$D/slash", "$D/d/none/x", "$D/" + "n" * 255,
                     "$D/" + "n" * 256, "/" + "n/" * 2100, "", "$D/dangling/",
                     "$D/\udc80", "$D/é", "$D/ "):
            for mode in ("r", "r+"):
                h = b.open(path, mode)
                if h:
                    b("read", handle=h)
                    b("close", handle=h)
        for path in ("$D/new/", "$D/new/.", "$D/none/new", "$D/there/new", "$D/é",
                     "$D/new\n", "$D/ new", "$D/" + "n" * 255, "$D/" + "n" * 256,
                     "$D/dl/new", "$D/dl/../other", "$D/far", "$D/dangling", "$D/a1", ""):
            for mode in ("w", "a+"):
                h = b.open(path, mode)
                if h:
                    b.write(h, path.encode())
                    b("close", handle=h)
        b.files()


def test_a_path_that_is_relative():
    with both("relative") as b:
        b.open("proc/version")


# ---- handles and arguments -------------------------------------------------------------

def test_numbers_of_handles():
    with both("numbers") as b:
        b.put("there")
        first = [s.ask("open", {"path": "$D/there"})["return"] for s in b.sides]
        for n in range(1, 20):
            now = [s.ask("open", {"path": "$D/there"})["return"] for s in b.sides]
            assert [x - y for x, y in zip(now, first)] == [n, n]
            for s, x in zip(b.sides, now):
                assert s.call("guest-file-close", handle=x) == {"return": {}}


def test_unknown_handles():
    with both("unknown") as b:
        for number in (0, -1, 1, 999, 1 << 31, 1 << 32, (1 << 63) - 1, -1 << 63, 1 << 63):
            b("read", handle=number)
            b("read", handle=number, count=-1)
            b.write(number, b"x")
            b.write(number, b"x", count=7)
            b("seek", handle=number, offset=0, whence=0)
            b("seek", handle=number, offset=0, whence=9)
            b("flush", handle=number)
            b("close", handle=number)


def test_handles_that_are_closed():
    with both("closed") as b:
        b.put("there", b"0123456789")
        for mode in ONE_OF_EACH:
            h, other = b.open("$D/there", mode), b.open("$D/there")
            b("close", handle=h)
            b("close", handle=h)
            b("read", handle=h)
            b.write(h, b"x")
            b("seek", handle=h, offset=0, whence=0)
            b("flush", handle=h)
            b("read", handle=other, count=3)
            b("close", handle=other)
        b.files()


def test_arguments_of_the_wrong_type():
    wrong = ("1", 1.5, 1e3, True, None, [], {}, "")
    with both("types") as b:
        b.put("there", b"0123456789")
        h = b.open("$D/there")
        for value in wrong:
            for command in ("read", "flush", "close"):
                b(command, handle=value)
            b("write", handle=value, buf_b64="YQ==")
            b("seek", handle=value, offset=0, whence=0)
            b("read", handle=h, count=value)
            b("write", handle=h, buf_b64="YQ==", count=value)
            b("seek", handle=h, offset=value, whence=0)
        for value in (1, 1.5, True, None, [], {}):
            b("open", path=value)
            b("open", path="$D/there", mode=value)
            b("write", handle=h, buf_b64=value)
        for command in ("open", "read", "write", "seek", "flush", "close"):
            b(command)
        b("open", mode="r")
        b("write", handle=h)
        b("seek", handle=h)
        b("seek", handle=h, offset=0)
        b("seek", handle=h, whence=0)
        b("read", handle=h, counts=1)
        b("open", path="$D/there", flags=0)
        b("close", handle=h, count=1)


# ---- any sequence ----------------------------------------------------------------------

def step(rng, b, handles):
    """One step that may follow any other; what is compared is the whole reply."""
    h = rng.choice(handles)
    kind = rng.random()
    if kind < 0.35:
        b("read", handle=h, count=rng.choice((0, 1, 7, 100, 4096, 5000, 70000)))
    elif kind < 0.65:
        size = rng.choice((0, 1, 3, 100, 4095, 4096, 4097, 20000))
        b.write(h, rng.randbytes(size), **rng.choice(({}, {}, {"count": size // 2})))
    elif kind < 0.92:
        where = rng.choice((0, 1, 10, 4096, 50000, rng.randrange(200000)))
        whence = rng.choice(("set", "cur", "end", 0, 1, 2))
        sign = 1 if whence in ("set", 0) else rng.choice((1, -1, -1))
        b("seek", handle=h, offset=where * sign, whence=whence)
    else:
        b("flush", handle=h)
    # The reference has a buffer for each handle: what another sees comes with its flush.
    if len(handles) > 1:
        b("flush", handle=h)


def sequence_test(seed):
    def check():
        rng = random.Random(seed)
        mode = (MODES * 2)[seed]
        with both("sequence") as b:
            b.put("there", rng.randbytes(rng.choice((0, 10, 4096, 100000))))
            h = b.open("$D/there", mode)
            for _ in range(STEPS):
                step(rng, b, [h])
            b("close", handle=h)
            b.files()
    return f"a sequence of {STEPS} steps in mode {(MODES * 2)[seed]}, seed {seed}", check


def test_the_agent_stops():
    LIVE["agent"].stop()


def test_no_row_of_the_list_is_idle():
    """A difference that is gone must go from the list; but for tests that were skipped."""
    idle = [f"{r.place}: {r.request}" for r in LIVE["rows"] if not r.used
            and any(re.fullmatch(r.place, p) for p in LIVE["places"])]
    assert not idle, idle


def main():
    todo = tap.tests(globals())
    first = todo.index(test_the_mode_of_an_open_without_one)
    last = todo.index(test_the_agent_stops)
    tap.run(todo[:first] + [mode_test(m) for m in MODES] + todo[first:last]
            + [sequence_test(n) for n in range(SEEDS)] + todo[last:])


main()
