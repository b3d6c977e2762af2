"""hostile - frames between our processes, and a worker alone with the test

    from hostile import Worker, OPS, frame, request

    with Worker(profile="none") as w:      # the test is its supervisor and frontend
        p = w.frontend()                   # greeted
        p.send(request(OPS["guest-exec"], 1))
        assert p.reply(1).flags & ERROR
        p.send(b"garbage")
        p.wait_closed()                    # thrown out: that much is all that may happen

Leaving the block stops the worker and asserts that it was the same process all the time.
The table of operations comes from the build under test (table.c), so that the tests walk
what it has. All values on this wire are little-endian.
"""
import ctypes
import fcntl
import functools
import json
import os
import shutil
import socket
import struct
import subprocess
import tempfile
import threading

import guard
from agent import PATIENCE, build_dir, children, helper, status, wait_until

HEAD = struct.Struct("<HHIIHHI")
HELLO, POLICY, REQUEST, REPLY, ABANDON, SESSION, LOG = range(1, 8)
READ, IMAGE, KEEP = range(17, 20)
STATE = 14
MORE, ERROR, BODY_FD, REFUSED, BAD_ARGS = 1, 2, 4, 8, 16

F_ADD_SEALS, F_GET_SEALS = 1033, 1034
SEAL_SEAL, SEAL_SHRINK, SEAL_GROW, SEAL_WRITE = 1, 2, 4, 8
SEALS = SEAL_SEAL | SEAL_SHRINK | SEAL_GROW | SEAL_WRITE

TABLE = json.loads(subprocess.run([helper("hostile/table", testops=True)], check=True,
                                  stdout=subprocess.PIPE, preexec_fn=guard.harmless).stdout)
OPS = {op["name"]: op for op in TABLE["ops"]}
# Those that a frontend may ask the worker for.
ASKABLE = [op for op in TABLE["ops"] if op["carrier"] != "BY_FRONTEND"]

# What the profiles promise, in words of the test (POLICY.md section 3).
MAY = {"none": {"@session"},
       "safe": {"@session", "@info", "@freeze", "@trim", "@power", "@time", "@hotplug"}}


def allowed(profile, op):
    return bool(MAY[profile] & set(op["groups"]))


# ---- values on the wire -------------------------------------------------------------

def text(value):
    value = value.encode() if isinstance(value, str) else value
    return struct.pack("<I", len(value)) + value


SIMPLE = {"INT": struct.pack("<q", -7), "U64": struct.pack("<Q", 7),
          "NUM": struct.pack("<d", 1.5), "BOOL": b"\1", "STR": text("abc"),
          "B64": text(b"a\0b"), "BULK": struct.pack("<Q", 3), "ENUM": b"\0",
          "INT_OR_ENUM": b"\1" + struct.pack("<q", 0),
          "BOOL_OR_ENUM": b"\0" + struct.pack("<q", 1)}

NAN = struct.pack("<d", float("nan"))
HUGE = b"\xff\xff\xff\xff"


def value_of(field, full):
    """A value that fits; lists have FULL ? 2 : 0 elements."""
    kind = field["kind"]
    if kind == "OBJ":
        return message(field["sub"], full)
    if kind == "LIST_OBJ":
        return struct.pack("<I", 2) + message(field["sub"], full) * 2 if full else bytes(4)
    if kind == "LIST_STR":
        return struct.pack("<I", 2) + text("one") + text("") if full else bytes(4)
    return SIMPLE[kind]


def bad_values(field):
    """Encodings of which none fits."""
    kind = field["kind"]
    if kind == "OBJ":
        return bad_messages(field["sub"])
    if kind == "LIST_OBJ":
        one = struct.pack("<I", 1)
        return [HUGE, HUGE + message(field["sub"], True), one,
                *(one + bad for bad in bad_messages(field["sub"]))]
    if kind == "LIST_STR":
        return [HUGE, HUGE + text("a"), struct.pack("<I", 1), struct.pack("<I", 1) + HUGE]
    over = bytes([field["names"]])
    return {"NUM": [NAN], "BOOL": [b"\2", b"\xff"],
            "STR": [text(b"a\0b"), text(b"\0"), HUGE, HUGE + b"abc"], "B64": [HUGE + b"abc"],
            "ENUM": [over, b"\xff"],
            "INT_OR_ENUM": [b"\2" + bytes(8), b"\1" + over + bytes(7), b"\1" + b"\xff" * 8],
            "BOOL_OR_ENUM": [b"\2" + bytes(8), b"\1" + over + bytes(7),
                             b"\0" + struct.pack("<q", 2), b"\0" + b"\xff" * 8],
            }.get(kind, [])


