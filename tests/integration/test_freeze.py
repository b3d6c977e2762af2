#!/usr/bin/python3
"""guest-fsfreeze-* and guest-fstrim on scratch file systems: what is frozen and trimmed, by
which processes. Who waits for whom: test_freeze_order. Policy, hooks and records:
test_freeze_rules. What dies when: the fault matrix."""
# run: limit 120
import json
import os
import signal
import socket
import stat
import time

import freezing
import frost
import guard
import scratch
import tap
from agent import VARIANT, children, descendants, status, wait_until
from frost import Calls, ask, place, rule, small_image
from programs import policy

DISABLED = "Command {} has been disabled: {}"


# ---- counts ------------------------------------------------------------------------------

def test_freeze_status_thaw():
    with place("a", "b") as (s, _, c, a, b):
        assert (c.status(), c.thaw()) == ("thawed", 0)
        assert c.freeze(a.point) == 1
        assert (c.status(), s.frozen()) == ("frozen", {"a"})
        probe = a.probe()
        assert probe.is_waiting()
        assert (c.thaw(), c.thaw(), c.status()) == (1, 0, "thawed")
        probe.wait(5)
        assert (c.freeze(a.point, b.point), s.frozen()) == (2, {"a", "b"})
        assert (c.thaw(), s.frozen()) == (2, set())


def test_names_that_match_nothing():
    with place("a") as (s, _, c, a):
        os.symlink(a.point, s.path("link"))
        for points in ((), ("/nonexistent",), (a.point + "/",), (a.point + "/.",),
                       (os.path.dirname(a.point) + "//a",), (s.path("link"),), ("",), ("a",)):
            assert c.freeze(*points) == 0, points
            assert (c.status(), s.frozen()) == ("thawed", set()), points
        # Those beside one that matches are passed over without a word.
        assert c.freeze("/nonexistent", a.point, a.point, a.point + "/") == 1
        assert c.thaw() == 1


def test_a_mount_point_with_odd_bytes():
    with frost.stage() as s:
        name = "with blank\\and\ttab \u00fc"
        d = s.disk(name)
        with s.agent() as a, a.client() as client:
            c = Calls(client)
            assert (c.freeze(d.point), s.frozen(), c.thaw()) == (1, {name}, 1)
            record = a.wait_record(lambda r: r.get("POSTERN_EVENT") == "freeze")
            assert json.loads(record["POSTERN_FS_MOUNTS"]) == [d.point], record


def test_bind_mounts_count_once():
    with place("a", "b") as (s, _, c, a, b):
        os.mkdir(os.path.join(a.point, "in"))
        scratch.bind(os.path.join(a.point, "in"), s.path("bound"))
        scratch.bind(a.point, s.path("again"))
        assert (c.freeze(a.point, s.path("bound"), s.path("again")), c.thaw()) == (1, 1)
        # Each of them names it: of the reference's releases some see only the first mount.
        for point in (s.path("bound"), s.path("again")):
            assert (c.freeze(point), s.frozen(), c.thaw()) == (1, {"a"}, 1)
        assert (c.freeze(b.point, s.path("again")), c.thaw()) == (2, 2)


def test_subvolumes_count_once():
    with frost.stage() as s:
        d = s.disk("btrfs", "btrfs")
        scratch.run("btrfs", "subvolume", "create", os.path.join(d.point, "sub"))
        scratch.mount(d.node, s.path("sub"), "btrfs", data="subvol=sub")
        with s.agent() as a, a.client() as client:
            c = Calls(client)
            assert (c.freeze(d.point, s.path("sub")), s.frozen(), c.thaw()) == (1, {"btrfs"}, 1)
            assert (c.freeze(s.path("sub")), s.frozen(), c.thaw()) == (1, {"btrfs"}, 1)
            assert s.frozen() == set()


def test_every_type():
    with frost.stage() as s:
        disks = [s.disk(kind, kind) for kind in ("ext4", "xfs", "btrfs")]
        with s.agent() as a, a.client() as client:
            c = Calls(client)
            points = [d.point for d in disks]
            for point in points:
                assert (c.freeze(point), c.thaw()) == (1, 1), point
            assert (c.freeze(*points), s.frozen(), c.thaw()) == (3, {"ext4", "xfs", "btrfs"}, 3)
            # The last mounted is frozen first.
            record = a.wait_record(lambda r: r.get("POSTERN_FS_COUNT") == 3)
            assert json.loads(record["POSTERN_FS_MOUNTS"]) == points[::-1], record


