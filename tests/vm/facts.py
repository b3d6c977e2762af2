"""facts - what the guest's own tools say, in the shape of the agent's replies

Each function here looks inside with a tool that knows nothing of the agent (lsblk,
findmnt, ip, udevadm) and makes of that what a reply should be. Cases compare the two.
"""
import json
import re

from machine import HARDWARE


def inside(vm, command):
    """What a command inside prints as JSON."""
    return json.loads(vm.shell(command))


def by(key, rows):
    """The rows as a dict; a key that comes twice is a failure."""
    found = {row[key]: row for row in rows}
    assert len(found) == len(rows), f"{key} twice: {rows}"
    return found


def same(told, expected, what=""):
    """Equal, or a failure that names what is not (and not all that is)."""
    if told == expected:
        return
    if isinstance(told, dict) and isinstance(expected, dict):
        for key in told.keys() | expected.keys():
            same(told.get(key, "(missing)"), expected.get(key, "(missing)"), f"{what}.{key}")
    raise AssertionError(f"{what or 'told'}: {told}, inside it is {expected}")


def between(before, told, after, what):
    """For values that move by themselves: each number lies where it was seen, or between."""
    for key in before:
        low, high = sorted((before[key], after[key]))
        assert low <= told[key] <= high, f"{what}.{key}: {told[key]}, inside {low} to {high}"


def listed(text):
    """virsh guestinfo's output as nested dicts: {"fs": {"count": 9, 0: {"name": ...}}}."""
    top = {}
    for line in text.splitlines():
        path, _, value = line.partition(":")
        keys = [int(k) if k.isdigit() else k for k in path.strip().split(".")]
        folder = top
        for key in keys[:-1]:
            folder = folder.setdefault(key, {})
        folder[keys[-1]] = value.strip()
    return top


def rows(group):
    """The elements of a part of listed(), which counts them itself."""
    found = [group[n] for n in range(int(group["count"]))]
    assert set(group) == {"count", *range(len(found))}, group
    return found


# ---- disks -------------------------------------------------------------------------------

def walk(tree, key="children"):
    """All elements of a tree as lsblk and findmnt print it, those above first."""
    for element in tree:
        yield element
        yield from walk(element.get(key, []))


def devices(vm):
    """{node: row of lsblk with "below", the nodes that it stands on, and "udev", what
    udev knows}; what has no size, such as a loop device without a file, is left out."""
    found, known = {}, udev(vm)
    for row in walk(inside(vm, "lsblk -a -b -J -o KNAME,TYPE,PKNAME,SIZE,SERIAL")
                    ["blockdevices"]):
        node = f"/dev/{row['kname']}"
        if row["size"]:
            found.setdefault(node, {**row, "below": set(), "udev": known[node]})
            if row["pkname"]:
                found[node]["below"].add(f"/dev/{row['pkname']}")
    return found


def udev(vm):
    """{node: properties in udev's database}."""
    found = {}
    for part in vm.shell("udevadm info -e").split("\n\n"):
        rows_of = [line[3:].split("=", 1) for line in part.splitlines() if line[:2] == "E:"]
        values = dict(row for row in rows_of if len(row) == 2)
        if "DEVNAME" in values:
            found[values["DEVNAME"]] = values
    return found


def pci_of(vm, disk):
    """The controller's address, as libvirt or QEMU was told it."""
    if not disk.dev:
        return {"domain": 0, "bus": 0, "slot": disk.slot, "function": 0}
    place = f"./disk/target[@dev='{disk.dev}']/.." if disk.bus_type == "virtio" \
        else f"./controller[@type='{disk.bus_type}']"
    found = vm.devices().find(place).find("address[@type='pci']")
    return {part: int(found.get(part), 16) for part in ("domain", "bus", "slot", "function")}


def addresses(vm, devs):
    """{node: address} of every disk that the guest was given, and {node: Disk}; DEVS are
    its devices()."""
    nodes = {row["serial"]: node for node, row in devs.items() if row["serial"]}
    disks = {nodes[disk.serial]: disk for disk in HARDWARE}
    found = {}
    for node, disk in disks.items():
        found[node] = {"bus-type": disk.bus_type, "bus": disk.bus, "target": disk.target,
                       "unit": disk.unit, "pci-controller": pci_of(vm, disk), "dev": node,
                       "serial": devs[node]["udev"]["ID_SERIAL"]}
        if vm.agent.reference and disk.bus_type == "scsi":
            found[node]["target"] = 0  # it forgets that (protocol 5.5)
        if vm.agent.reference and disk.bus_type == "usb":  # since QEMU 8.1
            found[node].update({"bus-type": "unknown", "pci-controller": dict.fromkeys(
                ("domain", "bus", "slot", "function"), -1)})
    return found, disks


def below(devs, node):
    """The nodes of the disks, or of their partitions, that a device stands on."""
    row = devs[node]
    if row["type"] in ("disk", "part"):
        return {node}
    return set().union(*(below(devs, other) for other in row["below"]))


def disk_of(devs, node):
    """The disk of a partition; a disk is its own."""
    return next(iter(devs[node]["below"]), node)


# ---- file systems ---------------------------------------------------------------------

def mounts(vm):
    """Rows of findmnt, in the order of the mounts: those of block devices."""
    found = inside(vm, "findmnt -k -l -J -v -o TARGET,SOURCE,FSTYPE")["filesystems"]
    return [row for row in found if row["source"].startswith("/dev/")]


def sizes(vm, targets):
    """{target: its byte counts}, from blocks as stat counts them."""
    found = {}
    quoted = " ".join(f"'{target}'" for target in targets)
    lines = vm.shell(f"stat -f -c '%S %b %f %a' {quoted}").splitlines()
    for target, line in zip(targets, lines):
        unit, total, free, mine = map(int, line.split())
        found[target] = {"used-bytes": (total - free) * unit,
                         "total-bytes": (total - free + mine) * unit,
                         "total-bytes-privileged": total * unit}
    return found


# ---- network --------------------------------------------------------------------------

TYPES = {"inet": "ipv4", "inet6": "ipv6"}


def links(vm):
    """ip's rows of all interfaces, in its order."""
    return inside(vm, "ip -s -j address show")


def ip_addresses(row, label=None):
    """Those of a row of links() as the protocol has them; with a label, or without one."""
    return [{"ip-address": a["local"], "ip-address-type": TYPES[a["family"]],
             "prefix": a["prefixlen"]}
            for a in row["addr_info"] if label in (None, a.get("label", row["ifname"]))]


def counters(row):
    """The statistics of a row of links()."""
    return {f"{way}-{name}": row["stats64"][way][field] for way in ("rx", "tx")
            for name, field in (("bytes", "bytes"), ("packets", "packets"),
                                ("errs", "errors"), ("dropped", "dropped"))}


def columns(line):
    """The columns of a table of virsh, which may hold single spaces."""
    return re.split(r" {2,}", line.strip())
