#!/usr/bin/python3
"""A freeze that cannot strand the guest: at each step of freeze and thaw something is
lost, is late or goes wrong, on file systems of all kinds.

What a step is, worker/freeze/pause.h says; whoever comes to it waits there until the event
has happened. Three steps more are made here: "frozen" (complete, nobody does anything), and
two in which a hook runs.

What has to come of it:

- Who is lost alone, whoever it is, costs a complete freeze nothing: within two seconds
  status is `frozen` again, a write still waits, the deadline is what it was, thaw returns
  the count. So do all but the thawer, if the agent is started again.
- One under way is taken back if worker or freezer is lost, else it is completed.
- A thaw that has begun is finished.
- All but the thawer, for good; the deadline; an orderly stop: thawed within twelve seconds.
- The thawer as well: thawed by the next start, or by a thaw request to another agent.
- A reload that is asked for waits, whatever the new policy says of freezes: the freeze, its
  deadline and its thaw are as they were. After the thaw it is done.
- In the end nothing is frozen. The records tell of each freeze and thaw once, with cause
  and count; the hook was run to thaw whenever it had been run to freeze.
"""
# run: alone
# run: limit 600
# pylint: disable=missing-function-docstring
import contextlib
import json
import os
import shutil
import signal
import sys
import time

import freezing
import pool
import programs
import reloading
import scratch
import tap
from agent import VARIANT, Closed, wait_until
from freezing import Probe, kill

SLOW = 3 if VARIANT == "asan" else 1
SOON = 2 * SLOW  # until what was complete is again as it was
IN_TIME = 12 + 3 * (SLOW - 1)  # until what nobody looks after is thawed
MOMENT = 3 * SLOW
DEADLINE = 2 * SLOW  # of a freeze that is to meet it

# ---- stacks ----------------------------------------------------------------------------

# What is named to the agent; and what stands behind that.
STACKS = {
    "ext4": (["ext4"], ["ext4"]),
    "xfs": (["xfs"], ["xfs"]),
    "btrfs": (["btrfs"], ["btrfs"]),
    "loop": (["inner", "outer"], ["outer", "inner"]),
    "bind": (["ext4", "bind"], ["ext4"]),
    "subvolume": (["btrfs", "subvolume"], ["btrfs"]),
    "readonly": (["readonly"], ["ext4"]),
    "all": (["ext4", "bind", "readonly", "xfs", "btrfs", "subvolume", "outer", "inner",
             "tmpfs", "overlay"], ["ext4", "xfs", "btrfs", "outer", "inner"]),
}
KINDS = {"loop": ["ext4"], "bind": ["ext4"], "subvolume": ["btrfs"], "readonly": ["ext4"],
         "all": ["ext4", "xfs", "btrfs"]}

# ---- steps -----------------------------------------------------------------------------

FREEZING = ["HOOK", "freeze hook", "LIST", "HELD", "THAWER", "FIRST", "UNMARKED",
            "SECOND", "LAST"]
FROZEN = ["COMPLETE", "frozen", "ORDER"]
THAWING = ["BEGUN", "CLAIMED", "UNDONE", "BETWEEN", "DONE"]
THAWED = ["TOLD", "thaw hook", "END"]
STEPS = FREEZING + FROZEN + THAWING + THAWED
HOOK_STEPS = ("freeze hook", "thaw hook")


def between(first, last):
    return STEPS[STEPS.index(first):STEPS.index(last) + 1]


def is_thaw(step):
    """Has a thaw been asked for?"""
    return step in between("ORDER", "END")


# ---- one case --------------------------------------------------------------------------

