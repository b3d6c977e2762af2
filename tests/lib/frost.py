"""frost - a place where an agent may freeze, thawed however the test ends

    with frost.stage() as s:                  # private mounts, nothing of others in sight
        a = s.disk("a")                       # ext4 on a loop device, mounted
        with s.agent() as agent, agent.client() as client:
            c = frost.Calls(client)
            assert (c.freeze(a.point), c.status(), s.frozen()) == (1, "frozen", {"a"})
            assert c.thaw() == 1

What the fault matrix is built of (freezing) serves here too: its watchdog is told of each
disk, and thaws what is left as soon as this process or the stage ends. Needs root; as
somebody else stage() skips the test.
"""
import contextlib
import errno
import fcntl
import json
import os
import shutil
import signal

import freezing
import programs
import scratch
import tap
from agent import Agent, Closed, comm, is_zombie, wait_until


class Disk:
    """A file system on a loop device, mounted at .point. IMAGE: one that was made before;
    else it is made in FOLDER. Nobody is kept from unmounting it."""

    def __init__(self, folder, point, kind, image=None):
        if image is None:
            size = max(scratch.MKFS[kind][1], 16) << 20
            image = scratch.image(folder, os.path.basename(point), size)
            scratch.mkfs(kind, image)
        self.image, self.point = image, point
        with scratch.Loop(image) as loop:
            self.node = loop.node
            scratch.mount(self.node, point, kind)
        self.fd = scratch.detached(point)

    def freeze(self):
        """As another program does it."""
        fcntl.ioctl(self.fd, freezing.FIFREEZE, 0)

    def thaw(self):
        return freezing.thaw(self.fd)

    def is_frozen(self):
        try:
            self.freeze()
        except OSError as why:
            if why.errno == errno.EBUSY:
                return True
            raise
        fcntl.ioctl(self.fd, freezing.FITHAW, 0)
        return False

    def probe(self):
        return freezing.Probe(self)


class Stage:
    """What stage() gives. .state is that of the agent in it (freezing.State)."""

    def __init__(self, top, watchdog):
        self.top, self.watchdog = top, watchdog
        self.state_dir = "/run/postern-state"
        self.disks = []
        self.state = None
        os.makedirs(self.state_dir, 0o755)

    def path(self, name):
        return os.path.join(self.top, name)

    def disk(self, name, kind="ext4", image=None, folder=None):
        return self.hold(Disk(folder or self.top, self.path(name), kind, image))

    def hold(self, disk):
        """DISK is one of the stage's."""
        self.disks.append(disk)
        self.watchdog.hold(str(len(self.disks)), [disk.fd])
        return disk

    def thaw(self):
        """Have the watchdog thaw all: for a test that waits, or may."""
        for n in range(len(self.disks)):
            self.watchdog.thaw(str(n + 1))

    @contextlib.contextmanager
    def agent(self, policy=None, args=(), profile="legacy", **how):
        """An agent that may freeze what is here: by the text POLICY, or by PROFILE."""
        how = {"testops": True, "admin": True, "args": ["-t", self.state_dir, *args], **how}
        with (Agent(profile=profile, **how) if policy is None
              else programs.agent(policy, **how)) as a:
            self.state = freezing.State(os.path.join(self.state_dir, "state"))
            try:
                yield a
            finally:
                self.state.release()
                self.state.close()

    def frozen(self):
        """Names of the disks that are."""
        return {os.path.basename(d.point) for d in self.disks if d.is_frozen()}


def _forget_other_loops():
    """What others have mounted from loop devices is not to be met by our agents."""
    with open("/proc/self/mountinfo", "rb") as f:
        mounts = [line.split(b" ") for line in f]
    for fields in reversed(mounts):
        source = fields[fields.index(b"-") + 2]
        if fields[2].startswith(b"7:") or source.startswith(b"/dev/loop"):
            point = fields[4].decode("latin-1").encode("ascii", "backslashreplace")
            scratch.unmount(point.decode("unicode_escape").encode("latin-1"),
                            scratch.MNT_DETACH)


