#!/usr/bin/python3
"""Whatever the host sends: the error that it deserves, bounded memory, and then service
as usual.

What memory is, gauge.py says; test_hostile_memory.py has the answers that are large.
"""
# run: limit 90
import json
import os
import random
import select
import time

import gauge
import tap
from agent import PATIENCE, VARIANT, Agent, stopped, wait_until
from gauge import BULK, IS_ROOT, LIMIT, MIB, figure, measured, memfds

# With a bulk argument in the largest message.
BULK_MAX = 64 * MIB + BULK
FRONTEND_AFTER = 4 * MIB
# The largest floods of replies need not be seen in every configuration.
FLOOD = 4 * MIB if os.environ.get("POSTERN_ONCE") else MIB

OVER_SIZE = "JSON token size limit exceeded"
OVER_COUNT = "JSON token count limit exceeded"
OVER_DEPTH = "JSON nesting depth limit exceeded"


# ---- memory ---------------------------------------------------------------------------------

def frontend_now(agent):
    """What the frontend holds; as an ordinary user one cannot see what of it is shared."""
    pid = agent.child("frontend")
    return figure(pid, "smaps_rollup", "Pss") if IS_ROOT else figure(pid, "status", "RssAnon")


def check_memory(peak, after, limit=LIMIT):
    gauge.check(peak, limit)
    if VARIANT != "asan":  # test_figures says so
        assert after < FRONTEND_AFTER, f"{after / MIB:.1f} MiB"


# ---- floods ---------------------------------------------------------------------------------

class Flood:
    """Sends DATA and then starts over; what came back: how many lines, and which."""

    MARK = b'\xff{"return": 4711}\n'
    RESET = b'\xff{"execute":"guest-sync-delimited","arguments":{"id":4711}}\n'

    def __init__(self, client, data):
        self.sock = client.sock
        self.lines = 0
        self.texts = set()
        self.rest = b""
        self.end = time.monotonic() + 25
        self._run(data)
        self._run(self.RESET, until=self.MARK)

    def _run(self, data, until=None):
        view = memoryview(data)
        while view or (until and not self.rest.endswith(until)):
            assert time.monotonic() < self.end, f"{len(view)} bytes left, {self.lines} lines"
            r, w, _ = select.select([self.sock], [self.sock] if view else [], [], 1)
            if r:
                self._take(self.sock.recv(MIB), until)
            if w:
                view = view[self.sock.send(view[:MIB]):]

    def _take(self, piece, until):
        assert piece, "the agent hung up"
        self.rest += piece
        if until and self.rest.endswith(until):
            self._count(self.rest[:-len(until)])
            self.rest = until
            return
        whole, lf, self.rest = self.rest.rpartition(b"\n")
        self._count(whole + lf)

    def _count(self, text):
        self.lines += text.count(b"\n")
        self.texts.update(text.split(b"\n")[:-1])


def error_of(line):
    """The description in an error of class GenericError, and in nothing else."""
    reply = json.loads(line)
    assert reply.keys() <= {"error", "id"} and reply["error"]["class"] == "GenericError", line
    return reply["error"]["desc"]


RESET_ERROR = "JSON parse error, stray '\ufffd'"


def check_attack(data, want, count=1, limit=LIMIT):
    """DATA gets COUNT replies, all of them WANT (text of an error; None: any error)."""
    with measured() as (a, g), a.client() as c:
        c.sync()
        flood = Flood(c, data() if callable(data) else data)
        assert c.call("guest-get-osinfo")["return"]["machine"]
        after, peak = frontend_now(a), g.peak()
        errors = {json.loads(line)["error"]["desc"] for line in flood.texts}
        assert RESET_ERROR in errors and flood.lines == count + 1, (flood.lines, errors)
        if want:
            assert errors - {RESET_ERROR} == {want}, errors
        assert len(a.pids("frontend")) == 1 and a.stderr() == "", a.stderr()
    check_memory(peak, after, limit)


def request(command, arguments):
    return b'{"execute":"%s","arguments":{%s}}\n' % (command, arguments)


def long_id():
    return b'{"execute":"guest-ping","id":"' + b"a" * (64 * MIB) + b'"}\n'


def long_argument():
    return request(b"guest-file-open", b'"path":"' + b"a" * (64 * MIB) + b'"')


