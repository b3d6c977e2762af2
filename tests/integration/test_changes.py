#!/usr/bin/python3
"""Power, suspend, CPUs, memory and the clock, end to end, in a root of the test's own: what is
changed there are plain files, what is run are the test's scripts. What goes to the kernel
itself is refused by the guard, and must come back as an error.
"""
# pylint: disable=missing-function-docstring
import contextlib
import json
import os
import time

import guard
import scratch
import tap
from agent import VARIANT, children, comm, descendants, status, wait_until
from ownroot import OwnRoot, Setting, refused

POLICY = """
[policy]
version = 1
base = none

[rule "r"]
effect = allow
command = """
SCRIPT = """#!/bin/sh
echo "${0##*/} $*" >>/run/ran
"""
TOOLS = ("/bin/sh", "/usr/bin/sleep")
OK = {"return": {}}


class Machine(Setting):
    HEAD = POLICY

    def script(self, path, rest="exit 0"):
        self.root.text(path, SCRIPT + rest + "\n", 0o755)

    def ran(self):
        """What the scripts were called with, since this was asked last."""
        path = f"{self.root.path}/run/ran"
        with contextlib.suppress(FileNotFoundError):
            with open(path, encoding="utf-8") as f:
                lines = f.read().splitlines()
            os.unlink(path)
            return lines
        return []

    def read(self, path):
        with open(self.root.path + path, encoding="utf-8") as f:
            return f.read()


@contextlib.contextmanager
def setting():
    with scratch.namespaces() as top, contextlib.ExitStack() as stack:
        root = OwnRoot(top)
        for tool in TOOLS:
            root.put(tool)
        yield Machine(root, stack)


def silent(c, command, **arguments):
    """It succeeds, which is no word on the wire: the next reply is that of the next request."""
    request = {"execute": command, "arguments": arguments}
    c.send(json.dumps(request).encode() + b"\n")
    assert c.sync() == [], command


def records(a, event):
    return [r for r in a.records() if r.get("POSTERN_EVENT") == event]


def programs_of(a):
    return sorted(comm(p) for p in children(a.pid))


# ---- shutdown --------------------------------------------------------------------------------

OPTIONS = {"powerdown": "-P", "halt": "-H", "reboot": "-r"}


def test_shutdown_by_the_program_of_init():
    with setting() as s:
        s.script("/sbin/shutdown")
        a = s.agent("@power")
        with a.client() as c:
            silent(c, "guest-shutdown")
            assert s.ran() == ["shutdown -h -P +0 hypervisor initiated shutdown"]
            for mode, option in OPTIONS.items():
                silent(c, "guest-shutdown", mode=mode)
                assert s.ran() == [f"shutdown -h {option} +0 hypervisor initiated shutdown"]
            for mode in ("sleep", "", "power", "halted", "HALT"):
                refused(c.call("guest-shutdown", mode=mode),
                        "mode is invalid (valid values are: halt|powerdown|reboot")
            assert not s.ran()
        wait_until(lambda: len(records(a, "complete")) == 9, "all records")
        modes = [r["POSTERN_POWER_MODE"] for r in records(a, "power")]
        assert modes == ["powerdown", *OPTIONS], modes
        # Said before it was done.
        order = [r["POSTERN_EVENT"] for r in a.records() if r.get("POSTERN_REQUEST") == 1]
        assert order == ["decision", "power", "complete"], order


def test_shutdown_that_fails_answers():
    with setting() as s:
        s.script("/sbin/shutdown", "exit 3")
        a = s.agent("@power")
        with a.client() as c:
            refused(c.call("guest-shutdown"), "child process has failed to shutdown: exit status 3")
            s.script("/sbin/shutdown", "kill -9 $$")
            refused(c.call("guest-shutdown"), "child process has terminated abnormally")
            s.root.text("/sbin/shutdown", "#!/no/such/interpreter\n", 0o755)
            refused(c.call("guest-shutdown"), "Failed to execute child process")
            os.chmod(f"{s.root.path}/sbin/shutdown", 0o777)
            refused(c.call("guest-shutdown"), "others than root could change shutdown",
                    "CommandNotFound")
            os.unlink(f"{s.root.path}/sbin/shutdown")
            refused(c.call("guest-shutdown"), "Command guest-shutdown has been disabled: "
                    "this system has no shutdown", "CommandNotFound")


def test_shutdown_by_force():
    """Where init cannot be told the kernel is, and here it refuses."""
    with setting() as s:
        a = s.agent("@power\nforce = yes")
        with a.client() as c:
            for mode in OPTIONS:
                refused(c.call("guest-shutdown", mode=mode),
                        "child process has failed to shutdown: Operation not permitted")
            s.script("/sbin/shutdown", "exit 3")
            refused(c.call("guest-shutdown"), "failed to shutdown: Operation not permitted")
            assert len(s.ran()) == 1
            s.root.text("/sbin/shutdown", "#!/no/such/interpreter\n", 0o755)
            refused(c.call("guest-shutdown"), "failed to shutdown: Operation not permitted")


