#!/usr/bin/python3
"""The installed qemu-ga and the agent on the same machine: every read-only command of
both, every member of the replies, once on the machine as it is and once among scratch
file systems and interfaces. What may differ is listed, with the reason, in
tests/fixtures/side-by-side.txt.

The reference is asked before and after us. A machine that changes meanwhile (another
program detaches a disk) makes a difference that is gone when asked again: only what is
there every time counts. Lists of ours must come in the same order each time.

Answers that qemu-ga 7.2 does not give are compared with the kernel's own text. Device
mapper, md and other buses than this machine's are the business of fixture trees and VM.
"""
# run: alone
# run: limit 120
import fnmatch
import os
import socket
import struct

import scratch
import tap
from agent import Agent
from compare import ABSENT, Difference, Rules, differences, orders
from reference import Reference, need_listed

LISTED = os.path.join(os.path.dirname(__file__), "../fixtures/side-by-side.txt")
READ_ONLY = ("guest-get-*", "guest-network-get-*", "guest-info", "guest-ping",
             "guest-fsfreeze-status")
TRIES = 10
# What furnish() found the kernel or the machine unable to make, by name.
LACKING = {}


# ---- comparing -------------------------------------------------------------------------

def commands(*infos):
    """Every read-only command that one of them has."""
    names = {c["name"] for info in infos for c in info["return"]["supported_commands"]}
    return sorted(n for n in names if any(fnmatch.fnmatchcase(n, p) for p in READ_ONLY))


def compare(rules, reference, ours, command):
    """Differences of one command that no row accepts, the last of TRIES times."""
    bad = []
    for _ in range(TRIES):
        before, reply, after = (c.call(command) for c in (reference, ours, reference))
        again = ours.call(command)
        bad = [d for d in differences(command, before, reply, after) if not rules.accept(d)]
        bad += [Difference(command, (), "order of the next call", ABSENT, o, n)
                for o, n in ((orders(reply), orders(again)),) if o != n]
        if not bad:
            break
    rules.note(command, reply)
    return bad


def side_by_side(place):
    need_listed()
    rules = Rules.read(LISTED, place)
    with Reference() as reference, Agent(profile="legacy") as agent:
        with agent.client() as ours:
            asked = commands(reference.call("guest-info"), ours.call("guest-info"))
            bad = [d for c in asked for d in compare(rules, reference, ours, c)]
    complaints = [str(d) for d in bad] + [f"listed but not seen: {r}" for r in rules.unseen()]
    assert not complaints, "\n" + "\n".join(complaints)



# ---- answers that the reference has not ------------------------------------------------

def steady(read, ask):
    """READ() before and after, equal, and ASK() between: both values, or the last pair."""
    for _ in range(TRIES):
        before, told, after = read(), ask(), read()
        if before == after == told:
            break
    return before, told


def text(path):
    with open(path, encoding="ascii") as f:
        return f.read()


def kernel_load():
    return dict(zip(("load1m", "load5m", "load15m"),
                    map(float, text("/proc/loadavg").split())))


def ipv4(word):
    return socket.inet_ntop(socket.AF_INET, struct.pack("=I", int(word, 16)))


def ipv6(word):
    return socket.inet_ntop(socket.AF_INET6, bytes.fromhex(word))


def kernel_routes():
    routes = []
    for line in text("/proc/net/route").splitlines()[1:]:
        iface, dest, gateway, flags, refs, use, metric, mask, mtu, window, irtt = line.split()
        routes.append({
            "iface": iface, "destination": ipv4(dest), "gateway": ipv4(gateway),
            "mask": ipv4(mask), "flags": int(flags, 16), "refcnt": int(refs),
            "use": int(use), "metric": int(metric), "mtu": int(mtu), "window": int(window),
            "irtt": int(irtt), "version": 4})
    for line in text("/proc/net/ipv6_route").splitlines():
        dest, plen, source, slen, hop, metric, refs, use, flags, iface = line.split()
        routes.append({
            "iface": iface, "destination": ipv6(dest), "desprefixlen": str(int(plen, 16)),
            "source": ipv6(source), "srcprefixlen": str(int(slen, 16)),
            "nexthop": ipv6(hop), "metric": int(metric, 16), "refcnt": int(refs, 16),
            "use": int(use, 16), "flags": int(flags, 16), "version": 6})
    return routes