def message(fields, full=True):
    """A message of that schema, with every optional field or none of them."""
    return b"".join((b"\1" if full else b"\0") + (value_of(f, full) if full else b"")
                    if f["optional"] else value_of(f, full) for f in fields)


def bad_messages(fields):
    """Messages with one thing wrong each."""
    found = []
    for at, field in enumerate(fields):
        before, after = message(fields[:at]), message(fields[at + 1:])
        there = b"\1" if field["optional"] else b""
        found += [before + there + bad + after for bad in bad_values(field)]
        if field["optional"]:
            found += [before + bytes([mark]) + value_of(field, True) + after
                      for mark in (2, 255)]
    return found


def request_head(session=1, client_id=None):
    mark = b"\0" if client_id is None else b"\1" + text(client_id)
    return struct.pack("<Q", session) + mark


def arguments(op, full=True):
    return message(op["args"], full)


def bulks(op, full=True):
    """How many descriptors go with arguments(op, full)."""
    return sum(f["kind"] == "BULK" and (full or not f["optional"]) for f in op["args"])


def note(event=0, session=1, count=0, words=b"", command=None, outcome=None):
    return frame(SESSION, body=bytes([event]) + struct.pack("<QQ", session, count)
                 + text(words)
                 + (b"\0" if command is None else b"\1" + struct.pack("<q", command))
                 + (b"\0" if outcome is None else bytes([1, outcome])))


def frame(kind, op=0, request=0, generation=0, flags=0, fds=0, body=b"", length=None):
    return HEAD.pack(kind, op, request, generation, flags, fds,
                     len(body) if length is None else length) + body


def request(op, number, body=None, flags=0, fds=0, generation=1):
    """A REQUEST of the row OP; BODY defaults to full arguments that fit."""
    if body is None:
        body = request_head() + (b"" if flags & BAD_ARGS else arguments(op))
    return frame(REQUEST, op["number"], number, generation, flags, fds, body)


# ---- descriptors of all kinds -------------------------------------------------------

class Descriptors:
    """Makes descriptors to send; all are closed at the end of the block."""

    def __init__(self):
        self.fds = []
        self.dir = tempfile.mkdtemp(prefix="postern-test-")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for fd in self.fds:
            os.close(fd)
        shutil.rmtree(self.dir)

    def _keep(self, *fds):
        self.fds += fds
        return fds[0]

    def memfd(self, content=b"", seals=SEALS, size=None):
        fd = self._keep(os.memfd_create("test", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING))
        os.write(fd, content)
        if size is not None:
            os.ftruncate(fd, size)
        fcntl.fcntl(fd, F_ADD_SEALS, seals)
        return fd

    def hostile(self):
        """(name, descriptor): what is no sealed memfd."""
        path = os.path.join(self.dir, "file")
        os.mkfifo(os.path.join(self.dir, "fifo"))
        with open(path, "wb") as f:
            f.write(request_head())
        pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        return [
            ("directory", self._keep(os.open("/", os.O_RDONLY))),
            ("path only", self._keep(os.open(path, os.O_PATH))),
            ("regular file", self._keep(os.open(path, os.O_RDWR))),
            ("fifo", self._keep(os.open(os.path.join(self.dir, "fifo"),
                                        os.O_RDWR | os.O_NONBLOCK))),
            ("pipe", self._keep(*os.pipe())),
            ("socket", self._keep(*(s.detach() for s in pair))),
            ("procfs", self._keep(os.open("/proc/self/status", os.O_RDONLY))),
            ("null", self._keep(os.open("/dev/null", os.O_RDWR))),
            ("zero", self._keep(os.open("/dev/zero", os.O_RDONLY))),
            ("eventfd", self._keep(ctypes.CDLL(None).eventfd(0, 0))),
            ("epoll", self._keep(ctypes.CDLL(None).epoll_create1(0))),
            ("process", self._keep(os.pidfd_open(os.getpid()))),
        ]


# ---- the other end of a socket ------------------------------------------------------

class Frame:
    """A frame that arrived; `fds` are closed unless taken."""

    def __init__(self, packet, fds):
        (self.type, self.op, self.request, self.generation, self.flags, announced,
         length) = HEAD.unpack_from(packet)
        self.body = packet[HEAD.size:]
        assert length == len(self.body) and announced == len(fds), packet[:HEAD.size]
        for fd in fds:
            os.close(fd)


class Closed(Exception):
    """The worker hung up."""


