#!/usr/bin/python3
"""Records in a real journal: every field of every event, the catalogue, what is never there;
and a journal that does not read, is full, is gone and comes back, or stands on a file system
that is frozen."""
# run: limit 240
# pylint: disable=missing-function-docstring
import base64
import contextlib
import json
import os
import re
import signal
import subprocess
import time

import freezing
import frost
import guard
import scratch
import tap
from agent import Agent, helper, wait_until
from journald import Journald
from memory import Needles, random_text
from programs import agent as agent_with
from syscalls import Counted

CATALOGUE = "systemd/postern.catalog"
HOSTILE = b"one\nPOSTERN_DECISION=allow\nfor\x1b[31m \\ \xff \xc3\xa4 \xe2\x80\xae."
ESCAPED = "one\\x0aPOSTERN_DECISION=allow\\x0afor\\x1b[31m \\x5c \\xff \u00e4 \\xe2\\x80\\xae."


@contextlib.contextmanager
def journal(**how):
    with scratch.namespaces(), Journald(**how) as j:
        yield j


def to_journal(profile="legacy", **how):
    """An agent whose records go to the journal."""
    return Agent(profile=profile, audit=False, args=["--audit", "journal", *how.pop("args", [])],
                 **how)


def by_policy(text, **how):
    return agent_with(text, audit=False, args=["--audit", "journal"], **how)


def ordered(records):
    """Of one worker; asserts that what lacks was counted."""
    numbers = [int(r["POSTERN_SEQ"]) for r in records]
    assert numbers == sorted(set(numbers)), numbers
    assert len({r["POSTERN_INSTANCE"] for r in records}) == 1
    dropped = sum(int(r.get("POSTERN_DROPPED", 0)) for r in records)
    assert len(records) + dropped == numbers[-1], (len(records), dropped, numbers[0], numbers[-1])
    return records


# ---- what is in an entry --------------------------------------------------------------------

def write_all(size=0):
    got = subprocess.run([helper("integration/records"), str(size)], check=True,
                         stdout=subprocess.PIPE, preexec_fn=guard.harmless)
    return json.loads(got.stdout)


def expected(index, field, kinds, text):
    """What the helper put into the field of that index, as the journal has it."""
    kind = {number: name for name, number in kinds.items()}[field["kind"]]
    if kind == "STR":
        return '["\\u001b \\\\"]' if field["json"] else text
    return {"INT": str(-index), "U64": str(index), "BOOL": str(bool(index % 2)).lower()}[kind]


COMMON = {"MESSAGE", "MESSAGE_ID", "PRIORITY", "POSTERN_TIME_USEC", "POSTERN_EVENT",
          "POSTERN_SEQ", "POSTERN_BOOT_ID", "POSTERN_INSTANCE", "POSTERN_DROPPED"}


def check_all(size, text):
    with journal() as j:
        told = write_all(size)
        found = ordered(j.records())
    assert [r["POSTERN_EVENT"] for r in found] == list(told["events"]), found
    for r in found:
        assert r["MESSAGE_ID"] == told["events"][r["POSTERN_EVENT"]]
        assert r["MESSAGE"] == ESCAPED, r["MESSAGE"]
        for index, field in enumerate(told["fields"]):
            if field["name"] in COMMON:
                continue
            want = expected(index, field, told["kinds"], text)
            assert r[field["name"]] == want, (field["name"], r[field["name"]], want)
        ours = {name for name in r if name.startswith("POSTERN_")}
        assert ours <= {field["name"] for field in told["fields"]}, ours


def test_every_field_of_every_event():
    check_all(0, ESCAPED)


def test_large_entries():
    """They travel in a memfd."""
    check_all(450, "x" * 450)


def test_every_event_has_its_text():
    with journal() as j:
        j.catalog(CATALOGUE)
        told = write_all()
        for name, number in told["events"].items():
            text = j.explain(f"MESSAGE_ID={number}")
            assert "Defined-By: Postern" in text, (name, text)
            assert text.count("\u2591\u2591 ") > 5, (name, text)