class Run:
    """An agent, and file systems that it is to freeze, at a step."""

    def __init__(self, disks, hooks, stack, step, **settings):
        self.disks, self.hooks, self.step = disks, hooks, step
        self.named, self.names = STACKS[stack]
        self.below = [disks[name] for name in self.names]
        self.count = len(self.below)
        self.probes = []
        self.others = []  # further agents
        hooks.reset()
        self.settings = {"freeze_max": "60s", "hook_timeout": "20s", **settings}
        self.a = freezing.Agent(hooks, **self.settings)
        self.state = self.a.state
        self.c = self.a.client()
        self.deadline = None
        self.at_step = 0  # how many were frozen then
        self.since = time.monotonic()  # of the event
        self.stops = False
        self.hooks_end = True
        self.again = False  # in the end there is one more freeze, with a worker lost
        self.reload = None  # that waits for the thaw

    # -- what the client does

    def leave(self):
        if self.c:
            self.c.close()
        self.c = None

    def connect(self):
        """A client that is served: the one there is, if it was not cut off."""
        try:
            self.c.sync()
        except (AttributeError, BrokenPipeError, ConnectionResetError, Closed):
            self.leave()
            self.a.wait_ready()
            self.c = self.a.client()

    def send(self, command, **arguments):
        request = {"execute": command, **({"arguments": arguments} if arguments else {})}
        self.c.send(json.dumps(request).encode() + b"\n")

    def send_freeze(self):
        self.send("guest-fsfreeze-freeze-list",
                  mountpoints=[self.disks.point(name) for name in self.named])

    def send_thaw(self):
        self.send("guest-fsfreeze-thaw")

    def reply(self):
        return json.loads(self.c.recv_replies(1)[0])

    def assert_all(self):
        """The reply to a freeze or thaw that went well."""
        reply = self.reply()
        assert reply == {"return": self.count}, reply

    def assert_error(self, words):
        reply = self.reply()
        assert words in reply.get("error", {}).get("desc", ""), reply

    def status(self):
        """By a client that is served, also if the old frontend was still there to accept
        it."""
        while True:
            self.connect()
            try:
                return self.c.call("guest-fsfreeze-status")["return"]
            except (BrokenPipeError, ConnectionResetError, Closed):
                pass

    # -- to the step, and on

    def freeze(self):
        self.send_freeze()
        self.assert_all()
        self.deadline = self.state.deadline_ms
        self.probe()
        self.assert_waiting()

    def reach(self):
        step = self.step
        if is_thaw(step) or step == "frozen":
            self.freeze()
        if step != "frozen":
            if step in HOOK_STEPS:
                self.hooks.behave(step.split()[0], "wait")
            else:
                self.state.pause(step)
            (self.send_thaw if is_thaw(step) else self.send_freeze)()
        if step in HOOK_STEPS:
            self.hooks.wait(["freeze", "thaw"][:1 + is_thaw(step)])
        elif step != "frozen":
            self.state.wait_paused(step)
        self.at_step = self.state.frozen() + (step == "UNMARKED")
        self.wait_written()
        self.since = time.monotonic()

    def wait_written(self):
        """What was recorded is in the file, and not on the way to it with a process that is
        about to be killed. (From the first ioctl on it waits in the state, up to TOLD.)"""
        self.a.wait_record(lambda r: r["POSTERN_EVENT"] == "decision")
        if self.step in ("thaw hook", "END"):
            self.a.wait_record(lambda r: r["POSTERN_EVENT"] == "freeze")
        if self.step == "END":
            self.a.wait_record(lambda r: r["POSTERN_EVENT"].endswith("thaw"))

    def release(self):
        """Whoever waits at the step goes on."""
        self.state.release()
        for which in ("freeze", "thaw"):
            self.hooks.behave(which, None)

    def kill(self, *roles):
        kill(*[self.a.the(role) for role in roles])
        self.since = time.monotonic()

    def kill_all(self, but=()):
        kill(*[pid for role, pids in self.a.family().items() if role not in but
               for pid in pids])
        self.since = time.monotonic()
        self.leave()
        self.a.process.wait()

        def left():
            freezing.reap()
            return set(self.a.family()) - set(but)
        wait_until(lambda: not left(), lambda: f"{left()} to end", 5)

    def restart(self, delay=0.1):
        """As a service manager does."""
        time.sleep(delay)
        self.since = time.monotonic()
        self.a.start()

    # -- what is so

    def probe(self):
        self.probes += [Probe(disk) for disk in self.below]

    def assert_waiting(self):
        for probe in self.probes:
            assert probe.is_waiting(), f"{probe.disk.point} is not frozen"

    def assert_written(self, seconds=MOMENT):
        """What waited, and what comes now, is through so long after the event."""
        self.probe()
        end = self.since + seconds
        for probe in self.probes:
            probe.wait(max(0.1, end - time.monotonic()))

    def assert_frozen(self):
        """As it was, and soon. Then it is thawed."""
        status = self.status()
        took = time.monotonic() - self.since
        assert status == "frozen", status
        assert took < SOON, f"it was so after {took:.1f} s only"
        if not self.probes:
            self.probe()
        self.assert_waiting()
        assert self.state.phase == "FROZEN", self.state.phase
        assert self.deadline in (None, self.state.deadline_ms), "the deadline has moved"
        if self.reload:
            self.reload.assert_waits()
        self.send_thaw()
        self.assert_all()
        self.since = time.monotonic()

    def finish(self, fate, causes=("request",), count=None, within=MOMENT, once=True):
        """The freeze is as it was, "frozen", and is thawed now; or is "thawed", WITHIN so
        many seconds of the event; or one of the two. Then nothing is left of it. CAUSES:
        of the thaw; COUNT: how many superblocks were thawed, if not those that were frozen
        at the step; None: unknown. ONCE: the thaw hook ran once."""
        if fate == "either":
            fate = self.status()
        if fate == "frozen":
            self.assert_frozen()
            causes, count = ("request",), self.count
        elif self.step in FREEZING:
            count = self.at_step if count is None else count
        else:
            count = self.count
        self.assert_written(within)
        if self.again:
            self.freeze_again()
        self.assert_over()
        frozen = self.count if fate == "frozen" or self.step not in FREEZING else 0
        self.check_hooks(frozen or self.step != "HOOK", once)
        if self.stops and self.step in FREEZING:
            frozen = ANY  # it may have been completed before
        check_records(self.a.records(), frozen, count, causes, self.again)

    def freeze_again(self):
        """Whoever has taken over can do it all."""
        wait_until(lambda: self.state.phase == "NONE", "the end of the first", 8)
        self.connect()
        self.deadline = None
        for probe in self.probes:
            probe.clean()
        self.probes = []
        self.freeze()
        self.kill("worker")
        self.assert_frozen()
        self.assert_written()

    def assert_over(self):
        """It is thawed, the hook included, and the agent ends well."""
        wait_until(lambda: self.state.phase == "NONE", lambda: f"the end: {self.state}", 8)
        if self.reload:
            self.reload.assert_over()
        if not self.stops:
            assert self.status() == "thawed"
            self.leave()
            self.a.process.send_signal(signal.SIGTERM)
        status = self.a.process.wait(15)
        assert status == 0, f"exit status {status}"
        self.assert_gone()
        left = self.disks.thaw()
        assert not left, f"still frozen: {left}"

    def assert_gone(self):
        def left():
            freezing.reap()
            return self.a.family()
        wait_until(lambda: not left(), lambda: f"the agent's processes to end: {left()}", 5)
        words = ("ERROR: AddressSanitizer", "runtime error", "internal failure")
        assert not [w for w in words if w in self.a.stderr()], self.a.stderr()

    def check_hooks(self, must, once):
        calls = self.hooks.log()
        if self.again:
            assert calls[-2:] == ["freeze", "thaw"], f"hooks: {calls}"
            del calls[-2:]
        if not calls and not must:
            return
        assert "thaw" in self.hooks.done() or not self.hooks_end, "no hook came to its end"
        assert calls[:2] == ["freeze", "thaw"], f"hooks: {calls}"
        assert set(calls[2:]) <= (set() if once else {"thaw"}), f"hooks: {calls}"

    # -- the end, however it went

    def describe(self):
        print(f"state: {self.state}")
        print(f"hooks: {self.hooks.log()}")
        print(f"family: {self.a.family()}")
        print(f"probes: {[(p.disk.point, p.status) for p in self.probes]}")
        for a in [self.a, *self.others]:
            print(f"stderr: {a.stderr()!r}")
            for r in a.records():
                if r["POSTERN_EVENT"] not in ("connect", "disconnect"):
                    print(f"record: {r['POSTERN_EVENT']}: {r['MESSAGE']}")

    def clean(self):
        self.release()
        self.leave()
        if self.reload:
            self.reload.close()
        kill(*[pid for pids in self.a.family().values() for pid in pids])
        for a in [self.a, *self.others]:
            a.kill()
            shutil.rmtree(a.statedir)
        self.disks.thaw()
        for probe in self.probes:
            probe.clean()
        self.disks.mount_again()
        self.state.close()


