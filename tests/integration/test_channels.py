#!/usr/bin/python3
"""The channels isa-serial, vsock-listen and those of a service manager; and no channel wakes
an agent that nobody talks to. test_port.py has virtio-serial, test_start.py unix-listen.
"""
# run: limit 120
import contextlib
import os
import pty
import signal
import socket
import subprocess
import termios
import time
import tty

import tap
from agent import PATIENCE, Agent, Client, comm, descendants, status, wait_until

ANY_CID = 0xffffffff


class Line:
    """The host's end of a serial line, with the methods that Client wants of a socket."""

    def __init__(self, fd):
        self.fd = fd

    def fileno(self):
        return self.fd

    def setblocking(self, flag):
        os.set_blocking(self.fd, flag)

    def recv(self, size):
        try:
            return os.read(self.fd, size)
        except OSError as e:  # nobody has the other end open
            time.sleep(0.001)
            raise BlockingIOError from e

    def send(self, data):
        return os.write(self.fd, data)

    def close(self):
        os.close(self.fd)


@contextlib.contextmanager
def started(*args, pass_fds=(), prepare=None, env=None):
    """An agent with further options, not waited for."""
    agent = Agent(args=args, start=False, env=env)
    with open(agent.stderr_path, "wb") as err:
        agent.process = subprocess.Popen(agent.argv, stdin=subprocess.DEVNULL, stdout=err,
                                         stderr=err, env=agent.env if prepare is None else None,
                                         pass_fds=pass_fds, preexec_fn=prepare)
    try:
        yield agent
        agent.process.send_signal(signal.SIGTERM)
        assert agent.process.wait(PATIENCE) == 0, agent.stderr()
    finally:
        agent.kill()


def refused(*args, **how):
    """It ends with status 1; what it said."""
    agent = Agent(args=args, start=False)
    try:
        done = subprocess.run(agent.argv, capture_output=True, timeout=PATIENCE, text=True,
                              check=False, env=None if "preexec_fn" in how else agent.env, **how)
        assert done.returncode == 1, (done.returncode, done.stderr)
        return done.stderr
    finally:
        agent.kill()


# ---- serial lines ------------------------------------------------------------------------

@contextlib.contextmanager
def serial_line(path):
    """A pty as the device PATH; gives the host's end."""
    master, slave = pty.openpty()
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    os.symlink(os.ttyname(slave), path)
    os.close(slave)
    line = Line(master)
    try:
        yield line
    finally:
        with contextlib.suppress(OSError):
            line.close()


def client(line):
    """Once the agent has the line: it throws away what came before."""
    wait_until(lambda: not termios.tcgetattr(line.fd)[tty.LFLAG] & termios.ECHO, "raw mode")
    return Client(line)


def test_serial_line():
    """Raw bytes both ways, whatever the line was set to before."""
    agent = Agent(start=False)
    path = os.path.join(agent.dir, "tty")
    with serial_line(path) as line:
        with started("-m", "isa-serial", "-p", path):
            c = client(line)
            mode = termios.tcgetattr(line.fd)
            assert not mode[tty.LFLAG] & (termios.ECHO | termios.ICANON | termios.ISIG)
            assert not mode[tty.OFLAG] & termios.OPOST
            assert not mode[tty.IFLAG] & (termios.IXON | termios.ICRNL | termios.ISTRIP)
            c.reset()
            # Bytes that a cooked line would act on: interrupt, stop, end of file, CR.
            c.send(b'\x03\x13\x04\xff{"execute":"guest-ping","id":"\\r\\u0003"}\r\n')
            wait_until(lambda: b'{"return": {}, "id": "\\r\\u0003"}' in c.recv_replies(1),
                       "the answer")
    agent.kill()


def test_serial_line_that_hangs_up():
    """The end of the line is not the end of the agent: it opens the device anew, without
    wearing itself out, and answers on the new line."""
    agent = Agent(start=False)
    path = os.path.join(agent.dir, "tty")
    with serial_line(path) as line:
        with started("-m", "isa-serial", "-p", path) as a:
            client(line).sync()
            line.close()
            wait_until(lambda: "channel" in a.stderr() or "frontend" in a.stderr(),
                       "the hang-up to be seen")
            used = lambda: sum(os.times()[2:4])
            before = used()
            time.sleep(1)
            assert used() - before < 0.5, "it spins"
            with serial_line(path) as again:
                c = client(again)
                c.reset()
                assert c.call("guest-ping") == {"return": {}}
    agent.kill()


