#!/usr/bin/python3
"""The supervisor with programs in the place of worker, reader, frontend and inspector that
do what the test tells them (fake_program.c).
"""
import functools
import os
import pty
import re
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
import tty

import guard
import tap
from agent import (INSTALLED, PATIENCE, PROGRAMS, build_dir, free_uids, helper, wait_until)

POSTERN = os.path.abspath(os.path.join(build_dir(), "postern"))
IS_ROOT = os.geteuid() == 0
UIDS = free_uids(2) if IS_ROOT else [os.geteuid()] * 2


class Stage:
    """A supervisor in a private directory; `play` starts it, the end of `with` kills it.

    path    the channel's path     method  its method
    ctl     where the programs take their commands and keep their log
    """

    def __init__(self, method="unix-listen", path=None):
        self.dir = tempfile.mkdtemp(prefix="postern-test-")
        os.chmod(self.dir, 0o755)
        self.method = method
        self.path = path or os.path.join(self.dir, "agent.sock")
        self.audit = os.path.join(self.dir, "audit")
        self.pidfile = os.path.join(self.dir, "postern.pid")
        self.stderr_path = os.path.join(self.dir, "stderr")
        self.programs = os.path.join(self.dir, "programs")
        self.ctl = os.path.join(self.dir, "ctl")
        self.process = None
        for folder in (self.programs, self.ctl):
            os.mkdir(folder)
        os.chmod(self.ctl, 0o777)
        for name in INSTALLED.values():
            shutil.copy(helper("integration/fake_program"),
                        os.path.join(self.programs, name))
        with open(os.path.join(self.ctl, "log"), "wb"):
            os.chmod(os.path.join(self.ctl, "log"), 0o666)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind:
            print(f"# stderr: {self.stderr()!r}\n# log: {self.log()!r}")
        if self.process:
            self.process.kill()
            self.process.wait()
        for _, pid, _ in self.log():
            try:  # those that do not heed the supervisor's end
                if open(f"/proc/{pid}/cmdline", "rb").read().startswith(b"postern-"):
                    os.kill(pid, signal.SIGKILL)
            except (FileNotFoundError, ProcessLookupError):
                pass
        shutil.rmtree(self.dir)

    def argv(self, *args):
        users = ["--frontend-user", str(UIDS[0]), "--inspector-user", str(UIDS[1])]
        return [POSTERN, "-m", self.method, "-p", self.path, "-t", self.dir,
                "--programs", self.programs, "--audit", f"file:{self.audit}",
                *(users if IS_ROOT else []), *args]

    def play(self, *args, env=None, prepare=None, **popen):
        """Start it, with nothing to wait for. PREPARE is called in the new process."""
        env = {"QGA_OS_RELEASE": self.ctl, "TZ": "Europe/Berlin", "SECRET": "1",
               **(env or {})}
        with open(self.stderr_path, "ab") as err:
            self.process = subprocess.Popen(self.argv(*args), stdin=subprocess.DEVNULL,
                                            stdout=err, stderr=err, env=env,
                                            preexec_fn=functools.partial(guard.harmless, prepare),
                                            **popen)
        return self

    def refused(self, *args, **popen):
        """Start it; the one line that it must say when it ends with status 1."""
        self.play(*args, **popen)
        code = self.process.wait(PATIENCE)
        text = self.stderr()
        assert code == 1, (code, text)
        assert text.startswith("postern: ") and text.endswith("\n"), text
        assert text.count("\n") == 1, text
        return text[len("postern: "):-1]

    def mode(self, program, command):
        """What PROGRAM does at each start; None: nothing special."""
        path = os.path.join(self.ctl, f"{program}.mode")
        if command is None:
            os.unlink(path)
            return
        with open(path, "w", encoding="ascii") as f:
            f.write(command)

    def do(self, program, command):
        """Have the running PROGRAM do COMMAND."""
        path = os.path.join(self.ctl, f"{program}.do")
        with open(path + ".new", "w", encoding="ascii") as f:
            f.write(command)
        os.rename(path + ".new", path)

    def log(self):
        """What happened: (program, pid, event)."""
        with open(os.path.join(self.ctl, "log"), encoding="ascii") as f:
            rows = [line.split(" ", 2) for line in f.read().split("\n")[:-1]]
        return [(program, int(pid), event) for program, pid, event in rows]

    def starts(self, program):
        return [(pid, event) for name, pid, event in self.log()
                if name == program and event.startswith("start")]

    def pid(self, program, instance=1):
        """Pid of the INSTANCE-th start of PROGRAM, waiting for it."""
        wait_until(lambda: len(self.starts(program)) >= instance,
                   f"start {instance} of {program}")
        return self.starts(program)[instance - 1][0]

    def running(self, instance=1):
        return {name: self.pid(name, instance) for name in PROGRAMS}

    def stderr(self):
        with open(self.stderr_path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def wait_stderr(self, text):
        wait_until(lambda: text in self.stderr(), f"stderr: {text}")

    def stop(self, signum=signal.SIGTERM):
        """Ask it to stop; assert that it does so cleanly."""
        self.process.send_signal(signum)
        code = self.process.wait(PATIENCE)
        assert code == 0, (code, self.stderr())
        assert not os.path.lexists(self.pidfile)


def proc(pid, name):
    with open(f"/proc/{pid}/{name}", encoding="ascii") as f:
        return f.read()


def status(pid):
    return {k: v.strip() for k, _, v in (l.partition(":") for l in
                                         proc(pid, "status").splitlines())}


def descriptors(pid):
    """Number to target; sockets and the like without their inode number."""
    found = {int(n): os.readlink(f"/proc/{pid}/fd/{n}")
             for n in os.listdir(f"/proc/{pid}/fd")}
    return {n: re.sub(r":\[\d+\]$", "", target) for n, target in found.items()}


# ---- what a program gets -----------------------------------------------------------------

def test_descriptors_of_each_program():
    null = {n: "/dev/null" for n in range(3)}
    extra = os.open("/", os.O_RDONLY)
    high = os.dup2(extra, 200)
    with Stage() as s:
        s.play(pass_fds=(extra, high))
        pids = s.running()
        want = {"worker": {**null, 2: s.stderr_path, 3: "socket", 4: s.audit,
                           5: "/memfd:postern-state (deleted)", 6: "socket"},
                "reader": {**null, 2: s.stderr_path, 3: "socket",
                           7: "/memfd:postern-kept (deleted)"},
                "frontend": {**null, 3: "socket", 4: "socket"},
                "inspector": {**null, 3: "socket"}}
        wait_until(lambda: sum("got" in event for _, _, event in s.log()) == 3, "sockets")
        for name, pid in pids.items():
            got = descriptors(pid)
            # The fake's own folder, and in the worker what it was handed.
            own = {n for n, target in got.items()
                   if target == s.ctl or (name == "worker" and n > 6 and target == "socket")}
            assert len(own) == (4 if name == "worker" else 1), (name, got)
            got = {n: target for n, target in got.items() if n not in own}
            assert got == want[name], (name, got)
        s.stop()
    os.close(extra)
    os.close(high)


def test_arguments_environment_and_signals():
    def prepare():
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})

    with Stage() as s:
        s.play("--profile", "legacy", "--policy-root", s.dir, "-v",
               env={"NOTIFY_SOCKET": "@nobody"}, prepare=prepare)
        arguments = {"worker": f"postern-worker --channel unix-listen:{s.path} --verbose",
                     "reader": f"postern-reader --deny 0 --profile legacy --policy-root {s.dir}",
                     "frontend": "postern-frontend --listen",
                     "inspector": "postern-inspector"}
        for name, pid in s.running().items():
            assert proc(pid, "cmdline").rstrip("\0").replace("\0", " ") == arguments[name]
            assert set(proc(pid, "environ").rstrip("\0").split("\0")) == {
                "TZ=Europe/Berlin", f"QGA_OS_RELEASE={s.ctl}"}, name
            st = status(pid)
            # 32 and 33 are libc's own: it neither sets nor resets them for anybody.
            ignored = int(st["SigIgn"], 16) & ~(3 << 31)
            assert int(st["SigBlk"], 16) == 0 and ignored == 0, (name, st)
            assert st["Umask"] == "0077", (name, st["Umask"])
            assert os.readlink(f"/proc/{pid}/cwd") == "/"
            assert os.getsid(pid) == pid, name
        s.stop()