ANY = -1


def until_second(records):
    """The records of a second freeze, of which all is known, are left out."""
    second = [n for n, r in enumerate(records) if r["POSTERN_EVENT"] == "decision"
              and r["POSTERN_COMMAND"] == "guest-fsfreeze-freeze-list"][1]
    events = [r["POSTERN_EVENT"] for r in records[second:]]
    assert (events.count("freeze"), events.count("thaw")) == (1, 1), events
    return records[:second]


def check_records(records, frozen, thawed, causes, again):
    """One of the freeze, if it was completed, one of the thaw, if there was one."""
    if again:
        records = until_second(records)
    found = [r for r in records if r["POSTERN_EVENT"] == "decision"
             and r["POSTERN_COMMAND"] == "guest-fsfreeze-freeze-list"]
    assert [r["POSTERN_DECISION"] for r in found] == ["allow"], f"decisions: {found}"
    found = [r["POSTERN_FS_COUNT"] for r in records if r["POSTERN_EVENT"] == "freeze"]
    if frozen == ANY:
        assert len(found) <= 1, f"freezes on record: {found}"
    else:
        assert found == ([frozen] if frozen else []), f"freezes on record: {found}"
    check_thaws(records, thawed, causes)


def check_thaws(records, thawed, causes):
    found = [(r["POSTERN_EVENT"], r["POSTERN_THAW_CAUSE"], r["POSTERN_FS_COUNT"])
             for r in records if r["POSTERN_EVENT"] in ("thaw", "auto-thaw")]
    if thawed == ANY:
        assert len(found) <= 1, f"thaws on record: {found}"
    else:
        assert len(found) == (thawed > 0), f"thaws on record: {found}"
    for event, cause, count in found:
        assert cause in causes, f"thawed by {cause}, not {causes}"
        assert event == ("thaw" if cause == "request" else "auto-thaw"), event
        assert count == thawed or (thawed == ANY and count > 0), f"thawed {count}"


