"""The package: what is confined, what it says, how it comes, is renewed and goes.

The guest has begun with the package of the agent that is tried, in the place of none. Here
Debian's qemu-guest-agent takes its place, is configured, and is replaced in turn. apt works
without a network: both packages, and all that they depend on, are inside.
"""
import contextlib
import re

import frozen
import image
from agent import wait_until
from case import LIBVIRT, RAW, case, note, skip
from facts import same
from machine import CHANNEL, refused

DEBS = image.DEBS
# A package may take a minute to be unpacked by an emulated processor.
APT = "DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends"
SLOW = 300
CONF = "/etc/qemu/qemu-ga.conf"
BLOCKED = "guest-get-timezone"
LEFT = ("find / -xdev -iname '*postern*' ! -path '/var/log/*' ! -path '/var/tmp/*' "
        "! -path '/etc/postern-vm' ! -path '/var/cache/*' "
        "! -path '/var/lib/systemd/catalog/*' ! -name 'postern-vm.conf'")


def ours(vm):
    if vm.agent.reference:
        skip("this is about our package")


def apt(vm, what):
    return vm.shell(f"{APT} {what} 2>&1", timeout=SLOW)


def first_lines(text):
    return [line.strip() for line in text.splitlines()[:3]]


# ---- what runs ------------------------------------------------------------------------------

@case("each process in the mount namespace of PID 1, with what it needs", LIBVIRT)
def _(vm):
    """And what systemd makes of the unit; the processes leave themselves less than that."""
    ours(vm)
    rated = []
    for name in ("postern.service", "qemu-guest-agent.service"):
        text = vm.shell(f"systemd-analyze --no-pager security {name}")
        rated.append(re.search(r"exposure level for \S+: (\S+)", text)[1])
    same(rated[0], rated[1])
    note(f"postern.service {rated[0]}")
    has = {}
    for part, pid in vm.all_processes().items():
        rows = vm.shell(f"cat /proc/{pid}/status; readlink /proc/{pid}/ns/mnt /proc/1/ns/mnt"
                        ).splitlines()
        same(rows[-2], rows[-1])
        status = dict(row.split(":\t", 1) for row in rows[:-2])
        has[part] = {k: status[k].strip().lstrip("0") or "0"
                     for k in ("Uid", "CapEff", "CapBnd", "NoNewPrivs", "Seccomp")}
        note(f"{part}: CapEff {has[part]['CapEff']}")
    for part in ("frontend", "inspector", "policy reader", "audit writer"):
        if part in has:
            same(has[part]["CapEff"], "0")
            same(has[part]["NoNewPrivs"], "1")
    for part in has:
        same(has[part]["Seccomp"], "2")  # a filter: at the least the unit's


@case("the drop-in for the profile safe leaves what that needs", LIBVIRT, limit=120)
def _(vm):
    ours(vm)
    folder = "/run/systemd/system/postern.service.d"
    again = "systemctl daemon-reload; systemctl restart postern.service"
    vm.shell(f"mkdir -p {folder}; ln -s /usr/share/postern/systemd/safe.conf {folder}; {again}")
    try:
        vm.answers()
        text = vm.shell("systemd-analyze --no-pager security postern.service")
        note(re.search(r"exposure level for \S+: (\S+)", text)[1])
        frozen.thaw(vm, frozen.freeze(vm))
        vm.ask("guest-set-time", time=vm.ask("guest-get-time") + 2 * 10**9)
        vm.shell("date -s @$(($(date +%s) - 2))")
        vm.virsh("domfstrim")
        for flag in ("--os", "--filesystem", "--interface", "--disk", "--user", "--hostname"):
            vm.virsh("guestinfo", flag)
        same(vm.ask("guest-set-vcpus", vcpus=[{"logical-id": 1, "online": True}]), 1)
    finally:
        vm.shell(f"rm -r {folder}; {again}")
        vm.answers()


@case("a start and a stop log neither ERROR nor FAILED nor WARNING", LIBVIRT)
def _(vm):
    vm.answers()
    since = frozen.now(vm)
    vm.shell(f"systemctl stop {vm.agent.unit}; systemctl start {vm.agent.unit}")
    vm.answers()
    lines = vm.shell(f"journalctl -q --no-pager -S @{since} -u {vm.agent.unit} "
                     f"-u 'postern-spawner*' _PID=1 + _SYSTEMD_UNIT={vm.agent.unit}")
    assert lines, "nothing is in the journal"
    bad = [line for line in lines.splitlines() if re.search("error|failed|warning", line, re.I)]
    assert not bad, bad


