#!/usr/bin/python3
"""Any process of the agent may die at any time: it answers again within a second, and
nothing of what was under way is answered twice, late or in part.
"""
import contextlib
import json
import os
import signal
import socket
import tempfile
import threading
import time

import tap
from agent import (PATIENCE, SPAWNS, VARIANT, Agent, Closed, children, comm, descendants,
                   how_many, is_zombie, wait_until)

# What the agent owes its clients; sanitizers slow down the start of a program.
DEADLINE = 3.0 if VARIANT == "asan" else 1.0

CONFINED = ("frontend", "inspector")
VICTIMS = ("frontend", "inspector", "worker", "writer")
# A writer that dies sooner is not replaced at once: it might die at every start.
WRITER_GROWN_UP = 1.1
OSINFO = b'{"execute":"guest-get-osinfo","id":"q"}\n'


def writer(agent):
    """The audit writer: the worker's child from its start on."""
    return wait_until(lambda: children(agent.child("worker")), "the audit writer")[0]


def pid_of(agent, name):
    return writer(agent) if name == "writer" else agent.child(name)


def family(agent):
    """Pid of each process by name."""
    return {name: pid_of(agent, name) for name in VICTIMS}


def kill(pid):
    os.kill(pid, signal.SIGKILL)


def listening(path):
    """Inode of the socket that listens at PATH: that of the socket, not of its node."""
    with open("/proc/net/unix", encoding="utf-8", errors="replace") as f:
        rows = [line.split() for line in f if line.rstrip("\n").endswith(f" {path}")]
    return [row[6] for row in rows if int(row[3], 16) & 0x10000]


def answered(client, timeout):
    """A sync and a question that takes every process."""
    assert client.sync(timeout) == []
    reply = client.call("guest-get-osinfo", timeout)
    assert reply["return"]["kernel-release"] == os.uname().release, reply


def answers_again(agent, since):
    """A new client is answered within DEADLINE of SINCE, however often it must try."""
    end = since + DEADLINE
    while True:
        left = end - time.monotonic()
        assert left > 0, f"no answer within {DEADLINE} s; stderr: {agent.stderr()!r}"
        try:
            with agent.client() as c:
                answered(c, left)
            assert time.monotonic() < end, "too late"
            return
        except (Closed, ConnectionRefusedError, BrokenPipeError):
            time.sleep(0.005)


def hangs_up(client):
    """Assert that the connection ends, with nothing of a reply."""
    try:
        got = client.recv_replies(1)
    except Closed as closed:
        assert closed.rest == b"" and not client.lines, (closed.rest, client.lines)
        return
    raise AssertionError(f"a reply to what nobody carried out: {got}")


# ---- one process dies --------------------------------------------------------------------

def check_idle(victim):
    with Agent() as a, a.client() as c:
        c.sync()
        before, inode = family(a), listening(a.path)
        if victim == "writer":
            time.sleep(WRITER_GROWN_UP)
        assert len(inode) == 1, inode
        start = time.monotonic()
        kill(before[victim])
        if victim in ("frontend", "worker"):
            answers_again(a, start)
            hangs_up(c)
        else:  # the client notices nothing
            answered(c, DEADLINE)
            assert time.monotonic() < start + DEADLINE
        assert listening(a.path) == inode, "the listener did not stay"
        gone = VICTIMS if victim == "worker" else (victim,)
        wait_until(lambda: all(pid_of(a, n) != before[n] for n in gone), "successors")
        after = family(a)
        assert all((after[n] == before[n]) == (n not in gone) for n in VICTIMS), \
            (before, after)


def check_in_flight(victim):
    """The same with an operation under way, and with another one behind it."""
    with Agent(profile="legacy", testops=True) as a, a.client() as c:
        c.sync()
        before, inode = family(a), listening(a.path)
        if victim == "writer":
            time.sleep(WRITER_GROWN_UP)
        c.send(b'{"execute":"test-sleep","arguments":{"ms":400}}' + OSINFO)
        wait_until(lambda: len(children(before["worker"])) == 2, "the operation")
        start = time.monotonic()
        kill(before[victim])
        if victim in ("frontend", "worker"):
            answers_again(a, start)
            hangs_up(c)
        else:
            replies = c.recv_replies(2, start + DEADLINE - time.monotonic())
            assert replies[0] == b'{"return": {}}', replies
            assert json.loads(replies[1])["id"] == "q" and b"return" in replies[1], replies
            c.sync()
        assert listening(a.path) == inode, "the listener did not stay"


