#!/usr/bin/python3
"""Policy files: found, trusted, replaced and masked; what cannot be trusted locks down; and
what the rules mean for a client of the running agent.
"""
# run: limit 120
import atexit
import json
import os
import shutil
import tempfile
import time

import tap
from agent import Agent, how_many, wait_until

LAYERS = {"usr": "usr/lib/postern", "run": "run/postern", "etc": "etc/postern"}
BASE = "[policy]\nbase = none\n"


def rule(name, command, effect="allow", **keys):
    lines = "".join(f"{k.replace('_', '-')} = {v}\n" for k, v in keys.items())
    return f'[rule "{name}"]\neffect = {effect}\ncommand = {command}\n{lines}'


class Root:
    """A scratch root with policy files: files={"etc": text, "run/10-x.conf": text}."""

    def __init__(self, files, testops=False):
        self.dir = tempfile.mkdtemp(prefix="postern-policy-")
        atexit.register(shutil.rmtree, self.dir, ignore_errors=True)
        self.testops = testops
        for name, text in files.items():
            self.put(name, text)

    def path(self, name):
        layer, _, drop_in = name.partition("/")
        return os.path.join(self.dir, LAYERS[layer],
                            f"policy.d/{drop_in}" if drop_in else "policy.conf")

    def put(self, name, text):
        path = self.path(name)
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(path, 0o644)
        return path

    def agent(self, *args):
        return Agent(profile=None, args=["--policy-root", self.dir, *args],
                     testops=self.testops)


def asked(files, *requests, args=(), change=None, testops=False):
    """The replies of an agent under these files, its log, and all that it recorded; CHANGE does
    something to the root first."""
    root = Root(files, testops)
    if change:
        change(root)
    with root.agent(*args) as a:
        replies = []
        with a.client() as c:
            for request in requests:
                name, arguments = request if isinstance(request, tuple) else (request, {})
                replies.append(c.call(name, **arguments))
        # What is told of the files is written before it.
        a.wait_record(lambda r: r["POSTERN_EVENT"] == "start")
        log = a.stderr()
    return replies, log, a.records()


def allowed(reply):
    return "return" in reply


# ---- which files ----------------------------------------------------------------------

def test_no_file_at_all():
    """The built-in profile `safe`."""
    (load, run), _, records = asked({}, "guest-get-load", ("guest-exec", {"path": "/bin/x"}))
    assert allowed(load) and not allowed(run)
    assert [(r["POSTERN_EVENT"], r["POSTERN_POLICY_BASE"]) for r in records
            if "POSTERN_POLICY_BASE" in r] == [("start", "safe"), ("policy-load", "safe")]


def test_drop_ins_add_up():
    replies, _, _ = asked({"etc": BASE, "etc/a.conf": rule("a", "guest-get-load"),
                           "run/b.conf": rule("b", "guest-get-time"),
                           "usr/c.conf": rule("c", "guest-get-users")},
                          "guest-get-load", "guest-get-time", "guest-get-users",
                          "guest-get-osinfo")
    assert [allowed(r) for r in replies] == [True, True, True, False]


def test_the_stronger_place_replaces():
    replies, _, _ = asked({"usr": BASE, "usr/a.conf": rule("a", "guest-get-load"),
                           "run/a.conf": rule("b", "guest-get-time"),
                           "etc/a.conf": rule("c", "guest-get-users")},
                          "guest-get-load", "guest-get-time", "guest-get-users")
    assert [allowed(r) for r in replies] == [False, False, True]


def test_a_link_to_null_masks():
    def mask(root):
        path = root.put("etc/a.conf", "")
        os.unlink(path)
        os.symlink("/dev/null", path)
    (load,), _, _ = asked({"etc": BASE, "usr/a.conf": rule("a", "guest-get-load")},
                          "guest-get-load", change=mask)
    assert not allowed(load)


