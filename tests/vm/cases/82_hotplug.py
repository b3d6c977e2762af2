"""CPUs and memory: plugged in from outside, switched on and off by the agent, and what the
kernel says of it inside. A list is compared with what the kernel says to who writes the
same by hand."""
import contextlib
import os
import re
import tempfile

import records
from agent import wait_until
from case import LIBVIRT, case, note, skip
from facts import by, same
from machine import refused

CPU = "/sys/devices/system/cpu"
MEMORY = "/sys/devices/system/memory"
DIMM = """<memory model='dimm'>
  <target><size unit='MiB'>128</size><node>0</node></target>
</memory>
"""
TWO = """
[policy]
version = 1
base = safe

[rule "two at least"]
effect = allow
command = guest-set-vcpus
online-min = 2
"""
ENOUGH = """
[policy]
version = 1
base = safe

[rule "enough"]
effect = allow
command = guest-set-memory-blocks
memory-min = SIZE
"""


# ---- processors -----------------------------------------------------------------------------

def cpus(vm):
    """{number: is it on}, by the kernel; the agent says the same."""
    online, *rows = vm.shell(f"cd {CPU}; cat online; for c in cpu[0-9]*; do "
                             "echo ${c#cpu} $(cat $c/online 2>/dev/null || echo 1); done"
                             ).splitlines()
    found = {int(n): on == "1" for n, on in map(str.split, rows)}
    told = by("logical-id", vm.ask("guest-get-vcpus"))
    same({n: row["online"] for n, row in told.items()}, found)
    same(online, ranges(n for n, on in found.items() if on))
    return found


def ranges(numbers):
    """As the kernel writes a set: 0-1,3."""
    text = []
    for n in sorted(numbers):
        if text and text[-1][1] == n - 1:
            text[-1][1] = n
        else:
            text.append([n, n])
    return ",".join(f"{a}" if a == b else f"{a}-{b}" for a, b in text)


def wanted(**on):
    """The argument: wanted(c1=True)."""
    return [{"logical-id": int(n[1:]), "online": v} for n, v in on.items()]


@contextlib.contextmanager
def both_on(vm):
    try:
        yield
    finally:
        vm.shell(f"echo 1 >{CPU}/cpu1/online")


@case("virsh setvcpus --guest switches a CPU off and on", LIBVIRT)
def _(vm):
    with vm.profile("libvirt"), both_on(vm):
        same(cpus(vm), {0: True, 1: True})
        with records.recorded(vm, "hotplug", online=1):
            vm.virsh("setvcpus", "--guest", "1")
        same(cpus(vm), {0: True, 1: False})
        # Without the last one nobody would be left to answer.
        text = refused(vm.ask, "guest-set-vcpus", vcpus=wanted(c0=False))
        assert "logical processor #0 can't be offlined" in text, text
        same(cpus(vm), {0: True, 1: False})
        with records.recorded(vm, "hotplug", online=None):
            vm.virsh("setvcpus", "--guest", "2")
        same(cpus(vm), {0: True, 1: True})


@case("a list of CPUs ends with the first that fails", LIBVIRT)
def _(vm):
    with vm.profile("libvirt"), both_on(vm):
        assert vm.ask("guest-set-vcpus", vcpus=wanted(c1=False, c77=False, c0=True)) == 1
        same(cpus(vm), {0: True, 1: False})
        assert vm.ask("guest-set-vcpus", vcpus=wanted(c0=True, c1=True)) == 2
        same(cpus(vm), {0: True, 1: True})
        assert vm.ask("guest-set-vcpus", vcpus=[]) == 0
        text = refused(vm.ask, "guest-set-vcpus", vcpus=wanted(c77=True))
        assert f'open("{CPU}/cpu77/"): No such file or directory' in text, text


@case("online-min keeps CPUs on, also in the middle of a list", LIBVIRT)
def _(vm):
    if vm.agent.reference:
        skip("this agent has no policy")
    with vm.policy(TWO), both_on(vm):
        for entries in (wanted(c1=False), [*wanted(c1=False), *wanted(c1=True)]):
            with records.recorded(vm, "decision", decision="deny", reason="mode"):
                text = refused(vm.ask, "guest-set-vcpus", vcpus=entries)
            assert "Command guest-set-vcpus has been disabled" in text, text
            same(cpus(vm), {0: True, 1: True})
        assert vm.ask("guest-set-vcpus", vcpus=wanted(c1=True)) == 1


@case("a CPU that is plugged in is switched on", LIBVIRT, limit=90)
def _(vm):
    """By the profile safe, which lets the host add and not take away."""
    if 2 in cpus(vm):
        skip("it was plugged in before")
    vm.virsh("setvcpus", "--live", "3")
    wait_until(lambda: vm.shell(f"cat {CPU}/present") == "0-2", "the third CPU", 30)
    same(cpus(vm), {0: True, 1: True, 2: False})
    with records.recorded(vm, "hotplug", command="guest-set-vcpus", online=None):
        vm.virsh("setvcpus", "--guest", "3", timeout=40)
    same(cpus(vm), {0: True, 1: True, 2: True})
    vm.shell("taskset -c 2 true")
    if not vm.agent.reference:
        text = refused(vm.virsh, "setvcpus", "--guest", "2")
        assert "Command guest-set-vcpus has been disabled" in text, text
    same(cpus(vm), {0: True, 1: True, 2: True})