# ---- events ----------------------------------------------------------------------------

def goes_on(r, client=True, once=True):
    """What is needed is there: what was begun is completed."""
    r.release()
    if not client:
        r.leave()
    elif r.step != "frozen":
        r.assert_all()
    r.finish("thawed" if is_thaw(r.step) else "frozen", once=once)


def worker_lost(r, causes=("agent-lost",), frozen="frozen"):
    """What was not complete is taken back, what was stays as it was (or is what FROZEN says),
    a thaw that had begun is finished."""
    r.leave()
    r.release()
    once = r.step not in ("thaw hook", "END")
    if r.step in FREEZING or (r.step in FROZEN and frozen == "thawed"):
        r.finish("thawed", causes, once=once)
    elif r.step in FROZEN:
        r.finish("frozen", once=once)
    else:
        r.finish("thawed", once=once)


def frontend(r):
    r.kill("frontend")
    goes_on(r, client=False)


def inspector(r):
    r.kill("inspector")
    goes_on(r)


def spawner(r):
    old = r.a.the("spawner")
    r.kill("spawner")
    if r.step == "HOOK":
        # One that is not known to be lost would be asked, and the hook have failed.
        wait_until(lambda: r.a.the("spawner") != old, "another spawner")
    if r.step != "freeze hook":
        goes_on(r, once=r.step != "thaw hook")
        return
    r.release()
    r.assert_error("the spawner ended before it")
    r.finish("thawed")


def worker(r):
    r.kill("worker")
    worker_lost(r)


def supervisor(r, delay=0.1):
    """The worker goes on until it sees that it is alone; then it ends."""
    r.kill("supervisor")
    r.a.process.wait()
    r.leave()
    r.release()
    r.restart(delay)
    if r.step in FREEZING or r.step == "ORDER":
        r.finish("either", ("agent-lost", "request"), count=ANY, once=False)
    elif r.step in FROZEN:
        r.finish("frozen")
    else:
        r.finish("thawed", once=False)


def freezer(r):
    r.kill("freezer")
    # It has done its work, if there is one superblock alone.
    if r.step in ("LAST", "COMPLETE") or (r.step == "UNMARKED" and r.count == 1):
        goes_on(r)
        return
    r.release()
    r.assert_error("the process that freezes ended")
    r.finish("thawed", ("failure",))


def thawer(r):
    r.kill("thawer")
    goes_on(r)


def helper(r):
    r.kill("helper")
    goes_on(r)


def worker_and_thawer(r):
    r.kill("worker", "thawer")
    worker_lost(r, frozen="thawed")


def client(r):
    r.leave()
    goes_on(r, client=False)


def sigterm(r):
    """Whoever is at work has time to end it."""
    r.a.process.send_signal(signal.SIGTERM)
    r.stops = True
    time.sleep(0.05)
    r.release()
    r.leave()
    if r.step in FREEZING:
        r.finish("thawed", ("stop",), count=ANY, within=IN_TIME)
    elif r.step in ("COMPLETE", "frozen"):
        r.finish("thawed", ("stop",), within=IN_TIME)
    else:
        r.finish("thawed", within=IN_TIME)


