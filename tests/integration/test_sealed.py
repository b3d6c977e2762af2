#!/usr/bin/python3
"""What each process of a running agent is and holds: identity, capabilities, filter,
descriptors. And what happens to a system call that its sandbox does not have.

An ordinary user sees less of the processes, since they are not dumpable; which is shown,
too. Then the ids are the caller's, and the rest holds.
"""
import contextlib
import ctypes
import os
import re
import signal
import socket
import subprocess

import guard
import programs
import scratch
import tap
from agent import (Agent, build_dir, children, comm, descendants, helper, status,
                   wait_until)

IS_ROOT = os.geteuid() == 0
CAP_SYS_ADMIN = 1 << 21
# And to read, write, make and give away any file: CHOWN, DAC_OVERRIDE, READ_SEARCH, FOWNER.
# File systems and disks, files, homes, clock, power; the last two no test may have (guard.py).
CAPS_HELD = CAP_SYS_ADMIN | 0xf | 1 << 6 | 1 << 7
NAMES_LEGACY = "chown dac_override dac_read_search fowner setgid setuid sys_admin sys_boot sys_time"
KILLED = -signal.SIGSYS
INFO = '[policy]\nbase = none\n[rule "info"]\neffect = allow\ncommand = @info\n'

SETS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
SEALED = ("worker", "reader", "writer", "inspector", "frontend")


class Family:
    """The processes of an agent by name; the worker's child is the writer.
    Each has done something for CLIENT, or one of our own, and so is sealed."""

    def __init__(self, agent, client=None):
        self.agent = agent
        with contextlib.nullcontext(client) if client else agent.client() as c:
            assert "return" in c.call("guest-get-osinfo")
        agent.wait_record(lambda r: r["POSTERN_EVENT"] == "complete")
        worker = agent.child("worker")
        self.pids = {"supervisor": agent.pid, "worker": worker,
                     "reader": agent.child("reader"),
                     "writer": wait_until(lambda: children(worker), "the writer")[0],
                     "inspector": agent.child("inspector"),
                     "frontend": agent.child("frontend")}

    def status(self, name):
        return status(self.pids[name])

    def caps(self, name):
        """The five sets as numbers, in the order of SETS."""
        return [int(self.status(name)[s], 16) for s in SETS]


def sockets():
    """Kind of each unix socket of this machine, by inode."""
    kinds = {"0001": "stream", "0002": "datagram", "0005": "seqpacket"}
    with open("/proc/net/unix", encoding="utf-8", errors="replace") as f:
        rows = [line.split() for line in f.readlines()[1:]]
    # Num RefCount Protocol Flags Type St Inode [Path]; the flag says that it listens
    return {row[6]: "listener" if int(row[3], 16) & 0x10000 else kinds.get(row[4])
            for row in rows}


def netlink(pid, number):
    """"netlink:PROTOCOL" of a socket that is no unix socket, seen through a copy of it."""
    call = ctypes.CDLL(None, use_errno=True).syscall
    pidfd = os.pidfd_open(pid)
    try:
        copy = call(438, pidfd, number, 0)  # pidfd_getfd
    finally:
        os.close(pidfd)
    assert copy >= 0, os.strerror(ctypes.get_errno())
    with socket.socket(fileno=copy) as s:
        assert s.family == socket.AF_NETLINK, s
        return f"netlink:{s.proto}"


def descriptors(pid, names):
    """Number to kind. NAMES maps paths of files to what they are."""
    kinds = sockets()
    found = {}
    for n in os.listdir(f"/proc/{pid}/fd"):
        try:
            target = os.readlink(f"/proc/{pid}/fd/{n}")
        except FileNotFoundError:  # it was open for a moment
            continue
        inode = re.fullmatch(r"socket:\[(\d+)\]", target)
        if inode:
            target = kinds.get(inode[1]) or netlink(pid, int(n))
        found[int(n)] = names.get(target, target.removesuffix(" (deleted)"))
    return found


# ---- identity and privilege ----------------------------------------------------------------