def remount(point, readonly, of_mount=False):
    flags = scratch.MS_REMOUNT | (scratch.MS_RDONLY if readonly else 0)
    scratch.mount("none", point, "", flags | (scratch.MS_BIND if of_mount else 0))


def test_read_only():
    with place("a", "b") as (s, _, c, a, b):
        # A superblock that takes no writes is left alone; not so one that other mounts write.
        remount(a.point, True)
        assert (c.freeze(a.point), c.status()) == (0, "thawed")
        scratch.bind(b.point, s.path("ro"), readonly=True)
        assert (c.freeze(s.path("ro")), s.frozen(), c.thaw()) == (1, {"b"}, 1)
        remount(b.point, True, of_mount=True)
        assert (c.freeze(a.point, b.point), s.frozen(), c.thaw()) == (1, {"b"}, 1)
        remount(a.point, False)
        assert (c.freeze(a.point, b.point), c.thaw()) == (2, 2)


def test_never_those_in_memory_or_on_others():
    with place("a") as (s, _, c, a):
        scratch.mount("tmpfs", s.path("tmpfs"), "tmpfs")
        for name in ("low", "up", "work"):
            os.makedirs(os.path.join(a.point, name))
        scratch.mount("overlay", s.path("over"), "overlay", data="lowerdir={0}/low,upperdir="
                      "{0}/up,workdir={0}/work".format(a.point))
        scratch.mount("proc", s.path("proc"), "proc")
        assert c.freeze(s.path("tmpfs"), s.path("over"), s.path("proc"), "/run", "/proc") == 0
        assert (c.freeze(a.point, s.path("over")), s.frozen(), c.thaw()) == (1, {"a"}, 1)


def test_pipe_socket_device_as_mount_points():
    """They fail every freeze of the reference, or hang it (protocol 5.2, quirk 19)."""
    with place("a") as (s, _, c, a):
        inside = {name: os.path.join(a.point, name)
                  for name in ("fifo", "socket", "device", "file")}
        os.mkfifo(inside["fifo"])
        os.mknod(inside["device"], 0o600 | stat.S_IFCHR, os.makedev(1, 9))
        with open(inside["file"], "w", encoding="ascii"):
            pass
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(inside["socket"])
            for name, path in inside.items():
                scratch.bind(path, s.path("at-" + name))
            every = [s.path("at-" + name) for name in inside]
            started = time.monotonic()
            for _ in range(2):
                assert (c.freeze(a.point, *every), s.frozen(), c.thaw()) == (1, {"a"}, 1)
                # Reached by any of its mounts.
                for point in every:
                    assert (c.freeze(point), c.thaw()) == (1, 1), point
            assert time.monotonic() - started < 10


def test_one_that_only_a_file_leads_to():
    with place("a", "b") as (s, _, c, a, b):
        path = os.path.join(a.point, "file")
        with open(path, "w", encoding="ascii"):
            pass
        scratch.bind(path, s.path("file"))
        scratch.run("umount", a.point)
        assert (c.freeze(s.path("file")), s.frozen()) == (1, {"a"})
        assert (c.thaw(), s.frozen()) == (1, set())
        # Where another mount is on top nobody reaches it, nor do we.
        scratch.mount("tmpfs", b.point, "tmpfs")
        assert (c.freeze(b.point), c.thaw(), s.frozen()) == (0, 0, set())


def test_loop_on_a_frozen_file_system():
    with frost.stage() as s:
        outer = s.disk("outer", "xfs")
        inner = s.disk("inner", folder=outer.point)
        deepest = s.disk("deepest", folder=inner.point, image=small_image(inner.point, "x"))
        # The mount table says the wrong order: the innermost was first.
        scratch.bind(outer.point, s.path("late"))
        scratch.run("umount", "--lazy", outer.point)
        with s.agent() as a, a.client() as client:
            c = Calls(client)
            points = [s.path("late"), inner.point, deepest.point]
            for turn in range(3):
                assert c.freeze(*points) == 3, turn
                assert s.frozen() == {"outer", "inner", "deepest"}
                assert (c.thaw(), s.frozen()) == (3, set())
                for d in (inner, deepest):
                    d.probe().wait(5)
            assert [json.loads(r["POSTERN_FS_MOUNTS"]) for r in a.records()
                    if r["POSTERN_EVENT"] == "freeze"] == [points[::-1]] * 3


