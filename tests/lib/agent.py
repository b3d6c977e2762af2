"""agent - a running Postern, and a client of it, for the integration tests

    from agent import Agent

    with Agent(profile="legacy") as a:          # started, and has answered a sync
        c = a.client()
        c.send(b'{"execute":"guest-ping"}')
        assert c.recv_replies(1) == [b'{"return": {}}']
        assert c.call("guest-get-time") ["return"] > 0
        os.kill(a.child("frontend"), signal.SIGKILL)
        record = a.wait_record(lambda r: r.get("POSTERN_EVENT") == "decision")

Leaving the block calls stop(), which asserts that the agent ends with status 0 on
SIGTERM and leaves nothing: no process, no socket path. Every agent has a private
directory (a.dir) that goes with it; so do its socket (a.path) and its audit file.

As root, frontend and inspector get two uids that no account has; otherwise all run as
the caller. A test process becomes the reaper of its orphans (see _subreaper), so that
a process that outlives its agent is seen.

Whatever a test starts is harmless (guard.py), so that no request can change this machine;
the test process itself enters the guard with the import of this module.
"""
import contextlib
import ctypes
import functools
import json
import os
import pwd
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import guard

guard.enter()

VARIANT = os.environ.get("POSTERN_VARIANT", "release")
# Sanitizers and a loaded machine make things slower; nothing here measures speed.
PATIENCE = float(os.environ.get("POSTERN_PATIENCE", 30 if VARIANT == "asan" else 15))

PROGRAMS = {"frontend": "postern-frontend", "worker": "postern-worker",
            "reader": "postern-reader", "inspector": "postern-inspector"}
# What stands beside the supervisor, run or not.
INSTALLED = {**PROGRAMS, "spawner": "postern-spawner"}


# The profile `safe` lets the host power off, which init is told by a program where it takes no
# signal: so there is a spawner.
SPAWNS = not os.path.isdir("/run/systemd/system")


def build_dir(testops=False):
    """Folder of the programs under test; with the test operations if asked."""
    return os.environ.get("POSTERN_BUILD", "build/release") + ("-testops" if testops else "")


def helper(name, testops=False):
    """Path of a C helper of the tests, e.g. helper("hostile/frames")."""
    return os.path.join(build_dir(testops), "tests", name)


def free_uids(count):
    """Uids of no account, in systemd's range for passing ones; differ between programs
    that run at the same time."""
    start, size = 61184, 65519 - 61184
    taken = {p.pw_uid for p in pwd.getpwall()}
    ring = (start + (os.getpid() * 8 + n) % size for n in range(size))
    return [uid for uid in ring if uid not in taken][:count]


def wait_until(condition, what, timeout=None):
    """Poll CONDITION until it gives something true, which is returned. WHAT names it,
    or is a function that does so once the time is over."""
    end = time.monotonic() + (PATIENCE if timeout is None else timeout)
    while True:
        got = condition()
        if got:
            return got
        assert time.monotonic() < end, \
            f"timed out waiting for: {what() if callable(what) else what}"
        time.sleep(0.01)


# ---- processes -------------------------------------------------------------------------

_LIBC = ctypes.CDLL(None, use_errno=True)


def _tied():
    """As preexec_fn: whoever is killed takes along what it started. An agent that may freeze
    must not outlive its test."""
    _LIBC.prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG


def _subreaper():
    """Orphans of our descendants become our children (PR_SET_CHILD_SUBREAPER)."""
    _LIBC.prctl(36, 1, 0, 0, 0)


def children(pid):
    """Pids of the children of PID; none if it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace"):
            pass
        found = []
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as f:
                found += [int(p) for p in f.read().split()]
        return found
    except (FileNotFoundError, ProcessLookupError):
        return []


@contextlib.contextmanager
def stopped(pid):
    """PID does nothing meanwhile."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def descendants(pid):
    """All pids below PID, parents first."""
    found = children(pid)
    for p in found:
        found += children(p)
    return found


def comm(pid):
    """The kernel's name of a process (15 characters at the most), or ""."""
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as f:
            return f.read().rstrip("\n")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def status(pid):
    """/proc/PID/status as a dict of strings: status(p)["CapEff"]."""
    with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as f:
        return {k: v.strip() for k, _, v in (line.partition(":") for line in f)}