class Peer:
    """Our end of a socket to the worker."""

    def __init__(self, sock):
        self.sock = sock
        sock.settimeout(PATIENCE)

    def close(self):
        self.sock.close()

    def send(self, packet, fds=()):
        """One packet, as it is. False if the worker has hung up."""
        try:
            socket.send_fds(self.sock, [packet], list(fds)) if fds else self.sock.send(packet)
            return True
        except (BrokenPipeError, ConnectionResetError):
            return False

    def recv(self):
        try:
            packet, fds, _, _ = socket.recv_fds(self.sock, 1 << 17, 8)
        except ConnectionResetError:
            packet, fds = b"", []
        if not packet:
            raise Closed
        return Frame(packet, fds)

    def unread(self):
        """Bytes that the worker has not taken yet (SIOCOUTQ of unix(7))."""
        got = fcntl.ioctl(self.sock, 0x5411, bytes(4))
        return struct.unpack("=i", got)[0]

    def greet(self):
        """Return the worker's hello to it: both ways it is the same."""
        self.hello = self.recv()
        assert self.hello.type == HELLO
        self.send(frame(HELLO, body=self.hello.body))

    def reply(self, number):
        """The next frame, which must answer request NUMBER; its fragments joined."""
        body = b""
        while True:
            f = self.recv()
            assert (f.type, f.request) == (REPLY, number), (f.type, f.request, number)
            body += f.body
            if not f.flags & MORE:
                f.body = body
                return f

    def nothing(self, seconds=0.1):
        """Assert that nothing comes, and that the worker has not hung up."""
        self.sock.settimeout(seconds)
        try:
            f = self.recv()
            raise AssertionError(f"a frame: {f.type} {f.op} {f.request} {f.body[:80]}")
        except TimeoutError:
            pass
        finally:
            self.sock.settimeout(PATIENCE)

    def wait_closed(self):
        """Read until the worker hangs up; the frames that came before."""
        found = []
        try:
            while True:
                found.append(self.recv())
        except Closed:
            self.close()
            return found


# ---- the worker ---------------------------------------------------------------------

def fd_count(pid):
    """Descriptors of PID; None where we may not look."""
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except PermissionError:
        return None


def rss_kib(pid):
    return int(status(pid)["VmRSS"].split()[0])