def deadline(r):
    """Whoever waits at a step, the thawer does not wait for it."""
    def sleep():
        time.sleep(max(0, r.state.deadline_ms / 1000 - time.monotonic() + 0.3))
    if r.step in between("HOOK", "HELD"):  # its time has not begun
        r.release()
        r.assert_all()
        r.at_step = r.count
        r.deadline = r.state.deadline_ms
        r.step = "frozen"
    if r.step in between("THAWER", "ORDER"):
        if r.at_step and r.step != "UNMARKED":
            r.assert_written(DEADLINE + MOMENT)
            assert time.monotonic() * 1000 >= r.state.deadline_ms, "too early"
        sleep()
        r.release()
        if r.step in FREEZING:
            r.assert_error("its time was over")
        elif r.step != "frozen":
            r.assert_all()
        r.finish("thawed", ("deadline", "request") if r.step == "ORDER" else ("deadline",),
                 within=DEADLINE + MOMENT)
        return
    sleep()
    r.release()
    r.assert_all()
    r.finish("thawed")


def all_but_thawer(r):
    r.kill_all(but=("thawer", "helper"))
    r.release()
    r.restart()
    worker_lost(r)


def all_but_thawer_for_good(r):
    r.kill_all(but=("thawer", "helper"))
    r.release()
    r.assert_written(IN_TIME)
    r.restart()
    worker_lost(r, frozen="thawed")


def all_of_them(r):
    r.kill_all()
    r.release()
    r.restart()
    worker_lost(r, frozen="thawed")


def another_thaws(r):
    """All are gone, and what was on record with them: a new agent, a thaw request."""
    r.kill_all()
    r.release()
    held = [m for m in r.state.marks() if m in ("ASKED", "FROZEN", "BEGUN")]
    left = len(held) - (r.step == "UNDONE")
    other = freezing.Agent(r.hooks, **r.settings)
    r.others.append(other)
    with other, other.client() as c:
        reply = c.call("guest-fsfreeze-thaw")
        assert reply == {"return": left}, reply
        r.assert_written(IN_TIME)
        c.close()
        other.process.send_signal(signal.SIGTERM)
        other.process.wait(15)
        check_thaws(other.records(), left, ("request",))
    # What the first had on record is not lost, and there is nothing more to thaw.
    r.restart()
    r.assert_over()
    r.check_hooks(r.step != "HOOK", once=False)
    freezes = [e for e in r.a.records() if e["POSTERN_EVENT"] == "freeze"]
    assert len(freezes) == (r.step not in FREEZING), f"freezes on record: {freezes}"


def unmount(r):
    r.disks.unmount(r.named)
    goes_on(r)


# ---- more than one, at a freeze that is complete ----------------------------------------

def unmounted(event):
    """With what is frozen unmounted."""
    def both(r):
        r.disks.unmount(r.named)
        event(r)
    return both


def again(event):
    """And then the next freeze."""
    def both(r):
        r.again = True
        event(r)
    return both


def lost(*roles):
    """One after the other, each after the last was replaced."""
    def each(r):
        for role in roles:
            old = r.a.the(role)
            r.kill(role)
            wait_until(lambda: r.a.the(role) != old, f"another {role}")  # pylint: disable=cell-var-from-loop
            assert r.status() == "frozen"
        r.finish("frozen")
    return each


def late(lose):
    """After a loss, the deadline."""
    def both(r):
        lose(r)
        assert r.status() == "frozen"
        assert r.deadline == r.state.deadline_ms, "the deadline has moved"
        deadline(r)
    return both


def lose(role):
    return lambda r: r.kill(role)


def late_and_alone(r):
    """All but the thawer are gone, and the deadline is sooner than its patience ends."""
    lose_all_but_thawer(r, start=False)
    r.assert_written(DEADLINE + MOMENT)
    r.restart()
    r.finish("thawed", ("deadline",))


def slow_to_go(r):
    """The supervisor is lost and started again, while the old worker has not ended yet."""
    old = r.a.the("worker")
    os.kill(old, signal.SIGSTOP)
    r.kill("supervisor", "frontend", "inspector", "spawner")
    r.leave()
    r.a.process.wait()
    later = os.fork()
    if later == 0:
        time.sleep(0.7)
        os.kill(old, signal.SIGKILL)
        os._exit(0)
    r.restart()
    os.waitpid(later, 0)
    r.finish("frozen")


def hung_helper(then):
    """At CLAIMED: a thaw hangs. Others go on with what does not lie on that; in the end THEN
    (a signal to it) frees it, or the thawer is killed."""
    def hang(r):
        old = r.a.the("helper")
        os.kill(old, signal.SIGSTOP)
        r.release()
        if r.count > 2:
            wait_until(lambda: sum(p.has_ended() for p in r.probes) >= r.count - 2,
                       "writes to the others", 1 + MOMENT)
        time.sleep(0.2)
        assert r.state.phase == "THAWING" and not all(p.has_ended() for p in r.probes)
        kill(r.a.the("thawer")) if then is None else os.kill(old, then)
        r.since = time.monotonic()
        goes_on(r)
    return hang


