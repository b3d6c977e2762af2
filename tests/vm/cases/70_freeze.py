"""Freeze and thaw of the whole guest, its root and journal with it: what stops and goes on,
what of it a snapshot holds, and that no loss of a process leaves the guest frozen."""
import contextlib
import json
import subprocess
import tempfile
import time

import frozen
from agent import wait_until
from case import LIBVIRT, RAW, case, note, skip
from frozen import (at_last, freeze, gone_on, points, probe, recorded, still_frozen, thaw,
                    waiting)
from machine import BLOCK_LIST, log, refused

DATA = ["/", "/mnt/xfs", "/mnt/btrfs"]
DROP_IN = "/run/systemd/system/{}.d"
HOOK = "/etc/vm-hook"
STOCK = "/etc/qemu/fsfreeze-hook"
HOOK_LOG = "/run/vm-hook.log"
DEADLINE = """
[policy]
version = 1
base = safe

[rule "short"]
effect = allow
command = @freeze
freeze-max = {}s
"""
SPAWNERS = "postern-spawner@*.service"


def deadline(seconds):
    return DEADLINE.format(seconds)


def ours(vm, why):
    if vm.agent.reference:
        skip(f"qemu-ga {why}")


def is_thawed(vm, where=None):
    """Nothing waits for anything."""
    probe(vm, where or points(vm))
    assert waiting(vm) == set(), frozen.look(vm)
    assert frozen.status(vm) == "thawed"


# ---- what stops, and goes on --------------------------------------------------------------

@case("virsh domfsfreeze stops whoever writes, domfsthaw lets them go on", LIBVIRT)
def _(vm):
    vm.answers()
    there = points(vm)
    assert there.keys() > set(DATA), there
    before, since = vm.all_processes(), frozen.now(vm)
    assert frozen.status(vm) == "thawed"
    assert f"Froze {len(there)} filesystem(s)" in vm.virsh("domfsfreeze", quiet=False)
    assert frozen.status(vm) == "frozen"
    probe(vm, there)
    assert waiting(vm) == set(there), frozen.look(vm)
    # No mount was left out: the second name of a file system waits as well.
    assert f"Thawed {len(there)} filesystem(s)" in vm.virsh("domfsthaw", quiet=False)
    gone_on(vm)
    assert frozen.status(vm) == "thawed"
    assert vm.all_processes() == before
    if not vm.agent.reference:
        recorded(vm, since, "thaw", "request", len(there))
        told, = frozen.told(vm, since, "freeze")
        assert set(json.loads(told["POSTERN_FS_MOUNTS"])) == set(there), told


@contextlib.contextmanager
def writers(vm):
    """vm-writer on each of DATA during the block: a function that says how far they are."""
    vm.shell("rm -rf /run/vm-writer")
    names = {f"w{n}": f"{point.rstrip('/')}/written" for n, point in enumerate(DATA)}

    def acknowledged():
        told = vm.shell(f"cd /run/vm-writer; cat {' '.join(names)}").split()
        return dict(zip(names.values(), map(int, told)))
    for name, file in names.items():
        vm.shell(f"setsid vm-writer {name} {file} </dev/null >/dev/null 2>&1 &")
    try:
        wait_until(lambda: vm.shell("ls /run/vm-writer | wc -l") == "3", "writers", 10)
        yield acknowledged
    finally:
        vm.shell("touch /run/vm-writer/stop")
    wait_until(lambda: vm.shell("pgrep -c vm-writer || true") == "0", "their end", 10)


def lines_in(text):
    """How many lines of vm-writer; they must be all that there is, each of them whole."""
    lines = text.split("\n")
    whole, rest = lines[:-1], lines[-1]
    assert whole == [f"line {n + 1}" for n in range(len(whole))], f"...{text[-200:]}"
    assert rest == "", f"half a line: {rest}"
    return len(whole)


@case("freeze under writers: nothing they wrote is lost", LIBVIRT)
def _(vm):
    with writers(vm) as acknowledged:
        count = freeze(vm)
        stopped = acknowledged()
        time.sleep(1)
        assert acknowledged() == stopped
        thaw(vm, count)
        wait_until(lambda: all(n > stopped[file] for file, n in acknowledged().items()),
                   "the writers to go on", 10)
    for file, n in acknowledged().items():
        assert lines_in(vm.shell(f"cat {file}; rm {file}") + "\n") == n, file
    note(f"{sum(stopped.values())} lines before")


