"""Programs through virsh: what they are given, what of them is told, and that each lives in
a cgroup of its own, with its limits, until the policy or the agent's stop ends it."""
import base64
import contextlib
import hashlib
import random
import re
import time

import records
from agent import wait_until
from case import LIBVIRT, case, note, skip
from machine import refused

UNITS = "postern-spawner@*.service"
SOCKET = "postern-spawner.socket"
TOP = "/opt/vm-programs"
SETTINGS = """
[policy]
version = 1
base = safe
on-stop = STOP
"""
ANY = f"""
[rule "any"]
effect = allow
command = guest-exec
path = /usr/** ; /bin/* ; {TOP}/any/** ; /nowhere/**
env-allow = **
"""
NAMED = f"""
[exec "greet"]
path = {TOP}/greet
argv = {{hello|good morning}} ; *
env-allow = LC_*
user = guest
cwd = /var/tmp

[exec "stubborn"]
path = {TOP}/stubborn
timeout = 2s

[exec "bomb"]
path = {TOP}/bomb
tasks-max = 20
timeout = 3s

[exec "hog"]
path = {TOP}/hog
memory-max = 24M

[exec "chatter"]
path = {TOP}/chatter
output-max = 100K

[exec "raise"]
path = {TOP}/raise
user = guest
"""
SCRIPTS = {
    "greet": r"""#!/bin/sh
printf '%s|' "$0" "$@" "$(id -un)" "$(id -gn)" "$PWD" "$HOME" "$USER" "$LC_ALL" "$PATH"
""",
    "stubborn": """#!/bin/sh
trap '' TERM
sleep 1000 & setsid sleep 1001 &
wait; wait; wait
""",
    # Each process of it leaves the group of the first, so that no signal to that ends it.
    "bomb": """#!/usr/bin/perl
use POSIX;
while (1) { fork; setsid; select(undef, undef, undef, .05) }
""",
    "hog": "#!/usr/bin/perl\nmy $much = 'x' x 100_000_000;\nprint length $much;\n",
    "chatter": "#!/bin/sh\nhead -c 150000 /dev/zero; head -c 1000 /dev/zero >&2\n",
    # A set-user-ID program is what no_new_privs would make useless.
    "raise": f"#!/bin/sh\nexec {TOP}/any/id -u\n",
    "any/plain": "echo run by $0\n",
    "any/broken": "#!/nowhere/sh\n",
}


def install(vm):
    vm.shell(f"rm -rf {TOP}; install -d {TOP}/any\n"
             f"install -m 4755 /usr/bin/id {TOP}/any/id\n" +
             "".join(f"cat >{TOP}/{name} <<'END'\n{text}END\nchmod 755 {TOP}/{name}\n"
                     for name, text in SCRIPTS.items()))


@contextlib.contextmanager
def programs(vm, rules=ANY + NAMED, on_stop="kill"):
    """The policy of these cases, and what it names."""
    install(vm)
    try:
        with vm.policy(SETTINGS.replace("STOP", on_stop) + rules):
            yield
    finally:
        vm.shell(f"rm -r {TOP}")


def start(vm, path, *argv, **options):
    """The pid."""
    got = vm.command("guest-exec", path=path, arg=list(argv), **options)
    assert set(got) == {"pid"}, got
    return got["pid"]


def status(vm, pid):
    return vm.command("guest-exec-status", pid=pid)


def result(vm, pid, timeout=20):
    """The status of a program that has ended, with its output as text."""
    def try_once():
        got = status(vm, pid)
        if got["exited"]:
            return got
        assert got == {"exited": False}, got
        time.sleep(0.1)
        return None
    got = wait_until(try_once, f"the end of {pid}", timeout)
    for key in ("out-data", "err-data"):
        if key in got:
            got[key] = base64.b64decode(got[key]).decode("latin-1")
    return got


def output(vm, path, *argv, **options):
    """What a program that must succeed prints."""
    got = result(vm, start(vm, path, *argv, capture_output=True, **options))
    assert got["exitcode"] == 0 and "err-data" not in got, got
    return got.get("out-data", "")


