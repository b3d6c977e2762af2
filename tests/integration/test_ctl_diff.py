#!/usr/bin/python3
"""posternctl diff: what it says becomes allowed or denied, explain says as well, of the very
request. That nothing is left out: tests/unit/test_diff.c.
"""
# run: limit 120
import glob
import json
import os
import re
import tempfile

import tap
from ctl import PROFILES, ctl, policy_file

NONE = "[policy]\nbase = none\n"


def rule(name, effect, command, *lines):
    return "\n".join([f'[rule "{name}"]', f"effect = {effect}", f"command = {command}", *lines,
                      ""])


def diff(*args):
    """What changes, as JSON; the exit status fits."""
    done = ctl("diff", "--json", *args)
    found = json.loads(done.stdout)
    assert done.returncode == (1 if found["differences"] or found["settings"] else 0), done
    assert found["complete"] and not done.stderr, done
    return found


def of_texts(a, b):
    with policy_file(a) as x, policy_file(b) as y:
        return diff(x.name, y.name)


def lines(found):
    return {(d["direction"], d["command"], d.get("limit"), d.get("refused"))
            for d in found["differences"]}


# ---- each line is true -------------------------------------------------------------------------

# What only an object decides, explain cannot be told.
BY_OBJECT = ("step-ns", "cpus-left", "bytes-left", "uid", "mountpoint", "input-bytes")


def told(policy, request):
    how = ["--profile", policy[8:]] if policy.startswith("profile:") else ["-f", policy]
    return json.loads(ctl("explain", "--json", *how, json.dumps(request)).stdout)


def is_for_explain(d):
    o = d.get("object", {})
    if d["command"] == "guest-file-open":
        return (o["type"], o["links"], o["size"]) == ("regular", "none", 0)
    return "path" not in o and not any(k in o for k in BY_OBJECT)


def check_line(d, a, b):
    """By explain, which knows nothing of diff."""
    for policy, side in ((a, d["before"]), (b, d["after"])):
        got = told(policy, d["request"])
        assert got["decision"] == side["decision"], (d, got)
        if got["decision"] == "deny":
            assert [got.get(k) for k in ("reason", "rule", "line", "failed")] == \
                [side.get(k) for k in ("reason", "rule", "line", "failed")], (d, got)
        elif got["decision"] == "allow":
            assert (got["rule"], got["line"]) == (side["rule"], side["line"]), (d, got)


def check_pair(a, b):
    """How many lines explain could be asked about."""
    n = 0
    for d in diff(a, b)["differences"]:
        before, after = (d[k]["decision"] != "deny" for k in ("before", "after"))
        assert (before, after) == {"+": (False, True), "-": (True, False),
                                   "~": (True, True)}[d["direction"]], d
        assert d["request"]["execute"] == d["command"], d
        if is_for_explain(d):
            check_line(d, a, b)
            n += 1
    return n


def check_profiles(name):
    n = sum(check_pair(f"profile:{name}", f"profile:{other}")
            for other in ("legacy", "confidential") if other != name)
    assert n > 5, n


def test_examples_against_the_default():
    if not os.path.isdir("examples"):
        tap.skip("the examples are not here; root's run has them")
    n = sum(check_pair("profile:safe", path) for path in sorted(glob.glob("examples/*.conf"))[::3])
    assert n > 20, n


def test_what_a_policy_adds_the_other_way_takes_away():
    for a, b in (("none", "legacy"), ("safe", "kubevirt")):
        there, back = (lines(diff(f"profile:{x}", f"profile:{y}")) for x, y in ((a, b), (b, a)))
        flip = {"+": "-", "-": "+", "~": "~"}
        assert {(flip[d], *rest) for d, *rest in there} == back


# ---- what there is to see ----------------------------------------------------------------------

def test_equal_policies():
    text = rule("x", "allow", "guest-exec", "path = /usr/bin/*", "argv = a ; ...")
    with policy_file(text) as a, policy_file(text.replace('"x"', '"y"')) as b:
        done = ctl("diff", a.name, b.name, status=0)
        assert done.stdout == "No difference.\n" and not done.stderr, done
    for p in PROFILES:
        assert not diff(f"profile:{p}", f"profile:{p}")["differences"]


