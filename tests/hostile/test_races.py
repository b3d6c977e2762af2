#!/usr/bin/python3
# run: limit 120
"""What a request or the administrator names by a path is changed while the agent works on it: a
program, a mount point, the policy. Files have test_file_races.py, keys test_key_races.py. And a
number that names one program after the other."""
# pylint: disable=missing-function-docstring
import contextlib
import os
import shutil
import struct
import threading

import frost
import programs
import reloading
import scratch
import tap
from agent import VARIANT, free_uids
from hostile import ERROR, OPS, REPLY, REQUEST, Worker, frame, request, request_head, text
from races import Flip

TRIES = 200 if VARIANT == "release" else 50
ENDED = 10
EXEC, STATUS = OPS["guest-exec"], OPS["guest-exec-status"]


# ---- programs ---------------------------------------------------------------------------

def test_a_program_that_a_user_changes_meanwhile():
    """Who can swap it, or a folder on its way, could do so between the look and the start: so
    what he could change is not run at all, whatever it is at the moment."""
    user = free_uids(1)[0]
    with programs.Folder() as d:
        os.mkdir(f"{d.path}/open")
        os.chmod(f"{d.path}/open", 0o777)
        good = d.script("good", "echo good")
        for name, target in (("link", good), ("other", "bad")):
            os.symlink(target, f"{d.path}/open/{name}")
            os.mkdir(f"{d.path}/open/{name}s")
            shutil.copy(good, f"{d.path}/open/{name}s/program")
        with open(f"{d.path}/open/bad", "w", encoding="ascii") as f:
            f.write(f"#!/bin/sh\n: > {d.path}/ran\n")
        os.chmod(f.name, 0o755)
        steps = [("swap", f"{d.path}/open/link{s}", f"{d.path}/open/other{s}") for s in ("", "s")]
        with programs.agent(programs.policy(programs.rule())) as a, a.client() as c:
            with Flip(*steps, uid=user) as flip:
                for n in range(TRIES):
                    programs.refused(c, f"{d.path}/open/" + ("link", "links/program")[n % 2])
            assert flip.rounds > 1
            assert programs.run(c, good, capture_output=True)["out-data"] == b"good\n"
            assert not os.path.exists(f"{d.path}/ran")


PID = struct.pack("<q", 77)


class Numbers:
    """A worker whose spawner gives every program the same number."""

    def __init__(self, w):
        self.peer, self.spawner, self.number = w.frontend(), w.spawner(), 0

    def ask(self, op, args):
        """The question that the spawner gets."""
        self.number += 1
        self.peer.send(request(op, self.number, request_head() + args))
        q = self.spawner.recv()
        assert (q.type, q.op) == (REQUEST, op["number"]), vars(q)
        return q

    def start(self):
        q = self.ask(EXEC, text("/bin/true") + bytes(4))
        self.spawner.send(frame(REPLY, q.op, q.request, body=PID + b"\0"))
        assert self.peer.reply(self.number).body == PID

    def runs(self):
        """The spawner is not asked: the worker would know of an end."""
        self.number += 1
        self.peer.send(request(STATUS, self.number, request_head() + PID))
        assert self.peer.reply(self.number).body == bytes(7)

    def look(self):
        q = self.ask(STATUS, PID)
        self.spawner.send(frame(REPLY, q.op, q.request, flags=ERROR, body=b"\1not now"))
        assert b"not now" in self.peer.reply(self.number).body

    def ended(self):
        self.spawner.send(frame(ENDED, body=PID + b"\1" + struct.pack("<q", 5)
                                + b"\0\0" + struct.pack("<Q", 0) + b"\0"))


def test_a_number_that_names_one_program_after_the_other():
    """Its first program has ended; nothing of that touches the second."""
    with Worker(policy=programs.policy(programs.rule())) as w:
        n = Numbers(w)
        for known in (1, 2, 3):
            n.start()
            n.runs()
            n.ended()
            n.ended()  # once more
            w.wait_records("exec-exit", known)
            n.look()
        starts, exits = w.records("exec-start"), w.wait_records("exec-exit", 3)
        assert [r["POSTERN_REQUEST"] for r in exits] == [r["POSTERN_REQUEST"] for r in starts]


