#!/usr/bin/python3
"""Replies leave in the order of the requests; and what becomes of that when an operation
hangs: its client begins anew, and after two seconds it is abandoned.
"""
# run: limit 90
import json
import os
import shutil
import socket
import subprocess
import time

import guard
import tap
from agent import PATIENCE, Agent, children, comm, is_zombie, wait_until

EMPTY = b'{"return": {}}'
PING = b'{"execute":"guest-ping"}'
# Two seconds are given to an operation; more shows in the second figure.
EARLIEST, LATEST = 1.9, 3.0
REQUESTS_MAX = 16  # under way at the same time


def sleep(ms, extra=b""):
    return b'{"execute":"test-sleep","arguments":{"ms":%d}%s}\n' % (ms, extra)


def sync(number):
    return b'{"execute":"guest-sync","arguments":{"id":%d}}\n' % number


def agent():
    return Agent(profile="legacy", testops=True)


def ends(a, command="test-sleep"):
    """The records of completion of COMMAND so far."""
    return [r for r in a.records()
            if r["POSTERN_EVENT"] == "complete" and r["POSTERN_COMMAND"] == command]


def wait_ends(a, count):
    wait_until(lambda: len(ends(a)) >= count, f"{count} completions")
    return ends(a)


def operations(a):
    """Op children that run: the worker's children but its writer, which is the first."""
    return [p for p in children(a.child("worker"))[1:] if not is_zombie(p)]


# ---- order -----------------------------------------------------------------------------------

def test_many_pings():
    """2,000 with an id each, in one write, in order."""
    with agent() as a, a.client() as c:
        c.send(b"".join(b'{"execute":"guest-ping","id":%d}' % n for n in range(2000)))
        assert c.recv_replies(2000) == [b'{"return": {}, "id": %d}' % n for n in range(2000)]
        c.nothing(0.1)


def test_mixed_pipeline():
    """What the frontend, the inspector and op children answer, and errors, do not
    overtake each other."""
    kinds = [
        (b'{"execute":"guest-ping","id":%d}', "{}"),
        (b'{"execute":"guest-get-osinfo","id":%d}', "kernel-release"),
        (b'{"execute":"test-sleep","arguments":{"ms":1},"id":%d}', "{}"),
        (b'{"execute":"nonsense","id":%d}', "CommandNotFound"),
        (b'{"execute":"guest-get-host-name","id":%d}', "host-name"),
        (b'{"execute":"guest-ping","arguments":{"x":1},"id":%d}', "'x' is unexpected"),
    ]
    with agent() as a, a.client() as c:
        c.send(b"".join(kinds[n % len(kinds)][0] % n for n in range(300)))
        for n, line in enumerate(c.recv_replies(300)):
            assert json.loads(line)["id"] == n, (n, line)
            assert kinds[n % len(kinds)][1] in line.decode(), (n, line)


def test_a_backlog_of_long_replies():
    """More of them than are written at once, and no further input to wake anybody."""
    with agent() as a, a.client() as c:
        ids = [b'"%03d%s"' % (n, b"i" * 4000) for n in range(200)]
        c.send(sleep(300) + b"".join(b'{"execute":"guest-ping","id":%s}' % i for i in ids))
        assert c.recv_replies(201) == [EMPTY] + [b'{"return": {}, "id": %s}' % i for i in ids]


def test_ping_behind_an_operation_waits():
    with agent() as a, a.client() as c:
        start = time.monotonic()
        c.send(sleep(700, b',"id":1') + b'{"execute":"guest-ping","id":2}')
        c.nothing(0.4)
        assert c.recv_replies(2) == [b'{"return": {}, "id": 1}', b'{"return": {}, "id": 2}']
        assert time.monotonic() - start >= 0.7


def test_without_a_sync_nothing_is_abandoned():
    """However long it takes: the client waits for it."""
    with agent() as a, a.client() as c:
        start = time.monotonic()
        c.send(sleep(3000, b',"id":1') + b'{"execute":"guest-ping","id":2}')
        assert c.recv_replies(2) == [b'{"return": {}, "id": 1}', b'{"return": {}, "id": 2}']
        assert time.monotonic() - start >= 3
        record = wait_ends(a, 1)[0]
        assert "POSTERN_ABANDONED" not in record and record["POSTERN_RESULT"] == "ok", record


