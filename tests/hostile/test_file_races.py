#!/usr/bin/python3
# run: limit 600
"""What stands under a path is changed while the agent looks for it, opens it and works on
it (A4 of the design): by a link, a rename, a hard link, a mount. What was decided on is
what is acted on: nothing outside the rule is ever read, made, cut or changed.

Each test is one way of changing it, done in a tight loop by tests/hostile/flip.c while a
client opens the path in every mode. The rule allows what lies below IN, and OUT is
outside. OUT is watched (inotify): a single open, read, write or new name there, be it
undone at once, is a failure; and so is a byte of it in a reply. Each test asserts that
its race took place: that opens met the inside, and that opens were refused.

It all happens on a tmpfs in a mount namespace of the test, in which the agent runs too.
"""
# pylint: disable=missing-function-docstring
import base64
import contextlib
import itertools
import json
import os
import shutil
import tempfile
import time

import guard
import scratch
import tap
from agent import PATIENCE, Agent, children, status, stopped
from races import Flip, Watch, tree, write

# All tests together try this often where it counts; elsewhere the ways are just gone.
TRIES = 100000 if os.environ.get("POSTERN_ONCE") else 4000
BATCH = 32  # requests that are sent without waiting for a reply

# /run is a new file system of the test, and root's all the way.
IN, OUT = "/run/in", "/run/out"
INSIDE, SECRET = b"inside\n", b"secret\n"
SECRET_FILE = f"{OUT}/f"

READ = ["r"]
CHANGE = ["r+", "w", "a", "w+", "a+"]
ALL = READ * 3 + CHANGE


# ---- the place ----------------------------------------------------------------------

@contextlib.contextmanager
def place():
    """A new IN and OUT; every directory on the way is root's."""
    with scratch.namespaces():
        os.makedirs(IN)
        os.makedirs(OUT)
        write(SECRET_FILE, SECRET)
        yield


# ---- the client ---------------------------------------------------------------------

def policy(links):
    return f"""[policy]
base = none

[rule "inside"]
effect = allow
command = @file-read ; @file-write
path-beneath = {IN}
open-mode = read ; create ; replace ; append ; update
follow-symlinks = {links}
"""


class Opener:
    """An agent with that policy, and a client that opens PATHS in MODES."""

    def __init__(self, links):
        self.root = tempfile.mkdtemp(prefix="postern-policy-")
        os.chmod(self.root, 0o755)
        os.makedirs(f"{self.root}/etc/postern", 0o755)
        write(f"{self.root}/etc/postern/policy.conf", policy(links).encode())
        self.met = self.refused = self.missed = 0

    def __enter__(self):
        self.agent = Agent(profile=None, args=["--policy-root", self.root])
        self.agent.__enter__()
        self.client = self.agent.client()
        return self

    def __exit__(self, *trouble):
        self.client.close()
        try:
            self.agent.__exit__(*trouble)
        finally:
            shutil.rmtree(self.root)

    def send(self, requests):
        self.client.send(b"".join(json.dumps({"execute": f"guest-file-{name}",
                                              "arguments": arguments}).encode() + b"\n"
                                  for name, arguments in requests))

    def replies(self, count):
        return [json.loads(line) for line in self.client.recv_replies(count)]

    def _ask(self, requests):
        self.send(requests)
        return self.replies(len(requests))

    def forget(self, path):
        """Of an open that was sent: as if it had not been, nor made a file at PATH."""
        reply = self.replies(1)[0]
        if "return" in reply:
            self._ask([("close", {"handle": reply["return"]})])
        with contextlib.suppress(FileNotFoundError):
            if not os.path.getsize(path):
                os.unlink(path)

    def use(self, handles):
        """Read where that can be, write where that can be, close. Writing keeps content
        what it was, so that whoever reads it next can tell inside from outside."""
        requests = []
        for handle, mode in handles:
            if mode != "w" and mode != "a":
                requests.append(("read", {"handle": handle}))
            if mode != "r":
                requests.append(("write", {"handle": handle, "buf-b64":
                                           base64.b64encode(INSIDE).decode()}))
            requests.append(("close", {"handle": handle}))
        for (name, _), reply in zip(requests, self._ask(requests)):
            assert "return" in reply, (name, reply)
            if name == "read":
                content = base64.b64decode(reply["return"]["buf-b64"])
                assert not content.replace(INSIDE, b""), content[:200]

    def attempts(self, count, tries):
        """COUNT times the next of TRIES, which are (path, mode)."""
        tries = itertools.cycle(tries)
        for done in range(0, count, BATCH):
            batch = [next(tries) for _ in range(min(BATCH, count - done))]
            handles = []
            for (_, mode), reply in zip(batch, self._ask(
                    [("open", {"path": p, "mode": m}) for p, m in batch])):
                if "return" in reply:
                    handles.append((reply["return"], mode))
                    self.met += 1
                elif "not allowed" in reply["error"]["desc"]:
                    self.refused += 1
                else:
                    self.missed += 1
            if handles:
                self.use(handles)


