#!/usr/bin/python3
"""A thousand reloads of an agent that is at work: no request is decided by a mixture of two
policies, none is lost, nothing stays behind, and each reload that was asked for has its
record.

The policies alternate at random, and with them broken ones and ones that need more than the
agent holds; programs run, files are open and requests are under way. Afterwards each record of
a decision is compared with what `posternctl explain` says of that request under the policy
that the record names, and so is each reply, by the words that only that policy would use.
"""
# run: alone
# run: limit 420
# pylint: disable=missing-function-docstring
import base64
import collections
import contextlib
import functools
import json
import os
import random
import re
import select
import signal
import subprocess
import tempfile
import time

import fuse
import guard
import programs
import reloading
import scratch
import tap
from agent import (PATIENCE, VARIANT, children, comm, how_many, is_zombie, wait_until)

IS_ROOT = os.geteuid() == 0
RELOADS = int(os.environ.get("POSTERN_RELOADS", "0")) or (1000 if VARIANT == "release" and IS_ROOT else 200)
FIRST = 10  # before what is held is counted for the first time
SEED = int(os.environ.get("POSTERN_SEED", str(random.randrange(1 << 30))))
BATCH = 12  # requests that are sent together
LONG_MAX = 6  # programs that do not end by themselves
NOBODY = 65534
MIB = 1 << 20

# ---- policies --------------------------------------------------------------------------

# A name of a rule tells whose it is: nothing of one policy has the name of another's but
# the program `job`, which is another program in each.
POLICIES = {
    "a": """
[exec "job"]
path = /usr/bin/true
concurrent = 40
[rule "a-facts"]
effect = allow
command = guest-get-osinfo ; guest-get-host-name ; test-sleep
[rule "a-echo"]
effect = allow
command = guest-exec
path = /usr/bin/echo
argv = a*
env-allow = FOO
[rule "a-sleep"]
effect = allow
command = guest-exec
path = /usr/bin/sleep
argv = [0-9.]**
timeout = 200s
[rule "a-files"]
effect = allow
command = @file-read ; @file-write
path-beneath = {folder}/a ; {folder}/both
size-max = 4K
[rule "a-no"]
effect = deny
command = guest-get-timezone
""",
    "b": """
[exec "job"]
path = /usr/bin/false
{user}
[rule "b-facts"]
effect = allow
command = guest-get-timezone ; guest-get-host-name
[rule "b-echo"]
effect = allow
command = guest-exec
path = /usr/bin/echo
argv = b*
env-allow = BAR
[rule "b-sleep"]
effect = allow
command = guest-exec
path = /usr/bin/sleep
argv = [0-9.]**
timeout = 100s
concurrent = 40
[rule "b-files"]
effect = allow
command = @file-read ; @file-write
path-beneath = {folder}/b ; {folder}/both
size-max = 64K
[rule "b-no"]
effect = deny
command = guest-get-osinfo
""",
    # Nearly nothing: what is under way is all that goes on, if anything does.
    "c": """
[rule "c-facts"]
effect = allow
command = guest-get-osinfo
[rule "c-no"]
effect = deny
command = @exec
[rule "c-files"]
effect = allow
command = @file-read
path-beneath = {folder}/both
""",
}
# What each tells its host of a refusal.
DETAIL = {"a": "full", "b": "ref", "c": "none"}
SIZE_MAX = {"a": 4096, "b": 65536, "c": None}
JOB = {"a": ("/usr/bin/true", 0), "b": ("/usr/bin/false", 1)}

BROKEN = ["[policy]\nbase = none\nfoo = bar\n[nix]\n",
          "[policy]\nbase = none\n[rule \"x\"]\neffect = allow\ncommand = guest-nonsense\n",
          "\0", "[policy]\nbase = none\n" * 2, "[" + "x" * 70000]
GREEDY = ["[policy]\nbase = legacy\n", "[policy]\nbase = safe\n"]


def text_of(name, folder, keep):
    """KEEP: names of the policies that keep what the last one allowed."""
    user = "user = nobody" if IS_ROOT else ""
    return (f"[policy]\nbase = none\ndeny-detail = {DETAIL[name]}\n"
            f"on-reload = {'keep' if name in keep else 'revoke'}\n"
            + POLICIES[name].format(folder=folder, user=user))


# ---- requests --------------------------------------------------------------------------

def request_of(kind, folder, n=0):
    """(command, arguments) of a request; its KIND is all that a policy can tell apart."""
    what, _, whose = kind.partition(" ")
    if what == "echo":
        return "guest-exec", {"path": "/usr/bin/echo", "arg": [f"{whose}{n}"],
                              "capture-output": True}
    if what == "env":
        name = {"a": "FOO", "b": "BAR"}[whose]
        return "guest-exec", {"path": "/usr/bin/echo", "arg": [f"{whose}{n}"],
                              "env": [f"{name}={n}"]}
    if what == "job":
        return "guest-exec", {"path": "job"}
    if what == "sleep":
        return "guest-exec", {"path": "/usr/bin/sleep", "arg": ["0.02"]}
    if what == "long":
        return "guest-exec", {"path": "/usr/bin/sleep", "arg": ["90"]}
    if what == "open":
        return "guest-file-open", {"path": f"{folder}/{whose}/f{n % 8}", "mode": "w+"}
    if what == "look":
        return "guest-file-open", {"path": f"{folder}/{whose}/there", "mode": "r"}
    return {"bad": ("guest-exec", {"arg": []}), "none": ("guest-exec", {"path": "nothing"}),
            "test": ("test-sleep", {"ms": 15})}.get(what, ("guest-" + what, ARGUMENTS.get(what, {})))


