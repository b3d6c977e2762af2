"""What libvirt and its users see of the agent while all goes well."""
import json
import time

from case import LIBVIRT, case, note
from machine import refused


@case("boot to the first answer", LIBVIRT, boots=True, limit=180)
def _(vm):
    vm.answers(timeout=150)
    note(f"{time.monotonic() - vm.machine.started:.1f} s after QEMU was started")


@case("libvirt shows the channel as connected", LIBVIRT)
def _(vm):
    assert vm.state() == "connected"
    assert "state='connected'" in vm.virsh("dumpxml")
    assert vm.port_is_open()


@case("guest-ping", LIBVIRT)
def _(vm):
    assert vm.ask("guest-ping") == {}
    assert json.loads(vm.virsh("qemu-agent-command", '{"execute":"guest-ping"}')) == \
        {"return": {}}


@case("guest-info", LIBVIRT)
def _(vm):
    info = vm.ask("guest-info")
    inside = vm.shell(f"{vm.agent.program} --version")
    number = info["version"].split()[0]
    assert [int(part) for part in number.split(".")] > [1]
    assert number in inside, inside
    commands = {c["name"]: c for c in info["supported_commands"]}
    for name in ("guest-sync", "guest-sync-delimited", "guest-ping", "guest-info"):
        assert commands[name] == {"name": name, "enabled": True, "success-response": True}
    assert not commands["guest-exec"]["enabled"]


@case("guest-info under legacy: whatever Linux has is enabled", LIBVIRT)
def _(vm):
    with vm.profile("legacy"):
        commands = {c["name"]: c["enabled"] for c in vm.ask("guest-info")["supported_commands"]}
        if not vm.agent.reference:
            vm.shell("pgrep -f postern-spawner")  # some of them are programs
    commands.pop("guest-get-devices", None)  # of Windows
    off = {name for name, enabled in commands.items() if not enabled}
    assert not off, off
    assert len(commands) == (41 if vm.agent.reference else 43), commands


@case("guest-get-time is the time inside", LIBVIRT)
def _(vm):
    before = int(vm.shell("date +%s%N"))
    told = vm.ask("guest-get-time")
    after = int(vm.shell("date +%s%N"))
    # Microseconds outside, nanoseconds inside.
    assert before - 1000 <= told <= after, (before, told, after)
    seconds = int(vm.virsh("domtime").split()[-1])
    assert abs(seconds - after // 10**9) < 10


@case("virsh guestinfo --os is the system inside", LIBVIRT)
def _(vm):
    shown = facts(vm.virsh("guestinfo", "--os"))
    inside = dict(line.split("=", 1)
                  for line in vm.shell("cat /etc/os-release").splitlines())
    for ours, theirs in (("id", "ID"), ("name", "NAME"), ("pretty-name", "PRETTY_NAME"),
                         ("version", "VERSION"), ("version-id", "VERSION_ID")):
        assert shown[f"os.{ours}"] == inside[theirs].strip('"'), ours
    for name, option in (("kernel-release", "r"), ("kernel-version", "v"), ("machine", "m")):
        assert shown[f"os.{name}"] == vm.shell(f"uname -{option}"), name


@case("virsh domhostname is the name inside", LIBVIRT)
def _(vm):
    inside = vm.shell("uname -n")
    assert vm.virsh("domhostname", "--source", "agent").strip() == inside
    vm.shell("hostname another-name")
    try:
        assert facts(vm.virsh("guestinfo", "--hostname"))["hostname"] == "another-name"
    finally:
        vm.shell(f"hostname {inside}")


@case("virsh guestinfo without a choice of facts", LIBVIRT)
def _(vm):
    """Libvirt passes over what a guest cannot tell, and over no other error."""
    shown = facts(vm.virsh("guestinfo"))
    assert shown["os.id"] == vm.shell(". /etc/os-release; echo $ID")
    assert shown["hostname"] == vm.shell("uname -n")
    assert shown["timezone.offset"] == "0"


@case("a refused command as libvirt shows it", LIBVIRT)
def _(vm):
    marker = "/run/the-host-was-here"
    request = {"execute": "guest-exec",
               "arguments": {"path": "/usr/bin/touch", "arg": [marker]}}
    text = refused(vm.virsh, "qemu-agent-command", json.dumps(request))
    assert "unable to execute QEMU agent command 'guest-exec'" in text, text
    assert "Command guest-exec has been disabled" in text, text
    vm.shell(f"test ! -e {marker}")
    assert vm.ask("guest-ping") == {}


@case("an unknown command as libvirt shows it", LIBVIRT)
def _(vm):
    text = refused(vm.virsh, "qemu-agent-command", '{"execute":"guest-dance"}')
    assert "The command guest-dance has not been found" in text, text
    assert vm.ask("guest-ping") == {}


@case("sync after a client's time-out", LIBVIRT)
def _(vm):
    pid = vm.all_processes()[vm.agent.reader]
    vm.shell(f"kill -STOP {pid}")
    try:
        refused(vm.ask, "guest-get-host-name", timeout=1)
    finally:
        vm.shell(f"kill -CONT {pid}")
    # The late reply is the host's name: libvirt must not take it for that to a ping.
    assert vm.ask("guest-ping") == {}
    assert vm.ask("guest-get-host-name")["host-name"] == vm.shell("uname -n")
    assert vm.all_processes()[vm.agent.reader] == pid


@case("no wake-ups while libvirt is connected and idle", LIBVIRT)
def _(vm):
    vm.answers()
    assert vm.state() == "connected"
    count = vm.wakeups()
    note(", ".join(f"{n} {name}" for name, n in count.items()))
    assert max(count.values()) <= 2, count
    vm.answers()


def facts(text):
    """virsh guestinfo's output as a dict."""
    return {k.strip(): v.strip() for k, _, v in
            (line.partition(":") for line in text.splitlines() if ":" in line)}