def test_identity():
    with Stage() as s:
        s.play()
        uids = {"worker": os.geteuid(), "reader": os.geteuid(), "frontend": UIDS[0],
                "inspector": UIDS[1]}
        for name, pid in s.running().items():
            st = status(pid)
            assert st["Uid"].split() == [str(uids[name])] * 4, (name, st["Uid"])
            if name == "worker":
                continue
            assert st["NoNewPrivs"] == "1", name
            assert int(st["CapEff"], 16) == int(st["CapPrm"], 16) == 0, name
            if IS_ROOT:
                assert st["Gid"].split() == [str(uids[name])] * 4, (name, st["Gid"])
                assert st["Groups"] == "" and int(st["CapBnd"], 16) == 0, name
        s.stop()


def test_a_user_by_name():
    if not IS_ROOT:
        tap.skip("needs root")
    with Stage() as s:
        s.play("--frontend-user", "nobody")
        with open("/etc/passwd", encoding="utf-8") as f:
            uid, gid = next(l.split(":")[2:4] for l in f if l.startswith("nobody:"))
        st = status(s.pid("frontend"))
        assert st["Uid"].split() == [uid] * 4 and st["Gid"].split() == [gid] * 4, st
        s.stop()


# ---- order -------------------------------------------------------------------------------

