#!/usr/bin/python3
"""posternctl status and reload with a running agent: what they print and how they end, each
outcome of a reload, and which policy is in force after a worker or the agent was replaced.
"""
# run: limit 180
import contextlib
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import tempfile
import time

import frost
import fuse
import guard
import programs
import scratch
import tap
from agent import PATIENCE, Agent, build_dir, comm, is_zombie, stopped, wait_until
from reloading import reader

INFO = '[policy]\nbase = none\n[rule "info"]\neffect = allow\ncommand = @info\n'
NARROW = '[policy]\nbase = none\n[rule "time"]\neffect = allow\ncommand = guest-get-time\n'
WIDE = INFO + '[rule "clock"]\neffect = allow\ncommand = guest-set-time\n'
WRONG = INFO + '[rule "x"]\neffect = perhaps\ncommand = guest-frob\n[rule "y"]\nfrob = 1\n'
READ_S = 10  # the agent waits so long for the files


@contextlib.contextmanager
def started(agent):
    """An Agent that was only prepared."""
    try:
        agent.start()
    except BaseException:
        agent.kill()
        raise
    with agent:
        yield agent


@contextlib.contextmanager
def bound(source, agent, name):
    """SOURCE in the place of a policy file of AGENT, until that has ended."""
    point = os.path.join(agent.policy_root, "etc/postern", name)
    scratch.bind(source, point)
    try:
        yield
    finally:
        scratch.unmount(point, scratch.MNT_DETACH)
        shutil.rmtree(agent.dir, ignore_errors=True)  # it could not, with that in it


def allows(agent, command):
    with agent.client() as c:
        return "return" in c.call(command)


def digest(agent):
    return agent.ctl_json("status")["digest"]


def events(agent, *names):
    return [r for r in agent.records() if r["POSTERN_EVENT"] in names]


def wait_events(agent, count, *names):
    """The same, once there are COUNT, and no more: an answer may come before its record."""
    wait_until(lambda: len(events(agent, *names)) >= count,
               lambda: f"{count} of {names}: {events(agent, *names)!r:.2000}")
    found = events(agent, *names)
    assert len(found) == count, found
    return found


# ---- status --------------------------------------------------------------------------------

def test_status_for_people():
    with programs.agent(INFO) as a:
        done = a.ctl("status", status=0)
        assert done.stderr == "", done
        head = [line[:13].rstrip() for line in done.stdout.splitlines()]
        assert [h for h in head if h] == [
            "Postern", "Policy", "Frozen", "Privilege", "Files", "Processes", "At work",
            "Records"], done.stdout
        for words in ("base none, mode enforce", "generation 1, in force since 20",
                      f"worker {a.child('worker')}, frontend up, inspector up, spawner none",
                      "0 requests, 0 open files, 0 programs", "0 bytes wait, 0 lost"):
            assert words in done.stdout, (words, done.stdout)
        assert "a restart of the agent" not in done.stdout, done.stdout


def test_status_as_json():
    with programs.agent(INFO) as a:
        done = a.ctl("status", "--json", status=0)
        got = json.loads(done.stdout)
        assert done.stdout.endswith("}\n") and done.stderr == "", done
        want = {"pid": a.child("worker"), "channel": f"unix-listen:{a.path}", "generation": 1,
                "base": "none", "mode": "enforce", "lock": False, "reload": "none",
                "reload-waits": False, "frozen": False, "privileges": "no-spawner",
                "files": "none", "needed": "no-spawner", "needed-files": "none",
                "frontend": True, "inspector": True, "spawner": False, "requests": 0,
                "handles": 0, "programs": 0, "held-bytes": 0, "dropped": 0}
        assert {k: got[k] for k in want} == want, got
        assert re.fullmatch("[0-9a-f]{64}", got["digest"]), got
        assert abs(got["loaded"] / 1e6 - time.time()) < 2 * PATIENCE, got
        assert not {"locked-down", "ceiling", "reload-detail", "reload-time",
                    "frozen-count", "thaw-in-ms"} & set(got), got
        loaded = wait_events(a, 1, "policy-load")
        assert got["digest"] in json.dumps(loaded), loaded


