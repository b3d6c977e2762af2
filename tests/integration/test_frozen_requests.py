#!/usr/bin/python3
"""While something is frozen: a thousand requests of all kinds are answered or refused with
the right words, nothing blocks, and no record of a decision on what changes the guest is lost.
Records and log lie on the very file system that is frozen."""
# run: limit 120
import collections
import contextlib
import json
import os
import random
import time

import frost
import scratch
import tap
from agent import children, comm, descendants, wait_until
from frost import Calls

SIX = {"guest-sync", "guest-sync-delimited", "guest-ping", "guest-info", "guest-fsfreeze-status",
       "guest-fsfreeze-thaw"}
LIST = "guest-fsfreeze-freeze-list"
# Arguments with which they could be carried out.
GOOD = {
    "guest-set-time": {"time": 1},
    "guest-shutdown": {"mode": "halt"},
    "guest-file-open": {"path": "/etc/passwd", "mode": "r"},
    "guest-file-close": {"handle": 1000},
    "guest-file-read": {"handle": 1000, "count": 1},
    "guest-file-write": {"handle": 1000, "buf-b64": "aGVsbG8="},
    "guest-file-seek": {"handle": 1000, "offset": 0, "whence": 0},
    "guest-file-flush": {"handle": 1000},
    "guest-fsfreeze-freeze-list": {"mountpoints": ["/nonexistent"]},
    "guest-fstrim": {"minimum": 0},
    "guest-set-vcpus": {"vcpus": []},
    "guest-set-user-password": {"username": "nobody", "password": "c2VjcmV0", "crypted": False},
    "guest-set-memory-blocks": {"mem-blks": []},
    "guest-exec": {"path": "/bin/true", "arg": ["a"], "capture-output": True},
    "guest-exec-status": {"pid": 1},
    "guest-ssh-get-authorized-keys": {"username": "nobody"},
    "guest-ssh-add-authorized-keys": {"username": "nobody", "keys": ["ssh-rsa x"]},
    "guest-ssh-remove-authorized-keys": {"username": "nobody", "keys": []},
}
MUTATING = {
    "guest-set-time", "guest-shutdown", "guest-file-open", "guest-file-close",
    "guest-file-write", "guest-file-flush", "guest-fsfreeze-freeze", LIST, "guest-fstrim",
    "guest-suspend-disk", "guest-suspend-ram", "guest-suspend-hybrid", "guest-set-vcpus",
    "guest-set-user-password", "guest-set-memory-blocks", "guest-exec",
    "guest-ssh-add-authorized-keys", "guest-ssh-remove-authorized-keys"}


class Scene:
    """An agent whose records and log lie on .disk, with a client."""

    def __init__(self, stage, agent, client, disk):
        self.stage, self.agent, self.client, self.disk = stage, agent, client, disk
        self.sent = collections.Counter()
        self.log_path = os.path.join(disk.point, "log")

    @property
    def c(self):
        return Calls(self.client)

    def freeze(self):
        self.agent.wait_record(lambda r: r["POSTERN_EVENT"] == "start")
        assert self.c.freeze(self.disk.point) == 1
        assert self.stage.frozen() == {"disk"}

    def sizes(self):
        return [os.stat(p).st_size for p in (self.agent.audit_path, self.log_path)]

    def log(self):
        with open(self.log_path, encoding="utf-8") as f:
            return f.read()

    def commands(self):
        info = self.client.call("guest-info")["return"]["supported_commands"]
        return [x["name"] for x in info]

    def kill(self, program):
        self.client.close()
        self.client = frost.after_death(self.agent, program)

    def close(self):
        self.client.close()

    def settle(self):
        """The records up to now: those before the one of a freeze of nothing."""
        mark = f"settled-{time.monotonic_ns()}"
        assert self.client.call(LIST, mountpoints=[mark]) == {"return": 0}
        last = self.agent.wait_record(lambda r: mark in r.get("POSTERN_ARGS", ""))
        records = self.agent.records()
        return records[:records.index(last)]