def test_everything_runs():
    """So that no process escapes the tests below; the spawner is not confined."""
    with programs.agent(INFO) as a:
        Family(a)
        names = sorted(comm(p) for p in [a.pid] + descendants(a.pid))
        assert names == ["postern", "postern-fronten", "postern-inspect", "postern-reader",
                         "postern-worker", "postern-worker"], names


def test_users_and_groups():
    with Agent() as a:
        family = Family(a)
        uids = {"worker": os.geteuid(), "writer": os.geteuid(), "reader": os.geteuid(),
                "frontend": a.uids[0],
                "inspector": a.uids[1]}
        gids = {**uids, "worker": os.getegid(), "writer": os.getegid(), "reader": os.getegid()}
        if not IS_ROOT:
            gids = dict.fromkeys(uids, os.getegid())
        for name, uid in uids.items():
            st = family.status(name)
            assert st["Uid"].split() == [str(uid)] * 4, (name, st["Uid"])
            assert st["Gid"].split() == [str(gids[name])] * 4, (name, st["Gid"])
        if IS_ROOT:
            assert len({0, *a.uids}) == 3, a.uids


def test_no_supplementary_groups():
    """As root, from a caller that has some: the confined have none."""
    if not IS_ROOT:
        tap.skip("needs root, to have groups to lose")
    before = os.getgroups()
    os.setgroups([0, 4, 27])
    try:
        with Agent() as a:
            family = Family(a)
            for name in ("frontend", "inspector", "reader"):
                got = family.status(name)["Groups"]
                assert got == "", (name, got)
    finally:
        os.setgroups(before)


def test_no_capabilities():
    """Under a policy of which no command needs any."""
    with programs.agent(INFO) as a:
        family = Family(a)
        for name in SEALED:
            caps = family.caps(name)
            if not IS_ROOT:  # who cannot use the bounding set cannot change it either
                del caps[SETS.index("CapBnd")]
            assert not any(caps), (name, [hex(c) for c in caps])


def test_the_worker_keeps_what_its_policy_can_need():
    if not IS_ROOT:
        tap.skip("needs root, to have capabilities to keep")
    with Agent(profile="legacy", testops=True, admin=True) as a:
        start = a.wait_record(lambda r: r["POSTERN_EVENT"] == "start")
        assert start["POSTERN_PRIVILEGES"] == NAMES_LEGACY + " spawner", start
        family = Family(a)
        one = CAPS_HELD
        assert family.caps("worker") == [0, one, one, one, 0], family.caps("worker")
        assert family.caps("writer") == [0, 0, 0, one, 0], family.caps("writer")
        for name in ("frontend", "inspector", "reader"):
            assert not any(family.caps(name)), name


def test_sealed():
    with Agent() as a:
        family = Family(a)
        filters = {"worker": 1, "reader": 1, "writer": 2, "inspector": 1, "frontend": 1}
        for name in SEALED:
            st = family.status(name)
            assert st["NoNewPrivs"] == "1", name
            assert st["Threads"] == "1", name
            # A child's filter lies on top of the worker's.
            assert guard.filters(st) == filters[name], (name, st["Seccomp_filters"])
        assert guard.filters(family.status("supervisor")) == 0


def test_op_child():
    """An operation runs with its own filter on top and without the worker's rights."""
    with Agent(profile="legacy", testops=True) as a, a.client() as c:
        family = Family(a, c)
        c.send(b'{"execute":"test-sleep","arguments":{"ms":1000}}')
        before = {family.pids["writer"]}
        child = wait_until(lambda: set(children(family.pids["worker"])) - before,
                           "the op child").pop()
        wait_until(lambda: guard.filters(status(child)) == 2, "its filter")
        st = status(child)
        assert st["NoNewPrivs"] == "1" and int(st["CapEff"], 16) == 0, st
        assert int(st["CapPrm"], 16) == 0, st
        if IS_ROOT:
            assert descriptors(child, {}) == {
                0: "/dev/null", 1: "/dev/null", 2: "/dev/null", 3: "seqpacket"}
        assert c.recv_replies(1) == [b'{"return": {}}']