def test_a_deny_cuts_a_part_out():
    a = NONE + rule("x", "allow", "guest-exec", "path = /usr/bin/*")
    found = of_texts(a, a + rule("d", "deny", "guest-exec", "path = /bin/sh", "argv = -c ; ..."))
    assert lines(found) == {("-", "guest-exec", None, "deny")}, found
    line = found["differences"][0]
    assert line["request"]["arguments"] == {"path": "/usr/bin/sh", "arg": ["-c"]}, line
    assert (line["before"]["rule"], line["after"]["rule"]) == ("x", "d"), line


def test_patterns_that_overlap():
    a = NONE + rule("x", "allow", "guest-exec", "path = /opt/*/run", "argv = {start|stop} ; *")
    b = NONE + rule("x", "allow", "guest-exec", "path = /opt/app/*", "argv = start ; ...")
    found = of_texts(a, b)
    assert lines(found) == {("+", "guest-exec", None, "no-allow"),
                            ("-", "guest-exec", None, "no-allow")}, found
    narrower = of_texts(a, a.replace("{start|stop}", "start"))["differences"]
    assert [d["direction"] for d in narrower] == ["-"]
    assert narrower[0]["request"]["arguments"]["arg"][0] == "stop", narrower
    assert narrower[0]["after"]["failed"] == "argv = start ; *", narrower


def test_what_only_an_object_decides():
    cases = (
        ("@file-read", "path-beneath = /var/log", "path-beneath = /var/log/apt", "path"),
        ("@freeze", "mountpoint = / ; /srv", "mountpoint = /", "mountpoint"),
        ("@trim", "fstype = ext4 ; xfs", "fstype = ext4", "fstype"),
        ("@password", "uid-min = 1000", "uid-min = 2000", "uid"),
        ("@time", "max-step = 60s", "max-step = 30s", "step-ns"),
        ("guest-set-vcpus", "online-min = 2", "online-min = 4", "cpus-left"),
        ("guest-set-memory-blocks", "memory-min = 1G", "memory-min = 2G", "bytes-left"))
    for command, before, after, member in cases:
        found = of_texts(NONE + rule("x", "allow", command, before),
                         NONE + rule("x", "allow", command, after))["differences"]
        denied = [d for d in found if d["direction"] == "-"]
        assert denied and all(member in d["object"] for d in denied), (command, found)
        assert not [d for d in found if d["direction"] == "+"], found
        if command == "@password":
            assert denied[0]["object"]["uid"] == 1000, denied
        if command == "@time":
            assert denied[0]["object"]["step-ns"] in (30000000001, 60000000000), denied


def test_limits_and_settings():
    a = ("[policy]\nbase = none\n" + rule("f", "allow", "@freeze", "freeze-max = 60s")
         + rule("n", "allow", "guest-network-get-interfaces", "exclude = b ; a", "hide = statistics"))
    b = ("[policy]\nbase = none\ndeny-detail = ref\nlock = yes\n[limits]\nhandles = 7\n[audit]\n"
         "required = yes\ninterval = 5s\n"
         + rule("f", "allow", "@freeze", "freeze-max = 2min", "hooks = no", "rate = 6/min burst 2")
         + rule("n", "allow", "guest-network-get-interfaces", "exclude = a ; b",
                "hide = hardware-address"))
    found = of_texts(a, b)
    assert {(s["setting"], s["from"], s["to"]) for s in found["settings"]} == {
        ("deny-detail", "none", "ref"), ("lock", "no", "yes"), ("handles", "", "7"),
        ("required", "no", "yes"), ("interval", "60000 ms", "5000 ms")}, found
    got = {(d["command"], d["limit"], d["from"], d["to"]) for d in found["differences"]}
    assert got == {("guest-network-get-interfaces", "hide", "statistics", "hardware-address")} | {
        (f"guest-fsfreeze-{c}", *rest) for c in ("freeze", "freeze-list") for rest in (
            ("freeze-max", "60000 ms", "120000 ms"), ("hooks", "yes", "no"),
            ("rate", "", "6/min burst 2"))}, got


def test_complain_mode_allows_up_to_its_ceiling():
    a, b = NONE, "[policy]\nbase = none\nmode = complain\nceiling = confidential\n"
    with policy_file(a) as x, policy_file(b) as y:
        found = diff(x.name, y.name)
        by = {d["command"]: d for d in found["differences"]}
        assert by["guest-get-time"]["after"]["decision"] == "complain"
        assert by["guest-get-time"]["after"]["rule"] == "facts"
        assert "guest-exec" not in by and "guest-get-users" not in by
        text = ctl("diff", x.name, y.name, status=1).stdout
        assert re.search(r'^\+ guest-get-time: .* by "facts" \(builtin:confidential:\d+\) '
                         r"\(complain\)$", text, re.M), text
        # And what was allowed by right is so no more.
        ping = NONE + rule("t", "allow", "guest-get-time")
    found = of_texts(ping, b)
    assert ("~", "guest-get-time", "only by complain mode", None) in lines(found), found