def test_what_another_program_froze():
    with place("a", "b") as (s, _, c, a, b):
        a.freeze()
        # Not ours: it is not counted, and stays.
        assert (c.freeze(a.point), c.status()) == (0, "thawed")
        assert s.frozen() == {"a"}
        assert (c.freeze(a.point, b.point), s.frozen()) == (1, {"a", "b"})
        assert (c.thaw(), s.frozen()) == (1, {"a"})
        # With nothing on record a thaw is a rescue.
        assert (c.thaw(), s.frozen()) == (1, set())
        assert c.thaw() == 0
        # What others thaw behind our back is no loss, and not counted.
        assert c.freeze(a.point, b.point) == 2
        assert a.thaw() == 1
        assert (c.status(), c.thaw()) == ("frozen", 1)


def test_rescue_reaches_all():
    with place("a", "b") as (s, agent, c, a, b):
        xfs = s.disk("xfs", "xfs")
        scratch.bind(b.point, s.path("b2"))
        for d in (a, b, xfs):
            d.freeze()
        assert (c.status(), c.thaw(), s.frozen()) == ("thawed", 3, set())
        record = agent.wait_record(lambda r: r.get("POSTERN_EVENT") == "thaw")
        assert (record["POSTERN_FS_COUNT"], record["POSTERN_THAW_CAUSE"]) == (3, "request")


def test_rescue_in_a_stack():
    with frost.stage() as s:
        outer = s.disk("outer")
        inner = s.disk("inner", folder=outer.point, image=small_image(outer.point, "x"))
        with s.agent() as a, a.client() as client:
            inner.freeze()
            outer.freeze()
            c = Calls(client)
            assert (c.thaw(), s.frozen()) == (2, set())


def test_guest_unmounts_while_frozen():
    with place("a", "b") as (s, _, c, a, b):
        assert c.freeze(a.point, b.point) == 2
        scratch.run("umount", a.point)
        assert not os.path.ismount(a.point)
        assert (c.status(), s.frozen()) == ("frozen", {"a", "b"})
        # Nobody but us has a way to it now.
        assert (c.thaw(), s.frozen()) == (2, set())
        scratch.mount(a.node, a.point, "ext4")
        assert (c.freeze(a.point), c.thaw()) == (1, 1)


def test_mounted_while_frozen():
    with place("a") as (s, _, c, a):
        assert c.freeze(a.point) == 1
        new = s.disk("new")
        assert (c.thaw(), s.frozen()) == (1, set())
        assert (c.freeze(new.point), c.thaw()) == (1, 1)


def unfreezable():
    """(type, tool) of a file system that cannot be frozen, on a loop device."""
    for kind, tool in (("vfat", "mkfs.vfat"), ("minix", "mkfs.minix"), ("bfs", "mkfs.bfs")):
        if scratch.known(kind) and frost.has_tool(tool):
            return kind, tool
    tap.skip("no file system here that cannot be frozen (vfat, minix, bfs)")


def test_one_that_cannot_be_frozen():
    with frost.stage() as s:
        kind, tool = unfreezable()
        image = scratch.image(s.top, "plain", 8 << 20)
        scratch.run(tool, image)
        with scratch.Loop(image) as loop:
            scratch.mount(loop.node, s.path("plain"), kind)
        a = s.disk("a")
        with s.agent() as agent, agent.client() as client:
            c = Calls(client)
            assert (c.freeze(s.path("plain")), c.status()) == (0, "thawed")
            assert (c.freeze(s.path("plain"), a.point), c.thaw()) == (1, 1)


def test_hundreds_of_mounts():
    with frost.stage() as s:
        image = small_image(s.top, "d0")
        for n in range(40):
            s.disk(f"d{n}", image=image if n == 0 else frost.copy_image(image, s.path(f"i{n}")))
        for n in range(300):
            scratch.bind(s.disks[n % 40].point, s.path(f"binds/{n}"))
        points = [d.point for d in s.disks] + [s.path(f"binds/{n}") for n in range(300)]
        with s.agent() as a, a.client() as client:
            c = Calls(client)
            for named in (points, points[:40], points[40:]):
                assert (c.freeze(*named), c.status()) == (40, "frozen")
                assert s.state.frozen() == 40
                if named is points:
                    assert len(s.frozen()) == 40
                assert (c.thaw(), c.status()) == (40, "thawed")
            assert s.frozen() == set()


