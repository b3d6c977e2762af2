#!/usr/bin/python3
# run: limit 120
"""The channels isa-serial, vsock-listen and those of a service manager; how a channel is
waited for and taken over; and no channel wakes an agent that nobody talks to.

test_port.py has virtio-serial, test_start.py and test_supervisor.py unix-listen.
"""
import contextlib
import errno
import fcntl
import functools
import os
import pty
import signal
import socket
import subprocess
import tempfile
import termios
import time
import tty

import guard
import tap
from agent import (PATIENCE, SPAWNS, Agent, Client, Closed, comm, descendants, status,
                   wait_until)

IS_ROOT = os.geteuid() == 0
ANY_CID, OWN_CID = 0xffffffff, 1
TIOCVHANGUP = 0x5437


@contextlib.contextmanager
def started(*args, pass_fds=(), prepare=None, env=None, clean=True, admin=False):
    """An agent with further options, not waited for. CLEAN: it must end with status 0.
    ADMIN: with CAP_SYS_ADMIN, and so with test operations."""
    agent = Agent(args=args, start=False, env=env, testops=admin, admin=admin)
    with open(agent.stderr_path, "wb") as err:
        agent.process = subprocess.Popen(agent.argv, stdin=subprocess.DEVNULL, stdout=err,
                                         stderr=err, env=agent.env if prepare is None else None,
                                         pass_fds=pass_fds,
                                         preexec_fn=functools.partial(guard.harmless, prepare,
                                                                      admin))
    try:
        yield agent
        if clean:
            agent.process.send_signal(signal.SIGTERM)
            assert agent.process.wait(PATIENCE) == 0, agent.stderr()
    except BaseException:
        print(f"# stderr of the agent: {agent.stderr()!r}")
        raise
    finally:
        agent.kill()


def refused(*args, prepare=None, **how):
    """It ends with status 1; what it said."""
    agent = Agent(args=args, start=False)
    try:
        done = subprocess.run(agent.argv, capture_output=True, timeout=PATIENCE, text=True,
                              check=False, env=agent.env if prepare is None else None,
                              preexec_fn=functools.partial(guard.harmless, prepare), **how)
        assert done.returncode == 1, (done.returncode, done.stderr)
        return done.stderr
    finally:
        agent.kill()


def ticks(pids):
    """Processor time that processes have used, in ticks (100 a second)."""
    used = 0
    for pid in pids:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
            used += sum(int(n) for n in f.read().rpartition(")")[2].split()[11:13])
    return used


# ---- serial lines ------------------------------------------------------------------------

class Line:
    """The host's end of a serial line, with the methods that Client wants of a socket."""

    def __init__(self, path):
        """A pty as the device PATH, in its cooked default mode."""
        self.fd, slave = pty.openpty()
        self.device = os.ttyname(slave)
        os.close(slave)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        os.symlink(self.device, path)

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
            time.sleep(0.001)  # nobody has the other end open
            raise BlockingIOError from e

    def send(self, data):
        return os.write(self.fd, data)

    def close(self):
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def cook(self):
        """Nobody has it, or somebody who leaves it as it is by default."""
        mode = termios.tcgetattr(self.fd)
        mode[tty.LFLAG] |= termios.ECHO | termios.ICANON
        termios.tcsetattr(self.fd, termios.TCSANOW, mode)

    def client(self):
        """Once the agent has the line: it throws away what came before."""
        wait_until(lambda: not termios.tcgetattr(self.fd)[tty.LFLAG] & termios.ECHO, "raw mode")
        return Client(self)


@contextlib.contextmanager
def device():
    """A path for the device."""
    with tempfile.TemporaryDirectory(prefix="postern-test-") as folder:
        yield os.path.join(folder, "tty")


@contextlib.contextmanager
def on_line(*args, **how):
    """An agent on a serial line: (agent, line, its path)."""
    with device() as path, Line(path) as line:
        with started("-m", "isa-serial", "-p", path, *args, **how) as a:
            yield a, line, path


