"""Disks and file systems: what the host is told, and what lsblk, findmnt, udev and stat
say inside. machine.HARDWARE is what the guest was given."""
from case import LIBVIRT, case, note, skip
from facts import (addresses, below, between, by, columns, devices, disk_of, inside, listed,
                   mounts, rows, same, sizes)

SMART = {  # ours: nvme-cli's
    "critical-warning": "critical_warning", "temperature": "temperature",
    "available-spare": "avail_spare", "available-spare-threshold": "spare_thresh",
    "percentage-used": "percent_used", "data-units-read": "data_units_read",
    "data-units-written": "data_units_written", "host-read-commands": "host_read_commands",
    "host-write-commands": "host_write_commands",
    "controller-busy-time": "controller_busy_time", "power-cycles": "power_cycles",
    "power-on-hours": "power_on_hours", "unsafe-shutdowns": "unsafe_shutdowns",
    "media-errors": "media_errors", "number-of-error-log-entries": "num_err_log_entries"}
DISKSTATS = ("read-ios", "read-merges", "read-sectors", "read-ticks", "write-ios",
             "write-merges", "write-sectors", "write-ticks", "ios-pgr", "total-ticks",
             "weight-ticks", "discard-ios", "discard-merges", "discard-sectors",
             "discard-ticks", "flush-ios", "flush-ticks")


@case("guest-get-disks is what lsblk shows", LIBVIRT)
def _(vm):
    devs = devices(vm)
    told = by("name", vm.ask("guest-get-disks"))
    same(set(told), set(devs))
    kinds = {row["type"] for row in devs.values()}
    assert {"disk", "part", "dm", "raid1"} <= kinds, kinds
    for node, row in devs.items():
        disk = told[node]
        same(disk["partition"], row["type"] == "part", node)
        same(set(disk["dependencies"]), row["below"], node)
        assert len(disk["dependencies"]) == len(row["below"]), disk
        same(disk.get("alias"), row["udev"].get("DM_NAME"), node)
        assert ("address" in disk) == (row["type"] == "disk"), disk
    note(f"{len(devs)}: {', '.join(sorted(kinds))}")


@case("guest-get-disks has every disk where QEMU put it", LIBVIRT)
def _(vm):
    expected, disks = addresses(vm, devices(vm))
    told = {d["name"]: d["address"] for d in vm.ask("guest-get-disks") if "address" in d}
    same(told, expected)
    note(", ".join(sorted({disk.bus_type for disk in disks.values()})))


@case("guest-get-disks while a loop device comes and goes", LIBVIRT)
def _(vm):
    before = by("name", vm.ask("guest-get-disks"))
    loop = vm.shell("truncate -s 1M /run/vm-loop && losetup -f --show /run/vm-loop")
    try:
        now = by("name", vm.ask("guest-get-disks"))
        same(now.pop(loop), {"name": loop, "partition": False, "dependencies": []})
        same(set(now), set(before))
    finally:
        vm.shell(f"losetup -d {loop}; rm /run/vm-loop")
    same(set(by("name", vm.ask("guest-get-disks"))), set(before))


@case("guest-get-diskstats is /proc/diskstats", LIBVIRT)
def _(vm):
    def now():
        lines = [line.split() for line in vm.shell("cat /proc/diskstats").splitlines()]
        return {name: (int(major), int(minor), dict(zip(DISKSTATS, map(int, numbers))))
                for major, minor, name, *numbers in lines}
    before = now()
    told = vm.ask("guest-get-diskstats")
    after = now()
    same([row["name"] for row in told], list(before))
    for row in told:
        major, minor, numbers = before[row["name"]]
        same((row["major"], row["minor"]), (major, minor), row["name"])
        assert set(row["stats"]) == set(DISKSTATS), row
        between(numbers, row["stats"], after[row["name"]][2], row["name"])
    assert any(row["stats"]["read-sectors"] for row in told)


def filesystems(vm, devs):
    """What guest-get-fsinfo should say, but for byte counts: in the order of the mounts."""
    places, _disks = addresses(vm, devs)
    names = {row["udev"]["DM_NAME"]: node for node, row in devs.items()
             if row["type"] == "dm"}
    expected = []
    for row in mounts(vm):
        node = names.get(row["source"].removeprefix("/dev/mapper/"), row["source"])
        disks = {dev: {**places[disk_of(devs, dev)], "dev": dev} for dev in below(devs, node)}
        expected.append({"name": node.removeprefix("/dev/"), "mountpoint": row["target"],
                         "type": row["fstype"], "disk": disks})
    return expected


@case("guest-get-fsinfo is what findmnt and lsblk show", LIBVIRT)
def _(vm):
    told = vm.ask("guest-get-fsinfo")
    expected = filesystems(vm, devices(vm))
    same([fs["mountpoint"] for fs in told], [fs["mountpoint"] for fs in reversed(expected)])
    assert {len(fs["disk"]) for fs in expected} == {1, 2}
    for fs, other in zip(told, reversed(expected)):
        assert len(fs["disk"]) == len(other["disk"]), fs
        shown = {**fs, "disk": by("dev", fs["disk"])}
        same({key: shown[key] for key in other}, other, fs["mountpoint"])