@case("freeze with the journal on it: what is logged meanwhile comes after the thaw", LIBVIRT)
def _(vm):
    since = frozen.now(vm)
    count = freeze(vm)
    vm.shell("for n in {1..30}; do logger -t vm-logged $n; done </dev/null >/dev/null 2>&1 &")
    time.sleep(2)
    # Journald waits as everybody does; the agent must not wait for it.
    assert vm.ask("guest-ping") == {}
    thaw(vm, count)
    expected = "\n".join(str(n + 1) for n in range(30))
    asked = f"journalctl -q -t vm-logged -o cat -S @{since}"
    wait_until(lambda: vm.shell(asked) == expected, "the log", 10)
    vm.shell("journalctl --sync; journalctl --verify 2>&1", timeout=40)


@case("virsh snapshot-create-as --quiesce: a snapshot freezes, is clean and whole", LIBVIRT)
def _(vm):
    disks = {"vda": "root", "vdb": "xfs", "vdc": "btrfs"}
    top, since = vm.machine.dir, frozen.now(vm)
    specs = [f"{dev},file={top}/{name}.later.qcow2" for dev, name in disks.items()] + \
        [f"{t.get('dev')},snapshot=no" for t in vm.devices().findall("disk/target")
         if t.get("dev") not in disks]
    with writers(vm) as acknowledged:
        before = acknowledged()
        vm.virsh("snapshot-create-as", "--no-metadata", "--disk-only", "--quiesce",
                 *(word for spec in specs for word in ("--diskspec", spec)), timeout=50)
        after = acknowledged()
        wait_until(lambda: all(n > after[file] for file, n in acknowledged().items()),
                   "the writers to go on", 10)
    is_thawed(vm)
    if not vm.agent.reference:
        recorded(vm, since, "thaw", "request", len(points(vm)))
    # What was the disk until then is now below it, and changes no more.
    with tempfile.TemporaryDirectory(dir=top) as folder:
        raw = {name: convert(f"{top}/{name}.qcow2", f"{folder}/{name}.raw")
               for name in disks.values()}
        run("e2fsck", "-fn", raw["root"])
        features = run("dumpe2fs", "-h", raw["root"])
        assert "needs_recovery" not in features and "clean" in features, features
        n = lines_in(run("debugfs", "-R", "cat /written", raw["root"]))
        assert before["/written"] <= n <= after["/written"], (before, n)
        run("btrfs", "check", "--readonly", raw["btrfs"])
        run("btrfs", "restore", "--path-regex", "^/(|written)$", raw["btrfs"], folder)
        with open(f"{folder}/written", encoding="ascii") as f:
            n = lines_in(f.read())
        assert before["/mnt/btrfs/written"] <= n <= after["/mnt/btrfs/written"], (before, n)
        # Xfs leaves something in its log on purpose: who mounts it sees all.
        n = lines_in(mounted(vm, raw["xfs"], "written"))
        assert before["/mnt/xfs/written"] <= n <= after["/mnt/xfs/written"], (before, n)
    vm.shell("rm " + " ".join(before))


def mounted(vm, raw, file):
    """A file of the xfs in RAW, which the guest is lent as a disk."""
    vm.virsh("attach-disk", raw, "sdf", "--targetbus", "scsi", "--serial", "LENT",
             "--subdriver", "raw")
    try:
        vm.shell("until disk=$(readlink -e /dev/disk/by-id/*LENT); do sleep 0.1; done; "
                 "mkdir /mnt/lent; mount -o nouuid $disk /mnt/lent")
        return vm.shell(f"cat /mnt/lent/{file}") + "\n"
    finally:
        vm.shell("umount /mnt/lent; rmdir /mnt/lent")
        vm.virsh("detach-disk", "sdf")


def convert(image, raw):
    run("qemu-img", "convert", "-U", "-O", "raw", image, raw)
    return raw