def test_status_of_what_is_under_way():
    with Agent(profile="legacy", testops=True) as a, a.client() as c:
        c.send(b'{"execute":"test-sleep","arguments":{"ms":2000}}')
        wait_until(lambda: a.ctl_json("status")["requests"] == 1, "the request")
        assert c.recv_replies(1) == [b'{"return": {}}']
        if os.geteuid() == 0:
            opened = c.call("guest-file-open", path="/etc/passwd")["return"]
            assert a.ctl_json("status")["handles"] == 1
            c.call("guest-file-close", handle=opened)
        got = a.ctl_json("status")
        assert (got["requests"], got["handles"]) == (0, 0), got


def test_a_policy_that_complains():
    with programs.agent("[policy]\nbase = none\nmode = complain\nceiling = safe\n") as a:
        got = a.ctl_json("status", status=0)
        assert (got["base"], got["mode"], got["ceiling"]) == ("none", "complain", "safe"), got
        assert "mode complain, ceiling safe" in a.ctl("status").stdout


# ---- every outcome -------------------------------------------------------------------------

def outcome(agent, want, status, *words):
    """Reload; both forms and the record say the same. The answer as JSON."""
    before = len(events(agent, "reload", "policy-refused"))
    got = agent.ctl_json("reload", status=status)
    assert got["outcome"] == want, got
    for word in words:
        assert word in got["detail"], (word, got)
    after = agent.ctl_json("status")
    assert after["reload"] == want, after
    assert after.get("reload-detail") == got.get("detail"), (after, got)
    assert abs(after["reload-time"] / 1e6 - time.time()) < 2 * PATIENCE, after
    last = wait_events(agent, before + 1, "reload", "policy-refused")[-1]
    if status:
        assert (last["POSTERN_EVENT"], last["POSTERN_DETAIL"]) == (
            "policy-refused", got["detail"]), last
    else:
        assert last["POSTERN_EVENT"] == "reload", last
        assert last["POSTERN_RESULT"] == {"done": "ok"}.get(want, want), last
    return got


def test_done():
    with programs.agent(INFO) as a:
        before = a.ctl_json("status")
        assert allows(a, "guest-get-load") and allows(a, "guest-get-time")
        a.write_policy(NARROW)
        assert allows(a, "guest-get-load"), "nobody asked for it"
        assert outcome(a, "done", 0) == {"outcome": "done"}
        assert not allows(a, "guest-get-load") and allows(a, "guest-get-time")
        after = a.ctl_json("status")
        assert after["generation"] == 2 and after["loaded"] > before["loaded"], after
        assert after["digest"] != before["digest"], after
        a.write_policy(INFO)
        done = a.ctl("reload", status=0)
        assert (done.stdout, done.stderr) == ("the new policy is in force\n", ""), done
        assert digest(a) == before["digest"] and allows(a, "guest-get-load")


def test_unchanged():
    with programs.agent(INFO) as a:
        before = a.ctl_json("status")
        a.write_policy(INFO + "\n# a remark\n")
        assert outcome(a, "unchanged", 0) == {"outcome": "unchanged"}
        done = a.ctl("reload", status=0)
        assert (done.stdout, done.stderr) == ("the policy is in force already\n", ""), done
        after = a.ctl_json("status")
        for key in ("generation", "digest", "loaded"):
            assert after[key] == before[key], (key, after)


def test_mistakes():
    with programs.agent(INFO) as a:
        a.write_policy(WRONG)
        got = outcome(a, "mistakes", 1, "mistakes in the policy, the first in "
                      "/etc/postern/policy.conf:7: ")
        lines = [int(re.match(r"/etc/postern/policy.conf:(\d+): .", m)[1])
                 for m in got["mistakes"]]
        assert lines == [7, 8, 9], got
        done = a.ctl("reload", status=1)
        assert done.stderr == "", done
        *said, last = done.stdout.splitlines()
        assert said == got["mistakes"], done
        assert last == "refused, the old policy stays: " + got["detail"], done
        assert all(m in a.stderr() for m in got["mistakes"]), a.stderr()
        assert allows(a, "guest-get-load") and a.ctl_json("status")["generation"] == 1
        a.write_policy(NARROW)
        outcome(a, "done", 0)


