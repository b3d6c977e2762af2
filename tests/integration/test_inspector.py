"""the inspector as a process: what the worker at the other end of its socket sees

The test is the worker. It greets with the inspector's own hello, which is the same both
ways, so no table is repeated here but the numbers of the operations.
"""
# pylint: disable=missing-function-docstring
import os
import re
import signal
import socket
import struct
import subprocess
import time

import guard
import tap
from agent import PATIENCE, build_dir, free_uids, status

HEAD = struct.Struct("<HHIIHHI")
HELLO, POLICY, REQUEST, REPLY = 1, 2, 3, 4
BODY_FD = 4
GET_TIME, PING, HOST_NAME, TIMEZONE, OSINFO = 4, 3, 33, 35, 36
CONFIG, PEER_GONE, VIOLATION = 64, 65, 67


def frame(kind, op=0, request=0, flags=0, fds=0, body=b"", length=None):
    return HEAD.pack(kind, op, request, 0, flags, fds,
                     len(body) if length is None else length) + body


class Inspector:
    """Started as the supervisor would: descriptor 3, a user without privilege."""

    def __init__(self, greet=True, env=None):
        self.sock, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.settimeout(PATIENCE)
        # By descriptor, since its user may not be able to walk the path.
        program = os.open(os.path.join(build_dir(), "postern-inspector"), os.O_RDONLY)
        uid = free_uids(2)[1] if os.geteuid() == 0 else None
        drop = {} if uid is None else {"user": uid, "group": uid, "extra_groups": []}
        spare = os.dup2(other.fileno(), 100)
        self.process = subprocess.Popen(
            ["/bin/bash", "-c", f'exec "$0" 3<&{spare} {spare}<&-',
             f"/proc/self/fd/{program}"],
            env=env or {}, pass_fds=[spare, program], stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE, preexec_fn=guard.harmless, **drop)
        for fd in (program, spare):
            os.close(fd)
        other.close()
        self.hello = self.sock.recv(65536)
        if greet:
            self.sock.send(self.hello)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()
        self.process.kill()
        self.process.communicate()

    def ask(self, op, request=1, body=b""):
        """The body of the reply."""
        self.sock.send(frame(REQUEST, op, request, body=body))
        reply = self.sock.recv(1 << 17)
        kind, rop, rrequest, _, flags, fds, length = HEAD.unpack_from(reply)
        assert (kind, rop, rrequest, flags, fds) == (REPLY, op, request, 0, 0), reply
        assert length == len(reply) - HEAD.size
        return reply[HEAD.size:]

    def ends_with(self, expected):
        assert self.process.wait(PATIENCE) == expected, self.process.returncode


def strings(body):
    """The optional text fields of a result, None for an absent one."""
    found = []
    while body:
        there, body = body[0], body[1:]
        if there:
            size, = struct.unpack_from("<I", body)
            found.append(body[4:4 + size].decode())
            body = body[4 + size:]
        else:
            found.append(None)
    return found


def test_time():
    with Inspector() as i:
        before = time.time_ns() - 1000
        now, = struct.unpack("<q", i.ask(GET_TIME))
        assert before <= now <= time.time_ns() and now % 1000 == 0, now


def test_host_name():
    with Inspector() as i:
        body = i.ask(HOST_NAME)
        assert body[4:].decode() == os.uname().nodename, body


def test_osinfo_of_this_machine():
    with Inspector() as i:
        release, version, machine, name, *_ = strings(i.ask(OSINFO))
    uname = os.uname()
    assert (release, version, machine) == (uname.release, uname.version, uname.machine)
    with open("/etc/os-release", encoding="utf-8") as f:
        assert re.search(f'^ID="?{re.escape(name)}"?$', f.read(), re.M), name


def test_environment_is_read_at_the_start():
    with Inspector(env={"QGA_OS_RELEASE": "/dev/null", "TZ": "<+0545>-5:45"}) as i:
        assert strings(i.ask(OSINFO))[3:] == [None] * 7
        zone = i.ask(TIMEZONE)
        assert zone == b"\x01" + struct.pack("<I", 5) + b"+0545" + struct.pack("<q", 20700)


def test_many_questions():
    with Inspector() as i:
        for n in range(1000):
            i.ask((GET_TIME, HOST_NAME, TIMEZONE, OSINFO)[n % 4], request=n)


def test_is_sealed_when_it_answers():
    with Inspector() as i:
        i.ask(GET_TIME)
        s = status(i.process.pid)
        assert s["NoNewPrivs"] == "1" and s["Seccomp"] == "2", s
        assert int(s["CapEff"], 16) == 0 and "0" not in s["Uid"].split(), s


def test_the_worker_goes():
    with Inspector() as i:
        i.ask(GET_TIME)
        i.sock.close()
        i.ends_with(PEER_GONE)


def test_frames_that_no_worker_sends():
    for name, bad in (
            ("no frame", b"x"),
            ("cut head", frame(REQUEST, GET_TIME)[:-1]),
            ("length beyond the frame", frame(REQUEST, GET_TIME, length=1)),
            ("length below the frame", frame(REQUEST, GET_TIME, body=b"x", length=0)),
            ("hello again", None),
            ("policy", frame(POLICY)),
            ("reply", frame(REPLY, GET_TIME)),
            ("unknown type", frame(99, GET_TIME)),
            ("flag", frame(REQUEST, GET_TIME, flags=8)),
            ("unknown flag", frame(REQUEST, GET_TIME, flags=0x8000)),
            ("body in a descriptor that is not there",
             frame(REQUEST, GET_TIME, flags=BODY_FD)),
            ("descriptor announced", frame(REQUEST, GET_TIME, fds=1)),
            ("no operation", frame(REQUEST, 0)),
            ("unknown operation", frame(REQUEST, 59)),
            ("operation far out", frame(REQUEST, 65535)),
            ("operation of another process", frame(REQUEST, PING)),
            ("more than arguments that is none", frame(REQUEST, GET_TIME, body=b"\2")),
            ("behind what is more", frame(REQUEST, GET_TIME, body=b"\0\0"))):
        with Inspector() as i:
            i.ask(GET_TIME)
            i.sock.send(i.hello if bad is None else bad)
            try:
                i.ends_with(VIOLATION)
            except AssertionError as e:
                raise AssertionError(name) from e


def test_a_descriptor_is_a_violation():
    with Inspector() as i:
        socket.send_fds(i.sock, [frame(REQUEST, GET_TIME, fds=1)], [0])
        i.ends_with(VIOLATION)


def test_wrong_hello():
    for bad in (frame(REQUEST, GET_TIME), frame(HELLO), frame(HELLO, body=bytes(12))):
        with Inspector(greet=False) as i:
            i.sock.send(bad)
            i.ends_with(VIOLATION)


def test_started_by_hand():
    for args in ([], ["-h"]):
        done = subprocess.run([os.path.join(build_dir(), "postern-inspector"), *args],
                              capture_output=True, check=False, timeout=PATIENCE,
                              preexec_fn=guard.harmless)
        assert done.returncode == CONFIG, done
        assert done.stderr == b"postern-inspector: started by postern, not by hand\n"


def test_signals_of_the_starter_do_not_stay():
    """The supervisor blocks signals for its own use; the limit of a question needs them."""
    old = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM, signal.SIGTERM})
    try:
        with Inspector() as i:
            i.ask(GET_TIME)
            assert int(status(i.process.pid)["SigBlk"], 16) == 0
            os.kill(i.process.pid, signal.SIGALRM)
            i.ends_with(-signal.SIGALRM)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old)


tap.run(tap.tests(globals()))
