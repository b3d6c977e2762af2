"""The guest is shut down from outside, and what was recorded of that is in the journal of the
boot that it ended.

The boot after that is the one that can sleep (85_suspend.py).
"""
import time

import records
from agent import wait_until
from case import LIBVIRT, case, note
from machine import log

SMALL = """
[policy]
version = 1
base = none

[rule "facts and power"]
effect = allow
command = @info ; @power
"""
CAPS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")


@case("virsh shutdown --mode agent, by a worker without a right", LIBVIRT, off=True, limit=120)
def _(vm):
    if not vm.agent.reference:
        # Where it is forgotten with the boot.
        vm.shell(f"cat >/run/postern/policy.conf <<'END'\n{SMALL}\nEND\n"
                 f"systemctl restart {vm.agent.unit}")
        vm.reached()
        has_nothing(vm)
    before = vm.console()
    begin = time.monotonic()
    vm.virsh("shutdown", "--mode", "agent")
    log(f"virsh returned after {time.monotonic() - begin:.1f} s")
    wait_until(vm.is_off, "the guest to be off", 90)
    note(f"off after {time.monotonic() - begin:.1f} s")
    assert "reboot: Power down" in vm.console()[len(before):]


def has_nothing(vm):
    """Facts and power need neither a capability nor a spawner where init takes a signal."""
    worker = vm.all_processes()["worker"]
    rows = vm.shell(f"cat /proc/{worker}/status; ! pgrep -f postern-spawner").splitlines()
    held = {k: v.strip() for k, _, v in (row.partition(":") for row in rows)}
    assert {held[name].strip("0") for name in CAPS} == {""}, [held[n] for n in CAPS]


@case("the shutdown is on record in the boot that it ended", LIBVIRT, full=True, limit=120)
def _(vm):
    records.last_words(vm, "powerdown")