def race(share, links, tries, *steps, watch=()):
    """SHARE (of 100) of all tries at TRIES while STEPS go on: OUT is not touched, nor is
    what else WATCH names."""
    count = TRIES * share // 100
    before = tree(OUT)
    with Opener(links) as o:
        seen = Watch(OUT, SECRET_FILE, *watch)
        with Flip(*steps) as flip:
            o.attempts(count, tries)
        done = seen.seen()
        seen.close()
        print(f"# {count} tries: {o.met} met the inside, {o.refused} were refused, "
              f"{o.missed} found nothing; {flip.rounds} rounds of changes")
        assert not done, done[:20]
        assert tree(OUT) == before
        assert min(o.met, o.refused) > count // 200, "there was no race"
        assert flip.rounds > count // 10, flip.rounds


def both(paths, modes):
    return list(itertools.product(paths, modes))


# ---- links --------------------------------------------------------------------------

def test_a_symbolic_link_to_a_file():
    with place():
        write(f"{IN}/good", INSIDE)
        race(15, "yes", both([f"{IN}/f"], ALL),
             ("symlink", f"{IN}/good", f"{IN}/t"), ("rename", f"{IN}/t", f"{IN}/f"),
             ("symlink", SECRET_FILE, f"{IN}/t"), ("rename", f"{IN}/t", f"{IN}/f"))


def test_a_symbolic_link_to_a_directory():
    with place():
        os.mkdir(f"{IN}/sub")
        write(f"{IN}/sub/f", INSIDE)
        race(15, "yes", both([f"{IN}/d/f"], ALL) + both([f"{IN}/d/new"], CHANGE),
             ("symlink", "sub", f"{IN}/t"), ("rename", f"{IN}/t", f"{IN}/d"),
             ("symlink", "../out", f"{IN}/t"), ("rename", f"{IN}/t", f"{IN}/d"),
             ("unlink", f"{IN}/sub/new"))


def test_a_symbolic_link_where_a_file_is_to_be_made():
    with place():
        race(12, "yes", both([f"{IN}/new"], CHANGE),
             ("unlink", f"{IN}/new"), ("symlink", f"{OUT}/new", f"{IN}/new"),
             ("unlink", f"{IN}/new"), ("symlink", f"{SECRET_FILE}", f"{IN}/new"),
             ("unlink", f"{IN}/new"), ("make", f"{IN}/new", INSIDE.decode()))


def test_no_link_is_followed_where_the_rule_says_so():
    """Not even to what may be opened by its own name."""
    with place():
        write(f"{IN}/other", INSIDE)
        write(f"{IN}/good", INSIDE)
        os.symlink("other", f"{IN}/f")
        race(8, "no", both([f"{IN}/f"], ALL), ("swap", f"{IN}/f", f"{IN}/good"),
             watch=[f"{IN}/other"])


def test_a_hard_link():
    """In a directory that others may write; so a second name there is nobody's word."""
    with place():
        os.chmod(IN, 0o1777)
        race(14, "root-owned", both([f"{IN}/f"], ALL),
             ("unlink", f"{IN}/f"), ("make", f"{IN}/f", INSIDE.decode()),
             ("make", f"{IN}/g", INSIDE.decode()),
             ("link", SECRET_FILE, f"{IN}/t"), ("rename", f"{IN}/t", f"{IN}/f"),
             ("rename", f"{IN}/g", f"{IN}/f"),
             ("unlink", f"{IN}/f"), ("link", SECRET_FILE, f"{IN}/f"))


# ---- renames ------------------------------------------------------------------------

def test_a_file_that_changes_places_with_a_link():
    with place():
        write(f"{IN}/f", INSIDE)
        os.symlink(SECRET_FILE, f"{IN}/bad")
        race(10, "yes", both([f"{IN}/f"], ALL), ("swap", f"{IN}/f", f"{IN}/bad"))


