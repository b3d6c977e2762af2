#!/usr/bin/python3
"""Freezes by policy, the hooks around them, and what the records say of both. All on scratch
file systems."""
# run: limit 120
import contextlib
import fcntl
import json
import os
import re
import signal
import time

import frost
import scratch
import tap
from agent import comm, descendants, is_zombie, wait_until
from frost import HOOK, LOG, TELLS, WITH_HOOK, Calls, hook_file, log, place, rule
from programs import policy

DISABLED = "Command {} has been disabled: {}"
FROZEN = "the agent is in frozen state"
LIST = "guest-fsfreeze-freeze-list"


# ---- policy ------------------------------------------------------------------------------

def test_mounts_by_policy():
    with frost.stage() as s:
        points = [s.disk("a").point, s.disk("b").point, s.disk("c", "xfs").point]
        for text, wanted in (
                (rule(mountpoint="**/a"), {"a"}),
                (rule(mountpoint="**/a ; **/c"), {"a", "c"}),
                (rule(mountpoint_exclude="**/a"), {"b", "c"}),
                (rule(fstype="xfs"), {"c"}),
                (rule(fstype_exclude="ext*"), {"c"}),
                (rule(fstype="ext4", mountpoint_exclude="**/b"), {"a"}),
                (rule(mountpoint="**/a") + rule(name="other", fstype="xfs"), {"a", "c"}),
                (rule(mountpoint="/nowhere"), set()),
                (rule() + rule(LIST, "deny", "not", mountpoint="**/b"), {"a", "c"}),
                (rule() + rule(LIST, "deny", "not", fstype="xfs"), {"a", "b"}),
                (rule() + rule(LIST, "deny", "not", fstype="ext4", mountpoint="**/c"),
                 {"a", "b", "c"})):
            with s.agent(policy=policy(text)) as a, a.client() as client:
                c = Calls(client)
                assert c.freeze(*points) == len(wanted), text
                assert s.frozen() == wanted, (text, s.frozen())
                assert (c.status() == "frozen", c.thaw()) == (bool(wanted), len(wanted)), text


def test_excluded_only_with_all_its_mounts():
    """POLICY.md section 3, point 12."""
    for text, wanted in ((rule(mountpoint_exclude="**/a"), {"a", "b"}),
                         (rule(mountpoint_exclude="**/a ; **/again"), {"b"}),
                         (rule(mountpoint="**/again"), {"a"}),
                         (rule() + rule(LIST, "deny", "not", mountpoint="**/a"), {"a", "b"}),
                         (rule() + rule(LIST, "deny", "not", mountpoint="**/a*"), {"b"})):
        with place("a", "b", text=policy(text)) as (s, _, c, a, b):
            scratch.bind(a.point, s.path("again"))
            assert c.freeze(a.point, b.point, s.path("again")) == len(wanted), text
            assert (s.frozen(), c.thaw()) == (wanted, len(wanted)), text


def test_deny_without_constraints():
    with place("a", text=policy(rule() + rule(LIST, "deny", "not"))) as (s, _, c, a):
        reply = c.client.call(LIST, mountpoints=[a.point])["error"]
        assert reply["class"] == "CommandNotFound", reply
        assert reply["desc"].startswith(DISABLED.format(LIST, "")), reply
        assert (s.frozen(), c.status()) == (set(), "thawed")


def test_freeze_max():
    text = policy(rule(freeze_max="1s"))
    with place("a", text=text, args=WITH_HOOK) as (s, agent, c, a):
        hook_file(TELLS)
        assert c.freeze(a.point) == 1
        begun = time.monotonic()
        probe = a.probe()
        assert probe.is_waiting()
        wait_until(lambda: c.status() == "thawed", "the deadline", 5)
        assert 0.5 < time.monotonic() - begun < 3
        probe.wait(5)
        assert (s.frozen(), c.thaw()) == (set(), 0)
        record = agent.wait_record(lambda r: r.get("POSTERN_EVENT") == "auto-thaw")
        assert (record["POSTERN_THAW_CAUSE"], record["POSTERN_FS_COUNT"]) == ("deadline", 1)
        assert record["POSTERN_HOOK_RESULT"] == "ok", record
        assert log() == ["freeze", "thaw"], log()
        # The next has its whole time.
        assert c.freeze(a.point) == 1
        time.sleep(0.5)
        assert (c.status(), c.thaw()) == ("frozen", 1)


