#!/usr/bin/python3
# run: alone
"""A thousand mounts and five hundred interfaces: every one is in the answer, in the same
order on each call, and the agent's system calls grow with them by no more than PER_OBJECT
says. Seen in namespaces of the test's own."""
# run: alone
# run: limit 180
import os

import scratch
import tap
from agent import Agent, children
from syscalls import Counted

MOUNTS, INTERFACES, DISKS = 1000, 500, 16
# System calls of the inspector for one object more: what they are now, no more.
PER_OBJECT = {
    "guest-get-fsinfo": 1,
    "guest-network-get-interfaces": 0,
    "guest-network-get-route": 0.25,  # four routes, of a table that comes page by page
    "guest-get-disks": 20,
    "guest-get-diskstats": 0,
}
# The same for objects that a test cannot make: all calls of an answer, by its length.
PER_ENTRY = {
    "guest-get-vcpus": 3,
    "guest-get-memory-blocks": 6,
    "guest-get-cpustats": 0,
    "guest-get-users": 0,
}
# What is not per object: a table is read, and an answer handed on, in pieces of some KiB.
PIECES = 40


def ask(client, command):
    reply = client.call(command)
    assert "return" in reply, (command, reply)
    return reply["return"]


def steady(client, command):
    """The answer; three more are equal in order and length."""
    answers = [ask(client, command) for _ in range(4)]
    for other in answers[1:]:
        assert [names(o) for o in other] == [names(o) for o in answers[0]], command
    return answers[0]


def names(thing):
    return [thing.get(k) for k in ("mountpoint", "name", "iface", "destination")]


def calls(agent, client, program, command):
    ask(client, command)  # what only the first one costs
    pids = [agent.child(program)] if program else \
        [agent.child(p) for p in ("frontend", "worker", "inspector")]
    pids += children(agent.child("inspector"))  # who asks for sizes stays for a while
    with Counted(pids) as counted:
        ask(client, command)
    return counted


def growth(agent, client, more, objects, commands):
    """Calls of each command before and after MORE() made so many objects more."""
    before = {c: (calls(agent, client, "inspector", c), calls(agent, client, None, c))
              for c in commands}
    more()
    for command, counts in before.items():
        limit = PER_OBJECT[command] * objects + PIECES
        for program, old in zip(("inspector", None), counts):
            new = calls(agent, client, program, command)
            print(f"# {command}, {program or 'all processes'}: {old.total} calls, "
                  f"with {objects} objects more {new.total}")
            assert old.total > 0
            assert new.total - old.total <= limit, (command, new.by_name - old.by_name)


def test_calls_for_each_processor_and_memory_block():
    with Agent(profile="legacy") as agent, agent.client() as client:
        for command, each in PER_ENTRY.items():
            entries = len(ask(client, command))
            counted = calls(agent, client, "inspector", command)
            print(f"# {command}: {counted.total} calls for {entries}")
            assert counted.total <= each * entries + PIECES, (command, counted.by_name)


# ---- mounts ----------------------------------------------------------------------------

def mount_points(top):
    """What the kernel lists below TOP that is on a device, the latest first."""
    with open("/proc/self/mountinfo", encoding="ascii") as f:
        lines = [line.split() for line in f]
    return [w[4] for w in reversed(lines)
            if w[4].startswith(top) and not w[2].startswith("0:")]


def test_thousand_mounts():
    with scratch.namespaces() as top:
        path = scratch.image(top, "many", 64 << 20)
        scratch.mkfs("ext4", path)
        with scratch.Loop(path) as loop:
            point = scratch.mount(loop.node, f"{top}/many", "ext4")
        for n in range(36):
            scratch.mount("tmpfs", f"{top}/tmpfs{n}", "tmpfs", data="size=64k")
        half = MOUNTS // 2
        scratch.bind_many(point, range(half - 1))
        with Agent(profile="legacy") as agent, agent.client() as client:
            growth(agent, client, lambda: scratch.bind_many(point, range(half - 1, MOUNTS - 1)),
                   half, ["guest-get-fsinfo"])
            told = steady(client, "guest-get-fsinfo")
        ours = [f for f in told if f["mountpoint"].startswith(top)]
        assert [f["mountpoint"] for f in ours] == mount_points(top)
        assert len(ours) == MOUNTS
        assert all(f["used-bytes"] < f["total-bytes"] and f["type"] == "ext4" for f in ours)


# ---- interfaces ------------------------------------------------------------------------

def test_five_hundred_interfaces():
    asked = ["guest-network-get-interfaces", "guest-network-get-route"]
    with scratch.namespaces():
        # Else each link-local address gets one route more a second or so later.
        for scope in ("all", "default"):
            with open(f"/proc/sys/net/ipv6/conf/{scope}/accept_dad", "w", encoding="ascii") as f:
                f.write("0")
        pairs = INTERFACES // 2
        scratch.add_pairs(range(pairs // 2))
        with Agent(profile="legacy") as agent, agent.client() as client:
            growth(agent, client, lambda: scratch.add_pairs(range(pairs // 2, pairs)),
                   INTERFACES // 2, asked)
            told, routes = (steady(client, c) for c in asked)
    found = {i["name"]: {a["ip-address"] for a in i["ip-addresses"]} for i in told}
    assert len(told) == len(found) == INTERFACES + 1, sorted(found)
    for n in range(INTERFACES):
        assert found[f"v{n}"] >= set(scratch.addresses(n)), (n, found[f"v{n}"])
    for version in (4, 6):
        assert {r["iface"] for r in routes if r["version"] == version} >= set(found) - {"lo"}


# ---- disks -----------------------------------------------------------------------------

def test_disks():
    asked = ["guest-get-disks", "guest-get-diskstats"]
    loops = []
    with scratch.namespaces() as top:
        path = scratch.image(top, "disk", 1 << 20)
        with Agent(profile="legacy") as agent, agent.client() as client:
            try:
                loops += [scratch.Loop(path) for _ in range(DISKS // 2)]
                growth(agent, client,
                       lambda: loops.extend(scratch.Loop(path) for _ in range(DISKS // 2)),
                       DISKS // 2, asked)
                told, stats = (steady(client, c) for c in asked)
                nodes = {loop.node for loop in loops}
            finally:
                for loop in loops:
                    loop.close()
    assert {d["name"] for d in told} >= nodes
    assert {"/dev/" + d["name"] for d in stats} >= nodes


tap.run(tap.tests(globals()), limit=120)
