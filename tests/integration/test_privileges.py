#!/usr/bin/python3
"""What the worker of a running agent holds under each policy of tests/lib/privileges.h: its
capabilities and its children's, whether there is a spawner, and that record, status and
/proc say the same. What it may try then is tried by tests/unit/test_privileges.c, from the
same table.
"""
# run: limit 180
import json
import os
import signal
import subprocess

import guard
import programs
import tap
from agent import Agent, children, comm, descendants, helper, status, wait_until

IS_ROOT = os.geteuid() == 0
ROWS = json.loads(subprocess.run([helper("integration/privileges")], check=True,
                                 stdout=subprocess.PIPE, preexec_fn=guard.harmless).stdout)
NUMBERS = {"chown": 0, "dac_override": 1, "dac_read_search": 2, "fowner": 3, "setgid": 6,
           "setuid": 7, "sys_admin": 21, "sys_boot": 22, "sys_time": 25}
# No test has these; for sys_admin see test_sealed.py (guard.py says why).
TAKEN = {"sys_admin", "sys_boot", "sys_time"}
BOUND = int(status("self")["CapBnd"], 16)


def signalled():
    """Does init of this machine go down by a signal of systemd's?"""
    with open("/proc/1/status", encoding="ascii", errors="replace") as f:
        sets = dict(line.split(":\t", 1) for line in f if ":\t" in line)
    taken = int(sets["SigBlk"], 16) | int(sets["SigCgt"], 16)
    return os.path.isdir("/run/systemd/system") and bool(taken >> (34 + 4 - 1) & 1)


HERE = "systemd" if signalled() else "other"


def held(privileges):
    """The capability sets of a worker that is told it may keep these."""
    names = set(privileges.split()) - {"spawner", "no-spawner"} - TAKEN
    return sum(1 << NUMBERS[n] for n in names) & BOUND if IS_ROOT else 0


def caps(pid, name):
    return int(status(pid)[name], 16)


def check_caps(agent, want):
    """WANT in the worker, nothing in use in its children; bounded by it all of them."""
    worker = agent.child("worker")
    reader = agent.child("reader")
    writer = wait_until(lambda: children(worker), "the writer")[0]
    for name in ("CapPrm", "CapEff"):
        assert caps(worker, name) == want, (name, hex(caps(worker, name)), hex(want))
        assert caps(reader, name) == caps(writer, name) == 0, name
    for pid in (worker, reader, writer):
        assert caps(pid, "CapInh") == caps(pid, "CapAmb") == 0, pid
    if IS_ROOT:  # who cannot use the bounding set cannot change it either
        assert caps(worker, "CapBnd") == caps(writer, "CapBnd") == want, hex(want)
        assert caps(reader, "CapBnd") == 0


def check_told(agent, row):
    """The record of the start and the status say what the table says."""
    start = agent.wait_record(lambda r: r["POSTERN_EVENT"] == "start")
    assert start["POSTERN_PRIVILEGES"] == row[HERE], start
    told = agent.ctl_json("status", status=0)
    for privileges, files in (("privileges", "files"), ("needed", "needed-files")):
        assert (told[privileges], told[files]) == (row[HERE], row["files"]), told
    spawner = row[HERE].split()[-1] == "spawner"
    assert told["spawner"] == spawner, told
    assert ("spawner up" if spawner else "spawner none") in agent.ctl("status").stdout


def check_spawner(agent, wanted):
    if wanted:
        agent.child("spawner")
    names = {comm(p) for p in descendants(agent.pid)}
    assert ("postern-spawner" in names) == wanted, names


def check(row):
    with programs.agent(row["policy"]) as a:
        wanted = row[HERE].split()[-1] == "spawner"
        check_spawner(a, wanted)
        if wanted:
            wait_until(lambda: a.ctl_json("status")["spawner"], "the spawner's socket")
        check_told(a, row)
        check_caps(a, held(row[HERE]))


def test_information_and_shutdown_as_a_guest_has_it():
    """By the table: where systemd takes signals nothing is kept, and there is no spawner."""
    row = next(r for r in ROWS if r["name"] == "information and shutdown")
    assert (row["systemd"], row["files"]) == ("no-spawner", "read /proc"), row


def test_the_same_after_a_reload_as_after_a_start():
    """A worker that was replaced after a reload holds what its policy needs, and the spawner
    that the last one needed is gone."""
    rows = {r["name"]: r for r in ROWS}
    with programs.agent(rows["programs"]["policy"]) as a:
        check_spawner(a, True)
        a.write_policy(rows["information"]["policy"])
        assert a.ctl_json("reload", status=0)["outcome"] == "done"
        told = a.ctl_json("status")
        assert told["privileges"] == rows["programs"][HERE], told
        assert told["needed"] == rows["information"][HERE], told
        old = a.child("worker")
        os.kill(old, signal.SIGKILL)
        wait_until(lambda: a.child("worker") != old, "another worker")
        a.wait_ready()
        wait_until(lambda: not a.pids("spawner"), "the end of the spawner")
        check_caps(a, 0)
        assert a.ctl_json("status")["privileges"] == rows["information"][HERE]


def test_lists_of_the_command_line_count():
    """What is blocked there is not needed, whatever the policy says."""
    blocked = ("guest-exec,guest-exec-status,guest-shutdown,guest-set-time,guest-fstrim,"
               "guest-fsfreeze-freeze,guest-fsfreeze-freeze-list,guest-fsfreeze-thaw,"
               "guest-suspend-disk,guest-suspend-ram,guest-suspend-hybrid,guest-set-vcpus,"
               "guest-set-memory-blocks,guest-set-user-password,guest-get-disks,"
               "guest-ssh-get-authorized-keys,guest-ssh-add-authorized-keys,"
               "guest-ssh-remove-authorized-keys,guest-file-open")
    with Agent(profile="legacy", args=["-b", blocked]) as a:
        start = a.wait_record(lambda r: r["POSTERN_EVENT"] == "start")
        assert start["POSTERN_PRIVILEGES"] == "no-spawner", start
        assert a.ctl_json("status")["files"] == "none"
        check_caps(a, 0)
        check_spawner(a, False)


tap.run(tap.tests(globals()) + [(r["name"], lambda r=r: check(r)) for r in ROWS])