@contextlib.contextmanager
def scene(args=(), **how):
    with frost.stage() as s:
        disk = s.disk("disk")
        audit = os.path.join(disk.point, "audit.jsonl")
        paths = ["--audit", f"file:{audit}", "-l", os.path.join(disk.point, "log")]
        with s.agent(args=[*paths, *args], **how) as a:
            a.audit_path = audit
            with contextlib.closing(Scene(s, a, a.client(), disk)) as it:
                yield it


# ---- requests ----------------------------------------------------------------------------

def words(command):
    return {"class": "CommandNotFound",
            "desc": f"Command {command} has been disabled: the agent is in frozen state"}


def kinds(command):
    """(request, what its reply has to be: a function) of one command."""
    refused = lambda r: r.get("error") == words(command)  # noqa: E731
    for arguments in ({}, {"bad": 1}, {**GOOD.get(command, {}), "bad": None}, GOOD.get(command),
                      {k: [[]] for k in GOOD.get(command, {})}):
        if arguments is None:
            continue
        request = {"execute": command}
        if arguments:
            request["arguments"] = arguments
        wrong = "bad" in arguments
        if command not in SIX:
            yield request, refused
        elif wrong:
            yield request, lambda r: r.get("error", {}).get("class") == "GenericError"
        elif command == "guest-fsfreeze-status":
            yield request, lambda r: r.get("return") == "frozen"
        elif command == "guest-ping":
            yield request, lambda r: r.get("return") == {}
        elif command == "guest-info":
            yield request, lambda r: {x["name"] for x in r["return"]["supported_commands"]
                                      if x["enabled"]} == SIX
    if command in ("guest-sync", "guest-sync-delimited"):
        number = random.randrange(1 << 40)
        yield {"execute": command, "arguments": {"id": number}}, \
            lambda r: r.get("return") == number


def strange():
    """What is no command at all; as it is on the wire."""
    for name in ("guest-nonsense", "", "Guest-ping", "quit", "guest-exec "):
        yield json.dumps({"execute": name}).encode(), \
            lambda r, n=name: r.get("error") == {
                "class": "CommandNotFound", "desc": f"The command {n} has not been found"}
    for text in (b'{"execute":5}', b'[1]', b'{}', b'{"execute":"guest-ping","x":1}'):
        yield text, lambda r: r.get("error", {}).get("class") == "GenericError"


def thousand(commands, seed, count=1000):
    """At least COUNT requests as (bytes, check, command) in an order of chance."""
    chance = random.Random(seed)
    some = []
    while len(some) < count:
        for command in commands:
            for request, check in kinds(command):
                if chance.random() < 0.3:
                    request["id"] = len(some)
                some.append((json.dumps(request).encode(), check, command))
        some += [(data, check, None) for data, check in strange()]
    chance.shuffle(some)
    return some


def send_all(it, todo, batch=25):
    """Send TODO, some at a time; each is answered as it must be, in order and soon."""
    for at in range(0, len(todo), batch):
        part = todo[at:at + batch]
        it.client.send(b"\n".join(data for data, _, _ in part) + b"\n")
        got = it.client.recv_replies(len(part), timeout=5)
        for (data, check, command), line in zip(part, got):
            reply = json.loads(line.removeprefix(b"\xff"))
            assert check(reply), (data, line)
            assert reply.get("id") == (json.loads(data).get("id") if b'"id"' in data and
                                       command else None), (data, line)
            if command and command not in SIX:
                it.sent[command] += 1


# ---- what the trail says afterwards --------------------------------------------------------

def refusals(records):
    """How many of each command were refused because something was frozen."""
    count = collections.Counter()
    for r in records:
        if r["POSTERN_EVENT"] == "decision" and r.get("POSTERN_REASON") == "frozen":
            assert r["POSTERN_DECISION"] == "deny", r
            count[r["POSTERN_COMMAND"]] += r.get("POSTERN_REPEAT", 1)
    return count