def test_serial_line():
    """Raw bytes both ways; and what a cooked line would act on (interrupt, stop, start,
    end of file, quit, stop the job, CR) arrives or is not even there."""
    with on_line() as (_, line, _):
        c = line.client()
        c.reset()
        c.send(b'{"execute":"guest-ping","id":"\\r\\u0003"}\r\n')
        assert c.recv_replies(1) == [b'{"return": {}, "id": "\\r\\u0003"}']
        c.send(b"\x03\x13\x11\x04\x1c\x1a\x7f\x15\r\n")
        c.sync()
        assert c.call("guest-ping") == {"return": {}}
        # Not a byte but the replies: neither an echo nor a CR.
        assert not c.lines and not c.buffer
        c.nothing(0.1)


def test_serial_line_and_what_was_half_said():
    """Who comes and goes on a line is not to be seen; 0xFF makes a clean start."""
    with on_line() as (_, line, _):
        c = line.client()
        c.send(b'{"execute":"guest-ping","id":"half')
        c.reset()
        assert c.call("guest-ping") == {"return": {}}


def test_serial_line_is_ours_alone():
    """A user who may open the device can not do so while it is the channel."""
    with on_line() as (_, line, _):
        line.client().sync()
        if IS_ROOT:  # root may always, so somebody else has to try
            os.chmod(line.device, 0o666)
        pid = os.fork()
        if pid == 0:
            try:
                if IS_ROOT:
                    os.setresuid(65534, 65534, 65534)
                os.open(line.device, os.O_RDWR | os.O_NOCTTY)
                os._exit(0)
            except OSError as e:
                os._exit(e.errno)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == errno.EBUSY


def test_serial_line_that_is_gone():
    """The end of the line is not the end of the agent: it tries to open the device again,
    ever more rarely, and answers on the new one."""
    with on_line("-v") as (a, line, path):
        line.client().sync()
        worker = a.child("worker")
        line.close()
        wait_until(lambda: "error opening channel" in a.stderr(), "the first try")
        time.sleep(1)
        tries = a.stderr().count("error opening channel")
        # At once, and after 0, 0, 100, 200, 400, 800 ms.
        assert 3 < tries < 9, a.stderr()
        assert ticks(descendants(a.pid)) < 50
        with Line(path) as again:
            c = again.client()
            c.reset()
            assert c.call("guest-ping") == {"return": {}}
            assert a.child("worker") == worker


def test_serial_line_that_hangs_up():
    """What getty and login do to a line at their start. It is the same line, as good as
    before; its modes are ours again."""
    if not IS_ROOT:
        tap.skip("needs root, who alone may hang up")
    # It is still ours alone by TIOCEXCL, which only CAP_SYS_ADMIN opens again.
    with on_line(admin=True) as (a, line, _):
        line.client().sync()
        frontend = a.child("frontend")
        line.cook()
        fd = os.open(line.device, os.O_RDWR | os.O_NOCTTY)
        fcntl.ioctl(fd, TIOCVHANGUP)
        os.close(fd)
        wait_until(lambda: a.child("frontend") != frontend, "a new frontend")
        c = line.client()
        c.reset()
        assert c.call("guest-ping") == {"return": {}}
        assert "postern-frontend ended by status 68" in a.stderr(), a.stderr()


# ---- paths that are no channel -------------------------------------------------------------

def test_no_device():
    def fifo(path):
        os.mkfifo(path)

    def regular(path):
        with open(path, "w", encoding="ascii") as f:
            f.write("precious")

    def listening(path):
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(path)

    for method in ("virtio-serial", "isa-serial"):
        for make, text in ((fifo, "not a character device"),
                           (regular, "not a character device"), (os.mkdir, "Is a directory"),
                           (listening, "No such device or address")):
            with device() as path:
                make(path)
                before = os.lstat(path)
                assert refused("-m", method, "-p", path) == \
                    f"postern: error opening channel '{path}': {text}\n"
                after = os.lstat(path)
                assert (before.st_ino, before.st_mode, before.st_size) == \
                    (after.st_ino, after.st_mode, after.st_size)
        path = "/dev/" + "x" * 300
        assert refused("-m", method, "-p", path) == \
            f"postern: error opening channel '{path}': File name too long\n"
    assert refused("-m", "isa-serial", "-p", "/dev/null") == \
        "postern: error opening channel '/dev/null': Inappropriate ioctl for device\n"


def test_no_permission():
    if IS_ROOT:
        tap.skip("root may; runs as an ordinary user, too")
    for method in ("virtio-serial", "isa-serial"):
        with device() as path, Line(path) as line:
            os.chmod(line.device, 0)
            assert refused("-m", method, "-p", path) == \
                f"postern: error opening channel '{path}': Permission denied\n"


