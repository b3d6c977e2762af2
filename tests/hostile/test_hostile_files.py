#!/usr/bin/python3
# run: limit 150
"""Files and programs with a frontend that is wholly in an attacker's hands (A2 of the
design). The test is the worker's frontend, and its spawner as well: so it sees everything
that the worker would have run.
"""
# pylint: disable=missing-function-docstring
import fcntl
import mmap
import os
import random
import resource
import select
import shutil
import socket
import stat
import struct
import tempfile

import tap
from agent import PATIENCE, VARIANT, wait_until
from hostile import (BAD_ARGS, BODY_FD, ERROR, F_ADD_SEALS, F_GET_SEALS, HEAD, MORE, OPS,
                     REFUSED, REPLY, REQUEST, SEALS, SEAL_WRITE, TABLE, Closed, Descriptors,
                     Worker, fd_count, frame, request, request_head, text)
from stage import Stage

OPEN, CLOSE, READ, WRITE, SEEK, FLUSH = (
    OPS[f"guest-file-{name}"] for name in ("open", "close", "read", "write", "seek", "flush"))
EXEC, STATUS = OPS["guest-exec"], OPS["guest-exec-status"]
FIND_NUMBER = 46  # guest-exec find: the worker's own question, which nobody may ask
FOUND, GO, ENDED, FORGET = range(8, 12)
SEAL_FUTURE_WRITE = 16

MAX = 64 * 1024


def opt(value=None):
    """An optional field of a message: absent, or its bytes behind a mark."""
    return b"\0" if value is None else b"\1" + value


def listed(items):
    return struct.pack("<I", len(items)) + b"".join(map(text, items))


def integer(value):
    return struct.pack("<q", value)


def size(value):
    return struct.pack("<Q", value)


def settle(worker, ask):
    """Until the records of all that was asked are written: a worker that stops waits for
    nobody who reads them."""
    ask()

    def written():
        decision, end = worker.records("decision")[-1:], worker.records("complete")[-1:]
        return (end and "/last" in decision[0].get("POSTERN_ARGS", "")
                and end[0]["POSTERN_REQUEST"] == decision[0]["POSTERN_REQUEST"])
    wait_until(written, "the last record")


# ---- files --------------------------------------------------------------------------

def file_policy(top, mode="read ; create ; replace ; append ; update"):
    return ("[policy]\nbase = none\n[rule \"files\"]\neffect = allow\n"
            "command = @file-read ; @file-write\n"
            f"path-beneath = {top}\nopen-mode = {mode}\nsize-max = {MAX}\n"
            "follow-symlinks = yes\n[rule \"blob\"]\neffect = allow\n"
            "command = test-blob\n")


class Files:
    """A worker with a rule for the directory `top`, and outside it the file `secret`."""

    def __init__(self, **how):
        self.base = os.path.realpath(tempfile.mkdtemp(prefix="postern-test-"))
        self.top, self.secret = f"{self.base}/top", f"{self.base}/secret"
        os.mkdir(self.top)
        self.file = f"{self.top}/f"
        for path, content in ((self.file, b"content"), (self.secret, b"secret")):
            with open(path, "wb") as f:
                f.write(content)
        self.worker = Worker(policy=file_policy(self.top, **how))
        self.new_frontend()

    def __enter__(self):
        return self

    def __exit__(self, *trouble):
        try:
            if trouble[0] is None:
                assert self.content(self.secret) == b"secret"
                assert sorted(os.listdir(self.base)) == ["secret", "top"]
                settle(self.worker, lambda: self.ask(OPEN, text("/last") + opt()))
            self.worker.__exit__(*trouble)
        finally:
            shutil.rmtree(self.base)

    def new_frontend(self):
        self.peer, self.number = self.worker.frontend(), 0

    def send(self, op, args, fds=(), flags=0):
        self.number += 1
        self.peer.send(request(op, self.number, request_head() + args, flags, len(fds)),
                       fds)

    def ask(self, op, args, fds=(), flags=0):
        self.send(op, args, fds, flags)
        return self.peer.reply(self.number)

    def open(self, path, mode="r"):
        reply = self.ask(OPEN, text(path) + opt(text(mode)))
        assert reply.flags == 0, reply.body
        return struct.unpack("<q", reply.body)[0]

    def violates(self, op, args, fds=(), announced=None):
        """The frontend is thrown out for it; the next one is there afterwards."""
        told = len(self.worker.records("child-violation"))
        self.number += 1
        n = len(fds) if announced is None else announced
        self.peer.send(request(op, self.number, request_head() + args, 0, n), fds)
        answers = self.peer.wait_closed()
        assert not answers, (op["name"], args, [(f.type, f.body[:80]) for f in answers])
        self.worker.wait_records("child-violation", told + 1)
        self.new_frontend()

    def content(self, path=None):
        with open(path or self.file, "rb") as f:
            return f.read()