# ---- trim --------------------------------------------------------------------------------

def trimmed(client, **arguments):
    return client.call("guest-fstrim", **arguments)["return"]["paths"]


def test_trim():
    with place("a", "b") as (s, agent, c, a, b):
        client = c.client
        scratch.bind(a.point, s.path("again"))
        scratch.mount("tmpfs", s.path("tmpfs"), "tmpfs")
        paths = trimmed(client)
        # The last mounted first, each once.
        assert [p["path"] for p in paths] == [b.point, a.point], paths
        assert all(p["trimmed"] > 0 and p["minimum"] >= 0 and len(p) == 3 for p in paths), paths
        assert [p["path"] for p in trimmed(client, minimum=4096)] == [b.point, a.point]
        with open(os.path.join(a.point, "file"), "wb") as f:
            f.write(bytes(1 << 20))
            os.fsync(f.fileno())
        done = agent.wait_record(lambda r: r.get("POSTERN_COMMAND") == "guest-fstrim"
                                 and r["POSTERN_EVENT"] == "complete")
        assert done["POSTERN_RESULT"] == "ok", done


def test_trim_minimum():
    with place("a") as (_, _, c, a):
        # Nothing free is as long as that; and what the kernel takes for silly is an error
        # of each path, not of the command.
        got = trimmed(c.client, minimum=1 << 40)
        assert [p["path"] for p in got] == [a.point]
        assert got[0].get("trimmed") == 0 or got[0].get("error") == \
            "failed to trim: Invalid argument", got
        got = trimmed(c.client, minimum=-1)
        assert got == [{"path": a.point, "error": "failed to trim: Invalid argument"}] or \
            got[0].get("trimmed") == 0, got
        small = trimmed(c.client, minimum=1 << 20)[0]
        assert small["minimum"] == 1 << 20, small


def test_trim_and_read_only():
    with place("a", "b") as (_, _, c, a, b):
        remount(a.point, True)
        got = {p["path"]: p for p in trimmed(c.client)}
        assert set(got) == {a.point, b.point}, got
        assert got[a.point].get("error", "").startswith("failed to trim: ") or \
            "trimmed" in got[a.point], got


def test_trim_not_supported():
    with frost.stage() as s:
        if scratch.known("squashfs") and frost.has_tool("mksquashfs"):
            os.mkdir(s.path("tree"))
            scratch.run("mksquashfs", s.path("tree"), s.path("image"), "-quiet", "-no-progress")
            check_not_trimmed(s, s.path("image"), "squashfs")
            return
        kind, tool = unfreezable()
        image = scratch.image(s.top, "plain", 8 << 20)
        scratch.run(tool, image)
        check_not_trimmed(s, image, kind)


def check_not_trimmed(s, image, kind):
    with scratch.Loop(image) as loop:
        scratch.mount(loop.node, s.path("plain"), kind,
                      scratch.MS_RDONLY if kind == "squashfs" else 0)
    with s.agent() as a, a.client() as client:
        assert trimmed(client) == [{"path": s.path("plain"), "error": "trim not supported"}]


def test_trim_by_policy():
    for text, wanted in (
            (rule("@trim", mountpoint="**/a"), {"a"}),
            (rule("@trim", mountpoint_exclude="**/a"), {"b"}),
            (rule("@trim", fstype="xfs"), set()),
            (rule("@trim", fstype_exclude="ext4"), set()),
            (rule("@trim", fstype="ext*"), {"a", "b"}),
            (rule("@trim") + rule("@trim", "deny", "not", mountpoint="**/b"), {"a"})):
        with place("a", "b", text=policy(text)) as (_, _, c, _, _):
            got = {os.path.basename(p["path"]) for p in trimmed(c.client)}
            assert got == wanted, (text, got)