def test_very_many_mistakes():
    """What does not fit is left out; the number is right, and lines are whole."""
    with programs.agent(INFO) as a:
        for n in range(60):
            a.write_policy("frob\n" * 800, f"policy.d/{'long' * 40}-{n:02}.conf")
        got = outcome(a, "mistakes", 1)
        assert len(got["mistakes"]) > 100, len(got["mistakes"])
        for m in got["mistakes"]:
            assert re.fullmatch(r"/etc/postern/policy.d/(long)+-\d\d.conf:\d+: .+", m), m
        a.ctl("reload", status=1)
        assert allows(a, "guest-get-load")


def test_what_is_printed_is_escaped():
    """Of a policy's texts nothing reaches a terminal as it is."""
    with programs.agent(INFO) as a:
        a.write_policy(INFO + '[rule "\x1b[31mred\u202e"]\neffect = \x1b[2J\n')
        done = a.ctl("reload", status=1)
        assert "\x1b" not in done.stdout and "\u202e" not in done.stdout, done.stdout
        json.loads(a.ctl("reload", "--json", status=1).stdout)
        assert "\x1b" not in a.ctl("status").stdout
        assert "\x1b" not in a.stderr(), a.stderr()


def test_restart():
    with programs.agent(INFO) as a:
        a.write_policy(WIDE)
        got = outcome(a, "restart", 1, "given up at the start", "sys_time", "restart the agent")
        assert "mistakes" not in got, got
        assert not allows(a, "guest-set-time")
        done = a.ctl("reload", status=1)
        assert done.stdout == f"refused, the old policy stays: {got['detail']}\n", done
        a.write_policy(NARROW)
        outcome(a, "done", 0)


def test_more_files_need_a_restart():
    """Rules for files to be read, then written: the capabilities are the least of it."""
    read = INFO + '[rule "f"]\neffect = allow\ncommand = @file-read\npath = /etc/hostname\n'
    write = (INFO + '[rule "f"]\neffect = allow\ncommand = @file-read ; @file-write\n'
             'path-beneath = /srv\nopen-mode = read ; create ; replace\n')
    with programs.agent(INFO) as a:
        a.write_policy(read)
        outcome(a, "restart", 1, "read /")
    with programs.agent(read) as a:
        a.write_policy(write)
        outcome(a, "restart", 1, "write /")
        assert a.ctl_json("status")["files"] == "read /"
    with programs.agent(write) as a:
        a.write_policy(read)
        outcome(a, "done", 0)
        got = a.ctl_json("status")
        assert (got["files"], got["needed-files"]) == ("read /, write /", "read /"), got
        assert "a restart of the agent gives up the rest" in a.ctl("status").stdout
        a.write_policy(write)
        outcome(a, "done", 0)


def nobody_reads(a):
    """No reader is left that could read another policy, and none comes back, though the
    supervisor has looked meanwhile who should run."""
    wait_until(lambda: not a.pids("reader"), "the end of the reader")
    old = a.child("inspector")
    os.kill(old, signal.SIGKILL)
    wait_until(lambda: a.child("inspector") != old, "another inspector")
    assert not a.pids("reader") and "postern-reader" not in a.stderr(), a.stderr()


def test_locked():
    with programs.agent(INFO + "[policy]\nlock = yes\n") as a:
        got = a.ctl_json("status", status=0)
        assert got["lock"] and "locked until a restart" in a.ctl("status").stdout, got
        a.write_policy(NARROW)
        outcome(a, "locked", 1, "lock = yes", "restart the agent")
        done = a.ctl("reload", status=1)
        assert done.stdout.startswith("refused, the old policy stays: "), done
        assert allows(a, "guest-get-load")
        nobody_reads(a)


def test_locked_by_a_reload():
    with programs.agent(INFO) as a:
        gone = reader(a)
        a.write_policy(NARROW + "[policy]\nlock = yes\n")
        outcome(a, "done", 0)
        wait_until(lambda: not comm(gone) or is_zombie(gone), "the end of the reader")
        nobody_reads(a)
        a.write_policy(INFO)
        outcome(a, "locked", 1)
        assert not allows(a, "guest-get-load")
        # What is in force outlives a worker, the lock as well.
        old = a.child("worker")
        os.kill(old, signal.SIGKILL)
        wait_until(lambda: a.child("worker") != old, "another worker")
        a.wait_ready()
        assert not allows(a, "guest-get-load") and a.ctl_json("status")["lock"]
        outcome(a, "locked", 1)
        nobody_reads(a)