def write_args(handle, length, count=None):
    return integer(handle) + size(length) + opt(None if count is None else integer(count))


def test_handles_are_only_those_that_were_given():
    with Files() as f:
        h = f.open(f.file, "r+")
        for number in (0, 1, -1, 3, 4, 5, 64, 999, h - 1, h + 1, h + (1 << 32), h - (1 << 32),
                       -h, (1 << 63) - 1, -1 << 63):
            for op, args in ((READ, opt()), (SEEK, integer(0) + b"\1" + integer(0)),
                             (FLUSH, b""), (CLOSE, b"")):
                reply = f.ask(op, integer(number) + args)
                assert reply.flags == ERROR, (op["name"], number)
                assert b"has not been found" in reply.body, reply.body
        assert f.ask(CLOSE, integer(h)).flags == 0
        assert f.ask(CLOSE, integer(h)).flags == ERROR
        assert f.open(f.file) == h + 1


def test_a_request_that_only_its_sender_allows():
    """Nothing is marked as refused: by the frontend's word all of it is fine."""
    with Files(mode="read") as f:
        for path, mode in ((f.secret, "r"), (f.secret, "w"), (f.file, "w"), (f.file, "r+"),
                           (f.file, "a"), (f"{f.top}/new", "w"), (f"{f.base}/new", "a"),
                           (f"{f.top}/../secret", "r"), ("/etc/shadow", "r"),
                           (f"{f.top}/../new", "w+")):
            reply = f.ask(OPEN, text(path) + opt(text(mode)))
            assert reply.flags == ERROR, (path, mode)
            assert b"not allowed" in reply.body, reply.body
        assert f.content() == b"content"
        assert os.listdir(f.top) == ["f"]
        assert sorted(os.listdir(f.base)) == ["secret", "top"]
        denied = f.worker.wait_records("decision", f.number)
        assert {r["POSTERN_DECISION"] for r in denied} == {"deny"}
        assert any(r.get("POSTERN_SKEW") for r in denied)
        # And what only its sender refuses: nobody even looks.
        wait_until(lambda: not f.worker.busy(), "the op children to go")
        reply = f.ask(OPEN, text(f.file) + opt(), flags=REFUSED)
        assert reply.flags == ERROR and not f.worker.busy()


def bad_bulks(d):
    """(name, descriptor) of what may not be the three bytes `abc` of a write."""
    future = d.memfd(b"abc", 0)
    mapped = d.memfd(b"abc", 0)
    mapping = mmap.mmap(mapped, 3)
    seals = SEALS & ~SEAL_WRITE | SEAL_FUTURE_WRITE
    fcntl.fcntl(future, F_ADD_SEALS, seals)
    fcntl.fcntl(mapped, F_ADD_SEALS, seals)
    return [*d.hostile(), ("not sealed", d.memfd(b"abc", 0)), ("empty", d.memfd(b"")),
            *((f"without seal {bit}", d.memfd(b"abc", SEALS & ~(1 << bit)))
              for bit in range(4)),
            ("sealed for the future", future), ("still mapped", mapped),
            ("too short", d.memfd(b"ab")), ("too long", d.memfd(b"abcd")),
            ("huge", d.memfd(size=1 << 40))], mapping


