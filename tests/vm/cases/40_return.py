"""Libvirt comes back to a guest that ran on without it, and a guest that boots again."""
import time

from agent import wait_until
from case import LIBVIRT, case, note


@case("libvirtd, started anew, finds the agent connected", LIBVIRT)
def _(vm):
    wait_until(lambda: vm.state() == "connected", "the state", 10)
    vm.answers()
    assert vm.virsh("domhostname", "--source", "agent").strip() == vm.shell("uname -n")


@case("the guest reboots", LIBVIRT, full=True, limit=400)
def _(vm):
    boot = "cat /proc/sys/kernel/random/boot_id"
    before = vm.shell(boot)
    begin = time.monotonic()
    with vm.states_seen() as states:
        vm.shell("systemctl --no-block reboot")
        wait_until(lambda: states == ["disconnected", "connected"], lambda: f"{states}", 300)
    vm.answers()
    note(f"answers after {time.monotonic() - begin:.0f} s")
    vm.has_booted()
    assert vm.shell(boot) != before