def test_nothing_is_opened_before_the_worker_is_ready():
    with Stage() as s:
        s.mode("worker", "mute")
        s.play()
        s.pid("reader")
        wait_until(lambda: any(e == "got p" for _, _, e in s.log()), "reader's socket")
        assert not s.starts("frontend") and not s.starts("inspector")
        assert not os.path.exists(s.path)
        s.do("worker", "ready")
        s.pid("frontend")
        wait_until(lambda: any(e == "got f" for _, _, e in s.log()), "frontend's socket")
        st = os.lstat(s.path)
        assert stat.S_ISSOCK(st.st_mode) and stat.S_IMODE(st.st_mode) == 0o600
        s.stop()
        assert not os.path.lexists(s.path)


def check_notify(address, env):
    with Stage() as s, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        if address is None:
            address = env = os.path.join(s.dir, "notify")
        manager.bind(address)
        manager.settimeout(PATIENCE)
        s.mode("worker", "mute")
        s.play(env={"NOTIFY_SOCKET": env})
        s.pid("reader")
        manager.setblocking(False)
        try:
            raise AssertionError(f"too early: {manager.recv(100)}")
        except BlockingIOError:
            pass
        manager.settimeout(PATIENCE)
        s.do("worker", "ready")
        assert manager.recv(100) == b"READY=1"
        s.do("frontend", "exit 70")
        s.pid("frontend", 2)
        s.stop()
        assert manager.recv(100) == b"STOPPING=1"


def test_notify_by_path():
    check_notify(None, None)


def test_notify_abstract():
    name = f"postern-test-{os.getpid()}"
    check_notify("\0" + name, "@" + name)


def test_a_manager_that_does_not_read_stops_nothing():
    with Stage() as s, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager, \
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as filler:
        path = os.path.join(s.dir, "notify")
        manager.bind(path)
        filler.setblocking(False)
        try:
            while True:
                filler.sendto(b"x", path)
        except BlockingIOError:
            pass
        s.play(env={"NOTIFY_SOCKET": path})
        s.running()
        s.stop()


def manager_of(s):
    """A service manager's socket, and the environment that names it."""
    path = os.path.join(s.dir, "notify")
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(path)
    manager.settimeout(PATIENCE)
    return manager, {"NOTIFY_SOCKET": path}


def is_silent(manager, seconds):
    manager.settimeout(seconds)
    try:
        raise AssertionError(manager.recv(100))
    except TimeoutError:
        manager.settimeout(PATIENCE)


def test_signs_of_life_are_passed_on():
    with Stage() as s:
        manager, env = manager_of(s)
        s.play(env={**env, "WATCHDOG_USEC": "180000000"})
        assert manager.recv(100) == b"READY=1"
        # At most once a minute, however long the manager would wait.
        assert "--alive 60000" in proc(s.pid("worker"), "cmdline").replace("\0", " ")
        for _ in range(3):
            s.do("worker", "say a")
            assert manager.recv(100) == b"WATCHDOG=1"
        first = s.pid("worker")
        s.do("worker", "say z")  # no word of a worker's
        assert s.pid("worker", 2) != first
        is_silent(manager, 0.3)
        manager.close()


def test_signs_of_life_that_nobody_wants():
    for usec, pid in ((None, None), ("0", None), ("x", None), ("180000000", "1"), ("", "")):
        with Stage() as s:
            manager, env = manager_of(s)
            env |= {k: v for k, v in (("WATCHDOG_USEC", usec), ("WATCHDOG_PID", pid))
                    if v is not None}
            s.play(env=env)
            assert manager.recv(100) == b"READY=1"
            assert "--alive" not in proc(s.pid("worker"), "cmdline"), env
            s.do("worker", "say a")
            is_silent(manager, 0.3)
            manager.close()


# ---- ends and restarts ---------------------------------------------------------------------