def test_names_that_are_no_policies():
    """Editors and package managers leave things behind."""
    (load,), _, _ = asked({"etc": BASE, "etc/a.conf~": "junk", "etc/.a.conf": "junk",
                           "etc/README": "junk"}, "guest-get-load")
    assert "the command is not allowed" in load["error"]["desc"]


def test_sealed_closes_the_door():
    files = {"usr": "[policy]\nbase = none\nsealed = yes\n" + rule("a", "guest-get-load"),
             "etc": rule("b", "guest-get-time"), "etc/x.conf": "junk that would lock down"}
    replies, _, _ = asked(files, "guest-get-load", "guest-get-time")
    assert [allowed(r) for r in replies] == [True, False]


# ---- what cannot be trusted -------------------------------------------------------------

def check_locked_down(why, files=None, change=None):
    replies, log, records = asked(files or {"etc": "[policy]\nbase = legacy\n"},
                                  "guest-get-load", "guest-ping", change=change)
    assert replies[0]["error"] == {
        "class": "CommandNotFound",
        "desc": "Command guest-get-load has been disabled: the policy cannot be trusted"}
    assert replies[1] == {"return": {}}
    assert why in log, log
    assert "locked-down" in [r.get("POSTERN_REASON") for r in records]
    told = [(r["POSTERN_EVENT"], why in r["POSTERN_DETAIL"]) for r in records
            if r["POSTERN_EVENT"] in ("policy-load", "policy-refused", "locked-down")]
    assert told == [("policy-refused", True), ("locked-down", True)], records


def test_a_mistake_locks_down():
    """All mistakes are told, with file and line, not only the first."""
    files = {"etc": "[policy]\nbase = legacy\nfrob = 1\n", "etc/a.conf": "x\n[rule \"r\"]\n"}
    _, log, _ = asked(files, "guest-ping")
    for line in ("/etc/postern/policy.conf:3: unknown key 'frob'",
                 "/etc/postern/policy.d/a.conf:1: accepted:",
                 "/etc/postern/policy.d/a.conf:2: [rule \"r\"] says no effect"):
        assert line in log, (line, log)
    check_locked_down("frob", files)


def test_files_that_others_can_write():
    for mode in (0o664, 0o646):
        check_locked_down("group or others may write it",
                          change=lambda root, m=mode: os.chmod(root.path("etc"), m))


def test_directories_that_others_can_write():
    def open_up(root):
        os.chmod(os.path.dirname(root.path("etc")), 0o777)
    check_locked_down("group or others may write it", change=open_up)


def test_files_of_somebody_else():
    if os.geteuid() != 0:
        tap.skip("needs root, to give a file away")
    check_locked_down("it belongs to another user",
                      change=lambda root: os.chown(root.path("etc"), 65534, 65534))


def test_links_and_pipes():
    def link(root):
        path = root.put("etc/a.conf", "")
        os.unlink(path)
        os.symlink("../policy.conf", path)

    def pipe(root):
        path = root.put("etc/a.conf", "")
        os.unlink(path)
        os.mkfifo(path, 0o644)
    check_locked_down("a symbolic link", change=link)
    check_locked_down("not a regular file", change=pipe)


def test_too_much():
    check_locked_down("larger than 64 KiB", {"etc": "#" * 65 + ("\n#" * 40000)})
    check_locked_down("more than 64 policy files",
                      {f"etc/{i:02}.conf": "" for i in range(66)})


# ---- what rules mean --------------------------------------------------------------------

def test_a_deny_beats_every_allow():
    replies, _, records = asked(
        {"etc": "[policy]\nbase = legacy\n" + rule("no", "@info", "deny"),
         "etc/z.conf": rule("yes", "guest-get-load")}, "guest-get-load", "guest-get-time")
    assert not any(allowed(r) for r in replies)
    denied = [r for r in records if r.get("POSTERN_DECISION") == "deny"]
    assert {(r["POSTERN_RULE"], r["POSTERN_RULE_FILE"], r["POSTERN_RULE_LINE"])
            for r in denied} == {("no", "/etc/postern/policy.conf", 3)}