def lose_supervisor(r):
    r.kill("supervisor")
    r.restart()


def lose_all_but_thawer(r, start=True):
    r.kill_all(but=("thawer", "helper"))
    if start:
        r.restart()


# ---- reloads ---------------------------------------------------------------------------

# Under this no freeze would be begun, let alone stay for so long.
ANOTHER = (programs.policy(base="legacy")
           + '[rule "no"]\neffect = deny\ncommand = guest-fsfreeze-freeze ; '
           'guest-fsfreeze-freeze-list ; guest-fsfreeze-thaw\n'
           '[rule "status"]\neffect = allow\ncommand = @freeze\nfreeze-max = 1s\n')
# At these the worker itself waits, and nobody is answered.
WORKER_STEPS = [s for s in STEPS if s not in ("frozen", *HOOK_STEPS, *THAWING)]


class Reload:
    """A policy that was replaced at a step of R, and how it is asked for: once by each of
    HOW, "signal" or "posternctl"."""

    def __init__(self, r, how):
        self.r, self.asked = r, len(how)
        self.before = self.see()
        self.lost = False  # whoever asked by posternctl gets no answer
        r.a.write_policy(ANOTHER)
        self.asking = []
        for way in how:
            if way == "signal":
                r.a.process.send_signal(signal.SIGHUP)
            else:
                self.asking.append(reloading.Asking(r.a))
        if r.step not in WORKER_STEPS:
            for one in self.asking:
                one.wait_told()
            wait_until(self.waits, "a reload that waits")
        assert self.see() == self.before, "the freeze is another"
        assert not self.ends(), "a reload that did not wait"

    def see(self):
        """Of the freeze, what a reload could change. (Whoever thaws goes on meanwhile, if it
        does not wait at a step.)"""
        s = self.r.state
        going_on = self.r.step in HOOK_STEPS or self.r.step == "frozen"
        return (s.deadline_ms, s.count) if going_on else (s.phase, s.deadline_ms, s.marks())

    def ends(self):
        return [e for e in self.r.a.records() if e["POSTERN_EVENT"] in reloading.ENDS]

    def waits(self):
        return reloading.status(self.r.a)["reload-waits"]

    def assert_waits(self):
        """While it is frozen, and the worker at leisure."""
        wait_until(self.waits, "the reload to wait")
        s = reloading.status(self.r.a)
        assert s["frozen"] and s["frozen-count"] == self.r.state.count, s
        assert s["generation"] == 1 and "thaw-in-ms" in s, s
        left = self.r.state.deadline_ms - time.monotonic() * 1000
        assert abs(left - s["thaw-in-ms"]) < 1000 * SLOW, (left, s)
        if self.r.settings["freeze_max"] == "60s":
            assert 20000 < left <= 60000, "the deadline is that of another policy"
        assert not self.ends(), self.ends()
        assert self.lost or not any(one.is_over() for one in self.asking)

    def assert_over(self):
        """It has been done, and was recorded once or, where nobody knew of the other, twice;
        the new policy is in force."""
        ends = wait_until(self.ends, "the reload")
        if self.r.stops:
            assert len(ends) <= 2, ends  # it may have ended before it was done
        else:
            assert ends[0]["POSTERN_RESULT"] == "ok", ends
            for one in self.asking:
                told = one.wait()
                # The last may have come when the first had been done.
                assert self.lost or told["outcome"] in ("done", "unchanged"), told
            wait_until(lambda: not self.waits(), "the reload to be over")
            assert len(self.ends()) <= self.asked + self.lost, self.ends()
            assert reloading.status(self.r.a)["generation"] == 2
        order = [e["POSTERN_EVENT"] for e in self.r.a.records()]
        thaws = [n for n, e in enumerate(order) if e in ("thaw", "auto-thaw")]
        assert all(n < order.index(ends[0]["POSTERN_EVENT"]) for n in thaws), order

    def close(self):
        for one in self.asking:
            one.__exit__()


def reload(*how, then=goes_on, loses=False):
    """Another policy is asked for at the step; THEN that happens, by which posternctl may be
    cut off."""
    def event(r):
        r.reload = Reload(r, how)
        r.reload.lost = loses
        then(r)
    return event


def hangs_up(r):
    """A posternctl that does not wait: the reload does."""
    r.reload = Reload(r, ("posternctl", "posternctl"))
    r.reload.asking.pop().__exit__()
    goes_on(r)


# ---- hooks -----------------------------------------------------------------------------

