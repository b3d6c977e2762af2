#!/usr/bin/python3
# run: limit 240
"""guest-exec and guest-exec-status: what is run, as whom, with what, and what the client
is told; beside the reference where it has the same, else by the protocol (3.36, 3.37) and
the manual of the policy.
"""
import contextlib
import json
import os
import re
import signal
import subprocess
import time

import guard
import programs
import scratch
import tap
from agent import (SPAWNS, VARIANT, Agent, children, comm, descendants, free_uids, helper, is_zombie,
                   status, wait_until)
from programs import (Folder, is_alive, look, named, policy, refused, rule, run, session,
                      start, wait, wait_gone)
from reference import Reference, is_newer

IS_ROOT = os.geteuid() == 0
PROBE = helper("integration/probe")
MIB = 1024 * 1024


@contextlib.contextmanager
def legacy():
    with Agent(profile="legacy") as a, a.client() as c:
        yield a, c


@contextlib.contextmanager
def under(text):
    with programs.agent(text) as a, a.client() as c:
        yield a, c


def failed(path, why):
    return {"class": "GenericError", "desc": "Guest agent command failed, error was 'Failed to "
            f"execute child process \u201c{path}\u201d ({why})'"}


def disabled(why):
    return {"class": "GenericError", "desc": f"Command guest-exec has been disabled: {why}"}


NOT_THESE = disabled("these arguments are not allowed")
UNSAFE = disabled("others than root could change the program")
TOO_MANY = disabled("too many operations are in progress")


# ---- beside the reference ---------------------------------------------------------------

WRAPPED = re.compile(r"Guest agent command failed, error was '(.*)'", re.S)


def outcome(c, arguments):
    """What a client of either agent learns: an error, or the status in the end. Newer
    releases of the reference say only the middle part of an error."""
    reply = c.call("guest-exec", **arguments)
    if "error" in reply:
        middle = WRAPPED.fullmatch(reply["error"]["desc"])
        return {**reply["error"], "desc": middle[1]} if middle and is_newer() else reply["error"]
    return wait(c, reply["return"]["pid"])


def sh(text, **more):
    return programs.request("/bin/sh", ["-c", text], **more)


SAME = [
    *(sh("echo o; echo e >&2; exit 3", **more)
      for more in ({}, {"capture_output": False}, {"capture_output": True})),
    *(sh(text, capture_output=True) for text in
      ("echo only out", "echo only err >&2", "exit 0", "exit 1", "exit 255",
       "printf '\\0\\1\\377'", "kill -9 $$", "kill -TERM $$", "echo x; kill -SEGV $$",
       # Descriptors, arguments, input where there is none.
       "cat; readlink /proc/self/fd/0", "ls /proc/self/fd", "readlink /proc/$$/fd/2 | cut -c1-5")),
    sh("readlink /proc/$$/fd/1 >&2", capture_output=False),
    programs.request("true"), programs.request("false"), programs.request("/bin/true"),
    programs.request("cat", ["/proc/self/cmdline"], capture_output=True),
    programs.request("printf", ["%s|", "", "a b", "*", "$HOME", "\u00e4\u20ac", "-n", "'\"\\"],
                     capture_output=True),
    programs.request("seq", [str(n) for n in range(2000)][:1], capture_output=True),
    *(programs.request("cat", input_data=data, capture_output=True)
      for data in (b"", b"x", b"hello\n", bytes(range(256)) * 17, b"z" * MIB)),
    programs.request("true", input_data=b"z" * MIB),
    sh("exec <&-; sleep 0.2; echo done", input_data=b"z" * MIB, capture_output=True),
    programs.request("head", ["-c", "3"], input_data=b"z" * MIB, capture_output=True),
    programs.request("/usr/bin/env", env=["ONE=1", "TWO=a b", "ONE_MORE="],
                     arg=["sh", "-c", "echo $ONE,$TWO,$ONE_MORE."], capture_output=True),
    programs.request(""), programs.request("/nonexistent"), programs.request("nonexistent"),
    programs.request("/etc/passwd"), programs.request("/etc"), programs.request("/bin/sh/x"),
    programs.request("/bin/true/"), programs.request("true/"), programs.request("/usr/bin/./true"),
    programs.request("//bin//true"), programs.request("/" + "x" * 300),
    programs.request("echo", ["a" * 140000]),
    programs.request("echo", ["a" * 1000] * 3000), programs.request("true", input_data=b""),
]


def test_the_same_as_the_reference():
    with legacy() as (_, c), Reference(env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}) as ref:
        for arguments in SAME:
            ours, theirs = outcome(c, arguments), outcome(ref.client, arguments)
            assert ours == theirs, (str(arguments)[:200], str(ours)[:500], str(theirs)[:500])


def test_16_mib_of_a_stream_are_kept():
    """And no byte more; exactly that much is all."""
    text = f"head -c {16 * MIB} /dev/zero; head -c {16 * MIB + 1} /dev/zero >&2"
    with legacy() as (a, c), Reference() as ref:
        ours, theirs = (outcome(x, sh(text, capture_output=True)) for x in (c, ref.client))
        sizes = [(len(s["out-data"]), s["out-truncated"], len(s["err-data"]),
                  s["err-truncated"]) for s in (ours, theirs)]
        assert sizes == [(16 * MIB, False, 16 * MIB, True)] * 2, sizes
        assert ours == theirs
        ended = a.wait_record(lambda r: r["POSTERN_EVENT"] == "exec-exit")
        assert ended["POSTERN_OUT_BYTES"] == 32 * MIB + 1, ended
        assert ended["POSTERN_OUT_TRUNCATED"] is True, ended