# ---- memory ---------------------------------------------------------------------------------

def blocks(vm):
    """{number: state}, by the kernel; the agent says the same."""
    rows = vm.shell(f"cd {MEMORY}; for b in memory[0-9]*; do "
                    "echo ${b#memory} $(cat $b/state); done")
    found = {int(n): state for n, state in map(str.split, rows.splitlines())}
    told = by("phys-index", vm.ask("guest-get-memory-blocks"))
    same({n: row["online"] for n, row in told.items()},
         {n: state == "online" for n, state in found.items()})
    return found


def total(vm):
    return int(vm.shell("awk '/MemTotal/ { print $2 }' /proc/meminfo")) >> 10


def switch(vm, *entries, timeout=30):
    return vm.ask("guest-set-memory-blocks", timeout=timeout,
                  mem_blks=[{"phys-index": n, "online": on} for n, on in entries])


def by_hand(vm, number):
    """Why the kernel refuses it to who writes `offline`."""
    shown = vm.shell(f"echo offline >{MEMORY}/memory{number}/state && echo done || true",
                     timeout=60)
    return re.search(r"write error: (.*)", shown).group(1)


def as_by_hand(vm, told):
    """It was not done, and the kernel says why to others as well."""
    number = told["phys-index"]
    same(told["response"], "operation-failed")
    same(os.strerror(told["error-code"]), by_hand(vm, number))
    same(blocks(vm)[number], "online")


def plug(vm):
    """A DIMM of one block; its number."""
    before = set(blocks(vm))
    with tempfile.NamedTemporaryFile("w", suffix=".xml") as f:
        f.write(DIMM)
        f.flush()
        os.chmod(f.name, 0o644)
        vm.virsh("attach-device", f.name, "--live")
    wait_until(lambda: set(blocks(vm)) > before, "another block", 30)
    new, = set(blocks(vm)) - before
    return new


@case("a DIMM that is plugged in is switched on, and off if it can be", LIBVIRT, limit=120)
def _(vm):
    before = total(vm)
    new = plug(vm)
    same(blocks(vm)[new], "offline")
    # The profile safe lets the host add.
    with records.recorded(vm, "hotplug", command="guest-set-memory-blocks", online=None):
        same(switch(vm, (new, True)), [{"phys-index": new, "response": "success"}])
    same(blocks(vm)[new], "online")
    assert total(vm) - before == 128, (before, total(vm))
    same(switch(vm, (new, True)), [{"phys-index": new, "response": "success"}])
    same(switch(vm, (1 << 40, True), (new, True), (12345, True)),
         [{"phys-index": 1 << 40, "response": "not-found", "error-code": 2},
          {"phys-index": new, "response": "success"},
          {"phys-index": 12345, "response": "not-found", "error-code": 2}])
    if not vm.agent.reference:
        text = refused(switch, vm, (new, False))
        assert "Command guest-set-memory-blocks has been disabled" in text, text
        same(blocks(vm)[new], "online")
    with vm.profile("libvirt"):
        told, = switch(vm, (new, False))
        note(f"off: {told['response']} {told.get('error-code', '')}")
        if told["response"] == "success":  # it may; under emulation it has not been seen to
            same(told, {"phys-index": new, "response": "success"})
            same(blocks(vm)[new], "offline")
            same(switch(vm, (new, True)), [{"phys-index": new, "response": "success"}])
        else:
            as_by_hand(vm, told)
        # One of the boot, which the kernel never gives.
        told, = switch(vm, (0, False))
        same(told["phys-index"], 0)
        as_by_hand(vm, told)


@case("memory-min keeps memory on", LIBVIRT)
def _(vm):
    if vm.agent.reference:
        skip("this agent has no policy")
    size = int(vm.shell(f"cat {MEMORY}/block_size_bytes"), 16)
    before = blocks(vm)
    on = [n for n, state in before.items() if state == "online"]
    with vm.policy(ENOUGH.replace("SIZE", str(len(on) * size))):
        with records.recorded(vm, "decision", decision="deny", reason="mode"):
            text = refused(switch, vm, (on[-1], False), (on[-1], True))
        assert "Command guest-set-memory-blocks has been disabled" in text, text
        same(blocks(vm), before)
    with vm.policy(ENOUGH.replace("SIZE", str((len(on) - 1) * size))):
        with records.recorded(vm, "hotplug", online=(len(on) - 1) * size):
            same([row["phys-index"] for row in switch(vm, (0, False))], [0])
        same(blocks(vm), before)