def test_an_agent_in_the_journal():
    with journal() as j:
        with to_journal() as a, a.client() as c:
            c.call("guest-get-host-name")
            c.call("guest-file-open", path="/etc/hostname")
            c.send(b"{,}\n")
            c.recv_replies(1)
            worker = a.child("worker")
        found = ordered(j.records())
        events = [r["POSTERN_EVENT"] for r in found]
        assert {r["_PID"] for r in found} == {str(worker)}
        assert {r["_UID"] for r in found} == {"0"}
    assert events[:2] == ["start", "policy-load"] and events[-1] == "stop", events
    assert {"connect", "disconnect", "decision", "complete", "file-open", "file-close",
            "protocol-error"} <= set(events), events
    assert {r["POSTERN_CHANNEL"] for r in found if "POSTERN_SESSION" in r} \
        == {f"unix-listen:{a.path}"}, found
    assert found[0]["POSTERN_POLICY_BASE"] == "legacy"
    assert "spawner" in found[0]["POSTERN_PRIVILEGES"].split(), found[0]


def test_a_policy_that_is_refused():
    with journal() as j:
        with by_policy("[policy]\nbase = nonsense\n") as a, a.client() as c:
            assert "error" in c.call("guest-get-host-name")
        found = ordered(j.records())
    assert [r["POSTERN_EVENT"] for r in found[:3]] == ["start", "policy-refused", "locked-down"]
    assert "nonsense" in found[1]["POSTERN_DETAIL"], found[1]
    refused = [r for r in found if r.get("POSTERN_COMMAND") == "guest-get-host-name"]
    assert [r["POSTERN_REASON"] for r in refused] == ["locked-down", "locked-down"], refused


# ---- what is never there --------------------------------------------------------------------

def secrets():
    """(request, seed) for every secret of the table: the test fails where one is not here."""
    seeds = {name: random_text(60) for name in
             ("password", "keys", "input-data", "env", "buf-b64")}
    coded = {name: base64.b64encode(seed).decode() for name, seed in seeds.items()}
    return seeds, [
        ("guest-set-user-password", {"username": "nobody-such", "crypted": False,
                                     "password": coded["password"]}),
        ("guest-ssh-add-authorized-keys", {"username": "nobody-such",
                                           "keys": ["ssh-rsa " + coded["keys"]]}),
        ("guest-ssh-remove-authorized-keys", {"username": "nobody-such",
                                              "keys": ["ssh-rsa " + coded["keys"]]}),
        ("guest-exec", {"path": "/bin/true", "input-data": coded["input-data"],
                        "env": ["SEED=" + coded["env"]]}),
        ("guest-file-write", {"handle": 1000, "buf-b64": coded["buf-b64"]}),
    ]


def table_secrets():
    return {(op["name"], f["name"]) for op in freezing.TABLE["ops"] for f in op["args"]
            if not f["public"] and op["carrier"] not in ("BY_NOBODY", "BY_FRONTEND")
            and op["name"].startswith("guest-")}


def test_no_secret_is_in_the_raw_journal():
    seeds, requests = secrets()
    asked = {(name, f) for name, args in requests for f in args}
    assert table_secrets() <= asked, table_secrets() - asked
    needles = Needles()
    for seed in seeds.values():
        needles.add(seed)
        needles.add(base64.b64encode(seed))
    with journal() as j:
        for profile in ("legacy", "none"):
            with to_journal(profile=profile) as a, a.client() as c:
                c.call("guest-file-open", path="/dev/null", mode="w")
                for name, args in requests:
                    c.call(name, **args)
                    # Wrong in another field: the whole is not shown either.
                    c.call(name, **{**args, "nonsense": 1})
                log = a.stderr().encode()
        raw = j.raw()
        names = {r.get("POSTERN_COMMAND") for r in j.records()}
    assert {name for name, _ in requests} <= names, names
    assert b"POSTERN_COMMAND=guest-set-user-password" in raw
    assert not needles.found(raw) and not needles.found(log)


def test_a_process_that_is_started_again():
    with journal() as j:
        with to_journal() as a:
            os.kill(a.child("inspector"), signal.SIGKILL)
            wait_until(lambda: a.child("inspector"), "another inspector")
            with a.client() as c:
                c.call("guest-get-osinfo")
        found = ordered(j.records())
    assert "child-restart" in [r["POSTERN_EVENT"] for r in found], found


# ---- a journal that does not take them ---------------------------------------------------------

