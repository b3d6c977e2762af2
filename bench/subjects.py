"""subjects - what is measured: both agents and the floors, started and ended alike

    with Place() as place, Postern(place) as a, QemuGa(place, cpu=1) as b:
        a.client("latency", '{"execute":"guest-ping"}', 100)    # nanoseconds of each sample
        a.cpu_ns()                                              # of all its processes, so far

All are harmless in the same way (tests/lib/guard.py), the floors and the clients too; its filter
of system calls costs each of them less than a hundredth.
"""
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile

import agent
import gauge
import guard
import reference

PING = '{"execute":"guest-ping"}'
PATIENCE = 300  # seconds for one run of the client


def program(name):
    """Path of a program of bench/."""
    return os.path.abspath(os.path.join(agent.build_dir(), "bench", name))


class Place:
    """A directory for sockets and files, in memory if one may mount; goes with its block."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="postern-bench-")
        os.chmod(self.dir, 0o755)
        self.is_mounted = False
        self.null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)

    def __enter__(self):
        if os.geteuid() == 0:
            with contextlib.suppress(OSError):
                guard.call("mount", b"tmpfs", os.fsencode(self.dir), b"tmpfs", 0, b"mode=755")
                self.is_mounted = True
        return self

    def __exit__(self, *exc):
        if self.is_mounted:
            guard.call("umount2", os.fsencode(self.dir), 2)  # MNT_DETACH
        os.close(self.null)
        shutil.rmtree(self.dir, ignore_errors=True)

    def file(self, name, content=b""):
        """Path of a new file."""
        path = os.path.join(self.dir, name)
        with open(path, "wb") as f:
            f.write(content)
        return path


class Subject:
    """One of those that are measured. CPU: the one that it and its clients run on; None: any.
    PREPARE is called in the process that becomes it."""

    name = ""
    end = signal.SIGTERM

    def __init__(self, place, cpu=None, prepare=None):
        self.place, self.cpu, self.prepare = place, cpu, prepare
        self.dir = tempfile.mkdtemp(dir=place.dir)
        os.chmod(self.dir, 0o755)
        self.path = os.path.join(self.dir, "s")
        self.process = None

    def argv(self):
        raise NotImplementedError

    # -- life

    def _begin(self):
        """As preexec_fn of it and of its clients."""
        guard.harmless(self._settle)

    def _settle(self):
        agent._tied()  # pylint: disable=protected-access
        if self.cpu is not None:
            os.sched_setaffinity(0, {self.cpu})

    def _become(self):
        self._begin()
        if self.prepare:
            self.prepare()

    def _popen(self, argv, become, **options):
        return subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, pass_fds=[self.place.null], preexec_fn=become,
            env={"PATH": os.environ["PATH"], "TZ": "UTC"}, **options)

    def start(self):
        self.process = self._popen(self.argv(), self._become, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        agent.wait_until(self._answers, f"the first answer of {self.name}")

    def _answers(self):
        assert self.process.poll() is None, f"{self.name} did not start: {self.argv()}"
        try:
            with agent.Client.unix(self.path) as c:
                c.send(PING.encode() + b"\n")
                c.recv_replies(1)
                return True
        except (FileNotFoundError, ConnectionRefusedError, BrokenPipeError, agent.Closed):
            return False

    def kill(self):
        """End it. Not by SIGTERM: the handler of qemu-ga may deadlock with its main loop."""
        if self.process:
            for pid in self.pids():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.process.wait()
            reap()
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        try:
            if not self.process:
                self.start()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, *exc):
        self.kill()

    # -- looking at it

    @property
    def pid(self):
        return self.process.pid

    def pids(self):
        return [self.pid] + agent.descendants(self.pid)

    def client(self, *arguments):
        """Run bench/client on it; the samples."""
        argv = [program("client"), self.path, *map(str, arguments)]
        with self._popen(argv, self._begin, text=True, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE) as client:
            try:
                out, err = client.communicate(timeout=PATIENCE)
            except BaseException:
                client.kill()
                raise
        assert client.returncode == 0, f"{self.name}: {err.strip() or client.returncode}"
        return [int(line) for line in out.split()]

    def time_of_start(self):
        """Of one more of its kind, which ends again."""
        samples = self.client("start", int(self.end), *self.argv())
        reap()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        return samples

    def cpu_ns(self):
        total = 0
        for pid in self.pids():
            for task in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as f:
                    total += int(f.read().split()[0])
        return total

    def pss(self):
        return sum(gauge.figure(pid, "smaps_rollup", "Pss") for pid in self.pids())


def reap():
    """What lost its parent is ours to end, and to collect."""
    for pid in agent.children(os.getpid()):
        if agent.comm(pid).startswith("postern"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)


class QemuGa(Subject):
    name = "qemu-ga"
    end = signal.SIGKILL

    def argv(self):
        assert reference.PROGRAM, "qemu-ga is not installed"
        return [reference.PROGRAM, "-m", "unix-listen", "-p", self.path, "-t", self.dir]


class Postern(Subject):
    name = "Postern"
    audit = None  # a descriptor of /dev/null

    def argv(self):
        build = os.path.abspath(agent.build_dir())
        argv = [os.path.join(build, "postern"), "-m", "unix-listen", "-p", self.path,
                "-t", self.dir, "--programs", build, "--profile", "legacy",
                "--audit", self.audit or f"fd:{self.place.null}"]
        if os.geteuid() == 0:
            users = map(str, agent.free_uids(2))
            argv += ["--frontend-user", next(users), "--inspector-user", next(users)]
        return argv


class ToJournal(Postern):
    """With its records in the journal, for comparison with itself."""
    name = "Postern, journal"
    audit = "journal"


class OneProcess(Subject):
    name = "echo, one process"
    hops = "one"

    def argv(self):
        return [program("echo"), self.path, self.hops]


class TwoProcesses(OneProcess):
    name = "echo, two processes"
    hops = "two"