def test_scripts():
    """By its first line, or by /bin/sh where it has none; the reference beside it."""
    with Folder() as d, legacy() as (_, c), Reference() as ref:
        scripts = [d.script("head", 'echo $0 "$@"'), d.script("none", 'echo $0 "$@"', head=""),
                   d.script("cat", "text", head="#!/bin/cat\n"),
                   d.script("lost", "", head="#!/nonexistent\n"),
                   d.script("empty", "", head=""), d.script("plain", "exit", mode=0o644)]
        for path in scripts:
            arguments = programs.request(path, ["a b", ""], capture_output=True)
            ours, theirs = outcome(c, arguments), outcome(ref.client, arguments)
            assert ours == theirs, (path, ours, theirs)
        # Of those six the last three say something else than that they ran.
        done = run(c, scripts[1], "x", capture_output=True)
        assert done["out-data"] == f"{scripts[1]} x\n".encode(), done
        assert refused(c, scripts[3]) == failed(scripts[3], "No such file or directory")
        assert refused(c, scripts[5]) == failed(scripts[5], "Permission denied")


# ---- by the specification ---------------------------------------------------------------

def test_modes_of_capturing():
    """Those of 8.1; with stdout or stderr alone it ends, too."""
    both = {"out-data": b"o\n", "out-truncated": False, "err-data": b"e\n",
            "err-truncated": False}
    out = {k: v for k, v in both.items() if k.startswith("out")}
    err = {k: v for k, v in both.items() if k.startswith("err")}
    expected = {"none": {}, "stdout": out, "stderr": err, "separated": both,
                "merged": {"out-data": b"o\ne\n", "out-truncated": False}}
    with legacy() as (_, c):
        for mode, streams in expected.items():
            done = run(c, "sh", "-c", "echo o; echo e >&2", capture_output=mode)
            assert done == {"exited": True, "exitcode": 0, **streams}, (mode, done)
            # What is not captured goes nowhere.
            done = run(c, "sh", "-c", "out=$(readlink /proc/$$/fd/1); err=$(readlink "
                       "/proc/$$/fd/2); echo $out >&2; echo $err", capture_output=mode)
            assert (b"/dev/null" in done.get("out-data", b"") + done.get("err-data", b"")) \
                == (mode in ("stdout", "stderr")), (mode, done)


def test_an_error_repeats_only_so_much():
    with legacy() as (_, c):
        reply = refused(c, "/x" * 3000)
        start_of = failed("/x" * 300, "")["desc"].split("\u201d")[0]
        assert reply["class"] == "GenericError" and len(reply["desc"]) < 1024, reply
        assert reply["desc"].startswith(start_of), reply


def test_modes_that_are_none():
    with legacy() as (_, c):
        for mode in ("Merged", "both", "", "true", 1, None, [], {}):
            reply = refused(c, "true", capture_output=mode)
            assert reply["class"] == "GenericError", reply
            assert "'capture-output'" in reply["desc"], reply


def test_the_environment():
    """A defined base, and what the host adds or changes; none of the agent's own."""
    base = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG": "C.UTF-8"}
    if IS_ROOT:
        base |= {"HOME": "/root", "USER": "root", "LOGNAME": "root", "SHELL": "/bin/sh"}

    def variables(c, **more):
        done = run(c, "env", "-0", capture_output=True, **more)
        return [v.decode() for v in done["out-data"].split(b"\0")[:-1]]

    def check(given, expected):
        got = variables(c, env=given)
        assert len(got) == len(expected) if IS_ROOT else True, got
        assert dict(v.split("=", 1) for v in got) | expected \
            == dict(v.split("=", 1) for v in got), got

    with legacy() as (_, c):
        check([], base)
        assert variables(c) == variables(c, env=[])
        check(["A=1", "EMPTY=", "B=c=d"], base | {"A": "1", "EMPTY": "", "B": "c=d"})
        check(["PATH=/bin", "LANG=de_DE.UTF-8"], base | {"PATH": "/bin", "LANG": "de_DE.UTF-8"})
        check(["TWICE=1", "TWICE=2"], base | {"TWICE": "2"})
        check(["path=x"], base | {"path": "x"})
        for nameless in ("A", "=x", ""):
            assert refused(c, "true", env=[nameless]) == NOT_THESE, nameless


def test_which_variables_a_rule_allows():
    text = policy(rule("few", env_allow="LC_* ; TZ"))
    with under(text) as (_, c):
        done = run(c, "sh", "-c", "echo $LC_ALL $TZ", env=["LC_ALL=C", "TZ=UTC"],
                   capture_output=True)
        assert done["out-data"] == b"C UTC\n"
        for name in ("LD_PRELOAD", "lc_all", "TZX", "XTZ", "PATH"):
            assert refused(c, "true", env=["TZ=UTC", f"{name}=x"]) == NOT_THESE, name
    with under(policy(rule("none", env_allow='""'))) as (_, c):
        assert run(c, "true") == {"exited": True, "exitcode": 0}
        assert refused(c, "true", env=["A=1"]) == NOT_THESE


def test_where_a_bare_name_is_looked_for():
    """Never where the host or the agent says; the first of the four has it."""
    with Folder() as d, Agent(profile="legacy", env={"PATH": f"{d.path}:/usr/bin"}) as a, \
            a.client() as c:
        d.script("only-here", "true")
        d.script("true", "exit 7")
        name = "only-here"
        assert refused(c, name) == failed(name, "No such file or directory")
        assert refused(c, name, env=[f"PATH={d.path}"]) \
            == failed(name, "No such file or directory")
        assert run(c, "true", env=[f"PATH={d.path}:/bin"])["exitcode"] == 0
        first = a.wait_record(lambda r: r["POSTERN_EVENT"] == "exec-start")
        assert first["POSTERN_EXEC_PATH"] == "/usr/bin/true", first


