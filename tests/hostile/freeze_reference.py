#!/usr/bin/python3
"""What becomes of a freeze with ours and with qemu-ga in its place: a table.

    POSTERN_BUILD=build/release PYTHONPATH=tests/lib tests/hostile/freeze_reference.py

Not a test: qemu-ga fails many rows, and may do so. The events are those of the fault matrix
that need nothing but the outside of an agent; what would hang qemu-ga (a hook that does not
end) is left out. For each stack of file systems, event and agent a word: `holds` (still
frozen, as it should be), `thaws` (as it should), and else what went wrong.
"""
import functools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import freezing
import guard
import scratch
from agent import Client, wait_until
from freezing import Probe
from reference import PROGRAM

STACKS = {
    "ext4": ["ext4"], "xfs": ["xfs"], "btrfs": ["btrfs"], "loop": ["inner", "outer"],
    "bind": ["ext4", "bind"], "subvolume": ["btrfs", "subvolume"], "readonly": ["readonly"],
}
BELOW = {"loop": ["outer", "inner"], "bind": ["ext4"], "subvolume": ["btrfs"],
         "readonly": ["ext4"]}
IN_TIME = 12
DEADLINE = 2


# ---- the two agents ----------------------------------------------------------------------

class Reference:
    """qemu-ga, with the right to freeze, and with a hook."""

    def __init__(self, hooks):
        self.dir = tempfile.mkdtemp(prefix="postern-reference-")
        self.path = os.path.join(self.dir, "s")
        self.hooks = hooks
        self.start()

    def start(self):
        if os.path.exists(self.path):
            os.unlink(self.path)
        self.process = subprocess.Popen(  # it freezes only what it is told to by name
            [PROGRAM, "-m", "unix-listen", "-p", self.path, "-t", self.dir,
             f"-F{self.hooks.path}"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, preexec_fn=functools.partial(guard.harmless, admin=True))
        wait_until(lambda: os.path.exists(self.path), "the reference to listen")

    def client(self):
        return Client.unix(self.path)

    def crash(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)

    def end(self):
        self.crash()
        shutil.rmtree(self.dir, ignore_errors=True)


class Ours:
    """Postern, in the build that refuses all but loop devices."""

    def __init__(self, hooks):
        self.agent = freezing.Agent(hooks, freeze_max=f"{DEADLINE}s"
                                    if Ours.deadline else "60s", hook_timeout="5s")

    deadline = False

    def start(self):
        self.agent.start()

    def client(self):
        return self.agent.client()

    def crash(self):
        """All but the thawer, which no restart of a service ends."""
        mine = self.agent.family()
        for role in ("supervisor", "worker", "frontend", "inspector", "spawner"):
            for pid in mine.get(role, []):
                os.kill(pid, signal.SIGKILL)
        self.agent.process.wait()
        wait_until(lambda: "frontend" not in self.agent.family(), "the end of all")

    def stop(self):
        self.agent.process.send_signal(signal.SIGTERM)

    def end(self):
        self.agent.kill()


# ---- what happens ------------------------------------------------------------------------

class Case:
    """Stack NAME frozen by AGENT."""

    def __init__(self, disks, hooks, name, agent):
        hooks.reset()
        self.disks, self.hooks, self.agent = disks, hooks, agent
        self.named = STACKS[name]
        self.below = [disks[n] for n in BELOW.get(name, [name])]
        self.client = agent.client()
        self.probes = []

    def freeze(self):
        got = self.client.call("guest-fsfreeze-freeze-list",
                               mountpoints=[self.disks.point(n) for n in self.named])
        return got.get("return", got.get("error", {}).get("desc"))

    def connect(self):
        self.client.close()
        self.client = self.agent.client()

    def holds(self):
        """Still frozen, knows it, and thaws what it froze."""
        self.probes = [Probe(d) for d in self.below]
        if not all(p.is_waiting() for p in self.probes):
            return "lost the freeze"
        status = self.client.call("guest-fsfreeze-status").get("return")
        if status != "frozen":
            return f"forgot it: {status}"
        count = self.client.call("guest-fsfreeze-thaw").get("return")
        if not all(p.has_ended() or wait(p, 2) for p in self.probes):
            return "thaw left it frozen"
        return "holds" if count == len(self.below) else f"holds, thaw says {count}"

    def thaws(self, seconds=IN_TIME):
        self.probes = [Probe(d) for d in self.below]
        return "thaws" if all(wait(p, seconds) for p in self.probes) else "STRANDED"

    def clean(self):
        self.disks.thaw()
        for p in self.probes:
            p.clean()
        self.disks.mount_again()


def wait(probe, seconds):
    try:
        probe.wait(seconds)
        return True
    except AssertionError:
        return False


def nothing(c):
    return c.holds()


def disconnects(c):
    c.connect()
    return c.holds()


def restarted(c):
    c.agent.crash()
    c.agent.start()
    c.connect()
    return c.holds()


def killed(c):
    c.agent.crash()
    return c.thaws()


def stopped(c):
    c.agent.stop()
    return c.thaws()


def left_alone(c):
    return c.thaws(IN_TIME)


def unmounted(c):
    c.disks.unmount(c.named)
    return c.holds()


# word of the table, whether it is to end by itself, what is done
EVENTS = [
    ("nothing", False, nothing), ("client leaves", False, disconnects),
    ("all killed, restart", False, restarted), ("all killed", True, killed),
    ("SIGTERM", True, stopped), ("nobody thaws", True, left_alone),
    ("unmounted", False, unmounted),
]


def hook_fails(c):
    """Nothing is frozen, and what the hook did is undone."""
    c.hooks.behave("freeze", "fail")
    got = c.freeze()
    if not isinstance(got, str):
        return f"froze all the same: {got}"
    time.sleep(0.3)
    return "undone" if c.hooks.log() == ["freeze", "thaw"] else "no thaw hook"


def one(disks, hooks, make, name, event):
    Ours.deadline = event is left_alone
    agent = make(hooks)
    try:
        c = Case(disks, hooks, name, agent)
        try:
            if event is hook_fails:
                return hook_fails(c)
            count = c.freeze()
            if count != len(c.below):
                return f"freeze: {count}"
            return event(c)
        finally:
            c.clean()
    finally:
        agent.end()


def main():
    agents = [("postern", Ours), ("qemu-ga", Reference)]
    with freezing.Watchdog() as dog, scratch.namespaces():
        disks = freezing.Disks("/run/disks")
        dog.hold("reference", disks.fds())
        hooks = freezing.Hooks("/run/hooks")
        print("| event | " + " | ".join(f"{s}: {a}" for s in STACKS for a, _ in agents) + " |")
        for word, _, event in EVENTS + [("hook fails", False, hook_fails)]:
            cells = []
            for name in STACKS:
                for _, make in agents:
                    try:
                        cells.append(one(disks, hooks, make, name, event))
                    except (AssertionError, OSError) as why:
                        cells.append(f"{type(why).__name__}: {why}"[:40])
            print(f"| {word} | " + " | ".join(cells) + " |", flush=True)
        dog.drop("reference")


if os.geteuid() != 0 or PROGRAM is None:
    sys.exit("needs root, and qemu-ga")
main()