def behave(r, which, how, policy):
    """The hook HOW, when it is run for WHICH; the rule says POLICY."""
    r.hooks.behave(which, how)
    bad = how in ("fail", "hang")
    r.hooks_end = which == "freeze" or not bad
    words = {"fail": "has failed with status 7", "hang": "did not end within 1 s"}
    r.send_freeze()
    if which == "freeze" and bad and policy == "abort":
        r.assert_error(words[how])
        r.step = "freeze hook"
        r.finish("thawed")
        return
    r.assert_all()
    r.finish("frozen")
    told = [e.get("POSTERN_HOOK_RESULT", "") for e in r.a.records()
            if e["POSTERN_EVENT"] == which]
    assert len(told) == 1 and (words[how] if bad else "ok") in told[0], told


def hook(which, how, policy):
    return lambda r: behave(r, which, how, policy)


# ---- the matrix ------------------------------------------------------------------------

# Name: what happens, at which steps.
EVENTS = {
    "frontend killed": (frontend, STEPS),
    "inspector killed": (inspector, STEPS),
    "spawner killed": (spawner, STEPS),
    "worker killed": (worker, STEPS),
    "supervisor killed": (supervisor, STEPS),
    "freezer killed": (freezer, between("FIRST", "COMPLETE")),
    "thawer killed": (thawer, between("THAWER", "DONE")),
    "helper killed": (helper, between("THAWER", "BETWEEN")),
    "worker and thawer killed": (worker_and_thawer, between("THAWER", "DONE")),
    "client leaves": (client, STEPS),
    "SIGTERM": (sigterm, STEPS),
    "deadline passes": (deadline, STEPS),
    "all but the thawer killed, restart": (all_but_thawer, STEPS),
    "all but the thawer killed, no restart": (all_but_thawer_for_good, STEPS),
    "all killed, restart": (all_of_them, STEPS),
    "all killed, another agent thaws": (another_thaws, STEPS),
    "unmounted": (unmount, between("HELD", "DONE")),
    "reload by SIGHUP": (reload("signal"), STEPS),
    "reload by posternctl": (reload("posternctl"), STEPS),
    "reload, and a second": (reload("posternctl", "signal", "posternctl"), STEPS),
    "reload, posternctl hangs up": (hangs_up, STEPS),
    "reload, worker killed": (reload("signal", "posternctl", then=worker, loses=True), STEPS),
    "reload, thawer killed": (reload("posternctl", then=thawer), between("THAWER", "DONE")),
    "reload, freezer killed": (reload("posternctl", then=freezer), between("FIRST", "COMPLETE")),
    "reload, client leaves": (reload("posternctl", then=client), STEPS),
    "reload, deadline passes": (reload("posternctl", then=deadline), STEPS),
    "reload, SIGTERM": (reload("signal", "posternctl", then=sigterm, loses=True), STEPS),
}
# With what is frozen unmounted before.
UNMOUNTED = ["worker killed", "thawer killed", "supervisor killed", "SIGTERM",
             "deadline passes", "all but the thawer killed, restart",
             "all but the thawer killed, no restart"]
# After which another freeze is tried.
AGAIN = ["worker killed", "thawer killed", "supervisor killed", "spawner killed",
         "all but the thawer killed, restart", "all killed, restart"]
# One after the other, when it is complete.
MORE = {
    "supervisor killed, restarted at once": lambda r: supervisor(r, 0),
    "worker killed three times": lost("worker", "worker", "worker"),
    "thawer killed three times": lost("thawer", "thawer", "thawer"),
    "worker, then thawer killed": lost("worker", "thawer"),
    "thawer, then worker killed": lost("thawer", "worker"),
    "worker, thawer, worker, thawer killed": lost("worker", "thawer", "worker", "thawer"),
    "frontend, spawner, inspector killed": lost("frontend", "spawner", "inspector"),
    "worker killed, then the deadline passes": late(lose("worker")),
    "thawer killed, then the deadline passes": late(lose("thawer")),
    "supervisor killed, then the deadline passes": late(lose_supervisor),
    "all but the thawer killed, then the deadline passes": late(lose_all_but_thawer),
    "all but the thawer killed, no restart, the deadline passes": late_and_alone,
    "supervisor killed, restarted while the worker stays": slow_to_go,
}
# Where there is more than one superblock.
HANGS = {
    "a helper hangs": hung_helper(signal.SIGCONT),
    "a helper hangs, then is killed": hung_helper(signal.SIGKILL),
    "a helper hangs, thawer killed": hung_helper(None),
}
# Of the plain stacks: they differ in what a kernel does, not in what we do.
FEW = ["worker killed", "helper killed", "supervisor killed", "freezer killed", "thawer killed",
       "worker and thawer killed", "SIGTERM", "deadline passes",
       "all but the thawer killed, restart", "all but the thawer killed, no restart",
       "all killed, restart", "all killed, another agent thaws", "unmounted"]