# ---- abandonment -----------------------------------------------------------------------------

def check_abandoned(a, c, resync, mark):
    """A hung operation, a ping and RESYNC behind it: MARK comes after two seconds."""
    start = time.monotonic()
    c.send(sleep(3500, b',"id":"late"') + PING + resync)
    first = c.recv_replies(1)
    passed = time.monotonic() - start
    assert EARLIEST <= passed <= LATEST, passed
    assert first == [EMPTY], first  # the ping, which nobody gave up
    lines = c.recv_replies(1)
    while mark not in lines[-1]:
        lines += c.recv_replies(1)
    assert time.monotonic() - start <= LATEST
    assert len(operations(a)) == 1, "it runs on"
    # What comes now is answered at once, by every process.
    assert c.call("guest-ping") == {"return": {}}
    assert c.call("guest-get-osinfo")["return"]["machine"] == os.uname().machine
    assert time.monotonic() - start <= LATEST
    # One that is under way as the late reply comes: it must not be taken for its own.
    again = time.monotonic()
    c.send(sleep(2000, b',"id":"new"'))
    assert c.recv_replies(1) == [b'{"return": {}, "id": "new"}']
    assert time.monotonic() - again >= 2
    first, second = wait_ends(a, 2)
    assert first["POSTERN_ABANDONED"] is True and first["POSTERN_RESULT"] == "ok", first
    assert "POSTERN_ABANDONED" not in second and second["POSTERN_RESULT"] == "ok", second
    c.nothing(0.2)
    assert c.sync() == []
    return lines


def test_sync_behind_a_hung_operation():
    with agent() as a, a.client() as c:
        lines = check_abandoned(a, c, sync(77), b'{"return": 77}')
        assert lines == [b'{"return": 77}'], lines


def test_delimited_sync_behind_a_hung_operation():
    with agent() as a, a.client() as c:
        lines = check_abandoned(
            a, c, b'\xff{"execute":"guest-sync-delimited","arguments":{"id":78}}\n',
            b'\xff{"return": 78}')
        # The 0xFF is answered by an error, as by the reference.
        assert len(lines) == 2 and b"JSON parse error, stray '\\uFFFD'" in lines[0], lines


def test_sync_later_than_two_seconds():
    """The operation is old enough when the sync comes: it need not wait."""
    with agent() as a, a.client() as c:
        c.send(sleep(3500))
        c.nothing(2.2)
        start = time.monotonic()
        c.send(sync(5))
        assert c.recv_replies(1) == [b'{"return": 5}']
        assert time.monotonic() - start < 1


def test_an_operation_that_ends_in_time_is_answered():
    """A sync behind it changes nothing before two seconds are over."""
    with agent() as a, a.client() as c:
        c.send(sleep(1200, b',"id":1') + sync(6))
        assert c.recv_replies(2) == [b'{"return": {}, "id": 1}', b'{"return": 6}']
        assert "POSTERN_ABANDONED" not in wait_ends(a, 1)[0]


def test_the_next_client_is_served():
    """One that goes has given up: the next waits two seconds at the most, and sees none
    of its replies."""
    with agent() as a:
        with a.client() as c:
            c.send(sleep(3500, b',"id":"old"') + PING)
            wait_until(lambda: operations(a), "the operation")
        start = time.monotonic()
        with a.client() as c:
            c.send(PING + b'{"execute":"guest-get-time","id":1}')
            replies = c.recv_replies(2)
            assert replies[0] == EMPTY and json.loads(replies[1])["id"] == 1, replies
            assert time.monotonic() - start <= LATEST
            assert wait_ends(a, 1)[0]["POSTERN_ABANDONED"] is True
            c.nothing(0.2)