def test_tightest_freeze_max_holds():
    text = policy(rule(freeze_max="10m") + rule(name="b", freeze_max="1s"))
    with place("a", text=text) as (_, _, c, a):
        assert c.freeze(a.point) == 1
        wait_until(lambda: c.status() == "thawed", "the deadline", 5)


def test_no_hooks_by_policy():
    with place("a", text=policy(rule(hooks="no")), args=WITH_HOOK) as (_, agent, c, a):
        hook_file(TELLS + "exit 7")
        assert (c.freeze(a.point), c.thaw()) == (1, 1)
        assert log() == []
        record = agent.wait_record(lambda r: r.get("POSTERN_EVENT") == "thaw")
        assert "POSTERN_HOOK" not in record, record


def test_hook_timeout():
    with place("a", text=policy(rule(hook_timeout="500ms")), args=WITH_HOOK) as (s, _, c, a):
        hook_file(TELLS + '[ "$1" = freeze ] && sleep 100 & wait')
        begun = time.monotonic()
        assert c.freeze(a.point) == "fsfreeze hook did not end within 0.5 s"
        assert 0.4 < time.monotonic() - begun < 5
        # What had run is undone.
        assert (log(), s.frozen(), c.status()) == (["freeze", "thaw"], set(), "thawed")
        assert not sleepers()


def sleepers():
    return [p for p in descendants(os.getpid()) if comm(p) == "sleep" and not is_zombie(p)]


def test_hook_failure_continue():
    text = policy(rule(hook_failure="continue"))
    for body, words in (("exit 7", "fsfreeze hook has failed with status 7"),
                        ("kill -9 $$", "fsfreeze hook has terminated abnormally")):
        with place("a", text=text, args=WITH_HOOK) as (s, agent, c, a):
            hook_file(f'{TELLS}[ "$1" = thaw ] || {body}')
            assert (c.freeze(a.point), s.frozen(), c.thaw()) == (1, {"a"}, 1)
            assert log() == ["freeze", "thaw"], log()
            record = agent.wait_record(lambda r: r.get("POSTERN_EVENT") == "freeze")
            assert record["POSTERN_HOOK_RESULT"] == words, record


def test_of_several_rules_the_stricter_hook_failure():
    text = policy(rule(hook_failure="continue") + rule(name="b", hook_failure="abort"))
    with place("a", text=text, args=WITH_HOOK) as (_, _, c, a):
        hook_file("exit 7")
        assert c.freeze(a.point) == "fsfreeze hook has failed with status 7"


def test_thaw_while_a_rule_denies_it():
    text = policy(rule() + rule("guest-fsfreeze-thaw ; guest-fsfreeze-status", "deny", "not"))
    with place("a", text=text) as (s, agent, c, a):
        for command in ("thaw", "status"):
            got = c(f"guest-fsfreeze-{command}")
            assert got.startswith(DISABLED.format(f"guest-fsfreeze-{command}", "")), got
        assert c.freeze(a.point) == 1
        enabled = {x["name"] for x in c.client.call("guest-info")["return"]["supported_commands"]
                   if x["enabled"]}
        assert {"guest-fsfreeze-thaw", "guest-fsfreeze-status"} <= enabled, enabled
        assert (c.status(), c.thaw(), s.frozen()) == ("frozen", 1, set())
        assert c("guest-fsfreeze-thaw").startswith("Command ")
        record = agent.wait_record(lambda r: r.get("POSTERN_COMMAND") == "guest-fsfreeze-thaw"
                                   and r.get("POSTERN_DECISION") == "allow")
        assert record["POSTERN_REASON"] == "while-frozen", record


def test_thaw_is_never_too_often():
    text = policy(rule(rate="2/h burst 2"))
    with place("a", text=text) as (_, _, c, a):
        for _ in range(5):
            assert c.status() == "thawed"
            assert c.thaw() == 0
        assert c.freeze(a.point) == 1
        for _ in range(5):
            assert c.status() == "frozen"
        assert c.thaw() == 1
        assert c.freeze(a.point) == 1
        assert c.thaw() == 1
        got = c.freeze(a.point)
        assert got.startswith(DISABLED.format(LIST, "")), got
        assert (c.thaw(), c.status()) == (0, "thawed")