def test_a_relative_path_means_the_same_to_all():
    """What was looked at is what is run, wherever the rule has it start."""
    with Folder() as d:
        d.script("usr/bin/id", "exit 77")
        os.chown(os.path.join(d.path, "usr"), 65534, 65534)
        with under(policy(rule(cwd=d.path))) as (_, c):
            for path in ("usr/bin/id", "./usr/bin/id", "../../../../usr/bin/id"):
                reply = c.call("guest-exec", path=path)
                if "error" not in reply:
                    assert wait(c, reply["return"]["pid"])["exitcode"] == 0, path


def test_what_others_can_change_is_not_run():
    """Under legacy as well: the program, each directory, each link on the way."""
    with Folder() as d, legacy() as (a, c):
        def attempt(change, path=None):
            """Is it run before CHANGE, but not after?"""
            program = d.script("a/b/program", "exit 5")
            path = path or program
            assert run(c, path)["exitcode"] == 5, path
            change()
            assert refused(c, path) == UNSAFE, path
            denied = a.wait_record(lambda r: r.get("POSTERN_DECISION") == "deny")
            assert denied["POSTERN_REASON"] == "unsafe", denied
            for part, mode in (("a", 0o755), ("a/b", 0o755), ("a/b/program", 0o755)):
                os.chown(os.path.join(d.path, part), 0, 0)
                os.chmod(os.path.join(d.path, part), mode)

        for part in ("a", "a/b", "a/b/program"):
            whole = os.path.join(d.path, part)
            for mode in (0o777, 0o775, 0o757, 0o1777):
                attempt(lambda w=whole, m=mode: os.chmod(w, m))
            attempt(lambda w=whole: os.chown(w, 65534, 0))
        link = os.path.join(d.path, "link")
        os.symlink("a/b/program", link)
        attempt(lambda: os.lchown(link, 65534, 65534), link)
        os.unlink(link)
        os.symlink(os.path.join(d.path, "a"), link)
        attempt(lambda: os.chmod(os.path.join(d.path, "a/b"), 0o777), link + "/b/program")
        attempt(lambda: os.lchown(link, 65534, 65534), link + "/b/program")
        # A link on the way that stands where others may write, and ".." back out of there.
        os.mkdir(os.path.join(d.path, "open"))
        detour = os.path.join(d.path, "open", "link")
        os.symlink(os.path.join(d.path, "a/b/program"), detour)
        attempt(lambda: os.chmod(os.path.join(d.path, "open"), 0o1777), detour)
        assert refused(c, os.path.join(d.path, "open/../a/b/program")) == UNSAFE
        before = len([r for r in a.records() if r["POSTERN_EVENT"] == "exec-start"])
        assert refused(c, os.path.join(d.path, "open/link"), "x") == UNSAFE
        assert len([r for r in a.records() if r["POSTERN_EVENT"] == "exec-start"]) == before


def test_the_bound_of_a_rule_on_output():
    with under(policy(rule(output_max="1000"))) as (_, c):
        for out, err in ((999, 1000), (1000, 1001), (1001, 999), (5000000, 0)):
            done = run(c, "sh", "-c", f"head -c {out} /dev/zero; head -c {err} /dev/zero >&2",
                       capture_output=True)
            got = {k: len(v) if k.endswith("data") else v for k, v in done.items()}
            expected = {"exited": True, "exitcode": 0, "out-data": min(out, 1000),
                        "out-truncated": out > 1000}
            if err:
                expected |= {"err-data": min(err, 1000), "err-truncated": err > 1000}
            assert got == expected, (out, err, got)
        done = run(c, "sh", "-c", "head -c 600 /dev/zero; head -c 401 /dev/zero >&2",
                   capture_output="merged")
        assert (len(done["out-data"]), done["out-truncated"]) == (1000, True)


def test_input_as_large_as_a_message():
    size = 40 * MIB
    with legacy() as (_, c):
        done = run(c, "sh", "-c", "wc -c; wc -c", input_data=b"x" * size, capture_output=True)
        assert done["out-data"].split() == [str(size).encode(), b"0"], done


def test_bounds_of_a_rule_on_input():
    with under(policy(rule("some", stdin_max="5", path="/usr/bin/cat"),
                      rule("no", stdin="no", path="/usr/bin/head"))) as (_, c):
        done = run(c, "/usr/bin/cat", input_data=b"12345", capture_output=True)
        assert done["out-data"] == b"12345"
        assert refused(c, "/usr/bin/cat", input_data=b"123456") == NOT_THESE
        assert run(c, "/usr/bin/head")["exitcode"] == 0
        for data in (b"1", b""):
            assert refused(c, "/usr/bin/head", input_data=data) == NOT_THESE


def test_where_it_starts():
    with Folder() as d, under(policy(rule("here", path="/usr/bin/pwd", cwd=d.path),
                                     rule("lost", path="/usr/bin/true", cwd=d.path + "/x"),
                                     rule("file", path="/usr/bin/id", cwd="/etc/passwd"))) \
            as (_, c):
        assert run(c, "/usr/bin/pwd", capture_output=True)["out-data"] == f"{d.path}\n".encode()
        assert refused(c, "/usr/bin/true") == failed("/usr/bin/true", "No such file or directory")
        assert refused(c, "/usr/bin/id") == failed("/usr/bin/id", "Not a directory")
    with legacy() as (_, c):
        assert run(c, "pwd", capture_output=True)["out-data"] == b"/\n"


# ---- as whom -----------------------------------------------------------------------------

@contextlib.contextmanager
def accounts():
    """Private mounts with two more accounts; `tom` is in two groups beside his own. Gives
    their ids."""
    tom, ann, *groups = free_uids(8)[3:]
    extra = {"/etc/passwd": f"tom:x:{tom}:{tom}::/home/of tom:/bin/false\n"
                            f"ann:x:{ann}:{ann}::/:\n",
             "/etc/group": f"tom:x:{tom}:\nann:x:{ann}:\nred:x:{groups[0]}:ann,tom\n"
                           f"blue:x:{groups[1]}:tom\ngreen:x:{groups[2]}:ann\n"}
    with scratch.namespaces() as top:
        for place, lines in extra.items():
            copy = os.path.join(top, os.path.basename(place))
            with open(place, encoding="utf-8") as f, open(copy, "w", encoding="utf-8") as to:
                to.write(f.read().rstrip("\n") + "\n" + lines)
            os.chmod(copy, 0o644)
            scratch.bind(copy, place)
        yield {"tom": tom, "ann": ann, "red": groups[0], "blue": groups[1],
               "green": groups[2]}


