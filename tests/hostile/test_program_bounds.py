#!/usr/bin/python3
# run: limit 180
"""Programs and clients that keep to nothing: each costs its bound and no more, what the
client is told of it is right, and the agent goes on answering. And a frontend in an
attacker's hands, which gets nothing run but what the policy names.
"""
import contextlib
import json
import os
import random
import select
import signal
import struct
import threading
import time

import programs
import scratch
import tap
from agent import (VARIANT, Agent, descendants, free_uids, is_zombie, status, wait_until)
from hostile import (BAD_ARGS, ERROR, OPS, REFUSED, REPLY, REQUEST, Closed, Worker, frame,
                     request, request_head, text)
from programs import (Folder, is_alive, look, named, policy, refused, rule, run, session,
                      start, wait, wait_gone)

KIB, MIB = 1024, 1024 * 1024
IS_ROOT = os.geteuid() == 0


@contextlib.contextmanager
def under(words):
    with programs.agent(words) as a, a.client() as c:
        yield a, c


def answers(c):
    """The agent serves its client all the same."""
    assert c.sync(5) == []
    assert c.call("guest-ping") == {"return": {}}


def memory(a):
    """KiB that the spawner holds, the files of output in memory among them."""
    pid = a.child("spawner")
    kib = int(status(pid)["VmRSS"].split()[0])
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            path = f"/proc/{pid}/fd/{fd}"
            if "memfd:" in os.readlink(path):
                kib += os.stat(path).st_blocks // 2
        except FileNotFoundError:
            pass
    return kib