def test_landlock():
    """Who has to make the call to be held back has made it, and was."""
    if not IS_ROOT:
        tap.skip("needs root: nobody else may trace the agent")
    agent = Agent(start=False)
    trace = os.path.join(agent.dir, "trace")
    # -D: the supervisor stays our child, and strace is somebody else's.
    agent.argv = [scratch.tool("strace"), "-D", "-f", "-qq", "-o", trace,
                  "-e", "trace=landlock_restrict_self", *agent.argv]
    agent.start()
    with agent:
        family = Family(agent)
        if not agent.ctl_json("status")["landlock"]:
            tap.skip("this kernel has no Landlock")
        with open(trace, encoding="ascii", errors="replace") as f:
            done = {int(m[1]) for m in re.finditer(r"^(\d+) .*= 0$", f.read(), re.M)}
        for name in ("worker", "reader", "inspector", "frontend", "writer"):
            assert family.pids[name] in done, (name, done, family.pids)


def test_no_core_and_not_dumpable():
    with Agent() as a:
        family = Family(a)
        for name in SEALED:
            pid = family.pids[name]
            with open(f"/proc/{pid}/limits", encoding="ascii") as f:
                core = re.search(r"^Max core file size\s+(\S+)\s+(\S+)", f.read(), re.M)
            assert core.groups() == ("0", "0"), (name, core.groups())
            # Of a process that is not dumpable the kernel gives these to root.
            owner = os.stat(f"/proc/{pid}/fd").st_uid
            assert owner == 0, (name, owner)
            if not IS_ROOT:
                try:
                    os.listdir(f"/proc/{pid}/fd")
                except PermissionError:
                    continue
                raise AssertionError(f"the descriptors of the {name} can be read")


# ---- descriptors -----------------------------------------------------------------------------

NULL = {n: "/dev/null" for n in range(3)}

# Everything that each process holds once a client is connected.
TABLE = {
    "frontend": {
        **NULL,
        3: "seqpacket",  # worker
        4: "listener",
        5: "anon_inode:[eventpoll]",
        6: "anon_inode:[timerfd]",  # abandonment
        7: "anon_inode:[timerfd]",  # counts of session commands
        8: "stream",  # the client
    },
    "inspector": {
        **NULL,
        3: "seqpacket",  # worker
        4: "netlink:0",  # NETLINK_ROUTE
        5: "/",  # what its paths start from
        6: "anon_inode:[eventpoll]",
    },
    "worker": {
        **NULL, 2: "stderr",
        3: "seqpacket",  # supervisor
        4: "audit",
        5: "/",  # what the paths of op children start from
        6: "listener",  # posternctl
        7: "anon_inode:[eventpoll]",
        8: "anon_inode:[timerfd]",  # deadlines
        9: "anon_inode:[timerfd]",  # next writer
        10: "anon_inode:[timerfd]",  # next thawer
        11: "anon_inode:[timerfd]",  # a policy that is read too slowly
        12: "seqpacket",  # reader
        13: "anon_inode:[timerfd]",  # counts of equal reads
        14: "/memfd:postern-policy",
        15: "anon_inode:[landlock-ruleset]",  # of children that only answer
        16: "seqpacket",  # writer
        17: "seqpacket",  # inspector
        18: "anon_inode:[pidfd]",  # writer
        19: "seqpacket",  # frontend
    },
    "reader": {  # which has what is kept as memory alone
        **NULL, 2: "stderr",
        3: "seqpacket",  # worker
        4: "policy root",
        5: "anon_inode:[eventpoll]",
    },
    "writer": {
        **NULL, 2: "stderr",
        3: "seqpacket",  # worker
        4: "audit",
    },
    "supervisor": {
        0: "/dev/null", 1: "stderr", 2: "stderr",  # the caller's
        3: "audit",
        4: "worker's program", 5: "reader's program", 6: "inspector's program",
        7: "spawner's program", 8: "frontend's program",
        9: "pidfile",
        10: "/memfd:postern-state",
        11: "listener",  # posternctl, for the worker
        12: "/memfd:postern-kept",
        13: "anon_inode:[eventpoll]",
        **{n: "anon_inode:[timerfd]" for n in range(14, 21)},  # stop, log, one per child
        21: "anon_inode:[signalfd]",
        22: "seqpacket", 24: "anon_inode:[pidfd]",  # worker
        23: "seqpacket", 26: "anon_inode:[pidfd]",  # reader
        25: "seqpacket", 28: "anon_inode:[pidfd]",  # inspector
        27: "listener",
        29: "seqpacket", 31: "anon_inode:[pidfd]",  # frontend
    },
}