def probed(c, path, *arg, **more):
    """What the probe says: a list of (what, value)."""
    done = run(c, path, *arg, capture_output=True, **more)
    assert done["exitcode"] == 0 and "err-data" not in done, done
    return parsed(done["out-data"])


def parsed(lines):
    return [pair for line in lines.splitlines() for pair in json.loads(line).items()]


def test_user_and_groups_of_a_rule():
    with accounts() as ids, Folder() as d:
        probe = d.copy(PROBE)
        os.link(probe, probe + "2")
        os.link(probe, probe + "3")
        os.link(probe, probe + "4")
        nobody = policy(rule("name", path=probe, user="tom"),
                        rule("number", path=probe + "2", user=str(ids["ann"])),
                        rule("group", path=probe + "3", user="ann", group="blue"),
                        rule("only", path=probe + "4", group=str(ids["red"])))
        expected = {
            "": ("tom", ids["tom"], ids["tom"], {"tom", "red", "blue"}, "/home/of tom",
                 "/bin/false"),
            "2": ("ann", ids["ann"], ids["ann"], {"ann", "red", "green"}, "/", "/bin/sh"),
            "3": ("ann", ids["ann"], ids["blue"], {"blue", "red", "green"}, "/", "/bin/sh"),
            "4": ("root", 0, ids["red"], {"red"}, "/root", "/bin/sh")}
        with under(nobody) as (a, c):
            for which, (user, uid, gid, groups, home, shell) in expected.items():
                said = probed(c, probe + which)
                facts = dict(said)
                variables = {v for k, v in said if k == "variable"}
                assert facts["Uid"].split() == [str(uid)] * 4, facts
                assert facts["Gid"].split() == [str(gid)] * 4, facts
                have = {int(g) for g in facts["Groups"].split()} | {gid}
                assert have - ({0} if uid == 0 else set()) == {ids[g] for g in groups}, \
                    (which, have)
                assert {f"USER={user}", f"LOGNAME={user}", f"HOME={home}",
                        f"SHELL={shell}"} <= variables, variables
                if uid:
                    for caps in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
                        assert int(facts[caps], 16) == 0, (which, caps, facts)
                assert facts["NoNewPrivs"] == "0" and guard.filters(facts) == 0, facts
            users = [r["POSTERN_EXEC_USER"] for r in a.records()
                     if r["POSTERN_EVENT"] == "exec-start"]
            assert users == ["tom", str(ids["ann"]), "ann", "root"], users


def test_users_that_are_not_there():
    if not IS_ROOT:
        tap.skip("needs root, to become somebody else")
    with under(policy(rule("user", path="/usr/bin/true", user="no-such-user"),
                      rule("group", path="/usr/bin/id", group="no-such-group"))) as (a, c):
        for path in ("/usr/bin/true", "/usr/bin/id"):
            assert refused(c, path)["desc"].startswith(
                f"Guest agent command failed, error was 'Failed to execute child process "
                f"\u201c{path}\u201d ("), path
        assert not [r for r in a.records() if r["POSTERN_EVENT"] == "exec-start"]


def test_a_user_cannot_run_what_only_root_may():
    with accounts(), Folder() as d:
        path = d.script("mine", "true", mode=0o700)
        with under(policy(rule(user="tom"))) as (_, c):
            assert refused(c, path) == failed(path, "Permission denied")


# ---- nothing is inherited ----------------------------------------------------------------

def clean_shell(path):
    """What the probe says when it is run from a shell with nothing around it, by whoever
    starts an agent."""
    out = subprocess.run(["/bin/sh", "-c", 'umask 022; cd /; exec env -i setsid "$0"', path],
                         stdin=subprocess.DEVNULL, check=True, capture_output=True,
                         preexec_fn=guard.harmless).stdout
    return parsed(out)


def comparable(said):
    """All but the environment; and ignored signals, as a shell cannot give back those that
    libc keeps for itself."""
    return [pair for pair in said if pair[0] not in ("variable", "SigIgn")]


def test_nothing_is_inherited():
    """Neither filter, no_new_privs, capabilities cut, umask, signals nor descriptors: the
    probe sees the same as below a shell of root."""
    with Folder() as d, legacy() as (a, c):
        probe = d.copy(PROBE)
        shell, ours = clean_shell(probe), probed(c, probe)
        assert comparable(ours) == comparable(shell), \
            (set(map(str, ours)) ^ set(map(str, shell)))
        # And that the probe sees what matters: these the agent's own processes differ in.
        facts = dict(ours)
        worker = status(a.child("worker"))
        assert guard.filters(facts) == 0 and facts["NoNewPrivs"] == "0"
        assert guard.filters(worker) > 0 and worker["NoNewPrivs"] == "1", worker
        assert int(facts["CapBnd"], 16) != int(worker["CapBnd"], 16)
        assert [k for k, _ in ours if k.startswith("fd ")] == ["fd 0", "fd 1", "fd 2"]
        assert facts["SigIgn"] == facts["SigBlk"] == "0" * 16 and facts["Umask"] == "0022"


