"""The guest sleeps and is woken, by libvirt; and what it cannot do it says at once.

Under emulation it sleeps once a boot, and not after something was plugged in; and it has to
be booted for that (sleeps=True): hence here, after a shutdown.
"""
import time

from agent import wait_until
from case import LIBVIRT, RAW, case, note, skip
from machine import refused


@case("a sleep that the guest cannot do is refused at once", RAW, limit=120, sleeps=True)
def _(vm):
    """There is nowhere to write the memory to."""
    if vm.agent.reference:
        skip("this agent says nothing then")
    boot = vm.shell("swapon --noheadings; cat /proc/sys/kernel/random/boot_id")
    with vm.profile("libvirt"), vm.client() as client:
        client.reset()
        for mode in ("disk", "hybrid"):
            begin = time.monotonic()
            reply = client.call(f"guest-suspend-{mode}", timeout=20)
            note(f"{mode}: {time.monotonic() - begin:.1f} s")
            assert "error" in reply, reply
            assert "suspend" in reply["error"]["desc"], reply
        assert client.call("guest-ping") == {"return": {}}
    assert vm.shell("cat /proc/sys/kernel/random/boot_id") == boot


@case("virsh dompmsuspend --target mem, and dompmwakeup", LIBVIRT, limit=180, sleeps=True)
def _(vm):
    with vm.profile("libvirt"):
        before = vm.all_processes()
        vm.virsh("dompmsuspend", "--target", "mem", timeout=60)
        begin = time.monotonic()
        wait_until(lambda: vm.virsh("domstate").strip() == "pmsuspended",
                   "the guest to sleep", 60)
        asleep = time.monotonic()
        time.sleep(2)
        vm.virsh("dompmwakeup")
        vm.answers(timeout=60)
        note(f"asleep after {asleep - begin:.1f} s, "
             f"answers {time.monotonic() - asleep - 2:.1f} s after it was woken")
        assert vm.virsh("domstate").strip() == "running"
        assert vm.ask("guest-get-host-name")["host-name"] == vm.shell("uname -n")
        assert vm.all_processes() == before
        assert "suspend entry (deep)" in vm.shell("dmesg | grep 'PM: suspend'")
        assert abs(int(vm.virsh("domtime").split()[-1]) - time.time()) < 10
        for target in ("disk", "hybrid") if not vm.agent.reference else ():
            begin = time.monotonic()
            text = refused(vm.virsh, "dompmsuspend", "--target", target)
            assert f"'guest-suspend-{target}'" in text, text
            assert time.monotonic() - begin < 10
        vm.answers()