def run(*argv):
    """What a command outside prints on its standard output; it must end well."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    log(f"$ {' '.join(argv)}\n{done.stdout[-2000:]}{done.stderr[-1000:]}")
    assert done.returncode == 0, f"{argv[0]}: status {done.returncode}"
    return done.stdout


@case("virsh domfsfreeze --mountpoint: freeze of one file system alone", LIBVIRT)
def _(vm):
    there = points(vm)
    shown = vm.virsh("domfsfreeze", "--mountpoint", "/mnt/xfs", quiet=False)
    assert "Froze 1 filesystem(s)" in shown, shown
    assert frozen.status(vm) == "frozen"
    probe(vm, [point for targets in there.values() for point in targets])
    assert waiting(vm) == set(there["/mnt/xfs"]), frozen.look(vm)
    assert vm.domain.fsThaw() == 1
    gone_on(vm)
    assert vm.domain.fsFreeze(["/nowhere", "/mnt/xfs/shared"]) == 0
    is_thawed(vm, DATA)


@case("freeze of a file system in a file of a frozen one", LIBVIRT)
def _(vm):
    with loop(vm, "/vm-image", "/mnt/loop"):
        where = list(points(vm))
        assert "/mnt/loop" in where
        thaw(vm, freeze(vm, where))


@case("freeze of a loop device whose file system was mounted again later", LIBVIRT)
def _(vm):
    """In the table of mounts it stands before the one that holds it."""
    ours(vm, "freezes in the order of the table, and waits for ever")
    with loop(vm, "/mnt/sata/vm-image", "/mnt/loop", 8):
        vm.shell("mkdir /mnt/again; mount --bind /mnt/sata /mnt/again; umount -l /mnt/sata")
        with at_last(vm, "mount --bind /mnt/again /mnt/sata; umount -l /mnt/again; "
                         "rmdir /mnt/again"):
            where = list(points(vm))
            assert where.index("/mnt/loop") < where.index("/mnt/again"), where
            thaw(vm, freeze(vm, where))


@contextlib.contextmanager
def loop(vm, image, point, size=16):
    vm.shell(f"truncate -s {size}M {image}; mkfs.ext4 -q {image}; mkdir {point}; "
             f"mount -o loop {image} {point}")
    with at_last(vm, f"umount {point}; rmdir {point}; rm {image}"):
        yield


@case("freeze, and the guest unmounts what is frozen", LIBVIRT)
def _(vm):
    device = vm.shell("findmnt -n -v -o SOURCE /mnt/usb")
    where = list(points(vm))
    with at_last(vm, f"mount {device} /mnt/usb"):
        count = vm.domain.fsFreeze()
        assert count == len(where)
        vm.shell("umount /mnt/usb")
        where.remove("/mnt/usb")
        probe(vm, where)
        assert waiting(vm) == set(where), frozen.look(vm)
        assert frozen.status(vm) == "frozen"
        # What it cannot find by a mount qemu-ga leaves frozen, for good.
        assert vm.domain.fsThaw() == count - vm.agent.reference
        gone_on(vm)
    if vm.agent.reference:
        probe(vm, ["/mnt/usb"])
        assert waiting(vm) == {"/mnt/usb"}
        assert vm.domain.fsThaw() == 1
        gone_on(vm)
    is_thawed(vm)


@case("freeze, and nobody can fork or end until the thaw", LIBVIRT)
def _(vm):
    """Journald writes to its journal and waits, with its memory locked. Systemd starts a
    unit with controllers of its own, so the kernel moves all processes, and waits for that
    memory; and for that whoever forks or ends, the shell inside as well."""
    count = freeze(vm)
    vm.shell("""{
        (for n in {1..200}; do date +%s.%N >>/run/vm-beats; sleep 0.1; done) &
        (logger -t vm-logged waits; sleep 1; systemd-run -q -p Delegate=yes true) &
        } </dev/null >/dev/null 2>&1""")
    time.sleep(5)
    assert frozen.status(vm) == "frozen"
    assert vm.domain.fsThaw() == count
    gone_on(vm, 20)
    assert frozen.status(vm) == "thawed"
    beats = [float(beat) for beat in vm.shell("cat /run/vm-beats; rm /run/vm-beats").split()]
    gap = max(b - a for a, b in zip(beats, beats[1:]))
    note(f"nobody forked for {gap:.1f} s")
    if gap < 2:
        skip("this kernel lets them fork all the same")


# ---- as clients do it ----------------------------------------------------------------------

@case("freeze as KubeVirt does it; a thaw of what is thawed returns 0", LIBVIRT)
def _(vm):
    def unless(state, function):
        told = frozen.status(vm)
        return function() if told != state else told
    count = unless("frozen", vm.domain.fsFreeze)
    assert count == len(points(vm)), count
    assert unless("frozen", vm.domain.fsFreeze) == "frozen"
    probe(vm, DATA)
    assert waiting(vm) == set(DATA), frozen.look(vm)
    assert unless("thawed", vm.domain.fsThaw) == count
    gone_on(vm)
    # The host's own deadline comes after the thaw (virt-freezer).
    assert vm.domain.fsThaw() == 0
    is_thawed(vm, DATA)


def proxmox(vm, command, number, timeout=15):
    """A connection for one command, and what is looked at of the answer (clients 3.3)."""
    request = (f'{{"arguments":{{"id":{number}}},"execute":"guest-sync-delimited"}}\n'
               f'{{"arguments":{{}},"execute":"{command}"}}\n')
    with vm.client() as client:
        client.send(request.encode())
        while b"\xff" not in (sync := client.recv_replies(1, timeout)[0]):
            log(f"left behind: {sync}")
        reply, = client.recv_replies(1, timeout)
    assert json.loads(sync.rpartition(b"\xff")[2]) == {"return": number}, sync
    return json.loads(reply)["return"]


@case("freeze as Proxmox VE does it, a connection for each command", RAW)
def _(vm):
    where = list(points(vm))
    number = iter(range(17070001, 17070100))
    assert proxmox(vm, "guest-ping", next(number)) == {}
    assert proxmox(vm, "guest-fsfreeze-status", next(number)) == "thawed"
    assert proxmox(vm, "guest-fsfreeze-freeze", next(number)) == len(where)
    probe(vm, where)
    assert waiting(vm) == set(where), frozen.look(vm)
    for _ in range(3):
        assert proxmox(vm, "guest-ping", next(number)) == {}
        assert proxmox(vm, "guest-fsfreeze-status", next(number)) == "frozen"
    still_frozen(vm)
    assert proxmox(vm, "guest-ping", next(number)) == {}
    assert proxmox(vm, "guest-fsfreeze-thaw", next(number)) == len(where)
    gone_on(vm)
    assert proxmox(vm, "guest-fsfreeze-status", next(number)) == "thawed"


@case("freeze whose client does not wait for the answer", RAW)
def _(vm):
    where = list(points(vm))
    with vm.client() as client:
        client.reset()
        client.send(b'{"execute":"guest-fsfreeze-freeze"}\n')
        time.sleep(0.1)
    # It is done, or still in progress, for which a status waits.
    wait_until(lambda: proxmox(vm, "guest-fsfreeze-status", 17080001) == "frozen",
               "the freeze", 10)
    probe(vm, where)
    assert waiting(vm) == set(where), frozen.look(vm)
    assert proxmox(vm, "guest-fsfreeze-thaw", 17080003) == len(where)
    gone_on(vm)


ANSWERED = {"guest-ping", "guest-info", "guest-sync", "guest-sync-delimited",
            "guest-fsfreeze-status"}


@case("freeze, and 1000 requests of all kinds: answered or refused", RAW)
def _(vm):
    where = list(points(vm))
    before, since = vm.all_processes(), frozen.now(vm)
    with vm.client() as client:
        client.reset()
        info = client.call("guest-info")["return"]
        assert client.call("guest-fsfreeze-freeze")["return"] == len(where)
        names = [c["name"] for c in info["supported_commands"]
                 if c["name"] not in ("guest-fsfreeze-thaw", "guest-sync-delimited")]
        asked = [names[n % len(names)] for n in range(1000)]
        begin = time.monotonic()
        for first in range(0, len(asked), 50):
            answers_to(client, asked[first:first + 50], first)
        note(f"{time.monotonic() - begin:.1f} s")
        told = {c["name"] for c in client.call("guest-info")["return"]["supported_commands"]
                if c["enabled"]}
        assert told == ANSWERED | {"guest-fsfreeze-thaw"}, told
        probe(vm, where)
        assert waiting(vm) == set(where), frozen.look(vm)
        assert client.call("guest-fsfreeze-thaw")["return"] == len(where)
        gone_on(vm)
    assert vm.all_processes() == before
    if not vm.agent.reference:
        for name in "guest-shutdown", "guest-fstrim", "guest-fsfreeze-freeze":
            counted(vm, since, name, asked.count(name))


def answers_to(client, commands, first):
    """Send them at once; each must be answered in its turn with what is due."""
    arguments = {"guest-sync": {"id": 7}}
    client.send("".join(json.dumps({"execute": c, "id": first + n,
                                    "arguments": arguments.get(c, {})}) + "\n"
                        for n, c in enumerate(commands)).encode())
    for n, (command, line) in enumerate(zip(commands, client.recv_replies(len(commands)))):
        reply = json.loads(line)
        assert reply["id"] == first + n, (command, reply)
        if command in ANSWERED:
            assert "return" in reply, (command, reply)
        else:
            assert "has been disabled" in reply["error"]["desc"], (command, reply)


def counted(vm, since, command, times):
    """Its refusals are all on record, if need be as a number."""
    def try_once():
        rows = [r for r in frozen.told(vm, since, "decision")
                if r["POSTERN_COMMAND"] == command and r["POSTERN_REASON"] == "frozen"]
        return sum(r.get("POSTERN_REPEAT", 1) for r in rows) == times
    wait_until(try_once, f"{times} refusals of {command} in the records", 10)


# ---- who dies ------------------------------------------------------------------------------

KILLED = [(("frontend",), ("inspector",), ("audit writer",), ("helper",)),
          (("worker",),), (("thawer",),),
          (("supervisor",),),
          (("supervisor", "worker", "frontend", "inspector", "audit writer", "policy reader"),)]


def kill(vm, pids, victims):
    vm.shell("kill -9 " + " ".join(str(pids[victim]) for victim in victims))


def add_killed(rounds):
    one = ", ".join(f"{victims[0]}" for victims in rounds)
    name = f"the {one}" if len(rounds[0]) == 1 else "all but the thawer"

    @case(f"kill -9 of {name} while frozen: the freeze stays", LIBVIRT)
    def _(vm):
        ours(vm, "is one process: see the case of all of them")
        since, count = frozen.now(vm), freeze(vm)
        pids = vm.all_processes(frozen=True)
        for victims in rounds:
            kill(vm, pids, victims)
            told, seconds = frozen.first_status(vm)
            assert told == "frozen", told
            note(f"{victims[0]}: answers after {seconds:.1f} s")
            still_frozen(vm)
            before, pids = pids, vm.all_processes(frozen=True)
            assert not {pids[part] for part in victims} & {before[part] for part in victims}
        thaw(vm, count)
        recorded(vm, since, "thaw", "request", count)


for row in KILLED:
    add_killed(row)


@case("kill -9 of all processes while frozen: the next start thaws", LIBVIRT)
def _(vm):
    since, count = frozen.now(vm), freeze(vm)
    pids = vm.all_processes(frozen=True)
    begin = time.monotonic()
    kill(vm, pids, pids)
    if vm.agent.reference:
        # It comes back and remembers; who waits for nobody to thaw waits for ever.
        assert frozen.first_status(vm)[0] == "frozen"
        thaw(vm, count)
        return
    gone_on(vm, 15)
    note(f"thawed after {time.monotonic() - begin:.1f} s")
    assert frozen.first_status(vm)[0] == "thawed"
    assert vm.domain.fsThaw() == 0
    vm.all_processes()
    recorded(vm, since, "auto-thaw", "agent-lost", count)


@case("kill -9 of all but the thawer while frozen, and no restart: it thaws", LIBVIRT)
def _(vm):
    ours(vm, "leaves the guest frozen")
    unit = vm.agent.unit
    folder = DROP_IN.format(unit)
    vm.shell(f"mkdir -p {folder}; printf '[Service]\\nRestart=no\\n' >{folder}/vm.conf; "
             "systemctl daemon-reload")
    with at_last(vm, f"rm -r {folder}; systemctl daemon-reload; systemctl reset-failed {unit}; "
                     f"systemctl start {unit}"):
        since, count = frozen.now(vm), freeze(vm)
        pids = vm.all_processes(frozen=True)
        kill(vm, pids, set(pids) - {"thawer", "helper"})
        begin = float(frozen.now(vm))
        time.sleep(2)
        still_frozen(vm)
        assert set(vm.processes()) == {"thawer", "helper"}, vm.processes()
        gone_on(vm, 15)
        last = vm.shell("stat -c %.6Y /run/vm-probe/*.done | sort -n | tail -n 1")
        seconds = float(last) - begin
        note(f"thawed after {seconds:.1f} s")
        assert seconds < 12, seconds
        wait_until(lambda: vm.processes() == {}, lambda: f"{vm.processes()}", 5)
    vm.answers()
    assert vm.domain.fsThaw() == 0
    recorded(vm, since, "auto-thaw", "agent-lost", count)


@case("systemctl restart while frozen: thawed, then started", LIBVIRT)
def _(vm):
    ours(vm, "does not stop while frozen, and is killed after 90 s")
    since, count = frozen.now(vm), freeze(vm)
    begin = time.monotonic()
    vm.shell(f"systemctl restart {vm.agent.unit}", timeout=30)
    note(f"{time.monotonic() - begin:.1f} s")
    gone_on(vm, 1)
    assert vm.shell(f"systemctl is-active {vm.agent.unit}") == "active"
    vm.answers()
    is_thawed(vm)
    recorded(vm, since, "auto-thaw", "stop", count)


@case("systemctl stop while frozen: thawed", LIBVIRT)
def _(vm):
    ours(vm, "does not stop while frozen, and is killed after 90 s")
    since, count = frozen.now(vm), freeze(vm)
    begin = time.monotonic()
    with at_last(vm, f"systemctl start {vm.agent.unit}"):
        vm.shell(f"systemctl stop {vm.agent.unit}", timeout=30)
        seconds = time.monotonic() - begin
        note(f"{seconds:.1f} s")
        assert seconds < 12
        gone_on(vm, 1)
        assert vm.processes() == {}
        assert vm.shell(f"systemctl show -P Result {vm.agent.unit}") == "success"
    vm.answers()
    assert vm.domain.fsThaw() == 0
    recorded(vm, since, "auto-thaw", "stop", count)


# ---- the deadline --------------------------------------------------------------------------

@case("freeze-max: thawed at the deadline, whoever was killed", LIBVIRT)
def _(vm):
    ours(vm, "has no deadline")
    with vm.policy(deadline(8)):
        for victims in (), ("supervisor", "worker"):
            since, count = frozen.now(vm), vm.domain.fsFreeze()
            if victims:
                kill(vm, vm.all_processes(frozen=True), victims)
            assert frozen.first_status(vm)[0] == "frozen"
            probe(vm, DATA)
            gone_on(vm, 15)
            assert frozen.first_status(vm)[0] == "thawed"
            assert vm.domain.fsThaw() == 0
            recorded(vm, since, "auto-thaw", "deadline", count)
            # The time begins with the first file system, after the decision.
            asked, done, ended = [
                r["POSTERN_TIME_USEC"] / 1e6
                for r in frozen.told(vm, since, "decision", "freeze", "auto-thaw")
                if r.get("POSTERN_COMMAND") in (None, "guest-fsfreeze-freeze")]
            note(f"after {ended - asked:.1f} s, {ended - done:.1f} s")
            assert ended - asked > 7.9 and ended - done < 10, (asked, done, ended)


# ---- hooks ---------------------------------------------------------------------------------

@contextlib.contextmanager
def hook(vm, path, text, policy=""):
    """The agent with the hook that CONFIGURED says during the block; TEXT is in PATH."""
    configured = STOCK if path.startswith(STOCK) else HOOK
    begin = (f"rm -f {HOOK_LOG}; [ ! -e {BLOCK_LIST} ] || mv {BLOCK_LIST} /run; "
             f"printf '[general]\\nfsfreeze-hook={configured}\\n' >{BLOCK_LIST}; "
             f"cat >{path} <<'END'\n{text}\nEND\nchmod 755 {path}; ")
    end = (f"rm -f {BLOCK_LIST} {path}; [ ! -e /run/qemu-ga.conf ] || "
           f"mv /run/qemu-ga.conf {BLOCK_LIST}")
    restart = f"systemctl restart {vm.agent.unit}"
    vm.shell(begin)
    with at_last(vm, f"{end}\n{restart}"):
        if policy:
            with vm.policy(policy):
                yield
        else:
            vm.shell(restart)
            vm.answers()
            yield
    vm.answers()


def hook_log(vm):
    return vm.shell(f"cat {HOOK_LOG} 2>/dev/null || true").split()


# What it is called with, and whether it can write to the root.
TELL = f"""#!/bin/sh
echo "$1:$(touch /vm-hook && rm /vm-hook && echo can-write)" >>{HOOK_LOG}
"""


@case("freeze with Debian's hook and a program in its folder", LIBVIRT)
def _(vm):
    with hook(vm, f"{STOCK}.d/50-vm", TELL):
        since, count = frozen.now(vm), freeze(vm)
        assert hook_log(vm) == ["freeze:can-write"]
        thaw(vm, count)
        assert hook_log(vm) == ["freeze:can-write", "thaw:can-write"]
        if not vm.agent.reference:
            rows = frozen.told(vm, since, "freeze", "thaw")
            assert [(r["POSTERN_HOOK"], r["POSTERN_HOOK_RESULT"]) for r in rows] == \
                [(STOCK, "ok")] * 2, rows


@case("freeze with a hook that fails: nothing is frozen", LIBVIRT)
def _(vm):
    with hook(vm, HOOK, TELL + '[ "$1" = thaw ] || exit 3\n'):
        text = refused(vm.ask, "guest-fsfreeze-freeze")
        assert "fsfreeze hook has failed with status 3" in text, text
        # It may have begun something; qemu-ga does not take that back.
        assert hook_log(vm) == ["freeze:can-write", "thaw:can-write"][:2 - vm.agent.reference]
        is_thawed(vm)


@case("freeze with a hook that hangs: ended at its time, nothing is frozen", LIBVIRT)
def _(vm):
    ours(vm, "waits for a hook for ever")
    policy = deadline(60) + "hook-timeout = 2s\n"
    hang = TELL + '[ "$1" = thaw ] || { trap "" TERM; sleep 987 & sleep 988; }\n'
    with hook(vm, HOOK, hang, policy):
        begin = time.monotonic()
        text = refused(vm.ask, "guest-fsfreeze-freeze", timeout=20)
        note(f"{time.monotonic() - begin:.1f} s")
        assert "fsfreeze hook did not end within 2 s" in text, text
        assert hook_log(vm) == ["freeze:can-write", "thaw:can-write"]
        assert vm.shell("pgrep -f 'sleep 98[78]' || true") == ""
        is_thawed(vm)


@case("kill -9 of the spawner while frozen: the thaw hook is run all the same", LIBVIRT)
def _(vm):
    ours(vm, "runs its hooks itself")
    with hook(vm, HOOK, TELL):
        since, count = frozen.now(vm), freeze(vm)
        vm.shell(f"systemctl kill -s KILL --kill-whom=all '{SPAWNERS}'")
        told, seconds = frozen.first_status(vm)
        assert told == "frozen", told
        time.sleep(1)
        thaw(vm, count)
        assert hook_log(vm) == ["freeze:can-write", "thaw:can-write"]
        recorded(vm, since, "thaw", "request", count)


# ---- trim ----------------------------------------------------------------------------------

@case("virsh domfstrim, and what guest-fstrim says of each (not frozen)", LIBVIRT)
def _(vm):
    there = points(vm)
    vm.virsh("domfstrim", timeout=40)
    told = vm.ask("guest-fstrim", timeout=40)["paths"]
    expected = [target for targets in there.values() for target in targets] \
        if vm.agent.reference else list(there)
    assert sorted(row["path"] for row in told) == sorted(expected), told
    for row in told:
        if row["path"] == "/mnt/usb":
            assert row == {"path": "/mnt/usb", "error": "trim not supported"}, row
        else:
            assert set(row) == {"path", "trimmed", "minimum"}, row
            assert 0 <= row["trimmed"] < 2 << 30, row