def check_descriptors(name):
    if not IS_ROOT and name != "supervisor":
        tap.skip("needs root, to see them")
    with programs.agent(INFO) as a, a.client() as c:
        family = Family(a, c)
        names = {a.stderr_path: "stderr", a.audit_path: "audit",
                 os.path.join(a.dir, "postern.pid"): "pidfile",
                 os.path.join(a.dir, "root"): "policy root"}
        for program in ("frontend", "inspector", "reader", "spawner", "worker"):
            path = os.path.realpath(os.path.join(build_dir(), f"postern-{program}"))
            names[path] = f"{program}'s program"
        got = descriptors(family.pids[name], names)
        assert got == TABLE[name], f"\ngot  {sorted(got.items())}\n" \
                                   f"want {sorted(TABLE[name].items())}"


def test_no_descriptor_is_the_callers():
    """What the caller of the supervisor left open reaches none of the others."""
    if not IS_ROOT:
        tap.skip("needs root, to see them")
    extra = os.open("/proc/self/status", os.O_RDONLY)
    os.dup2(extra, 99)
    agent = Agent(start=False)
    popen = subprocess.Popen
    subprocess.Popen = lambda *a, **k: popen(*a, **k, pass_fds=(extra, 99))
    try:
        agent.start()
    finally:
        subprocess.Popen = popen
        os.close(extra)
        os.close(99)
    with agent:
        family = Family(agent)
        assert "status" in str(descriptors(agent.pid, {})), "the test itself is wrong"
        for name in SEALED:
            got = descriptors(family.pids[name], {})
            assert not any("status" in target for target in got.values()), (name, got)


# ---- the sandbox -------------------------------------------------------------------------------

def check_call(role, call, want):
    done = subprocess.run([helper("integration/trysyscall"), role, call],
                          capture_output=True, text=True, check=False, preexec_fn=guard.harmless)
    if done.returncode == 77:
        tap.skip(f"this machine has no {call}")
    assert done.returncode == want, (done.returncode, done.stderr)


CALLS = [("frontend", call, KILLED) for call in
         ("open", "openat", "openat2", "socket", "execve", "execveat", "fork", "fork-libc",
          "clone3", "ptrace", "kill", "connect")]
CALLS += [("worker", call, KILLED) for call in
          ("execve", "execveat", "openat2", "socket", "ptrace", "kill", "pidfd-stop")]
CALLS += [("inspector", call, KILLED) for call in
          ("openat-write", "socket", "execve", "fork-libc", "ptrace", "connect")]
CALLS += [("child", call, KILLED) for call in ("execve", "openat2", "fork", "ptrace", "connect")]
# The sandbox itself does not kill: each of these is what a process lives by.
CALLS += [("frontend", "accept4", 0), ("worker", "socketpair", 0), ("worker", "fork", 0),
          ("inspector", "fork", 0),
          ("worker", "connect", 0), ("inspector", "openat", 0), ("child", "sendmsg", 0)]


def cases():
    todo = tap.tests(globals())
    todo += [(f"descriptors of the {name}", lambda n=name: check_descriptors(n))
             for name in TABLE]
    todo += [(f"{role}: {call} {'kills' if want else 'works'}",
              lambda c=(role, call, want): check_call(*c)) for role, call, want in CALLS]
    return todo


tap.run(cases())