def test_thaw_of_an_agent_that_is_locked_down():
    with place("a", text=policy(rule())) as (s, agent, c, a):
        assert c.freeze(a.point) == 1
        with open(os.path.join(agent.dir, "root/etc/postern/policy.conf"), "a",
                  encoding="ascii") as f:
            f.write("nonsense\n")
        c.client.close()
        with frost.after_restart(agent) as client:
            c = Calls(client)
            assert (c.status(), s.frozen()) == ("frozen", {"a"})
            assert c("guest-get-osinfo") == \
                DISABLED.format("guest-get-osinfo", FROZEN)
            assert c.thaw() == 1
            assert s.frozen() == set()
            got = c("guest-fsfreeze-status")
            assert got == DISABLED.format("guest-fsfreeze-status",
                                          "the policy cannot be trusted"), got


def test_complain_mode():
    """What no rule of the administrator allows, within the ceiling, is done and recorded."""
    text = policy(base="none", mode="complain", ceiling="legacy")
    with place("a", text=text) as (s, agent, c, a):
        assert (c.freeze(a.point), s.frozen()) == (1, {"a"})
        assert (c.status(), c.thaw()) == ("frozen", 1)
        record = agent.wait_record(lambda r: r.get("POSTERN_COMMAND") == LIST)
        assert record["POSTERN_DECISION"] == "complain", record
        # While frozen it is no complaint.
        record = agent.wait_record(lambda r: r.get("POSTERN_COMMAND") == "guest-fsfreeze-thaw")
        assert (record["POSTERN_DECISION"], record["POSTERN_REASON"]) == \
            ("allow", "while-frozen"), record
        assert c.thaw() == 0


# ---- hooks -------------------------------------------------------------------------------

@contextlib.contextmanager
def hooked(body=None, disks=("a",), args=(), **how):
    with frost.stage() as s:
        made = [s.disk(name) for name in disks]
        if body is not None:
            hook_file(body)
        with s.agent(args=[*(args or WITH_HOOK)], **how) as a, a.client() as c:
            yield s, a, Calls(c), *made


def test_hook_around_a_freeze():
    body = f'echo "$#:$1" >>{LOG}; echo out; echo err >&2; readlink /proc/$$/fd/0 >>{LOG}'
    with hooked(body) as (s, agent, c, a):
        before = set(descendants(agent.pid))
        assert (c.freeze(a.point), log()) == (1, ["1:freeze", "/dev/null"])
        assert (c.thaw(), log()[2:]) == (1, ["1:thaw", "/dev/null"])
        for event in ("freeze", "thaw"):
            record = agent.wait_record(lambda r, e=event: r["POSTERN_EVENT"] == e)
            assert record["POSTERN_HOOK"] == HOOK, record
            assert record["POSTERN_HOOK_RESULT"] == "ok", record
        # No process is left, nor is what it was.
        wait_until(lambda: set(descendants(agent.pid)) <= before, "what ran to be gone")
        assert not [p for p in descendants(agent.pid) if is_zombie(p)]
        # Nothing frozen, nothing undone (unlike the reference: protocol 5.2, quirk 16).
        assert (c.thaw(), len(log())) == (0, 4), log()
        assert s.frozen() == set()


def test_hook_is_undone_where_nothing_was_frozen():
    """Unlike the reference (protocol 4.7), which waits for a thaw of the client."""
    with hooked(TELLS) as (_, _, c, _):
        assert (c.freeze("/nonexistent"), log()) == (0, ["freeze", "thaw"])
        assert (c.status(), c.thaw(), len(log())) == ("thawed", 0, 2)


def test_hook_that_fails():
    for body, words in (("exit 7", "fsfreeze hook has failed with status 7"),
                        ("exit 255", "fsfreeze hook has failed with status 255"),
                        ("kill -9 $$", "fsfreeze hook has terminated abnormally")):
        with hooked(TELLS + body) as (s, agent, c, a):
            reply = c.client.call(LIST, mountpoints=[a.point])["error"]
            assert reply == {"class": "GenericError", "desc": words}, reply
            assert (c.status(), s.frozen()) == ("thawed", set())
            # The thaw hook runs for what ran (protocol 5.2, quirk 15); that it fails too
            # says nothing about file systems.
            assert log() == ["freeze", "thaw"], log()
            assert (c.thaw(), len(log())) == (0, 2)
            assert words in agent.stderr(), agent.stderr()
            # Nothing was frozen: there is no record of a freeze.
            assert not [r for r in agent.records()
                        if r["POSTERN_EVENT"] in ("freeze", "thaw", "auto-thaw")]
            wait_until(lambda: not [p for p in descendants(agent.pid) if is_zombie(p)],
                       "no zombie")


