#!/usr/bin/python3
"""The agent on a port: a pty stands for the device of virtio-serial, the test is the host.

A port knows no connections, so a reply that was cut is the worst that can be left on it:
the host would take what follows for its rest. The device is watched with inotify, which
sees each open, write and close in order, by whichever process.
"""
import ctypes
import errno
import os
import pty
import re
import signal
import struct
import time
import tty

import tap
from agent import (PATIENCE, VARIANT, Agent, Client, Closed, children, comm, is_zombie,
                   wait_until)

BLOB = 1 << 20
ASK_BLOB = b'{"execute":"test-blob","arguments":{"size":%d}}\n' % BLOB
BLOB_REPLY = b'{"return": "' + b"x" * BLOB + b'"}'


# ---- a port -------------------------------------------------------------------------------

class Master:
    """The host's end of a pty, with the methods that Client wants of a socket."""

    def __init__(self, fd):
        self.fd = fd

    def fileno(self):
        return self.fd

    def setblocking(self, flag):
        os.set_blocking(self.fd, flag)

    def recv(self, size):
        try:
            return os.read(self.fd, size)
        except OSError as e:
            if e.errno != errno.EIO:
                raise
            time.sleep(0.001)  # nobody has the port open
            raise BlockingIOError from e

    def send(self, data):
        return os.write(self.fd, data)

    def close(self):
        os.close(self.fd)


class Watch:
    """What happens to a file: a list of OPEN, MODIFY, CLOSE; runs of one kind are one."""

    KINDS = {0x2: "MODIFY", 0x8: "CLOSE", 0x20: "OPEN"}

    def __init__(self, path):
        libc = ctypes.CDLL(None, use_errno=True)
        self.fd = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        assert libc.inotify_add_watch(self.fd, path.encode(), 0x2a) >= 0, ctypes.get_errno()
        self.seen = []

    def events(self):
        """All so far."""
        try:
            data = os.read(self.fd, 1 << 16)
        except BlockingIOError:
            return self.seen
        while data:
            _, mask, _, length = struct.unpack_from("iIII", data)
            data = data[16 + length:]
            assert not mask & 0x4000, "events were lost"
            kind = self.KINDS.get(mask & 0x2a)
            if kind and self.seen[-1:] != [kind]:
                self.seen.append(kind)
        return self.seen

    def close(self):
        os.close(self.fd)


class PortAgent(Agent):
    """An agent on a port. PATH can be pointed to another device (plug)."""

    def __init__(self, **kwargs):
        super().__init__(start=False, **kwargs)
        self.link = os.path.join(self.dir, "port")
        self.argv += ["-m", "virtio-serial", "-p", self.link]
        self.host = self.watch = None
        try:
            self.plug()
            self.start()
        except BaseException:
            self.kill()
            raise

    def plug(self):
        """A new device at the path."""
        self.unplug()
        master, slave = pty.openpty()
        tty.setraw(slave)
        path = os.ttyname(slave)
        os.close(slave)
        self.host = Client(Master(master))
        self.watch = Watch(path)
        if os.path.lexists(self.link):
            os.unlink(self.link)
        os.symlink(path, self.link)

    def unplug(self):
        if self.host:
            self.host.close()
            self.watch.close()
        self.host = None

    def wait_ready(self, timeout=None):
        self.host.reset(timeout)

    def kill(self):
        super().kill()
        self.unplug()

    def holders(self):
        """Names of our processes that have the port open."""
        target = os.readlink(self.link)
        found = set()
        for pid in [self.pid] + children(self.pid):
            try:
                fds = [os.readlink(f"/proc/{pid}/fd/{n}") for n in os.listdir(f"/proc/{pid}/fd")]
            except FileNotFoundError:
                continue
            if target in fds:
                found.add(comm(pid))
        return found

    def turns_to(self, kinds):
        """Wait until what happened to the port ends with KINDS."""
        wait_until(lambda: self.watch.events()[-len(kinds):] == kinds,
                   lambda: f"{kinds} on the port: {self.watch.events()}")