def test_nothing_is_inherited_from_who_started_the_agent():
    """A supervisor started with the oddest of signal masks, umasks and descriptors."""
    with Folder() as d:
        probe = d.copy(PROBE)
        extra = os.open("/etc/passwd", os.O_RDONLY)
        before = os.umask(0o137)
        old = signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2, signal.SIGALRM})
        os.set_inheritable(extra, True)
        try:
            a = Agent(profile="legacy", start=False)
            a.argv = ["/bin/sh", "-c", 'exec 7</etc/passwd; cd /usr; exec "$@"', "-", *a.argv]
            a.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR2, signal.SIGALRM})
            signal.signal(signal.SIGHUP, old)
            os.umask(before)
            os.close(extra)
        with a, a.client() as c:
            facts = dict(probed(c, probe))
            assert facts["Umask"] == "0022" and facts["cwd"] == "/", facts
            assert facts["SigIgn"] == facts["SigBlk"] == "0" * 16, facts
            assert sorted(k for k in facts if k.startswith("fd")) == ["fd 0", "fd 1", "fd 2"]


def test_programs_that_gain_privilege():
    """As far as they work in a shell they work here, too."""
    tried = [("sudo", "-n", "true"), ("ping", "-c1", "-W5", "127.0.0.1")]
    works = [t for t in tried
             if subprocess.run(["/bin/sh", "-c", 'command -v "$0" >/dev/null && exec "$0" "$@"',
                                *t], stdin=subprocess.DEVNULL, check=False,
                               capture_output=True, preexec_fn=guard.harmless).returncode == 0]
    if not works:
        tap.skip("neither sudo nor ping works in a shell here")
    with legacy() as (_, c):
        for name, *arg in works:
            done = run(c, name, *arg, capture_output=True)
            assert done["exitcode"] == 0, (name, done)


def test_a_user_that_gains_privilege():
    """A program that belongs to root and has the bit runs as root for tom."""
    with accounts() as ids, Folder() as d:
        probe = d.copy(PROBE)
        os.chmod(probe, 0o4755)
        with under(policy(rule(user="tom"))) as (_, c):
            facts = dict(probed(c, probe))
            assert facts["Uid"].split() == [str(ids["tom"]), "0", "0", "0"], facts
            assert int(facts["CapEff"], 16), facts


# ---- time and number ----------------------------------------------------------------------

def record_of(a, event, pid):
    return a.wait_record(lambda r: r["POSTERN_EVENT"] == event
                         and r["POSTERN_EXEC_PID"] == pid)


def test_a_deadline():
    """The program and its group are told to end."""
    with under(policy(rule(timeout="500ms"))) as (a, c):
        pid = start(c, "sh", "-c", "echo x; sleep 100 & sleep 100", capture_output=True)
        state = wait(c, pid)
        assert state == {"exited": True, "signal": 15, "out-data": b"x\n",
                         "out-truncated": False}, state
        assert record_of(a, "exec-exit", pid)["POSTERN_TIMED_OUT"] is True
        wait_gone(pid, 5)
        # It may make its own end of it.
        pid = start(c, "sh", "-c", "trap 'echo bye; exit 9' TERM; sleep 100 & wait",
                    capture_output=True)
        state = wait(c, pid)
        assert (state["exitcode"], state["out-data"]) == (9, b"bye\n"), state
        assert record_of(a, "exec-exit", pid)["POSTERN_TIMED_OUT"] is True
        # Who is in time is not told anything.
        pid = start(c, "sh", "-c", "trap 'exit 9' TERM; sleep 0.1")
        assert wait(c, pid)["exitcode"] == 0
        assert record_of(a, "exec-exit", pid)["POSTERN_TIMED_OUT"] is False


def test_how_many_at_a_time():
    text = policy(rule("one", path="/usr/bin/sleep", concurrent="1"),
                  rule("any", path="/usr/bin/cat"), exec_concurrent=3)
    with under(text) as (_, c), contextlib.ExitStack() as stack, Folder() as d:
        fifo = os.path.join(d.path, "fifo")
        os.mkfifo(fifo)
        hold = os.open(fifo, os.O_RDWR)
        stack.callback(os.close, hold)
        sleeper = start(c, "/usr/bin/sleep", "100")
        assert refused(c, "/usr/bin/sleep", "1") == TOO_MANY
        cats = [start(c, "/usr/bin/cat", fifo) for _ in range(2)]
        for path in ("/usr/bin/cat", "/usr/bin/sleep"):
            assert refused(c, path, fifo) == TOO_MANY
        assert look(c, cats[0]) == {"exited": False}
        os.kill(cats[0], signal.SIGTERM)
        assert wait(c, cats[0])["signal"] == 15
        cats[0] = start(c, "/usr/bin/cat", fifo)
        assert refused(c, "/usr/bin/cat") == TOO_MANY
        # One that has ended and was not asked for yet is none that runs.
        os.kill(sleeper, signal.SIGTERM)
        os.kill(cats[0], signal.SIGTERM)
        wait_until(lambda: not is_alive(sleeper) and not is_alive(cats[0]), "their end")
        wait_until(lambda: "return" in c.call("guest-exec", path="/usr/bin/sleep", arg=["0"]),
                   "room for another")


def test_32_if_nothing_is_said():
    with legacy() as (_, c):
        c.send(b'{"execute":"guest-exec","arguments":{"path":"sleep","arg":["100"]}}\n' * 40)
        replies = [json.loads(r) for r in c.recv_replies(40)]
        assert [r["error"] for r in replies if "error" in r] == [TOO_MANY] * 8, replies
        pids = [r["return"]["pid"] for r in replies if "return" in r]
        assert refused(c, "true") == TOO_MANY
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        assert [wait(c, pid) for pid in pids] == [{"exited": True, "signal": 9}] * 32
        assert run(c, "true")["exitcode"] == 0


# ---- named programs ------------------------------------------------------------------------

