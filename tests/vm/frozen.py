"""frozen - what is frozen inside, as those see it who write there

Writers are started in the background: one that has met a frozen file system can be neither
ended nor waited for. All that says how they fare is in /run.

A case that fails while something is frozen needs no care of its own: the runner thaws
(Guest.repair).
"""
import contextlib
import shlex
import time

import facts
import records
from agent import wait_until
from machine import Refused, log


def points(vm):
    """{mount point: all that its file system is mounted at}, of what a freeze has to stop:
    each superblock on a block device that can be written."""
    rows = facts.inside(vm, "findmnt -k -l -J -v -o TARGET,SOURCE,MAJ:MIN,FS-OPTIONS")
    found = {}
    for row in rows["filesystems"]:
        if row["source"].startswith("/dev/") and "rw" in row["fs-options"].split(","):
            found.setdefault(row["maj:min"], []).append(row["target"])
    return {targets[0]: targets for targets in found.values()}


# ---- writers ------------------------------------------------------------------------------

def probe(vm, where):
    """A writer at each of these mount points; the last ones are forgotten."""
    vm.shell("vm-probe start " + " ".join(map(shlex.quote, where)))


def look(vm):
    """{mount point: done, waits, runs}."""
    rows = [line.split(" ", 1) for line in vm.shell("vm-probe look").splitlines()]
    return {point: state for state, point in rows}


def waiting(vm):
    """The mount points whose writers wait, once no writer is still at work."""
    seen = []

    def settled():
        seen.append(look(vm))
        return len(seen) > 1 and seen[-1] == seen[-2] and "runs" not in seen[-1].values()
    wait_until(settled, lambda: f"the writers: {seen[-1]}", 15)
    return {point for point, state in seen[-1].items() if state == "waits"}


def gone_on(vm, timeout=10):
    """Wait until all writers are done; how long that took."""
    begin = time.monotonic()
    wait_until(lambda: set(look(vm).values()) == {"done"}, lambda: f"writers: {look(vm)}",
               timeout)
    return time.monotonic() - begin


@contextlib.contextmanager
def at_last(vm, command):
    """Root runs COMMAND inside at the end of the block, when nothing is frozen any more, even
    if the block failed."""
    try:
        yield
    except BaseException:
        vm.thaw()
        gone_on(vm)
        raise
    finally:
        vm.shell(command)


# ---- the freeze -----------------------------------------------------------------------------

def status(vm):
    return vm.ask("guest-fsfreeze-status")


def first_status(vm, timeout=20):
    """The status as soon as the agent answers again, and how long that took."""
    begin = time.monotonic()

    def try_once():
        try:
            return status(vm)
        except Refused:
            return None
    return wait_until(try_once, "a status", timeout), time.monotonic() - begin


def freeze(vm, where=None):
    """All is frozen, by libvirt, and a writer waits at each; how many file systems that
    are. WHERE: what should be, if there is more than points() says."""
    vm.answers()
    where = list(where or points(vm))
    count = vm.domain.fsFreeze()
    assert count == len(where), f"{count} frozen, inside: {where}"
    probe(vm, where)
    assert waiting(vm) == set(where), look(vm)
    return count


def still_frozen(vm):
    """The writers that waited do so: one that went on would have been done."""
    states = look(vm)
    assert set(states.values()) == {"waits"}, states


def thaw(vm, count):
    """All is still frozen; libvirt thaws it, and the writers go on."""
    assert status(vm) == "frozen"
    still_frozen(vm)
    thawed = vm.domain.fsThaw()
    log(f"thawed {thawed}")
    gone_on(vm)
    assert thawed == count, f"{thawed} thawed of {count}"
    assert status(vm) == "thawed"


# ---- records --------------------------------------------------------------------------------

def now(vm):
    """The time inside, for told()."""
    return vm.shell("date +%s.%6N")


def told(vm, since, *events):
    """The agent's records of these events that the journal has got from that time on, once
    there is one."""
    def try_once():
        return records.read(vm, "-S", f"@{since}", *records.matching(*events))
    return wait_until(try_once, f"a record of {events}", 10)


def recorded(vm, since, event, cause, count):
    """There is one record of the thaw, and it says this."""
    found = [(r["POSTERN_EVENT"], r["POSTERN_THAW_CAUSE"], r["POSTERN_FS_COUNT"])
             for r in told(vm, since, "thaw", "auto-thaw")]
    assert found == [(event, cause, count)], f"recorded: {found}"
