#!/usr/bin/python3
"""Names that nobody in his senses gives: control bytes, quotes, backslashes, text that
looks like an escape, bytes that are no UTF-8, 4 KiB and more. Whoever may name a mount
point, an interface, an account or a file system writes them, and they come out as one
line of ASCII JSON that decodes to what they were, with U+FFFD for each byte that is no
text. Nothing is lost beside them."""
# run: limit 120
import json
import os
import socket

import scratch
import tap
from agent import Agent

# One name each, with everything that the kernel's files escape, or that JSON does.
NAMES = [
    b"plain",
    b" blanks  around ",
    b"tab\tand\nnew\r\n\nlines\n",
    bytes(range(1, 32)),
    b"\x7f\x80\x9f\xa0\xfe\xff",
    b'"quoted" \'and\' `so on`',
    b'{"return": {}}\n{"execute": "guest-ping"}\n',
    b"back\\slash\\",
    b"\\040 \\134 \\n \\u0041 \\",
    b"\\777\\08\\1",
    b"#comment$HOME%s%n%00&<>",
    b"(deleted)",
    b"no text \xff\xfe \xc3( \xe2\x82 \xf0\x9f\x92",
    b"too long a form \xc0\xaf \xe0\x80\xaf \xed\xa0\x80 \xf4\x90\x80\x80",
    "\u00e4\u00df\u20ac \u202e\u2028\ufeff\ufffd \U0001f6aa".encode(),
    b"x" * 255,
    b"\xff" * 255,
    b"-rf",
]


def shown(name):
    """What a reply has for these bytes."""
    text = name.decode("utf-8", "surrogateescape")
    return "".join("\ufffd" if "\udc80" <= c <= "\udcff" else c for c in text)


def ask(client, command):
    """The answer, which came in one line of printable ASCII."""
    client.send(b'{"execute":"%s"}\n' % command.encode())
    line = client.recv_replies(1)[0]
    assert all(0x20 <= byte < 0x7f for byte in line), line
    reply = json.loads(line)
    assert "return" in reply, (command, reply)
    assert client.sync() == [], "lines that no request asked for"
    return reply["return"]


def asked(command, **options):
    with Agent(profile="legacy", **options) as agent, agent.client() as client:
        return ask(client, command)


# ---- mount points ----------------------------------------------------------------------

def device(top, node=None):
    """An ext4 on a loop device, mounted; by a node of that name if there is one."""
    path = scratch.image(top, "disk", 16 << 20)
    scratch.mkfs("ext4", path)
    with scratch.Loop(path) as loop:
        if node:
            os.mknod(node, 0o600 | 0o060000, os.stat(loop.node).st_rdev)
        return scratch.mount(node or loop.node, f"{top}/m", "ext4"), loop


def mount_points(fsinfo, top):
    return [f["mountpoint"] for f in fsinfo if f["mountpoint"].startswith(top)]


def test_mount_points():
    with scratch.namespaces() as top:
        point, _ = device(top, os.fsencode(top) + b"/dev \xff\n\\040\"")
        for name in NAMES:
            os.mkdir(point + b"/" + name)
            scratch.bind(point + b"/" + name, point + b"/" + name)
        told = asked("guest-get-fsinfo")
        want = [shown(point + b"/" + name) for name in NAMES]
        assert mount_points(told, top) == want[::-1] + [shown(point)]
        assert all(f["used-bytes"] for f in told if f["mountpoint"] in want)


def test_mount_points_beyond_the_longest_path():
    """One just below PATH_MAX, and one that no path reaches: listed, without sizes."""
    with scratch.namespaces() as top:
        point, _ = device(top)
        deep, where = point, os.open(point, os.O_PATH)
        lengths = []
        while len(deep) < 6000:
            part = b"n" * 200
            if len(deep) < 4095 < len(deep) + 203:
                part = b"m" * (4094 - len(deep))
            os.mkdir(part, dir_fd=where)
            inner = os.open(part, os.O_PATH, dir_fd=where)
            os.close(where)
            deep, where = deep + b"/" + part, inner
            if len(deep) >= 4095:
                lengths.append(len(deep))
                scratch.bind(f"/proc/self/fd/{where}", f"/proc/self/fd/{where}")
        os.close(where)
        assert lengths[0] == 4095 and lengths[-1] > 6000, lengths
        found = {f["mountpoint"]: f for f in asked("guest-get-fsinfo")}
        told = sorted(len(p) for p in found if p.startswith(f"{top}/m/"))
        assert told == lengths and shown(deep) in found, (told, lengths)
        assert "used-bytes" in found[shown(deep[:4095])]
        assert "used-bytes" not in found[shown(deep)]


def test_btrfs_by_a_hostile_node():
    """btrfs is the type whose source counts: its mount has no device number of its own."""
    with scratch.namespaces() as top:
        if not scratch.known("btrfs"):
            tap.skip("this kernel has no btrfs")
        path = scratch.image(top, "disk", 110 << 20)
        scratch.mkfs("btrfs", path)
        with scratch.Loop(path) as loop:
            node = os.fsencode(top) + b"/no\tde \\ \xff"
            os.mknod(node, 0o600 | 0o060000, os.stat(loop.node).st_rdev)
            scratch.mount(node, f"{top}/m\\\n", "btrfs")
        found = [f for f in asked("guest-get-fsinfo") if f["mountpoint"] == f"{top}/m\\\n"]
        assert [f["name"] for f in found] == [loop.name]