def check_order(records):
    """Numbers and times grow, by worker; gives how many numbers are missing."""
    missing = 0
    by_instance = collections.defaultdict(list)
    for r in records:
        by_instance[r["POSTERN_INSTANCE"]].append(r)
    for own in by_instance.values():
        numbers = [r["POSTERN_SEQ"] for r in own]
        assert numbers == sorted(set(numbers)), numbers
        times = [r["POSTERN_TIME_USEC"] for r in own]
        assert times == sorted(times)
        missing += numbers[-1] - len(numbers)
    return missing


def check_accounts(it, records):
    got = refusals(records)
    assert got == it.sent, {n: (got[n], it.sent[n]) for n in {*got, *it.sent}
                            if got[n] != it.sent[n]}
    assert MUTATING <= set(got), MUTATING - set(got)
    # The first of each as a record of its own, the others as one, however long it took.
    for command, count in got.items():
        own = [r for r in records if r.get("POSTERN_COMMAND") == command
               and r.get("POSTERN_REASON") == "frozen" and r["POSTERN_EVENT"] == "decision"]
        assert [r.get("POSTERN_REPEAT") for r in own] == \
            ([None, count - 1] if count > 1 else [None]), own


def dropped(records):
    return sum(r.get("POSTERN_DROPPED", 0) for r in records)


def of_event(records, *events):
    return [r for r in records if r["POSTERN_EVENT"] in events]


# ---- the tests ---------------------------------------------------------------------------

def test_a_thousand_requests():
    with scene() as it:
        it.freeze()
        sizes = it.sizes()
        began = time.time()
        todo = thousand(it.commands(), 1)
        assert len(todo) >= 1000
        probe = it.disk.probe()
        assert probe.is_waiting()
        begun = time.monotonic()
        send_all(it, todo)
        assert time.monotonic() - begun < 20
        ended = time.time()
        # Nothing was written, and nothing waits to write but the probe.
        assert it.sizes() == sizes
        assert probe.is_waiting()
        assert blocked(it.agent) == []
        assert (it.c.status(), it.c.thaw()) == ("frozen", 1)
        probe.wait(5)
        records = it.settle()
        check_accounts(it, records)
        assert check_order(records) == dropped(records)
        # They bear the time at which it happened, not that at which it was written.
        first = [r for r in records if r.get("POSTERN_REASON") == "frozen"
                 and "POSTERN_REPEAT" not in r and r["POSTERN_EVENT"] == "decision"]
        assert all(began - 1 <= r["POSTERN_TIME_USEC"] / 1e6 <= ended + 1 for r in first)
        freeze, thaw = of_event(records, "freeze", "thaw")
        assert freeze["POSTERN_SEQ"] < first[0]["POSTERN_SEQ"] < thaw["POSTERN_SEQ"]
        # Secrets stay out, refused or not.
        with open(it.agent.audit_path, encoding="utf-8") as f:
            text = f.read()
        assert "c2VjcmV0" not in text and "secret\\" not in text


def blocked(agent):
    """Processes of the agent that wait in a state that no signal ends; its writer may."""
    found = []
    worker = agent.child("worker")
    for pid in [agent.pid, *children(agent.pid), *children(worker)]:
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
                state = f.read().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if state == "D":
            found.append(pid)
    return found


def test_all_at_once():
    """A client that does not wait for replies gets them all the same, in order."""
    with scene() as it:
        it.freeze()
        todo = thousand(it.commands(), 2)
        send_all(it, todo, batch=len(todo))
        assert it.c.thaw() == 1
        check_accounts(it, it.settle())


def test_second_freeze_counts_anew():
    with scene() as it:
        for turn in range(2):
            it.freeze()
            send_all(it, thousand(it.commands(), turn, count=200))
            assert it.c.thaw() == 1
        records = it.settle()
        assert refusals(records) == it.sent
        assert check_order(records) == dropped(records) == 0
        assert len(of_event(records, "freeze")) == len(of_event(records, "thaw")) == 2