FEW_STEPS = ["FIRST", "UNMARKED", "LAST", "COMPLETE", "frozen", "BEGUN", "CLAIMED", "UNDONE", "BETWEEN",
             "END"]
LONG = ["all but the thawer killed, no restart"]


def settings_of(event):
    return {"freeze_max": f"{DEADLINE}s"} if "deadline" in event else {}


def steps_of(stack, event):
    steps = EVENTS[event][1]
    if stack not in ("all", "loop"):
        steps = [s for s in steps if s in FEW_STEPS and event in FEW]
    if len(STACKS[stack][1]) == 1:
        steps = [s for s in steps if s != "SECOND"]
    return steps


def cases_of(stack):
    """(name, (stack, step, what happens, settings))"""
    for event, (function, _) in EVENTS.items():
        for step in steps_of(stack, event):
            yield f"{stack}: {step}: {event}", (stack, step, function, settings_of(event))
    for event in UNMOUNTED:
        yield (f"{stack}: frozen: unmounted, {event}",
               (stack, "frozen", unmounted(EVENTS[event][0]), settings_of(event)))
    for event, function in MORE.items():
        yield f"{stack}: frozen: {event}", (stack, "frozen", function, settings_of(event))
    if len(STACKS[stack][1]) > 1:
        for event, function in HANGS.items():
            yield f"{stack}: CLAIMED: {event}", (stack, "CLAIMED", function, {})
    for step in ("LAST", "frozen", "BEGUN"):
        for event in AGAIN:
            yield (f"{stack}: {step}: {event}, and the next freeze",
                   (stack, step, again(EVENTS[event][0]), {}))
    if stack not in ("all", "ext4"):
        return
    for which in ("freeze", "thaw"):
        for how in ("fail", "hang", "flood"):
            for policy in ("abort", "continue"):
                yield (f"{stack}: {which} hook: {how}, hook-failure = {policy}",
                       (stack, None, hook(which, how, policy),
                        {"hook_timeout": "1s", "hook_failure": policy}))


def lack(kind):
    """Why there can be no file system of this type; None: there can be one."""
    if not scratch.known(kind):
        return f"this kernel has no {kind}"
    try:
        scratch.tool(scratch.MKFS[kind][0][0])
    except tap.Skip as why:
        return str(why)
    return None


def possible_cases(stack):
    """Those of the stack; or one that is skipped."""
    lacks = [why for why in map(lack, KINDS.get(stack, [stack])) if why]
    if not lacks:
        return cases_of(stack)
    return [(f"{stack}: everything", (None, None, lambda _: tap.skip(lacks[0]), {}))]


def all_cases():
    stacks = list(STACKS)
    if VARIANT == "asan":
        stacks = ["ext4", "loop"]
    found = [case for stack in stacks for case in possible_cases(stack)]
    if VARIANT == "asan":
        found = found[::3]
    wanted = sys.argv[1:]
    found = [c for c in found if all(w in c[0] for w in wanted)]
    # What takes long is begun first.
    return sorted(found, key=lambda c: not any(word in c[0] for word in LONG))


def one(disks, hooks, case):
    stack, step, event, settings = case
    if not stack:
        event(None)
    r = Run(disks, hooks, stack, step, **settings)
    try:
        if step:
            r.reach()
        event(r)
    except BaseException:
        r.describe()
        raise
    finally:
        r.clean()


@contextlib.contextmanager
def place(number):
    """Namespaces and file systems of one process of the pool."""
    DOG.follow()
    with scratch.namespaces():
        kinds = [kind for kind in ("ext4", "xfs", "btrfs") if not lack(kind)]
        disks = freezing.Disks("/run/disks", kinds)
        DOG.hold(str(number), disks.fds())
        hooks = freezing.Hooks("/run/hooks")
        yield lambda case: one(disks, hooks, case)
        DOG.drop(str(number))


def needs_root():
    if os.geteuid() != 0:
        tap.skip("needs root, to freeze file systems")


if os.geteuid() != 0:
    tap.run([("freeze matrix", needs_root)])
with freezing.Watchdog() as DOG:
    good = pool.run(all_cases(), place, size=3 if VARIANT == "asan" else 8,
                    limit=25 * SLOW, on_lost=lambda number: DOG.thaw(str(number)))
sys.exit(0 if good else 1)