# ---- vsock --------------------------------------------------------------------------------

def vsock_port():
    """A port for this test; skips where the kernel has no vsock."""
    try:
        socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM).close()
    except OSError as e:
        tap.skip(f"this kernel has no vsock: {e}")
    return 5000 + os.getpid() % 50000


@contextlib.contextmanager
def on_vsock(port):
    with started("-m", "vsock-listen", "-p", f"{ANY_CID}:{port}") as a:
        a.child("frontend")
        yield a


def test_vsock_addresses():
    for path in ("1", "1:x", "4294967296:5", "1:4294967295"):
        assert "accepted is <cid>:<port>" in refused("-m", "vsock-listen", "-p", path), path
    assert "must specify a path" in refused("-m", "vsock-listen", "-p", "")


def test_vsock_port_in_use():
    port = vsock_port()
    with on_vsock(port):
        path = f"{ANY_CID}:{port}"
        assert refused("-m", "vsock-listen", "-p", path) == \
            f"postern: error opening channel '{path}': Address already in use\n"


def test_vsock_cid_of_another():
    path = f"12345678:{vsock_port()}"
    assert refused("-m", "vsock-listen", "-p", path) == \
        f"postern: error opening channel '{path}': Cannot assign requested address\n"


def vsock_client(port):
    """A connection over loopback; skips where the kernel has none. That the host is
    served is in the unit test channel_peer."""
    s = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
    s.settimeout(2)
    try:
        s.connect((OWN_CID, port))
    except OSError as e:
        s.close()
        tap.skip(f"no vsock loopback here: {e}")
    return s


def test_vsock_serves_the_host_only():
    """A process of the guest reaches the listener by loopback: it is turned away."""
    port = vsock_port()
    with on_vsock(port) as a:
        with vsock_client(port) as s:
            with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                s.sendall(b'{"execute":"guest-ping"}\n')
                assert s.recv(100) == b"", "a process of the guest was served"
        wait_until(lambda: "only the host is served" in a.stderr(), "the warning")


# ---- a socket of the service manager ------------------------------------------------------

def listener(path, kind=socket.SOCK_STREAM, listen=True):
    s = socket.socket(socket.AF_UNIX, kind)
    s.bind(path)
    if listen:
        s.listen(8)
    return s


def hand_over(fd, count="1", pid=None):
    """What sd_listen_fds(3) describes, in the new process."""
    def prepare():
        os.dup2(fd, 3)
        os.putenv("LISTEN_FDS", count)
        os.putenv("LISTEN_PID", str(pid or os.getpid()))
    return prepare


def test_socket_activation():
    """What clients sent before the agent was there is answered; the node stays."""
    with device() as path, listener(path) as s:
        early = socket.socket(socket.AF_UNIX)
        early.connect(path)
        early.sendall(b'{"execute":"guest-ping","id":"early"}\n')
        # Method and path of the command line count for nothing.
        with started("-m", "vsock-listen", "-p", "junk", pass_fds=(3,),
                     prepare=hand_over(s.fileno())) as a:
            early.settimeout(PATIENCE)
            assert early.recv(100) == b'{"return": {}, "id": "early"}\n'
            early.close()
            with Client.unix(path) as c:
                c.sync()
            # Others may be read by root alone.
            for name in ("worker", "frontend", "inspector") if IS_ROOT else ():
                with open(f"/proc/{a.child(name)}/environ", "rb") as f:
                    assert b"LISTEN" not in f.read(), name
            os.kill(a.child("worker"), signal.SIGKILL)
            wait_until(lambda: answers(path), "an answer after a restart")
        assert os.path.exists(path), "the manager's node was removed"


def answers(path):
    try:
        with Client.unix(path) as c:
            return c.sync() == []
    except (Closed, BrokenPipeError, ConnectionRefusedError, FileNotFoundError):
        return False


