"""gauge - the most memory that all processes of an agent had at once

    with measured(profile="legacy") as (a, gauge):
        ...
        assert gauge.peak() < LIMIT

As root the agent has a cgroup of its own, if one can be made here: the kernel counts every page
once, that of a memfd too, and knows the peak. It counts the programs that the agent runs as well,
and what the kernel itself keeps for them. Of a file it counts only what nobody had read before; so
what is mapped of programs and libraries is added, each page by the number of those who share it.

Elsewhere it is the sum, over all processes, of the most that each ever had resident, which is no
less than their PSS; and of what lies in memfds, where one may look. A page that several have counts
for each, so this is no measure for many children.
"""
import contextlib
import functools
import os
import re
import secrets
import threading

import tap
from agent import VARIANT, Agent, comm, descendants, wait_until

MIB = 1 << 20
IS_ROOT = os.geteuid() == 0
# All processes together; and what a bulk member may add to its message.
LIMIT = 48 * MIB
BULK = 32 * MIB
# Where cgroups with a controller for memory may be, by the file that has the peak.
HIERARCHIES = (("/sys/fs/cgroup", "memory.peak"),
               ("/sys/fs/cgroup/memory", "memory.max_usage_in_bytes"))


class Group:
    """A cgroup below no other; join() is for a process that is about to become the agent."""

    def __init__(self, parent, file):
        self.path = os.path.join(parent, f"postern-test-{secrets.token_hex(8)}")
        os.mkdir(self.path)
        self.file = os.path.join(self.path, file)

    def join(self):
        with open(os.path.join(self.path, "cgroup.procs"), "w", encoding="ascii") as f:
            f.write("0")

    def peak(self):
        with open(self.file, encoding="ascii") as f:
            return int(f.read())

    def _is_removed(self):
        try:
            os.rmdir(self.path)
        except OSError:  # the last of its processes is still going
            return False
        return True

    def remove(self):
        wait_until(self._is_removed, "the cgroup to be empty")


def _make():
    for parent, file in HIERARCHIES if IS_ROOT else ():
        try:
            made = Group(parent, file)
        except OSError:
            continue
        if os.path.exists(made.file):
            return made
        made.remove()
    return None


@contextlib.contextmanager
def _group():
    """A Group; None where there can be none."""
    made = _make()
    try:
        yield made
    finally:
        if made:
            made.remove()


def figure(pid, file, key):
    """A line `KEY: 123 kB` of a file of /proc/PID, in bytes; 0 if the process is gone."""
    try:
        with open(f"/proc/{pid}/{file}", encoding="ascii", errors="replace") as f:
            return int(re.search(rf"^{key}:\s+(\d+) kB", f.read(), re.M)[1]) << 10
    except (FileNotFoundError, ProcessLookupError, TypeError):
        return 0


class Gauge:
    """Looks at the agent below the supervisor PID while its block runs."""

    def __init__(self, pid, of_group=None):
        self.pid = pid
        self.group = of_group
        self.most = 0  # at once, as far as it was looked at
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self):
        if not self.group:
            self.thread.start()
        return self

    def __exit__(self, *exc):
        self.done.set()
        if not self.group:
            self.thread.join()

    def needs_group(self):
        """For an agent with many children."""
        if not self.group:
            tap.skip("no cgroup: what many processes share is not told apart")

    def processes(self):
        return [p for p in [self.pid] + descendants(self.pid)
                if comm(p).startswith(("postern", "qemu-ga"))]

    def look(self):
        pids = self.processes()
        now = sum(figure(pid, "status", "VmHWM") for pid in pids)
        if IS_ROOT:
            now += sum(memfds(pids).values())
        self.most = max(self.most, now)

    def _sample(self):
        while not self.done.wait(0.005):
            self.look()

    def peak(self):
        if self.group:
            return self.group.peak() + sum(figure(p, "smaps_rollup", "Pss_File")
                                           for p in self.processes())
        self.look()
        return self.most


def memfds(pids):
    """Bytes of each memfd that one of PIDS has open, by its inode."""
    sizes = {}
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for n in os.listdir(f"/proc/{pid}/fd"):
                path = f"/proc/{pid}/fd/{n}"
                with contextlib.suppress(FileNotFoundError):
                    if os.readlink(path).startswith("/memfd:"):
                        st = os.stat(path)
                        sizes[st.st_ino] = st.st_blocks * 512
    return sizes


@contextlib.contextmanager
def measured(policy=None, make=functools.partial(Agent, start=False), **how):
    """An agent, with the text POLICY as its policy if there is one, and its Gauge."""
    with _group() as of_group:
        a = make(prepare=of_group and of_group.join, **how)
        if policy:
            a.write_policy(policy)
        try:
            a.start()
        except BaseException:
            a.kill()
            raise
        with a, Gauge(a.pid, of_group) as g:
            yield a, g


def check(peak, limit=LIMIT):
    """PEAK is within LIMIT; sanitizers keep what is freed, so theirs is no figure."""
    if VARIANT != "asan":
        print(f"# {peak / MIB:.1f} MiB of {limit / MIB:.0f}")
        assert peak < limit, f"{peak / MIB:.1f} MiB"