def test_content_in_what_is_no_memfd_of_its_size():
    with Files() as f, Descriptors() as d:
        h = f.open(f.file, "r+")
        before = fd_count(f.worker.pid)
        bulks, mapping = bad_bulks(d)
        for _, fd in bulks:
            f.violates(WRITE, write_args(h, 3), [fd])
        good = d.memfd(b"abc")
        f.violates(WRITE, write_args(h, 3))
        f.violates(WRITE, write_args(h, 3), [good, good])
        f.violates(WRITE, write_args(h, 3), [good], announced=0)
        f.violates(WRITE, write_args(h, 3), [], announced=1)
        for length in (0, 2, 4, 1 << 32, (1 << 64) - 1):
            f.violates(WRITE, write_args(h, length), [good])
        for op, args in ((READ, opt()), (CLOSE, b""), (FLUSH, b""),
                         (SEEK, integer(0) + b"\1" + integer(0))):
            f.violates(op, integer(h) + args, [good])
        f.violates(OPEN, text(f.file) + opt(), [good])
        mapping.close()
        assert f.content() == b"content"
        assert before is None or fd_count(f.worker.pid) == before
        # The file is still open, and takes what is as it should be.
        assert f.ask(WRITE, write_args(h, 3), [good]).flags == 0
        assert f.content() == b"abctent"


def test_counts_that_are_not_those_of_the_content():
    with Files() as f, Descriptors() as d:
        h = f.open(f.file, "r+")
        fd = d.memfd(b"abc")
        for count in (4, -1, 1 << 32, (1 << 63) - 1, -1 << 63):
            reply = f.ask(WRITE, write_args(h, 3, count), [fd])
            assert reply.flags == ERROR and b"invalid for argument count" in reply.body
        assert f.content() == b"content"
        for count in (-1, 48 * 1024 * 1024 + 1, 1 << 40, (1 << 63) - 1, -1 << 63):
            reply = f.ask(READ, integer(h) + opt(integer(count)))
            assert reply.flags == ERROR and b"invalid for argument count" in reply.body
        assert f.ask(WRITE, write_args(h, 3, 1), [fd]).flags == 0
        assert f.content() == b"aontent"


def test_what_was_read_comes_alone():
    """The memfd of a read holds what was read, and is no way to anything else."""
    with Files() as f:
        h = f.open(f.file, "r+")
        f.send(READ, integer(h) + opt(integer(1 << 20)))
        packet, fds, _, _ = socket.recv_fds(f.peer.sock, 1 << 17, 8)
        kind, _, _, _, flags, announced, _ = HEAD.unpack_from(packet)
        assert (kind, flags & (MORE | ERROR), announced, len(fds)) == (REPLY, 0, 1, 1)
        with os.fdopen(fds[0], "rb") as got:
            st = os.fstat(got.fileno())
            assert stat.S_ISREG(st.st_mode) and st.st_nlink == 0 and st.st_size == 7
            assert os.pread(got.fileno(), 100, 0) == b"content"
            assert fcntl.fcntl(got.fileno(), F_GET_SEALS) & SEALS == SEALS
            assert os.readlink(f"/proc/self/fd/{got.fileno()}").startswith("/memfd:")


def test_a_file_is_busy_for_whoever_does_not_wait():
    """Many requests for one file at once: each is done, or told that it is busy."""
    with Files() as f, Descriptors() as d:
        path = f"{f.top}/new"
        h = f.open(path, "w")
        fd = d.memfd(b"abc")
        done = 0
        for _ in range(50):
            first = f.number + 1
            for _ in range(8):
                f.send(WRITE, write_args(h, 3), [fd])
            for _ in range(8):
                reply = f.peer.recv()
                assert first <= reply.request <= f.number
                assert not reply.flags or b"is busy" in reply.body, reply.body
                done += not reply.flags
        assert f.content(path) == b"abc" * done and done >= 50