def test_twenty_hung_operations():
    """Asked for by one who then goes: as many as fit are carried out, the others are
    refused with a reason; the next client is told the same, and is served as soon as
    there is room. Nothing is left behind."""
    with agent() as a:
        with a.client() as c:
            c.send(sleep(4500) * 20)
            wait_until(lambda: operations(a), "the first")
        with a.client() as c:
            c.send(PING)
            assert c.recv_replies(1, LATEST) == [EMPTY]
            wait_until(lambda: len(operations(a)) == REQUESTS_MAX, "all that fit")
            reply = c.call("test-sleep", ms=1)
            assert reply["error"] == {
                "class": "GenericError", "desc": "Command test-sleep has been disabled: "
                "too many operations are in progress"}, reply
            assert c.call("guest-get-osinfo")["error"]["class"] == "GenericError"
            assert c.sync() == []
            done = wait_ends(a, 21)
            wait_until(lambda: not operations(a), "their ends")
            assert c.call("test-sleep", ms=1) == {"return": {}}
        results = [r["POSTERN_RESULT"] for r in done]
        assert results.count("refused") == 5 and results.count("ok") == 16, results
        for record in done:
            if record["POSTERN_RESULT"] == "ok":
                assert record["POSTERN_ABANDONED"] is True, record
            else:
                assert record["POSTERN_REASON"] == "busy", record
        wait_until(lambda: not [p for p in children(a.child("worker"))[1:] if comm(p)],
                   "the last to be reaped")


# ---- the limit of an operation -------------------------------------------------------------------

def test_time_limit():
    """test-sleep has five seconds; then it is ended, and says so."""
    with agent() as a, a.client() as c:
        start = time.monotonic()
        c.send(sleep(3600000, b',"id":1') + PING)
        assert c.recv_replies(2) == [
            b'{"id": 1, "error": {"class": "GenericError", "desc": '
            b'"test-sleep did not finish within 5 s"}}', EMPTY]
        assert 4.9 <= time.monotonic() - start <= 6.5
        wait_until(lambda: not operations(a), "its end")
        assert wait_ends(a, 1)[0]["POSTERN_RESULT"] == "failed"


# ---- clients that say all and then listen ------------------------------------------------------------

def check_half_closed(requests, count):
    with agent() as a, a.client() as c:
        c.send(requests)
        c.sock.shutdown(socket.SHUT_WR)
        replies = c.recv_replies(count)
        wait_until(lambda: c.sock.recv(1) == b"" if readable(c) else False, "the end")
        with a.client() as after:
            assert after.sync() == []
        return replies


def readable(c):
    try:
        c.sock.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    return True


def test_half_closed():
    """Everything asked is answered, then the agent closes, too."""
    assert check_half_closed(PING * 500, 500) == [EMPTY] * 500


def test_half_closed_with_operations():
    replies = check_half_closed(
        b'{"execute":"guest-get-osinfo","id":1}' + sleep(300, b',"id":2') +
        b'{"execute":"guest-get-host-name","id":3}' + sync(4), 4)
    assert [json.loads(r).get("id") for r in replies[:3]] == [1, 2, 3], replies
    assert replies[3] == b'{"return": 4}', replies


def test_half_closed_inside_a_request():
    """What was never said to its end is not answered."""
    assert check_half_closed(PING + b'{"execute":"guest-pi', 1) == [EMPTY]


def test_socat():
    """The protocol's first announcement shows this command line."""
    socat = shutil.which("socat")
    if not socat:
        tap.skip("no socat")
    with agent() as a:
        done = subprocess.run([socat, "-t", str(PATIENCE), "-", f"UNIX-CONNECT:{a.path}"],
                              input=b"{'execute':'guest-info'}\n", capture_output=True,
                              timeout=PATIENCE, check=True, preexec_fn=guard.harmless)
        reply = json.loads(done.stdout)["return"]
        assert done.stdout.count(b"\n") == 1 and done.stdout.endswith(b"\n")
        assert {"guest-sync", "guest-ping", "guest-exec"} <= \
            {c["name"] for c in reply["supported_commands"]}, reply


def test_one_client_at_a_time():
    """The second waits in the backlog and is served when the first has gone."""
    with agent() as a:
        with a.client() as first, a.client() as second:
            first.sync()
            second.send(PING)
            second.nothing(0.3)
            assert first.call("guest-ping") == {"return": {}}
            first.close()
            assert second.recv_replies(1) == [EMPTY]


tap.run(tap.tests(globals()))