ARGUMENTS = {"set-time": {"time": 1}, "set-user-password":
             {"username": "nobody", "password": "bm8=", "crypted": False}}
KINDS = ["echo a", "echo b", "env a", "env b", "job", "sleep", "long", "open a", "open b",
         "open both", "look both", "look a", "look b", "get-osinfo", "get-host-name",
         "get-timezone", "set-time", "set-user-password", "fsfreeze-freeze", "bad", "none", "test"]
# Of these equal ones are counted.
POLLS = ("get-osinfo", "get-host-name", "get-timezone", "status", "read", "seek")
WEIGHTS = [4, 4, 3, 3, 5, 2, 2, 4, 4, 6, 3, 2, 2, 3, 3, 3, 1, 1, 1, 1, 1, 2]


class Explained:
    """What `posternctl explain` says of a kind of request, by each policy alone."""

    def __init__(self, a, files, folder):
        self.a, self.files, self.folder = a, files, folder

    @functools.lru_cache(maxsize=None)
    def __call__(self, name, kind):
        command, arguments = request_of(kind, self.folder, 1)
        text = json.dumps({"execute": command, "arguments": arguments})
        got = subprocess.run([os.path.join(self.a.programs, "posternctl"), "explain", "--json",
                              "-f", self.files[name], text], stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL, check=False, preexec_fn=guard.harmless)
        if got.returncode == 2:  # its arguments are none
            assert kind == "bad", (name, kind, got)
            return None
        return json.loads(got.stdout)


# ---- a client that is never idle -------------------------------------------------------

class Load:
    """A process with one connection after another. What it sent and what it was told goes to
    a file, a line each: [serial, kind, reply, what was asked about]."""

    def __init__(self, a, folder, log, keep, seed):
        self.a, self.folder, self.log = a, folder, log
        # What is never left behind: nobody would end it.
        self.minded = ("long", "open", "look") if keep == "abc" else ("long",)
        self.random = random.Random(seed)
        self.ending, self.end = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                os.close(self.end)
                with open(log, "a", encoding="utf-8") as self.out:
                    self.run()
                code = 0
            except BaseException:  # pylint: disable=broad-except # told by its status
                import traceback
                traceback.print_exc()
            finally:
                os._exit(code)
        os.close(self.ending)

    def stop(self):
        """It ends what it began: its files are closed, its results fetched."""
        if self.pid:
            os.close(self.end)
            pid, self.pid = self.pid, 0
            status = os.waitpid(pid, 0)[1]
            assert status == 0, f"the client's status {status}"

    # -- in the process

    def run(self):
        self.serial = 0
        self.handles, self.pids, self.long = {}, {}, {}
        while not select.select([self.ending], [], [], 0)[0]:
            with contextlib.closing(self.a.client()) as self.c:
                self.c.sync()
                for _ in range(self.random.randrange(1, 8)):
                    self.batch()
                    time.sleep(0.005)
                # A client that goes without waiting for what it asked for.
                if self.random.random() < 0.2:
                    self.send([one for one in self.some() if not one[0].startswith(self.minded)])
        with contextlib.closing(self.a.client()) as self.c:
            self.c.sync()
            self.exchange([("close", "guest-file-close", {"handle": h}, h)
                           for h in self.handles])
            end = time.monotonic() + PATIENCE
            while set(self.pids) - set(self.long):
                assert time.monotonic() < end, f"not collected: {self.pids}"
                self.collect()
                time.sleep(0.02)

    def collect(self):
        self.exchange([("status", "guest-exec-status", {"pid": p}, p)
                       for p in list(self.pids) if p not in self.long])

    def some(self):
        chosen = self.random.choices(KINDS, WEIGHTS, k=BATCH)
        if len(self.long) >= LONG_MAX:
            chosen = [k for k in chosen if k != "long"]
        if len(self.handles) > 20:
            chosen = [k for k in chosen if not k.startswith(("open", "look"))]
        found = [(k, *request_of(k, self.folder, self.random.randrange(100)), None)
                 for k in chosen]
        found += [("status", "guest-exec-status", {"pid": p}, p) for p in self.pids]
        for h, name in self.handles.items():
            found += self.use(h, name)
        self.random.shuffle(found)
        # What is closed is used no more in the same go.
        closed = [f for f in found if f[0] == "close"]
        return [f for f in found if f[0] != "close"] + closed

    def use(self, h, name):
        n = self.random.random()
        if n < 0.3:
            yield "close", "guest-file-close", {"handle": h}, h
        elif n < 0.6 and name.startswith("open"):
            size = self.random.choice((1000, 4096, 4097, 65536, 65537))
            yield ("seek", "guest-file-seek", {"handle": h, "offset": 0, "whence": "set"}, h)
            yield ("write", "guest-file-write",
                   {"handle": h, "buf-b64": base64.b64encode(b"x" * size).decode()}, [h, size])
        elif n < 0.8:
            yield "read", "guest-file-read", {"handle": h, "count": 2000}, h

    def send(self, todo):
        lines, sent = b"", []
        for kind, command, arguments, about in todo:
            self.serial += 1
            request = {"execute": command, "id": f"{os.getpid()}-{self.serial}"}
            if arguments:
                request["arguments"] = arguments
            lines += json.dumps(request).encode() + b"\n"
            sent.append((request["id"], kind, about))
        self.c.send(lines)
        for serial, kind, about in sent:
            self.tell(serial, kind, None, about)
        return sent

    def tell(self, serial, kind, reply, about):
        self.out.write(json.dumps([serial, kind, reply, about]) + "\n")

    def batch(self):
        self.exchange(self.some())

    def exchange(self, todo):
        if not todo:
            return
        sent = self.send(todo)
        for (serial, kind, about), line in zip(sent, self.c.recv_replies(len(sent))):
            reply = json.loads(line)
            assert reply.pop("id") == serial, (reply, serial)
            self.tell(serial, kind, reply, about)
            self.learn(kind, reply, about)
        self.out.flush()

    def learn(self, kind, reply, about):
        got = reply.get("return")
        if kind.startswith(("open", "look")) and got is not None:
            self.handles[got] = kind
        elif kind == "close" or "has not been found" in str(reply.get("error")):
            self.handles.pop(about[0] if isinstance(about, list) else about, None)
        elif kind == "status" and (got["exited"] if got else "Invalid parameter" in
                                   reply["error"]["desc"]):
            self.pids.pop(about, None)
            self.long.pop(about, None)
        elif isinstance(got, dict) and "pid" in got:
            self.pids[got["pid"]] = kind
            if kind == "long":
                self.long[got["pid"]] = True


