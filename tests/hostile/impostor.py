"""impostor - a process of ours that the test has taken over: it speaks in its place

    with Impostor(pid) as child:          # a Peer: its end of the socket to the worker
        child.send(frame(REPLY, ...))

Children of the worker have no program of their own that a test could put another in the place of.
So one is stopped and its socket is taken from it (pidfd_getfd(2)), which needs root. At the end
of the block it is killed.
"""
import contextlib
import ctypes
import os
import signal
import socket

from agent import status, wait_until
from hostile import Peer

_PIDFD_GETFD = 438
_LIBC = ctypes.CDLL(None, use_errno=True)
FIRST = 3  # its socket, ipc/launch.h


def descriptor(pid, number=FIRST):
    """A copy of what PID has open as NUMBER."""
    pidfd = os.pidfd_open(pid)
    try:
        fd = _LIBC.syscall(_PIDFD_GETFD, pidfd, number, 0)
        if fd < 0:
            code = ctypes.get_errno()
            raise OSError(code, f"pidfd_getfd: {os.strerror(code)}")
        return fd
    finally:
        os.close(pidfd)


class Impostor(Peer):
    """In the place of PID, which does nothing any more."""

    def __init__(self, pid):
        self.pid = pid
        wait_until(self._is_itself, "it to have a socket of its own")
        os.kill(pid, signal.SIGSTOP)
        super().__init__(socket.socket(fileno=descriptor(pid)))

    def _is_itself(self):
        """As it is born it has the descriptors of the worker."""
        first, of_worker = (os.readlink(f"/proc/{pid}/fd/{FIRST}")
                            for pid in (self.pid, status(self.pid)["PPid"]))
        return first != of_worker

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