def is_zombie(pid):
    try:
        return status(pid)["State"].startswith("Z")
    except (FileNotFoundError, ProcessLookupError):
        return False


# ---- the client ------------------------------------------------------------------------

class Closed(Exception):
    """The agent closed the connection; .rest is what had arrived of a line."""

    def __init__(self, rest):
        super().__init__(f"connection closed, rest {rest[:200]!r}")
        self.rest = rest


class Client:
    """A raw connection: bytes out, lines in."""

    def __init__(self, sock):
        self.sock = sock
        self.sock.setblocking(False)
        self.buffer = bytearray()
        self.lines = []
        self.next_id = 0x5afe0000

    @classmethod
    def unix(cls, path):
        s = socket.socket(socket.AF_UNIX)
        s.connect(path)
        return cls(s)

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def _read(self):
        try:
            piece = self.sock.recv(1 << 20)
        except BlockingIOError:
            return
        except ConnectionResetError:
            piece = b""
        if not piece:
            raise Closed(bytes(self.buffer))
        self.buffer += piece
        if b"\n" in piece:
            *lines, rest = bytes(self.buffer).split(b"\n")
            self.lines += lines
            self.buffer = bytearray(rest)

    def send(self, data, timeout=None):
        """Send all of DATA, taking in replies meanwhile, so that neither side stalls."""
        end = time.monotonic() + (PATIENCE if timeout is None else timeout)
        view = memoryview(data)
        while view:
            left = end - time.monotonic()
            assert left > 0, f"the agent does not read: {len(view)} bytes left"
            r, w, _ = select.select([self.sock], [self.sock], [], left)
            if r:
                self._read()
            if w:
                try:
                    view = view[self.sock.send(view):]
                except BlockingIOError:
                    pass

    def recv_replies(self, count, timeout=None):
        """Exactly COUNT lines, in order, without LF (with a leading 0xFF if there is one).
        AssertionError after TIMEOUT seconds, Closed if the agent hangs up before."""
        end = time.monotonic() + (PATIENCE if timeout is None else timeout)
        while len(self.lines) < count:
            left = end - time.monotonic()
            assert left > 0, f"{len(self.lines)} of {count} replies: {self.lines!r:.500}"
            if select.select([self.sock], [], [], left)[0]:
                self._read()
        got, self.lines = self.lines[:count], self.lines[count:]
        return got

    def nothing(self, seconds=0.2):
        """Assert that no byte arrives for so long."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if select.select([self.sock], [], [], end - time.monotonic())[0]:
                self._read()
        assert not self.lines and not self.buffer, (self.lines, bytes(self.buffer))

    def sync(self, timeout=None):
        """guest-sync with an id of its own; returns the lines that came before its reply."""
        self.next_id += 1
        mark = b'{"return": %d}' % self.next_id
        self.send(b'{"execute":"guest-sync","arguments":{"id":%d}}\n' % self.next_id,
                  timeout)
        before = []
        while True:
            line = self.recv_replies(1, timeout)[0]
            if line == mark:
                return before
            before.append(line)

    def reset(self, timeout=None):
        """What a client does on a channel of unknown state: 0xFF and a delimited sync."""
        self.next_id += 1
        mark = b'\xff{"return": %d}' % self.next_id
        self.send(b'\xff{"execute":"guest-sync-delimited","arguments":{"id":%d}}\n'
                  % self.next_id, timeout)
        while self.recv_replies(1, timeout)[0] != mark:
            pass

    def call(self, command, timeout=None, **arguments):
        """One request; its reply as a dict. A `_` in an argument's name stands for `-`."""
        request = {"execute": command}
        if arguments:
            request["arguments"] = {k.replace("_", "-"): v for k, v in arguments.items()}
        self.send(json.dumps(request).encode() + b"\n", timeout)
        return json.loads(self.recv_replies(1, timeout)[0])


# ---- the agent -------------------------------------------------------------------------

# A run of tests that is to show which system calls are made has them written there
# (test_calls.py).
TRACES = os.environ.get("POSTERN_TRACE")


