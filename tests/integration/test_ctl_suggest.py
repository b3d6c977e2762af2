#!/usr/bin/python3
"""posternctl suggest: a session is recorded in complain mode, rules are suggested out of its
records, and under these the same session passes while nothing near it does. Then records of
any kind: whatever stands in them, what is printed is a policy that allows that and no more.
"""
# pylint: disable=missing-function-docstring
# run: limit 400
import contextlib
import json
import os
import pty
import re
import subprocess
import tempfile
import time

import guard
import scratch
import tap
from agent import PATIENCE, build_dir
from journald import Journald
from ownroot import OwnRoot

CTL = os.path.join(build_dir(), "posternctl")
OK, SOME, FAILED = 0, 1, 2
START = 1700000000
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ6UOaMHU3pFGlvUoQ3B9rjTXD9ilqO2Gc4kR6ZxVbYm probe"


def run(*args, stdin=None, status=None):
    done = subprocess.run([CTL, *args], input=stdin, text=True, capture_output=True,
                          timeout=PATIENCE, check=False, preexec_fn=guard.harmless)
    assert status is None or done.returncode == status, (args, done)
    return done


@contextlib.contextmanager
def file_of(text, suffix=".conf"):
    with tempfile.NamedTemporaryFile("w", suffix=suffix, encoding="utf-8") as f:
        f.write(text)
        f.flush()
        yield f.name


def suggest(records, *args, status=None):
    """The suggestion for these, which `check` must accept, and what was said beside it."""
    done = run("suggest", "--file", "-", *args, status=status,
               stdin="".join(json.dumps(r) + "\n" for r in records))
    assert done.returncode != FAILED, done
    if "--json" not in args:
        with file_of(done.stdout) as path:
            run("check", path, status=OK)
    return done.stdout, done.stderr


def rules(policy):
    """Of each rule that is in force: its name and its lines."""
    found = {}
    for line in policy.splitlines():
        head = re.fullmatch(r'\[rule "(.*)"\]', line)
        if head:
            found[head[1]] = []
        elif line and not line.startswith("#"):
            list(found.values())[-1].append(line)
    return found


def explained(policy, command, **arguments):
    """Would it be allowed under POLICY and no base?"""
    request = json.dumps({"execute": command, "arguments": arguments})
    with file_of("[policy]\nbase = none\n" + policy) as path:
        done = run("explain", "-f", path, request)
        assert done.returncode != FAILED, (request, done)
        return done.returncode == OK


# ---- a session ------------------------------------------------------------------------------

# Answers that differ from one moment to the next; of these only the form is compared.
MOVING = {"guest-get-time", "guest-get-load", "guest-get-cpustats", "guest-get-diskstats",
          "guest-get-fsinfo", "guest-network-get-interfaces", "guest-get-users", "guest-info"}


def fixture():
    """What KubeVirt sends, by the project's own list."""
    found = []
    with open("tests/fixtures/clients/kubevirt.txt", encoding="utf-8") as f:
        for line in f:
            if line.startswith("{"):
                request = json.loads(line)
                found.append((request["execute"], request.get("arguments", {})))
    return found


def session(root):
    """KubeVirt with all of its features, in a guest whose root is ROOT. Times are in the
    future, so that they come nearer meanwhile."""
    later = (int(time.time()) + 3600) * 10**9
    steps = [(c, {"time": later} if c == "guest-set-time" else a) for c, a in fixture()
             if c != "guest-sync"]
    return steps + [
        ("probe", {"path": "cat", "arg": ["/tmp/healthy.txt"], "capture-output": True}),
        ("probe", {"path": "/usr/bin/cat", "arg": ["/etc/motd", "/tmp/*"],
                   "capture-output": True}),
        ("probe", {"path": "/usr/bin/env", "arg": [], "capture-output": True}),
        ("probe", {"path": "cat", "arg": ["/tmp/no-such"], "capture-output": True}),
        ("probe", {"path": "no-such-program", "arg": ["-x"], "capture-output": True}),
        ("guest-ssh-get-authorized-keys", {"username": "alice"}),
        ("guest-ssh-add-authorized-keys", {"username": "alice", "keys": [KEY], "reset": True}),
        ("guest-ssh-get-authorized-keys", {"username": "alice"}),
        ("guest-ssh-remove-authorized-keys", {"username": "alice", "keys": [KEY]}),
        ("guest-ssh-get-authorized-keys", {"username": "nobody-such"}),
        ("guest-set-user-password", {"username": "alice", "crypted": False,
                                     "password": "c2VjcmV0"}),
        ("file", {"path": "/etc/motd", "mode": "r"}),
        ("file", {"path": "/bin-link/motd"}),
        ("file", {"path": "/home/alice/.ssh/no-such", "mode": "r"}),
        ("written", {"path": "/home/alice/new", "mode": "w"}),
        ("written", {"path": "/home/alice/new", "mode": "a"}),
        # In the reverse order of what is sorted, and again.
        ("guest-get-load", {}), ("guest-ping", {}),
    ] + ([("guest-fsfreeze-thaw", {})] if root else [])