# ---- who has the policy replaced -------------------------------------------------------

class Driver:
    """Replaces the policy and asks for it, in one way or the other, and waits for the end."""

    def __init__(self, a, texts, seed):
        self.a, self.texts = a, texts
        self.random = random.Random(seed)
        self.trail = reloading.Ends(a)
        self.sha = {}  # of a policy's name
        self.force = "a"
        self.asked = self.done = 0
        self.told = collections.Counter()

    def ends(self):
        return self.trail.read()

    def wait_ends(self, count):
        wait_until(lambda: len(self.ends()) >= count, lambda: f"{count} ends: {self.ends()[-3:]}")

    def check_end(self, record, name, text):
        """RECORD is what a reload of TEXT, the policy NAME or None, leaves."""
        if name is None:
            assert record["POSTERN_EVENT"] == "policy-refused", record
            words = "it needs what was given up" if text in GREEDY else "in the policy"
            assert words in record["POSTERN_DETAIL"], (record, text[:60])
            assert record["POSTERN_POLICY_SHA256"] == self.sha[self.force], record
            return
        assert record["POSTERN_EVENT"] == "reload", (record, name)
        same = name == self.force
        assert record["POSTERN_RESULT"] == ("unchanged" if same else "ok"), (record, name)
        sha = record["POSTERN_POLICY_SHA256"]
        assert self.sha.setdefault(name, sha) == sha, (record, name)
        self.done += not same
        self.force = name

    def some(self):
        n = self.random.random()
        if n < 0.12:
            return None, self.random.choice(BROKEN)
        if n < 0.2:
            return None, self.random.choice(GREEDY)
        name = self.random.choices("abc", (5, 5, 1))[0]
        return name, self.texts[name]

    def one(self):
        how = self.random.random()
        if how < 0.45:
            self.by_signal(*self.some())
        elif how < 0.9:
            self.by_posternctl(*self.some())
        else:
            self.many()

    def by_signal(self, name, text):
        before = len(self.ends())
        self.a.write_policy(text)
        self.a.process.send_signal(signal.SIGHUP)
        self.asked += 1
        self.wait_ends(before + 1)
        self.check_end(self.ends()[before], name, text)

    def by_posternctl(self, name, text):
        before = len(self.ends())
        self.a.write_policy(text)
        told = reloading.reload(self.a)
        self.asked += 1
        self.wait_ends(before + 1)
        self.check_told(told, self.ends()[before])
        self.check_end(self.ends()[before], name, text)

    def check_told(self, told, record):
        """What posternctl was told is what is on record."""
        self.told[told["outcome"]] += 1
        if record["POSTERN_EVENT"] == "reload":
            assert told["outcome"] == {"ok": "done", "unchanged": "unchanged"}[
                record["POSTERN_RESULT"]], (told, record)
        else:
            assert told["outcome"] in ("mistakes", "restart"), (told, record)
            assert told["detail"] == record["POSTERN_DETAIL"], (told, record)

    @staticmethod
    def is_among(told, ends):
        """Is there a record of what was told?"""
        result = {"done": "ok", "unchanged": "unchanged"}.get(told["outcome"])
        return any(r.get("POSTERN_RESULT") == result and
                   (result or r["POSTERN_DETAIL"] == told["detail"]) for r in ends)

    def many(self):
        """Of those who ask at the same time each is told how the files were read after it
        asked; some of the readings are one."""
        name, text = self.some()
        before = len(self.ends())
        self.a.write_policy(text)
        count = self.random.randrange(2, 5)
        asking = []
        with contextlib.ExitStack() as all_of_them:
            for _ in range(count):
                if self.random.random() < 0.4:
                    self.a.process.send_signal(signal.SIGHUP)
                else:
                    asking.append(all_of_them.enter_context(reloading.Asking(self.a)))
            told = [one.wait() for one in asking]
        # A last one: what was asked for by signal is over with it, at the latest.
        last = reloading.reload(self.a)
        self.asked += count + 1
        time.sleep(0.01)
        ends = list(self.settled()[before:])
        assert 1 <= len(ends) <= count + 1, (ends, count)
        self.check_end(ends[0], name, text)
        for record in ends[1:]:
            self.check_end(record, name, text)
        for one in [*told, last]:
            assert self.is_among(one, ends), (one, ends)

    def settled(self):
        """The ends, once none is to come: nothing is asked for, nothing under way."""
        count = -1
        while count != len(self.ends()):
            count = len(self.ends())
            with open(f"/proc/{self.a.pid}/status", encoding="ascii") as f:
                pending = re.search(r"ShdPnd:\s*(\w+)", f.read()).group(1)
            time.sleep(0.05 if int(pending, 16) == 0 else 0.1)
        return self.ends()

    def to(self, name):
        self.by_posternctl(name, self.texts[name])