def test_a_writer_that_dies_young():
    """The next one takes its time, and then writes what was kept for it meanwhile."""
    with Agent() as a, a.client() as c:
        c.sync()
        worker, young = a.child("worker"), writer(a)
        kill(young)
        wait_until(lambda: young not in children(worker), "its end")
        assert c.call("guest-get-host-name")["return"]
        assert children(worker) == [], "replaced at once"
        wait_until(lambda: children(worker), "another writer")
        a.wait_record(lambda r: r["POSTERN_EVENT"] == "complete" and
                      r["POSTERN_COMMAND"] == "guest-get-host-name")
        assert a.child("worker") == worker


def test_an_operation_outlives_its_frontend():
    """It is carried out to its end and recorded, as one that nobody waits for."""
    with Agent(profile="legacy", testops=True) as a, a.client() as c:
        c.send(b'{"execute":"test-sleep","arguments":{"ms":300}}')
        wait_until(lambda: len(children(a.child("worker"))) == 2, "the operation")
        kill(a.child("frontend"))
        with wait_until(lambda: connected(a), "a new frontend") as new:
            answered(new, PATIENCE)
            done = a.wait_record(lambda r: r["POSTERN_EVENT"] == "complete" and
                                 r["POSTERN_COMMAND"] == "test-sleep")
            assert done["POSTERN_ABANDONED"] and done["POSTERN_RESULT"] == "ok", done
            new.nothing()


def connected(agent):
    """A client whom the agent answers, or None."""
    client = agent.client()
    try:
        client.sync()
        return client
    except (Closed, BrokenPipeError):
        client.close()
        return None


def test_an_operation_does_not_outlive_its_worker():
    """Nobody would know of it any more; the next worker starts with nothing under way."""
    with Agent(profile="legacy", testops=True) as a, a.client() as c:
        worker = a.child("worker")
        c.send(b'{"execute":"test-sleep","arguments":{"ms":4500}}')
        wait_until(lambda: len(children(worker)) == 2, "the operation")
        operation = children(worker)[1]
        start = time.monotonic()
        kill(worker)
        hangs_up(c)
        wait_until(lambda: not comm(operation) or is_zombie(operation), "its end",
                   start + DEADLINE - time.monotonic())


def test_records_go_on_after_a_new_writer():
    with Agent() as a, a.client() as c:
        c.call("guest-get-time")
        first = writer(a)
        time.sleep(WRITER_GROWN_UP)
        kill(first)
        wait_until(lambda: writer(a) != first, "a new writer")
        for command in ("guest-get-host-name", "guest-get-timezone", "guest-get-load"):
            assert "return" in c.call(command)
        wait_until(lambda: sum(r["POSTERN_EVENT"] == "complete" for r in a.records()) == 4,
                   "the records")
        seq = [r["POSTERN_SEQ"] for r in a.records()]
        worker = {r["POSTERN_INSTANCE"] for r in a.records()}
        assert len(worker) == 1 and seq == list(range(1, len(seq) + 1)), (worker, seq)


def test_restarts_are_on_record():
    with Agent() as a:
        for name in CONFINED:
            kill(a.child(name))
            a.wait_record(lambda r, n=name: r["POSTERN_EVENT"] == "child-restart" and
                          r["POSTERN_PROCESS"] == n)
        kill(a.child("worker"))
        wait_until(lambda: len({r["POSTERN_INSTANCE"] for r in a.records()}) == 2,
                   "the record of a new worker")
        a.wait_ready()


# ---- the inspector, and a question ---------------------------------------------------------