def test_an_allow_replaces_the_base_for_its_command():
    """The administrator's rule is the word, not one more alternative."""
    (interfaces,), _, _ = asked(
        {"etc": "[policy]\nbase = safe\n" +
         rule("nics", "guest-network-get-interfaces", exclude="lo", hide="statistics")},
        "guest-network-get-interfaces")
    assert "lo" not in [i["name"] for i in interfaces["return"]]
    assert not any("statistics" in i for i in interfaces["return"])


def test_arguments_that_are_not_allowed():
    """GenericError where other arguments would do, CommandNotFound where none would."""
    files = {"etc": BASE + rule("off", "guest-shutdown", modes="reboot")}
    (wrong, never), _, _ = asked(files, ("guest-shutdown", {"mode": "halt"}),
                                 "guest-get-load")
    assert wrong["error"] == {"class": "GenericError", "desc": "Command guest-shutdown has "
                              "been disabled: these arguments are not allowed"}
    assert never["error"]["class"] == "CommandNotFound"


def test_how_much_the_host_is_told():
    for detail, text in (("none", "allowed"), ("ref", r"allowed (ref 1)"),
                         ("full", 'allowed (rule "no")')):
        files = {"etc": f"[policy]\ndeny-detail = {detail}\n" +
                 rule("no", "guest-get-load", "deny")}
        (reply,), _, records = asked(files, "guest-get-load")
        assert reply["error"]["desc"].endswith("the command is not " + text), reply
        assert 1 in [r.get("POSTERN_REQUEST") for r in records
                     if r.get("POSTERN_DECISION") == "deny"]


def test_rates():
    files = {"etc": BASE + rule("slow", "guest-get-load", rate="1/min burst 3") +
             rule("free", "guest-get-time")}
    replies, _, records = asked(files, *["guest-get-load"] * 5, "guest-get-time")
    assert [allowed(r) for r in replies] == [True] * 3 + [False] * 2 + [True]
    assert replies[3]["error"]["class"] == "GenericError"
    of_load = [r for r in records if r.get("POSTERN_COMMAND") == "guest-get-load"]
    denied = [r for r in of_load if r.get("POSTERN_DECISION") == "deny"]
    assert {r["POSTERN_REASON"] for r in denied} == {"rate"} and how_many(denied) == 2, denied
    assert how_many(of_load) == 5, of_load


def test_a_rate_recovers():
    files = {"etc": BASE + rule("slow", "guest-get-load", rate="5/s burst 1")}
    root = Root(files)
    with root.agent() as a, a.client() as c:
        wait_until(lambda: not allowed(c.call("guest-get-load")), "the rate to be used up")
        time.sleep(0.25)
        assert allowed(c.call("guest-get-load"))


def of_command(records, name):
    return [(r["POSTERN_EVENT"], r.get("POSTERN_REPEAT"), "POSTERN_REQUEST" in r)
            for r in records if r.get("POSTERN_COMMAND") == name]


def test_polls_leave_a_record_an_interval():
    """The first in full, then the number of the others; after a pause the next in full."""
    full = [("decision", None, True), ("complete", None, True)]
    root = Root({"etc": "[policy]\nbase = safe\n[audit]\ninterval = 1s\n"})
    with root.agent() as a, a.client() as c:
        def repeats(name, count):
            return wait_until(lambda: len(found := [
                r for r in a.records() if r.get("POSTERN_COMMAND") == name
                and "POSTERN_REPEAT" in r]) >= count and found, f"{count} counts of {name}")
        for _ in range(5):
            assert allowed(c.call("guest-get-load")) and allowed(c.call("guest-ping"))
        repeats("guest-get-load", 1)
        for _ in range(3):
            c.call("guest-get-load")
        # It was used up to now: so no record in full.
        repeats("guest-get-load", 2)
        time.sleep(2.1)
        c.call("guest-get-load")
        told = sum(r["POSTERN_REPEAT"] for r in repeats("guest-ping", 1))
        assert told == 5, told
        assert {r["POSTERN_REPORTED_BY"] for r in repeats("guest-ping", 1)} == {"frontend"}
    assert of_command(a.records(), "guest-get-load") == \
        [*full, ("decision", 4, False), ("decision", 3, False), *full], a.records()