def read_some(client, size):
    """SIZE bytes and no more, so that the writer is left in the middle."""
    got, end = b"", time.monotonic() + PATIENCE
    while len(got) < size:
        assert time.monotonic() < end, f"{len(got)} of {size} bytes: {got[:200]}"
        try:
            got += client.sock.recv(size - len(got))
        except BlockingIOError:
            time.sleep(0.001)
    return got


def kill(pid):
    os.kill(pid, signal.SIGKILL)


# ---- a conversation -----------------------------------------------------------------------

def test_conversation():
    with PortAgent() as a:
        a.host.send(b'{"execute":"guest-ping"}{"execute":"guest-ping","id":1}\n'
                    b'{"execute":"nonsense"}\n')
        assert a.host.recv_replies(3) == [
            b'{"return": {}}', b'{"return": {}, "id": 1}',
            b'{"error": {"class": "CommandNotFound", "desc": '
            b'"The command nonsense has not been found"}}']
        assert a.host.call("guest-get-osinfo")["return"]["machine"] == os.uname().machine
        if os.geteuid() == 0:
            assert a.holders() == {"postern", "postern-fronten"}, a.holders()
        assert a.watch.events()[0] == "OPEN" and a.watch.events().count("OPEN") == 1


def test_nothing_is_said_unasked():
    """One blank line would take the channel out of service in libvirt."""
    with PortAgent() as a:
        a.host.nothing(0.3)
        kill(a.child("inspector"))
        a.host.nothing(0.3)


def test_large_replies_are_whole():
    with PortAgent(profile="legacy", testops=True) as a:
        a.host.send(ASK_BLOB * 3)
        assert a.host.recv_replies(3) == [BLOB_REPLY] * 3


# ---- a process dies inside a reply ------------------------------------------------------------

def check_cut_on_port(victim):
    """The port is closed by all who have it, and then opened again; and what the host
    reads is a part of the old reply, then the answer to what it asked anew."""
    with PortAgent(profile="legacy", testops=True) as a:
        old = {name: a.child(name) for name in ("frontend", "worker")}
        a.host.send(ASK_BLOB)
        part = read_some(a.host, 20000)
        wait_until(lambda: a.watch.events()[-1] == "MODIFY", "the reply")
        before = len(a.watch.events())
        kill(old[victim])
        wait_until(lambda: a.child("frontend") != old["frontend"], "a new frontend")
        a.turns_to(["CLOSE", "OPEN"])
        assert a.watch.events()[before:] == ["CLOSE", "OPEN"], a.watch.events()
        part += drain(a.host)
        assert len(part) < len(BLOB_REPLY) and BLOB_REPLY.startswith(part), part[-100:]
        a.host.send(b'\xff{"execute":"guest-sync-delimited","arguments":{"id":7}}\n')
        # The 0xFF is itself answered, as it is by the reference.
        assert a.host.recv_replies(2)[-1] == b'\xff{"return": 7}'
        assert a.host.call("guest-ping") == {"return": {}}
        a.host.nothing(0.1)
        assert a.watch.events()[before:] == ["CLOSE", "OPEN", "MODIFY"], a.watch.events()
        status = "signal 9" if victim == "frontend" else "status 66"
        assert f"postern-frontend ended by {status}" in a.stderr(), a.stderr()


def drain(host):
    """What is there to read, until nothing comes for a moment."""
    got, end = b"", time.monotonic() + 0.2
    while time.monotonic() < end:
        try:
            got += host.sock.recv(1 << 16)
            end = time.monotonic() + 0.2
        except BlockingIOError:
            time.sleep(0.001)
    return got


def check_kept(victim, busy):
    """Without half a reply the port is never closed, with whatever else under way."""
    with PortAgent(profile="legacy", testops=True) as a:
        old = a.child("frontend")
        if busy:
            a.host.send(b'{"execute":"test-sleep","arguments":{"ms":300}}\n')
            wait_until(lambda: len(children(a.child("worker"))) == 2, "the operation")
        kill(a.child(victim))
        if victim == "worker":
            wait_until(lambda: a.child("frontend") != old, "a new frontend")
        else:
            a.wait_record(lambda r: r["POSTERN_EVENT"] == "child-restart")
        a.host.reset()
        assert a.host.call("guest-get-host-name")["return"]
        assert a.watch.events() == ["OPEN", "MODIFY"], a.watch.events()


