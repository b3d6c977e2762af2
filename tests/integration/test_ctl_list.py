#!/usr/bin/python3
"""posternctl list: every command with what the policy says of it, which is what explain and
the table of profiles say, and what the agent keeps for it.
"""
import json
import re

import tap
from ctl import GROUPS, PROFILES, ctl, policy_file, verdicts


def listed(*args):
    """Command -> its entry."""
    return {c["command"]: c for c in
            json.loads(ctl("list", "--json", *args, status=0).stdout)["commands"]}


def of_text(text):
    with policy_file(text) as f:
        return listed(f.name)


def names(entry):
    return [r["rule"] for r in entry["rules"]]


def rule(name, effect, command, *lines):
    return "\n".join([f'[rule "{name}"]', f"effect = {effect}", f"command = {command}", *lines,
                      ""])


def check_profile(profile):
    rows = verdicts()
    found = listed("--profile", profile)
    assert set(found) >= {c for members in GROUPS.values() for c in members}
    for command, entry in found.items():
        if (profile, command) in rows:
            said = {rows[profile, command]}
        else:
            said = {rows[profile, g] for g in entry["groups"]}
        state = entry["state"]
        if said == {"denied"}:
            assert state == "denied" and not entry["rules"], entry
        elif said == {"allowed"}:
            assert state == "allowed", entry
        elif said == {"cut"}:  # of a group, some of its commands are
            assert state in ("allowed", "constrained"), entry
            cut = [c for c, e in found.items()
                   if set(e["groups"]) & set(entry["groups"]) and e["state"] == "constrained"]
            assert cut or profile == "kubevirt", (profile, entry)
        for r in entry["rules"]:
            assert r["file"] == f"builtin:{profile}" and r["line"] > 0, entry


def test_one_line_for_each_command():
    text = ctl("list", "--profile", "safe", status=0).stdout
    found = listed("--profile", "safe")
    for command, entry in found.items():
        lines = re.findall(rf"^  {re.escape(command)} +(\w+) +(.+)$", text, re.M)
        assert len(lines) == 1 and lines[0][0] == entry["state"], (command, lines)
        for r in entry["rules"]:
            assert f'"{r["rule"]}" ({r["file"]}:{r["line"]})' in lines[0][1], lines
    assert [m for m in re.findall(r"^(@[a-z-]+)", text, re.M)] == list(
        sorted(GROUPS | {"@info": []}, key=text.index))
    # Columns.
    assert len({line.index(found[line.split()[0]]["state"], 30)
                for line in text.splitlines() if line.startswith("  guest-")}) == 1


def test_states_and_the_rules_that_say_so():
    found = of_text(
        "[policy]\nbase = none\n"
        + rule("all", "allow", "guest-get-time ; guest-get-users ; guest-ping ; guest-sync")
        + rule("users", "deny", "guest-get-users")
        + rule("exec", "allow", "@exec")
        + rule("no-shell", "deny", "guest-exec", "path = /bin/sh")
        + rule("keys", "allow", "guest-ssh-add-authorized-keys")
        + rule("no-ada", "deny", "@ssh-keys", "user = ada")
        + rule("open", "allow", "guest-set-user-password", "crypted = any", "user = **")
        + rule("often", "allow", "@trim ; guest-fsfreeze-thaw", "rate = 6/min")
        + rule("limit", "allow", "@freeze", "freeze-max = 60s"))
    for command, state, rules in (
            ("guest-get-time", "allowed", ["all"]),
            ("guest-get-users", "denied", ["users"]),
            ("guest-get-disks", "denied", []),
            ("guest-exec", "constrained", ["no-shell", "exec"]),
            ("guest-exec-status", "allowed", ["exec"]),
            ("guest-ssh-add-authorized-keys", "constrained", ["no-ada", "keys"]),
            ("guest-ssh-get-authorized-keys", "denied", []),
            ("guest-set-user-password", "allowed", ["open"]),
            ("guest-fstrim", "constrained", ["often"]),
            ("guest-fsfreeze-thaw", "allowed", ["often", "limit"]),
            ("guest-fsfreeze-freeze", "constrained", ["limit"]),
            ("guest-fsfreeze-status", "allowed", ["limit"])):
        assert (found[command]["state"], names(found[command])) == (state, rules), \
            found[command]


def test_what_the_ceiling_alone_allows():
    text = ("[policy]\nbase = confidential\nmode = complain\nceiling = libvirt\n"
            + rule("d", "deny", "guest-get-users"))
    found = of_text(text)
    for command, state, rules in (("guest-get-time", "allowed", ["facts"]),
                                  ("guest-get-users", "complain", ["info"]),
                                  ("guest-fstrim", "complain", ["trim"]),
                                  ("guest-exec", "denied", [])):
        assert (found[command]["state"], names(found[command])) == (state, rules), \
            found[command]
    with policy_file(text) as f:
        assert "as far as libvirt goes" in ctl("list", f.name, status=0).stdout


def test_list_agrees_with_explain():
    """A command that is denied is denied whatever its arguments; one that is allowed is not."""
    for profile in PROFILES:
        found = listed("--profile", profile)
        for command in ("guest-get-users", "guest-fsfreeze-freeze", "guest-suspend-ram",
                        "guest-fstrim", "guest-get-disks"):
            got = json.loads(ctl("explain", "--json", "--profile", profile,
                                 json.dumps({"execute": command})).stdout)
            assert (got["decision"] == "deny") == (found[command]["state"] == "denied"), got


def test_privileges():
    found = listed("--profile", "legacy", "--privileges")
    assert "spawner" in found["guest-exec"]["privileges"]
    assert "sys_time" in found["guest-set-time"]["privileges"]
    assert "sys_boot" in found["guest-shutdown"]["privileges"]
    assert "sys_boot" not in listed("--profile", "safe", "--privileges")[
        "guest-shutdown"]["privileges"]
    assert not found["guest-get-time"]["privileges"]
    text = ctl("list", "--profile", "legacy", "--privileges", status=0).stdout
    total = re.search(r"^For this policy the agent keeps: (.*); files: ", text, re.M)[1]
    whole = json.loads(ctl("list", "--profile", "legacy", "--privileges", "--json",
                           status=0).stdout)["privileges"]
    assert whole == total
    # Each command's are among those of all.
    for entry in found.values():
        for word in re.findall(r"\w+_\w+|spawner", entry["privileges"]):
            assert word in total, (word, total)
    assert re.search(r"^  guest-get-time .*\n +keeps: no privilege; files: none$", text, re.M)


def test_calls_that_are_mistaken():
    for args in (("--frob",), ("--profile",), ("--profile", "nosuch"), ("/nonexistent",)):
        done = ctl("list", *args, status=2)
        assert done.stderr and not done.stdout, done
    with policy_file("[policy]\nfrob = 1\n") as f:
        done = ctl("list", f.name, status=2)
        assert f"{f.name}:2: " in done.stderr and "has mistakes" in done.stderr, done
    assert "Exit status" in ctl("list", "--help", status=0).stdout


def test_no_byte_of_a_policy_moves_the_cursor():
    with policy_file(rule("a\u202eb\u0085c", "allow", "guest-ping")) as f:
        out = ctl("list", f.name, status=0).stdout
        assert "\u202e" not in out and "\u0085" not in out and "\\x" in out


tap.run(tap.tests(globals())
        + [(f"profile {p} is listed as its table says", lambda p=p: check_profile(p))
           for p in PROFILES])
