#!/usr/bin/python3
"""guest-file-* of the agent: content of the largest size there and back, what a policy says
about files, numbers of handles, their end, and the records of them.

What the reference does as well is compared in test_files_reference.py; who means harm, and
what hangs, is in tests/hostile/test_file_hostile.py.
"""
# run: limit 240
import base64
import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import socket
import stat
import tempfile

import guard
import scratch
import tap
from agent import Agent, children, is_zombie, status, wait_until

MIB = 1 << 20
READ_MAX = 48 * MIB
MESSAGE_MAX = 64 * MIB
SLOW = 120  # seconds for a message of that size, on a machine that has much to do
HANDLES = 64
FIRST = 1000
NOBODY = 65534

MODES = {"r": ("r", "rb"), "w": ("w", "wb"), "a": ("a", "ab"), "r+": ("r+", "rb+", "r+b"),
         "w+": ("w+", "wb+", "w+b"), "a+": ("a+", "ab+", "a+b")}
ALL_WORDS = "read ; create ; replace ; append ; update"
DISABLED = "Command guest-file-open has been disabled: "
REFUSED = {"error": {"class": "GenericError",
                     "desc": DISABLED + "these arguments are not allowed"}}


# ---- an agent under a policy -------------------------------------------------------------

def rule(name="files", command="@file-read ; @file-write", effect="allow", **keys):
    lines = "".join(f"{k.replace('_', '-')} = {v}\n" for k, v in keys.items())
    return f'[rule "{name}"]\neffect = {effect}\ncommand = {command}\n{lines}'


class Files:
    """A client of an agent under a policy of these rules, and short names for its calls."""

    def __init__(self, *rules, policy="base = none", limits=""):
        self.root = tempfile.mkdtemp(prefix="postern-policy-")
        os.makedirs(f"{self.root}/etc/postern", 0o755)
        put(f"{self.root}/etc/postern/policy.conf",
            f"[policy]\n{policy}\n[limits]\n{limits}\n{''.join(rules)}".encode())
        self.agent = Agent(profile=None, args=["--policy-root", self.root])
        self.client = self.agent.client()

    def __enter__(self):
        return self

    def __exit__(self, *trouble):
        self.client.close()
        try:
            self.agent.__exit__(*trouble)
        finally:
            shutil.rmtree(self.root)

    def call(self, name, **arguments):
        return self.client.call(f"guest-file-{name}", timeout=SLOW, **arguments)

    def ok(self, name, **arguments):
        reply = self.call(name, **arguments)
        assert "return" in reply, (name, arguments, reply)
        return reply["return"]

    def fails(self, desc, name, cls="GenericError", **arguments):
        reply = self.call(name, **arguments)
        assert reply == {"error": {"class": cls, "desc": desc}}, (name, arguments, reply)

    def try_open(self, path, mode="r"):
        return self.call("open", path=path, mode=mode)

    def open(self, path, mode="r"):
        return self.ok("open", path=path, mode=mode)

    def may(self, path, mode="r"):
        """Is it opened? A file that was goes to be closed; all else must be a refusal."""
        reply = self.try_open(path, mode)
        if "return" in reply:
            self.close(reply["return"])
            return True
        assert reply == REFUSED, (path, mode, reply)
        return False

    def write(self, handle, data):
        """All of DATA; the reply."""
        return self.call("write", handle=handle, buf_b64=base64.b64encode(data).decode())

    def read(self, handle, count=4096):
        got = self.ok("read", handle=handle, count=count)
        data = base64.b64decode(got["buf-b64"], validate=True)
        assert len(data) == got["count"] <= count
        return data

    def seek(self, handle, offset, whence="set"):
        return self.ok("seek", handle=handle, offset=offset, whence=whence)["position"]

    def close(self, *handles):
        for handle in handles:
            assert self.call("close", handle=handle) == {"return": {}}

    def gone(self, handle):
        self.fails(f"handle '{handle}' has not been found", "flush", handle=handle)

    # -- records

    def records(self, event, **fields):
        """Records of EVENT so far that have these fields."""
        return [r for r in self.agent.records() if r["POSTERN_EVENT"] == event
                and all(r.get("POSTERN_" + k) == v for k, v in fields.items())]

    def record(self, event, **fields):
        """The one such record, waiting for it."""
        wait_until(lambda: self.records(event, **fields), f"a record {event} {fields}")
        found = self.records(event, **fields)
        assert len(found) == 1, found
        return {k.removeprefix("POSTERN_"): v for k, v in found[0].items()}


def put(path, content=b""):
    with open(path, "wb") as f:
        f.write(content)
    return path


def get(path):
    with open(path, "rb") as f:
        return f.read()


@contextlib.contextmanager
def folder():
    path = os.path.realpath(tempfile.mkdtemp(prefix="postern-test-"))
    try:
        yield path
    finally:
        shutil.rmtree(path)


