"""journald - a real systemd-journald of the test's own

    with scratch.namespaces(), Journald() as j:       # frost.stage() has namespaces, too
        ... an agent started here finds /run/systemd/journal/socket ...
        assert j.records("POSTERN_EVENT=start")
        j.stop_reading(); j.go_on()                   # it hangs: its socket fills
        j.end(); j.start()                            # it is gone: so is its socket

Of the machine's journal nothing is seen or changed: /run is the namespace's. In a network
namespace of its own a socket takes so many datagrams as QLEN says (max_dgram_qlen).

WHERE: a directory on the file system that is to hold the journal; else it is in memory.
"""
import functools
import json
import os
import shutil
import signal
import subprocess
import tempfile

import agent
import guard
import scratch

PROGRAM = "/lib/systemd/systemd-journald"
SOCKET = "/run/systemd/journal/socket"
SETTINGS = """[Journal]
Storage={storage}
ReadKMsg=no
Audit=no
Compress=no
ForwardToSyslog=no
ForwardToWall=no
ForwardToConsole=no
RateLimitIntervalSec=0
RateLimitBurst=0
SyncIntervalSec=1s
SystemKeepFree=1K
SystemMaxUse=1G
"""
OURS = "SYSLOG_IDENTIFIER=postern"


class Journald:
    def __init__(self, where=None, qlen=None):
        scratch.tool(PROGRAM)
        self.points = []
        self.process = None
        self.folder = "/run/log/journal"
        os.makedirs("/run/systemd/journald.conf.d")
        os.makedirs(self.folder)
        if where is not None:
            with open("/etc/machine-id", encoding="ascii") as f:
                os.makedirs(os.path.join(where, f.read().strip()))
            self.folder = self._over(where, "/var/log/journal")
            os.makedirs("/run/systemd/journal")
            # As if --flush had been said: it writes there from the start.
            with open("/run/systemd/journal/flushed", "w", encoding="ascii"):
                pass
        with open("/run/systemd/journald.conf.d/test.conf", "w", encoding="ascii") as f:
            f.write(SETTINGS.format(storage="persistent" if where else "volatile"))
        if qlen is not None:
            with open("/proc/sys/net/unix/max_dgram_qlen", "w", encoding="ascii") as f:
                f.write(str(qlen))

    def _over(self, source, point):
        """SOURCE is found at POINT, of which the machine has no trace."""
        above = os.path.dirname(point)
        scratch.mount("tmpfs", above, "tmpfs", data="mode=755")
        self.points.append(above)
        os.mkdir(point)
        scratch.bind(source, point)
        self.points.append(point)
        return point

    # -- life

    def start(self):
        self.process = subprocess.Popen(
            [PROGRAM], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=functools.partial(guard.harmless, agent._tied))
        agent.wait_until(lambda: os.path.exists(SOCKET), "the journal's socket")
        return self

    def end(self):
        """It goes, and so does its socket."""
        self.go_on()
        self.process.terminate()
        self.process.wait()
        os.unlink(SOCKET)

    def stop_reading(self):
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for point in reversed(self.points):
            scratch.unmount(point, scratch.MNT_DETACH)

    # -- what it has

    def _ctl(self, *arguments):
        return subprocess.run(["journalctl", "-q", *arguments], check=False, text=True,
                              stdin=subprocess.DEVNULL, capture_output=True,
                              preexec_fn=guard.harmless).stdout

    def records(self, *matches):
        """Entries as dicts of text, in the order in which they came."""
        self._ctl("--sync")
        text = self._ctl("-D", self.folder, "-a", "-o", "json", *(matches or (OURS,)))
        return [json.loads(line) for line in text.splitlines()]

    def raw(self):
        """The bytes of its files."""
        self._ctl("--sync")
        found = b""
        for top, _, names in os.walk(self.folder):
            for name in names:
                with open(os.path.join(top, name), "rb") as f:
                    found += f.read()
        return found

    def catalog(self, path):
        """From now on the message catalogue is the file PATH."""
        folder = tempfile.mkdtemp(prefix="catalog-", dir="/run")
        shutil.copy(path, os.path.join(folder, "test.catalog"))
        os.makedirs("/run/catalog-built")
        self._over("/run/catalog-built", "/var/lib/systemd/catalog")
        scratch.bind(folder, "/usr/lib/systemd/catalog")
        self.points.append("/usr/lib/systemd/catalog")
        subprocess.run(["journalctl", "--update-catalog"], check=True,
                       preexec_fn=guard.harmless)

    def explain(self, *matches):
        return self._ctl("-D", self.folder, "-x", "--no-pager", *matches)
