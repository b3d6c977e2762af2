"""Interfaces and routes: what the host is told, and what ip says inside."""
from case import LIBVIRT, case, note, skip
from facts import (between, by, columns, counters, inside, ip_addresses, links, listed, rows,
                   same)


def interfaces(vm):
    """What guest-network-get-interfaces should say, but for statistics."""
    found = []
    for row in links(vm):
        label = row["ifname"] if vm.agent.reference else None
        found.append((row["ifname"], row["address"], ip_addresses(row, label)))
    if vm.agent.reference:  # a label is an interface of its own (protocol 5.5)
        found += [(a["label"], row["address"], ip_addresses(row, a["label"]))
                  for row in links(vm) for a in row["addr_info"]
                  if a.get("label", row["ifname"]) != row["ifname"]]
    return [{"name": name, "hardware-address": mac,
             **({"ip-addresses": addresses} if addresses else {})}
            for name, mac, addresses in found]


@case("guest-network-get-interfaces is what ip shows", LIBVIRT)
def _(vm):
    told = vm.ask("guest-network-get-interfaces")
    expected = interfaces(vm)
    same([{k: v for k, v in row.items() if k != "statistics"} for row in told], expected)
    counts = [len(row.get("ip-addresses", [])) for row in expected]
    assert 0 in counts and max(counts) > 2, counts
    note(f"{len(counts)} interfaces, {sum(counts)} addresses")


@case("statistics of interfaces with traffic and without", LIBVIRT)
def _(vm):
    """The cards hear each other asking for neighbours that are not there."""
    vm.shell("echo 1 >/dev/udp/192.0.2.99/9; echo 1 >/dev/udp/203.0.113.6/9; sleep 0.5")
    before = by("ifname", links(vm))
    told = by("name", vm.ask("guest-network-get-interfaces"))
    after = by("ifname", links(vm))
    for name, row in before.items():
        if vm.agent.reference and not ip_addresses(row, name):
            assert "statistics" not in told[name]
            continue
        numbers = counters(row)
        same(set(told[name]["statistics"]), set(numbers), name)
        between(numbers, told[name]["statistics"], counters(after[name]), name)
    for name in ("eth0", "eth1"):
        shown = told[name]["statistics"]
        assert shown["rx-packets"] > 0 and shown["tx-bytes"] > shown["tx-packets"] > 0, shown


@case("virsh domifaddr --source agent --full", LIBVIRT)
def _(vm):
    """Libvirt puts the address of a label to its interface."""
    expected = set()
    for row in links(vm):
        lines = [(a["ip-address-type"], f"{a['ip-address']}/{a['prefix']}")
                 for a in ip_addresses(row)]
        expected |= {(row["ifname"], row["address"], *line)
                     for line in lines or [("N/A", "N/A")]}
    told = [tuple(columns(line)) for line in
            vm.virsh("domifaddr", "--source", "agent", "--full").splitlines()]
    same(set(told), expected)
    assert len(told) == len(expected), told


@case("virsh guestinfo --interface", LIBVIRT)
def _(vm):
    def addresses(found, name):
        return sorted((a["type"], a[name], int(a["prefix"])) for a in found)
    shown = by("name", rows(listed(vm.virsh("guestinfo", "--interface"))["if"]))
    expected = by("ifname", links(vm))
    same(set(shown), set(expected))
    for name, row in expected.items():
        same(shown[name]["hwaddr"], row["address"], name)
        same(sorted((a["type"], a["addr"], int(a["prefix"]))
                    for a in rows(shown[name]["addr"])),
             sorted((a["ip-address-type"], a["ip-address"], a["prefix"])
                    for a in ip_addresses(row)), name)


def routes(vm, version):
    """The agent's routes of a version of IP."""
    found = [r for r in vm.ask("guest-network-get-route") if r["version"] == version]
    assert found, "none"
    return found


def needs_routes(vm):
    if vm.agent.reference:
        skip("qemu-ga 7.2 does not know the command")


@case("guest-network-get-route: IPv4", LIBVIRT)
def _(vm):
    needs_routes(vm)
    told = {(r["iface"], f"{r['destination']}/{bits(r['mask'])}", r["gateway"], r["metric"]):
            r["flags"] for r in routes(vm, 4)}
    expected = {}
    for r in inside(vm, "ip -j -d route show table main"):
        dst = {"default": "0.0.0.0/0"}.get(r["dst"], r["dst"])
        dst = dst if "/" in dst else f"{dst}/32"
        refused = r["type"] == "unreachable"
        flags = 0x1 | (0x2 if "gateway" in r else 0) | (0x4 if dst.endswith("/32") else 0) | \
            (0x200 if refused else 0)
        expected[("*" if refused else r["dev"], dst, r.get("gateway", "0.0.0.0"),
                  r.get("metric", 0))] = flags
    same(told, expected)
    assert ("eth0", "0.0.0.0/0", "192.0.2.1", 100) in told, told
    limited, = (r for r in routes(vm, 4) if r["destination"] == "203.0.113.128")
    # The kernel's file shows the segment size (and the 40 bytes of headers) as MTU.
    same((limited["mtu"], limited["window"], limited["irtt"]), (1400, 8000, 0))


def bits(mask):
    return sum(int(part).bit_count() for part in mask.split("."))


@case("guest-network-get-route: IPv6, of all tables", LIBVIRT)
def _(vm):
    needs_routes(vm)
    told = sorted((r["iface"], f"{r['destination']}/{r['desprefixlen']}", r["nexthop"],
                   r["metric"], f"{r['source']}/{r['srcprefixlen']}")
                  for r in routes(vm, 6) if r["metric"] != 0xffffffff)
    expected = []
    for r in inside(vm, "ip -6 -j route show table all"):
        dst = {"default": "::/0"}.get(r["dst"], r["dst"])
        expected.append((r["dev"], dst if "/" in dst else f"{dst}/128",
                         r.get("gateway", "::"), r["metric"], "::/0"))
    same(told, sorted(expected))
    assert ("eth0", "::/0", "2001:db8:1::1", 300, "::/0") in told, told
    assert any(line[0] == "lo" for line in told), "local routes are in another table"