def test_a_freeze_longer_than_an_interval():
    """Of equal refusals there are two records all the same, and nothing has to be dropped."""
    policy = "[policy]\nbase = legacy\n[audit]\ninterval = 1s\n"
    with scene(policy=policy) as it:
        it.freeze()
        for turn in range(4):
            send_all(it, thousand(it.commands(), turn, count=300))
            time.sleep(1.2)
        assert it.c.thaw() == 1
        records = it.settle()
        check_accounts(it, records)
        assert check_order(records) == dropped(records) == 0


def of_status(records, event="decision"):
    return [r for r in of_event(records, event)
            if r["POSTERN_COMMAND"] == "guest-fsfreeze-status"]


def flood(it, text, reply):
    for _ in range(40):
        it.client.send(text * 50)
        for line in it.client.recv_replies(50):
            assert reply in line, line


def test_a_flood_of_polls_costs_nothing():
    """They are counted: it takes no room at all."""
    with scene() as it:
        it.freeze()
        send_all(it, thousand(it.commands(), 3, count=300))
        flood(it, b'{"execute":"guest-fsfreeze-status"}\n', b'{"return": "frozen"}')
        send_all(it, [t for t in thousand(it.commands(), 4, count=300)
                      if t[2] != "guest-fsfreeze-status"])
        assert it.c.thaw() == 1
        records = it.settle()
        assert check_order(records) == dropped(records) == 0
        check_accounts(it, records)
        assert len(of_event(records, "freeze", "thaw")) == 2
        polls = [r for r in of_status(records) if r["POSTERN_DECISION"] == "allow"]
        assert len(polls) == 2 and "POSTERN_REPEAT" not in polls[0], polls
        # Some were among the first 300.
        assert polls[1]["POSTERN_REPEAT"] > 2000 and "POSTERN_DETAIL" not in polls[1], polls
        assert polls[1]["POSTERN_TIME_USEC"] <= of_event(records, "thaw")[0]["POSTERN_TIME_USEC"]


def test_a_flood_of_refusals_costs_no_other_session_its_own():
    """Each of them has two records, until they take what that session has to lose. What is
    dropped is counted."""
    with scene() as it:
        it.freeze()
        send_all(it, thousand(it.commands(), 3, count=300))
        it.client.close()
        it.client = it.agent.client()
        flood(it, b'{"execute":"guest-fsfreeze-status","arguments":{"bad":1}}\n',
              b"'bad' is unexpected")
        it.client.close()
        it.client = it.agent.client()
        send_all(it, thousand(it.commands(), 4, count=300))
        assert it.c.thaw() == 1
        records = it.settle()
        missing = check_order(records)
        assert missing == dropped(records) > 0, (missing, dropped(records))
        check_accounts(it, records)
        assert len(of_event(records, "freeze", "thaw")) == 2
        # The youngest are those that are left.
        left = [r for r in of_status(records) if r["POSTERN_REASON"] == "arguments"]
        session, count = collections.Counter(r["POSTERN_SESSION"] for r in left).most_common(1)[0]
        numbers = [r["POSTERN_REQUEST"] for r in left if r["POSTERN_SESSION"] == session]
        assert 20 < count < 2000 and numbers == list(range(numbers[-1] - count + 1,
                                                           numbers[-1] + 1)), numbers