def check_killed(program):
    with Stage() as s:
        s.play()
        first = s.running()
        held = sorted(descriptors(s.process.pid).values())
        os.kill(first[program], signal.SIGKILL)
        s.pid(program, 2)
        if program == "worker":  # the others go with it
            second = s.running(2)
            order = [name for name, pid, event in s.log()
                     if pid in second.values() and event.startswith("start")]
            assert order.index("worker") < order.index("frontend"), order
        else:
            assert [len(s.starts(name)) for name in PROGRAMS if name != program] == [1] * 3
        s.wait_stderr(f"postern: {PROGRAMS[program]} ended by signal 9, restart in 0 ms\n")
        assert os.path.exists(s.path)
        wait_until(lambda: sorted(descriptors(s.process.pid).values()) == held,
                   "as many descriptors as before")
        s.stop()
        # What ended because its worker went is no failure and not worth a line.
        assert s.stderr().count("\n") == 1, s.stderr()


def test_back_off():
    with Stage() as s:
        s.play()
        s.running()
        s.mode("inspector", "exit 70")
        s.do("inspector", "exit 70")
        s.wait_stderr("restart in 400 ms")
        delays = re.findall(r"postern-inspector ended by status 70, restart in (\d+) ms",
                            s.stderr())
        assert delays == ["0", "0", "0", "100", "200", "400"], delays
        assert len(s.starts("worker")) == len(s.starts("frontend")) == 1
        s.stop()


def test_a_reader_that_is_done():
    """None comes in its place, for that worker; the next one has one."""
    with Stage() as s:
        s.play()
        first = s.running()
        s.do("reader", "exit 0")
        wait_until(lambda: not os.path.exists(f"/proc/{first['reader']}"), "its end")
        os.kill(first["inspector"], signal.SIGKILL)
        s.pid("inspector", 2)
        assert len(s.starts("reader")) == 1
        os.kill(first["worker"], signal.SIGKILL)
        s.pid("reader", 2)
        s.do("reader", "exit 65")
        s.pid("reader", 3)
        s.stop()


def test_a_reader_that_is_done_as_its_worker_ends():
    """One that is late to go is not taken for that of the next worker."""
    with Stage() as s:
        s.mode("reader", "stubborn")
        s.play()
        s.running()
        for n in range(2, 5):
            os.kill(s.pid("worker", n - 1), signal.SIGKILL)
            s.pid("worker", n)
            s.do("reader", "exit 0")  # the one that is left of the old worker
            s.pid("reader", n)
            wait_until(lambda n=n: sum(e == "got p" for _, _, e in s.log()) == n, "its socket")
        s.stop()


def test_a_worker_gets_its_reader_at_once():
    """However long the last one waited for the next."""
    with Stage() as s:
        s.mode("reader", "exit 70")
        s.play()
        s.wait_stderr("postern-reader ended by status 70, restart in 6400 ms")
        s.mode("reader", None)
        n = len(s.starts("reader"))
        begun = time.monotonic()
        os.kill(s.pid("worker"), signal.SIGKILL)
        s.pid("reader", n + 1)
        assert time.monotonic() - begun < 5
        s.stop()


def test_a_worker_that_wants_a_program_gone():
    with Stage() as s:
        s.mode("frontend", "stubborn")
        s.play()
        first = s.running()
        wait_until(lambda: any(e == "got f" for _, _, e in s.log()), "frontend's socket")
        s.do("worker", "drop")
        second = s.pid("frontend", 2)
        assert second != first["frontend"]
        text = s.stderr()
        assert "postern-frontend did not end when it should, killed" in text, text
        assert "postern-frontend ended by signal 9" in text, text
        assert len(s.starts("worker")) == 1
        s.stop()


def test_a_worker_that_does_not_read():
    """Its queue takes a new program's socket; the supervisor does not wait for it."""
    with Stage() as s:
        s.play()
        first = s.running()
        os.kill(first["worker"], signal.SIGSTOP)
        os.kill(first["inspector"], signal.SIGKILL)
        s.pid("inspector", 2)
        os.kill(first["worker"], signal.SIGCONT)
        wait_until(lambda: sum(e == "got i" for _, _, e in s.log()) == 2, "its socket")
        s.stop()


def test_a_worker_that_hangs_up_on_us():
    """It can take no more sockets, so it must go."""
    with Stage() as s:
        s.mode("worker", "stubborn")
        s.play()
        first = s.running()
        s.do("worker", "hangup")
        s.wait_stderr("postern-worker did not end when it should, killed")
        assert s.pid("worker", 2) != first["worker"]
        s.running(2)
        s.stop()