def lives(vm, pid):
    """Does it run? Not if only its number is left, for its parent to fetch."""
    return vm.shell(f"grep -qs '^State:.[^ZX]' /proc/{pid}/status; echo $?") == "0"


def cgroup_of(vm, pid):
    return vm.shell(f"sed 's/^0:://' /proc/{pid}/cgroup")


def groups(vm):
    """The cgroups below the spawners' units, each with its processes."""
    listed = vm.shell("cd /sys/fs/cgroup; for g in system.slice/*/postern-spawner@*/*/; do "
                      'if [ -d "$g" ]; then echo "/${g%/}" $(cat "$g/cgroup.procs"); fi; done')
    return {line.split()[0]: line.split()[1:] for line in listed.splitlines()}


def recorded(vm, event):
    """What the agent recorded last of programs, by their pids."""
    rows = records.read(vm, "-b", "-n", "100", *records.matching(event))
    return {r["POSTERN_EXEC_PID"]: r for r in rows}


def instances(vm):
    """The units of the spawners that run."""
    listed = vm.shell(f"systemctl list-units --plain --no-legend --state=active '{UNITS}'")
    return [line.split()[0] for line in listed.splitlines()]


def spawner(vm):
    unit, = instances(vm)
    return int(vm.shell(f"systemctl show -P MainPID {unit}"))


def only_the_spawner(vm):
    """No cgroup of a program, empty or not. Of a spawner that has ended an empty one may stay
    for a while: it is systemd's to remove."""
    def left():
        running = instances(vm)
        return {name: pids for name, pids in groups(vm).items()
                if not name.endswith("/spawner") and
                (pids or name.split("/")[-2] in running)}
    wait_until(lambda: not left(), lambda: f"{left()}", 10)


def own_spawner(vm):
    if vm.agent.reference:
        skip("qemu-ga runs its programs itself")


# ---- what they are given, and what is told --------------------------------------------------

@case("guest-exec through virsh, in every way of capturing", LIBVIRT)
def _(vm):
    script = "echo to out; echo to err >&2; exit 7"
    out, err = {"out-data": "to out\n", "out-truncated": False}, \
        {"err-data": "to err\n", "err-truncated": False}
    merged = {"out-data": "to out\nto err\n", "out-truncated": False}
    with programs(vm):
        for capture, expected in ((None, {}), (False, {}), (True, out | err),
                                  ("none", {}), ("separated", out | err), ("stdout", out),
                                  ("stderr", err), ("merged", merged)):
            if vm.agent.reference and isinstance(capture, str):
                continue  # 7.2 knows no words
            options = {} if capture is None else {"capture_output": capture}
            pid = start(vm, "/bin/sh", "-c", script, **options)
            assert result(vm, pid) == {"exited": True, "exitcode": 7} | expected, capture
            # What was fetched is forgotten.
            assert "Invalid parameter 'pid'" in refused(status, vm, pid)
        pid = start(vm, "/bin/sh", "-c", "kill -9 $$")
        assert result(vm, pid) == {"exited": True, "signal": 9}


@case("a program's pid is the one inside", LIBVIRT)
def _(vm):
    with programs(vm):
        pid = start(vm, "/usr/bin/sleep", "1000", capture_output=True)
        assert vm.shell(f"tr '\\0' ' ' </proc/{pid}/cmdline") == "/usr/bin/sleep 1000 "
        assert status(vm, pid) == {"exited": False}
        start(vm, "/usr/bin/kill", str(pid))
        assert result(vm, pid) == {"exited": True, "signal": 15}
        assert not lives(vm, pid)


@case("a program's input and environment", LIBVIRT)
def _(vm):
    data = random.Random(3).randbytes(40000)
    with programs(vm):
        got = output(vm, "/usr/bin/sha256sum", input_data=base64.b64encode(data).decode())
        assert got.split()[0] == hashlib.sha256(data).hexdigest()
        got = dict(line.split("=", 1) for line in
                   output(vm, "/usr/bin/env", env=["A=1", "B=", "HOME=/x"]).splitlines())
        if vm.agent.reference:
            assert got == {"A": "1", "B": "", "HOME": "/x"}, got
        else:
            assert got == {"A": "1", "B": "", "HOME": "/x", "USER": "root", "LOGNAME": "root",
                           "SHELL": "/bin/sh", "LANG": "C.UTF-8",
                           "PATH": "/usr/local/sbin:/usr/local/bin:"
                                   "/usr/sbin:/usr/bin:/sbin:/bin"}, got