@case("guest-get-fsinfo counts bytes as stat does", LIBVIRT)
def _(vm):
    targets = [row["target"] for row in mounts(vm)]
    before = sizes(vm, targets)
    told = by("mountpoint", vm.ask("guest-get-fsinfo"))
    after = sizes(vm, targets)
    for target in targets:
        if vm.agent.reference:  # since QEMU 9.1
            for numbers in (before, after):
                del numbers[target]["total-bytes-privileged"]
        assert after[target]["total-bytes"] > 0
        between(before[target], told[target], after[target], target)


def findable(vm, disks):
    """{node: libvirt's name} of those that it finds by the address that it is told; it has
    none of disks on USB, and nobody has the target from the reference."""
    return {node: disk.dev for node, disk in disks.items()
            if disk.dev and disk.bus_type != "usb"
            and not (vm.agent.reference and disk.target)}


def volume(disks, node, **shown):
    """A disk as guestinfo shows it: with libvirt's name where that is found."""
    return {**shown, "alias": disks[node]} if node in disks else shown


@case("virsh domfsinfo", LIBVIRT)
def _(vm):
    devs = devices(vm)
    disks = findable(vm, addresses(vm, devs)[1])
    expected = {}
    for fs in filesystems(vm, devs):
        nodes = {disk_of(devs, dev) for dev in fs["disk"]}
        expected[fs["mountpoint"]] = [fs["name"], fs["type"],
                                      sorted(disks[node] for node in nodes & set(disks))]
    told = {}
    for line in vm.virsh("domfsinfo").splitlines():
        target, name, kind, *names = columns(line)
        told[target] = [name, kind, sorted(names[0].split(",")) if names else []]
    same(told, expected)


@case("virsh guestinfo --filesystem", LIBVIRT)
def _(vm):
    devs = devices(vm)
    disks = findable(vm, addresses(vm, devs)[1])
    expected = by("mountpoint", filesystems(vm, devs))
    before = sizes(vm, expected)
    shown = by("mountpoint", rows(listed(vm.virsh("guestinfo", "--filesystem"))["fs"]))
    after = sizes(vm, expected)
    same(set(shown), set(expected))
    for target, fs in expected.items():
        told = shown[target]
        same((told["name"], told["fstype"]), (fs["name"], fs["type"]), target)
        between({key: before[target][key] for key in ("used-bytes", "total-bytes")},
                {key: int(told[key]) for key in ("used-bytes", "total-bytes")},
                after[target], target)
        same(by("device", rows(told["disk"])),
             {dev: volume(disks, disk_of(devs, dev), device=dev, serial=place["serial"])
              for dev, place in fs["disk"].items()}, target)


@case("virsh guestinfo --disk", LIBVIRT)
def _(vm):
    devs = devices(vm)
    places, disks = addresses(vm, devs)
    disks = findable(vm, disks)
    shown = by("name", rows(listed(vm.virsh("guestinfo", "--disk"))["disk"]))
    same(set(shown), set(devs))
    for node, row in devs.items():
        told = shown[node]
        names = [d["name"] for d in rows(told.pop("dependency", {"count": "0"}))]
        same(sorted(names), sorted(row["below"]), node)
        expected = {"name": node, "partition": "yes" if row["type"] == "part" else "no"}
        if node in places:
            expected = volume(disks, node, serial=places[node]["serial"], **expected)
        if row["type"] == "dm":
            expected["guest_alias"] = row["udev"]["DM_NAME"]
        same(told, expected, node)


def smart(vm):
    """{node: the health that guest-get-disks tells of it}, where it does."""
    return {d["name"]: d["smart"] for d in vm.ask("guest-get-disks") if "smart" in d}


@case("the health of an NVMe disk, where the policy says so", LIBVIRT)
def _(vm):
    def now():
        log = inside(vm, f"nvme smart-log -o json {node}")
        return {ours: int(log[theirs]) for ours, theirs in SMART.items()}
    disks = addresses(vm, devices(vm))[1]
    node, = (node for node, disk in disks.items() if disk.bus_type == "nvme")
    with vm.profile("legacy"):
        before = now()
        told = smart(vm)
        after = now()
    assert set(told) == {node}, told
    shown = {name: told[node][name] if name in told[node] else
             told[node][f"{name}-lo"] + (told[node][f"{name}-hi"] << 64) for name in SMART}
    between(before, shown, after, node)
    assert told[node]["type"] == "nvme" and shown["temperature"] > 273, shown
    assert shown["host-read-commands"] > 0, shown


@case("the health of an NVMe disk is none of the host's business", LIBVIRT)
def _(vm):
    if vm.agent.reference:
        skip("it always tells")
    same(smart(vm), {})