def test_locked_down_and_mended():
    with programs.agent(WRONG) as a:
        got = a.ctl_json("status", status=1)
        assert got["locked-down"].startswith("3 mistakes in the policy, "), got
        text = a.ctl("status", status=1).stdout
        assert re.search(r"^LOCKED DOWN  \d mistakes", text, re.M), text
        outcome(a, "mistakes", 1)
        a.write_policy(WIDE)
        outcome(a, "restart", 1, "restart the agent")
        assert not allows(a, "guest-get-load")
        a.write_policy(INFO)  # which needs nothing that was given up
        outcome(a, "done", 0)
        assert "locked-down" not in a.ctl_json("status", status=0)
        assert allows(a, "guest-get-load")


@contextlib.contextmanager
def reloading(agent):
    """A reload that has been asked for; gives a function that waits for its answer."""
    with subprocess.Popen([os.path.join(agent.programs, "posternctl"), "reload", "--json",
                           "--control", agent.control], stdout=subprocess.PIPE, text=True,
                          preexec_fn=guard.harmless) as p:
        try:
            time.sleep(0.5)
            assert p.poll() is None, "nothing held it up"
            yield lambda: json.loads(p.communicate(timeout=2 * PATIENCE)[0])
        finally:
            p.kill()


# ---- files that hang -----------------------------------------------------------------------

def test_files_that_hang():
    """Failed after ten seconds, while all else is served; then it works again."""
    with scratch.namespaces() as top, \
            fuse.Server(os.path.join(top, "fuse"), INFO.encode()) as server:
        a = Agent(profile=None, start=False)
        a.write_policy("")
        with bound(server.file, a, "policy.conf"), started(a):
            assert allows(a, "guest-get-load")
            server.hold("READ")
            begun = time.monotonic()
            with reloading(a) as answer:
                for _ in range(5):
                    assert allows(a, "guest-get-load")
                    a.ctl("status", status=0)
                got = answer()
            took = time.monotonic() - begun
            assert READ_S - 1 < took < READ_S + 5, took
            assert got == {"outcome": "failed", "detail":
                           "the files could not be read within 10 s"}, got
            server.answer()
            wait_until(lambda: a.ctl_json("reload")["outcome"] == "unchanged",
                       "a reload that works")
            wait_events(a, 1, "policy-refused")


def test_files_that_hang_at_the_start():
    """Locked down, within the time that the supervisor gives a worker; and the next reads
    them again."""
    with scratch.namespaces() as top, \
            fuse.Server(os.path.join(top, "fuse"), INFO.encode()) as server:
        a = Agent(profile=None, start=False)
        a.write_policy("")
        server.hold("READ")
        with bound(server.file, a, "policy.conf"), started(a):
            got = a.ctl_json("status", status=1)
            assert got["locked-down"] == "the policy could not be read", got
            assert "did not get ready" not in a.stderr(), a.stderr()
            outcome(a, "failed", 1, "within 10 s")
            server.answer()
            # Nothing was in force that could be kept.
            kill_worker(a)
            assert allows(a, "guest-get-load")


def test_a_reader_that_is_killed():
    """At rest, and while it reads: the next one is asked what it was asked."""
    def restarts():
        return [r for r in events(a, "child-restart") if r["POSTERN_PROCESS"] == "reader"]

    with programs.agent(INFO) as a:
        old = reader(a)
        a.write_policy(NARROW)
        with stopped(old), reloading(a) as answer:
            os.kill(old, signal.SIGKILL)
            assert answer() == {"outcome": "done"}
        assert not allows(a, "guest-get-load") and len(restarts()) == 1, restarts()
        young = reader(a)
        assert young != old
        os.kill(young, signal.SIGKILL)
        wait_until(lambda: len(restarts()) == 2, "the record of another reader")
        a.write_policy(INFO)
        outcome(a, "done", 0)
        assert allows(a, "guest-get-load")
        # What the last one read is what another worker goes on with.
        a.write_policy(NARROW)
        kill_worker(a)
        assert allows(a, "guest-get-load")
        assert not events(a, "policy-refused"), events(a, "policy-refused")