@case("programs that do not start", LIBVIRT)
def _(vm):
    with programs(vm):
        for path, why in (("/nowhere/at-all", "No such file or directory"),
                          (f"{TOP}/any/broken", "No such file or directory"),
                          ("/usr/bin", "Permission denied"),
                          ("/usr/share/common-licenses/GPL", "Permission denied")):
            text = refused(start, vm, path)
            assert f"Failed to execute child process “{path}” ({why})" in text, text
        # Neither says by what it is to be run: the shell.
        assert output(vm, f"{TOP}/any/plain") == f"run by {TOP}/any/plain\n"
        assert output(vm, "id", "-u") == "0\n"


@case("a program that others can change", LIBVIRT, limit=120)
def _(vm):
    """A user of the guest must not choose what root runs."""
    own_spawner(vm)
    with programs(vm):
        for trick in ("chown guest any/plain", "chmod g+w any/plain", "chmod o+w any",
                      "chown guest any", "mv any/plain any/x; ln -s x any/plain; "
                      "chown guest any"):
            vm.shell(f"cd {TOP}; {trick}")
            text = refused(start, vm, f"{TOP}/any/plain")
            assert "Command guest-exec has been disabled" in text, (trick, text)
            install(vm)
        assert output(vm, f"{TOP}/any/plain") == f"run by {TOP}/any/plain\n"


@case("a named program", LIBVIRT)
def _(vm):
    own_spawner(vm)
    with programs(vm, NAMED):
        told = output(vm, "greet", "good morning", "a b;$(c)", env=["LC_ALL=C"])
        assert told.split("|")[:8] == [
            f"{TOP}/greet", "good morning", "a b;$(c)", "guest", "guest", "/var/tmp",
            vm.shell("getent passwd guest").split(":")[5], "guest"], told
        assert told.split("|")[8] == "C"
        for argv, env in ((["hello"], []), (["bye", "x"], []), (["hello", "x", "y"], []),
                          (["hello", "x"], ["LD_PRELOAD=/x"]), (["hello", "x"], ["PATH=/x"])):
            text = refused(start, vm, "greet", *argv, env=env)
            assert "Command guest-exec has been disabled" in text, text
        for path in (f"{TOP}/greet", "./greet", "stubbornly", "../greet", "", "sh",
                     "/bin/sh", "greet/", "GREET"):
            text = refused(start, vm, path, "hello", "x")
            assert "Command guest-exec has been disabled" in text, text


# ---- not confined ---------------------------------------------------------------------------

def facts_of(text):
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


@case("a program inherits nothing of the agent", LIBVIRT)
def _(vm):
    """Compared with one that systemd starts for itself."""
    own_spawner(vm)
    probe = ("cat /proc/self/status; umask >&2; ls -l /proc/self/fd >&2; "
             "readlink /proc/self/ns/* >&2; ps -o sid=,pgid=,tty= $$ >&2; "
             "cat /proc/self/limits /proc/self/oom_score_adj >&2")
    same = ("NoNewPrivs", "Seccomp", "Seccomp_filters", "CapInh", "CapPrm", "CapEff", "CapBnd",
            "CapAmb", "SigBlk", "SigCgt", "Uid", "Gid", "Groups", "Umask")
    with programs(vm):
        pid = start(vm, "/bin/sh", "-c", probe, capture_output=True)
        got = result(vm, pid)
        told, rest = facts_of(got["out-data"]), got["err-data"]
        expected = facts_of(vm.shell("systemd-run -qPG cat /proc/self/status"))
        assert {k: told[k] for k in same} == {k: expected[k] for k in same}
        assert told["NoNewPrivs"] == "0" and told["Seccomp"] == "0", told
        assert told["CapEff"] == told["CapBnd"] == facts_of(
            vm.shell("cat /proc/1/status"))["CapEff"], told
        assert told["Umask"] == "0022" and told["SigIgn"] == "0" * 16, told
        assert rest.startswith("0022\n"), rest
        fds = [line.split(" -> ") for line in rest.splitlines() if " -> " in line]
        # The last is that of ls, of the folder it lists.
        assert [left.split()[-1] for left, _ in fds] == ["0", "1", "2", "3"], fds
        assert fds[0][1] == "/dev/null" and "/proc/" in fds[3][1], fds
        spaces = [line for line in rest.splitlines() if re.fullmatch(r"\w+:\[\d+\]", line)]
        assert spaces == vm.shell("readlink /proc/1/ns/*").splitlines(), spaces
        expected = vm.shell("systemd-run -qPG cat /proc/self/limits /proc/self/oom_score_adj")
        assert rest.endswith(expected + "\n"), (expected, rest)
        rest = rest.removesuffix(expected + "\n")
        assert rest.split()[-3:] == [str(pid), str(pid), "?"], rest