def end(pid):
    """Nothing is left of a session."""
    for left in session(pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(left, signal.SIGKILL)


def need_root():
    if not IS_ROOT:
        tap.skip("needs root, to look into the processes")


# ---- programs -----------------------------------------------------------------------------

BOMB = """
import os, sys, time
# Each makes more of itself until it may not, at most three generations of seven.
end, generation = time.monotonic() + 20, 0
while time.monotonic() < end:
    try:
        if generation < 3 and os.fork() == 0:
            generation += 1
        time.sleep(0.005)
    except OSError:
        with open(sys.argv[1], "a") as f:
            f.write("x")
        time.sleep(0.1)
"""


@contextlib.contextmanager
def account():
    """An account `bomb` that nobody else has, in private mounts; its uid."""
    uid = free_uids(8)[7]
    with scratch.namespaces() as top:
        copy = os.path.join(top, "passwd")
        with open("/etc/passwd", encoding="utf-8") as f, open(copy, "w", encoding="utf-8") as to:
            to.write(f.read().rstrip("\n") + f"\nbomb:x:{uid}:{uid}::/:/bin/sh\n")
        os.chmod(copy, 0o644)
        scratch.bind(copy, "/etc/passwd")
        yield uid


def processes_of(uid):
    found = []
    for entry in os.listdir("/proc"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if entry.isdigit() and os.stat(f"/proc/{entry}").st_uid == uid \
                    and is_alive(int(entry)):
                found.append(int(entry))
    return found


def test_a_fork_bomb():
    """As a rule's user it has its tasks and no more, and its deadline ends all of them."""
    with account() as uid, Folder() as d:
        path = d.script("bomb", BOMB, head="#!/usr/bin/python3\n")
        refusals = os.path.join(d.path, "refusals")
        os.close(os.open(refusals, os.O_CREAT, 0o666))
        os.chmod(refusals, 0o666)
        words = policy(rule(user="bomb", tasks_max="10", timeout="2s"))
        try:
            with under(words) as (a, c):
                pid = start(c, path, refusals)
                most = 0
                while os.path.getsize(refusals) < 5:
                    most = max(most, len(processes_of(uid)))
                    assert is_alive(pid), "it ended before it was refused anything"
                    answers(c)
                assert most <= 10, most
                state = wait(c, pid)
                assert state == {"exited": True, "signal": 15}, state
                wait_until(lambda: not processes_of(uid), "the end of all of them", 8)
                exits = a.wait_record(lambda r: r["POSTERN_EVENT"] == "exec-exit")
                assert exits["POSTERN_TIMED_OUT"] is True, exits
        finally:
            for left in processes_of(uid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(left, signal.SIGKILL)


def test_a_bound_on_memory():
    hungry = "import sys\ntry:\n  x = bytearray(1 << 30)\nexcept MemoryError:\n  sys.exit(42)"
    with under(policy(rule(memory_max="256M"))) as (_, c):
        assert run(c, "/usr/bin/python3", "-c", hungry)["exitcode"] == 42
        assert run(c, "/usr/bin/python3", "-c", "x = bytearray(1 << 26)")["exitcode"] == 0


def test_an_endless_writer():
    """What it writes is read, so that it does not hang, and thrown away beyond the bound."""
    with under(policy(rule(output_max="1M", timeout="2s"))) as (a, c):
        run(c, "true")  # it is ready then
        before = memory(a) if IS_ROOT else 0
        pid = start(c, "sh", "-c", "exec yes | tee /dev/stderr", capture_output=True)
        while look(c, pid) == {"exited": False}:
            answers(c)
            if IS_ROOT and VARIANT == "release":
                assert memory(a) <= before + 3 * 1024, (before, memory(a))
            if not is_alive(pid):
                break
        exits = a.wait_record(lambda r: r["POSTERN_EVENT"] == "exec-exit"
                              and r["POSTERN_EXEC_PID"] == pid)
        assert exits["POSTERN_TIMED_OUT"] is True and exits["POSTERN_SIGNAL"] == 15, exits
        assert exits["POSTERN_OUT_TRUNCATED"] is True, exits
        assert exits["POSTERN_OUT_BYTES"] > 4 * MIB, exits


def test_what_an_endless_writer_leaves():
    with under(policy(rule(output_max="1M", timeout="1s"))) as (_, c):
        state = wait(c, start(c, "yes", capture_output=True))
        assert state.pop("out-data") == b"y\n" * (MIB // 2)
        assert state == {"exited": True, "signal": 15, "out-truncated": True}, state


def test_output_of_all_programs():
    """64 MiB over all of them; what was fetched makes room again."""
    with Agent(profile="legacy") as a, a.client() as c:
        big = ("sh", "-c", f"head -c {16 * MIB} /dev/zero; echo end >&2")
        pids = [start(c, *big, capture_output=True) for _ in range(6)]
        wait_until(lambda: len([r for r in a.records() if r["POSTERN_EVENT"] == "exec-exit"])
                   == 6, "the end of all")
        if IS_ROOT and VARIANT == "release":
            assert memory(a) < 72 * 1024, memory(a)
        answers(c)
        states = [wait(c, pid) for pid in pids]
        assert [s["exitcode"] for s in states] == [0] * 6, states
        kept = sum(len(s.get("out-data", b"")) + len(s.get("err-data", b"")) for s in states)
        assert kept == 64 * MIB, kept
        for s in states:  # and who got less is told so
            assert len(s.get("out-data", b"")) == 16 * MIB or s.get("out-truncated", True), s
        again = wait(c, start(c, *big, capture_output=True))
        assert (len(again["out-data"]), again["err-data"]) == (16 * MIB, b"end\n")
        if IS_ROOT and VARIANT == "release":
            wait_until(lambda: memory(a) < 8 * 1024, lambda: f"its memory: {memory(a)}", 5)


def test_a_program_that_ignores_term():
    """SIGKILL five seconds later, and to those of its group that ignore it as well."""
    with under(policy(rule(timeout="300ms"))) as (a, c):
        began = time.monotonic()
        pid = start(c, "sh", "-c", "trap '' TERM; sleep 100 & while :; do sleep 100; done")
        time.sleep(2)
        assert look(c, pid) == {"exited": False} and len(session(pid)) == 3
        answers(c)
        assert wait(c, pid) == {"exited": True, "signal": 9}
        assert time.monotonic() - began > 4.5, "it had no time to end by itself"
        wait_gone(pid, 5)
        exits = a.wait_record(lambda r: r["POSTERN_EVENT"] == "exec-exit")
        assert exits["POSTERN_TIMED_OUT"] is True and exits["POSTERN_SIGNAL"] == 9, exits


def test_a_child_that_ignores_term():
    """The program obeys; what it started and left does not: it, too, is ended."""
    with under(policy(rule(timeout="300ms"))) as (_, c):
        pid = start(c, "sh", "-c", "(trap '' TERM; exec sleep 100) & sleep 100")
        try:
            assert wait(c, pid) == {"exited": True, "signal": 15}
            wait_gone(pid, 8)
        finally:
            end(pid)


def test_a_program_that_closes_its_output():
    """It has ended when it ends."""
    with under(policy(rule())) as (_, c):
        pid = start(c, "sh", "-c", "echo x; exec >&- 2>&- <&-; sleep 2; exit 7",
                    capture_output=True)
        time.sleep(1.3)
        assert look(c, pid) == {"exited": False}
        assert wait(c, pid) == {"exited": True, "exitcode": 7, "out-data": b"x\n",
                                "out-truncated": False}


def test_a_child_that_holds_the_pipe():
    """It does not hold up the status, and is not held up by us."""
    with Folder() as d, under(policy(rule())) as (a, c):
        done = os.path.join(d.path, "done")
        pid = start(c, "sh", "-c", f"(sleep 2; head -c {4 * MIB} /dev/zero; head -c {4 * MIB} "
                    f"/dev/zero >&2; touch {done}; sleep 100) & echo hi; exit 5",
                    capture_output=True)
        try:
            state = wait(c, pid, 5)
            assert state == {"exited": True, "exitcode": 5, "out-data": b"hi\n",
                             "out-truncated": False}, state
            assert session(pid), "the child has to live for this"
            answers(c)
        finally:
            end(pid)
    with Folder() as d, under(policy(rule())) as (a, c):
        # The same with a result that nobody fetches.
        done = os.path.join(d.path, "done")
        run(c, "true")  # it is ready then
        before = memory(a) if IS_ROOT else 0
        pid = start(c, "sh", "-c", f"(sleep 2; head -c {4 * MIB} /dev/zero; head -c {4 * MIB} "
                    f"/dev/zero >&2; touch {done}; sleep 100) & echo hi; exit 5",
                    capture_output=True)
        try:
            wait_until(lambda: os.path.exists(done), "the child to have written", 8)
            if VARIANT == "release":
                assert memory(a) < before + 1024, (before, memory(a))
            state = look(c, pid)
            assert state == {"exited": True, "exitcode": 5, "out-data": b"hi\n",
                             "out-truncated": False}, state
        finally:
            end(pid)


def test_a_program_that_stops_itself():
    """Stopped is not ended."""
    with under(policy(rule(timeout="2s"))) as (_, c):
        pid = start(c, "sh", "-c", "kill -STOP $$; exit 3")
        time.sleep(0.5)
        assert look(c, pid) == {"exited": False}
        state = wait(c, pid)
        assert state in ({"exited": True, "signal": 15}, {"exited": True, "signal": 9}), state
        pid = start(c, "sh", "-c", "kill -STOP $$; exit 3")
        wait_until(lambda: status(pid)["State"].startswith("T"), "it to stop")
        os.kill(pid, signal.SIGCONT)
        assert wait(c, pid) == {"exited": True, "exitcode": 3}


def test_a_program_that_reads_no_input():
    """32 of them with as much as a message takes; nothing hangs and nothing is kept."""
    need_root()
    with Agent(profile="legacy") as a, a.client() as c:
        run(c, "true")  # it is ready then
        time.sleep(0.2)
        fds = len(os.listdir(f"/proc/{a.child('spawner')}/fd"))
        data = b"x" * (8 * MIB)
        pids = [start(c, "sleep", "100", input_data=data) for _ in range(8)]
        answers(c)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        assert [wait(c, pid) for pid in pids] == [{"exited": True, "signal": 9}] * 8
        wait_until(lambda: len(os.listdir(f"/proc/{a.child('spawner')}/fd")) <= fds,
                   "its descriptors", 5)


def test_more_descriptors_than_the_usual_limit():
    """Ours is raised, that of programs is not; all that can wait to be fetched may."""
    a = Agent(profile="legacy", start=False)
    a.argv = ["/bin/sh", "-c", 'ulimit -Sn 128; exec "$@"', "-", *a.argv]
    a.start()
    with a, a.client() as c:
        text = ("sh", "-c", "ulimit -n; ulimit -n >&2; cat")
        pids = []
        for _ in range(100):
            pids.append(start(c, *text, capture_output=True, input_data=b"x" * KIB))
            wait_until(lambda: not is_alive(pids[-1]), "its end")
        for pid in pids:
            assert wait(c, pid) == {
                "exited": True, "exitcode": 0, "out-data": b"128\n" + b"x" * KIB,
                "err-data": b"128\n", "out-truncated": False, "err-truncated": False}
        assert not [p for p in descendants(a.pid) if is_zombie(p)]


# ---- clients ------------------------------------------------------------------------------

def test_a_client_that_goes_away():
    """In the middle of a start, of a status, of a result of 16 MiB."""
    with Agent(profile="legacy") as a:
        big = json.dumps({"execute": "guest-exec", "arguments": programs.request(
            "sh", ["-c", f"head -c {16 * MIB} /dev/zero"], capture_output=True)}).encode()
        for _ in range(5):
            with a.client() as c:
                c.send(big + b"\n")
            with a.client() as c:
                pid = start(c, "head", "-c", str(16 * MIB), "/dev/zero", capture_output=True)
                wait_until(lambda p=pid: not is_alive(p), "its end")
                c.send(b'{"execute":"guest-exec-status","arguments":{"pid":%d}}\n' % pid)
                select.select([c.sock], [], [], 5)
                assert c.sock.recv(1 << 16), "the begin of its result"
            with a.client() as c:
                answers(c)
        with a.client() as c:
            assert run(c, "true") == {"exited": True, "exitcode": 0}
        wait_until(lambda: not [p for p in descendants(a.pid) if is_zombie(p)], "no zombie", 5)


def test_a_spawner_that_hangs():
    """The request is given up at a sync; what it would have done is not forgotten."""
    with Agent(profile="legacy") as a, a.client() as c:
        spawner = a.child("spawner")
        long, over = start(c, "sleep", "100"), start(c, "sh", "-c", "exit 3")
        a.wait_record(lambda r: r["POSTERN_EVENT"] == "exec-exit"
                      and r["POSTERN_EXEC_PID"] == over)
        os.kill(spawner, signal.SIGSTOP)
        try:
            assert look(c, long) == {"exited": False}
            for command in (b'"guest-exec","arguments":{"path":"true"}',
                            b'"guest-exec-status","arguments":{"pid":%d}' % over):
                c.send(b'{"execute":%s}\n' % command)
                assert c.sync(10) == [], "an answer from nowhere"
                assert c.call("guest-ping") == {"return": {}}
        finally:
            os.kill(spawner, signal.SIGCONT)
        assert look(c, over) == {"exited": True, "exitcode": 3}
        assert run(c, "sh", "-c", "exit 6")["exitcode"] == 6
        # The program that was given up did run, is recorded, and can be asked for.
        given_up = a.wait_record(lambda r: r["POSTERN_EVENT"] == "exec-start"
                                 and r["POSTERN_EXEC_PATH"] == "/usr/bin/true")
        assert wait(c, given_up["POSTERN_EXEC_PID"]) == {"exited": True, "exitcode": 0}
        os.kill(long, signal.SIGKILL)


# ---- a hostile frontend ---------------------------------------------------------------------

EXEC = OPS["guest-exec"]


def exec_body(path, arg=None, env=None):
    """Arguments of guest-exec as they are between our processes."""
    def texts(values):
        if values is None:
            return b"\0"
        return b"\1" + struct.pack("<I", len(values)) + b"".join(map(text, values))
    return text(path) + texts(arg) + texts(env) + b"\0\0"


class Spawner:
    """The test in the spawner's place: says that all runs; .seen is what was asked for."""

    def __init__(self, worker):
        self.peer = worker._peer(b"s", True)  # pylint: disable=protected-access
        self.peer.sock.settimeout(None)
        self.seen = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        with contextlib.suppress(Closed, OSError):
            while True:
                f = self.peer.recv()
                if (f.type, f.op) != (REQUEST, EXEC["number"]):
                    continue
                self.seen.append(self._words(f.body))
                self.peer.send(frame(REPLY, f.op, f.request, body=struct.pack(
                    "<qB", 1000000 + len(self.seen), 0)))

    @staticmethod
    def _words(body):
        """(path, argv), which come first."""
        def take(at):
            size, = struct.unpack_from("<I", body, at)
            return body[at + 4:at + 4 + size], at + 4 + size
        path, at = take(0)
        count, = struct.unpack_from("<I", body, at)
        argv, at = [], at + 4
        for _ in range(count):
            word, at = take(at)
            argv.append(word)
        return path, argv


def runs(peer, number):
    """True: the worker says that it runs; False: it refuses, or hangs up."""
    try:
        return not peer.reply(number).flags & ERROR
    except Closed:
        return False


def test_a_hostile_frontend_gets_the_named_program_only():
    with Folder() as d:
        hello = d.script("hello", "true")
        allowed = [(hello.encode(), [hello.encode(), arg]) for arg in (b"a", b"b")]
        words = policy(named("hello", hello, argv="{a|b}"), exec_concurrent=200)
        with Worker(policy=words) as w:
            spawner = Spawner(w)
            # It can, or the rest would show nothing.
            peer = w.frontend()
            peer.send(request(EXEC, 1, request_head() + exec_body("hello", ["a"])))
            assert runs(peer, 1) and spawner.seen == allowed[:1], spawner.seen
            paths = ["/bin/sh", "sh", "true", hello, "../hello", "hello/", "Hello", "", "/",
                     "hello ", "./hello", "h", "hello" * 300, "/" * 4096, "x" * 60000]
            cases = [exec_body(path, arg) for path in paths
                     for arg in (None, [], ["a"], ["-c", "id"])]
            cases += [exec_body("hello", arg) for arg in
                      (None, [], ["c"], ["a", "b"], ["a", ""], [""], ["A"], ["a"] * 1000)]
            cases += [exec_body("hello", ["a"], env) for env in
                      (["LD_PRELOAD=/x"], ["A"], [""], ["=x"], ["PATH=/tmp"] * 100)]
            peer = w.frontend()
            for number, body in enumerate(cases, 1):
                peer.send(request(EXEC, number, request_head() + body))
                assert not runs(peer, number), body[:200]
            # Marks that say it was decided otherwise, or is broken, gain nothing either.
            for flags in (REFUSED, BAD_ARGS, REFUSED | BAD_ARGS):
                for body in (exec_body("hello", ["a"]), exec_body("/bin/sh"), b""):
                    peer = w.frontend()
                    peer.send(request(EXEC, 1, request_head() + body, flags=flags))
                    assert not runs(peer, 1), (flags, body)
            # Nor do parts of other operations, that only the worker may ask for.
            for name in [n for n in OPS if n.startswith("guest-exec ")]:
                for body in (request_head() + text("/bin/sh"),
                             request_head() + struct.pack("<I", 1) + text("/bin/sh")):
                    w.violation(request(OPS[name], 1, body))
            assert spawner.seen == allowed[:1], spawner.seen
            # A request that fits, with some bytes changed: it is allowed as well or nothing.
            rng, good = random.Random(6), request_head() + exec_body("hello", ["a"], [])
            told = 1
            for _ in range(500):
                body = bytearray(good)
                for _ in range(rng.randrange(1, 4)):
                    body[rng.randrange(len(body))] = rng.choice((0, 1, 2, 255,
                                                                 rng.randrange(256)))
                with contextlib.closing(w.frontend()) as peer:
                    peer.send(request(EXEC, 1, bytes(body)))
                    told += runs(peer, 1)
            assert len(spawner.seen) == told > 10, (told, spawner.seen)
            assert all(one in allowed for one in spawner.seen), spawner.seen


if __name__ == "__main__":
    tap.run(tap.tests(globals()), limit=60)
