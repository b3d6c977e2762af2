#!/usr/bin/python3
"""A reload and a freeze that meet: which of them waits, and by which policy each goes on.

That a reload waits at each step of a freeze, and changes nothing of it, is a part of the
matrix (test_freeze_matrix.py).
"""
# run: alone
# run: limit 180
# pylint: disable=missing-function-docstring
import contextlib
import os
import signal
import time

import frost
import programs
import reloading
import tap
from agent import Closed, stopped, wait_until
from frost import rule
from reloading import Asking, reader, status

FIRST = programs.policy(rule(freeze_max="60s"), base="legacy")
# Nothing is frozen any more, and nothing thawed.
SECOND = programs.policy(rule("guest-fsfreeze-freeze ; guest-fsfreeze-freeze-list ; "
                              "guest-fsfreeze-thaw", effect="deny", name="second"),
                         rule("guest-get-host-name", effect="deny", name="second-too"),
                         base="legacy")
THIRD = programs.policy(rule(freeze_max="30s", name="third"), base="legacy")
BROKEN = "[policy]\nbase = legacy\nnonsense = yes\n"


@contextlib.contextmanager
def place(text=FIRST):
    with frost.place("a", text=text) as (s, a, c, disk):
        yield s, a, c, disk


def ends(a):
    return [r for r in a.records() if r["POSTERN_EVENT"] in reloading.ENDS]


def waits(a):
    return status(a)["reload-waits"]


def host_name_is_allowed(c):
    return "has been disabled" not in str(c("guest-get-host-name"))


def test_a_freeze_that_begins_while_the_files_are_read():
    with place() as (s, a, c, disk):
        with stopped(reader(a)):
            a.write_policy(SECOND)
            asking = Asking(a)
            time.sleep(0.3)
            assert not waits(a)
            assert c.freeze(disk.point) == 1
        # What is read by now is not put in force.
        asking.wait_told()
        wait_until(lambda: waits(a), "the reload to wait")
        assert (status(a)["generation"], s.frozen(), ends(a)) == (1, {"a"}, [])
        a.write_policy(THIRD)
        assert c.thaw() == 1
        assert asking.wait() == {"outcome": "done"}
        # But what stands in the files now.
        assert host_name_is_allowed(c)
        assert c.freeze(disk.point) == 1
        assert 20000 < status(a)["thaw-in-ms"] <= 30000, status(a)
        assert c.thaw() == 1
        assert [r["POSTERN_RESULT"] for r in ends(a)] == ["ok"]


def test_a_freeze_that_is_over_while_the_files_are_read():
    with place() as (_, a, c, disk):
        with stopped(reader(a)):
            a.write_policy(THIRD)
            asking = Asking(a)
            time.sleep(0.3)
            assert (c.freeze(disk.point), c.thaw()) == (1, 1)
        assert asking.wait() == {"outcome": "done"}
        assert len(ends(a)) == 1 and not waits(a)


def test_files_that_cannot_be_read_while_it_is_frozen():
    """Their time is over in the middle of a freeze: that is told and recorded, and the freeze
    stays."""
    with place() as (s, a, c, disk):
        with stopped(reader(a)):
            a.write_policy(SECOND)
            asking = Asking(a)
            time.sleep(0.3)
            assert c.freeze(disk.point) == 1
            told = asking.wait()
            assert told["outcome"] == "failed", told
            assert (s.frozen(), status(a)["generation"], c.status()) == ({"a"}, 1, "frozen")
        assert c.thaw() == 1
        wait_until(lambda: len(ends(a)) == 1, "the record, which waited for the thaw")
        assert reloading.reload(a) == {"outcome": "done"}
        assert not host_name_is_allowed(c)


def test_the_old_rules_hold_until_the_thaw():
    with place() as (s, a, c, disk):
        assert c.freeze(disk.point) == 1
        a.write_policy(SECOND)
        with Asking(a) as asking:
            asking.wait_told()
            assert c.status() == "frozen" and s.frozen() == {"a"}
            assert 50000 < status(a)["thaw-in-ms"] <= 60000
            # Refused for the freeze, not by a policy that is not in force.
            assert "frozen" in c("guest-get-host-name")
            assert c.thaw() == 1
            assert asking.wait() == {"outcome": "done"}
        assert "has been disabled" in c.freeze(disk.point)
        assert "has been disabled" in c.thaw()
        assert not host_name_is_allowed(c)
        assert s.frozen() == set()
        done = next(r for r in a.records() if r["POSTERN_EVENT"] == "reload")
        thaw = next(r for r in a.records() if r["POSTERN_EVENT"] == "thaw")
        assert thaw["POSTERN_SEQ"] < done["POSTERN_SEQ"]


