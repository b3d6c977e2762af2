#!/usr/bin/python3
"""Interfaces and routes as ip(8) tells them: every kind of interface that the kernel here
can make, every state of an address, and a network that changes between two calls. All in
network namespaces of the test's own, where nothing leads to the machine's network."""
# run: alone
import contextlib
import ipaddress
import json

import scratch
import tap
from agent import Agent

TRIES = 10
RTF_GATEWAY, RTF_HOST, RTF_REJECT = 2, 4, 0x200


@contextlib.contextmanager
def network(*commands):
    """A namespace with the interfaces that COMMANDS of ip(8) make; gives a function that
    asks an agent in there."""
    with scratch.namespaces():
        scratch.ip(*commands)
        with Agent(profile="legacy") as agent, agent.client() as client:
            def ask(command):
                reply = client.call(command)
                assert "return" in reply, (command, reply)
                return reply["return"]

            yield ask


def said(*arguments):
    """What ip(8) says, as JSON."""
    return json.loads(scratch.run("ip", "-s", "-s", "-j", *arguments) or "[]")


def equal(read, ask):
    """ASK() is what READ() gives before and after it; the kernel may count meanwhile."""
    for _ in range(TRIES):
        before, told, after = read(), ask(), read()
        if before == told == after:
            break
    assert told == before, f"\ntold {told}\nreal {before}"
    return told


def setting(path, value):
    with open(f"/proc/sys/net/{path}", "w", encoding="ascii") as f:
        f.write(value)


def optional(*commands):
    """Interfaces that not every kernel has. True if this one does."""
    try:
        scratch.ip(*commands)
    except RuntimeError:
        return False
    return True


# ---- interfaces ------------------------------------------------------------------------

FAMILIES = {"inet": "ipv4", "inet6": "ipv6"}


def six_bytes(address):
    """The protocol has room for six; what is not there is 0."""
    return ":".join((address.split(":") + ["00"] * 6)[:6])


def counters(stats):
    rx, tx = stats["rx"], stats["tx"]
    return {"rx-bytes": rx["bytes"], "rx-packets": rx["packets"], "rx-errs": rx["errors"],
            "rx-dropped": rx["dropped"] + rx["missed_errors"], "tx-bytes": tx["bytes"],
            "tx-packets": tx["packets"], "tx-errs": tx["errors"], "tx-dropped": tx["dropped"]}


def real_interfaces():
    """As the protocol has them, by index."""
    found = []
    for link in sorted(said("address"), key=lambda i: i["ifindex"]):
        one = {"name": link["ifname"], "hardware-address": six_bytes(link.get("address", "00")),
               "statistics": counters(link["stats64"])}
        if link["addr_info"]:
            one["ip-addresses"] = [
                {"ip-address": a["local"], "ip-address-type": FAMILIES[a["family"]],
                 "prefix": a["prefixlen"]} for a in link["addr_info"]]
        found.append(one)
    return found


def same_interfaces(ask):
    told = equal(real_interfaces, lambda: ask("guest-network-get-interfaces"))
    return {i["name"]: i for i in told}


def ips(interface):
    return [a["ip-address"] for a in interface.get("ip-addresses", [])]


PAIR = ("link add v0 type veth peer name v1", "link set v0 up", "link set v1 up")


def test_no_address_and_nothing_up():
    with network("link set lo down", "address flush dev lo") as ask:
        assert list(same_interfaces(ask)) == ["lo"]
        assert all(r["flags"] & RTF_REJECT for r in ask("guest-network-get-route"))


def test_addresses():
    commands = [*PAIR, "address add 192.0.2.1/24 dev v0",
                "address add 192.0.2.2/24 dev v0",  # secondary
                "address add 192.0.2.65/31 dev v0 label v0:a",
                "address add 10.0.0.1/8 dev v0 label v0.long-name",
                "address add 0.0.0.0/0 dev v1", "address add 198.51.100.255/32 dev v1 scope link",
                "address add ::ffff:192.0.2.1/96 dev v1 nodad",
                "address add 2001:db8::ffff/128 dev v1 nodad"]
    with network(*commands) as ask:
        found = same_interfaces(ask)
        assert set(found) == {"lo", "v0", "v1"}, "a label is no interface"
        assert {"192.0.2.1", "192.0.2.2", "192.0.2.65", "10.0.0.1"} <= set(ips(found["v0"]))
        assert found["v0"]["statistics"]["tx-bytes"] > 0, "neighbour discovery says something"