def test_thaw_hook_that_fails():
    """A thaw that is done is no error (protocol 5.2, quirk 17)."""
    with hooked('[ "$1" = freeze ] || exit 3') as (s, agent, c, a):
        assert (c.freeze(a.point), c.thaw(), c.status()) == (1, 1, "thawed")
        assert s.frozen() == set()
        record = agent.wait_record(lambda r: r.get("POSTERN_EVENT") == "thaw")
        assert record["POSTERN_HOOK_RESULT"] == "fsfreeze hook has failed with status 3", record
        assert (c.freeze(a.point), c.thaw()) == (1, 1)


def test_missing_hook():
    with hooked() as (s, _, c, a):
        assert c.freeze(a.point) == \
            f"can't access fsfreeze hook '{HOOK}': No such file or directory"
        assert (c.status(), s.frozen(), c.thaw()) == ("thawed", set(), 0)
        # It may come while the agent runs.
        hook_file(TELLS)
        assert (c.freeze(a.point), c.thaw(), log()) == (1, 1, ["freeze", "thaw"])
        os.chmod(HOOK, 0o644)
        assert c.freeze(a.point) == f"can't access fsfreeze hook '{HOOK}': Permission denied"
        os.unlink(HOOK)
        os.mkdir(HOOK)
        got = c.freeze(a.point)
        assert re.fullmatch(f"can't access fsfreeze hook '{HOOK}': .*", got), got


def test_hook_that_others_can_change():
    words = f"fsfreeze hook '{HOOK}' is not run: others than root could change it"
    for spoil in (lambda: os.chmod(HOOK, 0o775), lambda: os.chmod(HOOK, 0o757),
                  lambda: os.chown(HOOK, 1, 1),
                  lambda: os.chmod(os.path.dirname(HOOK), 0o777),
                  lambda: os.chown(os.path.dirname(HOOK), 1, 0)):
        with hooked("touch /run/ran") as (s, _, c, a):
            spoil()
            assert c.freeze(a.point) == words
            assert (os.path.exists("/run/ran"), s.frozen(), c.status()) == \
                (False, set(), "thawed")


def test_hook_without_an_interpreter():
    with hooked() as (s, _, c, a):
        hook_file("", head="#!/nonexistent\n")
        got = c.freeze(a.point)
        assert got == f"fsfreeze hook '{HOOK}' could not be executed", got
        assert (c.status(), s.frozen()) == ("thawed", set())


def member(name, body=None, mode=0o755):
    hook_file(body or f'echo "{name}:$1" >>{LOG}', f"{HOOK}.d/{name}", mode)


def test_members_of_the_folder():
    with hooked() as (_, _, c, a):
        os.makedirs(f"{HOOK}.d")
        # An empty folder: nothing to run, as the stock hook would say.
        assert (c.freeze(a.point), c.thaw(), log()) == (1, 1, [])
        for name in ("30-c", "10-a", "20-b", "Z", "a.bak", "a~", "a.rpmsave", "a.dpkg-old",
                     ".hidden", "a.orig", "a.sample", "a.dpkg-remove"):
            member(name)
        member("15-not", mode=0o644)
        os.mkdir(f"{HOOK}.d/16-folder")
        os.symlink("/nonexistent", f"{HOOK}.d/17-nowhere")
        assert (c.freeze(a.point), c.thaw()) == (1, 1)
        names = ["10-a", "20-b", "30-c", "Z"]
        assert log() == [f"{n}:freeze" for n in names] + [f"{n}:thaw" for n in names], log()
        # With a hook it is that which runs them, or not.
        os.unlink(LOG)
        hook_file(TELLS)
        assert (c.freeze(a.point), c.thaw(), log()) == (1, 1, ["freeze", "thaw"])


def test_member_that_fails():
    with hooked() as (s, _, c, a):
        member("10-a")
        member("20-b", f'echo "20-b:$1" >>{LOG}; [ "$1" = thaw ] || exit 9')
        member("30-c")
        assert c.freeze(a.point) == "fsfreeze hook has failed with status 9"
        # What ran is undone, and no more.
        assert log() == ["10-a:freeze", "20-b:freeze", "10-a:thaw", "20-b:thaw"], log()
        assert (c.status(), s.frozen()) == ("thawed", set())
        os.unlink(LOG)
        os.chmod(f"{HOOK}.d/20-b", 0o777)
        got = c.freeze(a.point)
        assert got == \
            f"fsfreeze hook '{HOOK}.d/20-b' is not run: others than root could change it"
        assert log() == ["10-a:freeze", "10-a:thaw"], log()