# ---- what it holds ---------------------------------------------------------------------

def held(pid):
    """What a process holds, apart from the memory that its parts have in use."""
    fds = collections.Counter()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            fds[re.sub(r"\[\d+\]", "", os.readlink(f"/proc/{pid}/fd/{fd}"))] += 1
    with open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace") as f:
        maps = collections.Counter(line.split(maxsplit=5)[5].strip() if line.count(" ") > 5 and
                                   len(line.split(maxsplit=5)) > 5 else "" for line in f)
    return {"fds": dict(fds), "maps": {k: v for k, v in maps.items() if "memfd" in k or "/" in k}}


def rss_kib(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
        return int(re.search(r"Pss:\s+(\d+)", f.read()).group(1))


def crew_of(a):
    """pid by what it is; those alone that stay."""
    worker = a.child("worker")
    return {"supervisor": a.pid, "worker": worker, "writer": children(worker)[0],
            "reader": a.child("reader"),
            "frontend": a.child("frontend"), "inspector": a.child("inspector"),
            "spawner": a.child("spawner")}


def left(records):
    """(handles that are open, pids of all programs, of those that run), by the records."""
    handles, pids, running = set(), set(), set()
    for r in records:
        event = r["POSTERN_EVENT"]
        if event.startswith("file-"):
            (handles.add if event == "file-open" else handles.discard)(r["POSTERN_HANDLE"])
        elif event.startswith("exec-"):
            (running.add if event == "exec-start" else running.discard)(r["POSTERN_EXEC_PID"])
            pids.add(r["POSTERN_EXEC_PID"])
    return handles, pids, running


def tidy(a, killed):
    """What clients left behind that did not wait for its number. The files can still be closed;
    the programs run, are ended here, and added to KILLED."""
    handles, pids, running = left(a.records())
    with a.client() as c:
        for h in handles:
            assert c.call("guest-file-close", handle=h) == {"return": {}}, h
        for pid in running:
            if comm(pid) == "sleep":
                killed.add(pid)
                os.kill(pid, signal.SIGKILL)
            programs.wait(c, pid)
        for pid in pids:
            programs.look(c, pid)  # nobody else fetches it


def rest(a):
    """Wait until nothing is under way; the child of the worker is the one that stays."""
    def quiet():
        now = reloading.status(a)
        return now["requests"] == 0 and now["handles"] == 0 and \
            len(children(a.child("worker"))) == 1 and \
            not [p for s in a.pids("spawner") for p in children(s) if is_zombie(p)]
    wait_until(quiet, lambda: f"rest: {reloading.status(a)}, {children(a.child('worker'))}")


# ---- judging ---------------------------------------------------------------------------

class Judge:
    """All that was recorded, and all that the clients were told, beside the policies."""

    def __init__(self, records, sha, explained, keep, killed):
        self.records, self.explained, self.keep, self.killed = records, explained, keep, killed
        self.name = {v: k for k, v in sha.items()}
        self.decisions = {}  # by the client's number of the request
        self.of_request = {}  # the policy by which a request was decided
        self.kinds = {}
        self.counts = collections.Counter()

    def policy(self, record):
        return self.name[record["POSTERN_POLICY_SHA256"]]

    def run(self, logs):
        """LOGS: [serial, kind, reply, about] in the order of each client."""
        replies = {}
        for serial, kind, reply, about in logs:
            self.kinds[serial] = kind
            if reply is not None or serial not in replies:
                replies[serial] = (kind, reply, about)
        self.trail()
        answered = sum(reply is not None for _, reply, _ in replies.values())
        decided = how_many(self.records) + self.counts["lost"]
        assert decided >= answered, (decided, answered)
        self.words(replies)

    # -- the trail

    def trail(self):
        force, past = "a", {"a"}
        self.open_handles = {}
        self.running = {}
        for r in self.records:
            event = r["POSTERN_EVENT"]
            assert "POSTERN_SKEW" not in r, r
            self.counts["lost"] += r.get("POSTERN_DROPPED", 0)
            if event == "reload" and r["POSTERN_RESULT"] == "ok":
                self.check_revoked()
                force = self.policy(r)
                past.add(force)
                self.must_end = [] if force in self.keep else list(self.open_handles)
            elif event == "decision" and "POSTERN_REPORTED_BY" not in r:
                self.decision(r, force)
            elif event == "exec-start":
                self.started(r)
            elif event == "exec-exit":
                self.exited(r)
            elif event == "file-open":
                self.open_handles[r["POSTERN_HANDLE"]] = r["POSTERN_REQUEST"]
            elif event == "file-close":
                del self.open_handles[r["POSTERN_HANDLE"]]
                self.counts["close " + r["POSTERN_RESULT"]] += 1
            else:
                assert event in ("complete", "connect", "disconnect", "start", "policy-load", "stop",
                                 "protocol-error", "decision", *reloading.ENDS), r
        self.check_revoked()

    must_end = ()

    def check_revoked(self):
        left = set(self.must_end) & set(self.open_handles)
        assert not left, f"open after a reload that revokes: {left}"

    def decision(self, r, force):
        self.counts["decisions"] += 1
        if "POSTERN_REPEAT" in r and "POSTERN_POLICY_SHA256" not in r:
            # Of equal reads the last was under way when the policy was replaced.
            assert "POSTERN_RULE" not in r and r["POSTERN_REPEAT"] < 5, r
            self.counts["counts without a policy"] += 1
            return
        name = self.policy(r)
        rule = r.get("POSTERN_RULE")
        assert rule is None or rule == "job" or rule.startswith(name + "-"), r
        reason = r["POSTERN_REASON"]
        assert reason not in ("frontend", "audit-unavailable", "frozen"), r
        late = r["POSTERN_COMMAND"] in ("guest-exec", "guest-file-open")
        if name != force:
            assert late, f"{force} is in force: {r}"
            self.counts["decided by an earlier one"] += 1
        if reason == "reload":
            assert late and r["POSTERN_DECISION"] == "deny" and rule is None, r
            assert force not in self.keep, r
            self.counts["revoked requests"] += 1
        serial = r.get("POSTERN_CLIENT_ID", "").strip('"')
        if "POSTERN_REPEAT" not in r and serial:  # those of tidy() have none
            assert serial in self.kinds, r
            assert serial not in self.decisions, r
            self.decisions[serial] = r
            self.of_request[r["POSTERN_REQUEST"]] = (name, self.kinds[serial])
        if reason in ("busy", "lookup"):
            self.counts[reason] += 1
        self.compare(r, name, serial)

    def compare(self, r, name, serial):
        """With what that policy alone says of what was asked for."""
        kind = self.kinds.get(serial, "")
        if r["POSTERN_REASON"] in ("reload", "busy", "lookup") or kind in (
                "status", "close", "read", "write", "seek"):
            return
        if "POSTERN_REPEAT" in r:
            kind = r["POSTERN_COMMAND"].removeprefix("guest-")
        if kind not in KINDS:
            return
        want = self.explained(name, kind)
        if want is None:
            assert r["POSTERN_DECISION"] == "deny", r
            return
        got = {"decision": r["POSTERN_DECISION"], "reason": r["POSTERN_REASON"],
               "rule": r.get("POSTERN_RULE")}
        # The first that is wrong with a file is another before that was looked for.
        if kind.startswith(("open", "look")):
            del got["reason"]
        assert got == {k: want.get(k) for k in got}, (kind, name, r, want)

    def started(self, r):
        name, kind = self.of_request[r["POSTERN_REQUEST"]]
        want = JOB[name][0] if kind == "job" else \
            request_of(kind, "")[1]["path"]
        assert r["POSTERN_EXEC_PATH"] == want, (name, kind, r)
        user = "nobody" if kind == "job" and name == "b" and IS_ROOT else "root"
        assert not IS_ROOT or r["POSTERN_EXEC_USER"] == user, (name, r)
        assert r.get("POSTERN_EXEC_NAME") == ("job" if kind == "job" else None), r
        self.counts["programs"] += 1
        self.running[r["POSTERN_EXEC_PID"]] = r["POSTERN_REQUEST"]

    def exited(self, r):
        del self.running[r["POSTERN_EXEC_PID"]]
        if "POSTERN_SIGNAL" in r:
            self.counts["programs ended"] += 1
            assert self.keep != "abc" or r["POSTERN_EXEC_PID"] in self.killed, r

    # -- what the clients were told

    def words(self, replies):
        job = {}
        sizes = {}
        for serial, (kind, reply, about) in replies.items():
            r = self.decisions.get(serial)
            if reply is None:
                continue
            if r is None:  # counted, not recorded
                assert kind in POLLS or self.counts["lost"], (serial, kind)
                continue
            error = reply.get("error", {}).get("desc", "")
            refused = "has been disabled" in error
            name = self.policy(r)
            if r["POSTERN_REASON"] == "arguments":
                assert error and not refused, (reply, r)
                continue
            assert refused == (r["POSTERN_DECISION"] == "deny"), (reply, r)
            if refused:
                self.detail(name, r, error)
            elif r["POSTERN_COMMAND"] == "guest-exec" and "return" in reply:
                job[reply["return"]["pid"]] = name if kind == "job" else None
            elif kind == "status" and job.get(about) and reply.get("return", {}).get("exited"):
                self.job_ended(job.pop(about), reply["return"])
            elif kind.startswith("open") and "return" in reply:
                sizes[reply["return"]] = SIZE_MAX[name]
            elif kind == "write" and about[0] in sizes:
                self.wrote(sizes[about[0]], about[1], reply)

    def detail(self, name, r, error):
        rule, ref = r.get("POSTERN_RULE"), r["POSTERN_REQUEST"]
        tail = {"full": f' (rule "{rule}")' if rule else "", "ref": f" (ref {ref})",
                "none": ""}[DETAIL[name]]
        assert error.endswith(tail) and ("(" in error) == bool(tail), (name, error, r)
        self.counts["refusals told"] += 1

    def job_ended(self, name, state):
        # One that was ended for a reload has a signal.
        assert state.get("exitcode") == JOB[name][1] or "signal" in state, (name, state)
        self.counts["jobs collected"] += 1

    def wrote(self, most, size, reply):
        if "return" in reply:
            assert reply["return"]["count"] <= min(size, most), (most, size, reply)
            self.counts["writes"] += 1
        self.counts["writes cut"] += size > most


# ---- what is open, and what runs -------------------------------------------------------

MANY = 64  # files


def open_many(a, c, folder):
    """Handles of MANY files, and pids of some programs that do not end by themselves."""
    handles = []
    for n in range(MANY):
        path = f"{folder}/both/many{n}"
        reply = c.call("guest-file-open", path=path, mode="w+")
        assert "return" in reply, reply
        handles.append(reply["return"])
    return handles, [programs.start(c, "/usr/bin/sleep", "90") for _ in range(5)]


def test_many_are_revoked_at_once():
    """All are gone when the reload is over, and make room for as many."""
    with place("") as (a, folder, texts), a.client() as c:
        handles, pids = open_many(a, c, folder)
        for name in "bab":
            a.write_policy(texts[name])
            assert reloading.reload(a) == {"outcome": "done"}
            # At once: who was ended may not have been reaped yet.
            new, programs_now = open_many(a, c, folder)
            for h in handles:
                reply = c.call("guest-file-read", handle=h)
                assert reply["error"]["desc"] == f"handle '{h}' has not been found", reply
            for pid in pids:
                state = programs.wait(c, pid)
                assert state["signal"] == signal.SIGTERM, state
            handles, pids = new, programs_now
        for h in handles:
            assert c.call("guest-file-close", handle=h) == {"return": {}}
        def closed():
            return collections.Counter(r["POSTERN_RESULT"] for r in a.records()
                                       if r["POSTERN_EVENT"] == "file-close")
        wait_until(lambda: closed() == {"revoked": 3 * MANY, "ok": MANY}, closed)
        found = [r for r in a.records() if r["POSTERN_EVENT"] == "exec-exit"]
        assert [r["POSTERN_SIGNAL"] for r in found] == [signal.SIGTERM] * 15, found
        assert not any(r.get("POSTERN_TIMED_OUT") for r in found), found


def test_many_are_kept():
    """By the policy under which they began, whatever the new one allows."""
    with place("abc") as (a, folder, texts), a.client() as c:
        handles, pids = open_many(a, c, folder)
        for name in "bab":
            a.write_policy(texts[name])
            assert reloading.reload(a) == {"outcome": "done"}
            for n, h in enumerate(handles):
                data = b"%s%d" % (name.encode(), n)
                for command, more in (("seek", {"offset": 0, "whence": "set"}),
                                      ("write", {"buf_b64": base64.b64encode(data).decode()}),
                                      ("flush", {})):
                    assert "return" in c.call("guest-file-" + command, handle=h, **more)
                with open(f"{folder}/both/many{n}", "rb") as f:
                    assert f.read() == data
            # Its size is that of the first, not the 64 KiB that B allows.
            reply = c.call("guest-file-write", handle=handles[0],
                           buf_b64=base64.b64encode(b"x" * 5000).decode())
            assert "error" in reply or reply["return"]["count"] < 5000, reply
            for pid in pids:
                assert programs.look(c, pid) == {"exited": False}
        s = reloading.status(a)
        assert (s["handles"], s["programs"], s["generation"]) == (MANY, 5, 4), s
        for h in handles:
            assert c.call("guest-file-close", handle=h) == {"return": {}}
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            assert programs.wait(c, pid)["signal"] == signal.SIGKILL
        # Nobody may open what only A allowed.
        reply = c.call("guest-file-open", path=f"{folder}/a/there", mode="r")
        assert "has been disabled" in reply["error"]["desc"], reply


# ---- what is under way -----------------------------------------------------------------

POINT = "/run/fuse"


def files_policy(name, path, on_reload="revoke"):
    return programs.policy(f'[rule "{name}"]\neffect = allow\ncommand = @file-read ; @file-write\n'
                           f"path-beneath = {path}\n", on_reload=on_reload)


@contextlib.contextmanager
def opening(kind):
    """(agent, client, server): a file is being opened that is on a file system which does not
    answer requests of KIND."""
    with scratch.namespaces(), fuse.Server(POINT) as server:
        try:
            with programs.agent(files_policy("old", POINT)) as a, a.client() as c:
                server.hold(kind)
                c.send(json.dumps({"execute": "guest-file-open",
                                   "arguments": {"path": server.file}}).encode() + b"\n")
                wait_until(lambda: len(children(a.child("worker"))) == 2, "an op child")
                time.sleep(0.3)
                yield a, c, server
                rest(a)
        except BaseException:
            server.kill()  # or what hangs could not be cleared away
            raise


def reload_with(a, on_reload):
    """By the new policy another place may be opened; the digest of the old one."""
    a.write_policy(files_policy("new", "/elsewhere", on_reload))
    assert reloading.reload(a) == {"outcome": "done"}
    return a.records()[0]["POSTERN_POLICY_SHA256"]


def of_open(a, event):
    return a.wait_record(lambda r: r["POSTERN_EVENT"] == event
                         and r.get("POSTERN_COMMAND") == "guest-file-open")


def assert_decided(a, sha, decision, reason):
    """By the policy with the digest SHA alone."""
    r = of_open(a, "decision")
    assert (r["POSTERN_POLICY_SHA256"], r["POSTERN_DECISION"], r["POSTERN_REASON"]) == \
        (sha, decision, reason), r
    assert r.get("POSTERN_RULE") == ("old" if decision == "allow" else None), r
    assert [x["POSTERN_EVENT"] for x in a.records()].count("decision") == 1, a.records()


def undecided_is_refused():
    with opening("LOOKUP") as (a, c, server):
        sha = reload_with(a, "revoke")
        # At once, whatever the file system does.
        reply = json.loads(c.recv_replies(1)[0])
        assert reply["error"]["class"] == "GenericError", reply
        assert "has been disabled" in reply["error"]["desc"], reply
        assert_decided(a, sha, "deny", "reload")
        assert of_open(a, "complete")["POSTERN_RESULT"] == "refused"
        server.answer()


def decided_fails():
    with opening("OPEN") as (a, c, server):
        sha = reload_with(a, "revoke")
        reply = json.loads(c.recv_replies(1)[0])
        assert reply["error"]["desc"] == "guest-file-open: the policy was replaced", reply
        assert_decided(a, sha, "allow", "rule")
        assert of_open(a, "complete")["POSTERN_RESULT"] == "failed"
        server.answer()


def goes_on(kind):
    with opening(kind) as (a, c, server):
        sha = reload_with(a, "keep")
        c.nothing()
        # What comes later is decided by the new one, though it has to wait for its turn.
        c.send(json.dumps({"execute": "guest-file-open",
                           "arguments": {"path": server.file}}).encode() + b"\n")
        server.answer()
        old, new = (json.loads(line) for line in c.recv_replies(2))
        assert "has been disabled" in new["error"]["desc"], new
        assert_decided_twice(a, sha)
        assert c.call("guest-file-read", handle=old["return"])["return"]["count"] > 0
        assert c.call("guest-file-close", handle=old["return"]) == {"return": {}}


def assert_decided_twice(a, sha):
    def found():
        return [(r["POSTERN_RULE"], r["POSTERN_DECISION"], r["POSTERN_POLICY_SHA256"] == sha)
                for r in a.records() if r["POSTERN_EVENT"] == "decision"
                and r["POSTERN_COMMAND"] == "guest-file-open"]
    wait_until(lambda: found() == [("old", "allow", True), ("new", "deny", False)], found)


UNDER_WAY = [("undecided is refused", undecided_is_refused), ("decided fails", decided_fails),
             ("undecided goes on", lambda: goes_on("LOOKUP")),
             ("decided goes on", lambda: goes_on("OPEN"))]


# ---- a thousand ------------------------------------------------------------------------

@contextlib.contextmanager
def place(keep):
    """(agent, folder, texts of the policies)"""
    folder = tempfile.mkdtemp(prefix="postern-reloads-", dir="/run" if IS_ROOT else None)
    os.chmod(folder, 0o755)
    for name in ("a", "b", "both"):
        os.mkdir(f"{folder}/{name}", 0o755)
        with open(f"{folder}/{name}/there", "w", encoding="ascii") as f:
            f.write(name * 1000)
    texts = {name: text_of(name, folder, keep) for name in POLICIES}
    try:
        with programs.agent(texts["a"], testops=True) as a:
            yield a, folder, texts
    finally:
        subprocess.run(["rm", "-rf", folder], check=False, preexec_fn=guard.harmless)


def files_of(folder, texts):
    """The policies as files of their own, for posternctl."""
    found = {}
    for name, text in texts.items():
        found[name] = os.path.join(folder, name + ".conf")
        with open(found[name], "w", encoding="utf-8") as f:
            f.write(text)
    return found


def logs_of(paths):
    for path in paths:
        with open(path, encoding="utf-8") as f:
            for line in f:
                yield json.loads(line)


def assert_counted(a):
    """There is room to count equal reads: only the first of three is on record."""
    with a.client() as c:
        for _ in range(4):
            assert "return" in c.call("guest-get-osinfo")
    rest(a)
    seen = [r for r in a.records()[-12:] if r.get("POSTERN_COMMAND") == "guest-get-osinfo"
            and r["POSTERN_EVENT"] == "decision" and "POSTERN_REPEAT" not in r]
    assert len(seen) <= 1, seen


def under_load(a, folder, d, reloads, log, keep, seed):
    load = Load(a, folder, log, keep, seed)
    try:
        end = d.asked + reloads
        while d.asked < end:
            d.one()
            if VARIANT != "release":
                time.sleep(0.02)
        d.to("a")
    except BaseException:
        os.kill(load.pid, signal.SIGKILL)
        raise
    load.stop()


def thousand(keep):
    print(f"# seed {SEED}")
    with place(keep) as (a, folder, texts):
        d = Driver(a, texts, SEED)
        logs = [os.path.join(a.dir, f"load{n}") for n in range(2)]
        explained = Explained(a, files_of(folder, texts), folder)
        d.to("a")  # their digests are known from here on
        for name in "bca":
            d.to(name)
        killed = set()
        under_load(a, folder, d, FIRST, logs[0], keep, SEED)
        tidy(a, killed)
        rest(a)
        crew = crew_of(a)
        # Nobody else may look into them.
        before = {role: held(pid) for role, pid in crew.items()} if IS_ROOT else {}
        memory = {role: rss_kib(pid) for role, pid in crew.items()} if IS_ROOT else {}
        began = time.monotonic()
        under_load(a, folder, d, RELOADS, logs[1], keep, SEED + 1)
        print(f"# {d.asked} reloads, {d.done} done, {time.monotonic() - began:.1f} s, "
              f"{dict(d.told)}")
        tidy(a, killed)
        rest(a)
        assert crew_of(a) == crew, "somebody was replaced"
        for role, was in before.items():
            wait_until(lambda: held(crew[role]) == was,
                       lambda: f"{role} to hold {was}, not {held(crew[role])}", 5)
        if memory and VARIANT == "release":
            grown = {role: rss_kib(pid) - memory[role] for role, pid in crew.items()}
            print(f"# KiB more than before: {grown}")
            assert max(grown.values()) <= 1024, grown
        d.to("b")  # what is counted of equal reads is told, and forgotten
        d.to("a")
        assert_counted(a)
        s = reloading.status(a)
        assert s["generation"] == 1 + d.done, (s, d.done)
        assert s["digest"] == d.sha["a"], s
        ends = [r for r in a.records() if r["POSTERN_EVENT"] in reloading.ENDS]
        assert len(ends) == len(d.settled()), "a reload that nobody asked for"
        assert len(ends) <= d.asked
        for word in ("internal", "violation"):
            assert word not in a.stderr(), a.stderr()
        found = list(logs_of(logs))
        a.stop()
        judge = Judge(a.trail, d.sha, explained, keep, killed)
        judge.run(found)
        print(f"# {dict(judge.counts)}")
        for what in ("programs", "refusals told", "jobs collected", "writes"):
            assert judge.counts[what] > 10, judge.counts
        if keep == "abc":
            assert not judge.counts["close revoked"], judge.counts


def test_a_thousand_that_revoke():
    thousand("")


def test_a_thousand_that_keep():
    thousand("abc")


def test_some_that_keep_and_some_that_revoke():
    thousand("ac")


tap.run(UNDER_WAY + tap.tests(globals()), limit=200)