def check_hopeless(program, code, text):
    with Stage() as s:
        s.mode(program, f"exit {code}")
        s.play()
        assert s.process.wait(PATIENCE) == 1
        assert s.stderr() == text, s.stderr()
        assert not os.path.lexists(s.path) and not os.path.lexists(s.pidfile)


def test_a_program_that_cannot_be_run():
    with Stage() as s:
        path = os.path.join(s.programs, "postern-frontend")
        os.chmod(path, 0o644)
        text = s.refused()
        assert text == "cannot start postern-frontend: execute: Permission denied", text
        assert not os.path.lexists(s.path) and not os.path.lexists(s.pidfile)


def test_hopeless_later_is_a_failure_like_others():
    with Stage() as s:
        s.play()
        s.running()
        s.do("frontend", "exit 70")
        s.pid("frontend", 2)
        s.do("frontend", "exit 69")
        s.pid("frontend", 3)
        s.stop()


# ---- the channel ----------------------------------------------------------------------------

class Port:
    """A pty: the slave's path stands for a virtio port."""

    def __enter__(self):
        self.master, slave = pty.openpty()
        tty.setraw(slave)
        self.path = os.ttyname(slave)
        os.close(slave)
        return self

    def __exit__(self, *exc):
        os.close(self.master)


def check_port(end, want):
    """After END the next frontend gets a port that is kept or new (WANT)."""
    with Port() as port, Stage("virtio-serial", port.path) as s:
        s.play()
        pids = s.running()
        assert s.starts("frontend")[0][1] == "start new"
        assert proc(pids["frontend"], "cmdline").split("\0")[1] == "--port"
        assert descriptors(pids["frontend"])[4] == port.path
        flags = int(re.search(r"flags:\s*(\d+)", proc(pids["frontend"], "fdinfo/4"))[1], 8)
        assert flags & os.O_NONBLOCK and not flags & os.O_CLOEXEC, oct(flags)
        if end == "worker":
            os.kill(pids["worker"], signal.SIGKILL)
        elif end == "signal":
            os.kill(pids["frontend"], signal.SIGKILL)
        else:
            s.do("frontend", f"exit {end}")
        s.pid("frontend", 2)
        assert s.starts("frontend")[1][1] == f"start {want}", s.log()
        s.stop()
        assert os.path.exists(port.path)


def test_a_listener_stays():
    with Stage() as s:
        s.play()
        inode = os.lstat(wait_until(lambda: s.pid("frontend") and s.path, "socket")).st_ino
        os.kill(s.pid("frontend"), signal.SIGKILL)
        s.pid("frontend", 2)
        assert s.starts("frontend")[1][1] == "start kept"
        assert os.lstat(s.path).st_ino == inode
        s.stop()


def test_an_unplugged_port_is_tried_again():
    with Port() as port, Stage("virtio-serial") as s:
        os.symlink(port.path, s.path)
        s.play("-v")  # each try is told
        s.running()
        os.unlink(s.path)
        s.do("frontend", "exit 68")
        wait_until(lambda: s.stderr().count("error opening channel") >= 4, "tries")
        assert len(s.starts("frontend")) == 1
        os.symlink(port.path, s.path)
        s.pid("frontend", 2)
        assert s.starts("frontend")[1][1] == "start new"
        assert len(s.starts("worker")) == 1
        s.stop()


def test_retry_path():
    """A port that is not there yet is waited for, told once, and the manager waits, too."""
    with Port() as port, Stage("virtio-serial") as s, \
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        notify = os.path.join(s.dir, "notify")
        manager.bind(notify)
        manager.settimeout(PATIENCE)
        s.play("-r", env={"NOTIFY_SOCKET": notify})
        tries = 0
        while tries < 5:  # the fourth and fifth after a delay
            assert manager.recv(100).startswith(b"EXTEND_TIMEOUT_USEC=")
            tries += 1
        assert not s.starts("frontend") and s.process.poll() is None
        os.symlink(port.path, s.path)
        s.pid("frontend")
        while (word := manager.recv(100)) != b"READY=1":
            assert word.startswith(b"EXTEND_TIMEOUT_USEC="), word
        # Gone once more: that is news.
        os.unlink(s.path)
        s.do("frontend", "exit 68")
        wait_until(lambda: s.stderr().count("error opening channel") == 2, "a second line")
        s.stop()
        assert s.stderr().count("error opening channel") == 2, s.stderr()