def test_every_state_of_an_ipv6_address():
    with network(*PAIR, "link add near type veth peer name far", "link set near up") as ask:
        setting("ipv6/conf/v0/use_tempaddr", "2")
        scratch.ip("address add 2001:db8:1::1/64 dev near",  # no carrier: stays tentative
                   "address add 2001:db8:2::1/64 dev v0 mngtmpaddr nodad",
                   "address add 2001:db8:3::1/64 dev v0 preferred_lft 0 nodad",
                   "address add 2001:db8:4::1/64 dev v0 valid_lft 1000 preferred_lft 500 nodad")
        states = {a["local"]: set(a) & {"tentative", "deprecated", "temporary", "dynamic"}
                  for link in said("address") for a in link["addr_info"]}
        assert states["2001:db8:1::1"] == {"tentative"}, states
        assert states["2001:db8:3::1"] == {"deprecated"}, states
        assert states["2001:db8:4::1"] == {"dynamic"}, states
        temporary = [ip for ip, state in states.items() if "temporary" in state]
        assert temporary, states
        found = same_interfaces(ask)
        assert "2001:db8:1::1" in ips(found["near"])
        assert set(temporary) | {"2001:db8:3::1", "2001:db8:4::1"} <= set(ips(found["v0"]))
        assert ips(found["far"]) == []


def test_point_to_point():
    with network("tuntap add tun0 mode tun", "address add 10.9.8.7 peer 10.9.8.6/32 dev tun0",
                 "address add 2001:db8::7 peer 2001:db8::6/127 dev tun0 nodad") as ask:
        tunnel = same_interfaces(ask)["tun0"]
        assert ips(tunnel) == ["10.9.8.7", "2001:db8::7"], "ours, not the peer's"
        assert tunnel["hardware-address"] == "00:00:00:00:00:00"


def test_order_is_that_of_the_index():
    with network("link add last index 5000 type veth peer name first index 77",
                 "link add middle index 600 type veth peer name other index 300",
                 "link add again index 333 type veth peer name more index 589",
                 "link set first name renamed", "link property add dev renamed altname alternative",
                 "link set renamed alias spoken") as ask:
        assert list(same_interfaces(ask)) == ["lo", "renamed", "other", "again", "more",
                                              "middle", "last"]


# Further kinds of interfaces; which of them there are is up to the kernel.
KINDS = {
    "bridge": "link add bridge type bridge",
    "bond": "link add bond type bond",
    "dummy": "link add dummy type dummy",
    "ifb": "link add ifb type ifb",
    "macvlan": "link add link v0 name macvlan type macvlan",
    "tap": "tuntap add tap mode tap",
    "vlan": "link add link v0 name vlan type vlan id 5",
    "qinq": "link add link vlan name qinq type vlan id 8",
    "gre": "tunnel add gre mode gre local 192.0.2.1 remote 192.0.2.9",
    "sit": "tunnel add sit mode sit local 192.0.2.1 remote 192.0.2.9",
    "ip6ip6": "-6 tunnel add ip6ip6 mode ip6ip6 local 2001:db8::1 remote 2001:db8::9",
    "wireguard": "link add wireguard type wireguard",
    "vrf": "link add vrf type vrf table 10",
    "can": "link add can type vcan",
}


def test_further_kinds_of_interfaces():
    with network(*PAIR) as ask:
        made = [name for name, command in KINDS.items() if optional(command)]
        print("# this kernel has no", ", ".join(k for k in KINDS if k not in made))
        addressed = [name for n, name in enumerate(made)
                     if optional(f"address add 203.0.113.{n}/24 dev {name}")]
        found = same_interfaces(ask)
        assert set(found) >= set(made)
        for name in addressed:
            assert f"203.0.113.{made.index(name)}" in ips(found[name])
        assert addressed, "not one of them"


def test_many_addresses_on_one_interface():
    wanted = [f"10.{n // 200}.{n % 200}.1" for n in range(700)]
    with network(*PAIR, *(f"address add {ip}/24 dev v0" for ip in wanted),
                 *(f"address add 2001:db8::{n:x}/64 dev v0 nodad" for n in range(1, 500))) as ask:
        found = same_interfaces(ask)["v0"]
        assert ips(found)[:700] == wanted, "none lost where a message ends"
        assert len(ips(found)) >= 700 + 499


def test_changes_are_seen():
    with network(*PAIR) as ask:
        for command, names in (
                ("address add 192.0.2.1/24 dev v0", "lo v1 v0"),
                ("address change 192.0.2.1/24 dev v0 label v0:new", "lo v1 v0"),
                ("address delete 192.0.2.1/24 dev v0", "lo v1 v0"),
                ("link set v0 down", "lo v1 v0"),
                ("link set v0 name v9", "lo v1 v9"),
                ("link set v9 address 02:00:5e:10:00:ff", "lo v1 v9"),
                ("tuntap add tun0 mode tun", "lo v1 v9 tun0"),
                ("link delete v1", "lo tun0")):
            scratch.ip(command)
            assert list(same_interfaces(ask)) == names.split(), command