def test_a_directory_that_changes_places_with_a_link():
    with place():
        os.mkdir(f"{IN}/d")
        write(f"{IN}/d/f", INSIDE)
        os.symlink(OUT, f"{IN}/bad")
        race(10, "yes", both([f"{IN}/d/f"], ALL) + both([f"{IN}/d/new"], CHANGE),
             ("swap", f"{IN}/d", f"{IN}/bad"), ("unlink", f"{IN}/d/new"))


def test_a_directory_that_leaves_while_the_path_goes_up_from_it():
    """IN/d/../f is IN/f, or, once d has moved away, OUT/f. It stays in d for a while."""
    with place():
        os.makedirs(f"{IN}/d/e")
        write(f"{IN}/f", INSIDE)
        path = f"{IN}/d/" + "e/../" * 20 + ".."
        race(8, "yes", both([f"{path}/f"], ALL) + both([f"{path}/new"], CHANGE),
             ("rename", f"{IN}/d", f"{OUT}/d"), ("unlink", f"{IN}/new"),
             ("rename", f"{OUT}/d", f"{IN}/d"))


# ---- while the worker decides -------------------------------------------------------

def waits_for_the_word(child):
    """Has CHILD looked, and goes on only when it is told to? False: it went on, or is gone."""
    seen = 0
    while seen < 5:
        try:
            held = status(child)
        except (FileNotFoundError, ProcessLookupError):
            return False
        if guard.filters(held) > 2:  # the worker's and a child's; that of an open file
            return False
        seen = seen + 1 if held["State"][0] == "S" and guard.filters(held) == 2 else 0
        time.sleep(0.005)
    return True


@contextlib.contextmanager
def undecided(o, path, mode):
    """An open of PATH that was looked at and not decided on; the worker stands still."""
    worker = o.agent.child("worker")
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        before = set(children(worker))
        o.send([("open", {"path": path, "mode": mode})])
        child = set()
        while not child and time.monotonic() < end:  # it does not last
            child = set(children(worker)) - before
        with stopped(worker):
            if child and waits_for_the_word(child.pop()):
                yield
                return
        o.forget(path)
    raise AssertionError("the worker was always faster")


def test_what_comes_to_stand_where_a_file_is_to_be_made():
    with place(), Opener("yes") as o:
        with undecided(o, f"{IN}/new", "w"):
            os.symlink(f"{OUT}/made", f"{IN}/new")
        reply = o.replies(1)[0]
        assert "File exists" in reply["error"]["desc"], reply
        assert os.listdir(OUT) == ["f"]


def test_a_directory_that_leaves_before_a_file_is_made_in_it():
    with place(), Opener("yes") as o:
        os.mkdir(f"{IN}/d")
        with undecided(o, f"{IN}/d/new", "w"):
            os.rename(f"{IN}/d", f"{OUT}/d")
        reply = o.replies(1)[0]
        assert "Stale file handle" in reply["error"]["desc"], reply
        assert os.listdir(f"{OUT}/d") == []


def test_a_link_that_takes_the_place_of_what_was_decided_on():
    with place(), Opener("yes") as o:
        write(f"{IN}/f", INSIDE)
        seen = Watch(SECRET_FILE)
        with undecided(o, f"{IN}/f", "r+"):
            os.rename(f"{IN}/f", f"{IN}/g")
            os.symlink(SECRET_FILE, f"{IN}/f")
        o.use([(o.replies(1)[0]["return"], "r+")])
        assert not seen.seen()
        seen.close()


# ---- mounts -------------------------------------------------------------------------

def test_a_mount_that_goes_away_while_the_path_leads_through_it():
    """Without the mount, OUT/m/run is a link to /run, and so leads to IN. With it, it is
    a tree outside. What was reached through the mount before it went has a path that
    begins at its root: it looks as if it were IN."""
    with place():
        os.mkdir(f"{OUT}/m")
        os.symlink("/run", f"{OUT}/m/run")
        write(f"{IN}/f", INSIDE)
        os.makedirs(f"{OUT}/tree/run/in")
        os.link(SECRET_FILE, f"{OUT}/tree/run/in/f")
        race(8, "yes", both([f"{OUT}/m/run/in/f"], ALL) +
             both([f"{OUT}/m/run/in/new"], CHANGE),
             # Twice, so that it is there for longer: detaching takes most of the time.
             ("bind", f"{OUT}/tree", f"{OUT}/m"), ("bind", f"{OUT}/tree", f"{OUT}/m"),
             ("detach", f"{OUT}/m"), ("detach", f"{OUT}/m"), ("unlink", f"{IN}/new"),
             watch=[f"{OUT}/tree/run/in"])


tap.run(tap.tests(globals()), limit=300)