def test_one_shutdown_at_a_time():
    with setting() as s:
        s.script("/sbin/shutdown", "exec sleep 3")
        with s.agent("@power").client() as c:
            c.send(b'{"execute":"guest-shutdown"}\n')
            wait_until(s.ran, "it runs")
            time.sleep(2)  # so long a client waits
            c.sync()
            refused(c.call("guest-shutdown"), "one is in progress")


def test_shutdown_by_a_signal():
    """Of an init that seems to take it. The guard keeps it from being sent; so it is the kernel's
    turn where a rule says so, and no program's."""
    failed = "child process has failed to shutdown: Operation not permitted"
    with setting() as s:
        s.script("/sbin/shutdown")
        os.makedirs(f"{s.root.path}/run/systemd/system")
        s.root.text("/run/status", "Name:\tsystemd\nSigBlk:\t0000000000000000\n"
                    "SigCgt:\t7fffffffffffffff\n")
        scratch.bind(f"{s.root.path}/run/status", f"{s.root.path}/proc/1/status")
        for rule in ("@power", "@power\nforce = yes"):
            with s.root.agent(**policy(s, rule)) as a:
                with a.client() as c:
                    for mode in OPTIONS:
                        refused(c.call("guest-shutdown", mode=mode), failed)
                wait_until(lambda a=a: len(records(a, "complete")) == 3, "all records")
                assert "postern-spawner" not in programs_of(a)
                assert [r["POSTERN_POWER_MODE"] for r in records(a, "power")] == list(OPTIONS)
        assert not s.ran()


def test_who_needs_a_spawner():
    """Policy and init decide. Init is this machine's, which is no systemd."""
    without = ["postern-fronten", "postern-inspect", "postern-reader", "postern-worker"]
    with setting() as s:
        for rule, spawner in (("@info", False), ("@power", True), ("@hotplug", False),
                              ("@time", False), ("@suspend", False), ("@password", True),
                              ("guest-ssh-get-authorized-keys", True)):
            with s.root.agent(**policy(s, rule)) as a:
                names = sorted(without + ["postern-spawner"] * spawner)
                wait_until(lambda a=a, names=names: programs_of(a) == names,
                           lambda a=a, rule=rule: f"{rule}: {programs_of(a)}")
        os.makedirs(f"{s.root.path}/run/systemd/system")
        with s.root.agent(**policy(s, "@suspend")) as a:
            wait_until(lambda: len(children(a.pid)) == 5, "a spawner for systemctl")


def policy(s, rule):
    s.root.text("/etc/postern/policy.conf", POLICY + rule + "\n")
    return {"profile": None}


def test_what_the_worker_keeps():
    """Capabilities by the policy; none of them is more than this test process lets it have."""
    search, setid = 1 << 2, 1 << 6 | 1 << 7  # to look for a program; to become a user
    with setting() as s:
        for rule, caps in (("@info", 0), ("@power", search), ("@hotplug", 0), ("@suspend", 0),
                           ("@ssh-keys", setid | search), ("@password", search)):
            with s.root.agent(**policy(s, rule)) as a:
                st = status(a.child("worker"))
                assert int(st["CapPrm"], 16) == int(st["CapEff"], 16) == caps, (rule, st)
                assert int(st["CapBnd"], 16) == caps, (rule, st)


# ---- suspend ---------------------------------------------------------------------------------

VERBS = {"ram": "suspend", "disk": "hibernate", "hybrid": "hybrid-sleep"}
STATES = {"ram": "mem", "disk": "disk"}
STATE = "/sys/power/state"


def test_suspend_by_systemd():
    with setting() as s:
        s.root.text(STATE, "freeze mem disk\n")
        os.makedirs(f"{s.root.path}/run/systemd/system")
        s.script("/bin/systemctl")
        a = s.agent("@suspend")
        with a.client() as c:
            for mode, verb in VERBS.items():
                silent(c, f"guest-suspend-{mode}")
                assert s.ran() == [f"systemctl {verb}"]
            s.script("/bin/systemctl", "exit 1")
            for mode in VERBS:
                refused(c.call(f"guest-suspend-{mode}"),
                        "child process has failed to suspend: exit status 1")
            assert s.read(STATE) == "freeze mem disk\n"
            os.unlink(f"{s.root.path}/bin/systemctl")
            refused(c.call("guest-suspend-ram"), "this system has no systemctl",
                    "CommandNotFound")
        wait_until(lambda: len(records(a, "power")) == 7, "all records")
        assert [r["POSTERN_POWER_MODE"] for r in records(a, "power")][:3] \
            == [f"suspend-{m}" for m in VERBS]