def bulk(size):
    """A request whose argument buf-b64 has SIZE characters."""
    return request(b"guest-file-write", b'"handle":1,"buf-b64":"' + b"QUFB" * (size // 4) + b'"')


ATTACKS = [
    ("1 MiB of [", b"[" * MIB + b"\n", OVER_DEPTH),
    ("64 MiB string as id", long_id, OVER_SIZE),
    ("64 MiB string as argument", long_argument, OVER_SIZE),
    ("64 MiB of members without values",
     lambda: b"{" + b'"a":' * (16 * MIB) + b"\n", OVER_COUNT),
    ("64 MiB of members", lambda: b"{" + b'"a":1,' * (64 * MIB // 6) + b"\n", OVER_COUNT),
    ("64 MiB of members, each another one",
     lambda: b"{" + b",".join(b'"%08x":1' % n for n in range(64 * MIB // 13)) + b"}\n",
     OVER_COUNT),
    ("1,048,576 numbers", b"[" + b"1," * (MIB - 1) + b"1]\n", OVER_COUNT),
    ("1,048,576 numbers as argument",
     request(b"guest-ping", b'"x":[' + b"1," * (MIB - 1) + b"1]"), OVER_COUNT),
    ("64 MiB of white space in a request",
     lambda: b"{" + b" " * (64 * MIB) + b"}\n", OVER_SIZE),
    ("64 MiB number", lambda: b'{"x":' + b"1" * (64 * MIB) + b"}\n", OVER_SIZE),
    ("64 MiB keyword", lambda: b'{"x":' + b"t" * (64 * MIB) + b"}\n", OVER_SIZE),
]
# Valid, and as large as it may be.
LARGE = [
    ("65,000 objects for the tree", request(b"guest-ping", b'"x":[' + b"{}," * 43000 + b"{}]"),
     "Parameter 'x' is unexpected"),
    ("60,000 numbers for the tree", request(b"guest-ping", b'"x":[' + b"1," * 60000 + b"1]"),
     "Parameter 'x' is unexpected"),
    ("1,000 members for the tree",
     request(b"guest-ping", b",".join(b'"%d":1' % n for n in range(1000))),
     "Parameter '0' is unexpected"),
    ("3 strings of 1 MiB",
     request(b"guest-ping", b",".join(b'"%d":"%s"' % (n, b"a" * (MIB - 9)) for n in range(3))),
     "Parameter '0' is unexpected"),
    ("3 MiB of id",
     b'{"execute":"nonsense","id":[%s]}\n' % b",".join([b'"%s"' % (b"a" * (MIB - 9))] * 3),
     "The command nonsense has not been found"),
]
# More than once: what an allocator has seen freed it may keep for the next.
REPEATED = 4


def random_bytes():
    return random.Random(2).randbytes(16 * MIB)


def test_random_bytes():
    """16 MiB, the same in every run: errors only, each of them one good line."""
    with measured() as (a, g), a.client() as c:
        flood = Flood(c, random_bytes())
        after, peak = frontend_now(a), g.peak()
        assert flood.lines > 100000, flood.lines
        for line in flood.texts:
            assert error_of(line).startswith(("JSON ", "QMP ")), line
        assert c.call("guest-get-osinfo")["return"]["machine"]
        assert a.stderr() == "", a.stderr()
    check_memory(peak, after)


def test_closing_brackets():
    """Each of them is a mistake of its own, as the reference has it."""
    check_attack(b"}" * FLOOD, "JSON parse error, expecting value", FLOOD)


def test_bulk_argument():
    """48 MiB of data: decoded as it comes, held once and never as text."""
    check_attack(lambda: bulk(64 * MIB - 200), None, limit=BULK_MAX)


def test_bulk_argument_too_long():
    check_attack(lambda: bulk(64 * MIB), OVER_SIZE, limit=BULK_MAX)


def held(agent):
    """Bytes in memfds that the frontend has."""
    return sum(memfds([agent.child("frontend")]).values())


def test_bulk_is_given_back():
    """Also by a client that goes in the middle of it."""
    if not IS_ROOT:
        tap.skip("needs root, to see memfds")
    with Agent() as a:
        with a.client() as c:
            c.send(bulk(32 * MIB)[:-3 * MIB])
            wait_until(lambda: held(a) > 20 * MIB, "the data")
        with a.client() as c:
            c.sync()
            wait_until(lambda: held(a) < MIB, lambda: f"{held(a)} bytes to be given back")


def test_bulk_arguments_that_wait():
    """Behind an operation: together they hold what one message may, and no more."""
    with Agent(profile="legacy") as a, a.client() as c:
        with stopped(a.child("worker")):
            c.send(request(b"guest-get-host-name", b"") + bulk(40 * MIB) * 2, timeout=60)
        name, first, second = c.recv_replies(3)
    assert b"host-name" in name, name
    assert error_of(first) == "handle '1' has not been found", first
    assert error_of(second) == "there is no room for the data at present", second


# ---- clients that do not read ---------------------------------------------------------------

def stuff(client, data):
    """Send until nothing more is taken for half a second; how much was."""
    sent = 0
    while sent < len(data) and select.select([], [client.sock], [], 0.5)[1]:
        sent += client.sock.send(data[sent:sent + MIB])
    return sent


def check_mute(piece):
    """A client that sends 64 MiB of PIECE and reads no reply is not read on from; its
    successor is served, the processes are the same."""
    data = piece * (64 * MIB // len(piece))
    with measured(profile="legacy") as (a, g):
        pids = [a.child(name) for name in ("frontend", "worker")]
        with a.client() as c:
            sent = stuff(c, data)
            assert sent < 16 * MIB, f"{sent} bytes were taken"
        with a.client() as c:
            c.sync(PATIENCE)
            assert c.call("guest-get-osinfo")["return"]["machine"]
            after, peak = frontend_now(a), g.peak()
        assert pids == [a.child(name) for name in ("frontend", "worker")]
    check_memory(peak, after)


def test_pings_without_reading():
    check_mute(b'{"execute":"guest-ping"}\n')


def test_garbage_without_reading():
    check_mute(b"}")


def test_large_ids_without_reading():
    """Each is echoed, six bytes for one."""
    check_mute(b'{"execute":"guest-ping","id":"%s"}\n' % (b"\\u0001" * 100000))


def test_operations_without_reading():
    check_mute(b'{"execute":"guest-get-osinfo","id":"%s"}\n' % (b"x" * 1000000))


def test_large_results_without_reading():
    """A reply of 1 MiB for 60 bytes: the socket takes more requests than are looked at."""
    with measured(profile="legacy", testops=True) as (a, g):
        with a.client() as c:
            stuff(c, b'{"execute":"test-blob","arguments":{"size":1048576}}' * 5000)
        with a.client() as c:
            c.sync()
            after, peak = frontend_now(a), g.peak()
    check_memory(peak, after)


def test_one_byte_at_a_time():
    """Sent and read: others are served meanwhile, and no more is read from it."""
    with measured(profile="legacy", testops=True) as (a, g):
        with a.client() as c:
            for n in b'{"execute":"guest-ping"}\n':
                c.send(bytes([n]))
                time.sleep(0.02)
            assert c.recv_replies(1) == [b'{"return": {}}']
            stuff(c, b'{"execute":"test-blob","arguments":{"size":1048576}}' * 5000)
            for _ in range(15):
                assert len(c.sock.recv(1)) == 1
                a.ctl("status", status=0)
                time.sleep(0.1)
            assert stuff(c, b" " * MIB) < MIB
        with a.client() as c:
            c.sync(PATIENCE)
            after, peak = frontend_now(a), g.peak()
    check_memory(peak, after)


def test_a_backlog_behind_an_operation():
    """Requests of almost 1 MiB each wait for a slow one: as many as the bound takes, the
    rest stays with the client."""
    piece = request(b"guest-file-open", b'"path":"%s"' % (b"p" * (MIB - 100)))
    with measured(profile="legacy", testops=True) as (a, g), a.client() as c:
        c.send(b'{"execute":"test-sleep","arguments":{"ms":1500}}')
        sent = stuff(c, piece * 64)
        assert sent < 16 * MIB, f"{sent} bytes were taken"
        c.send(piece[sent % len(piece):] if sent % len(piece) else b"")
        assert c.recv_replies(1) == [b'{"return": {}}']
        c.reset()
        after, peak = frontend_now(a), g.peak()
    check_memory(peak, after)


def test_figures():
    """The bounds on memory above were looked at."""
    if VARIANT == "asan":
        tap.skip("no figure of memory was looked at: the sanitizer keeps what is freed")


def cases():
    todo = [(name, lambda d=data, w=want: check_attack(d, w)) for name, data, want in ATTACKS]
    todo += [(name, lambda d=data, w=want: check_attack(d * REPEATED, w, REPEATED))
             for name, data, want in LARGE]
    return todo + tap.tests(globals())


tap.run(cases())
