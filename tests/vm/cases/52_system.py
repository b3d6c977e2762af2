"""Users, processors, memory, load and the time zone: what the host is told, and what who,
lscpu, lsmem and the kernel's files say inside; and all facts in one call."""
import re
from datetime import datetime

from agent import wait_until
from case import LIBVIRT, case, note, skip
from facts import between, by, devices, inside, links, listed, mounts, rows, same

CPU = "/sys/devices/system/cpu"


# ---- users --------------------------------------------------------------------------------

def logins(vm):
    """{user: earliest login} from utmp, which has microseconds where who has minutes."""
    found = {}
    for line in vm.shell("utmpdump /run/utmp 2>/dev/null").splitlines():
        kind, _pid, _id, user, _tty, _host, _addr, when = \
            (field.strip() for field in re.findall(r"\[([^]]*)\]", line))
        if kind == "7":
            when = datetime.fromisoformat(when.replace(",", ".")).timestamp()
            found[user] = min(found.get(user, when), when)
    return found


def compare_users(vm):
    expected = logins(vm)
    told = by("user", vm.ask("guest-get-users"))
    shown = by("name", rows(listed(vm.virsh("guestinfo", "--user"))["user"]))
    who = {line.split()[0] for line in vm.shell("who").splitlines()}
    same(set(told), who)
    same(set(shown), who)
    for user in who:
        assert set(told[user]) == {"user", "login-time"}, told
        assert abs(told[user]["login-time"] - expected[user]) < 1e-5, (told, expected)
        assert abs(int(shown[user]["login-time"]) - expected[user] * 1000) < 2, shown
    return who


@case("guest-get-users and virsh guestinfo --user are what who shows", LIBVIRT)
def _(vm):
    same(compare_users(vm), {"guest"})
    vm.shell("cp /run/utmp /run/utmp.before")
    vm.shell("systemctl start getty@tty2; systemd-run -q --unit vm-login "
             "-p UtmpIdentifier=tty3 -p UtmpMode=user "
             "/sbin/agetty --autologin root --noclear tty3 linux")
    try:
        wait_until(lambda: len(vm.shell("who").splitlines()) == 3, "three sessions", 20)
        same(compare_users(vm), {"guest", "root"})
    finally:
        vm.shell("systemctl stop getty@tty2 vm-login; cp /run/utmp.before /run/utmp; "
                 "rm /run/utmp.before")
    same(compare_users(vm), {"guest"})


# ---- processors -----------------------------------------------------------------------------

def compare_vcpus(vm):
    cpus = inside(vm, "lscpu -e=CPU,ONLINE -a -J")["cpus"]
    expected = {int(c["cpu"]): c["online"] in (True, "yes") for c in cpus}
    switches = {int(n) for n in vm.shell(f"cd {CPU}; ls -d cpu[0-9]*/online | tr -dc '0-9\\n'")
                .split()}
    told = by("logical-id", vm.ask("guest-get-vcpus"))
    same({n: (row["online"], row["can-offline"]) for n, row in told.items()},
         {n: (online, n in switches) for n, online in expected.items()})
    shown = dict(re.split(r"\s*: *", line) for line in vm.virsh("guestvcpus").splitlines())
    same(shown, {"vcpus": vm.shell(f"cat {CPU}/present"),
                 "online": vm.shell(f"cat {CPU}/online"),
                 "offlinable": ",".join(str(n) for n in sorted(switches))})
    stats = [row["cpu"] for row in vm.ask("guest-get-cpustats")]
    same(stats, [n for n, online in sorted(expected.items()) if online])
    return expected


@case("guest-get-vcpus and virsh guestvcpus are what lscpu shows", LIBVIRT)
def _(vm):
    same(compare_vcpus(vm), {0: True, 1: True})
    vm.shell(f"echo 0 >{CPU}/cpu1/online")
    try:
        same(compare_vcpus(vm), {0: True, 1: False})
    finally:
        vm.shell(f"echo 1 >{CPU}/cpu1/online")
    same(compare_vcpus(vm), {0: True, 1: True})