def kernel_statistics():
    """Counters of all interfaces, with addresses or without."""
    names = ("bytes", "packets", "errs", "dropped")
    found = {}
    for line in text("/proc/net/dev").splitlines()[2:]:
        name, _, rest = line.rpartition(":")
        columns = list(map(int, rest.split()))
        found[name.strip()] = {f"{way}-{n}": v for way, at in (("rx", 0), ("tx", 8))
                               for n, v in zip(names, columns[at:at + 4])}
    return found


def privileged_totals(asked):
    """Real size of the file systems that the agent could measure."""
    return {point: os.statvfs(point).f_blocks * os.statvfs(point).f_frsize for point in asked}


def told_totals(fsinfo):
    return {f["mountpoint"]: f["total-bytes-privileged"]
            for f in fsinfo if "total-bytes-privileged" in f}


def newer_answers():
    with Agent(profile="legacy") as agent, agent.client() as client:
        def ask(command):
            reply = client.call(command)
            assert "return" in reply, (command, reply)
            return reply["return"]

        wrong = {}
        for what, read, told in (
                ("load", kernel_load, lambda: ask("guest-get-load")),
                ("routes", kernel_routes, lambda: ask("guest-network-get-route")),
                ("statistics", kernel_statistics,
                 lambda: {i["name"]: i.get("statistics")
                          for i in ask("guest-network-get-interfaces")}),
                ("total-bytes-privileged",
                 lambda: privileged_totals(told_totals(ask("guest-get-fsinfo"))),
                 lambda: told_totals(ask("guest-get-fsinfo")))):
            want, got = steady(read, told)
            if want != got:
                wrong[what] = (want, got)
        assert not wrong, wrong


# ---- scratch things --------------------------------------------------------------------

def optional(name, make):
    """Something that not every kernel can; a test of its own says if it could not."""
    LACKING[name] = None
    try:
        make()
    except (OSError, RuntimeError, tap.Skip) as why:
        LACKING[name] = " ".join(str(why).split())


def file_systems(top):
    """Every type that takes part, partitions, binds, a mount over a mount. Gives the loop
    devices that are to be closed."""
    keep = []

    def made(kind, name, at=None):
        path = scratch.image(top, name, scratch.MKFS[kind][1] << 20)
        scratch.mkfs(kind, path)
        with scratch.Loop(path) as loop:
            return scratch.mount(loop.node, at or f"{top}/{name}", kind)

    def partitioned():
        keep.append(scratch.Loop(scratch.image(top, "parts", 24 << 20)))
        first = keep[0].partition(1, 1 << 20, 10 << 20)
        keep[0].partition(2, 11 << 20, 9 << 20)
        scratch.mkfs("ext4", first)
        scratch.mount(first, f"{top}/first-part", "ext4")

    plain = made("ext4", "plain")
    os.makedirs(plain + b"/below/deeper")
    with open(plain + b"/file", "wb") as f:
        f.write(bytes(300000))
    scratch.bind(plain + b"/below", f"{top}/bound")
    scratch.bind(plain + b"/file", f"{top}/bound-file")
    scratch.bind(plain, f"{top}/read-only", readonly=True)
    made("ext4", "nested", plain + b"/below/deeper")
    made("ext4", "covering", f"{top}/bound")
    os.mkdir(f"{top}/locked", 0o700)
    made("ext4", "inner", f"{top}/locked/inner")
    scratch.mount("tmpfs", f"{top}/no-device", "tmpfs")
    for kind in ("xfs", "btrfs"):
        optional(kind, lambda k=kind: made(k, k))
    optional("partitions", partitioned)
    return keep