def test_activation_that_is_refused():
    with device() as path, listener(path + "1") as stream, \
            listener(path + "2", socket.SOCK_DGRAM, False) as datagram, \
            listener(path + "3", listen=False) as silent, socket.socket() as inet:
        for s, count, text in ((stream, "2", "only supports listening on one socket"),
                               (datagram, "1", "not a listening stream socket"),
                               (silent, "1", "not a listening stream socket"),
                               (inet, "1", "unsupported listen fd type")):
            said = refused(pass_fds=(3,), prepare=hand_over(s.fileno(), count))
            assert text in said, said
    with open("/dev/null", "rb") as null:
        said = refused(pass_fds=(3,), prepare=hand_over(null.fileno()))
        assert "unsupported listen fd type" in said, said


def test_activation_of_somebody_else():
    """Variables that were meant for another process are not for us."""
    with Agent(env={"LISTEN_FDS": "1", "LISTEN_PID": "1"}) as a, a.client() as c:
        c.sync()


# ---- one agent after another ------------------------------------------------------------------

def check_takeover(args, path):
    """Right after its predecessor was killed, whose processes still have the channel, an
    agent gets it."""
    for _ in range(3):
        with started(*args, clean=False) as old:
            old.child("frontend")
            old.process.kill()  # not waited for
            with started(*args) as new:
                new.child("frontend")
                assert path is None or answers(path)


def test_takeover_of_a_socket():
    with device() as path:
        check_takeover(["-m", "unix-listen", "-p", path], path)


def test_one_agent_after_another_on_a_line():
    """An ordered stop gives it back, to an agent of an ordinary user, too."""
    with device() as path, Line(path) as line:
        for _ in range(2):
            line.cook()
            with started("-m", "isa-serial", "-p", path):
                line.client().reset()


def test_takeover_of_vsock():
    check_takeover(["-m", "vsock-listen", "-p", f"{ANY_CID}:{vsock_port()}"], None)


def test_retry_path():
    """-r waits for a line that is not there yet; without it that is the end."""
    with device() as path:
        assert refused("-m", "isa-serial", "-p", path).endswith(": No such file or directory\n")
        with started("-m", "isa-serial", "-p", path, "-r") as a:
            wait_until(lambda: "No such file" in a.stderr(), "a try")
            with Line(path) as line:
                line.client().sync()
                line.close()
                with Line(path) as again:
                    again.client().sync()
            assert a.process.poll() is None


# ---- idle -----------------------------------------------------------------------------------

def wakeups(pids):
    """How often each began to wait, and its processor time: who spins never waits."""
    return {(comm(p), p): (int(status(p)["voluntary_ctxt_switches"]), ticks([p]))
            for p in pids}


def check_idle(a):
    """For two seconds none of its processes wakes."""
    wait_until(lambda: len(descendants(a.pid)) == 5 + SPAWNS,
               "worker, its writer, frontend, inspector, perhaps spawner")
    time.sleep(0.5)  # what the start left to do
    pids = [a.pid] + descendants(a.pid)
    before = wakeups(pids)
    time.sleep(2)
    after = wakeups(pids)
    assert after == before, (before, after)


def test_idle_listener():
    with Agent() as a:
        check_idle(a)


def test_idle_connection():
    with Agent() as a, a.client() as c:
        c.sync()
        check_idle(a)


def test_idle_with_a_client_that_waits():
    with Agent() as a, a.client() as c:
        c.sync()
        with a.client() as second:
            second.send(b'{"execute":"guest-ping"}\n')
            check_idle(a)


def test_idle_serial_line():
    with on_line() as (a, line, _):
        line.client().sync()
        check_idle(a)


def test_idle_port():
    with device() as path, Line(path), started("-m", "virtio-serial", "-p", path) as a:
        check_idle(a)


def test_idle_port_without_a_host():
    """A pty whose master is closed reads as a port whose host is away; but who reads just
    while the kernel closes it gets EIO, which no port gives. Then the test begins anew."""
    while not idle_without_a_host():
        pass


def idle_without_a_host():
    with device() as path, Line(path) as line, \
            started("-m", "virtio-serial", "-p", path) as a:
        wait_until(lambda: len(descendants(a.pid)) == 5 + SPAWNS, "all processes")
        time.sleep(0.2)
        line.close()
        time.sleep(0.3)
        if "postern-frontend ended by status 68" in a.stderr():
            return False
        check_idle(a)
        return True


def test_idle_vsock():
    with on_vsock(vsock_port()) as a:
        check_idle(a)


tap.run(tap.tests(globals()))
