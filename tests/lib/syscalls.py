"""syscalls - how many system calls processes make

    with Counted([agent.child("inspector")]) as calls:
        client.call("guest-get-fsinfo")
    assert calls.total < 100, calls.by_name
    assert not [line for line in calls.lines if line.startswith("poll(")]

Counted by strace, children that come meanwhile included. A call that is under way when
the count begins or ends may or may not be in it.
"""
import os
import re
import signal
import subprocess
import tempfile
from collections import Counter

import scratch
import tap
from agent import status, wait_until


class Counted:
    """Calls made by the processes PIDS while its block runs."""

    def __init__(self, pids):
        self.pids = pids
        self.by_name = Counter()
        self.total = 0
        self.lines = []  # as strace writes them, without the pid

    def __enter__(self):
        if os.geteuid() != 0:
            tap.skip("needs root: nobody else may trace the agent")
        strace = scratch.tool("strace")
        fd, self.path = tempfile.mkstemp(prefix="postern-strace-")
        os.close(fd)
        self.process = subprocess.Popen(
            [strace, "-f", "-qq", "-o", self.path, *(f"-p{p}" for p in self.pids)],
            stdin=subprocess.DEVNULL)
        try:
            wait_until(self._attached, "strace to attach")
        except BaseException:
            self._detach()
            os.unlink(self.path)
            raise
        return self

    def _attached(self):
        assert self.process.poll() is None, "strace ended"
        return all(status(p)["TracerPid"] == str(self.process.pid) for p in self.pids)

    def _detach(self):
        self.process.send_signal(signal.SIGINT)  # the traced processes go on
        self.process.wait()

    def __exit__(self, *exc):
        self._detach()
        with open(self.path, encoding="ascii", errors="replace") as f:
            for line in f:
                call = re.match(r"\d+ +((\w+)\(.*)", line)
                if call:  # and no signal, exit or end of an unfinished call
                    self.by_name[call[2]] += 1
                    self.lines.append(call[1])
        self.total = sum(self.by_name.values())
        os.unlink(self.path)