@contextlib.contextmanager
def stage():
    if os.geteuid() != 0:
        tap.skip("needs root, to have file systems that may be frozen")
    with contextlib.ExitStack() as last:
        # Before the namespaces, and so not in them; closed before they end.
        watchdog = freezing.Watchdog()
        closing = last.push(watchdog)
        with scratch.namespaces() as top:
            _forget_other_loops()
            s = Stage(top, watchdog)
            try:
                yield s
            finally:
                last.pop_all()
                closing.__exit__(None, None, None)
                for d in s.disks:
                    os.close(d.fd)


def tests(namespace):
    """As tap.tests; for somebody else than root one that is skipped."""
    def needs_root():
        tap.skip("needs root, to have file systems that may be frozen")

    return tap.tests(namespace) if os.geteuid() == 0 else [needs_root]


def ask(client, command, **arguments):
    """Send a request; its reply is to come later."""
    request = {"execute": command}
    if arguments:
        request["arguments"] = arguments
    client.send(json.dumps(request).encode())


class Calls:
    """A client's commands in few words: freeze("/mnt/a") == 1, thaw() == 1, status() ==
    "frozen"; an error is its text."""

    def __init__(self, client):
        self.client = client

    def __call__(self, command, **arguments):
        reply = self.client.call(command, **arguments)
        return reply["return"] if "return" in reply else reply["error"]["desc"]

    def freeze(self, *points):
        return self("guest-fsfreeze-freeze-list", mountpoints=list(points))

    def thaw(self):
        return self("guest-fsfreeze-thaw")

    def status(self):
        return self("guest-fsfreeze-status")


@contextlib.contextmanager
def place(*disks, text=None, **how):
    """(stage, agent, client's Calls, the disks) with an agent of policy TEXT."""
    with stage() as s:
        made = [s.disk(name) for name in disks]
        with s.agent(policy=text, **how) as a, a.client() as client:
            yield s, a, Calls(client), *made


def rule(command="@freeze", effect="allow", name="it", **constraints):
    return (f'[rule "{name}"]\neffect = {effect}\ncommand = {command}\n'
            + programs.keys(constraints))


def after_death(agent, program):
    """Kill PROGRAM of the agent; a client of the frontend that there is afterwards. That of
    before ends with its worker."""
    old = agent.child("frontend")
    os.kill(agent.child(program), signal.SIGKILL)
    if program in ("worker", "frontend"):
        wait_until(lambda: not _runs(old), "the frontend to end")
    return connect(agent)


def after_restart(agent):
    """Kill the whole agent and start it again; a client of it."""
    family = [agent.child(p) for p in ("frontend", "worker", "inspector")]
    family += agent.pids("spawner")
    os.kill(agent.pid, signal.SIGKILL)
    for pid in family:
        os.kill(pid, signal.SIGKILL)
    agent.process.wait()
    wait_until(lambda: not any(_runs(p) for p in family), "their end")
    agent.start()
    return connect(agent)


def connect(agent):
    """A client of an agent that may be starting."""
    def attempt():
        client = None
        try:
            client = agent.client()
            client.sync(timeout=1)
            return client
        except (OSError, AssertionError, Closed):
            if client:
                client.close()
            return None
    return wait_until(attempt, "an agent that answers")


def _runs(pid):
    return comm(pid) and not is_zombie(pid)


# ---- hooks -----------------------------------------------------------------------------

HOOK = "/run/hooks/hook"
WITH_HOOK = ["--fsfreeze-hook=" + HOOK]
LOG = "/run/hooks/log"
# Of a hook: its argument is written down.
TELLS = f'echo "$1" >>{LOG}\n'


def hook_file(body, path=HOOK, mode=0o755, head="#!/bin/sh\n"):
    """A hook that root alone can change: /run is the test's own."""
    os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        f.write(head + body + "\n")
    os.chmod(path, mode)
    return path


def log():
    """What the hooks wrote, in words."""
    try:
        with open(LOG, encoding="ascii") as f:
            return f.read().split()
    except FileNotFoundError:
        return []


# ---- images ----------------------------------------------------------------------------

def small_image(folder, name):
    """An ext4 of the least size."""
    image = scratch.image(folder, name, 8 << 20)
    scratch.mkfs("ext4", image)
    return image


def copy_image(source, target):
    scratch.run("cp", "--sparse=always", source, target)
    return target


def has_tool(name):
    return shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin") is not None