@case("su, and a set-user-ID program, work in a program", LIBVIRT)
def _(vm):
    own_spawner(vm)
    with programs(vm):
        assert output(vm, "/usr/bin/su", "guest", "-c", "id -un") == "guest\n"
        assert result(vm, start(vm, "/usr/bin/su", "-c", "true"))["exitcode"] == 0
        assert output(vm, "raise") == "0\n"
        # And what needs capabilities: a mount that everybody sees.
        vm.shell("mkdir /run/vm-mount")
        try:
            output(vm, "/usr/bin/mount", "-t", "tmpfs", "tmpfs", "/run/vm-mount")
            vm.shell("findmnt -n /run/vm-mount; umount /run/vm-mount")
        finally:
            vm.shell("rmdir /run/vm-mount")


# ---- cgroups --------------------------------------------------------------------------------

@case("each program has a cgroup of its own", LIBVIRT, limit=120)
def _(vm):
    own_spawner(vm)
    with programs(vm):
        pids = [start(vm, "/usr/bin/sleep", "1000") for _ in range(3)]
        unit, = instances(vm)
        top, _, name = cgroup_of(vm, spawner(vm)).rpartition("/")
        assert name == "spawner" and top.endswith(f"/{unit}"), (top, name)
        places = [cgroup_of(vm, pid) for pid in pids]
        assert len(set(places)) == 3, places
        for pid, place in zip(pids, places):
            assert place.startswith(f"{top}/exec-"), place
            assert groups(vm)[place] == [str(pid)]
            assert vm.shell(f"cd '/sys/fs/cgroup{place}'; cat pids.max memory.max") == \
                "max\nmax"
        told = recorded(vm, "exec-start")
        assert [told[pid]["POSTERN_EXEC_UNIT"] for pid in pids] == places, told
        listed = vm.shell(f"systemd-cgls --no-pager -l -u {unit}")
        assert all(f"{pid} /usr/bin/sleep" in listed for pid in pids), listed
        for pid in pids:
            vm.shell(f"kill {pid}")
            assert result(vm, pid) == {"exited": True, "signal": 15}
        only_the_spawner(vm)
        # None of it is the agent's own.
        assert set(vm.processes()) == set(vm.agent.processes), vm.processes()


@case("what a program left behind lives on, and its cgroup no longer", LIBVIRT)
def _(vm):
    own_spawner(vm)
    with programs(vm):
        child = output(vm, "/bin/sh", "-c", "setsid sleep 1000 >/dev/null & echo $!").strip()
        assert lives(vm, child)
        place = cgroup_of(vm, child)
        assert groups(vm)[place] == [child], groups(vm)
        vm.shell(f"kill {child}")
        wait_until(lambda: not lives(vm, child), "its end", 5)
        output(vm, "/usr/bin/true")  # with the next program it is looked for
        only_the_spawner(vm)