# ---- something is frozen -------------------------------------------------------------------

FREEZE = INFO + '[rule "freeze"]\neffect = allow\ncommand = @freeze\nfreeze-max = 60s\n'


def test_it_waits_for_a_thaw():
    """And says so; who asked is told of the end, or left and is not missed."""
    with frost.stage() as s:
        disk = s.disk("a")
        with s.agent(policy=FREEZE) as a, a.client() as client:
            c = frost.Calls(client)
            assert a.ctl("status").stdout.count("\nFrozen       nothing\n") == 1
            assert c.freeze(disk.point) == 1
            got = a.ctl_json("status", status=0)
            assert (got["frozen"], got["frozen-count"], got["reload-waits"]) == (True, 1, False)
            assert 50_000 < got["thaw-in-ms"] <= 60_000, got
            assert re.search(r"^Frozen       1 file systems, thawed in \d+ s at the latest$",
                             a.ctl("status").stdout, re.M)
            a.write_policy(FREEZE + '[rule "x"]\neffect = deny\ncommand = guest-get-load\n')
            done = a.ctl("reload", "--timeout", "1", status=2)
            assert done.stderr.splitlines() == [
                "posternctl: file systems are frozen: the reload waits for the thaw",
                "posternctl: the agent did not answer in time"], done
            assert a.ctl_json("status")["reload-waits"]
            assert "another waits for the thaw" in a.ctl("status").stdout
            with reloading(a) as first, reloading(a) as second:
                assert c.thaw() == 1
                assert first() == second() == {"outcome": "done"}
            wait_events(a, 1, "reload")
            got = a.ctl_json("status")
            assert (got["frozen"], got["reload-waits"]) == (False, False), got
            assert "error" in client.call("guest-get-load")


# ---- two at once ---------------------------------------------------------------------------

def test_who_asks_later_is_told_of_a_later_reading():
    """The files may have changed since the first reading began."""
    with scratch.namespaces() as top, \
            fuse.Server(os.path.join(top, "fuse"), b"# nothing\n") as server:
        a = Agent(profile=None, start=False)
        a.write_policy(INFO)
        a.write_policy("", "policy.d/slow.conf")
        with bound(server.file, a, "policy.d/slow.conf"), started(a):
            server.hold("READ")
            with reloading(a) as first:
                a.write_policy(NARROW)  # what came before the slow file was read by now
                with reloading(a) as second:
                    server.answer()
                    assert second() == {"outcome": "done"}
                assert first() == {"outcome": "unchanged"}
            results = [r["POSTERN_RESULT"] for r in wait_events(a, 2, "reload")]
            assert results == ["unchanged", "ok"], results


def test_many_at_once_are_told():
    """As many as are served; there is one reading for all that came during another."""
    with programs.agent(INFO) as a:
        with stopped(reader(a)), contextlib.ExitStack() as stack:
            waiting = [stack.enter_context(reloading(a)) for _ in range(4)]
            os.kill(reader(a), signal.SIGCONT)
            assert [w()["outcome"] for w in waiting] == ["unchanged"] * 4
        wait_events(a, 2, "reload")


# ---- SIGHUP --------------------------------------------------------------------------------

def test_sighup():
    with programs.agent(INFO) as a:
        a.write_policy(NARROW)
        os.kill(a.pid, signal.SIGHUP)
        a.wait_record(lambda r: r["POSTERN_EVENT"] == "reload" and r["POSTERN_RESULT"] == "ok")
        assert not allows(a, "guest-get-load")
        a.write_policy(WRONG)
        os.kill(a.pid, signal.SIGHUP)
        a.wait_record(lambda r: r["POSTERN_EVENT"] == "policy-refused")
        assert allows(a, "guest-get-time") and a.ctl_json("status")["reload"] == "mistakes"


def test_sighup_as_a_profile():
    """There are no files to read; and it does not end the agent."""
    with Agent(profile="none") as a:
        os.kill(a.pid, signal.SIGHUP)
        a.wait_record(lambda r: r["POSTERN_EVENT"] == "reload"
                      and r["POSTERN_RESULT"] == "unchanged")