def prepare(root):
    """The guest as it is before a session."""
    root.text("/etc/passwd", "root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n")
    root.text("/etc/shadow", "root:*:19000:0:99999:7:::\nalice:!:19000:0:99999:7:::\n", 0o600)
    root.text("/etc/group", "root:x:0:\nalice:x:1000:\n")
    root.text("/etc/gshadow", "root:*::\n", 0o600)
    root.text("/etc/nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\n")
    root.text("/etc/login.defs", "ENCRYPT_METHOD YESCRYPT\n")
    root.text("/etc/motd", "hello\n")
    root.text("/etc/other", "secret\n")
    root.text("/tmp/healthy.txt", "yes\n")
    home = f"{root.path}/home/alice"
    scratch.run("rm", "-rf", home)
    os.mkdir(home, 0o755)
    os.chown(home, 1000, 1000)
    for link, target in (("/bin-link", "/etc"), ("/tmp/link", "/etc/motd")):
        with contextlib.suppress(FileExistsError):
            os.symlink(target, root.path + link)


@contextlib.contextmanager
def guest():
    with scratch.namespaces() as top:
        root = OwnRoot(top)
        for tool in ("/usr/sbin/chpasswd", "/usr/bin/getent", "/usr/bin/cat", "/usr/bin/env",
                     "/usr/bin/sleep"):
            root.put(tool)
        # What ends a system, here.
        root.put("/usr/bin/true")
        os.rename(f"{root.path}/usr/bin/true", f"{root.path}/usr/sbin/shutdown")
        root.pam()
        yield root


def bare(command, reply):
    """REPLY without what is never the same twice."""
    if "error" in reply:
        return reply
    if command in MOVING:
        return type(reply["return"]).__name__
    if command == "guest-exec":
        return type(reply["return"]["pid"]).__name__
    return reply


def probe(c, arguments):
    started = c.call("guest-exec", **arguments)
    if "error" in started:
        return [started]
    end = time.monotonic() + PATIENCE
    while True:
        state = c.call("guest-exec-status", pid=started["return"]["pid"])
        if "error" in state or state["return"]["exited"]:
            return [bare("guest-exec", started), state]
        assert time.monotonic() < end
        time.sleep(0.01)


def of_file(c, arguments, write):
    opened = c.call("guest-file-open", **arguments)
    if "error" in opened:
        return [opened]
    handle = opened["return"]
    if write:
        middle = [c.call("guest-file-write", handle=handle, buf_b64="eA=="),
                  c.call("guest-file-flush", handle=handle)]
    else:
        middle = [c.call("guest-file-read", handle=handle),
                  c.call("guest-file-seek", handle=handle, offset=0, whence="set")]
    return [opened, *middle, c.call("guest-file-close", handle=handle)]


