"""stage - a whole agent with one of its confined programs in the test's hands (bridge.c)

    from stage import Stage

    with Stage("frontend") as a:
        a.start()
        puppet = a.puppet()              # the first that the supervisor started
        peer = puppet.greet()            # its socket to the worker; see hostile.py
        peer.send(...)
        puppet.end(67)                   # it exits; the supervisor starts another
        a.puppet().become(a.real)        # which becomes what it should be
"""
# pylint: disable=missing-function-docstring
import os
import secrets
import shutil
import socket
import struct

from agent import INSTALLED, PROGRAMS, Agent, comm, helper, is_zombie
from hostile import POLICY, Peer


class Puppet:
    """One bridge: its socket to the worker is ours, and so is its end."""

    def __init__(self, control, name, fds):
        self.control = control
        self.name = name
        self.pid = struct.unpack("iii", control.getsockopt(socket.SOL_SOCKET,
                                                           socket.SO_PEERCRED, 12))[0]
        self.worker = Peer(socket.socket(fileno=fds[0]))
        for fd in fds[1:]:
            os.close(fd)

    def greet(self):
        """Say hello as a frontend should."""
        self.worker.greet()
        assert self.worker.recv().type == POLICY
        return self.worker

    def end(self, status):
        self.worker.close()
        self.control.send(bytes([status]))

    def become(self, program):
        """Let it be what it should have been."""
        self.worker.close()
        fd = os.open(program, os.O_RDONLY)
        socket.send_fds(self.control, [b"\0"], [fd])
        os.close(fd)

    def is_gone(self):
        return is_zombie(self.pid) or not comm(self.pid)


class Stage(Agent):
    """An agent in which one PROGRAM is a bridge."""

    def __init__(self, program, **how):
        self.program = program
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        name = f"postern-test-{secrets.token_hex(8)}"
        self.listener.bind("\0" + name)
        self.listener.listen()
        self.listener.settimeout(15)
        super().__init__(start=False, testops=True, env={"QGA_OS_RELEASE": name}, **how)
        self.real = os.path.join(self.programs, PROGRAMS[program])
        folder = os.path.join(self.dir, "programs")
        os.mkdir(folder)
        for p in INSTALLED.values():
            source = (helper("hostile/bridge", testops=True) if p == PROGRAMS[program]
                      else os.path.join(self.programs, p))
            shutil.copy(source, os.path.join(folder, p))
        self.argv[self.argv.index("--programs") + 1] = folder

    def puppet(self):
        """The next bridge that the supervisor starts."""
        control, _ = self.listener.accept()
        name, fds, _, _ = socket.recv_fds(control, 64, 2)
        assert name.decode() == PROGRAMS[self.program], name
        return Puppet(control, self.program, fds)

    def wait_ready(self, timeout=None):
        """With such a bridge nobody answers before the test does."""
        if self.program not in ("frontend", "reader"):
            super().wait_ready(timeout)

    def stop(self):
        self.listener.close()
        super().stop()

    def violations(self):
        return [r for r in self.records() if r["POSTERN_EVENT"] == "child-violation"]