# ---- mount points -----------------------------------------------------------------------

def test_mount_points_that_come_and_go():
    """Another file system is mounted over the one that is named, and goes again: what was
    frozen is what is thawed, and nothing else."""
    with frost.stage() as s:
        disk, other = s.disk("a"), s.disk("b")
        with s.agent() as a, a.client() as client:
            c = frost.Calls(client)
            with Flip(("bind", other.point, disk.point), ("detach", disk.point)) as flip:
                for _ in range(TRIES // 8):
                    for call in ("guest-fsfreeze-freeze-list", "guest-fstrim"):
                        reply = client.call(call, **({"mountpoints": [disk.point]}
                                                     if "freeze" in call else {}))
                        assert len(reply) == 1, reply
                    assert c.status() in ("frozen", "thawed")
                    c("guest-fsfreeze-thaw")
                    assert c.status() == "thawed"
                    assert not s.frozen(), s.frozen()
            assert flip.rounds
            with contextlib.suppress(OSError):
                while True:
                    scratch.unmount(disk.point)
            assert not disk.is_frozen() and not other.is_frozen()


# ---- the policy -------------------------------------------------------------------------

def words(name, count):
    """A policy whose last word is as far from the first as may be."""
    rules = "".join(programs.rule(f"{name}{n}", path=f"/usr/bin/{name}{n}") for n in range(count))
    return programs.policy(rules, rule_for(name), base="none")


def rule_for(name):
    return f'[rule "last-{name}"]\neffect = allow\ncommand = guest-get-host-name\n'


def digest(a):
    return reloading.status(a)["digest"]


@contextlib.contextmanager
def two(first, second):
    """An agent under FIRST; its file, the digests of both, and SECOND in the file beside it."""
    with programs.agent(second) as a:
        there = digest(a)
    with programs.agent(first) as a:
        beside = os.path.join(a.policy_root, "etc/postern/.beside")
        with open(beside, "w", encoding="utf-8") as f:
            f.write(second)
        os.chmod(beside, 0o644)
        yield a, os.path.join(a.policy_root, "etc/postern/policy.conf"), beside, {
            digest(a), there}


def reloads(a, whole):
    """Many; one of the policies in WHOLE is in force after each. How they ended."""
    ends = set()
    for _ in range(TRIES // 4):
        ends.add(a.ctl_json("reload")["outcome"])
        assert digest(a) in whole
    print("#", ends)
    return ends


def test_a_policy_that_changes_places_with_another():
    with two(words("first", 30), words("second", 40)) as (a, path, beside, whole):
        with Flip(("swap", path, beside)):
            assert reloads(a, whole) == {"done", "unchanged"}


def test_a_policy_that_is_a_link_now_and_then():
    """A link is no policy: what is in force stays."""
    with two(words("first", 30), words("second", 40)) as (a, path, beside, whole):
        link = beside + "-link"
        os.symlink(beside, link)
        with Flip(("swap", path, link)):
            assert "mistakes" in reloads(a, whole)


def test_a_policy_that_is_written_as_it_is_read():
    """It is cut and grows under who reads it: that is no policy, and what is in force stays."""
    done = threading.Event()

    def rewrite(path):
        with open(path, "rb+", buffering=0) as f:
            size = os.path.getsize(path)
            while not done.is_set():
                os.ftruncate(f.fileno(), size - 1)
                os.pwrite(f.fileno(), b"\n", size - 1)  # as it was

    with two(words("first", 30), words("second", 40)) as (a, path, _, whole):
        thread = threading.Thread(target=rewrite, args=(path,))
        thread.start()
        try:
            ends = reloads(a, whole)
        finally:
            done.set()
            thread.join()
        assert ends == {"unchanged", "mistakes"}, ends
        told = [r["POSTERN_DETAIL"] for r in a.records() if r["POSTERN_EVENT"] == "policy-refused"]
        assert all("changed while it was read" in t for t in told), told


tap.run(tap.tests(globals()), limit=60)