def test_named_programs():
    """The guest owns path and arguments, the host picks a name."""
    with Folder() as d:
        echo = d.script("echo", 'echo "$0:$@:$VAR"')
        text = policy(named("collect", echo, argv="--since ; {1h|6h}", env_allow="VAR",
                            timeout="20s"),
                      named("true", "/usr/bin/false"))
        with under(text) as (a, c):
            done = run(c, "collect", "--since", "6h", env=["VAR=x"], capture_output=True)
            assert done["out-data"] == f"{echo}:--since 6h:x\n".encode(), done
            # The name is the policy's, whatever else is called so.
            assert run(c, "true")["exitcode"] == 1
            begun = [r for r in a.records() if r["POSTERN_EVENT"] == "exec-start"]
            assert [(r["POSTERN_EXEC_NAME"], r["POSTERN_EXEC_PATH"]) for r in begun] \
                == [("collect", echo), ("true", "/usr/bin/false")], begun
            assert refused(c, "collect", "--since", "7h") == NOT_THESE
            assert refused(c, "collect") == NOT_THESE
            assert refused(c, "collect", "--since", "1h", env=["PATH=/tmp"]) == NOT_THESE


def ways_around(d, target):
    """Other programs than "hello", and other ways to say it."""
    shell = ["-c", f"touch {d.path}/ran"]
    short = os.path.basename(d.path)
    for path in ("/bin/sh", "sh", "/usr/bin/sh", "dash", "bash", "/bin/../bin/sh", "//bin/sh",
                 "bin/sh", "./bin/sh", "../bin/sh", "../../../bin/sh", "/proc/self/exe", "env",
                 "/proc/1/root/bin/sh", "hello/../../bin/sh", "hello/../sh", "/bin/sh\n",
                 f"{d.path}/other", "other", f"../run/{short}/other", f"{d.path}/sub/hello"):
        yield path, shell
    for path in ("Hello", "HELLO", "hello ", " hello", "hello/", "/hello", "./hello", "../hello",
                 "hello\n", "hello\t", "h", "hell", "hello1", "hell?", "*", "{hello}", "", "/", ".",
                 "..", "~/hello", "h\u00e9llo", "\uff48ello", "hello hello", '"hello"', "'hello'",
                 target, target + "/", f"/{target}", f"{d.path}/./hello", f"{d.path}//hello",
                 f"{d.path}/sub/../hello", "/".join(["hello"] * 3)):
        yield path, []
        yield path, ["a"]
    for arg in (["A"], ["a", "a"], ["c"], [""], ["a "], [" a"], ["a\n"], ["-a"], ["a", ""],
                ["{a|b}"], ["*"], ["..."], ["a|b"], ["a", "-c", "id"]):
        yield "hello", arg


def test_nothing_but_the_named_program():
    """By no path, no spelling and no argument."""
    with Folder() as d:
        target = d.script("hello", "exit 5")
        d.script("other", f"touch {d.path}/ran")
        d.script("sub/hello", f"touch {d.path}/ran")
        with under(policy(named("hello", target, argv="{a|b}", env_allow='""'))) as (a, c):
            for path, arg in ways_around(d, target):
                reply = c.call("guest-exec", **programs.request(path, arg))
                assert reply.get("error") == NOT_THESE, (path, arg, reply)
            for more in ({"env": ["LD_PRELOAD=/x"]}, {"env": ["A=1"]}, {"env": [""]}):
                assert refused(c, "hello", "a", **more) == NOT_THESE, more
            assert not [r for r in a.records() if r["POSTERN_EVENT"] == "exec-start"]
            assert not os.path.exists(os.path.join(d.path, "ran"))
            assert run(c, "hello", "a")["exitcode"] == run(c, "hello", "b")["exitcode"] == 5


def test_a_deny_means_the_program():
    """By whatever name the host calls it."""
    with Folder() as d:
        tool = d.script("tool", "exit 5")
        os.symlink(tool, os.path.join(d.path, "alias"))
        os.symlink(d.path, os.path.join(d.path, "dir"))
        other = d.script("other", "exit 6")
        third = d.script("third", "exit 7")
        os.symlink(third, os.path.join(d.path, "by-link"))
        text = policy(rule("no", effect="deny", path=f"{tool} ; /bin/id ; {d.path}/by-link"),
                      base="legacy")
        with under(text) as (_, c):
            for path in (tool, "/bin/id", "/usr/bin/id", "id", "bin/id", "./bin/id", "//bin/id",
                         "/bin/./id", "/bin//id", "/bin/../bin/id", "/../bin/id",
                         "/usr/sbin/../bin/id", f"{d.path}/alias", f"{d.path}/dir/tool",
                         f"{d.path}/dir/dir/alias", f"{d.path}/./tool", tool[1:], "/" + tool,
                         f"{d.path}/by-link", f"{d.path}/./by-link", f"{d.path[1:]}/by-link"):
                reply = refused(c, path)
                assert reply == NOT_THESE, (path, reply)
            assert (run(c, other)["exitcode"], run(c, third)["exitcode"]) == (6, 7)
            assert run(c, "true")["exitcode"] == 0


# ---- records --------------------------------------------------------------------------------