def requests_without_waiting(a, c, count, retries=False):
    """Answers COUNT requests; asserts that the worker waits for nothing but its loop. With
    RETRIES, so long that it tries again what it could not send before they began."""
    worker = a.child("worker")
    with Counted([worker]) as calls:
        for n in range(count):
            c.call("guest-file-seek", handle=1000, offset=n, whence=0)
            assert "return" in c.call("guest-get-host-name")
        if retries:
            time.sleep(1.2)
    sent = [line for line in calls.lines
            if re.match(r"send(msg|to)\(", line) and "unfinished" not in line]
    assert sent, calls.lines[:20]
    blocking = [line for line in sent if "MSG_DONTWAIT" not in line]
    assert not blocking, blocking[:5]
    waits = [line for line in calls.lines
             if re.match(r"(poll|ppoll|select|pselect6|nanosleep|clock_nanosleep)\(", line)]
    assert not waits, waits[:5]
    return calls


def test_a_journal_that_does_not_read():
    with journal(qlen=20) as j, to_journal() as a, a.client() as c:
        c.call("guest-get-host-name")
        j.stop_reading()
        calls = requests_without_waiting(a, c, 60)
        assert any("EAGAIN" in line for line in calls.lines if line.startswith("sendmsg"))
        j.go_on()
        c.call("guest-get-time")
        found = wait_until(lambda: [r for r in j.records()
                                    if r.get("POSTERN_COMMAND") == "guest-get-time"],
                           "what came after")
        found = ordered(j.records())
    seeks = [r for r in found if r.get("POSTERN_COMMAND") == "guest-file-seek"]
    assert len(seeks) == 120, len(seeks)  # none was dropped: they have room
    assert not any("POSTERN_DROPPED" in r for r in found)


def test_a_journal_that_is_gone_and_back():
    with journal() as j, to_journal() as a, a.client() as c:
        c.call("guest-get-host-name")
        # What it has not read when it ends is gone with its socket.
        wait_until(lambda: [r for r in j.records()
                            if r.get("POSTERN_COMMAND") == "guest-get-host-name"
                            and r["POSTERN_EVENT"] == "complete"], "what came before")
        j.end()
        calls = requests_without_waiting(a, c, 20, retries=True)
        assert any("ECONNREFUSED" in line or "ENOENT" in line for line in calls.lines)
        j.start()
        wait_until(lambda: [r for r in j.records()
                            if r.get("POSTERN_COMMAND") == "guest-file-seek"],
                   "what was held")
        found = ordered([r for r in j.records()])
    assert len([r for r in found if r.get("POSTERN_COMMAND") == "guest-file-seek"]) >= 40, found


REQUIRED = ("[policy]\nbase = legacy\n[audit]\nrequired = yes\n")
FILE = "/run/test-journal-file"  # a directory that goes with the namespace


def open_file(c):
    return c.call("guest-file-open", path=FILE, mode="w")


def is_refused(reply):
    return "it cannot be recorded at present" in reply.get("error", {}).get("desc", "")


def test_required():
    """Changes are refused as long as their record is not taken; reads and thaw are not."""
    with journal() as j, by_policy(REQUIRED) as a, a.client() as c:
        assert "return" in open_file(c)
        for away, back in ((j.stop_reading, j.go_on), (j.end, j.start)):
            away()
            replies = [open_file(c) for _ in range(20 if away == j.stop_reading else 3)]
            assert is_refused(replies[-1]), replies[-1]
            assert "return" in c.call("guest-get-host-name")
            assert "return" in c.call("guest-fsfreeze-status")
            assert not is_refused(c.call("guest-fsfreeze-thaw")), "thaw is never refused"
            back()
            wait_until(lambda: "return" in open_file(c), "the journal to be taken up again")
        found = j.records()
    refused = [r for r in found if r.get("POSTERN_REASON") == "audit-unavailable"
               and r["POSTERN_EVENT"] == "decision"]
    assert refused and {r["POSTERN_DECISION"] for r in refused} == {"deny"}, found
    opened = [r for r in found if r["POSTERN_EVENT"] == "file-open"]
    allowed = [r for r in found if r.get("POSTERN_COMMAND") == "guest-file-open"
               and r.get("POSTERN_DECISION") == "allow"]
    assert len(opened) == len(allowed), (len(opened), len(allowed))


# ---- the file system of the journal is frozen ---------------------------------------------------

def ten_thousand(c, requests):
    """10,000 requests in pieces; their replies."""
    lines = [json.dumps({"execute": name, "arguments": args}).encode() + b"\n"
             for name, args in requests]
    replies = []
    for start in range(0, len(lines), 200):
        piece = lines[start:start + 200]
        c.send(b"".join(piece))
        replies += c.recv_replies(len(piece), 60)
    return [json.loads(r) for r in replies]