def test_records_before_the_freeze_come_first():
    """The writer is behind when the freeze begins, and hangs in it."""
    with scene() as it:
        it.agent.wait_record(lambda r: r["POSTERN_EVENT"] == "start")
        count = 300
        it.client.send(b'{"execute":"guest-file-close","arguments":{"handle":5}}\n' * count +
                       json.dumps({"execute": LIST, "arguments": {
                           "mountpoints": [it.disk.point]}}).encode())
        got = it.client.recv_replies(count + 1)
        assert json.loads(got[-1]) == {"return": 1}, got[-1]
        assert it.c.status() == "frozen"
        send_all(it, thousand(it.commands(), 5, count=100))
        assert it.c.thaw() == 1
        records = it.settle()
        assert check_order(records) == dropped(records) == 0
        assert refusals(records) == it.sent
        commands = [r["POSTERN_COMMAND"] for r in of_event(records, "decision")]
        assert commands[:count + 2] == ["guest-file-close"] * count + [
            LIST, "guest-fsfreeze-status"]


def test_worker_killed_in_between():
    """What it had held is written after the thaw; the counts go on."""
    with scene() as it:
        it.freeze()
        send_all(it, thousand(it.commands(), 6, count=300))
        sizes = it.sizes()
        it.kill("worker")
        assert it.c.status() == "frozen"
        send_all(it, thousand(it.commands(), 7, count=300))
        it.kill("worker")
        send_all(it, thousand(it.commands(), 8, count=300))
        assert it.sizes() == sizes
        assert (it.c.thaw(), it.stage.frozen()) == (1, set())
        records = it.settle()
        check_accounts(it, records)
        assert check_order(records) == dropped(records) == 0
        assert len(of_event(records, "start")) == 3
        assert len(of_event(records, "freeze")) == len(of_event(records, "thaw")) == 1
        # The log of the window is there as well.
        wait_until(lambda: it.log().count("postern-worker ended by signal 9") == 2, it.log)


def test_others_killed_in_between():
    for program in ("frontend", "inspector", "spawner"):
        with scene() as it:
            it.freeze()
            send_all(it, thousand(it.commands(), 9, count=100))
            it.kill(program)
            assert it.c.status() == "frozen"
            send_all(it, thousand(it.commands(), 10, count=100))
            assert (it.c.thaw(), it.stage.frozen()) == (1, set()), program
            records = it.settle()
            assert refusals(records) == it.sent, program
            assert check_order(records) == dropped(records) == 0


def test_all_killed_and_started_again():
    """Its records and its log lie on what is frozen: it starts all the same."""
    with scene() as it:
        it.freeze()
        send_all(it, thousand(it.commands(), 11, count=200))
        it.client.close()
        it.client = frost.after_restart(it.agent)
        assert (it.c.status(), it.stage.frozen()) == ("frozen", {"disk"})
        send_all(it, thousand(it.commands(), 12, count=200))
        assert (it.c.thaw(), it.stage.frozen()) == (1, set())
        records = it.settle()
        assert refusals(records) == it.sent
        assert check_order(records) == dropped(records) == 0


def test_locked_down_in_between():
    """The policy was spoilt: what is said of it at the next start must not wait for the log."""
    with scene(policy=frost.rule()) as it:
        it.freeze()
        send_all(it, thousand(it.commands(), 13, count=100))
        with open(os.path.join(it.agent.dir, "root/etc/postern/policy.conf"), "a",
                  encoding="ascii") as f:
            f.write("nonsense\n")
        begun = time.monotonic()
        it.client.close()
        it.client = frost.after_restart(it.agent)
        assert (it.c.status(), it.stage.frozen()) == ("frozen", {"disk"})
        assert time.monotonic() - begun < 5
        # Of the commands that are allowed, wrong arguments are refused as by that policy.
        send_all(it, [t for t in thousand(it.commands(), 14, count=100)
                      if t[2] not in SIX or b'"bad"' not in t[0]])
        assert (it.c.thaw(), it.stage.frozen()) == (1, set())
        assert it.c("guest-get-osinfo") == \
            "Command guest-get-osinfo has been disabled: the policy cannot be trusted"
        wait_until(lambda: refusals(it.agent.records()) == it.sent, "the records")