def test_a_frontend_that_dies_idle_costs_the_port():
    """Nobody can tell what a process that was killed had written."""
    with PortAgent() as a:
        kill(a.child("frontend"))
        a.turns_to(["CLOSE", "OPEN"])
        a.host.reset()


def check_cut_on_socket(victim):
    """The connection ends there, the listener stays, the next client gets clean replies."""
    with Agent(profile="legacy", testops=True) as a:
        inode = os.stat(a.path).st_ino
        with a.client() as c:
            c.send(ASK_BLOB)
            old, read = a.child("frontend"), read_some(c, 4096)
            kill(a.child(victim))
            # Who reads on meanwhile may still get all of it.
            wait_until(lambda: a.child("frontend") != old, "a new frontend")
            try:
                c.recv_replies(1)
            except Closed as closed:
                read += closed.rest
            assert len(read) < len(BLOB_REPLY) and BLOB_REPLY.startswith(read), read[-100:]
        with connect(a) as c:
            c.nothing(0.1)
            c.send(ASK_BLOB)
            assert c.recv_replies(1) == [BLOB_REPLY]
        assert os.stat(a.path).st_ino == inode


def connect(agent):
    """A client that the agent answers."""
    def attempt():
        c = agent.client()
        try:
            c.reset()
            return c
        except (Closed, BrokenPipeError):
            c.close()
            return None
    return wait_until(attempt, "an answer")


# ---- a host that does not read --------------------------------------------------------------------

def peak(pid):
    """The most memory that a process ever had, in bytes."""
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as f:
        return int(re.search(r"VmHWM:\s+(\d+) kB", f.read())[1]) << 10


def growth(was):
    """What the processes of WAS (pid to its peak then) took beyond it."""
    return {comm(pid): peak(pid) - start for pid, start in was.items()}


def check_growth(grown):
    if VARIANT == "asan":
        return  # test_figures says so
    assert all(n < 8 << 20 for n in grown.values()), grown