def roomy(s):
    """A journal drops what a small disk has no room for."""
    image = scratch.image(s.top, "log.img", 128 << 20)
    scratch.mkfs("ext4", image)
    return s.disk("log", image=image)


def mixed(count):
    """Changes, reads that differ, refusals."""
    kinds = [lambda n: ("test-act", {"ms": n % 3}),
             lambda n: ("guest-file-seek", {"handle": n, "offset": n, "whence": 0}),
             lambda n: ("guest-get-host-name", {}),
             lambda n: ("guest-set-user-password", {"username": f"u{n}", "password": "",
                                                    "crypted": False})]
    return [kinds[n % 4](n) for n in range(count)]


MIXED = ("[policy]\nbase = legacy\n[rule \"no-passwords\"]\neffect = deny\n"
         "command = @password\n")


def test_a_frozen_journal_and_ten_thousand_requests():
    """Frozen by somebody else, so that requests are carried out."""
    with frost.stage() as s:
        disk = roomy(s)
        with Journald(where=disk.point) as j:
            with by_policy(MIXED, testops=True) as a, a.client() as c:
                c.call("guest-get-host-name")
                wait_until(j.records, "the first record")
                disk.freeze()
                try:
                    asked = mixed(10000)
                    replies = ten_thousand(c, asked)
                finally:
                    disk.thaw()
                c.call("guest-get-time")
                wait_until(lambda: j.records("POSTERN_COMMAND=guest-get-time"),
                           "what came after the thaw", 60)
            # What the last of them pushed out is told by the next: that of the end.
            found = ordered(j.records())
    done = [r for (name, _), r in zip(asked, replies) if name == "test-act" and "return" in r]
    refused = [r for (name, _), r in zip(asked, replies) if name == "test-act" and is_refused(r)]
    assert len(done) + len(refused) == 2500 and done and refused, (len(done), len(refused))
    acts = [r for r in found if r.get("POSTERN_COMMAND") == "test-act"]
    allowed = [r["POSTERN_REQUEST"] for r in acts if r.get("POSTERN_DECISION") == "allow"]
    ended = [r["POSTERN_REQUEST"] for r in acts if r["POSTERN_EVENT"] == "complete"
             and r["POSTERN_RESULT"] == "ok"]
    assert len(allowed) == len(done) and set(ended) == set(allowed), (len(allowed), len(ended))
    assert sum(int(r.get("POSTERN_DROPPED", 0)) for r in found), "nothing was dropped"
    times = [int(r["POSTERN_TIME_USEC"]) for r in found]
    assert times == sorted(times), "times are those of the events"


def test_frozen_by_the_agent():
    with frost.stage() as s:
        disk = roomy(s)
        with Journald(where=disk.point) as j:
            with s.agent(args=["--audit", "journal"], audit=False) as a, a.client() as c:
                calls = frost.Calls(c)
                assert calls.freeze(disk.point) == 1
                replies = ten_thousand(c, mixed(10000))
                assert all("error" in r for r in replies)
                assert calls.status() == "frozen"
                assert calls.thaw() == 1
            found = ordered(j.records())
    names = [r["POSTERN_EVENT"] for r in found]
    assert names.index("freeze") < names.index("thaw"), names
    frozen = [r for r in found if r.get("POSTERN_REASON") == "frozen"
              and r["POSTERN_EVENT"] == "decision"]
    told = {}
    for r in frozen:
        told[r["POSTERN_COMMAND"]] = (told.get(r["POSTERN_COMMAND"], 0)
                                      + int(r.get("POSTERN_REPEAT", 1)))
    assert sum(told.values()) == 10000 and set(told.values()) == {2500}, told
    assert not any("POSTERN_DROPPED" in r for r in found)
    times = [int(r["POSTERN_TIME_USEC"]) for r in found]
    assert times == sorted(times)


# ---- where records go unless somebody says ---------------------------------------------------

def test_the_default_is_the_journal():
    with journal() as j:
        with Agent(audit=False) as a:
            assert "POSTERN_" not in a.stderr()
        assert [r["POSTERN_EVENT"] for r in j.records()][-1] == "stop"
    with scratch.namespaces(), Agent(audit=False) as a:
        wait_until(lambda: "POSTERN_EVENT" in a.stderr(), "records on standard error")


tap.run(tap.tests(globals()), limit=120)