def test_retry_path_and_another_reason():
    with Port() as port, Stage("virtio-serial") as s:
        s.play("-r")
        s.wait_stderr("No such file or directory")
        os.symlink(s.path, s.path)
        s.wait_stderr("Too many levels of symbolic links")
        os.unlink(s.path)
        os.symlink(port.path, s.path)
        s.pid("frontend")
        s.stop()


def test_retry_path_is_not_for_mistakes():
    """What would be the same at the next try."""
    with tempfile.NamedTemporaryFile() as file:
        for method, path, text in (("unix-listen", "/tmp/" + "x" * 103, "path longer than"),
                                   ("vsock-listen", "1:x", "<cid>:<port>"),
                                   ("virtio-serial", file.name, "not a character device")):
            with Stage(method, path) as s:
                assert text in s.refused("-r")


def test_a_socket_that_comes_free_in_a_moment():
    """Of an agent that was killed, the last process may still be ending."""
    with Stage() as s, socket.socket(socket.AF_UNIX) as old:
        old.bind(s.path)
        old.listen(1)
        s.mode("worker", "mute")
        s.play("-v")
        s.pid("worker")
        s.do("worker", "ready")
        wait_until(lambda: any(e == "ready" for _, _, e in s.log()), "the first try")
        time.sleep(0.1)
        assert not s.starts("frontend") and s.process.poll() is None
        old.setblocking(False)
        try:
            old.accept()
            raise AssertionError("it stands in the queue of the other agent")
        except BlockingIOError:
            pass
        old.close()
        s.pid("frontend")
        s.stop()
        assert "error opening" not in s.stderr()


def test_no_port():
    with Stage("virtio-serial", "/nonexistent/port") as s:
        text = s.refused()
        assert text == "error opening channel '/nonexistent/port': " \
                       "No such file or directory", text
        assert not s.starts("frontend")


def test_a_port_that_is_no_device():
    with Stage("virtio-serial") as s:
        open(s.path, "wb").close()
        assert s.refused().endswith(": not a character device")


def test_stale_socket_is_replaced():
    with Stage() as s:
        with socket.socket(socket.AF_UNIX) as old:
            old.bind(s.path)
        s.play()
        s.running()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(s.path)
        s.stop()


def test_live_socket_is_left_alone():
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with Stage() as s, socket.socket(socket.AF_UNIX, kind) as live:
            live.bind(s.path)
            if kind == socket.SOCK_STREAM:
                live.listen(0)
            inode = os.lstat(s.path).st_ino
            text = s.refused()
            assert text == f"error opening channel '{s.path}': Address already in use"
            assert os.lstat(s.path).st_ino == inode


def test_live_socket_with_a_full_backlog():
    with Stage() as s, socket.socket(socket.AF_UNIX) as live, \
            socket.socket(socket.AF_UNIX) as first:
        live.bind(s.path)
        live.listen(0)
        first.connect(s.path)
        assert s.refused().endswith(": Address already in use")


def test_other_files_are_left_alone():
    def regular(path):
        with open(path, "w", encoding="ascii") as f:
            f.write("precious")

    def link(path):
        with socket.socket(socket.AF_UNIX) as old:
            old.bind(path + ".stale")
        os.symlink(path + ".stale", path)

    for make in (regular, link, os.mkfifo, os.mkdir):
        with Stage() as s:
            make(s.path)
            before = os.lstat(s.path)
            text = s.refused()
            assert text == f"error opening channel '{s.path}': " \
                           "it exists and is not a socket", text
            assert os.lstat(s.path).st_ino == before.st_ino
            assert os.lstat(s.path).st_mode == before.st_mode


def test_a_path_too_long():
    with Stage(path="/tmp/" + "x" * 103) as s:
        text = s.refused()
        assert text == f"error opening channel '{s.path}': path longer than 107 bytes"


def test_a_socket_of_somebody_else_is_not_removed():
    with Stage() as s:
        s.play()
        s.running()
        os.rename(s.path, s.path + ".ours")
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(s.path)
            s.stop()
            assert os.path.exists(s.path)


# ---- stop ------------------------------------------------------------------------------------

def check_stop(signum):
    with Stage() as s:
        s.play()
        pids = s.running()
        s.stop(signum)
        assert s.stderr() == "", s.stderr()
        for name, pid in pids.items():
            assert (name, pid, "hung up") in s.log(), name
            assert not os.path.exists(f"/proc/{pid}"), name
        assert not os.path.lexists(s.path)