def test_second_trim_is_refused():
    """Whoever carries out the first is stopped (SIGSTOP) before it is done."""
    with place(*(f"d{n}" for n in range(12))) as (_, agent, c, *_):
        client = c.client
        for _ in range(50):
            child = stopped_child(agent, lambda: ask(client, "guest-fstrim"))
            try:
                client.nothing(0.1)
                break
            except AssertionError:
                resume(child)
                client.recv_replies(1)
        else:
            tap.skip("a trim was over before its process could be stopped")
        try:
            assert client.sync(timeout=10) == []
            assert c("guest-fstrim") == DISABLED.format("guest-fstrim", "one is in progress")
            # Others get on.
            assert c.status() == "thawed"
        finally:
            resume(child)
        wait_until(lambda: not is_refused(c), "the first to end")


def resume(pid):
    try:
        if pid:
            os.kill(pid, signal.SIGCONT)
    except ProcessLookupError:
        pass


def is_refused(c):
    return "error" in c.client.call("guest-fstrim")


def stopped_child(agent, start):
    """A child of the worker that is new, stopped; None: it was faster."""
    worker = agent.child("worker")
    before = set(children(worker))
    start()
    end = time.monotonic() + 0.1
    while time.monotonic() < end:
        for pid in set(children(worker)) - before:
            try:
                os.kill(pid, signal.SIGSTOP)
            except ProcessLookupError:
                continue
            return pid
    return None


# ---- the state of the machine ------------------------------------------------------------

def test_no_process_is_left():
    with place("a", text=policy(rule())) as (_, agent, c, a):
        before = sorted(descendants(agent.pid))
        for _ in range(20):
            assert (c.freeze(a.point), c.thaw()) == (1, 1)
        wait_until(lambda: sorted(descendants(agent.pid)) == before, "the same processes")
        fds = len(os.listdir(f"/proc/{agent.child('worker')}/fd"))
        for _ in range(20):
            assert (c.freeze(a.point), c.thaw()) == (1, 1)
        wait_until(lambda: len(os.listdir(f"/proc/{agent.child('worker')}/fd")) <= fds,
                   "the same descriptors")


def test_what_the_thawer_is():
    """The one process that outlives the others: what it holds, and what it may."""
    with place("a", "b") as (s, _, c, a, b):
        assert c.freeze(a.point, b.point) == 2
        pid, = freezing.family(os.getpid())["thawer"]
        state = status(pid)
        for name in ("CapPrm", "CapEff"):
            assert int(state[name], 16) == freezing.ADMIN_ALONE, state[name]
        assert guard.filters(state) > 0 and state["NoNewPrivs"] == "1", state
        if VARIANT != "asan":  # there mlockall(2) does nothing
            assert int(state["VmLck"].split()[0]) > 0, state["VmLck"]
        held = {int(fd): os.readlink(f"/proc/{pid}/fd/{fd}")
                for fd in os.listdir(f"/proc/{pid}/fd")}
        for n in range(3):
            assert held.pop(n) == "/dev/null", held
        assert held.pop(3).startswith("socket:") and held.pop(4).startswith("socket:"), held
        # The freezer has ended; what is left are the two file systems, and the helper that
        # waits for the thaw.
        helpers = [n for n, what in held.items() if what == "anon_inode:[pidfd]"]
        assert len(helpers) == 1 and held.pop(helpers[0]), held
        rest = sorted(held)
        devices = {os.stat(f"/proc/{pid}/fd/{n}").st_dev for n in rest[-2:]}
        assert devices == {os.fstat(d.fd).st_dev for d in (a, b)}, held
        assert len(rest) <= 3, held
        # Its socket is root's alone.
        address = os.stat(os.path.join(s.state_dir, "thawer"))
        assert stat.S_IMODE(address.st_mode) == 0o600 and address.st_uid == 0, address
        assert c.thaw() == 2
        wait_until(lambda: "thawer" not in freezing.family(os.getpid()), "its end")
        assert "freezer" not in freezing.family(os.getpid())


def test_strangers_at_its_socket():
    """Whoever connects while there is a worker is sent away, and nothing comes of it."""
    with place("a") as (s, _, c, a):
        assert c.freeze(a.point) == 1
        for said in (b"", b"x", bytes(64), b"\xff" * 4096):
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
                sock.settimeout(5)
                sock.connect(os.path.join(s.state_dir, "thawer"))
                try:
                    if said:
                        sock.send(said)
                    assert sock.recv(4096) == b""
                except (BrokenPipeError, ConnectionResetError):
                    pass
        assert (c.status(), s.frozen(), c.thaw()) == ("frozen", {"a"}, 1)


tap.run(frost.tests(globals()), limit=30)