def test_hook_leaves_a_process():
    """As of any program: it is done when it ends, and what it started is not waited for."""
    with hooked("sleep 100 &\nexit 0") as (_, _, c, a):
        begun = time.monotonic()
        try:
            assert (c.freeze(a.point), c.thaw()) == (1, 1)
            assert time.monotonic() - begun < 5
        finally:
            for pid in sleepers():
                os.kill(pid, signal.SIGKILL)


def test_hook_floods_its_output():
    with hooked('head -c 30000000 /dev/zero; head -c 30000000 /dev/zero >&2') as (_, _, c, a):
        assert (c.freeze(a.point), c.thaw()) == (1, 1)


def test_freeze_that_fails_half_way():
    """What was frozen is thawed, what the hook did is undone, and the error says where."""
    with hooked(TELLS, disks=("a", "b", "c")) as (_, agent, c, a, b, d):
        shut_down(a)
        reply = c.client.call(LIST, mountpoints=[a.point, b.point, d.point])["error"]
        assert reply == {"class": "GenericError", "desc":
                         f"failed to freeze {a.point}: Input/output error"}, reply
        assert (c.status(), log()) == ("thawed", ["freeze", "thaw"])
        for disk in (b, d):
            assert not disk.is_frozen()
            disk.probe().wait(5)
        record = agent.wait_record(lambda r: r["POSTERN_EVENT"] == "auto-thaw")
        assert (record["POSTERN_THAW_CAUSE"], record["POSTERN_FS_COUNT"]) == ("failure", 2)
        done = agent.wait_record(lambda r: r.get("POSTERN_COMMAND") == LIST
                                 and r["POSTERN_EVENT"] == "complete")
        assert done["POSTERN_RESULT"] == "failed", done
        assert words_of(about_freezes(agent))[:3] == [
            ("decision", LIST), ("auto-thaw", None), ("complete", LIST)]
        # The others can be frozen.
        assert (c.freeze(b.point, d.point), c.thaw()) == (2, 2)


def shut_down(disk):
    """As after a fault of its device: EXT4_IOC_SHUTDOWN, without a last word to the log."""
    with open(os.path.join(disk.point, "file"), "wb") as f:
        f.write(b"x")
    fcntl.ioctl(disk.fd, 0x8004587D, (2).to_bytes(4, "little"))


def test_meanwhile_the_thaw_hook_runs():
    """It is thawed, and everything is allowed; but no freeze begins before it is undone."""
    body = TELLS + ('[ "$1" = freeze ] && exit 0\n: >/run/hooks/begun\n'
                    "while [ ! -e /run/hooks/may ]; do sleep 0.02; done")
    with hooked(body) as (s, _, c, a):
        assert c.freeze(a.point) == 1
        client = c.client
        client.send(b'{"execute":"guest-fsfreeze-thaw"}')
        wait_until(lambda: os.path.exists("/run/hooks/begun"), "the thaw hook")
        try:
            assert s.frozen() == set()
            assert client.sync(timeout=10) == []
            assert c("guest-get-osinfo")["kernel-release"] == os.uname().release
            assert c.freeze(a.point) == \
                f"{LIST} cannot begin: the hooks of a thaw are in progress"
            client.send(b'{"execute":"guest-fsfreeze-thaw"}')
            client.nothing(0.3)
        finally:
            with open("/run/hooks/may", "w", encoding="ascii"):
                pass
        # The second thaw had nothing to do.
        assert json.loads(client.recv_replies(1)[0]) == {"return": 0}
        assert (c.status(), c.freeze(a.point), c.thaw()) == ("thawed", 1, 1)
        assert log() == ["freeze", "thaw"] * 2, log()


def test_rescue_runs_the_thaw_hook():
    """Of a freeze that nobody remembers hooks may have run."""
    with hooked(TELLS) as (s, _, c, a):
        a.freeze()
        assert (c.thaw(), log(), s.frozen()) == (1, ["thaw"], set())
        assert (c.thaw(), log()) == (0, ["thaw"])


# ---- records -----------------------------------------------------------------------------

def about_freezes(agent):
    """The records that matter here."""
    return [r for r in agent.records() if r["POSTERN_EVENT"] in
            ("decision", "complete", "freeze", "thaw", "auto-thaw")]


def words_of(records):
    return [(r["POSTERN_EVENT"], r.get("POSTERN_COMMAND")) for r in records]