def test_serial_needs_a_terminal():
    assert "error opening channel '/dev/null': Inappropriate ioctl" in \
        refused("-m", "isa-serial", "-p", "/dev/null")


# ---- vsock --------------------------------------------------------------------------------

def test_vsock_addresses():
    for path in ("1", ":", "1:", ":1", "x:1", "1:x", "1:2:3", "-1:5", "+1:5", " 1:5", "1:5 ",
                 "4294967296:5", "1:4294967296", "0x1:5"):
        assert "accepted is <cid>:<port>" in refused("-m", "vsock-listen", "-p", path), path
    assert "must specify a path" in refused("-m", "vsock-listen", "-p", "")


@contextlib.contextmanager
def vsock_client(port):
    """A connection over loopback; skips where the kernel has none."""
    with socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM) as s:
        s.settimeout(2)
        try:
            s.connect((1, port))
        except OSError as e:
            tap.skip(f"no vsock loopback here: {e}")
        yield s


def test_vsock_serves_the_host_only():
    """A process of the guest reaches the listener by loopback: it is turned away."""
    port = 5000 + os.getpid() % 50000
    with started("-m", "vsock-listen", "-p", f"{ANY_CID}:{port}") as a:
        wait_until(lambda: any(comm(p) == "postern-fronten" for p in descendants(a.pid)),
                   "the frontend")
        with vsock_client(port) as s:
            s.sendall(b'{"execute":"guest-ping"}\n')
            with contextlib.suppress(ConnectionResetError):
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
    agent = Agent(start=False)
    path = os.path.join(agent.dir, "inherited")
    with listener(path) as s:
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
            for p in [a.pid] + descendants(a.pid):
                with open(f"/proc/{p}/environ", "rb") as f:
                    assert p == a.pid or b"LISTEN" not in f.read(), comm(p)
        assert os.path.exists(path), "the manager's node was removed"
    agent.kill()


def test_activation_that_is_refused():
    agent = Agent(start=False)
    path = os.path.join(agent.dir, "s")
    with listener(path + "1") as stream, \
            listener(path + "2", socket.SOCK_DGRAM, False) as datagram, \
            listener(path + "3", listen=False) as silent, socket.socket() as inet:
        for s, count, text in ((stream, "2", "only supports listening on one socket"),
                               (datagram, "1", "not a listening stream socket"),
                               (silent, "1", "not a listening stream socket"),
                               (inet, "1", "unsupported listen fd type")):
            said = refused(pass_fds=(3,), preexec_fn=hand_over(s.fileno(), count))
            assert text in said, said
    with open("/dev/null", "rb") as null:
        said = refused(pass_fds=(3,), preexec_fn=hand_over(null.fileno()))
        assert "unsupported listen fd type" in said, said
    agent.kill()


def test_activation_of_somebody_else():
    """Variables that were meant for another process are not for us."""
    with Agent(env={"LISTEN_FDS": "1", "LISTEN_PID": "1"}) as a, a.client() as c:
        c.sync()


# ---- idle -----------------------------------------------------------------------------------

def wakeups(pids):
    return {comm(p): int(status(p)["voluntary_ctxt_switches"]) for p in pids}


def check_idle(a):
    pids = [a.pid] + descendants(a.pid)
    time.sleep(0.5)  # what the start left to do
    before = wakeups(pids)
    time.sleep(2)
    assert wakeups(pids) == before


def test_idle_listener():
    with Agent() as a:
        check_idle(a)


def test_idle_connection():
    with Agent() as a, a.client() as c:
        c.sync()
        check_idle(a)


def test_idle_serial_line():
    agent = Agent(start=False)
    path = os.path.join(agent.dir, "tty")
    with serial_line(path) as line, started("-m", "isa-serial", "-p", path) as a:
        client(line).sync()
        check_idle(a)
    agent.kill()


def test_idle_vsock():
    port = 5000 + os.getpid() % 50000
    with started("-m", "vsock-listen", "-p", f"{ANY_CID}:{port}") as a:
        wait_until(lambda: len(descendants(a.pid)) >= 4, "all processes")
        check_idle(a)


tap.run(tap.tests(globals()))
