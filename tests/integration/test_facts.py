"""the facts of this machine: the agent's answers against /proc and /sys, read here

What moves by itself is read before and after, and the answer must lie between. The
agent runs sealed, so a system call that its filter lacks ends the test.
"""
# pylint: disable=missing-function-docstring
import glob
import os
import re
import struct

import tap
from agent import Agent

TICK_MS = 1000 // os.sysconf("SC_CLK_TCK")
CPU_DIR = "/sys/devices/system/cpu"
MEMORY_DIR = "/sys/devices/system/memory"
CPU_MEMBERS = ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal",
               "guest", "guestnice"]
# Members by column; those that are no counters go up and down.
DISK_MEMBERS = ["read-ios", "read-merges", "read-sectors", "read-ticks", "write-ios",
                "write-merges", "write-sectors", "write-ticks", "ios-pgr", "total-ticks",
                "weight-ticks", "discard-ios", "discard-merges", "discard-sectors",
                "discard-ticks", "flush-ios", "flush-ticks"]
GAUGES = {"ios-pgr"}


def read(path):
    """The text of a file without its last newline; None if there is none."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as f:
            return f.read().rstrip("\n")
    except FileNotFoundError:
        return None


def numbered(directory, prefix):
    """The numbers of the directories PREFIX<N>, ascending."""
    paths = glob.glob(f"{directory}/{prefix}[0-9]*")
    return sorted(int(os.path.basename(p)[len(prefix):]) for p in paths)


def ask(command):
    with Agent() as a, a.client() as c:
        return c.call(command)


def answer(command):
    reply = ask(command)
    assert "return" in reply, reply
    return reply["return"]


def lacking(path, command):
    """True if this machine has no PATH; then the answer must be that of such a one."""
    if os.path.exists(path):
        return False
    assert ask(command)["error"]["class"] == "CommandNotFound"
    return True


def test_vcpus():
    if lacking(CPU_DIR, "guest-get-vcpus"):
        tap.skip(f"no {CPU_DIR} here")
    expected = []
    for n in numbered(CPU_DIR, "cpu"):
        online = read(f"{CPU_DIR}/cpu{n}/online")
        expected.append({"logical-id": n, "online": online != "0",
                         "can-offline": online is not None})
    assert expected
    assert answer("guest-get-vcpus") == expected


def stat():
    """Numbers of each CPU from /proc/stat, in milliseconds, and their order."""
    lines = [line.split() for line in read("/proc/stat").splitlines()]
    return {int(w[0][3:]): [int(v) * TICK_MS for v in w[1:]]
            for w in lines if re.fullmatch(r"cpu\d+", w[0])}


def test_cpustats():
    before, got, after = stat(), answer("guest-get-cpustats"), stat()
    assert [c["cpu"] for c in got] == list(before) and before
    for c in got:
        low, high = before[c["cpu"]], after[c["cpu"]]
        members = CPU_MEMBERS[:len(low)]
        assert list(c) == ["type", "cpu"] + members, c
        assert c["type"] == "linux"
        for i, name in enumerate(members):
            # iowait is known to go back by a little (the kernel's proc.rst).
            low_i = low[i] - 1000 if name in ("iowait", "idle") else low[i]
            assert low_i <= c[name] <= high[i] + 1000, (name, low[i], c[name], high[i])


def test_load():
    for _ in range(5):
        before, got = read("/proc/loadavg"), answer("guest-get-load")
        after = read("/proc/loadavg")
        if before.split()[:3] == after.split()[:3]:
            break
    else:
        tap.skip("the load does not stand still for a moment")
    assert got == dict(zip(("load1m", "load5m", "load15m"),
                           map(float, before.split()[:3])))


def diskstats():
    """(major, minor, name) and counters of each line of /proc/diskstats."""
    lines = [line.split() for line in read("/proc/diskstats").splitlines()]
    return {(int(w[0]), int(w[1]), w[2]): [int(v) for v in w[3:]] for w in lines}


def test_diskstats():
    if lacking("/proc/diskstats", "guest-get-diskstats"):
        tap.skip("no /proc/diskstats here")
    for _ in range(5):
        before, got, after = diskstats(), answer("guest-get-diskstats"), diskstats()
        if list(before) == list(after):
            break
    else:
        tap.skip("disks come and go all the time")
    assert [(d["major"], d["minor"], d["name"]) for d in got] == list(before)
    for d, low, high in zip(got, before.values(), after.values()):
        members = DISK_MEMBERS[:len(low)]
        assert sorted(d["stats"]) == sorted(members), d
        for i, name in enumerate(members):
            if name not in GAUGES:
                assert low[i] <= d["stats"][name] <= high[i], (d, name, low[i], high[i])


def test_memory_blocks():
    blocks = []
    for n in numbered(MEMORY_DIR, "memory"):
        state = read(f"{MEMORY_DIR}/memory{n}/state")
        removable = read(f"{MEMORY_DIR}/memory{n}/removable")
        blocks.append({"phys-index": n, "online": state in ("online", None),
                       "can-offline": state is not None and removable == "1"})
    if not blocks and os.path.isdir(MEMORY_DIR):
        assert "zero memory blocks" in ask("guest-get-memory-blocks")["error"]["desc"]
    else:
        assert answer("guest-get-memory-blocks") == blocks


def test_memory_block_info():
    path = f"{MEMORY_DIR}/block_size_bytes"
    if lacking(path, "guest-get-memory-block-info"):
        tap.skip(f"no {path} here")
    assert answer("guest-get-memory-block-info") == {"size": int(read(path), 16)}


def utmp():
    """Users of utmp, each with its earliest login, in the file's order; None without."""
    try:
        with open("/var/run/utmp", "rb") as f:
            data = f.read()
    except FileNotFoundError:
        return None
    # struct utmpx: where it has 32-bit times also on 64-bit machines, and where not.
    form = "<h2xi32s4s32s256shhiii36x" if os.uname().machine == "x86_64" else \
           "<h2xi32s4s32s256shhqqq40x"
    users = {}
    for record in struct.iter_unpack(form, data[:len(data) // struct.calcsize(form)
                                                * struct.calcsize(form)]):
        name = record[4].split(b"\0")[0].decode(errors="replace")
        if record[0] == 7 and name:
            login = record[9] + record[10] / 1e6
            users[name] = min(login, users.get(name, login))
    return users if data else None


def test_users():
    users = utmp()
    got = answer("guest-get-users")
    if users is not None:
        assert [(u["user"], u["login-time"]) for u in got] == list(users.items())
    elif not glob.glob("/run/systemd/sessions/*"):
        assert got == []
    else:
        for u in got:
            assert u["user"] and u["login-time"] > 0, u


def test_answers_are_the_same_on_each_call():
    with Agent() as a, a.client() as c:
        for command in ("guest-get-vcpus", "guest-get-memory-blocks", "guest-get-users",
                        "guest-get-memory-block-info"):
            assert c.call(command) == c.call(command)


tap.run(tap.tests(globals()))