def test_no_crowd_of_appending_files_grows_a_file_beyond_its_size():
    """Who does not wait for replies can have many handles write at once."""
    with Files() as f, Descriptors() as d:
        path = f"{f.top}/new"
        handles = [f.open(path, "a") for _ in range(TABLE["REQUESTS_MAX"] - 2)]
        chunk = d.memfd(bytes(MAX // 16))
        for _ in range(400 if VARIANT == "release" else 50):
            os.truncate(path, MAX - MAX // 16)
            for h in handles:
                f.send(WRITE, write_args(h, MAX // 16), [chunk])
            replies = [f.peer.recv() for _ in handles]
            assert any(r.flags == 0 for r in replies)
            assert os.path.getsize(path) <= MAX, os.path.getsize(path)


def test_the_kernel_keeps_a_file_that_is_written_within_its_size():
    """For every handle of its own, which is what holds a crowd of them."""
    with Files() as f:
        for mode in ("a", "w", "r+"):
            f.open(f"{f.top}/new", mode)
        pids = f.worker.busy()
        assert len(pids) == 3, pids
        for pid in pids:
            assert resource.prlimit(pid, resource.RLIMIT_FSIZE)[0] == MAX, pid


def test_files_of_one_frontend_are_there_for_the_next():
    """As they are for the next session: their number is all that there is to know."""
    with Files() as f:
        h = f.open(f.file)
        f.violates(CLOSE, integer(h) + b"\0")
        assert f.ask(READ, integer(h) + opt()).flags == 0
        assert f.ask(CLOSE, integer(h)).flags == 0
        wait_until(lambda: not f.worker.busy(), "the file to be closed")


def test_frames_that_only_our_own_processes_send():
    """Answers of an op child, of the spawner, of the worker; its question to itself."""
    found = text("/etc/shadow") + integer(0) + integer(0) + b"\1" + size(1) + integer(0)
    ended = integer(1) + opt(integer(0)) + opt() + b"\0" + size(0) + b"\0"
    may_open = integer(0o644) + opt() + opt()
    cases = [frame(kind, op=op["number"], request=n, body=body)
             for kind, body in ((FOUND, found), (GO, may_open), (ENDED, ended), (FORGET, b""))
             for op in (OPEN, EXEC) for n in (0, 1, 7)]
    find = {"number": FIND_NUMBER, "args": []}
    cases += [request(find, 2, request_head() + listed(["/bin/sh"]), flags=flags)
              for flags in (0, REFUSED)]
    with Files() as f:
        for n, packet in enumerate(cases, 1):
            f.peer.send(request(OPEN, 1, request_head() + text(f.secret) + opt()))
            f.peer.send(packet)
            assert all(a.type == REPLY and a.flags == ERROR for a in f.peer.wait_closed())
            f.worker.wait_records("child-violation", n)
            f.new_frontend()
        wait_until(lambda: not f.worker.busy(), "the op children to go")
        assert not f.worker.records("file-open")


def test_more_files_at_once_than_there_may_be():
    with Files() as f:
        opened = 0
        for _ in range(20):
            first = f.number + 1
            for _ in range(8):
                f.send(OPEN, text(f.file) + opt())
            for _ in range(8):
                reply = f.peer.recv()
                assert first <= reply.request <= f.number
                opened += not reply.flags
        assert opened == 64, opened
        f.peer.send(b"x")
        f.peer.wait_closed()
        f.new_frontend()
        for h in range(1000, 1000 + f.number + 200):
            f.ask(CLOSE, integer(h))
        wait_until(lambda: not f.worker.busy(), "all files to be closed")


# ---- programs -----------------------------------------------------------------------

TOOL = "/usr/bin/env"  # any program that is root's alone
NAMED = f"""[policy]
base = none

[exec "tool"]
path = {TOOL}
argv = --since ; {{1h|6h}}
env-allow = LANG ; LC_*
stdin-max = 16
user = daemon
timeout = 60s

[exec "quiet"]
path = {TOOL}
argv = ""
env-allow = ""
stdin = no

[rule "blob"]
effect = allow
command = test-blob
"""


def exec_args(path, args=None, env=None, stdin=None, capture=None):
    return (text(path) + opt(None if args is None else listed(args)) +
            opt(None if env is None else listed(env)) +
            opt(None if stdin is None else size(stdin)) + opt(capture))


class Reader:
    """Takes a message apart; an assertion fails where it does not fit."""

    def __init__(self, data):
        self.data = data

    def take(self, n):
        assert len(self.data) >= n
        got, self.data = self.data[:n], self.data[n:]
        return got

    def text(self):
        return self.take(struct.unpack("<I", self.take(4))[0]).decode("utf-8", "replace")

    def list(self):
        return [self.text() for _ in range(struct.unpack("<I", self.take(4))[0])]

    def number(self):
        return struct.unpack("<Q", self.take(8))[0]

    def opt(self, read):
        return read() if self.take(1) == b"\1" else None


def check_spawn(body):
    """What the spawner is told: one of the two named programs, as its section has it."""
    r = Reader(body)
    path, argv, env, stdin = r.text(), r.list(), r.list(), r.opt(r.number)
    r.take(1)
    user, group, cwd, timeout = r.opt(r.text), r.opt(r.text), r.opt(r.text), r.opt(r.number)
    assert path == TOOL, path
    assert argv[0] == TOOL, argv
    if argv[1:] == [""]:
        assert (env, stdin, user, group, cwd, timeout) == ([], None) + (None,) * 4
    else:
        assert argv[1:] in (["--since", "1h"], ["--since", "6h"]), argv
        assert all(v.startswith(("LANG=", "LC_")) for v in env), env
        assert stdin is None or stdin <= 16
        assert (user, group, cwd, timeout) == ("daemon", None, None, 60000), user


class Programs:
    """A worker under the policy NAMED, whose frontend and spawner the test is."""

    def __init__(self):
        self.worker = Worker(policy=NAMED)
        self.spawner = self.worker.spawner()
        self.peer, self.number, self.pid = self.worker.frontend(), 0, 5000
        self.spawned = 0

    def __enter__(self):
        return self

    def __exit__(self, *trouble):
        if trouble[0] is None:
            self.spawner.nothing()
            settle(self.worker, lambda: self.run("/last"))
        self.worker.__exit__(*trouble)

    def _spawn(self):
        """The spawner's part: look at the order, say that it was carried out."""
        f = self.spawner.recv()
        assert (f.type, f.op) == (REQUEST, EXEC["number"]), (f.type, f.op)
        check_spawn(f.body)
        self.spawned += 1
        self.pid += 1
        self.spawner.send(frame(REPLY, f.op, f.request, body=integer(self.pid) + opt()))

    def ask(self, op, args, fds=(), flags=0, n_fds=None):
        """The reply, or None: the frontend was thrown out, and another is there."""
        self.number += 1
        self.peer.send(request(op, self.number, args, flags,
                               len(fds) if n_fds is None else n_fds), fds)
        try:
            while True:
                ready = select.select([self.peer.sock, self.spawner.sock], [], [], PATIENCE)
                assert ready[0], "neither an answer nor a program"
                if self.spawner.sock in ready[0]:
                    self._spawn()
                if self.peer.sock in ready[0]:
                    return self.peer.reply(self.number)
        except Closed:
            self.peer.close()
            self.peer, self.number = self.worker.frontend(), 0
            return None

    def run(self, *args, fds=(), flags=0, **more):
        return self.ask(EXEC, request_head() + exec_args(*args, **more), fds, flags)


def test_the_named_programs_can_be_run():
    """That the tests below would see one."""
    with Programs() as p, Descriptors() as d:
        assert p.run("tool", ["--since", "6h"]).flags == 0
        assert p.run("tool", ["--since", "1h"], env=["LANG=C", "LC_ALL=x"]).flags == 0
        assert p.run("tool", ["--since", "1h"], stdin=3, fds=[d.memfd(b"abc")]).flags == 0
        assert p.run("quiet", [""]).flags == 0
        assert p.spawned == 4


PATHS = ["/bin/sh", "sh", "env", TOOL, "/usr/bin/../bin/env", "//usr/bin/env", "./tool",
         "tool/", "/tool", "Tool", "TOOL", "tool ", " tool", "tool\n", "too", "tools", "", "/", ".", "..",
         "*", "{tool|sh}", "tool;sh", "tool ; sh", "[exec \"tool\"]", "quiet/../sh",
         "/proc/self/exe", "/bin/busybox", "/usr/bin/env sh", "\ufffdtool", "exec", "blob",
         "/etc/passwd", "/root/.profile", "a" * 300, "/" * 5000]
GOOD = ["--since", "6h"]


def test_no_other_program_is_run_whatever_it_is_called():
    with Programs() as p:
        for path in PATHS:
            for args in (None, [], GOOD, [""], ["-c", "id"]):
                for flags in (0, REFUSED):
                    reply = p.run(path, args, flags=flags)
                    assert reply is not None and reply.flags == ERROR, (path, args, flags)
        assert p.spawned == 0
        assert not p.worker.records("exec-start")
        decisions = p.worker.wait_records("decision", p.number)
        assert {r["POSTERN_DECISION"] for r in decisions} == {"deny"}


def test_no_other_arguments_environment_or_input():
    with Programs() as p, Descriptors() as d:
        for args in (None, [], [""], ["--since"], ["--since", "2h"], ["--since", "1h", ""],
                     ["--since", "{1h|6h}"], ["--since", "1h|6h"], ["--since", "*"],
                     ["--since 1h"], ["", "--since", "1h"], GOOD * 2, ["--since", "6h "],
                     ["-S", "sh -c id"], ["--since", "6H"], ["x"] * 5000):
            assert p.run("tool", args).flags == ERROR, args
        for args in (None, [], ["x"], ["", ""], GOOD):
            assert p.run("quiet", args).flags == ERROR, args
        for env in (["LD_PRELOAD=/tmp/x"], ["PATH=/tmp"], ["LANG=C", "LD_AUDIT=x"], ["LAN=x"],
                    ["LANGUAGE=x"], ["=x"], ["=LANG=x"], ["lang=C"], ["LC=x"],
                    ["LD_PRELOAD=x\nLANG=C"], [" LANG=x"], ["BASH_FUNC_x%%=() { :; }"]):
            assert p.run("tool", GOOD, env).flags == ERROR, env
        for env in (["LANG=C"], ["LC_ALL=C"], ["X=1"]):
            assert p.run("quiet", [""], env).flags == ERROR, env
        large = d.memfd(b"a" * 17)
        assert p.run("tool", GOOD, stdin=17, fds=[large]).flags == ERROR
        assert p.run("quiet", [""], stdin=3, fds=[d.memfd(b"abc")]).flags == ERROR
        assert p.spawned == 0
        assert not p.worker.records("exec-start")


def test_marks_and_bodies_that_say_otherwise():
    with Programs() as p, Descriptors() as d:
        bad = request_head() + exec_args("/bin/sh", ["-c", "id"])
        good = request_head() + exec_args("tool", GOOD)
        assert p.run("tool", GOOD, flags=REFUSED).flags == ERROR
        assert p.ask(EXEC, request_head(), flags=BAD_ARGS).flags == ERROR
        assert p.ask(EXEC, good, flags=BAD_ARGS) is None
        # A body in a memfd is the body, and beside it there is none.
        assert p.ask(EXEC, b"", [d.memfd(bad)], BODY_FD).flags == ERROR
        assert p.ask(EXEC, good, [d.memfd(bad)], BODY_FD) is None
        assert p.ask(EXEC, bad, [d.memfd(good)], BODY_FD) is None
        assert p.ask(EXEC, b"", [d.memfd(good, 0)], BODY_FD) is None
        assert p.ask(EXEC, good + bad) is None
        assert p.spawned == 0
        assert p.ask(EXEC, b"", [d.memfd(good)], BODY_FD).flags == 0
        assert p.spawned == 1


def test_input_in_what_is_no_memfd_of_its_size():
    with Programs() as p, Descriptors() as d:
        bulks, mapping = bad_bulks(d)
        for name, fd in bulks:
            assert p.run("tool", GOOD, stdin=3, fds=[fd]) is None, name
        good = d.memfd(b"abc")
        assert p.run("tool", GOOD, stdin=3) is None
        assert p.run("tool", GOOD, stdin=3, fds=[good, good]) is None
        assert p.run("tool", GOOD, fds=[good]) is None
        for length in (0, 2, 4, 1 << 32, (1 << 64) - 1):
            reply = p.run("tool", GOOD, stdin=length, fds=[good])
            assert reply is None or reply.flags == ERROR, length
        mapping.close()
        assert p.spawned == 0


def test_the_status_of_what_was_not_started():
    with Programs() as p:
        reply = p.run("tool", GOOD)
        pid = struct.unpack("<q", reply.body)[0]
        assert pid == p.pid
        for other in (0, 1, -1, os.getpid(), p.worker.pid, pid + 1, -pid, pid + (1 << 32),
                      (1 << 63) - 1, -1 << 63):
            reply = p.ask(STATUS, request_head() + integer(other))
            assert reply.flags == ERROR and b"Invalid parameter 'pid'" in reply.body, other
        p.spawner.nothing()


def mutated(rng, body):
    body = bytearray(body)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        at = rng.randrange(len(body) + 1)
        what = rng.randrange(6)
        if what < 3 and body:
            body[at % len(body)] ^= 1 << rng.randrange(8)
        elif what == 3:
            body[at:at] = rng.randbytes(rng.randint(1, 9))
        elif what == 4:
            del body[at:at + rng.randint(1, 9)]
        else:
            body[at:at] = body[rng.randrange(len(body) + 1):][:rng.randint(1, 40)]
    return bytes(body)


def test_mutations_of_what_is_allowed():
    """Whatever comes of it, the spawner is told nothing but what the sections say."""
    rng = random.Random(20260202)
    outcomes = {"run": 0, "refused": 0, "thrown out": 0}
    bodies = [request_head(client_id="id") + exec_args("tool", GOOD, ["LANG=C.UTF-8"], 3),
              request_head() + exec_args("quiet", [""]),
              request_head() + exec_args("tool", GOOD, ["LC_TIME=C" * 20],
                                         capture=b"\0" + integer(1))]
    with Programs() as p, Descriptors() as d:
        bulk = d.memfd(b"abc")
        for n in range(1500):
            body = bodies[n % 3]
            fds = [bulk] if n % 3 == 0 else []
            before = p.spawned
            reply = p.ask(EXEC, mutated(rng, body), fds, rng.choice((0, 0, 0, REFUSED)))
            if reply is None:
                outcomes["thrown out"] += 1
            else:
                outcomes["refused" if reply.flags else "run"] += 1
                assert p.spawned == before + (reply.flags == 0)
        print(f"# {outcomes}")
        assert min(outcomes.values()) >= 10, outcomes


def test_a_real_spawner_runs_the_named_program_and_no_other():
    if os.geteuid() != 0:
        tap.skip("needs root: a program that is root's alone")
    root = tempfile.mkdtemp(prefix="postern-policy-")
    place = tempfile.mkdtemp(prefix="postern-named-", dir="/run")
    try:
        os.chmod(root, 0o755)
        os.chmod(place, 0o755)
        for name in ("named", "other"):
            with open(f"{place}/{name}", "w", encoding="ascii") as f:
                f.write(f"#!/bin/sh\necho \"$*\" >>{place}/{name}.ran\n")
            os.chmod(f.name, 0o755)
        os.makedirs(f"{root}/etc/postern", 0o755)
        with open(f"{root}/etc/postern/policy.conf", "w", encoding="ascii") as f:
            f.write(f"[policy]\nbase = none\n[exec \"name\"]\npath = {place}/named\n"
                    "argv = a\nenv-allow = \"\"\n[rule \"time\"]\neffect = allow\n"
                    "command = guest-get-time ; test-blob\n")
        with Stage("frontend", profile=None, args=["--policy-root", root]) as a:
            a.start()
            puppet = a.puppet()
            peer = puppet.greet()
            a.child("spawner")
            cases = [(f"{place}/other", ["a"]), (f"{place}/named", ["a"]), ("/bin/sh", ["-c",
                     f"touch {place}/other.ran"]), ("name", ["b"]), ("name", [])]
            for n, (path, args) in enumerate(cases, 1):
                peer.send(request(EXEC, n, request_head() + exec_args(path, args)))
                assert peer.reply(n).flags == ERROR, (path, args)
            peer.send(request(EXEC, len(cases) + 1, request_head() + exec_args("name", ["a"])))
            reply = peer.reply(len(cases) + 1)
            assert reply.flags == 0, reply.body
            wait_until(lambda: os.path.exists(f"{place}/named.ran"), "the program")
            a.wait_record(lambda r: r["POSTERN_EVENT"] == "exec-exit")
            with open(f"{place}/named.ran", encoding="ascii") as f:
                assert f.read() == "a\n"
            assert sorted(os.listdir(place)) == ["named", "named.ran", "other"]
            starts = [r for r in a.records() if r["POSTERN_EVENT"] == "exec-start"]
            assert len(starts) == 1
            puppet.end(67)
            a.puppet().become(a.real)
            a.wait_ready()
    finally:
        shutil.rmtree(root)
        shutil.rmtree(place)


tap.run(tap.tests(globals()), limit=60)