# ---- another worker, another agent ---------------------------------------------------------

def kill_worker(agent):
    old = agent.child("worker")
    os.kill(old, signal.SIGKILL)
    wait_until(lambda: agent.child("worker") != old, "another worker")
    agent.wait_ready()


def end(agent):
    agent.process.send_signal(signal.SIGTERM)
    assert agent.process.wait(PATIENCE) == 0


def test_what_is_in_force_outlives_a_worker():
    with programs.agent(INFO) as a:
        info = digest(a)
        a.write_policy(NARROW)
        kill_worker(a)
        assert digest(a) == info and allows(a, "guest-get-load"), "nobody asked for it"
        outcome(a, "done", 0)
        narrow = digest(a)
        a.write_policy(WRONG)
        for _ in range(2):
            kill_worker(a)
            assert digest(a) == narrow and not allows(a, "guest-get-load")
            outcome(a, "mistakes", 1)
        kill_worker(a)
        assert digest(a) == narrow
        # The agent as a whole begins with the files.
        a.write_policy(INFO)
        end(a)
        a.start()
        assert digest(a) == info and allows(a, "guest-get-load")


def test_mistakes_do_not_outlive_a_worker():
    """Nothing was in force that could be kept."""
    with programs.agent(WRONG) as a:
        assert not allows(a, "guest-get-load")
        a.write_policy(INFO)
        kill_worker(a)
        assert allows(a, "guest-get-load")


def test_a_next_worker_holds_what_it_needs():
    """Of more that is held, and was needed once, it keeps nothing."""
    if os.geteuid() != 0:
        tap.skip("needs root, to have capabilities to keep")
    read = INFO + '[rule "f"]\neffect = allow\ncommand = @file-read\npath = /etc/hostname\n'
    with programs.agent(read) as a:
        a.write_policy(INFO)
        outcome(a, "done", 0)
        assert a.ctl_json("status")["privileges"] == "dac_read_search no-spawner"
        kill_worker(a)
        got = a.ctl_json("status")
        assert (got["privileges"], got["files"]) == ("no-spawner", "none"), got


# ---- the socket and the command line -------------------------------------------------------

def test_the_socket_is_for_root_alone():
    with programs.agent(INFO) as a:
        st = os.stat(a.control)
        assert stat.S_ISSOCK(st.st_mode) and stat.S_IMODE(st.st_mode) == 0o700, oct(st.st_mode)
        assert st.st_uid == os.geteuid(), st


def test_the_socket_goes_with_the_agent():
    with programs.agent(INFO) as a:
        end(a)
        assert not os.path.lexists(a.control)
        a.start()


def test_a_stale_socket_is_replaced():
    with programs.agent(INFO) as a:
        for p in (a.pid, a.child("worker")):
            os.kill(p, signal.SIGKILL)
        a.process.wait()
        wait_until(lambda: a.ctl("status").returncode == 2, "the end of all")
        done = a.ctl("status", status=2)
        assert done.stdout == "" and "no agent runs" in done.stderr, done
        wait_until(lambda: not a._left([]), "orphans to die")  # pylint: disable=protected-access
        os.unlink(a.path)
        a.start()
        a.ctl("status", status=0)


def test_what_is_no_socket_stays():
    """A file of that name is somebody's; the agent says so, and works without."""
    a = Agent(start=False)
    with open(a.control, "w", encoding="ascii") as f:
        f.write("mine")
    with started(a):
        assert "postern: no control socket in" in a.stderr(), a.stderr()
        a.ctl("status", status=2)
        end(a)
        with open(a.control, encoding="ascii") as f:
            assert f.read() == "mine"
        os.unlink(a.control)
        a.start()


def test_a_state_directory_with_a_long_path():
    a = Agent(start=False)
    long = os.path.join(a.dir, "d" * 100)
    os.mkdir(long)
    a.argv += ["-t", long]
    with started(a):
        assert re.search("^postern: no control socket in .*: File name too long$",
                         a.stderr(), re.M), a.stderr()
        assert allows(a, "guest-get-load")
        assert os.listdir(long) and not os.path.exists(os.path.join(long, "control"))
        os.kill(a.pid, signal.SIGHUP)
        a.wait_record(lambda r: r["POSTERN_EVENT"] == "reload")