def test_records():
    with under(policy(rule("shells", path="/usr/bin/*", env_allow="TOKEN"))) as (a, c):
        done = [start(c, "/usr/bin/sh", "-c", text, capture_output=True,
                      input_data=b"quiet please", env=["TOKEN=quiet"])
                for text in ("echo four; exit 4", "kill -9 $$")]
        for pid in done:
            wait(c, pid)
        first, second = (record_of(a, "exec-start", pid) for pid in done)
        assert (first["POSTERN_EXEC_PATH"], first["POSTERN_EXEC_ARGV"]) == (
            "/usr/bin/sh", '["/usr/bin/sh", "-c", "echo four; exit 4"]'), first
        assert "POSTERN_EXEC_NAME" not in first, first
        if IS_ROOT:
            assert first["POSTERN_EXEC_USER"] == "root", first
        ends = [record_of(a, "exec-exit", pid) for pid in done]
        assert [e["POSTERN_REQUEST"] for e in ends] == [first["POSTERN_REQUEST"],
                                                        second["POSTERN_REQUEST"]]
        assert (ends[0]["POSTERN_EXIT_CODE"], ends[0]["POSTERN_OUT_BYTES"],
                ends[0]["POSTERN_OUT_TRUNCATED"], ends[0]["POSTERN_TIMED_OUT"]) \
            == (4, 5, False, False), ends
        assert "POSTERN_SIGNAL" not in ends[0] and "POSTERN_EXIT_CODE" not in ends[1], ends
        assert ends[1]["POSTERN_SIGNAL"] == 9, ends
        # In the trail each decision stands before its program, and that before its end.
        trail = [(r["POSTERN_EVENT"], r.get("POSTERN_REQUEST")) for r in a.records()]
        for record in (first, second):
            places = [trail.index((event, record["POSTERN_REQUEST"]))
                      for event in ("decision", "exec-start", "exec-exit")]
            assert places == sorted(places), trail
        # Arguments are recorded as they are; input and environment may hold secrets.
        with open(a.audit_path, encoding="utf-8") as f:
            text = f.read()
        assert not [word for word in ("TOKEN", "quiet", "cXVpZX") if word in text]


def test_a_result_is_given_once():
    with legacy() as (_, c):
        pid = start(c, "sh", "-c", "exit 3")
        assert wait(c, pid)["exitcode"] == 3
        assert look(c, pid) is None
        for stranger in (pid, 0, 1, -1, os.getpid(), 2**31, 2**32 + 1, -2**63, 2**63 - 1):
            assert look(c, stranger) is None, stranger


def test_the_pid_is_the_real_one():
    """Clients send `kill` with it."""
    with legacy() as (a, c):
        pid = start(c, "sh", "-c", "echo $$; sleep 100", capture_output=True)
        wait_until(lambda: any(comm(p) == "sleep" for p in children(pid)), "its sleep")
        assert pid in children(a.child("spawner"))
        assert os.getsid(pid) == os.getpgid(pid) == pid
        assert run(c, "kill", str(pid))["exitcode"] == 0
        state = wait(c, pid)
        assert (state["signal"], state["out-data"]) == (15, f"{pid}\n".encode())
        for left in session(pid):  # of its group only it was meant
            os.kill(left, signal.SIGKILL)


# ---- the spawner ----------------------------------------------------------------------------

def test_who_needs_a_spawner():
    """It is there only where the policy can allow a program; passwords and keys take some of
    our own, and so does power where init takes no signal."""
    some = rule("one", path="/usr/bin/true")
    needed = {policy(base="legacy"): (True, True), policy(base="safe"): (bool(SPAWNS), False),
              policy(): (False, False), policy(some): (True, True),
              policy(some, base="safe"): (True, True),
              policy(named("one", "/usr/bin/true")): (True, True),
              # Results alone need none: there can be none.
              policy('[rule "r"]\neffect = allow\ncommand = guest-exec-status\n'):
                  (False, False),
              policy(rule(effect="deny"), base="legacy"): (True, False),
              policy(rule("no", effect="deny", path="/usr/bin/*"), base="legacy"): (True, True)}
    for text, (spawner, there) in needed.items():
        with under(text) as (a, c):
            if spawner:
                a.child("spawner")
            a.child("inspector")  # of those that are started here, the last but a spawner
            assert len(a.pids("spawner")) == spawner, text
            if not there:
                assert refused(c, "true")["class"] == "CommandNotFound", text
            info = {i["name"]: i["enabled"] for i in
                    c.call("guest-info")["return"]["supported_commands"]}
            assert info["guest-exec"] is there, text


def test_the_spawner_is_killed():
    with legacy() as (a, c):
        old = a.child("spawner")
        lives, done = start(c, "sleep", "100"), start(c, "true")
        wait_until(lambda: not is_alive(done), "the end of a program")
        os.kill(old, signal.SIGKILL)
        restart = a.wait_record(lambda r: r["POSTERN_EVENT"] == "child-restart")
        assert restart["POSTERN_PROCESS"] == "spawner", restart
        wait_until(lambda: a.child("spawner") != old, "a new spawner")
        assert run(c, "sh", "-c", "exit 6")["exitcode"] == 6
        # What the old one knew is lost; what it ran lives on.
        assert look(c, lives) is None and look(c, done) is None
        assert is_alive(lives)
        os.kill(lives, signal.SIGKILL)


def test_what_a_dead_spawner_ran_takes_no_room():
    with under(policy(base="legacy", exec_concurrent=2)) as (a, c):
        pids = [start(c, "sleep", "100") for _ in range(2)]
        assert refused(c, "true") == TOO_MANY
        old = a.child("spawner")
        os.kill(old, signal.SIGKILL)
        wait_until(lambda: a.child("spawner") != old, "a new spawner")
        assert run(c, "true")["exitcode"] == 0
        for pid in pids:
            assert is_alive(pid)
            os.kill(pid, signal.SIGKILL)


def test_a_request_waits_for_the_next_spawner():
    """Or is told that it failed; the channel goes on."""
    with legacy() as (a, c):
        for _ in range(5):
            os.kill(a.child("spawner"), signal.SIGKILL)
            reply = c.call("guest-exec", path="true")
            if "error" in reply:
                assert "the spawner ended without an answer" in reply["error"]["desc"], reply
            assert c.call("guest-ping") == {"return": {}}
        wait_until(lambda: "return" in c.call("guest-exec", path="true"), "a program")


def test_the_worker_is_killed():
    """All starts anew; programs end, as on-stop says."""
    for text, ends in ((policy(base="legacy"), True),
                       (policy(base="legacy", on_stop="keep"), False)):
        with under(text) as (a, c):
            old = a.child("spawner"), a.child("worker")
            pid = start(c, "sleep", "100")
            os.kill(old[1], signal.SIGKILL)
            a.wait_ready()
            wait_until(lambda: not {*old} & {a.child("spawner"), a.child("worker")},
                       "new processes")
            if ends:
                wait_until(lambda: not is_alive(pid), "its end")
            with a.client() as again:
                assert run(again, "sh", "-c", "exit 6")["exitcode"] == 6
                assert look(again, pid) is None
            if not ends:
                assert is_alive(pid)
                os.kill(pid, signal.SIGKILL)