def test_stop_ends_what_does_not_want_to():
    with Stage() as s:
        s.mode("worker", "stubborn")
        s.play()
        pids = s.running()
        s.stop()
        assert s.stderr() == "postern: stopping takes too long, killed what is left\n"
        assert not os.path.exists(f"/proc/{pids['worker']}")


def test_hangup_is_ignored():
    with Stage() as s:
        s.play()
        s.running()
        s.process.send_signal(signal.SIGHUP)
        s.do("frontend", "exit 70")
        s.pid("frontend", 2)
        s.stop()


def test_the_end_of_the_supervisor_ends_all():
    with Stage() as s:
        s.play()
        pids = s.running()
        s.process.kill()
        s.process.wait()
        for pid in pids.values():
            wait_until(lambda pid=pid: not os.path.exists(f"/proc/{pid}") or
                       status(pid)["State"].startswith("Z"), "its end")


# ---- files -----------------------------------------------------------------------------------

def test_pidfile():
    with Stage() as s, Stage() as second:
        s.play()
        s.running()
        with open(s.pidfile, encoding="ascii") as f:
            assert f.read() == f"{s.process.pid}\n"
        text = second.refused("-f", s.pidfile)
        assert text == f"pidfile '{s.pidfile}': another agent is running", text
        assert not second.log() and os.path.exists(s.pidfile)
        s.process.kill()
        s.process.wait()
        with open(s.pidfile, "a", encoding="ascii") as f:
            f.write("more than a pid")
        s.play()
        s.running(2)
        with open(s.pidfile, encoding="ascii") as f:
            assert f.read() == f"{s.process.pid}\n"
        s.stop()


def test_pidfile_must_be_a_file_of_its_own():
    with Stage() as s:
        assert s.refused("-f", "/dev/null") == "pidfile '/dev/null': not a regular file"
        assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    with Stage() as s:
        os.symlink("/etc/passwd", s.pidfile)
        assert s.refused().endswith(": Too many levels of symbolic links")


def test_audit_file():
    with Stage() as s:
        with open(s.audit, "w", encoding="ascii") as f:
            f.write("older\n")
        os.chmod(s.audit, 0o600)
        s.play()
        pid = s.pid("worker")
        flags = int(re.search(r"flags:\s*(\d+)", proc(pid, "fdinfo/4"))[1], 8)
        assert flags & os.O_APPEND and flags & os.O_ACCMODE == os.O_WRONLY, oct(flags)
        s.stop()
        assert os.stat(s.audit).st_size == 6
    with Stage() as s:
        s.play()
        s.pid("worker")
        assert stat.S_IMODE(os.stat(s.audit).st_mode) == 0o600
        s.stop()


def test_audit_descriptor():
    with Stage() as s:
        target = os.path.join(s.dir, "sink")
        fd = os.open(target, os.O_WRONLY | os.O_CREAT)
        s.play("--audit", f"fd:{fd}", pass_fds=(fd,))
        os.close(fd)
        assert descriptors(s.pid("worker"))[4] == target
        s.stop()
    with Stage() as s:
        s.play("--audit", "fd:2")
        assert descriptors(s.pid("worker"))[4] == s.stderr_path
        s.stop()


def test_audit_descriptor_that_cannot_be_written():
    with Stage() as s, open("/dev/null", "rb") as f:
        text = s.refused("--audit", f"fd:{f.fileno()}", pass_fds=(f.fileno(),))
        assert text == f"--audit 'fd:{f.fileno()}': Bad file descriptor", text


def test_closed_standard_descriptors():
    def close():
        for fd in range(3):
            os.close(fd)

    with Stage() as s:
        s.play(prepare=close)
        for pid in s.running().values():
            got = descriptors(pid)
            assert [got[n] for n in range(3)] == ["/dev/null"] * 3, got
        s.stop()


def test_default_state_directory():
    if IS_ROOT:
        tap.skip("would be /run/postern of this machine")
    with Stage() as s:
        argv = [a for a in s.argv() if a not in ("-t", s.dir)]
        plain = {"QGA_OS_RELEASE": s.ctl}
        done = subprocess.run(argv, env=plain, capture_output=True, timeout=PATIENCE,
                              text=True, check=False, preexec_fn=guard.harmless)
        assert (done.returncode, done.stderr) == (
            1, "postern: no state directory: XDG_RUNTIME_DIR is not set, give one with -t\n")
        with subprocess.Popen(argv, env={**plain, "XDG_RUNTIME_DIR": s.dir},
                              preexec_fn=guard.harmless) as p:
            s.running()
            made = os.path.join(s.dir, "postern")
            assert stat.S_IMODE(os.stat(made).st_mode) == 0o700
            assert sorted(os.listdir(made)) == ["control", "postern.pid"]
            p.terminate()