def test_a_named_program_is_where_its_policy_says():
    a = NONE + '[exec "logs"]\npath = /usr/lib/x/logs\nuser = daemon\n'
    b = NONE + '[exec "logs"]\npath = /usr/lib/y/logs\n'
    found = of_texts(a, b)
    assert {(d["limit"], d["from"], d["to"]) for d in found["differences"]} == {
        ("path", "/usr/lib/x/logs", "/usr/lib/y/logs"), ("user", "daemon", "")}, found
    assert found["differences"][0]["request"]["arguments"]["path"] == "logs"
    found = of_texts(b, b + rule("d", "deny", "guest-exec", "path = /usr/lib/**"))
    assert lines(found) == {("-", "guest-exec", None, "deny")}, found


def test_much_input_is_counted():
    found = of_texts(NONE + rule("x", "allow", "guest-exec", "stdin-max = 1M"),
                     NONE + rule("x", "allow", "guest-exec", "stdin-max = 2M"))
    line = found["differences"][0]
    assert line["object"]["input-bytes"] == 1024 * 1024 + 1, line
    assert "input-data" not in line["request"]["arguments"]


def test_for_people():
    a = NONE + rule("x", "allow", "guest-exec", "path = /usr/bin/*", "timeout = 30s")
    with policy_file(a) as x, policy_file(a.replace("30s", "60s")
                                          + rule("d", "deny", "guest-exec", "path = /bin/id")) as y:
        out = ctl("diff", x.name, y.name, status=1).stdout
    assert out == (
        f'- guest-exec: becomes denied, was allowed by "x" ({x.name}:3)\n'
        f'    is refused: deny rule "d" ({y.name}:8)\n'
        '    as in: {"execute": "guest-exec", "arguments": {"path": "/usr/bin/id", "arg": []}}\n'
        '~ guest-exec: timeout: 30000 ms -> 60000 ms\n'
        '    as in: {"execute": "guest-exec", "arguments": {"path": "/usr/bin/a", "arg": []}}\n'
    ), out


# ---- how it is called --------------------------------------------------------------------------

def test_a_file_a_directory_a_profile():
    text = NONE + rule("x", "allow", "guest-ping")
    with tempfile.TemporaryDirectory() as top, policy_file(text) as f:
        os.makedirs(f"{top}/etc/postern")
        with open(f"{top}/etc/postern/policy.conf", "w", encoding="utf-8") as out:
            out.write(text)
        assert not diff(top, f.name)["differences"]
        assert lines(diff("profile:none", top)) == lines(diff("profile:none", f.name))
        assert diff(f.name)["a"] == "the policy of this machine"


def test_calls_that_are_mistaken():
    with policy_file("[policy]\nfrob = 1\n") as f:
        for args in ((), ("profile:safe", "profile:safe", "profile:safe"), ("--frob", "x"),
                     ("profile:nosuch",), ("/nonexistent", "profile:safe"),
                     ("profile:safe", f.name)):
            done = ctl("diff", *args, status=2)
            assert "posternctl: " in done.stderr and not done.stdout, done
    assert "Exit status" in ctl("diff", "--help", status=0).stdout


def test_a_search_that_is_cut_says_so():
    """As many patterns that overlap as nobody goes through: what is found is still true."""
    stars = " ; ".join(f"*{c}*{d}*" for c in "abcdefgh" for d in "ijklmnop")
    text = "".join(rule(f"r{i}", "allow", "guest-exec", f"path = /x/*{c}*{d}*")
                   for i, (c, d) in enumerate((c, d) for c in "abcdef" for d in "ijklmn"))
    with policy_file(NONE + text) as a, policy_file(
            NONE + rule("y", "allow", "guest-exec", f"argv = {stars}")) as b:
        done = ctl("diff", "--json", a.name, b.name, status=1)
        assert "cut short" in done.stderr and not json.loads(done.stdout)["complete"]
        assert json.loads(done.stdout)["differences"]


tap.run(tap.tests(globals())
        + [(f"lines between {p} and others are true", lambda p=p: check_profiles(p))
           for p in PROFILES])