def test_records_of_a_freeze():
    with place("a", "b") as (_, agent, c, a, b):
        assert (c.freeze(a.point, b.point), c.thaw()) == (2, 2)
        agent.wait_record(lambda r: r.get("POSTERN_COMMAND") == "guest-fsfreeze-thaw"
                          and r["POSTERN_EVENT"] == "complete")
        got = about_freezes(agent)
        assert words_of(got) == [
            ("decision", LIST), ("freeze", None), ("complete", LIST),
            ("decision", "guest-fsfreeze-thaw"), ("thaw", None),
            ("complete", "guest-fsfreeze-thaw")], words_of(got)
        decision, freeze, complete, _, thaw, _ = got
        assert decision["POSTERN_DECISION"] == "allow"
        assert json.loads(decision["POSTERN_ARGS"]) == {"mountpoints": [a.point, b.point]} or \
            decision["POSTERN_ARGS"], decision
        assert complete["POSTERN_RESULT"] == "ok"
        assert freeze["POSTERN_FS_COUNT"] == thaw["POSTERN_FS_COUNT"] == 2
        assert json.loads(freeze["POSTERN_FS_MOUNTS"]) == [b.point, a.point]
        assert thaw["POSTERN_THAW_CAUSE"] == "request"
        assert "POSTERN_HOOK" not in freeze and "POSTERN_HOOK" not in thaw
        # They say to which request they belong.
        assert freeze["POSTERN_REQUEST"] == decision["POSTERN_REQUEST"] == \
            complete["POSTERN_REQUEST"] == thaw["POSTERN_REQUEST"]
        assert [r["POSTERN_SEQ"] for r in got] == sorted(r["POSTERN_SEQ"] for r in got)


def test_records_of_what_froze_nothing():
    with place("a") as (_, agent, c, _):
        assert (c.freeze("/nonexistent"), c.thaw()) == (0, 0)
        agent.wait_record(lambda r: r.get("POSTERN_COMMAND") == "guest-fsfreeze-thaw"
                          and r["POSTERN_EVENT"] == "complete")
        assert words_of(about_freezes(agent)) == [
            ("decision", LIST), ("complete", LIST),
            ("decision", "guest-fsfreeze-thaw"), ("complete", "guest-fsfreeze-thaw")]


def test_records_of_a_deadline():
    with place("a", text=policy(rule(freeze_max="1s"))) as (_, agent, c, a):
        assert c.freeze(a.point) == 1
        record = agent.wait_record(lambda r: r.get("POSTERN_EVENT") == "auto-thaw")
        assert words_of(about_freezes(agent)) == [
            ("decision", LIST), ("freeze", None), ("complete", LIST), ("auto-thaw", None)]
        assert (record["POSTERN_THAW_CAUSE"], record["POSTERN_FS_COUNT"]) == ("deadline", 1)
        assert int(record["PRIORITY"]) == 4, record


def test_record_of_a_stop():
    with frost.stage() as s:
        a = s.disk("a")
        audit = s.path("audit")
        with s.agent(args=["--audit", f"file:{audit}"]) as agent:
            with agent.client() as client:
                assert Calls(client).freeze(a.point) == 1
            probe = a.probe()
            assert probe.is_waiting()
        assert s.frozen() == set()
        probe.wait(5)
        with open(audit, encoding="utf-8") as f:
            records = [json.loads(line) for line in f]
        events = [r["POSTERN_EVENT"] for r in records]
        assert events[-2:] == ["auto-thaw", "stop"], events
        assert records[-2]["POSTERN_THAW_CAUSE"] == "stop", records[-2]


def test_many_mounts_in_a_record():
    """The list is bounded and stays well-formed."""
    with frost.stage() as s:
        long = "x" * 200
        image = frost.small_image(s.top, "image")
        for n in range(30):
            s.disk(f"{long}{n}", image=frost.copy_image(image, s.path(f"i{n}")))
        with s.agent() as a, a.client() as client:
            c = Calls(client)
            assert c.freeze(*[d.point for d in s.disks]) == 30
            assert c.thaw() == 30
            record = a.wait_record(lambda r: r.get("POSTERN_EVENT") == "freeze")
            mounts = json.loads(record["POSTERN_FS_MOUNTS"])
            assert record["POSTERN_FS_COUNT"] == 30
            assert 10 < len(mounts) < 30 and mounts[0] == s.disks[-1].point, len(mounts)


tap.run(frost.tests(globals()), limit=30)