def test_many_sessions():
    """Clients come and go; each is served at once."""
    with scene() as it:
        it.freeze()
        it.client.close()
        begun = time.monotonic()
        for n in range(200):
            it.client = it.agent.client()
            it.client.reset()
            if n % 10 == 0:
                it.client.send(b'{"execute": no json}\n' * 20)
            assert it.c.status() == "frozen" if n % 10 else it.client.sync() is not None
            it.client.close()
        assert time.monotonic() - begun < 15
        it.client = it.agent.client()
        assert it.c.thaw() == 1
        records = it.settle()
        assert check_order(records) == dropped(records)
        assert of_event(records, "freeze") and of_event(records, "thaw")


def test_what_ran_before_goes_on():
    """An open file and a program from before: of use again after the thaw."""
    with scene() as it:
        handle = it.client.call("guest-file-open", path="/etc/passwd")["return"]
        pid = it.client.call("guest-exec", path="/bin/sleep", arg=["0.3"])["return"]["pid"]
        it.freeze()
        for command, arguments in (("guest-file-read", {"handle": handle}),
                                   ("guest-exec-status", {"pid": pid})):
            assert it.client.call(command, **arguments)["error"] == words(command)
        time.sleep(0.5)
        assert it.c.thaw() == 1
        assert it.client.call("guest-file-read", handle=handle)["return"]["count"] > 0
        assert it.client.call("guest-exec-status", pid=pid)["return"]["exitcode"] == 0
        assert it.client.call("guest-file-close", handle=handle) == {"return": {}}


# ---- what was begun before -----------------------------------------------------------------

GETENT = """#!/bin/sh
echo "$1" >>TOP/asked
until [ -e TOP/go ]; do sleep 0.05; done
[ "$3" != broken ] && echo "$3:x:65534:65534::/nonexistent:/bin/sh"
"""


def test_a_freeze_while_accounts_are_looked_up():
    """They are decided on after it began, and so refused; each leaves its own two records."""
    users = ("nobody", "broken", "nobody")
    with frost.stage() as s:
        disk = s.disk("disk")
        with open(s.path("getent"), "w", encoding="utf-8") as f:
            f.write(GETENT.replace("TOP", s.top))
        os.chmod(s.path("getent"), 0o755)
        scratch.bind(s.path("getent"), "/usr/bin/getent")
        with s.agent() as a:
            for n, user in enumerate(users, 1):
                with a.client() as client:
                    frost.ask(client, "guest-set-user-password", username=user,
                              password="c2VjcmV0", crypted=False)
                    wait_until(lambda n=n: lines(s.path("asked")) == n, f"{n} look-ups")
            with a.client() as client:
                c = Calls(client)
                assert (c.freeze(disk.point), c.status()) == (1, "frozen")
                with open(s.path("go"), "w", encoding="utf-8"):
                    pass
                wait_until(lambda: "getent" not in [comm(p) for p in descendants(a.pid)],
                           "getent to end")
                assert c("guest-set-user-password", username="nobody", password="",
                         crypted=False).endswith("frozen state")
                assert c.thaw() == 1
            wait_until(lambda: len(of_passwords(a, "complete")) == 4,
                       lambda: of_passwords(a, "complete"))
            decided = {r["POSTERN_REQUEST"]: (r["POSTERN_DECISION"], r["POSTERN_REASON"])
                       for r in of_passwords(a, "decision")}
            assert decided == {1: ("deny", "frozen"), 2: ("error", "lookup"),
                               3: ("deny", "frozen"), max(decided): ("deny", "frozen")}, decided
            assert [r["POSTERN_RESULT"] for r in of_passwords(a, "complete")].count("failed") == 1
            assert not of_passwords(a, "password")


def lines(path):
    with contextlib.suppress(FileNotFoundError):
        with open(path, encoding="utf-8") as f:
            return len(f.read().splitlines())
    return 0


def of_passwords(a, event):
    return [r for r in a.records() if r.get("POSTERN_COMMAND") == "guest-set-user-password"
            and r["POSTERN_EVENT"] == event]


tap.run(frost.tests(globals()), limit=40)