def test_mistakes_are_told_after_the_thaw():
    with place() as (s, a, c, disk):
        assert c.freeze(disk.point) == 1
        a.write_policy(BROKEN)
        with Asking(a) as asking:
            asking.wait_told()
            assert c.thaw() == 1
            told = asking.wait()
        assert told["outcome"] == "mistakes" and "nonsense" in told["detail"], told
        assert [r["POSTERN_EVENT"] for r in ends(a)] == ["policy-refused"]
        assert (status(a)["generation"], c.freeze(disk.point), c.thaw()) == (1, 1, 1)
        assert s.frozen() == set()


def test_many_ask_while_it_is_frozen():
    with place() as (_, a, c, disk), contextlib.ExitStack() as stack:
        assert c.freeze(disk.point) == 1
        a.write_policy(SECOND)
        asking = [stack.enter_context(Asking(a)) for _ in range(3)]
        for one in asking:
            one.wait_told()
        for _ in range(20):
            a.process.send_signal(signal.SIGHUP)
            time.sleep(0.005)
        # One that does not wait any longer, and one that takes its place.
        asking.pop().__exit__()
        asking.append(stack.enter_context(Asking(a)))
        asking[-1].wait_told()
        assert status(a)["frozen"] and not ends(a)
        assert c.thaw() == 1
        assert [one.wait() for one in asking] == [{"outcome": "done"}] * 3
        assert [r["POSTERN_RESULT"] for r in ends(a)] == ["ok"]


def test_the_deadline_lets_it_go_on():
    with place(programs.policy(rule(freeze_max="2s"), base="legacy")) as (s, a, c, disk):
        assert c.freeze(disk.point) == 1
        a.write_policy(THIRD)
        with Asking(a) as asking:
            asking.wait_told()
            assert asking.wait() == {"outcome": "done"}
        assert s.frozen() == set()
        found = [r["POSTERN_EVENT"] for r in a.records()]
        assert found.index("auto-thaw") < found.index("reload"), found


def test_a_worker_that_dies_leaves_it_to_the_next():
    with place() as (s, a, c, disk):
        assert c.freeze(disk.point) == 1
        a.write_policy(THIRD)
        a.process.send_signal(signal.SIGHUP)
        wait_until(lambda: waits(a), "the reload to wait")
        with Asking(a) as asking:
            asking.wait_told()
            with contextlib.closing(frost.after_death(a, "worker")) as client:
                assert asking.wait() is None
                c = frost.Calls(client)
                assert (c.status(), s.frozen()) == ("frozen", {"a"})
                assert waits(a) and status(a)["generation"] == 1
                assert 40000 < status(a)["thaw-in-ms"] <= 60000
                assert c.thaw() == 1
                wait_until(lambda: ends(a), "the reload")
                assert [r["POSTERN_RESULT"] for r in ends(a)] == ["ok"]
                assert c.freeze(disk.point) == 1
                assert status(a)["thaw-in-ms"] <= 30000
                assert c.thaw() == 1


def test_a_worker_that_is_not_there_is_asked_later():
    """SIGHUP between two workers: what is in force outlives the first, but not the order."""
    with place() as (_, a, c, _):
        assert c.status() == "thawed"  # its connection is the frontend's that goes
        a.write_policy(SECOND)
        old = a.child("worker")
        os.kill(a.pid, signal.SIGSTOP)
        os.kill(old, signal.SIGKILL)
        a.process.send_signal(signal.SIGHUP)
        os.kill(a.pid, signal.SIGCONT)
        a.wait_record(lambda r: r["POSTERN_EVENT"] == "reload")
        with contextlib.closing(frost.connect(a)) as client:
            assert not host_name_is_allowed(frost.Calls(client))


def test_a_stop_while_it_waits():
    """The freeze ends with the agent, and the reload with it: it is told and recorded."""
    with place() as (s, a, c, disk):
        assert c.freeze(disk.point) == 1
        a.write_policy(SECOND)
        with Asking(a) as asking:
            asking.wait_told()
            a.process.send_signal(signal.SIGTERM)
            told = asking.wait()
            assert a.process.wait(15) == 0
        assert told["outcome"] == "failed" and told["detail"] == "the agent stops", told
        found = [r for r in ends(a)]
        assert [r["POSTERN_EVENT"] for r in found] == ["policy-refused"], found
        assert found[0]["POSTERN_DETAIL"] == "the agent stops"
        assert s.frozen() == set()
        with contextlib.suppress(Closed, BrokenPipeError, ConnectionResetError):
            c.status()


tap.run(frost.tests(globals()), limit=60)