def test_suspend_by_the_kernel():
    """Where there is no systemd."""
    with setting() as s:
        s.root.text(STATE, "disk mem\n")
        with s.agent("@suspend").client() as c:
            silent(c, "guest-suspend-ram")
            assert s.read(STATE) == "mem" + "disk mem\n"[3:]
            s.root.text(STATE, "disk mem\n")
            silent(c, "guest-suspend-disk")
            refused(c.call("guest-suspend-hybrid"), "it needs systemd", "CommandNotFound")


def test_suspend_by_force():
    with setting() as s:
        s.script("/bin/systemctl", "exit 1")
        os.makedirs(f"{s.root.path}/run/systemd/system")
        s.root.text(STATE, "mem disk\n")
        with s.agent("@suspend\nforce = yes").client() as c:
            refused(c.call("guest-suspend-hybrid"), "failed to suspend: exit status 1")
            silent(c, "guest-suspend-disk")
            assert s.read(STATE) == "disk" + "mem disk\n"[4:]
            assert s.ran() == ["systemctl hybrid-sleep", "systemctl hibernate"]
            os.unlink(f"{s.root.path}/bin/systemctl")
            s.root.text(STATE, "disk mem\n")
            refused(c.call("guest-suspend-hybrid"), "this system has no systemctl",
                    "CommandNotFound")
            silent(c, "guest-suspend-ram")
            s.root.text("/bin/systemctl", "#!/no/such/interpreter\n", 0o755)
            s.root.text(STATE, "mem disk\n")
            refused(c.call("guest-suspend-hybrid"), "Failed to execute child process")
            silent(c, "guest-suspend-ram")
            assert s.read(STATE) == "mem" + "mem disk\n"[3:]


def test_suspend_that_is_not_possible():
    with setting() as s:
        s.script("/bin/systemctl")
        os.makedirs(f"{s.root.path}/run/systemd/system")
        with s.agent("@suspend").client() as c:
            for text in (None, "\n", "freeze\n"):
                if text:
                    s.root.text(STATE, text)
                for mode in VERBS:
                    refused(c.call(f"guest-suspend-{mode}"),
                            f"Command guest-suspend-{mode} has been disabled: the requested "
                            "suspend mode is not supported by the guest", "CommandNotFound")
            assert not s.ran()


# ---- CPUs and memory -------------------------------------------------------------------------

CPUS = "/sys/devices/system/cpu"
MEMORY = "/sys/devices/system/memory"


def machine(s):
    """Four CPUs, the first without a switch, the last off; blocks of 128 MiB, the last off."""
    os.makedirs(f"{s.root.path}{CPUS}/cpu0")
    for n in range(1, 4):
        s.root.text(f"{CPUS}/cpu{n}/online", f"{int(n < 3)}\n")
    s.root.text(f"{MEMORY}/block_size_bytes", "8000000\n")
    for n in range(4):
        s.root.text(f"{MEMORY}/memory{n}/state", "online\n" if n < 3 else "offline\n")
        s.root.text(f"{MEMORY}/memory{n}/removable", "1\n")


def cpu(number, online):
    return {"logical-id": number, "online": online}


def online(s):
    return [s.read(f"{CPUS}/cpu{n}/online")[0] for n in range(1, 4)]


def test_cpus():
    with setting() as s:
        machine(s)
        a = s.agent("@hotplug\nonline-min = 2")
        with a.client() as c:
            def set_vcpus(*entries):
                return c.call("guest-set-vcpus", vcpus=list(entries))

            assert set_vcpus(cpu(3, True)) == {"return": 1}
            assert set_vcpus(cpu(1, False), cpu(2, False)) == {"return": 2}
            assert online(s) == ["0", "0", "1"]
            # One less would be too few, at any point of the list.
            for entries in ([cpu(3, False)], [cpu(3, False), cpu(1, True)],
                            [cpu(1, True), cpu(1, False), cpu(3, False)]):
                refused(set_vcpus(*entries), "these arguments are not allowed")
            assert online(s) == ["0", "0", "1"]
            assert set_vcpus(cpu(1, True), cpu(3, False)) == {"return": 2}
            assert set_vcpus(cpu(0, True), cpu(9999, True)) == {"return": 1}
            refused(set_vcpus(cpu(0, False)), "logical processor #0 can't be offlined")
        wait_until(lambda: len(records(a, "complete")) == 8, "all records")
        decided = [(r["POSTERN_DECISION"], r["POSTERN_REASON"]) for r in records(a, "decision")]
        assert decided.count(("deny", "mode")) == 3, decided
        left = [r.get("POSTERN_ONLINE") for r in records(a, "hotplug")]
        assert left[:2] == [None, 2] and len(left) == 5, left