# ---- mistakes in calling it --------------------------------------------------------------------

MISTAKES = [
    (["--foo"], "unknown option: '--foo', try 'postern --help'"),
    (["-p"], "option needs an argument: '-p', try 'postern --help'"),
    (["-m", "foo"], "unsupported channel method/type: foo"),
    (["-m", "unix-listen", "-p", ""], "must specify a path for this channel (-p)"),
    (["-t", "/nonexistent"], "state directory '/nonexistent': No such file or directory"),
    (["-t", "/dev/null"], "state directory '/dev/null': Not a directory"),
    (["-f", "/nonexistent/pid"],
     "cannot open pidfile '/nonexistent/pid': No such file or directory"),
    (["--programs", "/nonexistent"], "cannot open program '/nonexistent/postern-worker': "
                                     "No such file or directory"),
    (["--audit", "nonsense"], "--audit 'nonsense' is neither journal nor fd:N nor file:PATH"),
    (["--audit", "fd:"], "--audit 'fd:' is neither journal nor fd:N nor file:PATH"),
    (["--audit", "journal:x"], "--audit 'journal:x' is neither journal nor fd:N nor file:PATH"),
    (["--audit", "fd:99"], "--audit 'fd:99': Bad file descriptor"),
    (["--audit", "file:/nonexistent/a"],
     "cannot open audit file '/nonexistent/a': No such file or directory"),
    (["--audit", "file:/dev/null"], "audit file '/dev/null': not a regular file"),
]
ROOT_MISTAKES = [
    (["--frontend-user", "no-such-user"],
     "user 'no-such-user' is not in /etc/passwd: create it (useradd --system no-such-user) "
     "or name another with --frontend-user"),
    (["--inspector-user", "root"], "--inspector-user 'root' is root, name another user"),
    (["--frontend-user", "0"], "--frontend-user '0' is root, name another user"),
    (["--frontend-user", str(UIDS[1])],
     "--frontend-user and --inspector-user must be two users"),
]


def check_mistake(args, want):
    with Stage() as s:
        text = s.refused(*args)
        assert text == want, text
        assert not s.log() and not os.path.lexists(s.path)


def test_users_do_not_matter_without_root():
    if IS_ROOT:
        tap.skip("runs as root")
    with Stage() as s:
        s.play("--frontend-user", "no-such-user", "--inspector-user", "root")
        s.running()
        s.stop()
        assert s.stderr() == ""


def test_version_and_help():
    for args, start in ((["-V"], "QEMU Guest Agent 11.1.0 (Postern 0.1.0)\n"),
                        (["-m", "foo", "--version", "--foo"],
                         "QEMU Guest Agent 11.1.0 (Postern 0.1.0)\n"),
                        (["-h"], "Usage: postern "), (["--help"], "Usage: postern ")):
        done = subprocess.run([POSTERN, *args], capture_output=True, text=True, check=False,
                              preexec_fn=guard.harmless)
        assert (done.returncode, done.stderr) == (0, ""), done
        assert done.stdout.startswith(start), done.stdout


def cases(namespace):
    todo = tap.tests(namespace)
    for program in PROGRAMS:
        todo.append((f"kill -9 of the {program}", lambda p=program: check_killed(p)))
    for end, want in (("signal", "new"), (66, "new"), (68, "new"), (1, "new"),
                      (0, "kept"), (65, "kept"), (67, "kept"), (70, "kept"),
                      ("worker", "kept")):
        todo.append((f"port {want} after {end}", lambda e=end, w=want: check_port(e, w)))
    for signum in (signal.SIGTERM, signal.SIGINT):
        todo.append((f"clean stop on {signum.name}", lambda n=signum: check_stop(n)))
    for program, code, text in (
            ("worker", 64, ""), ("worker", 69, ""), ("reader", 64, ""), ("reader", 69, ""),
            ("frontend", 69, "postern: postern-frontend cannot work here: "
                             "its sandbox could not be entered\n"),
            ("inspector", 64, "postern: postern-inspector cannot work here: "
                              "wrong arguments or environment\n")):
        todo.append((f"{program} ends with {code} at its first start",
                     lambda p=program, c=code, t=text: check_hopeless(p, c, t)))
    for args, want in MISTAKES + (ROOT_MISTAKES if IS_ROOT else []):
        todo.append((" ".join(args), lambda a=args, w=want: check_mistake(a, w)))
    return todo


tap.run(cases(globals()))