@case("a program that takes more memory than its rule gives", LIBVIRT)
def _(vm):
    own_spawner(vm)
    with programs(vm):
        other = start(vm, "/usr/bin/sleep", "1000")
        main = spawner(vm)
        got = result(vm, start(vm, "hog", capture_output=True), 40)
        assert got == {"exited": True, "signal": 9}, got
        assert spawner(vm) == main and lives(vm, other)
        assert output(vm, "id", "-u") == "0\n"
        vm.shell(f"kill {other}")
        result(vm, other)


@case("a fork bomb", LIBVIRT, limit=90)
def _(vm):
    own_spawner(vm)
    with programs(vm):
        pid = start(vm, "bomb")
        place = f"cd '/sys/fs/cgroup{cgroup_of(vm, pid)}'; cat"
        assert vm.shell(f"{place} pids.max") == "20"
        wait_until(lambda: vm.shell(f"{place} pids.current") == "20", "the bomb", 10)
        events = dict(line.split() for line in vm.shell(f"{place} pids.events").splitlines())
        assert int(events["max"]) > 0, events
        # Others are not concerned.
        assert output(vm, "/bin/sh", "-c", "echo $(echo still here)") == "still here\n"
        assert vm.command("guest-ping") == {}
        got = result(vm, pid, 30)
        assert got["exited"] and got["signal"] in (9, 15), got
        wait_until(lambda: len([p for g in groups(vm).values() for p in g]) == 1,
                   lambda: f"{groups(vm)}", 10)
        output(vm, "/usr/bin/true")
        only_the_spawner(vm)


@case("a program that does not end when its time is over", LIBVIRT, limit=120)
def _(vm):
    own_spawner(vm)
    with programs(vm):
        begin = time.monotonic()
        pid = start(vm, "stubborn")
        place = cgroup_of(vm, pid)
        wait_until(lambda: len(groups(vm)[place]) == 3, "its children", 5)
        assert result(vm, pid, 30) == {"exited": True, "signal": 9}
        assert recorded(vm, "exec-exit")[pid]["POSTERN_TIMED_OUT"] is True
        wait_until(lambda: not groups(vm).get(place), "the end of its children", 5)
        note(f"killed after {time.monotonic() - begin:.1f} s")
        output(vm, "/usr/bin/true")
        only_the_spawner(vm)


@case("more output than the rule allows", LIBVIRT)
def _(vm):
    own_spawner(vm)
    with programs(vm):
        got = result(vm, start(vm, "chatter", capture_output=True))
        assert got["out-data"] == "\0" * 102400 and got["out-truncated"], len(got["out-data"])
        assert got["err-data"] == "\0" * 1000 and not got["err-truncated"]


# ---- begin and end --------------------------------------------------------------------------

@case("no spawner where the policy needs none", LIBVIRT, limit=120)
def _(vm):
    own_spawner(vm)
    vm.shell(f"systemctl restart {vm.agent.unit}")
    wait_until(lambda: instances(vm) == [], "the end of those before", 5)
    vm.reached()
    assert vm.command("guest-get-host-name")["host-name"] == vm.shell("uname -n")
    time.sleep(2)  # it would connect again by now
    assert instances(vm) == []
    assert vm.shell("pgrep -x postern-spawner; true") == ""
    assert vm.shell(f"systemctl is-active {SOCKET}") == "active"
    assert vm.shell("stat -c '%a %U' /run/postern/spawner /run/postern").splitlines() == \
        ["600 root", "700 root"]
    with programs(vm):
        assert output(vm, "id", "-u") == "0\n"
        assert len(instances(vm)) == 1
    wait_until(lambda: instances(vm) == [], lambda: f"{instances(vm)}", 5)


def family(vm):
    """Pids: a program, its child, another that left its group; and one that is deaf."""
    pid = start(vm, "/bin/sh", "-c", "sleep 1000 & setsid sleep 1001 & wait")
    deaf = start(vm, "/bin/sh", "-c", "trap '' TERM; while :; do sleep 1; done")
    place = cgroup_of(vm, pid)
    members = wait_until(lambda: len(groups(vm)[place]) == 3 and groups(vm)[place],
                         "its children", 5)
    assert members[0] == str(pid), members
    return [*members, str(deaf)]