def test_memory():
    with setting() as s:
        machine(s)
        a = s.agent("@hotplug\nmemory-min = 256M")
        with a.client() as c:
            def set_blocks(*entries):
                return c.call("guest-set-memory-blocks", mem_blks=[
                    {"phys-index": n, "online": on} for n, on in entries])

            assert set_blocks((3, True), (99, True)) == {"return": [
                {"phys-index": 3, "response": "success"},
                {"phys-index": 99, "response": "not-found", "error-code": 2}]}
            assert s.read(f"{MEMORY}/memory3/state").startswith("online")
            assert set_blocks((0, False), (1, False))["return"][1]["response"] == "success"
            refused(set_blocks((2, False)), "these arguments are not allowed")
            assert s.read(f"{MEMORY}/memory2/state") == "online\n"
        wait_until(lambda: len(records(a, "complete")) == 3, "all records")
        assert [r.get("POSTERN_ONLINE") for r in records(a, "hotplug")] == [None, 256 << 20]


def test_nothing_is_taken_away_where_a_rule_says_so():
    with setting() as s:
        machine(s)
        with s.agent("@hotplug\noffline = no").client() as c:
            refused(c.call("guest-set-vcpus", vcpus=[cpu(3, True), cpu(1, False)]),
                    "these arguments are not allowed")
            assert online(s) == ["1", "1", "0"]
            assert c.call("guest-set-vcpus", vcpus=[cpu(3, True)]) == {"return": 1}


# ---- the clock -------------------------------------------------------------------------------

SECOND = 10 ** 9
NOT_PERMITTED = "Failed to set time to guest: Operation not permitted"


def test_steps_of_the_clock():
    with setting() as s:
        a = s.agent("@time\nmax-step = 1h\nbackwards = no")
        with a.client() as c:
            def by(seconds):
                return c.call("guest-set-time", time=time.time_ns() + seconds * SECOND)

            for seconds in (-3600, -5, 3700, 10 ** 9):
                refused(by(seconds), "these arguments are not allowed")
            for seconds in (5, 3500):
                refused(by(seconds), NOT_PERMITTED)  # by the guard
            for bad in (-1, 2 ** 63 - 1, -2 ** 63, 3155760000 * SECOND):
                refused(c.call("guest-set-time", time=bad), "Invalid time: ")
        wait_until(lambda: len(records(a, "decision")) == 10, "all decisions")
        reasons = [r["POSTERN_REASON"] for r in records(a, "decision")]
        assert reasons == ["step"] * 4 + ["rule"] * 2 + ["lookup"] * 4, reasons
        deltas = [r["POSTERN_TIME_DELTA_NSEC"] / SECOND for r in records(a, "time-set")]
        patience = 20 if VARIANT == "asan" else 5
        assert [0 < want - d < patience for want, d in zip((5, 3500), deltas)] == [True] * 2, deltas


def test_limits_are_complained_of():
    """As far as the ceiling goes, and no farther."""
    text = POLICY.replace("[policy]", "[policy]\nmode = complain\nceiling = safe")
    with setting() as s:
        s.root.text("/etc/postern/policy.conf", text + "@time\nmax-step = 1h\n")
        with s.root.agent(profile=None) as a:
            with a.client() as c:
                for seconds, words in ((60, NOT_PERMITTED), (7200, NOT_PERMITTED),
                                       (10 ** 6, "these arguments are not allowed"),
                                       (-60, NOT_PERMITTED), (-7200, "are not allowed")):
                    refused(c.call("guest-set-time", time=time.time_ns() + seconds * SECOND), words)
            wait_until(lambda: len(records(a, "complete")) == 5, "all records")
            assert [(r["POSTERN_DECISION"], r["POSTERN_REASON"]) for r in records(a, "decision")] \
                == [("allow", "rule"), ("complain", "step"), ("deny", "step"), ("allow", "rule"),
                    ("deny", "step")]
            assert len(records(a, "time-set")) == 3


def test_without_a_clock_of_its_own():
    with setting() as s:
        with s.root.agent(**policy(s, "@time")) as a, a.client() as c:
            refused(c.call("guest-set-time"), "Command guest-set-time has been disabled: "
                    "this machine has no real-time clock", "CommandNotFound")
        with s.root.agent(**policy(s, "@time\nfrom-rtc = no")) as a, a.client() as c:
            refused(c.call("guest-set-time"), "these arguments are not allowed")


def test_every_command_is_enabled_under_legacy():
    with setting() as s, s.agent().client() as c:
        commands = c.call("guest-info")["return"]["supported_commands"]
        assert len(commands) == 43  # guest-get-devices is no command of Linux
        assert all(x["enabled"] for x in commands), commands


tap.run(tap.tests(globals()))
