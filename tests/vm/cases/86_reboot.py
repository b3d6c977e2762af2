"""The guest is booted again from outside, and halted: the last case, as nobody answers then."""
import json
import select
import time

import records
from agent import wait_until
from case import LIBVIRT, RAW, case, note, skip

BOOT = "cat /proc/sys/kernel/random/boot_id"


@case("virsh reboot --mode agent", LIBVIRT, off=True, limit=120)
def _(vm):
    """QEMU ends where it would begin anew: a guest that boots in memory that was in use
    takes minutes under emulation."""
    vm.virsh("qemu-monitor-command", json.dumps(
        {"execute": "set-action", "arguments": {"reboot": "shutdown"}}))
    before = vm.console()
    begin = time.monotonic()
    vm.virsh("reboot", "--mode", "agent")
    wait_until(vm.is_off, "the guest to be down", 90)
    note(f"down after {time.monotonic() - begin:.1f} s")
    assert "reboot: Restarting system" in vm.console()[len(before):]


@case("the reboot is on record in the boot that it ended", LIBVIRT, limit=120)
def _(vm):
    records.last_words(vm, "reboot")


@case("virsh reboot --mode agent, and the guest is back", LIBVIRT, full=True, limit=300)
def _(vm):
    before = vm.shell(BOOT)
    begin = time.monotonic()
    with vm.states_seen() as states:
        vm.virsh("reboot", "--mode", "agent")
        wait_until(lambda: states == ["disconnected", "connected"], lambda: f"{states}", 250)
    vm.answers()
    note(f"answers after {time.monotonic() - begin:.0f} s")
    vm.has_booted()
    assert vm.shell(BOOT) != before
    records.last_words(vm, "reboot")


@case("a sleep by force that fails halfway is said", RAW, limit=120)
def _(vm):
    """Where systemd refuses, the kernel is told. On its way it stops the port, which virsh
    takes for success."""
    if vm.agent.reference:
        skip("this agent says nothing then")
    with vm.profile("legacy"):
        before = vm.all_processes()
        with vm.client() as client:
            client.reset()
            begin = time.monotonic()
            reply = client.call("guest-suspend-disk", timeout=60)
            note(f"after {time.monotonic() - begin:.1f} s")
            assert reply["error"]["desc"] == \
                "suspend: cannot write to '/sys/power/state': No such device", reply
            assert client.call("guest-ping", timeout=40) == {"return": {}}
        assert "hibernation exit" in vm.shell("dmesg | grep 'PM: hibernation'", timeout=40)
        assert vm.all_processes() == before


@case("guest-shutdown of mode halt, without a reply", RAW, off=True, limit=120)
def _(vm):
    before = vm.console()
    with vm.client() as client:
        client.reset()
        reply = client.call("guest-shutdown", mode="sleep")
        assert reply["error"]["desc"].startswith("mode is invalid"), reply
        client.send(b'{"execute":"guest-shutdown","arguments":{"mode":"halt"}}\n')
        begin = time.monotonic()
        wait_until(lambda: "reboot: System halted" in vm.console()[len(before):],
                   "the kernel to say so", 90)
        note(f"halted after {time.monotonic() - begin:.1f} s")
        assert not select.select([client.sock], [], [], 0)[0], client.sock.recv(4096)