def ticks(pid):
    """Processor time that a process has used, in ticks (100 a second)."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
        return sum(int(n) for n in f.read().rpartition(")")[2].split()[11:13])


def wakes(pid):
    """How often a process began to wait."""
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as f:
        return int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", f.read(), re.M)[1])


def test_slow_reader():
    """A byte now and then, behind 40 MiB that it asked for: nothing is piled up for it,
    and as it goes, all of that goes."""
    with Agent(profile="legacy", testops=True) as a:
        frontend, worker = a.child("frontend"), a.child("worker")
        start = {p: peak(p) for p in (frontend, worker)}
        with a.client() as c:
            c.send(ASK_BLOB * 40)
            for n in range(12):
                assert read_some(c, 1) == BLOB_REPLY[n:n + 1]
                time.sleep(0.25)
            before = wakes(frontend) + ticks(frontend)
            time.sleep(0.5)
            assert wakes(frontend) + ticks(frontend) <= before + 3, "the frontend spins"
        grown = growth(start)
        with a.client() as c:
            assert c.sync() == []
        assert (a.child("frontend"), a.child("worker")) == (frontend, worker)
    check_growth(grown)


def test_a_reader_that_never_catches_up():
    """The next reply is there before the last was taken, again and again: the room of
    what went is used again, not added to."""
    with PortAgent(profile="legacy", testops=True) as a:
        start = {p: peak(p) for p in (a.child("frontend"), a.child("worker"))}
        a.host.send(ASK_BLOB * 14)
        got, total = bytearray(), 14 * (len(BLOB_REPLY) + 1)
        while len(got) < total:
            got += read_some(a.host, min(8192, total - len(got)))
            time.sleep(0.001)
        assert got == (BLOB_REPLY + b"\n") * 14
        grown = growth(start)
    check_growth(grown)


def test_slow_reader_on_a_port():
    with PortAgent(profile="legacy", testops=True) as a:
        frontend = a.child("frontend")
        start = {p: peak(p) for p in (frontend, a.child("worker"))}
        a.host.send(ASK_BLOB * 40)
        part = b""
        for _ in range(8):
            part += read_some(a.host, 1)
            time.sleep(0.1)
        assert BLOB_REPLY.startswith(part)
        before = wakes(frontend) + ticks(frontend)
        time.sleep(0.5)
        assert wakes(frontend) + ticks(frontend) <= before + 3, "the frontend spins"
        grown = growth(start)
        got = [part + a.host.recv_replies(1)[0]] + a.host.recv_replies(39)
        assert got == [BLOB_REPLY] * 40
    check_growth(grown)


# ---- the host is away ---------------------------------------------------------------------------------

def test_idle_does_not_wake():
    with PortAgent() as a:
        time.sleep(0.1)
        pids = {p: wakes(p) for p in [a.pid] + children(a.pid)}
        time.sleep(1)
        assert {p: wakes(p) for p in pids} == pids


def test_host_away():
    """A pty whose master is closed reads as a port without a host: 0 bytes, HUP and IN
    for ever. Nobody spins on that, and an ordered stop works.

    Who reads just while the kernel closes the master gets EIO, which no port gives; that one
    is replaced, and the test begins anew."""
    while not host_away():
        pass


def host_away():
    with PortAgent() as a:
        frontend = a.child("frontend")
        a.unplug()
        time.sleep(0.5)  # for what there is to do about it
        if "postern-frontend ended by status 68" in a.stderr():
            return False
        before, used = wakes(frontend), ticks(frontend)
        time.sleep(1)
        assert wakes(frontend) <= before + 1 and ticks(frontend) <= used + 1, \
            (wakes(frontend) - before, ticks(frontend) - used)
        assert a.child("frontend") == frontend
        return True


def test_host_away_inside_a_reply():
    """The rest of it is dropped."""
    with PortAgent(profile="legacy", testops=True) as a:
        a.host.send(ASK_BLOB)
        read_some(a.host, 5000)
        a.unplug()
        time.sleep(0.5)  # for what there is to do about it
        pids = {p: (wakes(p), ticks(p)) for p in children(a.pid)}
        time.sleep(0.5)
        for pid, (before, used) in pids.items():
            assert wakes(pid) <= before + 5 and ticks(pid) <= used + 1, comm(pid)


def test_another_device():
    """Plugged in where one was lost: it is opened, and answered on."""
    with PortAgent(profile="legacy", testops=True) as a:
        worker, frontend = a.child("worker"), a.child("frontend")
        a.unplug()
        os.unlink(a.link)
        kill(frontend)
        wait_until(lambda: "error opening channel" in a.stderr(), "a try")
        a.plug()
        wait_until(lambda: a.watch.events()[:1] == ["OPEN"], "the port to be opened")
        a.host.reset()
        assert a.host.call("guest-get-osinfo")["return"]["id"]
        assert a.child("worker") == worker and not is_zombie(worker)


def test_what_a_host_left_half_said():
    with PortAgent() as a:
        a.host.send(b'{"execute":"guest-ping","id":"half')
        a.host.reset()
        assert a.host.call("guest-ping") == {"return": {}}


def test_figures():
    """The bounds on memory above were looked at."""
    if VARIANT == "asan":
        tap.skip("no figure of memory was looked at: the sanitizer keeps what is freed")


def cases():
    todo = tap.tests(globals())
    for victim in ("frontend", "worker"):
        todo.append((f"{victim} killed inside a reply, port",
                     lambda v=victim: check_cut_on_port(v)))
        todo.append((f"{victim} killed inside a reply, socket",
                     lambda v=victim: check_cut_on_socket(v)))
    for victim in ("worker", "inspector"):
        for busy in (False, True):
            todo.append((f"{victim} killed {'under way' if busy else 'idle'}: port kept",
                         lambda v=victim, b=busy: check_kept(v, b)))
    return todo


tap.run(cases())