def ask_stopped(agent, client):
    """Ask while the inspector is stopped; its pid."""
    pid = agent.child("inspector")
    client.sync()
    os.kill(pid, signal.SIGSTOP)
    client.send(OSINFO)
    agent.wait_record(lambda r: r["POSTERN_EVENT"] == "decision")
    return pid


def completions(agent):
    return [r for r in agent.records() if r["POSTERN_EVENT"] == "complete"]


def test_a_question_is_asked_again():
    with Agent() as a, a.client() as c:
        kill(ask_stopped(a, c))
        start = time.monotonic()
        reply = json.loads(c.recv_replies(1, DEADLINE)[0])
        assert time.monotonic() - start < DEADLINE
        assert reply["id"] == "q" and reply["return"]["id"], reply
        c.nothing()
        wait_until(lambda: [r["POSTERN_RESULT"] for r in completions(a)] == ["ok"],
                   "one record")


def test_a_question_is_asked_twice_at_the_most():
    """One that kills whoever is asked must not do so for ever."""
    with Agent() as a, a.client() as c:
        first, worker = ask_stopped(a, c), a.child("worker")
        os.kill(worker, signal.SIGSTOP)
        kill(first)
        second = wait_until(lambda: next((p for p in a.pids("inspector") if p != first and
                                          not is_zombie(p)), None), "the next inspector")
        os.kill(second, signal.SIGSTOP)
        os.kill(worker, signal.SIGCONT)
        a.wait_record(lambda r: r["POSTERN_EVENT"] == "child-restart")
        kill(second)
        reply = json.loads(c.recv_replies(1)[0])
        assert reply["error"] == {
            "class": "GenericError",
            "desc": "guest-get-osinfo: the inspector ended without an answer"}, reply
        answered(c, PATIENCE)
        assert c.call("guest-get-host-name")["return"]
        wait_until(lambda: [r["POSTERN_RESULT"] for r in completions(a)] == ["failed", "ok"],
                   "the records")
    # The answer to the one that equals it is counted, as one that did not fail.
    counted = [r for r in a.records() if "POSTERN_REPEAT" in r
               and r.get("POSTERN_COMMAND") == "guest-get-osinfo"]
    assert len(counted) == how_many(counted) == 1 and "POSTERN_DETAIL" not in counted[0], counted


def test_a_question_without_an_inspector_waits():
    with Agent() as a, a.client() as c:
        c.sync()
        worker, old = a.child("worker"), a.child("inspector")
        os.kill(worker, signal.SIGSTOP)  # it sees end, question and successor in one
        kill(old)
        c.send(OSINFO)
        wait_until(lambda: any(p != old and not is_zombie(p) for p in a.pids("inspector")),
                   "the next inspector")
        os.kill(worker, signal.SIGCONT)
        assert b'"return"' in c.recv_replies(1)[0]


# ---- again and again -----------------------------------------------------------------------

def test_ten_kills_in_a_row():
    """The delays grow, and it comes back. One agent per victim, all at the same time."""
    with contextlib.ExitStack() as stack:
        agents = {victim: stack.enter_context(Agent()) for victim in VICTIMS}
        for _ in range(10):
            for victim, agent in agents.items():
                for pid in present(agent, victim):
                    kill(pid)
            time.sleep(0.3)
        for agent in agents.values():
            with wait_until(lambda a=agent: connected(a), "an answer") as c:
                answered(c, PATIENCE)
        for agent in agents.values():  # stop() of one takes the others for left-overs
            agent.process.terminate()
            agent.process.wait(PATIENCE)


def present(agent, victim):
    """Pids of VICTIM at the moment: one or none."""
    workers = [p for p in children(agent.pid) if p in agent.pids("worker")]
    if victim == "writer":
        return [p for w in workers for p in children(w)]
    return workers if victim == "worker" else agent.pids(victim)


# ---- the end ---------------------------------------------------------------------------------