@case("guest-get-cpustats is /proc/stat in milliseconds", LIBVIRT)
def _(vm):
    names = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal", "guest",
             "guestnice")
    tick = 1000 // int(vm.shell("getconf CLK_TCK"))

    def now():
        lines = vm.shell("grep '^cpu[0-9]' /proc/stat").splitlines()
        return {int(number[3:]): dict(zip(names, (int(v) * tick for v in values)))
                for number, *values in map(str.split, lines)}
    before = now()
    told = by("cpu", vm.ask("guest-get-cpustats"))
    after = now()
    same(set(told), set(before))
    for number, row in told.items():
        assert set(row) == {"cpu", "type", *names} and row["type"] == "linux", row
        between(before[number], row, after[number], f"cpu{number}")
        assert row["idle"] > 0 and row["user"] > 0, row


@case("guest-get-load is /proc/loadavg", LIBVIRT)
def _(vm):
    if vm.agent.reference:
        skip("qemu-ga 7.2 does not know the command")

    def now():
        return [float(word) for word in vm.shell("cat /proc/loadavg").split()[:3]]
    before = now()
    told = vm.ask("guest-get-load")
    after = now()
    assert set(told) == {"load1m", "load5m", "load15m"}, told
    for name, low, high in zip(("load1m", "load5m", "load15m"), before, after):
        # The file has two digits.
        assert min(low, high) - 0.01 <= told[name] <= max(low, high) + 0.01, \
            (name, told, before, after)
    assert any(told.values()), told


# ---- memory ---------------------------------------------------------------------------------

@case("guest-get-memory-blocks is what lsmem shows", LIBVIRT)
def _(vm):
    found = inside(vm, "lsmem -a -b -J -o BLOCK,STATE,SIZE,REMOVABLE")["memory"]
    expected = {int(row["block"]): (row["state"] == "online", row["removable"])
                for row in found}
    told = by("phys-index", vm.ask("guest-get-memory-blocks"))
    same({n: (row["online"], row["can-offline"]) for n, row in told.items()}, expected)
    size, = {row["size"] for row in found}
    same(vm.ask("guest-get-memory-block-info"), {"size": size})
    note(f"{len(told)} of {size >> 20} MiB")


# ---- time zone ------------------------------------------------------------------------------

def zone(vm):
    sign, hours, minutes = re.fullmatch(r"([+-])(\d\d)(\d\d)", vm.shell("date +%z")).groups()
    return int(f"{sign}1") * (int(hours) * 60 + int(minutes)) * 60


@case("guest-get-timezone and virsh guestinfo --timezone are what date shows", LIBVIRT)
def _(vm):
    before = vm.shell("readlink /etc/localtime")
    seen = set()
    try:
        for place in ("Asia/Kathmandu", "America/St_Johns", "Etc/UTC"):
            # An agent may look once.
            vm.shell(f"ln -sf /usr/share/zoneinfo/{place} /etc/localtime; "
                     f"systemctl restart {vm.agent.unit}")
            vm.answers()
            expected = {"offset": zone(vm), "zone": vm.shell("date +%Z")}
            same(vm.ask("guest-get-timezone"), expected)
            shown = listed(vm.virsh("guestinfo", "--timezone"))["timezone"]
            same(shown, {"name": expected["zone"], "offset": str(expected["offset"])})
            seen.add(expected["offset"])
    finally:
        vm.shell(f"ln -sf {before} /etc/localtime; systemctl restart {vm.agent.unit}")
        vm.answers()
    assert len(seen) == 3, seen


# ---- all at once ----------------------------------------------------------------------------

@case("virsh guestinfo of every type", LIBVIRT)
def _(vm):
    """Asked for by name: then libvirt passes over nothing that the agent cannot tell."""
    shown = listed(vm.virsh("guestinfo", "--user", "--os", "--timezone", "--hostname",
                            "--filesystem", "--disk", "--interface"))
    same(set(shown), {"user", "os", "timezone", "hostname", "fs", "disk", "if"})
    same(shown["os"]["kernel-release"], vm.shell("uname -r"))
    same(shown["hostname"], vm.shell("hostname"))
    same(shown["timezone"]["offset"], str(zone(vm)))
    for group, key, expected in (
            ("user", "name", logins(vm)),
            ("fs", "mountpoint", [row["target"] for row in mounts(vm)]),
            ("disk", "name", devices(vm)),
            ("if", "name", [row["ifname"] for row in links(vm)])):
        same(set(by(key, rows(shown[group]))), set(expected), group)