@contextlib.contextmanager
def files(**keys):
    """An agent with a rule for a new directory, and that directory."""
    keys = {"open_mode": ALL_WORDS, **keys}
    with folder() as top, Files(rule(path_beneath=top, **keys)) as f:
        yield f, top


@contextlib.contextmanager
def roots_own():
    """A directory that, with all above it, only root may write: nothing in /tmp is."""
    with scratch.namespaces():
        os.mkdir("/run/test", 0o755)
        yield "/run/test"


def need_root(what):
    if os.geteuid() != 0:
        tap.skip(f"needs root: {what}")


# ---- there and back ----------------------------------------------------------------------

def content(size, seed):
    return random.Random(seed).randbytes(size)


def digest(data):
    return hashlib.sha256(data).hexdigest()


def write_request(handle, size):
    """A write whose whole text has SIZE bytes, and what it brings: the most that fits."""
    shell = '{"execute":"guest-file-write","arguments":{"handle":%d,"buf-b64":""}}' % handle
    data = content((size - len(shell)) // 4 * 3, size)
    text = shell.replace('""', '"' + base64.b64encode(data).decode() + '"')
    return data, text.replace("{", "{" + " " * (size - len(text)), 1).encode()


def test_the_largest_message_is_written_and_read_back():
    with files() as (f, top):
        h = f.open(f"{top}/f", "w+")
        data, request = write_request(h, MESSAGE_MAX)
        assert len(request) == MESSAGE_MAX and len(data) > READ_MAX - 100
        f.client.send(request, SLOW)
        assert json.loads(f.client.recv_replies(1, SLOW)[0]) == {
            "return": {"count": len(data), "eof": False}}
        rest = content(64 * MIB - len(data), 2)
        assert f.write(h, rest)["return"]["count"] == len(rest)
        assert f.seek(h, 0, "cur") == 64 * MIB
        want = digest(data + rest)
        assert digest(get(f"{top}/f")) == want
        assert f.seek(h, 0) == 0
        got = f.read(h, READ_MAX)
        assert len(got) == READ_MAX
        got += f.read(h, READ_MAX)
        assert len(got) == 64 * MIB and digest(got) == want
        assert f.ok("read", handle=h, count=1) == {"count": 0, "buf-b64": "", "eof": True}
        f.close(h)


def test_a_message_that_is_larger_is_refused_and_the_file_is_as_it_was():
    with files() as (f, top):
        h = f.open(put(f"{top}/f", b"as it was"), "r+")
        _, request = write_request(h, MESSAGE_MAX + 4)
        f.client.send(request, SLOW)
        assert "error" in json.loads(f.client.recv_replies(1, SLOW)[0])
        f.client.reset(SLOW)
        assert f.read(h) == b"as it was"
        f.close(h)
        assert get(f"{top}/f") == b"as it was"


def test_pieces_in_any_order_make_the_file():
    """64 MiB in pieces of odd sizes, the last first as often as not; two ways to read."""
    rng = random.Random(6)
    with files() as (f, top):
        data = content(64 * MIB, 3)
        cuts = sorted(rng.sample(range(1, len(data)), 40))
        pieces = list(zip([0] + cuts, cuts + [len(data)]))
        rng.shuffle(pieces)
        h = f.open(f"{top}/f", "w")
        for start, end in pieces:
            assert f.seek(h, start) == start
            assert f.write(h, data[start:end])["return"]["count"] == end - start
        f.close(h)
        assert digest(get(f"{top}/f")) == digest(data)
        h = f.open(f"{top}/f")
        rng.shuffle(pieces)
        for start, end in pieces:
            f.seek(h, start - len(data), "end")
            assert digest(f.read(h, end - start)) == digest(data[start:end])
        f.seek(h, 0)
        whole = hashlib.sha256()
        while piece := f.read(h, rng.randrange(1, 16 * MIB)):
            whole.update(piece)
        assert whole.hexdigest() == digest(data)
        f.close(h)


def test_appended_pieces_make_the_file():
    with files() as (f, top):
        data = content(64 * MIB, 4)
        for start in range(0, len(data), 16 * MIB):
            h = f.open(f"{top}/f", "a")
            f.write(h, data[start:start + 16 * MIB])
            f.close(h)
        assert digest(get(f"{top}/f")) == digest(data)


def test_what_was_written_is_there_at_once():
    """The reference keeps it to itself until a flush (protocol 5.3)."""
    with files() as (f, top):
        h = f.open(f"{top}/f", "w")
        f.write(h, b"now")
        assert get(f"{top}/f") == b"now"
        f.close(h)


# ---- which files -------------------------------------------------------------------------

def test_exact_paths():
    with folder() as top, Files(rule(path=f"{top}/one ; {top}/*.txt", open_mode=ALL_WORDS,
                                     follow_symlinks="yes")) as f:
        for name in ("one", "two", "a.txt", "a.txt2"):
            put(f"{top}/{name}", b"content")
        os.mkdir(f"{top}/d")
        put(f"{top}/d/b.txt")
        os.symlink("two", f"{top}/link.txt")
        os.symlink("one", f"{top}/link")
        for name, good in (("one", True), ("a.txt", True), ("d/../one", True),
                           ("./one", True), ("link", True), ("two", False),
                           ("a.txt2", False), ("d/b.txt", False), ("link.txt", False),
                           ("one/../two", False), ("", False), ("d", False)):
            for mode in ("r", "r+", "a"):
                assert f.may(f"{top}/{name}", mode) is good, (name, mode)
        for name, good in (("new.txt", True), ("new", False), ("d/new.txt", False)):
            assert f.may(f"{top}/{name}", "w") is good, name
            assert os.path.exists(f"{top}/{name}") is good, name
        assert get(f"{top}/two") == b"content"


def test_directories_beneath_which_files_lie():
    with folder() as top:
        for name in ("in", "in/deep", "inn", "out", "also"):
            os.mkdir(f"{top}/{name}")
            put(f"{top}/{name}/f")
        os.symlink("../out", f"{top}/in/out")
        os.symlink("../out/f", f"{top}/in/link")
        os.symlink("in", f"{top}/door")
        with Files(rule(path_beneath=f"{top}/in/ ; {top}/also", file_type="regular ; "
                        "directory", open_mode=ALL_WORDS, follow_symlinks="yes")) as f:
            for name, good in (("in/f", True), ("in/deep/f", True), ("also/f", True),
                               ("door/f", True), ("out/../in/f", True), ("in/deep", True),
                               ("in", False), ("in/", False), ("in/deep/..", False),
                               ("inn/f", False), ("out/f", False), ("in/../out/f", False),
                               ("in/out/f", False), ("in/link", False)):
                assert f.may(f"{top}/{name}") is good, name
            for name, good in (("in/new", True), ("in/deep/new", True), ("new", False),
                               ("in/out/new", False), ("in/../out/new", False)):
                assert f.may(f"{top}/{name}", "w") is good, name
                assert os.path.exists(f"{top}/{name}") is good, name


def test_a_refusal_does_not_tell_what_is_there():
    with files() as (f, top), folder() as other:
        put(f"{other}/f")
        os.mkdir(f"{other}/d", 0o755)
        os.symlink("a", f"{other}/b")
        os.symlink("b", f"{other}/a")
        for name in ("f", "none", "d", "d/none", "none/none", "f/none", "a", "n" * 256):
            for mode in MODES:
                assert f.try_open(f"{other}/{name}", mode) == REFUSED, (name, mode)
        f.fails(f"failed to open file '{top}/none' (mode: 'r'): No such file or directory",
                "open", path=f"{top}/none")


def test_nor_does_the_refusal_of_a_deny():
    """What it met is in the guest, and the path may be anywhere."""
    with folder() as top, folder() as other:
        os.mkfifo(f"{other}/p")
        os.symlink("p", f"{other}/link")
        put(f"{other}/f")
        for keys in ({"file_type": "fifo"}, {"path": f"{other}/p"}, {"open_mode": "read"}):
            with Files(rule(path_beneath=top),
                       rule("no", "guest-file-open", "deny", **keys)) as f:
                for name in ("p", "link", "f", "none"):
                    assert f.try_open(f"{other}/{name}") == REFUSED, (keys, name)


def test_types_of_files():
    kinds = {"regular": "f", "directory": "d", "fifo": "p", "socket": "s",
             "character": "/dev/null"}
    with folder() as top, socket.socket(socket.AF_UNIX) as s:
        put(f"{top}/f")
        os.mkdir(f"{top}/d")
        os.mkfifo(f"{top}/p")
        s.bind(f"{top}/s")
        for words in ("regular", "directory", "fifo", "socket", "character",
                      "regular ; fifo", None):
            keys = {} if words is None else {"file_type": words}
            with Files(rule(open_mode=ALL_WORDS, **keys)) as f:
                for kind, name in kinds.items():
                    reply = f.try_open(os.path.join(top, name))
                    if kind not in (words or "regular").split(" ; "):
                        assert reply == REFUSED, (words, kind)
                    elif kind == "socket":
                        assert "No such device or address" in reply["error"]["desc"]
                    else:
                        assert "return" in reply, (words, kind)
                # What is made is a regular file.
                made = f.may(f"{top}/{words}", "w")
                assert made is ("regular" in (words or "regular"))
                assert os.path.exists(f"{top}/{words}") is made


# ---- what for ----------------------------------------------------------------------------

# What a set of words lets happen to a file that is there, and to one that is not.
OPEN_MODES = (
    ("read", "r", "r"),
    ("create", "", "w w+"),
    ("replace", "w w+", ""),
    ("append", "a", ""),
    ("update", "r+", "r+"),
    ("create ; replace", "w w+", "w w+"),
    ("create ; append", "a", "w w+ a"),
    ("read ; append", "r a a+", "r"),
    ("append ; update", "a r+ a+", "r+"),
    ("create ; append ; read", "r a a+", "r w w+ a a+"),
    (ALL_WORDS, "r w a r+ w+ a+", "r w a r+ w+ a+"),
)


def check_modes(f, top, there, absent):
    """THERE and ABSENT: the modes that may be used. A file that must be there and is not
    is an error of its own, where the mode is allowed."""
    for mode, spellings in MODES.items():
        for spelling in spellings:
            put(f"{top}/f", b"old")
            assert f.may(f"{top}/f", spelling) is (mode in there.split()), spelling
            kept = mode not in there.split() or mode[0] != "w"
            assert get(f"{top}/f") == (b"old" if kept else b""), spelling
            path = f"{top}/{spelling}"
            if mode not in absent.split():
                assert f.try_open(path, spelling) == REFUSED, spelling
            elif mode[0] == "r":
                assert "No such file" in f.try_open(path, spelling)["error"]["desc"]
            else:
                assert f.may(path, spelling)
            assert os.path.exists(path) is (mode in absent.split() and mode[0] != "r")


def open_mode_test(words, there, absent):
    def check():
        with folder() as top, Files(rule(path_beneath=top, open_mode=words)) as f:
            check_modes(f, top, there, absent)
    return f"open-mode = {words}", check


def test_a_rule_for_reading_reads():
    with folder() as top, Files(rule(command="@file-read", path_beneath=top)) as f:
        check_modes(f, top, "r", "r")
        h = f.open(put(f"{top}/f"))
        f.fails("Command guest-file-write has been disabled: the command is not allowed",
                "write", cls="CommandNotFound", handle=h, buf_b64="YQ==")
        f.close(h)


def test_a_rule_for_writing_writes():
    with folder() as top, Files(rule(command="@file-write", path_beneath=top)) as f:
        check_modes(f, top, "w a r+ w+ a+", "w a r+ w+ a+")
        h = f.open(put(f"{top}/f"), "r+")
        f.fails("Command guest-file-read has been disabled: the command is not allowed",
                "read", cls="CommandNotFound", handle=h)
        f.close(h)


def test_rules_for_both_keep_to_their_directories():
    with folder() as top:
        os.mkdir(f"{top}/in")
        os.mkdir(f"{top}/out")
        with Files(rule("reads", "@file-read", path_beneath=f"{top}/out"),
                   rule("writes", "@file-write", path_beneath=f"{top}/in")) as f:
            put(f"{top}/out/f", b"old")
            put(f"{top}/in/f", b"old")
            for name, mode, good in (("out/f", "r", True), ("out/f", "w", False),
                                     ("out/f", "a", False), ("out/f", "r+", False),
                                     ("out/new", "w", False), ("in/f", "r", False),
                                     ("in/f", "a", True), ("in/new", "w", True)):
                assert f.may(f"{top}/{name}", mode) is good, (name, mode)
            h = f.open(f"{top}/out/f")
            assert "Bad file descriptor" in f.write(h, b"new")["error"]["desc"]
            f.close(h)
            assert get(f"{top}/out/f") == b"old"


# ---- how much ----------------------------------------------------------------------------

def too_large(reply, verb):
    return reply == {"error": {"class": "GenericError",
                               "desc": f"failed to {verb} file: File too large"}}


def test_the_largest_size_of_what_is_opened():
    with files(size_max=1000) as (f, top):
        put(f"{top}/fits", bytes(1000))
        put(f"{top}/large", bytes(1001))
        for mode in MODES:
            assert f.may(f"{top}/fits", mode), mode
        for mode in ("r", "a", "r+", "a+"):
            assert not f.may(f"{top}/large", mode), mode
        assert os.path.getsize(f"{top}/large") == 1001
        # Of what is replaced nothing is left.
        assert f.may(f"{top}/large", "w")
        assert os.path.getsize(f"{top}/large") == 0


def test_the_largest_size_of_what_is_written():
    with files(size_max=1000) as (f, top):
        for mode in ("w", "w+", "r+", "a", "a+"):
            path = put(f"{top}/f", b"" if mode == "r+" else b"old")
            h = f.open(path, mode)
            start = os.path.getsize(path)
            assert f.write(h, bytes(999 - start))["return"]["count"] == 999 - start
            assert too_large(f.write(h, b"ab"), "write to")
            assert os.path.getsize(path) == 999
            assert f.write(h, b"a") == {"return": {"count": 1, "eof": False}}
            assert too_large(f.write(h, b"b"), "write to")
            assert f.write(h, b"") == {"return": {"count": 0, "eof": False}}
            if mode[0] != "a":
                assert f.seek(h, 998) == 998
                assert too_large(f.write(h, b"abc"), "write to")
                assert f.write(h, b"ab")["return"]["count"] == 2
                assert f.seek(h, 1 << 40) == 1 << 40
                assert too_large(f.write(h, b"a"), "write to")
            f.close(h)
            assert os.path.getsize(path) == 1000, mode


def test_a_largest_size_of_next_to_nothing():
    """What the agent itself writes on the way is not counted."""
    for size in (0, 1, 10):
        with files(size_max=size) as (f, top):
            path = put(f"{top}/f", bytes(size))
            for mode in MODES:
                h = f.open(path, mode)
                if mode != "r":
                    assert too_large(f.write(h, bytes(size + 1)), "write to")
                f.close(h)
            assert os.path.getsize(path) == 0


def test_the_largest_size_of_what_is_read():
    with files(size_max=1000) as (f, top):
        path = put(f"{top}/f", b"a" * 1000)
        h = f.open(path)
        assert f.ok("read", handle=h, count=2000)["eof"]
        with open(path, "ab") as more:
            more.write(b"b")
        assert too_large(f.call("read", handle=h, count=1), "read")
        f.seek(h, 990)
        assert f.read(h, 10) == b"a" * 10
        f.seek(h, 5000)
        assert f.read(h, 10) == b""
        f.close(h)


def test_the_tightest_size_of_all_rules_that_match():
    with folder() as top:
        with Files(rule("a", path_beneath=top, size_max=1000, open_mode=ALL_WORDS),
                   rule("b", path=f"{top}/small", size_max=10, open_mode=ALL_WORDS)) as f:
            for name, size in (("small", 10), ("other", 1000)):
                h = f.open(f"{top}/{name}", "w")
                assert f.write(h, bytes(size))["return"]["count"] == size
                assert too_large(f.write(h, b"a"), "write to")
                f.close(h)


# ---- what is made ------------------------------------------------------------------------

def made(path):
    st = os.stat(path)
    return stat.S_IMODE(st.st_mode), st.st_uid, st.st_gid


def test_mode_of_new_files():
    before = os.umask(0o077)  # means nothing
    try:
        with files() as (f, top):
            for mode in ("w", "a", "w+", "a+"):
                assert f.may(f"{top}/{mode}", mode)
                assert made(f"{top}/{mode}") == (0o644, os.geteuid(), os.getegid())
        for word in (0o640, 0o600, 0o400, 0o666):
            with files(file_mode=f"0{word:o}") as (f, top):
                h = f.open(f"{top}/f", "w")
                f.write(h, b"x")
                f.close(h)
                assert made(f"{top}/f")[0] == word
    finally:
        os.umask(before)


def test_owner_of_new_files():
    need_root("gives files away")
    for owner, uid, gid in (("daemon:adm", 1, 4), ("daemon", 1, 1), (":adm", 0, 4),
                            ("4242:4343", 4242, 4343), ("root:root", 0, 0)):
        with files(owner=owner, file_mode="0640") as (f, top):
            for mode in ("w", "a+"):
                assert f.may(f"{top}/{mode}", mode)
                assert made(f"{top}/{mode}") == (0o640, uid, gid), owner


def test_mode_and_owner_of_files_that_are_there_stay():
    need_root("gives files away")
    with files(owner="daemon:adm", file_mode="0640") as (f, top):
        for mode in MODES:
            path = put(f"{top}/f")
            os.chmod(path, 0o604)
            os.chown(path, 4242, 4343)
            assert f.may(path, mode)
            assert made(path) == (0o604, 4242, 4343), mode


def test_an_owner_whom_nobody_knows():
    """Nothing is made for somebody else instead."""
    with files(owner="no-such-user") as (f, top):
        reply = f.try_open(f"{top}/f", "w")
        assert "no-such-user" in reply["error"]["desc"], reply
        assert os.listdir(top) == []
        put(f"{top}/f")
        assert f.may(f"{top}/f", "w")


# ---- links -------------------------------------------------------------------------------

def furnish_links(top):
    """Files and links; which are followed at which word is LINKS."""
    os.mkdir(f"{top}/own", 0o755)
    put(f"{top}/own/f", b"content")
    os.symlink("own/f", f"{top}/link")
    os.symlink(f"{top}/own", f"{top}/dir")
    os.symlink("link", f"{top}/twice")
    os.symlink("own/new", f"{top}/to-new")
    os.symlink("own/f", f"{top}/given")
    os.chown(f"{top}/given", NOBODY, NOBODY, follow_symlinks=False)
    os.symlink("given", f"{top}/to-given")
    for name, mode, uid in (("open", 0o1777, 0), ("theirs", 0o755, NOBODY),
                            ("group", 0o775, 0)):
        os.mkdir(f"{top}/{name}")
        os.symlink("../own/f", f"{top}/{name}/link")
        os.mkdir(f"{top}/{name}/roots", 0o755)
        os.symlink("../../own/f", f"{top}/{name}/roots/link")
        put(f"{top}/{name}/f", b"content")
        put(f"{top}/{name}/names", b"content")
        os.link(f"{top}/{name}/names", f"{top}/{name}/more")
        os.chown(f"{top}/{name}", uid, uid)
        os.chmod(f"{top}/{name}", mode)
    # Not `f`: where a way through their directory ends, its names would count.
    os.link(put(f"{top}/own/names", b"content"), f"{top}/own/second")


# none: no link on the way; roots: links of root where only root writes; any: others.
LINKS = (
    ("own/f", "none"), ("own/second", "none"), ("own/../own/f", "none"), ("open/f", "none"),
    ("theirs/f", "none"), ("link", "roots"), ("dir/f", "roots"), ("twice", "roots"),
    ("given", "any"), ("to-given", "any"), ("open/link", "any"), ("theirs/link", "any"),
    ("group/link", "any"), ("open/roots/link", "any"), ("theirs/roots/link", "any"),
    ("open/names", "any"), ("theirs/more", "any"), ("group/names", "any"),
)
FOLLOWED = {"no": ("none",), "root-owned": ("none", "roots"), None: ("none", "roots"),
            "yes": ("none", "roots", "any")}


def follow_test(word):
    def check():
        need_root("makes links of several owners")
        keys = {} if word is None else {"follow_symlinks": word}
        with roots_own() as top:
            furnish_links(top)
            with Files(rule(path_beneath=top, open_mode=ALL_WORDS, **keys)) as f:
                for path, kind in LINKS:
                    for mode in ("r", "a", "r+", "a+"):
                        assert f.may(f"{top}/{path}", mode) is (kind in FOLLOWED[word]), \
                            (path, mode)
                good = "roots" in FOLLOWED[word]
                assert f.may(f"{top}/to-new", "w") is good
                assert os.path.exists(f"{top}/own/new") is good
                assert get(f"{top}/own/f") == b"content"
    return f"follow-symlinks = {word or 'root-owned, unsaid'}", check


def test_magic_links_lead_nowhere_that_their_text_does_not():
    """Neither to a file that has lost its name, nor past the rule."""
    with files(follow_symlinks="yes") as (f, top), folder() as other:
        names = [put(f"{top}/removed", b"content"), put(f"{other}/f", b"content")]
        held = [os.open(name, os.O_RDWR) for name in names]
        os.unlink(names[0])
        try:
            for path in [f"/proc/{os.getpid()}/fd/{fd}" for fd in held] + \
                    [f"/proc/{os.getpid()}/root{other}/f", f"/proc/{os.getpid()}/cwd"]:
                for mode in MODES:
                    assert "error" in f.try_open(path, mode), (path, mode)
            assert [os.pread(fd, 10, 0) for fd in held] == [b"content"] * 2
        finally:
            for fd in held:
                os.close(fd)
        assert os.listdir(top) == []


# ---- rules together ----------------------------------------------------------------------

def test_a_deny_beats_every_allow():
    with folder() as top:
        os.mkdir(f"{top}/secret")
        put(f"{top}/secret/f", b"content")
        put(f"{top}/f")
        os.symlink("secret/f", f"{top}/link")
        with Files(rule("a", path_beneath=top, open_mode=ALL_WORDS, follow_symlinks="yes"),
                   rule("no", "guest-file-open", "deny", path=f"{top}/secret/**")) as f:
            assert f.may(f"{top}/f")
            for path in ("secret/f", "link", "secret/new"):
                for mode in ("r", "w"):
                    assert not f.may(f"{top}/{path}", mode), path
            assert get(f"{top}/secret/f") == b"content"
            assert os.listdir(f"{top}/secret") == ["f"]


def test_rules_are_alternatives_and_each_holds_as_a_whole():
    with folder() as top:
        put(f"{top}/a", bytes(100))
        put(f"{top}/b", bytes(100))
        with Files(rule("a", path=f"{top}/a", open_mode="read"),
                   rule("b", path=f"{top}/b", open_mode="update", size_max=1000),
                   rule("b2", path=f"{top}/b", open_mode="read", size_max=10)) as f:
            assert [f.may(f"{top}/{n}", m) for n in "ab" for m in ("r", "r+")] == \
                [True, False, False, True]


def test_nothing_is_opened_without_a_rule():
    with folder() as top, Files() as f:
        put(f"{top}/f", b"content")
        for mode in MODES:
            f.fails(DISABLED + "the command is not allowed", "open", cls="CommandNotFound",
                    path=f"{top}/f", mode=mode)
        assert get(f"{top}/f") == b"content"


def test_the_host_is_told_the_rule_if_the_policy_says_so():
    with folder() as top:
        put(f"{top}/f")
        with Files(rule("files", path_beneath=top),
                   policy="base = none\ndeny-detail = full") as f:
            desc = f.try_open("/etc/passwd")["error"]["desc"]
            assert desc == REFUSED["error"]["desc"] + ' (rule "files")', desc


def test_complain_mode_lets_through_and_records():
    with folder() as top:
        put(f"{top}/f", b"content")
        with Files(rule("files", path_beneath="/nowhere"),
                   policy="base = none\nmode = complain\nceiling = legacy") as f:
            h = f.open(f"{top}/f")
            assert f.read(h) == b"content"
            f.close(h)
            assert f.record("decision", COMMAND="guest-file-open")["DECISION"] == "complain"


# ---- handles -----------------------------------------------------------------------------

def test_how_many_files_may_be_open():
    for limits, most in (("handles = 3", 3), ("", HANDLES)):
        with folder() as top, Files(rule(path_beneath=top), limits=limits) as f:
            put(f"{top}/f")
            handles = [f.open(f"{top}/f") for _ in range(most)]
            for _ in range(3):
                f.fails(f"failed to open file '{top}/f' (mode: 'r'): Too many open files",
                        "open", path=f"{top}/f")
                f.close(handles.pop(0))
                handles.append(f.open(f"{top}/f"))
            # A refusal and an error take no room.
            f.close(handles.pop())
            for _ in range(5):
                assert f.try_open("/etc/passwd") == REFUSED
                assert "No such file" in f.try_open(f"{top}/none")["error"]["desc"]
            handles.append(f.open(f"{top}/f"))
            f.close(*handles)


def open_process(f, path, mode="r"):
    """A new handle and the process that is it."""
    worker = f.agent.child("worker")
    before = children(worker)
    handle = f.open(path, mode)
    process, = [p for p in children(worker) if p not in before]
    return handle, process


def kill_worker(f):
    old = f.agent.child("worker")
    os.kill(old, signal.SIGKILL)
    wait_until(lambda: f.agent.child("worker") != old, "another worker")
    f.client.close()
    f.agent.wait_ready()
    f.client = f.agent.client()


def test_numbers_begin_at_1000_and_none_is_given_twice():
    with files() as (f, top):
        put(f"{top}/f")
        given = []
        for _ in range(10):
            given += [f.open(f"{top}/f"), f.open(f"{top}/f")]
            f.close(given[-2])
            f.gone(given[-2])
        assert given == list(range(FIRST, FIRST + 20))
        for _ in range(2):
            kill_worker(f)
            for old in given:
                f.gone(old)
            given.append(f.open(f"{top}/f"))
        assert given[-2] > FIRST + 19 and given[-1] > given[-2]


def test_handles_stay_when_their_client_leaves():
    with files() as (f, top):
        h = f.open(put(f"{top}/f", b"content"))
        assert f.read(h, 3) == b"con"
        f.client.close()
        f.client = f.agent.client()
        f.client.reset()
        assert f.read(h) == b"tent"
        f.close(h)


def test_handles_end_with_their_worker():
    """Nobody is left who could close them, so no process may be left either."""
    with files() as (f, top):
        h, process = open_process(f, put(f"{top}/f"))
        kill_worker(f)
        f.gone(h)
        # Its parent gone it is our child, and our loss to see.
        wait_until(lambda: is_zombie(process) or not os.path.exists(f"/proc/{process}"),
                   "the end of the handle's process")


def test_to_end_the_process_is_to_revoke_the_handle():
    with folder() as top, Files(rule(path_beneath=top), limits="handles = 2") as f:
        worker = f.agent.child("worker")
        revoked, process = open_process(f, put(f"{top}/revoked", b"content"))
        kept = f.open(put(f"{top}/kept", b"content"))
        assert f.read(revoked, 3) == b"con"
        os.kill(process, signal.SIGKILL)
        closed = f.record("file-close", HANDLE=revoked)
        assert closed["BYTES_READ"] == 3 and closed["RESULT"] != "ok", closed
        for name, more in (("read", {}), ("write", {"buf_b64": "YQ=="}), ("flush", {}),
                           ("seek", {"offset": 0, "whence": 0}), ("close", {})):
            f.fails(f"handle '{revoked}' has not been found", name, handle=revoked, **more)
        assert f.read(kept) == b"content"
        # Its place is free; its number is not.
        again = f.open(f"{top}/revoked")
        assert again > kept and f.read(again) == b"content"
        assert f.agent.child("worker") == worker
        f.close(kept, again)


def test_each_handle_is_a_process_with_nothing_but_its_file():
    need_root("looks into a process that may not be looked into")
    with files() as (f, top):
        h, pid = open_process(f, put(f"{top}/f"), "r+")
        fds = f"/proc/{pid}/fd"
        links = [os.readlink(f"{fds}/{fd}").split(":")[0] for fd in os.listdir(fds)]
        assert links.count(f"{top}/f") == links.count("socket") == 1, links
        assert set(links) == {f"{top}/f", "/dev/null", "socket"}, links
        held = status(pid)
        for kind in ("CapPrm", "CapEff", "CapInh", "CapAmb"):
            assert held[kind] == "0" * 16, (kind, held[kind])
        assert held["NoNewPrivs"] == "1"
        # The worker's, that of its children, and that of an open file.
        assert guard.filters(held) == 3, held["Seccomp_filters"]
        f.close(h)
        wait_until(lambda: not os.path.exists(f"/proc/{pid}"), "its end")


# ---- records -----------------------------------------------------------------------------

def test_records_of_a_file():
    with files(follow_symlinks="yes") as (f, top):
        put(f"{top}/f", b"0123456789")
        os.symlink("f", f"{top}/link")
        h = f.open(f"{top}/link", "r+")
        decision = f.record("decision", COMMAND="guest-file-open")
        opened = f.record("file-open", HANDLE=h)
        assert [decision[k] for k in ("DECISION", "RULE", "FILE_REQUESTED", "FILE_OPENED",
                                      "FILE_MODE")] == \
            ["allow", "files", f"{top}/link", f"{top}/f", "r+"]
        assert opened["REQUEST"] == decision["REQUEST"]
        assert opened["RESULT"] == "ok" and opened["SEQ"] > decision["SEQ"]
        f.read(h, 4)
        f.read(h, 100)
        f.read(h, 100)
        f.write(h, b"TOP-SECRET-CONTENT")
        f.write(h, b"more")
        f.call("read", handle=h, count=-1)
        f.seek(h, 0)
        f.close(h)
        closed = f.record("file-close", HANDLE=h)
        assert closed["REQUEST"] == decision["REQUEST"] and closed["RESULT"] == "ok", closed
        assert (closed["BYTES_READ"], closed["BYTES_WRITTEN"]) == (10, 22), closed
        text = json.dumps(f.agent.records())
        assert "TOP-SECRET" not in text
        assert base64.b64encode(b"TOP-SECRET-CONTENT").decode() not in text


def test_records_of_what_was_refused():
    with files(size_max=10, open_mode="read") as (f, top), folder() as other:
        put(f"{top}/large", bytes(11))
        put(f"{top}/f")
        put(f"{other}/f")
        os.mkdir(f"{top}/d")
        os.symlink("f", f"{top}/link")
        os.chown(f"{top}/link", os.geteuid(), os.getegid(), follow_symlinks=False)
        for path, mode, reason, real in (
                (f"{other}/f", "r", "path", None), (f"{top}/large", "r", "size", None),
                (f"{top}/d", "r", "path", None), (f"{top}/f", "w", "mode", None),
                (f"{top}/link", "r", "symlink", f"{top}/f"),
                (f"{top}/../{os.path.basename(other)}/f", "r", "path", f"{other}/f")):
            assert f.try_open(path, mode) == REFUSED
            found = f.record("decision", FILE_REQUESTED=path, FILE_MODE=mode)
            assert (found["DECISION"], found["REASON"]) == ("deny", reason), (path, found)
            assert found.get("FILE_OPENED", real or path) == (real or path), found
            assert found["RULE"] == "files"
        assert not f.records("file-open")


def test_record_of_an_open_that_failed():
    with files() as (f, top):
        assert "No such file" in f.try_open(f"{top}/none")["error"]["desc"]
        request = f.record("decision", FILE_REQUESTED=f"{top}/none")["REQUEST"]
        assert f.record("complete", REQUEST=request)["RESULT"] == "error"
        assert not f.records("file-open")


def test_records_of_files_that_the_stop_closes():
    with files() as (f, top):
        handles = [f.open(f"{top}/{n}", "w") for n in range(3)]
        f.write(handles[1], b"content")
        f.client.close()
        f.agent.process.send_signal(signal.SIGTERM)
        wait_until(lambda: len(f.records("file-close", RESULT="stop")) == 3, "the records")
        assert sorted((r["POSTERN_HANDLE"], r["POSTERN_BYTES_WRITTEN"])
                      for r in f.records("file-close")) == \
            [(h, 7 if h == handles[1] else 0) for h in handles]


def main():
    todo = tap.tests(globals())
    modes = todo.index(test_a_rule_for_reading_reads)
    links = todo.index(test_magic_links_lead_nowhere_that_their_text_does_not)
    tap.run(todo[:modes] + [open_mode_test(*row) for row in OPEN_MODES] + todo[modes:links]
            + [follow_test(word) for word in FOLLOWED] + todo[links:], limit=120)


main()