def test_the_frontend_is_killed():
    """Programs and their results outlive a session."""
    with legacy() as (a, c):
        pid, long = start(c, "sh", "-c", "exit 4"), start(c, "sleep", "100")
        os.kill(a.child("frontend"), signal.SIGKILL)
        a.wait_ready()
        with a.client() as again:
            assert wait(again, pid)["exitcode"] == 4
            assert look(again, long) == {"exited": False}
            os.kill(long, signal.SIGKILL)
            assert wait(again, long)["signal"] == 9


def test_what_ends_with_the_agent():
    with Folder() as d:
        script = d.script("life", f"echo $$ >{d.path}/pid; trap exit TERM; sleep 100 & wait")
        stubborn = d.script("stubborn", "trap '' TERM; while :; do sleep 1; done")
        with under(policy(rule(), on_stop="kill")) as (_, c):
            pids = [start(c, script), start(c, stubborn), start(c, "sleep", "100"),
                    start(c, "sh", "-c", "(trap '' TERM; exec sleep 100) & exec sleep 100")]
            wait_until(lambda: comm(pids[1]) == "stubborn", "the program to begin")
            wait_until(lambda: os.path.exists(f"{d.path}/pid"), "the program to begin")
            time.sleep(0.2)  # for the traps
        wait_until(lambda: not any(session(p) for p in pids), "their end", 5)
        with under(policy(rule(), on_stop="keep")) as (_, c):
            pids = [start(c, "sleep", "100"),
                    start(c, "sh", "-c", f"sleep 2; cat >{d.path}/said; sleep 100",
                          input_data=b"input", capture_output=True)]
        try:
            time.sleep(1.5)
            assert all(is_alive(p) for p in pids)
            wait_until(lambda: os.path.exists(f"{d.path}/said")
                       and os.path.getsize(f"{d.path}/said"), "what it was given")
        finally:
            for left in [p for pid in pids for p in session(pid)]:
                os.kill(left, signal.SIGKILL)


# ---- many -----------------------------------------------------------------------------------

COUNT = 10000 if VARIANT == "release" else 1000
AT_ONCE = 25


def batch(c, n, arguments):
    """N programs, all asked for at once; their ends."""
    text = json.dumps({"execute": "guest-exec", "arguments": arguments}).encode() + b"\n"
    c.send(text * n)
    waiting = [json.loads(r)["return"]["pid"] for r in c.recv_replies(n)]
    while waiting:
        c.send(b"".join(b'{"execute":"guest-exec-status","arguments":{"pid":%d}}\n' % pid
                        for pid in waiting))
        states = [json.loads(r)["return"] for r in c.recv_replies(len(waiting))]
        for state in states:
            assert state["exited"] is False or state["exitcode"] == 3, state
        waiting = [p for p, s in zip(waiting, states) if not s["exited"]]


def held(a):
    """Descriptors and memory (KiB) of each of the agent's processes; whose child is dead."""
    pids = {"supervisor": a.pid, **{p: a.child(p) for p in ("frontend", "worker", "spawner")}}
    fds = {name: len(os.listdir(f"/proc/{pid}/fd")) for name, pid in pids.items()}
    memory = {name: int(status(pid)["VmRSS"].split()[0]) for name, pid in pids.items()}
    return fds, memory, [p for p in descendants(a.pid) if is_zombie(p)]


def test_ten_thousand_programs():
    """No zombie, no descriptor, no memory and no process is left."""
    if not IS_ROOT:
        tap.skip("needs root, to look into the processes")
    arguments = sh("cat >/dev/null; echo output; exit 3", capture_output=True, input_data=b"input")
    plain = {"path": "/bin/sh", "arg": ["-c", "exit 3"]}
    with legacy() as (a, c):
        for _ in range(8):
            batch(c, AT_ONCE, arguments)
        before = held(a)
        family = len(descendants(a.pid))
        for i in range(COUNT // AT_ONCE):
            batch(c, AT_ONCE, arguments if i % 4 == 0 else plain)
        wait_until(lambda: held(a)[2] == [], "no zombie", 5)
        wait_until(lambda: all(n <= before[0][name] for name, n in held(a)[0].items()),
                   lambda: (before, held(a)), 5)
        wait_until(lambda: len(descendants(a.pid)) == family, "only who was there before", 5)
        if VARIANT == "release":
            after = held(a)[1]
            for name, kib in after.items():
                assert kib <= before[1][name] + 1024, (name, before[1], after)


def test_results_that_nobody_fetches():
    """The oldest are given up, and nothing grows."""
    with legacy() as (a, c):
        first = start(c, "sh", "-c", "exit 3")
        wait_until(lambda: not is_alive(first), "its end")
        pids = []
        for _ in range(300 // AT_ONCE):
            c.send(b'{"execute":"guest-exec","arguments":{"path":"true"}}\n' * AT_ONCE)
            pids += [json.loads(r)["return"]["pid"] for r in c.recv_replies(AT_ONCE)]
            wait_until(lambda: not any(is_alive(p) for p in pids[-AT_ONCE:]), "their end")
        wait_until(lambda: len([r for r in a.records() if r["POSTERN_EVENT"] == "exec-exit"])
                   == 301, "their records")
        assert look(c, first) is None
        assert look(c, pids[-1]) == {"exited": True, "exitcode": 0}
        assert not [p for p in descendants(a.pid) if is_zombie(p)]


if __name__ == "__main__":
    tap.run(tap.tests(globals()), limit=150)