def interfaces():
    """Each way of having an address or none."""
    scratch.ip("link add v0 type veth peer name v1", "link set v0 up", "link set v1 up",
               "address add 192.0.2.1/24 dev v0", "address add 192.0.2.9/28 dev v0 label v0:x",
               "address add 198.51.100.7/32 dev v0 label other",
               "address add 2001:db8::1/64 dev v0 nodad", "address add 2001:db8::2/128 dev v1",
               "route add 203.0.113.0/24 via 192.0.2.2 metric 7 mtu 1400",
               "route add 203.0.113.128/25 via 192.0.2.3 table 100",
               "route add unreachable 203.0.113.64/26",
               "route add 2001:db8:1::/48 via 2001:db8::9 metric 77",
               "link add quiet type veth peer name far", "link set far address 02:00:00:00:00:fe",
               "link set far alias spoken", "address add 192.0.2.77/24 dev far")
    optional("a bridge", lambda: scratch.ip("link add bridge type bridge",
                                            "link set v1 master bridge"))
    optional("a tunnel without hardware address",
             lambda: scratch.ip("tuntap add tun mode tun",
                                "address add 10.9.8.7 peer 10.9.8.6/32 dev tun"))
    optional("a VLAN", lambda: scratch.ip("link add link v0 name v0.5 type vlan id 5",
                                          "address add 192.0.2.5/25 dev v0.5"))


def udev_and_users():
    """What udev would know of every block device, and who would be logged in."""
    os.makedirs("/run/udev/data")
    for number in os.listdir("/sys/dev/block"):
        with open(f"/run/udev/data/b{number}", "w", encoding="ascii") as f:
            f.write(f"S:disk/by-id/x\nI:1\nE:ID_SERIAL=serial of {number}\n"
                    f"E:DM_NAME=alias-{number}\nE:ID_BUS=any\nG:systemd\n")
    with open("/run/utmp", "wb") as f:
        for kind, name, second in ((7, "twice", 1700000300), (8, "left", 1700000200),
                                   (7, "once", 1700000100), (7, "twice", 1700000000),
                                   (2, "reboot", 1600000000), (7, "u" * 32, 1700000400)):
            f.write(scratch.utmp(kind, name.encode(), second, 250000))


# ---- the tests -------------------------------------------------------------------------

def test_every_kind_of_difference_is_seen():
    one, two = {"name": "a", "x": 1}, {"name": "b", "x": 2}
    for before, ours, want in (
            ([one, two], [one, two], []),
            ([one, two], [two, one], ["order ."]),
            ([one], [one, two], ["extra [b]"]),
            ([one, two], [one], ["missing [b]"]),
            ([one], [{"name": "a"}], ["missing [a].x"]),
            ([one], [{"name": "a", "x": 1, "y": 0}], ["extra [a].y"]),
            ([one], [{"name": "a", "x": True}], ["differs [a].x"]),
            ([one], [{"name": "a", "x": [1]}], ["differs [a].x"]),
            ([one, one], [one], ["missing [a #2]"]),
            ({"x": ["p", "q"]}, {"x": ["q", "p"]}, ["order .x"])):
        found = differences("c", *({"return": v} for v in (before, ours, before)))
        assert [f"{d.kind} {d.where()}" for d in found] == want, (found, want)
    failure = {"error": {"class": "X", "desc": "x"}}
    assert [d.kind for d in differences("c", failure, {"return": 1}, failure)] == ["answered"]
    assert [d.kind for d in differences("c", {"return": 1}, failure, {"return": 1})] == ["refused"]


def test_machine_as_it_is():
    side_by_side("machine")


def test_machine_newer_answers():
    newer_answers()


def among_scratch_things(check):
    with scratch.namespaces() as top:
        loops = file_systems(top)
        interfaces()
        udev_and_users()
        try:
            check()
        finally:
            for loop in loops:
                loop.close()


def test_scratch_things():
    among_scratch_things(lambda: side_by_side("scratch"))


def test_scratch_things_newer_answers():
    among_scratch_things(newer_answers)


def scratch_thing(name):
    """A test that says what was left out above."""
    def check():
        if os.geteuid() != 0:
            tap.skip("needs root")
        if LACKING.get(name):
            tap.skip(f"not compared: {LACKING[name]}")
    return f"scratch things have {name}", check


def main():
    things = ("xfs", "btrfs", "partitions", "a bridge", "a tunnel without hardware address",
              "a VLAN")
    tap.run(tap.tests(globals()) + [scratch_thing(t) for t in things], limit=90)


main()