def _traced():
    """What to begin the command line of an agent with; it stays our own child."""
    if not TRACES:
        return []
    path = os.path.join(tempfile.mkdtemp(dir=TRACES), "calls")
    return ["strace", "-D", "-ff", "-qq", "-e", "signal=none",
            "-e", "raw=!execve,execveat,seccomp", "-X", "raw", "-e", "abbrev=!seccomp",
            "-o", path]


class Agent:
    """A supervisor and its children on a unix socket of their own.

    profile   --profile, None to leave it out
    args      further options; they come last
    testops   the programs with the test operations
    audit     write the audit records to a file (records, wait_record)
    env       variables added to the (otherwise plain) environment; None removes one
    admin     it keeps CAP_SYS_ADMIN: only with testops, whose worker refuses to freeze or
              trim what does not stand on a loop device
    prepare   called in the process that becomes the supervisor
    start     False: the object only prepares argv, for tests that start it themselves
    """

    def __init__(self, profile="safe", args=(), testops=False, audit=True, env=None,
                 start=True, admin=False, prepare=None):
        if admin and not testops:
            raise ValueError("admin needs testops: this agent could freeze the machine")
        if admin and prepare:
            raise ValueError("admin has something of its own to prepare")
        self.admin = admin
        self.prepare = _tied if admin else prepare  # in each process that is started for it
        self.dir = tempfile.mkdtemp(prefix="postern-test-")
        self.path = os.path.join(self.dir, "agent.sock")
        self.audit_path = os.path.join(self.dir, "audit.jsonl") if audit else None
        self.programs = os.path.abspath(build_dir(testops))
        self.uids = free_uids(2) if os.geteuid() == 0 else [os.geteuid()] * 2
        self.argv = self._argv(profile, args)
        self.env = {"PATH": os.environ["PATH"], "TZ": "UTC"}
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS"):
            if name in os.environ:
                self.env[name] = os.environ[name]
        for name, value in (env or {}).items():
            self.env[name] = value
        self.env = {k: v for k, v in self.env.items() if v is not None}
        self.process = None
        self.trail = None  # all that it recorded, once it has stopped
        self.stderr_path = os.path.join(self.dir, "stderr")
        if start:
            try:
                self.start()
            except BaseException:
                self.kill()
                raise

    def _argv(self, profile, args):
        argv = [os.path.join(self.programs, "postern"), "-m", "unix-listen",
                "-p", self.path, "-t", self.dir, "--programs", self.programs]
        if profile is not None:
            argv += ["--profile", profile]
        if self.audit_path:
            argv += ["--audit", f"file:{self.audit_path}"]
        if os.geteuid() == 0:
            argv += ["--frontend-user", str(self.uids[0]),
                     "--inspector-user", str(self.uids[1])]
        return argv + list(args)

    # -- life

    def start(self):
        """Start it, perhaps once more, and wait until it answers."""
        _subreaper()
        with open(self.stderr_path, "ab") as err:
            self.process = subprocess.Popen(_traced() + self.argv, stdin=subprocess.DEVNULL,
                                            stdout=err, stderr=err, env=self.env,
                                            preexec_fn=functools.partial(
                                                guard.harmless, self.prepare, self.admin))
        self.wait_ready()

    def wait_ready(self, timeout=None):
        """Until a new connection gets its sync answered."""
        wait_until(self._answers, lambda: f"its first answer; stderr: {self.stderr()!r}",
                   timeout)

    def _answers(self):
        ended = self.process.poll()
        assert ended is None, f"the agent ended with status {ended}: {self.stderr()}"
        try:
            with self.client() as c:
                c.sync(timeout=5)
                return True
        except (FileNotFoundError, ConnectionRefusedError, BrokenPipeError, Closed):
            return False

    def stop(self):
        """SIGTERM; assert a clean end that leaves nothing. Removes the directory."""
        try:
            family = [self.process.pid] + descendants(self.process.pid)
            self.process.send_signal(signal.SIGTERM)
            code = self.process.wait(PATIENCE)
            assert code == 0, f"exit status {code}: {self.stderr()}"
            wait_until(lambda: not self._left(family), "its processes to end", 5)
            assert not os.path.lexists(self.path), "the socket's path was left behind"
            if self.audit_path:
                self.trail = self.records()
        finally:
            self.kill()

    def kill(self):
        """End whatever is left, and remove the directory. Asserts nothing."""
        if self.process is not None:
            for pid in [self.process.pid] + descendants(self.process.pid):
                _kill(pid)
            self.process.wait()
            wait_until(lambda: not self._left([]), "orphans to die", 15)
        shutil.rmtree(self.dir, ignore_errors=True)

    def _left(self, family):
        """Our orphans (killed and reaped on the way out of kill()) and FAMILY alive."""
        orphans = [p for p in children(os.getpid()) if comm(p).startswith("postern")]
        for pid in orphans:
            if not family:
                _kill(pid)
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                pass
        return [p for p in family + orphans
                if comm(p).startswith("postern") and not is_zombie(p)]

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind is None:
            self.stop()
        else:
            print(f"# stderr of the agent: {self.stderr()!r}")
            self.kill()

    # -- looking at it

    def client(self):
        return Client.unix(self.path)

    @property
    def control(self):
        """Path of the socket where posternctl connects."""
        before = len(self.argv) - 1 - self.argv[::-1].index("-t")  # the last one counts
        return os.path.join(self.argv[before + 1], "control")

    def ctl(self, verb, *args, status=None):
        """Run posternctl VERB on it; assert its exit STATUS, if one is named."""
        done = subprocess.run([os.path.join(self.programs, "posternctl"), verb, "--control",
                               self.control, *args], text=True, capture_output=True,
                              timeout=4 * PATIENCE, check=False, preexec_fn=guard.harmless)
        assert status in (None, done.returncode), (verb, args, done)
        return done

    def ctl_json(self, verb, *args, status=None):
        return json.loads(self.ctl(verb, "--json", *args, status=status).stdout)

    @property
    def policy_root(self):
        """Directory below which its policy files are, or would be."""
        if "--policy-root" in self.argv:
            return self.argv[self.argv.index("--policy-root") + 1]
        return os.path.join(self.dir, "root")

    def write_policy(self, text, name="policy.conf"):
        """TEXT in the place of its policy file. Before the start it makes the agent read files;
        a running one goes on with what it has read."""
        folder = os.path.join(self.policy_root, "etc/postern")
        os.makedirs(os.path.dirname(os.path.join(folder, name)), 0o755, exist_ok=True)
        with open(os.path.join(folder, ".new"), "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(f.name, 0o644)
        os.rename(f.name, os.path.join(folder, name))
        if self.process is None and "--policy-root" not in self.argv:
            self.argv += ["--policy-root", self.policy_root]

    @property
    def pid(self):
        return self.process.pid

    def pids(self, program):
        """Pids that run PROGRAM ("frontend", "worker", "reader", "inspector", "spawner"); an
        op child counts as a worker, and comes after it."""
        name = INSTALLED[program][:15]
        return [p for p in descendants(self.pid) if comm(p) == name]

    def child(self, program):
        """The supervisor's child that runs PROGRAM; waits for it after a restart."""
        name = INSTALLED[program][:15]
        return wait_until(lambda: next((p for p in children(self.pid)
                                        if comm(p) == name and not is_zombie(p)), None),
                          f"a {program}")

    def stderr(self):
        try:
            with open(self.stderr_path, encoding="utf-8", errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def records(self):
        """The audit records so far: one dict per complete JSON line. After stop(), all there
        were: those as well of equal reads, which are counted until then."""
        if self.trail is not None:
            return self.trail
        try:
            with open(self.audit_path, "rb") as f:
                lines = f.read().split(b"\n")
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in lines[:-1]]

    def wait_record(self, match, timeout=None):
        """The first record for which MATCH is true, waiting for it."""
        return wait_until(lambda: next(filter(match, self.records()), None),
                          "an audit record", timeout)


def how_many(records):
    """For how many requests the worker's decisions among RECORDS stand: equal reads leave one
    for the first and one with the number of the others."""
    return sum(r.get("POSTERN_REPEAT", 1) for r in records
               if r["POSTERN_EVENT"] == "decision" and "POSTERN_REPORTED_BY" not in r)


def _kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