class Worker:
    """postern-worker with test operations, whose supervisor is the test.

    stuck   nobody takes its records, until read_records()
    policy  text of a policy file, instead of the profile
    admin   it keeps CAP_SYS_ADMIN: for tests whose subject that is; as every worker with
            test operations it refuses to freeze or trim what stands on no loop device
    """

    def __init__(self, profile="safe", stuck=False, policy=None, admin=False):
        self.dir = tempfile.mkdtemp(prefix="postern-test-")
        self.audit_path = os.path.join(self.dir, "audit")
        self.stderr_path = os.path.join(self.dir, "stderr")
        self.launch, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.launch.settimeout(PATIENCE)
        source = ["--profile", profile]
        if policy is not None:
            os.makedirs(os.path.join(self.dir, "etc/postern"), 0o755)
            with open(os.path.join(self.dir, "etc/postern/policy.conf"), "w",
                      encoding="utf-8") as f:
                f.write(policy)
            os.chmod(f.name, 0o644)
            source = ["--policy-root", self.dir]
        trail = os.open(self.audit_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        spare = [os.dup2(theirs.fileno(), 100), trail]
        if stuck:
            self.pipe, spare[1] = os.pipe()
            self.audit = trail
        # What outlives it in the agent, and what its thawer shares with it.
        spare.append(os.memfd_create("state"))
        os.ftruncate(spare[2], TABLE["state"]["size"])
        theirs.close()
        with open(self.stderr_path, "wb") as err:
            self.process = subprocess.Popen(
                ["/bin/bash", "-c",
                 'exec "$@" 3<&%d 4>&%d 5<&%d %d<&- %d>&- %d>&-' % (*spare, *spare), "-",
                 os.path.join(build_dir(testops=True), "postern-worker")],
                env={}, pass_fds=spare, stdin=subprocess.DEVNULL, stderr=err,
                preexec_fn=functools.partial(guard.harmless, admin=admin))
            self.reader = self._start_reader(source, err)
        for fd in spare:
            os.close(fd)
        self.peers = []
        self.trail = None  # all that it recorded, once it has stopped
        assert self.launch.recv(1) in (b"r", b"R"), self.stderr()
        self.writer = children(self.pid)

    @property
    def pid(self):
        return self.process.pid

    def _hand_over(self, letter):
        """The worker gets an end of a socket; the other end is returned."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        socket.send_fds(self.launch, [letter], [theirs.fileno()])
        theirs.close()
        return ours

    def _start_reader(self, source, err):
        """The real one: what it has read is what the worker goes by."""
        with self._hand_over(b"p") as sock:
            fd = os.dup2(sock.fileno(), 101)
        process = subprocess.Popen(
            ["/bin/bash", "-c", f'exec "$@" 3<&{fd} {fd}<&-', "-",
             os.path.join(build_dir(testops=True), "postern-reader"), *source],
            env={}, pass_fds=(fd,), stdin=subprocess.DEVNULL, stderr=err,
            preexec_fn=functools.partial(guard.harmless, guard.give_up_all))
        os.close(fd)
        return process

    def _peer(self, letter, greet):
        peer = Peer(self._hand_over(letter))
        self.peers = [p for p in self.peers if p.sock.fileno() >= 0] + [peer]
        if greet:
            peer.greet()
        return peer

    def frontend(self, greet=True):
        """A new frontend, as the supervisor sends one; with its policy, if it greets."""
        peer = self._peer(b"f", greet)
        if greet:
            first = peer.recv()
            while first.type == STATE:  # something is frozen
                first = peer.recv()
            assert first.type == POLICY
        return peer

    def inspector(self, greet=True):
        return self._peer(b"i", greet)

    def spawner(self):
        """A new spawner; greeted, as it waits for nothing else."""
        return self._peer(b"s", True)

    def policy_reader(self):
        """A new reader of the policy; greeted, as it waits for nothing else."""
        return self._peer(b"p", True)

    def violation(self, packet, fds=(), greet=True):
        """A new frontend sends PACKET and is thrown out; what it was sent before."""
        peer = self.frontend(greet)
        peer.send(packet, fds)
        return peer.wait_closed()

    def works(self):
        """A new frontend is served: one request allowed, one denied."""
        peer = self.frontend()
        blob, act = OPS["test-blob"], OPS["test-act"]
        peer.send(request(blob, 1, request_head() + struct.pack("<q", 5)))
        peer.send(request(act, 2))
        bodies = {}
        for _ in range(2):
            f = peer.recv()
            bodies[f.request] = (f.flags, f.body)
        assert bodies[1] == (0, text("xxxxx")), bodies
        assert bodies[2][0] == ERROR, bodies
        return peer

    def busy(self):
        """Pids of op children: all children but the writer."""
        return [p for p in children(self.pid) if p not in self.writer]

    # -- records

    def read_records(self):
        """Of a stuck one: take its records from now on."""
        def copy():
            while piece := os.read(self.pipe, 1 << 16):
                os.write(self.audit, piece)
            os.close(self.pipe)
            os.close(self.audit)
        threading.Thread(target=copy, daemon=True).start()

    def stderr(self):
        with open(self.stderr_path, "rb") as f:
            return f.read()

    def records(self, event=None):
        """Those so far; after stop(), all there were."""
        found = self.trail
        if found is None:
            with open(self.audit_path, "rb") as f:
                lines = f.read().split(b"\n")[:-1]
            found = [json.loads(line) for line in lines]
        return [r for r in found if event in (None, r["POSTERN_EVENT"])]

    def counted(self):
        """The records that stand for equal requests, of which the first has one of its own."""
        return [r for r in self.records("decision")
                if "POSTERN_REPEAT" in r and "POSTERN_REPORTED_BY" not in r]

    def ended(self):
        """How many requests came to an end, by what is on record after stop()."""
        return len(self.records("complete")) + sum(r["POSTERN_REPEAT"] for r in self.counted())

    def wait_records(self, event, count):
        """All records of EVENT, once there are COUNT; more are wrong."""
        wait_until(lambda: len(self.records(event)) >= count,
                   lambda: f"{count} of {event}: {self.records(event)!r:.2000}")
        found = self.records(event)
        assert len(found) == count, (len(found), count)
        return found

    # -- the end

    def stop(self):
        assert self.process.poll() is None, (self.process.returncode, self.stderr())
        self.launch.close()
        code = self.process.wait(PATIENCE)
        assert code == 0, (code, self.stderr())
        assert self.reader.wait(PATIENCE) == 65, (self.reader.returncode, self.stderr())
        assert b"Sanitizer" not in self.stderr(), self.stderr()
        self.wait_records("stop", 1)  # the writer of the records ends after the worker
        assert len(self.records("start")) == 1
        trail = self.records()
        numbers = [r["POSTERN_SEQ"] for r in trail]
        assert numbers == sorted(set(numbers)), "records out of order"
        dropped = sum(r.get("POSTERN_DROPPED", 0) for r in trail)
        assert len(trail) + dropped == numbers[-1], (len(trail), dropped, numbers[-1])
        self.trail = trail

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        try:
            if kind is None:
                self.stop()
            else:
                print(f"# stderr of the worker: {self.stderr()[-1000:]!r}")
        finally:
            self.clear()

    def clear(self):
        """End whatever is left. Asserts nothing."""
        self.launch.close()
        for peer in self.peers:
            peer.close()
        for process in (self.process, self.reader):
            process.kill()
            process.wait()
        shutil.rmtree(self.dir)
