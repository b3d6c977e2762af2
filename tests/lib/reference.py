"""reference - the installed qemu-ga, run beside the agent as an oracle

    with Reference() as r:
        r.call("guest-get-fsinfo")      # the reply as a dict, as Client.call gives it

It listens on a unix socket in a directory of its own, and like the agents of the tests it is
harmless (guard.py). Debian's package of it is qemu-guest-agent; where it is missing, the
test is skipped.
"""
import os
import re
import shutil
import subprocess
import tempfile

import guard
import tap
from agent import Client, wait_until

PROGRAM = shutil.which("qemu-ga", path=os.environ["PATH"] + ":/usr/sbin:/sbin")
LISTED = (7, 2)


def release():
    """Its version, as (major, minor). The lists and texts of the tests are those of 7.2 (Debian
    12); some have what 10.0 (Debian 13) says as well."""
    told = subprocess.run([PROGRAM, "-V"], capture_output=True, text=True, check=True,
                          preexec_fn=guard.harmless).stdout
    return tuple(map(int, re.search(r"(\d+)\.(\d+)", told).groups()))


def need_listed():
    """What follows is listed for one release alone."""
    if PROGRAM and release() != LISTED:
        tap.skip(f"qemu-ga {'.'.join(map(str, release()))} is installed: what may differ is listed "
                 f"for {'.'.join(map(str, LISTED))}")


def is_newer():
    """Of the releases that answer otherwise in places: from 9.1 on."""
    return release() >= (9, 1)


class Reference:
    """One qemu-ga and one connection to it; ENV adds to the environment that Agent has."""

    def __init__(self, env=None):
        if PROGRAM is None:
            tap.skip("qemu-ga is not installed: nothing to compare with")
        self.dir = tempfile.mkdtemp(prefix="postern-reference-")
        self.path = os.path.join(self.dir, "s")
        self.process = subprocess.Popen(
            [PROGRAM, "-m", "unix-listen", "-p", self.path, "-t", self.dir],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={"PATH": os.environ["PATH"], "TZ": "UTC", **(env or {})},
            preexec_fn=guard.harmless)
        try:
            self.client = wait_until(self._connect, "the reference to listen")
            self.client.sync()
        except BaseException:
            self.close()
            raise

    def _connect(self):
        assert self.process.poll() is None, "the reference did not start"
        try:
            return Client.unix(self.path)
        except (FileNotFoundError, ConnectionRefusedError):
            return None

    def call(self, command, **arguments):
        return self.client.call(command, **arguments)

    def close(self):
        # Not SIGTERM: its handler may deadlock with the main loop that it interrupts.
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.client.close()
        self.close()