# ---- disks -----------------------------------------------------------------------------

def test_names_that_udev_keeps():
    # udev's records have no line ends.
    names = [n.translate(None, b"\r\n") for n in NAMES] + [b"k" * 4096]
    with scratch.namespaces() as top:
        os.makedirs("/run/udev/data")
        path, loops = scratch.image(top, "disk", 1 << 20), []
        try:
            for name in names:
                loops.append(scratch.Loop(path))
                with open(f"/run/udev/data/b{loops[-1].number}", "wb") as f:
                    f.write(b"I:1\nE:DM_NAME=" + name + b"\nE:ID_FS_LABEL=" + name + b"\n")
            told = {d["name"]: d.get("alias") for d in asked("guest-get-disks")}
        finally:
            for loop in loops:
                loop.close()
        assert [told[loop.node] for loop in loops] == [shown(n) for n in names]


# ---- the network -----------------------------------------------------------------------

def test_interfaces_and_routes():
    # What the kernel allows: 15 bytes without blanks (0xa0 is one), slash and colon; and
    # a per cent sign would have it choose a number.
    names = [n.translate(None, b" \t\n\v\f\r/:%\xa0")[:15] for n in NAMES]
    names = [n for n in dict.fromkeys(names) if n not in (b"", b".", b"..")]
    with scratch.namespaces():
        for n, name in enumerate(names):
            text = os.fsdecode(name)
            scratch.run("ip", "link", "add", "name", text, "type", "veth", "peer", "name", f"p{n}")
            scratch.run("ip", "link", "set", "dev", text, "alias", os.fsdecode(NAMES[n]))
            scratch.run("ip", "address", "add", f"192.0.2.{n + 1}/32", "dev", text)
            scratch.run("ip", "address", "add", f"2001:db8::{n + 1:x}/128", "dev", text)
            scratch.ip(f"link set p{n} up", f"link property add dev p{n} altname {'a' * 120}{n}")
            scratch.run("ip", "link", "set", "dev", text, "up")
            scratch.run("ip", "route", "add", f"198.51.100.{n}/32", "dev", text)
            scratch.run("ip", "route", "add", f"2001:db8:1::{n:x}/128", "dev", text)
        with Agent(profile="legacy") as agent, agent.client() as client:
            told = ask(client, "guest-network-get-interfaces")
            routes = ask(client, "guest-network-get-route")
    peers = [f"p{n}" for n in range(len(names))]
    assert sorted(i["name"] for i in told) == sorted(["lo"] + peers + [shown(n) for n in names])
    for n, name in enumerate(names):
        found = next(i for i in told if i["name"] == shown(name))
        have = {a["ip-address"] for a in found["ip-addresses"]}
        assert have >= {f"192.0.2.{n + 1}", f"2001:db8::{n + 1:x}"}, found
        assert len(found["statistics"]) == 8
        for destination in (f"198.51.100.{n}", "2001:db8:1::" + (f"{n:x}" if n else "")):
            assert [r["iface"] for r in routes if r["destination"] == destination] \
                == [shown(name)], destination


# ---- users, operating system, host -----------------------------------------------------

def test_users():
    names = [n[:32] for n in NAMES]
    with scratch.namespaces():
        with open("/run/utmp", "wb") as f:
            for n, name in enumerate(names):
                f.write(scratch.utmp(7, name, 1700000000 + n))
                f.write(scratch.utmp(8, b"gone", 1700000000))
            f.write(scratch.utmp(7, b"cut off", 1700000000)[:-1])
        told = asked("guest-get-users")
    assert [u["user"] for u in told] == [shown(n) for n in names]
    assert [u["login-time"] for u in told] == [1700000000 + n for n in range(len(names))]


def test_no_users():
    with scratch.namespaces():
        with open("/run/utmp", "wb"):
            pass
        assert asked("guest-get-users") == []


def os_release(top, content):
    path = f"{top}/os-release"
    with open(path, "wb") as f:
        f.write(content)
    told = asked("guest-get-osinfo", env={"QGA_OS_RELEASE": path})
    return {k: v for k, v in told.items() if not k.startswith("kernel-") and k != "machine"}


def test_os_release():
    values = {"ID": bytes(range(1, 9)) + b"\x0b\x0c\x0e\x1f\x7f", "NAME": b"b\\\\s \\\"q\\\" '",
              "VERSION": b"v" * 4096, "VARIANT": "\u20ac\U0001f6aa\u2028".encode(),
              "VERSION_ID": b""}
    content = b"".join(b'%s="%s"\n' % (k.encode(), v) for k, v in values.items())
    with scratch.namespaces() as top:
        told = os_release(top, content)
        values["NAME"] = b"b\\s \"q\" '"
        assert told == {k.lower().replace("_", "-"): shown(v) for k, v in values.items()}


def test_os_release_that_is_no_text():
    with scratch.namespaces() as top:
        assert os_release(top, b'NAME="\xff"\nID=x\n') == {}
        assert os_release(top, b"") == {}


def test_host_name():
    names = [n[:64] for n in NAMES if n]
    with scratch.namespaces():
        with Agent(profile="legacy") as agent, agent.client() as client:
            for name in names:
                socket.sethostname(name)
                assert ask(client, "guest-get-host-name") == {"host-name": shown(name)}


tap.run(tap.tests(globals()))