def test_stop_while_a_client_is_there():
    with Agent() as a, a.client() as c:
        c.sync()
        pids = [a.pid] + descendants(a.pid)
        a.process.send_signal(signal.SIGTERM)
        hangs_up(c)
        assert a.process.wait(PATIENCE) == 0
        wait_until(lambda: not any(comm(p) and not is_zombie(p) for p in pids), "all ends")
        assert sorted(os.listdir(a.dir)) == ["audit.jsonl", "stderr"], os.listdir(a.dir)
        assert a.stderr() == "", a.stderr()
        last = a.records()[-1]
        assert last["POSTERN_EVENT"] == "stop", last


def test_stop_during_an_operation():
    """Which ends with the agent; its process does not stay behind."""
    with Agent(profile="legacy", testops=True) as a, a.client() as c:
        c.send(b'{"execute":"test-sleep","arguments":{"ms":4500}}')
        worker = a.child("worker")
        wait_until(lambda: len(children(worker)) == 2, "the operation")
        pids = descendants(a.pid)
        start = time.monotonic()
        a.process.send_signal(signal.SIGTERM)
        assert a.process.wait(PATIENCE) == 0
        done = [r for r in a.records() if r["POSTERN_EVENT"] == "complete"]
        assert [r["POSTERN_RESULT"] for r in done] == ["failed"], done
        wait_until(lambda: not any(comm(p) and not is_zombie(p) for p in pids), "all ends",
                   start + 2 - time.monotonic())


def test_stop_while_a_program_is_stopped():
    """A process that does not react is killed."""
    with Agent() as a:
        os.kill(a.child("inspector"), signal.SIGSTOP)
        a.process.send_signal(signal.SIGTERM)
        assert a.process.wait(PATIENCE) == 0
        assert a.stderr() == \
            "postern: postern-inspector did not end when it should, killed\n", a.stderr()


def test_without_the_supervisor_all_ends():
    with Agent() as a, a.client() as c:
        c.sync()
        pids = descendants(a.pid)
        assert len(pids) == 5 + SPAWNS, pids
        start = time.monotonic()
        kill(a.pid)
        hangs_up(c)
        wait_until(lambda: all(is_zombie(p) or not comm(p) for p in pids), "their ends",
                   start + 2 - time.monotonic())
        a.process.wait()
        # The node is left behind, and nothing that the next one stumbles over.
        a.start()
        with a.client() as again:
            answered(again, PATIENCE)


def test_many_clients_and_a_stop():
    """Those that wait in the backlog are turned away, not left waiting."""
    with Agent() as a:
        clients = [a.client() for _ in range(5)]
        clients[0].sync()
        stopper = threading.Thread(target=lambda: a.process.send_signal(signal.SIGTERM))
        stopper.start()
        for c in clients:
            hangs_up(c)
            c.close()
        stopper.join()
        assert a.process.wait(PATIENCE) == 0


def cases():
    todo = []
    for victim in VICTIMS:
        todo.append((f"kill -9 of the {victim}, idle", lambda v=victim: check_idle(v)))
        todo.append((f"kill -9 of the {victim}, a request in flight",
                     lambda v=victim: check_in_flight(v)))
    todo += tap.tests(globals())
    return todo


# ---- signs of life ----------------------------------------------------------------------------

def test_a_worker_that_hangs_gives_no_sign_of_life():
    """The service manager hears of its loop, not of a process that merely is there."""
    with tempfile.TemporaryDirectory(prefix="postern-life-") as folder, \
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(os.path.join(folder, "notify"))
        manager.settimeout(PATIENCE)
        with Agent(env={"NOTIFY_SOCKET": manager.getsockname(),
                        "WATCHDOG_USEC": "400000"}) as a:
            heard = {manager.recv(100) for _ in range(6)}
            assert heard == {b"READY=1", b"WATCHDOG=1"}, heard
            worker = a.child("worker")
            os.kill(worker, signal.SIGSTOP)
            time.sleep(0.3)
            manager.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    manager.recv(100)
            manager.settimeout(1)
            try:
                raise AssertionError(manager.recv(100))
            except TimeoutError:
                pass
            os.kill(worker, signal.SIGCONT)
            manager.settimeout(PATIENCE)
            assert manager.recv(100) == b"WATCHDOG=1"


tap.run(cases())