# ---- routes ----------------------------------------------------------------------------

def network_of(version, text):
    whole = {4: "0.0.0.0/0", 6: "::/0"}[version]
    return ipaddress.ip_network(whole if text == "default" else text)


def real_routes(version, table):
    """(network, gateway, interface, metric) of each route that leads somewhere."""
    found = []
    for route in said(f"-{version}", "route", "show", "table", table):
        if route.get("type", "unicast") in ("unreachable", "blackhole", "prohibit", "throw"):
            continue
        hop = route.get("nexthops", [route])[0]  # the kernel's text has but the first one
        found.append((network_of(version, route["dst"]), hop.get("gateway"), hop["dev"],
                      route.get("metric", 0)))
    return sorted(found, key=str)


def told_routes(routes, version):
    found = []
    for r in routes:
        if r["version"] != version or r["flags"] & RTF_REJECT or r["iface"] == "*":
            continue
        length = r["mask"] if version == 4 else r["desprefixlen"]
        to = ipaddress.ip_network(f"{r['destination']}/{length}")
        hop = r["gateway" if version == 4 else "nexthop"]
        assert bool(r["flags"] & RTF_GATEWAY) == (hop not in ("0.0.0.0", "::")), r
        assert version == 6 or bool(r["flags"] & RTF_HOST) == (to.prefixlen == 32), r
        found.append((to, hop if r["flags"] & RTF_GATEWAY else None, r["iface"], r["metric"]))
    return sorted(found, key=str)


def same_routes(ask):
    return [equal(lambda v=version, t=table: real_routes(v, t),
                  lambda v=version: told_routes(ask("guest-network-get-route"), v))
            for version, table in ((4, "main"), (6, "all"))]


ROUTED = (*PAIR, "address add 192.0.2.1/24 dev v0", "address add 2001:db8::1/64 dev v0 nodad")


def test_routes():
    with network(*ROUTED, "route add default via 192.0.2.2 mtu 1400 advmss 1300 window 1000",
                 "route add 203.0.113.0/25 via 192.0.2.3 metric 4278198272",
                 "route add 203.0.113.7/32 dev v0", "route add 203.0.113.8/31 dev v1 metric 3",
                 "route add unreachable 203.0.113.128/25", "route add blackhole 203.0.112.0/24",
                 "route add 203.0.111.0/24 via 192.0.2.3 table 77",
                 "route add 198.51.100.0/24 nexthop via 192.0.2.4 nexthop via 192.0.2.5",
                 "route add default via 2001:db8::2 metric 4294967295",
                 "route add 2001:db8:5::/48 via fe80::9 dev v1 metric 12",
                 "route add 2001:db8:6::6/128 dev v0", "route add unreachable 2001:db8:7::/64",
                 "route add 2001:db8:8::/64 via 2001:db8::3 table 88") as ask:
        four, six = same_routes(ask)
        assert ipaddress.ip_network("203.0.111.0/24") not in [r[0] for r in four], "main only"
        assert ipaddress.ip_network("2001:db8:8::/64") in [r[0] for r in six], "all tables"
        told = {(r["destination"], r["version"]): r for r in ask("guest-network-get-route")}
        default = told["0.0.0.0", 4]
        assert (default["mtu"], default["window"], default["mask"]) == (1340, 1000, "0.0.0.0")
        assert told["203.0.112.0", 4]["iface"] == "*", "the kernel's way to say `none`"
        assert told["203.0.113.128", 4]["flags"] & RTF_REJECT
        assert told["2001:db8:7::", 6]["flags"] & RTF_REJECT


def test_routes_by_the_source():
    with network(*ROUTED, "route add 2001:db8:9::/48 from 2001:db8::/32 dev v1") as ask:
        route, = [r for r in ask("guest-network-get-route") if r["destination"] == "2001:db8:9::"]
        assert (route["source"], route["srcprefixlen"], route["desprefixlen"]) \
            == ("2001:db8::", "32", "48")


def test_route_of_an_interface_that_goes():
    with network(*ROUTED) as ask:
        assert all(same_routes(ask))
        scratch.ip("link delete v0")
        assert "v0" not in {r["iface"] for r in ask("guest-network-get-route")}
        same_routes(ask)


def test_without_ipv6():
    with network(*ROUTED) as ask:
        setting("ipv6/conf/all/disable_ipv6", "1")
        found = same_interfaces(ask)
        assert {a["ip-address-type"] for i in found.values()
                for a in i.get("ip-addresses", [])} == {"ipv4"}
        assert same_routes(ask)[0]


tap.run(tap.tests(globals()))