@case("a worker that hangs is replaced by the watchdog", LIBVIRT, full=True, limit=420)
def _(vm):
    ours(vm)
    before = vm.all_processes()
    vm.shell(f"kill -STOP {before['worker']}")
    wait_until(lambda: vm.processes().get("supervisor") not in (None, before["supervisor"]),
               "another agent", 330)
    vm.answers()
    assert not set(before.values()) & set(vm.all_processes().values())


def add_idle(seconds, host, by, **options):
    @case(f"no wake-ups in {seconds} s, {host}, but a sign of life a minute", by,
          limit=seconds + 60, **options)
    def _(vm):
        vm.reached()
        count = vm.wakeups(seconds)
        note(", ".join(f"{n} {name}" for name, n in count.items()))
        # What is woken may be interrupted as well, which counts as another switch.
        assert max(count.values()) <= 2 * (seconds // 60 + 1), count


add_idle(300, "connected", LIBVIRT, full=True)
add_idle(300, "the host away", RAW, full=True)


# ---- qemu-guest-agent is replaced -------------------------------------------------------------

@case("a purge leaves nothing", LIBVIRT, limit=SLOW)
def _(vm):
    ours(vm)
    apt(vm, "purge postern")
    wait_until(lambda: vm.state() == "disconnected", "libvirt to see it", 20)
    same(vm.shell(f"{LEFT}; grep -l postern /etc/passwd /etc/group /etc/shadow; true"), "")
    same(vm.shell("pgrep -f postern || true"), "")


@case("qemu-guest-agent with a block list and a drop-in", LIBVIRT, limit=SLOW)
def _(vm):
    ours(vm)
    apt(vm, f"install {DEBS}/{image.REFERENCE}.deb")
    vm.shell(f"mkdir -p /etc/qemu; printf '[general]\\nblock-rpcs={BLOCKED}\\n' >{CONF}; "
             "mkdir -p /etc/systemd/system/qemu-guest-agent.service.d; "
             "printf '[Service]\\nExecStart=\\nExecStart=-/usr/sbin/qemu-ga "
             "--block-rpcs=guest-get-users\\n' "
             ">/etc/systemd/system/qemu-guest-agent.service.d/list.conf; "
             "systemctl daemon-reload; systemctl restart qemu-guest-agent")
    vm.answers()
    # Of qemu-ga's lists the last one counts.
    assert "has been disabled" in refused(vm.ask, "guest-get-users")


@case("apt install replaces it: the lists hold, the host changes nothing", LIBVIRT, limit=SLOW)
def _(vm):
    ours(vm)
    said = apt(vm, f"install {DEBS}/postern.deb")
    vm.answers(60)
    note("; ".join(line for line in said.splitlines() if "policy" in line)[:160])
    status = vm.shell("systemctl status qemu-guest-agent --no-pager")
    assert "Guest agent (Postern)" in first_lines(status)[0], status
    assert "active (running)" in status, status
    for command in (BLOCKED, "guest-get-users"):
        assert "has been disabled" in refused(vm.ask, command), command
    same(vm.shell("pgrep qemu-ga"), str(vm.all_processes()["supervisor"]))
    same(vm.shell("grep -c 'base = legacy' /etc/postern/policy.conf"), "1")
    # Everything else is as it was, with a program and a file.
    assert vm.ask("guest-get-host-name")["host-name"] == vm.shell("uname -n")
    vm.virsh("domfsinfo")
    vm.virsh("guestinfo", "--os")
    frozen.thaw(vm, frozen.freeze(vm))
    pid = vm.ask("guest-exec", path="/usr/bin/true")["pid"]
    wait_until(lambda: vm.ask("guest-exec-status", pid=pid)["exited"], "its end", 10)
    handle = vm.ask("guest-file-open", path="/run/x", mode="w")
    vm.ask("guest-file-close", handle=handle)
    vm.shell("rm /run/x; posternctl check")


@case("an upgrade while a file system is frozen", LIBVIRT, limit=SLOW)
def _(vm):
    """The freeze stays as long as the host wants it, and can be thawed; then the new version
    takes over."""
    ours(vm)
    old = vm.all_processes()["supervisor"]
    vm.shell(f"cd {DEBS} && dpkg-deb -R postern.deb next && "
             "sed -i 's/^Version: .*/&+next/' next/DEBIAN/control && "
             "dpkg-deb -Znone -b next next.deb && rm -r next", timeout=SLOW)
    before = vm.shell("dpkg-query -W -f '${Version}' postern")
    with frozen.at_last(vm, "true"):
        count = vm.domain.fsFreeze(["/mnt/xfs"])
        same(count, 1)
        frozen.probe(vm, ["/mnt/xfs"])
        same(frozen.waiting(vm), {"/mnt/xfs"})
        apt(vm, f"install {DEBS}/next.deb")
        same(vm.shell("dpkg-query -W -f '${Version}' postern"), before + "+next")
        vm.reached(60)
        frozen.thaw(vm, count)
    wait_until(lambda: vm.processes().get("supervisor") not in (None, old), "the new one", 30)
    wait_until(lambda: vm.shell("systemctl is-active postern-restart || true") != "active",
               "its restart to be over", 30)
    vm.reached()
    vm.all_processes()
    assert "has been disabled" in refused(vm.ask, BLOCKED)


@case("a removal while a file system is frozen thaws it", LIBVIRT, limit=SLOW)
def _(vm):
    ours(vm)
    with frozen.at_last(vm, "true"):
        same(vm.domain.fsFreeze(["/mnt/xfs"]), 1)
        frozen.probe(vm, ["/mnt/xfs"])
        same(frozen.waiting(vm), {"/mnt/xfs"})
        apt(vm, "remove postern")
        frozen.gone_on(vm)
    same(vm.shell("pgrep -f postern || true"), "")
    assert not vm.port_is_open(), CHANNEL


@case("qemu-guest-agent is back as it was", LIBVIRT, full=True, limit=SLOW)
def _(vm):
    """Nothing of its was changed."""
    ours(vm)
    apt(vm, f"install {DEBS}/{image.REFERENCE}.deb")
    vm.shell("systemctl start qemu-guest-agent")  # Debian's starts at the next boot
    vm.answers(60)
    assert "has been disabled" in refused(vm.ask, "guest-get-users")
    same(vm.shell("systemctl show -P FragmentPath qemu-guest-agent | xargs dpkg -S"
                  " | cut -d: -f1"), image.REFERENCE)


@case("a fresh install has the profile safe", LIBVIRT, limit=SLOW)
def _(vm):
    ours(vm)
    apt(vm, f"purge {image.REFERENCE} postern")
    vm.shell(f"rm -rf {CONF} /etc/systemd/system/qemu-guest-agent.service.d; "
             "systemctl daemon-reload")
    apt(vm, f"install {DEBS}/postern.deb")
    vm.answers(60)
    same(vm.shell("ls /etc/postern/policy.conf 2>/dev/null || true"), "")
    assert "has been disabled" in refused(vm.ask, "guest-set-user-password")
    assert "'safe'" in (text := vm.shell("posternctl status")) or "safe" in text, text
    vm.all_processes()


# ---- cloud-init -------------------------------------------------------------------------------

SOURCE = "deb [trusted=yes] file:/var/tmp/debs ./"
PIN = "/usr/share/doc/postern/examples/apt-preferences"


@contextlib.contextmanager
def archive(vm):
    """apt knows both packages, and that the agent is not to be replaced."""
    vm.shell(f"cp {PIN} /etc/apt/preferences.d/postern; "
             "mkdir /run/sources; mv /etc/apt/sources.list* /run/sources 2>/dev/null; "
             f"echo '{SOURCE}' >/etc/apt/sources.list; apt-get -q update 2>&1", timeout=SLOW)
    try:
        yield
    finally:
        vm.shell("rm /etc/apt/preferences.d/postern; rm /etc/apt/sources.list; "
                 "mv /run/sources/* /etc/apt/; rmdir /run/sources")


@case("what cloud-init is usually told: packages and runcmd", LIBVIRT, full=True, limit=SLOW)
def _(vm):
    """`packages: [qemu-guest-agent]` and what runcmd says of it, in an image that has ours."""
    ours(vm)
    with archive(vm):
        said = apt(vm, "install qemu-guest-agent")
        assert "postern" in said, said
        for command in ("systemctl enable --now qemu-guest-agent",
                        "systemctl enable qemu-guest-agent.service",
                        "systemctl start qemu-guest-agent",
                        "systemctl restart qemu-guest-agent"):
            vm.shell(command)
        vm.answers(30)
        vm.all_processes()


# ---- each profile -----------------------------------------------------------------------------

def add_profile(name):
    @case(f"a boot with the profile {name}", LIBVIRT, full=True, limit=SLOW)
    def _(vm):
        ours(vm)
        vm.shell(f"mkdir -p /etc/postern; printf '[policy]\\nversion = 1\\nbase = {name}\\n' "
                 ">/etc/postern/policy.conf; sync")
        try:
            vm.reset()
            note(f"posternctl status: {vm.shell('posternctl status | head -3')}")
            assert name in vm.shell("posternctl status")
        finally:
            vm.shell("rm /etc/postern/policy.conf; systemctl restart postern")
            vm.answers()


for profile in ("none", "confidential", "safe", "libvirt", "proxmox", "kubevirt", "openstack",
                "legacy"):
    add_profile(profile)