def ctl(*args, env=None, testops=False):
    return subprocess.run([os.path.join(build_dir(testops), "posternctl"), *args], text=True,
                          capture_output=True, timeout=4 * PATIENCE, check=False,
                          env={**os.environ, **(env or {})}, preexec_fn=guard.harmless)


def test_where_it_connects():
    with programs.agent(INFO) as a, tempfile.TemporaryDirectory() as top:
        good, bad = {"POSTERN_CONTROL": a.control}, {"POSTERN_CONTROL": "/nonexistent"}
        for verb in ("status", "reload"):
            assert ctl(verb, env=good).returncode == 0
            assert ctl(verb, "-c", a.control, env=bad).returncode == 0
            assert ctl(verb, f"--control={a.control}").returncode == 0
            for args, env, words in (
                    ((), bad, "/nonexistent: No such file or directory: no agent runs"),
                    (("-c", "/x"), good, "cannot connect to /x: No such file"),
                    (("-c", top), {}, f"cannot connect to {top}: "),
                    (("-c", "/" + "x" * 200), {}, "a socket's path has at most 107 bytes"),
                    (("-c", a.path), {}, "cannot connect to")):
                done = ctl(verb, *args, env=env)
                assert done.returncode == 2 and done.stdout == "", done
                assert done.stderr.startswith("posternctl: ") and words in done.stderr, done
                assert done.stderr.count("\n") == 1, done


def test_usage():
    for verb in ("status", "reload"):
        done = ctl(verb, "--help")
        assert done.returncode == 0 and done.stderr == "", done
        assert done.stdout.startswith(f"Usage: posternctl {verb} ") and all(
            len(line) <= 80 for line in done.stdout.splitlines()), done.stdout
        for word in ("--control", "POSTERN_CONTROL", "/run/postern/control", "--timeout",
                     "--json", "Exit status"):
            assert word in done.stdout, (word, done.stdout)
        for args in (("extra",), ("--frob",), ("--control",), ("--timeout",),
                     ("-t", "0"), ("-t", "soon"), ("-t", "-1"), ("-t", "86401"), ("-t", "nan")):
            done = ctl(verb, *args)
            assert done.returncode == 2 and done.stdout == "" and done.stderr, (verb, args, done)
            assert done.stderr.count("\n") == 1, done


def test_an_agent_of_another_build():
    with programs.agent(INFO) as a:
        for verb in ("status", "reload"):
            done = ctl(verb, "-c", a.control, testops=True)
            assert done.returncode == 2 and done.stdout == "", done
            assert "of another version" in done.stderr, done
        a.ctl("status", status=0)


def test_nobody_answers():
    with programs.agent(INFO) as a:
        with stopped(a.child("worker")):
            for verb in ("status", "reload"):
                begun = time.monotonic()
                done = a.ctl(verb, "--timeout", "0.5", status=2)
                assert "did not answer in time" in done.stderr and done.stdout == "", done
                assert 0.4 < time.monotonic() - begun < 5, (verb, time.monotonic() - begun)
        a.ctl("status", status=0)


def test_nobody_takes_the_connection():
    """More than the kernel lets wait: even that is not waited for without end."""
    with programs.agent(INFO) as a:
        with stopped(a.child("worker")), contextlib.ExitStack() as stack:
            crowd = [stack.enter_context(subprocess.Popen(
                [os.path.join(a.programs, "posternctl"), "status", "-t", "3", "-c", a.control],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                preexec_fn=guard.harmless)) for _ in range(20)]
            for p in crowd:
                assert p.wait(PATIENCE) == 2
        wait_until(lambda: a.ctl("status").returncode == 0, "an agent that serves")


def test_a_reload_that_nobody_waits_for():
    """Who asked gave up; the agent goes on by itself."""
    with programs.agent(INFO) as a:
        with stopped(reader(a)):
            a.write_policy(NARROW)
            done = a.ctl("reload", "--timeout", "0.5", status=2)
            assert "did not answer in time" in done.stderr, done
        wait_until(lambda: a.ctl_json("status")["generation"] == 2, "the new policy")


tap.run(tap.tests(globals()), limit=90)