def played(c, steps):
    """The session's replies."""
    found = []
    for command, arguments in steps:
        if command == "probe":
            found.append((command, arguments, probe(c, arguments)))
        elif command in ("file", "written"):
            found.append((command, arguments, of_file(c, arguments, command == "written")))
        elif command == "guest-shutdown":
            # It answers only when it fails.
            c.send(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
            found.append((command, arguments, c.sync()))
        else:
            found.append((command, arguments, bare(command, c.call(command, timeout=60,
                                                                   **arguments))))
    return found


def agent_under(root, policy):
    root.text("/etc/postern/policy.conf", policy)
    return root.agent(profile=None)


def recorded(root, head, steps):
    """Replies and records of a session under the policy HEAD."""
    prepare(root)
    with agent_under(root, head) as a, a.client() as c:
        replies = played(c, steps)
    return replies, a.records()


EXEC, OPEN = "guest-exec", "guest-file-open"
# Each is a request that was not among those of the session, but nearly.
NEAR = [
    (EXEC, {"path": "cat", "arg": ["/tmp/healthy.txt", "/etc/shadow"]}),
    (EXEC, {"path": "cat", "arg": ["/tmp/healthy.txt", ""]}),
    (EXEC, {"path": "cat", "arg": ["/tmp/healthy.tx"]}),
    (EXEC, {"path": "cat", "arg": ["/tmp/healthyxtxt"]}),
    (EXEC, {"path": "cat", "arg": [""]}),
    (EXEC, {"path": "cat"}),
    (EXEC, {"path": "cat", "arg": ["/tmp/healthy.txt"], "env": ["A=b"]}),
    (EXEC, {"path": "cat", "arg": ["/tmp/healthy.txt"], "input-data": "eA=="}),
    (EXEC, {"path": "/bin/cat", "arg": ["/tmp/healthy.txt"]}),
    (EXEC, {"path": "/usr/bin/../bin/cat", "arg": ["/tmp/healthy.txt"]}),
    (EXEC, {"path": "/usr/bin/sleep", "arg": ["/tmp/healthy.txt"]}),
    (EXEC, {"path": "/usr/bin/cat", "arg": ["/etc/motd"]}),
    (EXEC, {"path": "/usr/bin/cat", "arg": ["/etc/motd", "/tmp/healthy.txt"]}),
    (EXEC, {"path": "/usr/bin/cat", "arg": ["/tmp/*", "/etc/motd"]}),
    (EXEC, {"path": "/usr/bin/cat", "arg": ["/etc/motd", "/tmp/"]}),
    (EXEC, {"path": "/usr/bin/env", "arg": ["cat"]}),
    (EXEC, {"path": "/usr/bin/env", "arg": ["-i", "cat"]}),
    (EXEC, {"path": "/usr/bin/env", "arg": [""]}),
    (EXEC, {"path": "env", "arg": ["/usr/bin/cat", "/etc/shadow"]}),
    (EXEC, {"path": "no-such-program"}),
    (OPEN, {"path": "/etc/other"}),
    (OPEN, {"path": "/etc/motd", "mode": "w"}),
    (OPEN, {"path": "/etc/motd", "mode": "r+"}),
    (OPEN, {"path": "/etc/motd", "mode": "a"}),
    (OPEN, {"path": "/etc"}),
    (OPEN, {"path": "/etc/motd/../shadow"}),
    (OPEN, {"path": "/home/alice/.ssh/authorized_keys"}),
    (OPEN, {"path": "/home/alice/new", "mode": "r"}),
    (OPEN, {"path": "/home/alice/newer", "mode": "w"}),
    ("guest-ssh-get-authorized-keys", {"username": "root"}),
    ("guest-ssh-get-authorized-keys", {"username": "alic?"}),
    ("guest-ssh-add-authorized-keys", {"username": "root", "keys": [KEY], "reset": True}),
    ("guest-ssh-add-authorized-keys", {"username": "alice", "keys": [KEY, KEY], "reset": True}),
    ("guest-ssh-remove-authorized-keys", {"username": "root", "keys": [KEY]}),
    ("guest-set-user-password", {"username": "root", "crypted": False, "password": "eA=="}),
    ("guest-set-user-password", {"username": "alice", "crypted": True, "password": "eA=="}),
    ("guest-set-user-password", {"username": "alice", "crypted": False, "password": ""}),
    ("guest-shutdown", {"mode": "halt"}),
    ("guest-set-time", {}),
    ("guest-set-time", {"time": 10**18}),
    ("guest-set-time", {"time": 3 * 10**18}),
    ("guest-fstrim", {}),
    ("guest-fsfreeze-freeze-list", {"mountpoints": ["/"]}),
    ("guest-suspend-ram", {}),
    ("guest-set-vcpus", {"vcpus": [{"logical-id": 1, "online": False}]}),
    ("guest-set-memory-blocks", {"mem-blks": [{"phys-index": 1, "online": False}]}),
    ("guest-file-open", {"path": "/proc/1/environ"}),
]


def check_near(c, near):
    for command, arguments in near:
        reply = c.call(command, timeout=60, **arguments)
        assert "has been disabled: " in reply.get("error", {}).get("desc", ""), \
            (command, arguments, reply)


def must_show(head, enforced, near):
    with guest() as root:
        steps = session(True)
        before, records = recorded(root, head, steps)
        policy, said = suggest(records, status=OK)
        assert said == "", said
        prepare(root)
        with agent_under(root, enforced + policy) as a, a.client() as c:
            after = played(c, steps)
            for one, other in zip(before, after, strict=True):
                assert one == other, (one, other, policy)
            check_near(c, near)
        decided = {r["POSTERN_DECISION"] for r in a.records()
                   if r["POSTERN_EVENT"] == "decision"}
        assert decided == {"allow", "error", "deny"}, decided
    return policy


def test_the_session_passes_and_nothing_near_it():
    policy = must_show("[policy]\nbase = none\nmode = complain\nceiling = legacy\n",
                       "[policy]\nbase = none\n", NEAR)
    assert "guest-exec-status" not in "".join(sum(rules(policy).values(), []))


def test_on_top_of_its_profile():
    """What the profile allows of a command stays allowed as far as it was used: here the
    modes of guest-shutdown."""
    head = "[policy]\nbase = kubevirt\n"
    with guest() as root:
        steps = session(True) + [("guest-shutdown", {"mode": "halt"})]
        before, records = recorded(root, head + "mode = complain\nceiling = legacy\n", steps)
        policy, _ = suggest(records, status=OK)
        modes = [line for lines in rules(policy).values() for line in lines
                 if line.startswith("modes")]
        assert sorted(modes) == ["modes = halt", "modes = powerdown", "modes = reboot"], policy
        assert policy.count("the base profile allows it; rules here take the place") == 2, policy
        # Of what only the base allowed there is nothing.
        assert "guest-get-load" not in policy and "guest-fsfreeze" not in policy, policy
        prepare(root)
        with agent_under(root, head + policy) as a, a.client() as c:
            assert played(c, steps) == before
            check_near(c, [n for n in NEAR if n[0] in (EXEC, OPEN) or "keys" in n[0]
                           or n[0] == "guest-fstrim"])


# ---- texts of any kind ----------------------------------------------------------------------

# Each with others that it would mean if a character of it meant anything.
LITERAL = {
    "*": ["", "x", "/", "-x", "**"], "**": ["x/y", "*"], "?": ["x"], "[a-z]": ["a", "[b-z]"],
    "{a|b}": ["a", "b"], "...": ["", "x", ".."], "a ; b": ["a", "b"], ";": [""], " ": [""],
    "a;b": ["a"], "-": ["", "x"], "--force": ["-", "--forc", "--force="], "": ["x", " "],
    '"': ["", '""'], '"quoted"': ["quoted"], "\\": ["", "\\\\"], "\\*": ["*", "\\x", "x"],
    '\\"': ['"'], "# no comment": ["#"], "[rule \"x\"]": ["r"], "a = b": ["a=b"], "'": [""],
    "$(id)": ["$"], "a|b": ["a", "b"], "tab\there": ["tab here"], "\u00e9\u4e2d\U0001f600": ["e"],
    "%s%n": ["s"], "x" * 256: ["x" * 255, "x" * 257], "<secret>": ["secret"], "!": ["x"],
}
UNFIT = ["a\nb", "a\n[rule \"x\"]\neffect = allow\ncommand = @exec", "\x1b[2J", "\x7f", "\r",
         "\u202eabc", "\u200b", "\ufeff", "\u0085", "\ufffd", "\u2028"]


def trail(*decisions):
    """A record of each; what they say by names without prefix, in small letters."""
    found = []
    for seq, fields in enumerate(decisions, 1):
        r = {"event": "decision", "seq": seq, "instance": "i", "request": seq,
             "time_usec": (START + seq) * 1000000, "decision": "complain", "reason": "no-rule",
             "policy_mode": "complain", **fields}
        if isinstance(r.get("args"), dict):
            r["args"] = json.dumps(r["args"])
        found.append({"POSTERN_" + k.upper(): v for k, v in r.items() if v is not None})
    return found


def exec_of(path, *arg, **more):
    return {"command": EXEC, "args": {"path": path, "arg": list(arg)}, **more}


def test_an_argument_means_itself():
    for text, others in LITERAL.items():
        policy, said = suggest(trail(exec_of("/usr/bin/x", text)), status=OK)
        assert said == "" and len(rules(policy)) == 1, (policy, said)
        assert explained(policy, EXEC, path="/usr/bin/x", arg=[text]), (text, policy)
        for arg in [[o] for o in others] + [[], [text, text], [text, ""], ["", text]]:
            assert not explained(policy, EXEC, path="/usr/bin/x", arg=arg), (text, arg, policy)


def test_many_arguments_at_once():
    texts = list(LITERAL)
    policy, _ = suggest(trail(exec_of("/usr/bin/x", *texts)), status=OK)
    assert max(len(line.encode()) for line in policy.splitlines()) < 4095
    assert explained(policy, EXEC, path="/usr/bin/x", arg=texts), policy
    for wrong in (texts[::-1], texts[1:], texts[:-1], texts + ["x"],
                  texts[:5] + ["x"] + texts[6:]):
        assert not explained(policy, EXEC, path="/usr/bin/x", arg=wrong)


def test_paths_and_users_mean_themselves():
    for text, others in LITERAL.items():
        if len(text) > 200 or "\t" in text or text == "":
            continue
        path = f"/srv/{text}/x"
        policy, _ = suggest(trail(
            exec_of(path, "1"),
            {"command": OPEN, "args": {"path": path, "mode": "rb"}, "file_opened": path},
            {"command": "guest-ssh-get-authorized-keys", "args": {"username": text}}), status=OK)
        assert explained(policy, EXEC, path=path, arg=["1"]), (path, policy)
        assert explained(policy, OPEN, path=path, mode="r"), (path, policy)
        assert explained(policy, "guest-ssh-get-authorized-keys", username=text), (text, policy)
        for other in others:
            wrong = f"/srv/{other}/x"
            assert not explained(policy, EXEC, path=wrong, arg=["1"]), (wrong, policy)
            assert not explained(policy, OPEN, path=wrong), (wrong, policy)
            assert not explained(policy, "guest-ssh-get-authorized-keys", username=other), policy


def test_what_no_policy_can_hold():
    for text in UNFIT:
        for record in (exec_of("/usr/bin/x", text), exec_of(f"/usr/bin/{text}", "1"),
                       {"command": OPEN, "args": {"path": f"/srv/{text}"},
                        "file_opened": f"/srv/{text}"},
                       {"command": "guest-ssh-get-authorized-keys", "args": {"username": text}},
                       {"command": "guest-fsfreeze-freeze-list",
                        "args": {"mountpoints": [text]}}):
            policy, said = suggest(trail(record), status=SOME)
            assert not rules(policy) and "# no rule can say it: " in policy, policy
            assert "requests that have no rule yet: 1;" in said, said
            assert all(c == "\n" or " " <= c < "\x7f" for c in policy), ascii(policy)


def test_paths_that_are_no_plain_ones():
    for path in ("/usr/bin/../bin/x", "x/y", "./x", "/usr//bin/x", "/usr/bin/x/", "/", "..", ""):
        policy, _ = suggest(trail(exec_of(path, "1")), status=SOME)
        assert not rules(policy) and "no rule can say it" in policy, (path, policy)


def test_what_a_record_cuts():
    long = "y" * 300
    cut = long[:256] + "... (300 bytes)"
    start = {"event": "exec-start", "decision": None, "reason": None, "request": 1,
             "exec_path": "/usr/bin/x"}
    policy, _ = suggest(trail(exec_of("/usr/bin/x", cut)), status=SOME)
    assert not rules(policy) and "an argument is longer than a record keeps" in policy, policy
    # The record of the start has more of it.
    policy, _ = suggest(trail(exec_of("x", cut, "*"),
                              {**start, "exec_argv": json.dumps(["x", long, "*"])}), status=OK)
    assert explained(policy, EXEC, path="/usr/bin/x", arg=[long, "*"]), policy
    for wrong in (cut, long[1:], long + "y"):
        assert not explained(policy, EXEC, path="/usr/bin/x", arg=[wrong, "*"]), policy
    for argv in (f'["x", "{long}"', f'["x", "{long}"]', "{}", "[1, 2, 3]",
                 '["x", "\\u0000", "*"]'):
        policy, _ = suggest(trail(exec_of("x", cut, "*"), {**start, "exec_argv": argv}),
                            status=SOME)
        assert not rules(policy), (argv, policy)
    # Up to what a line of a policy holds.
    for length, fits in ((4000, True), (4090, False)):
        text = "z" * length
        policy, _ = suggest(trail(exec_of("/usr/bin/x", text[:256] + f"... ({length} bytes)"),
                                  {**start, "exec_argv": json.dumps(["x", text])}),
                            status=OK if fits else SOME)
        assert bool(rules(policy)) == fits and ("a line of " in policy) != fits, policy
    for args in ('{"path": "/usr/bin/x", "arg": ["a", "b', "", "[]", "null", "{}", None):
        policy, _ = suggest(trail({"command": EXEC, "args": args, "args_cut": True}), status=SOME)
        assert not rules(policy) and "no rule can say it" in policy, policy


def test_secrets_are_to_be_filled_in():
    policy, _ = suggest(trail(exec_of("/usr/bin/x", "1"),
                              {"command": EXEC, "args": {"path": "/usr/bin/x", "arg": ["2"],
                                                         "env": "<secret>"}},
                              {"command": EXEC, "args": {"path": "/usr/bin/sh",
                                                         "input-data": "<secret>"}}), status=SOME)
    assert len(rules(policy)) == 1, policy
    assert "#env-allow = NAMES-OF-VARIABLES" in policy and "#stdin = yes" in policy, policy
    drafts = "\n".join(line[1:] if re.match(r"#[a-z[]", line) else line
                       for line in policy.splitlines()) + "\n"
    with file_of(drafts) as path:
        run("check", path, status=OK)


def test_no_arguments_at_all():
    policy, _ = suggest(trail(exec_of("/usr/bin/x")), status=OK)
    assert explained(policy, EXEC, path="/usr/bin/x"), policy
    assert explained(policy, EXEC, path="x", arg=[]), policy
    for arg in (["a"], ["-a"], [""], ["a/b"], ["-a/b"], ["a", "b"], ["\n"], ["-"]):
        assert not explained(policy, EXEC, path="/usr/bin/x", arg=arg), (arg, policy)
    # With others of the same program a deny would be one of these.
    for other in (exec_of("/usr/bin/x", "1"), exec_of("/bin/x", "1"), exec_of("x", "1"),
                  exec_of("/usr/bin/x", "1", decision="allow", reason="rule", rule="own",
                          rule_file="/etc/postern/policy.conf")):
        policy, said = suggest(trail(exec_of("/usr/bin/x"), other), status=SOME)
        assert "effect = deny" not in policy and "wider than what was seen: it had no arg" \
            in policy, policy
        assert not explained(policy, EXEC, path="/usr/bin/x"), policy
        assert "have no rule yet: 1;" in said


# ---- of a real agent ------------------------------------------------------------------------

@contextlib.contextmanager
def complaining(root, **options):
    """An agent that complains of everything; and a place where its records will be."""
    root.text("/etc/postern/policy.conf",
              "[policy]\nbase = none\nmode = complain\nceiling = legacy\n")
    with root.agent(profile=None, **options) as a, a.client() as c:
        yield a, c


# File names as they may come, of which the kernel takes all but "/".
NAMES = [n for n in LITERAL if n and "/" not in n and len(n) < 200] + \
    ["a\nb", "\\x41", "\\x5c", "a\\x0ab", "\\", "\x1b[2J", "\u202eabc"]


def make_files(root):
    top = f"{root.path}/srv"
    os.makedirs(top, exist_ok=True)
    for name in NAMES:
        with open(f"{top}/{name}", "w", encoding="utf-8"):
            pass


def request_all(c):
    """Arguments of all kinds, and all the files."""
    long = ["L" * n for n in (255, 256, 257, 1000, 3900)]
    asked = [[t] for t in list(LITERAL) + UNFIT] + [long[:4], [long[4]]]
    for arg in asked:
        c.call(EXEC, path="/usr/bin/cat", arg=["--", *arg])
    for name in NAMES:
        for path in (f"/srv/{name}", f"/srv//{name}"):
            opened = c.call(OPEN, path=path)
            assert "return" in opened, (path, opened)
            c.call("guest-file-close", handle=opened["return"])
    # What no client may send leaves no request.
    for raw in (b'{"execute":"guest-exec","arguments":{"path":"/usr/bin/cat","arg":["a\xc3("]}}',
                b'{"execute":"guest-exec","arguments":{"path":"/usr/bin/cat","arg":["a\\u0000"]}}'):
        c.send(raw + b"\n")
        assert b"error" in c.recv_replies(1)[0]
    return asked


def check_all(policy, asked, exact):
    """Under POLICY that is allowed which a policy can say, and nothing beside it. EXACT: the
    records tell what a backslash in a path is."""
    def fit(text):
        return text not in UNFIT and text not in ("a\nb", "\x1b[2J", "\u202eabc")
    for arg in asked:
        assert explained(policy, EXEC, path="/usr/bin/cat", arg=["--", *arg]) \
            == all(fit(t) for t in arg), (arg, policy)
        assert not explained(policy, EXEC, path="/usr/bin/cat", arg=["--", *arg, ""])
        assert not explained(policy, EXEC, path="/usr/bin/cat", arg=["--", arg[0] + "x"])
    for text, others in LITERAL.items():
        for other in others:
            if other not in LITERAL:
                assert not explained(policy, EXEC, path="/usr/bin/cat", arg=["--", other])
    for name in NAMES:
        if exact or "\\x" not in name:
            assert explained(policy, OPEN, path=f"/srv/{name}") == fit(name), (name, policy)
        if fit(name):
            assert not explained(policy, OPEN, path=f"/srv/{name}x"), name
            assert not explained(policy, OPEN, path=f"/srv/{name}", mode="w"), name
    for name in ("A", "zzz", "b", "a;", "x"):
        assert not explained(policy, OPEN, path=f"/srv/{name}"), name


def test_a_hostile_host():
    with guest() as root:
        make_files(root)
        with complaining(root) as (a, c):
            asked = request_all(c)
        policy, _ = suggest(a.records(), status=SOME)
        check_all(policy, asked, exact=False)


def test_a_hostile_host_by_the_journal():
    """There all but JSON is escaped; and others write what looks like records."""
    with guest() as root, Journald() as j:
        os.makedirs(f"{root.path}/run/systemd/journal")
        scratch.bind("/run/systemd/journal", f"{root.path}/run/systemd/journal")
        make_files(root)
        with complaining(root, audit=False, args=["--audit", "journal"]) as (_, c):
            asked = request_all(c)
        assert j.records("POSTERN_EVENT=stop")
        policy = run("suggest", status=SOME).stdout
        with file_of(policy) as path:
            run("check", path, status=OK)
        check_all(policy, asked, exact=True)
        assert run("suggest", "--uid", "1", status=SOME).stdout == ""


# ---- which records, and what is said of them -------------------------------------------------

def test_refusals_only_if_asked_for():
    records = trail(exec_of("/usr/bin/x", "1", decision="deny", reason="argv", rule="own",
                            rule_file="/etc/postern/policy.conf", rule_line=12),
                    exec_of("/usr/bin/x", "2", decision="deny", reason="frozen"),
                    exec_of("/usr/bin/x", "3", decision="deny", reason="rate"))
    policy, said = suggest(records, status=SOME)
    assert policy == "" and "-- nothing to suggest --" in said, (policy, said)
    assert "refusals left out: 1; --denied takes them in" in said, said
    assert "refusals left out that no rule changes: 2\n" in said, said
    policy, said = suggest(records, "--denied", status=OK)
    assert explained(policy, EXEC, path="/usr/bin/x", arg=["1"])
    assert not explained(policy, EXEC, path="/usr/bin/x", arg=["2"])
    assert "# deny: 1 (argv), at 2023-11-14 22:13:21Z\n" \
        "# nearest rule: own, /etc/postern/policy.conf:12\n" in policy, policy


def test_equal_ones_are_counted():
    records = trail(exec_of("/usr/bin/x", "1"), exec_of("/usr/bin/x", "1", reason="argv"),
                    exec_of("/usr/bin/x", "1"),
                    {"command": "guest-get-load", "args": "{}"},
                    {"command": "guest-get-load", "args": "{}", "request": None, "repeat": 41})
    policy, _ = suggest(records, status=OK)
    assert len(rules(policy)) == 2
    assert "# complain: 3 (no-rule, argv), first 2023-11-14 22:13:21Z, " \
        "last 2023-11-14 22:13:23Z\n" in policy, policy
    assert "# complain: 42 (no-rule)" in policy, policy
    again, _ = suggest(records[::-1], status=OK)
    assert rules(again) == rules(policy), "names and order do not depend on the records' order"
    document = json.loads(suggest(records, "--json", status=OK)[0])
    assert [(s["command"], s["is"], s["complain"]) for s in document["suggestions"]] == \
        [(EXEC, "rule", 3), ("guest-get-load", "rule", 42)]
    assert document["policy"] == policy
    assert all(s["text"] in policy for s in document["suggestions"])


def test_denies_stay():
    policy, _ = suggest(trail(exec_of("/usr/bin/x", "1", reason="explicit-deny", rule="no",
                                      rule_file="/etc/postern/policy.conf", rule_line=3)),
                        status=SOME)
    assert not rules(policy) and "a deny rule refuses it" in policy, policy
    assert "# rule: no, /etc/postern/policy.conf:3" in policy, policy


def test_reasons_that_tell_more():
    policy, _ = suggest(trail({"command": OPEN, "args": {"path": "/srv/link"}, "reason": "symlink",
                               "file_opened": "/srv/file"}), status=OK)
    assert "follow-symlinks = yes" in policy and 'path = "/srv/file"' in policy, policy
    policy, _ = suggest(trail({"command": OPEN, "args": {"path": "/srv/link"},
                               "file_opened": "/srv/file"}), status=OK)
    assert "follow-symlinks = root-owned" in policy, policy
    policy, _ = suggest(trail({"command": "guest-set-user-password", "reason": "size", "args": {
        "username": "u", "password": "<secret>", "crypted": False}}), status=SOME)
    assert not rules(policy) and "#empty = yes" in policy, policy


def test_limits_of_the_base_go_along():
    """Of a command that was complained of under another policy before."""
    by_base = {"command": "guest-fsfreeze-freeze", "args": "{}"}
    policy, _ = suggest(trail(by_base, {**by_base, "decision": "allow", "reason": "rule",
                                        "rule": "freeze", "rule_file": "builtin:kubevirt"}),
                        status=OK)
    assert "freeze-max = 300000 ms" in policy, policy
    policy, _ = suggest(trail(by_base, {**by_base, "decision": "allow", "reason": "rule",
                                        "rule": "freeze", "rule_file": "builtin:no\n[x"}),
                        status=OK)
    assert "freeze-max =" not in policy, policy


def test_the_widest_of_tightest_limits():
    """Limits of several rules add up, so there is one rule for all that was seen."""
    def step(seq, ns):
        return [{"command": "guest-set-time", "request": seq, "args": f'{{"time": {10**18 + seq}}}'},
                {"event": "time-set", "decision": None, "reason": None, "request": seq,
                 "time_delta_nsec": ns}]
    policy, _ = suggest(trail(*step(1, 5 * 10**9), *step(2, -(2 * 10**9) - 1)), status=OK)
    (lines,) = rules(policy).values()
    assert lines[2:] == ["from-rtc = no", "max-step = 5000ms", "backwards = yes"], policy
    policy, _ = suggest(trail(*step(1, 1), {"command": "guest-set-time", "args": "{}"}),
                        status=OK)
    (lines,) = rules(policy).values()
    assert lines[2:] == ["from-rtc = yes"] and "how far the clock" in policy, policy

    def cpus(seq, left):
        return [{"command": "guest-set-vcpus", "request": seq,
                 "args": {"vcpus": [{"logical-id": seq, "online": False}]}},
                {"event": "hotplug", "decision": None, "reason": None, "request": seq,
                 "online": left}]
    policy, _ = suggest(trail(*cpus(1, 3), *cpus(2, 2)), status=OK)
    (lines,) = rules(policy).values()
    assert lines[2:] == ["offline = yes", "online-min = 2"], policy
    policy, _ = suggest(trail({"command": "guest-set-vcpus", "args": {
        "vcpus": [{"logical-id": 1, "online": True}]}}), status=OK)
    (lines,) = rules(policy).values()
    assert lines[2:] == ["offline = no"], policy


def test_more_than_a_policy_holds():
    def distinct(n):
        return trail(*[exec_of("/usr/bin/x", "a" * 60, str(i)) for i in range(n)])
    for count in (400, 1100, 3000):
        policy, said = suggest(distinct(count), status=SOME)
        assert len(policy.encode()) <= 64 * 1024
        shown = len(rules(policy))
        assert shown > 100 and f"requests left out: {count - shown}; a policy file" in said, said


def test_records_that_are_no_requests():
    policy, said = suggest(trail({"command": "guest-ping", "args": "{}"},
                                 {"command": "guest-frob", "args": "{}"},
                                 {"command": None}, {"command": EXEC, "decision": "maybe"},
                                 {"command": "guest-get-disks smart", "args": "{}"},
                                 {"command": "guest-info", "reported_by": "frontend"}),
                           status=SOME)
    assert policy == "" and said == "-- nothing to suggest --\n"
    for junk in ("junk\n", "{}\n", "[" * 100000 + "\n", '{"POSTERN_ARGS": 1}\n'):
        done = run("suggest", "--file", "-", stdin=junk, status=SOME)
        assert "no record" in done.stderr, done


def test_some_of_the_records():
    records = trail(exec_of("/usr/bin/x", "1", session=1),
                    {"command": "guest-get-load", "args": "{}", "session": 2})
    for args, found in ((("--command", "exec"), [EXEC]), (("--session", "2"), ["guest-get-load"]),
                        (("--since", f"@{START + 2}"), ["guest-get-load"]),
                        (("--until", f"@{START + 1}"), [EXEC])):
        policy, _ = suggest(records, *args, status=OK)
        assert re.findall("^command = (.*)$", policy, re.M) == found, (args, policy)


def test_a_terminal_that_reads_no_utf8():
    data = "".join(json.dumps(r) + "\n" for r in trail(exec_of("/usr/bin/x", "\u00e9")))
    for locale, shown, words in (("C", b'"\\xc3\\xa9"', "does not show UTF-8"),
                                 ("C.UTF-8", b'"\xc3\xa9"', "")):
        ours, its = pty.openpty()
        done = subprocess.run([CTL, "suggest", "-i", "-"], input=data.encode(), stdout=its,
                              stderr=subprocess.PIPE, timeout=PATIENCE, check=False,
                              env={**os.environ, "LC_ALL": locale}, preexec_fn=guard.harmless)
        os.close(its)
        printed = b""
        with contextlib.suppress(OSError):  # its other end is closed
            while piece := os.read(ours, 65536):
                printed += piece
        os.close(ours)
        assert done.returncode == OK and shown in printed, (locale, printed)
        assert words in done.stderr.decode() and bool(words) == bool(done.stderr), done


def test_wrong_calls():
    for args, words in ((("--frob",), "unknown option"), (("x",), "one word too many"),
                        (("--since", "soon"), "is no time"),
                        (("--file", "-", "-D", "/"), "another source"),
                        (("--command", "frob"), "there is no command"),
                        (("--since", "now", "--until", "-2h"), "later than"),
                        (("--file", "/nonexistent"), "cannot open")):
        done = run("suggest", *args, status=FAILED)
        assert done.stderr.startswith("posternctl: ") and words in done.stderr, (args, done)
        assert done.stdout == ""
    assert "Exit status" in run("suggest", "--help", status=OK).stdout


tap.run(tap.tests(globals()), limit=120)