def test_an_interval_has_its_limits():
    for text, good in (("1s", True), ("1h", True), ("999ms", False), ("61min", False)):
        files = {"etc": f"[policy]\nbase = safe\n[audit]\ninterval = {text}\n"}
        (load,), log, _ = asked(files, "guest-get-load")
        assert (allowed(load), "accepted are 1s to 1h" in log) == (good, not good), (text, log)


def test_complain_lets_through_and_records():
    files = {"etc": "[policy]\nbase = none\nmode = complain\nceiling = safe\n"}
    (load, run), _, records = asked(files, "guest-get-load",
                                    ("guest-exec", {"path": "/bin/x"}))
    assert allowed(load) and not allowed(run), "never beyond the ceiling"
    decisions = [(r["POSTERN_COMMAND"], r["POSTERN_DECISION"], r["POSTERN_REASON"])
                 for r in records if "POSTERN_DECISION" in r]
    assert decisions == [("guest-get-load", "complain", "no-rule"),
                         ("guest-exec", "deny", "no-rule")]


def test_time_limit():
    files = {"etc": BASE + rule("short", "test-sleep", time_limit="300ms")}
    (reply,), _, _ = asked(files, ("test-sleep", {"ms": 4000}), testops=True)
    assert reply["error"]["desc"] == "test-sleep did not finish within 0.3 s"


def test_guest_info_tells_what_could_be_allowed():
    files = {"etc": BASE + rule("a", "guest-get-load") +
             rule("b", "guest-shutdown", modes="halt") + rule("c", "guest-ping", "deny")}
    (info, ping), _, _ = asked(files, "guest-info", "guest-ping")
    enabled = {c["name"] for c in info["return"]["supported_commands"] if c["enabled"]}
    assert enabled == {"guest-sync", "guest-sync-delimited", "guest-info", "guest-get-load",
                       "guest-shutdown"}
    assert ping["error"]["class"] == "CommandNotFound"


def test_lists_of_the_command_line_narrow_files_too():
    files = {"etc": BASE + rule("a", "guest-get-load ; guest-get-time")}
    replies, _, _ = asked(files, "guest-get-load", "guest-get-time",
                          args=["--block-rpcs", "guest-get-load"])
    assert [allowed(r) for r in replies] == [False, True]


def test_messages_are_bounded():
    """A message that is longer than the policy takes is an error, and the next one works."""
    root = Root({"etc": "[policy]\nbase = safe\n[limits]\nmessage-max = 1K\n"})
    with root.agent() as a, a.client() as c:
        c.send(b'{"execute":"guest-ping","id":"' + b"x" * 2000 + b'"}\n')
        error = json.loads(c.recv_replies(1)[0])["error"]
        assert "limit exceeded" in error["desc"], error
        c.reset()
        c.send(b'{"execute":"guest-ping","id":"' + b"x" * 900 + b'"}\n')
        assert b'"return": {}' in c.recv_replies(1)[0]


def test_what_is_hidden_is_not_looked_at():
    """`only` and `exclude` hold before anything is gathered; each rule must agree."""
    files = {"etc": BASE + rule("a", "guest-get-fsinfo", only="/ ; /proc*") +
             rule("b", "guest-get-fsinfo", exclude="/boot*", hide="used-bytes ; serial")}
    (reply,), _, _ = asked(files, "guest-get-fsinfo")
    assert {m["mountpoint"] for m in reply["return"]} <= {"/"}
    assert "used-bytes" not in json.dumps(reply) and "serial" not in json.dumps(reply)


tap.run(tap.tests(globals()))