@case("on-stop = kill: programs end with the agent", LIBVIRT, limit=120)
def _(vm):
    own_spawner(vm)
    with programs(vm):
        pids = family(vm)
        unit, = instances(vm)
        begin = time.monotonic()
        vm.shell(f"systemctl stop {vm.agent.unit}")
        try:
            wait_until(lambda: not any(lives(vm, pid) for pid in pids),
                       lambda: f"the end of {pids}: {groups(vm)}", 5)
            note(f"after {time.monotonic() - begin:.1f} s")
            wait_until(lambda: instances(vm) == [], "the end of the spawner", 5)
            assert vm.shell(f"systemctl --no-legend --failed list-units '{UNITS}'") == "", unit
            assert not any(groups(vm).values()), groups(vm)
        finally:
            vm.shell(f"systemctl start {vm.agent.unit}")


@case("on-stop = keep: programs live on with their limits", LIBVIRT, limit=120)
def _(vm):
    own_spawner(vm)
    limited = NAMED + f"""
[exec "waits"]
path = {TOP}/stubborn
tasks-max = 7
memory-max = 64M
"""
    with programs(vm, ANY + limited, on_stop="keep"):
        waits = start(vm, "waits")
        pids = [*family(vm), str(waits)]
        places = {pid: cgroup_of(vm, pid) for pid in pids}
        for _ in range(2):
            vm.shell(f"systemctl restart {vm.agent.unit}")
            vm.reached()
            assert output(vm, "id", "-u") == "0\n"
        assert {pid: cgroup_of(vm, pid) for pid in pids} == places
        assert all(lives(vm, pid) for pid in pids)
        assert vm.shell(f"cd '/sys/fs/cgroup{places[str(waits)]}'; cat pids.max memory.max") \
            == "7\n67108864"
        # Their results went with the spawner that started them.
        assert "Invalid parameter 'pid'" in refused(status, vm, waits)
        vm.shell("kill -9 " + " ".join(p for place in set(places.values())
                                       for p in groups(vm)[place]))


@case("kill -9 of the spawner", LIBVIRT, limit=120)
def _(vm):
    """Programs live on, and others can be started at once."""
    own_spawner(vm)
    with programs(vm):
        for _ in range(3):
            pid = start(vm, "/usr/bin/sleep", "1000")
            main = spawner(vm)
            vm.shell(f"kill -9 {main}")
            begin = time.monotonic()
            wait_until(lambda: instances(vm) and spawner(vm) != main, "another", 10)
            assert output(vm, "id", "-u") == "0\n"
            note(f"{time.monotonic() - begin:.1f} s")
            assert lives(vm, pid)
            assert "Invalid parameter 'pid'" in refused(status, vm, pid)
            vm.shell(f"kill {pid}")


@case("systemctl stop of the spawner", LIBVIRT, limit=120)
def _(vm):
    """It ends what it runs; the agent, which goes on, gets another."""
    own_spawner(vm)
    with programs(vm):
        pids = family(vm)
        unit, = instances(vm)
        before = vm.all_processes()
        vm.shell(f"systemctl stop {unit}")
        assert not any(lives(vm, pid) for pid in pids)
        wait_until(lambda: len(instances(vm)) == 1, "another", 10)
        assert output(vm, "id", "-u") == "0\n"
        assert vm.all_processes() == before


@case("200 programs leave nothing behind", LIBVIRT, limit=180)
def _(vm):
    own_spawner(vm)
    with programs(vm):
        output(vm, "id", "-u")
        main = spawner(vm)
        count = f"ls /proc/{main}/fd | wc -l; pgrep -c -P {main}; true"
        before = vm.shell(count)
        for _ in range(200):
            pid = vm.ask("guest-exec", path="/usr/bin/true", capture_output=True)["pid"]
            wait_until(lambda: vm.ask("guest-exec-status", pid=pid)["exited"], "its end", 10)
        assert spawner(vm) == main
        assert vm.shell(count) == before == f"{before.split()[0]}\n0", before
        only_the_spawner(vm)
