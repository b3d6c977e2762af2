#!/usr/bin/python3
# run: limit 240
"""A client that means harm, with files: beyond its limits, at what is no file, at the
agent itself, and on a file system that stops answering. Each is refused, or costs no more
than its bound; and when it is over nothing is left: no process, no descriptor, no memory.
"""
# pylint: disable=missing-function-docstring
import base64
import contextlib
import json
import os
import random
import shutil
import signal
import socket
import tempfile
import time

import fuse
import scratch
import tap
from agent import (PATIENCE, VARIANT, Agent, children, descendants, is_zombie, status,
                   wait_until)
from hostile import fd_count

ONCE = "POSTERN_ONCE" in os.environ
KIB = 1024
MAX = 64 * KIB  # the rule's size-max
REFUSED = "these arguments are not allowed"
TOO_LARGE = "File too large"
FULL = "Too many open files"
NO_ROOM = "cannot be started at present"

HANDLES = 64       # without a setting in the policy
LOOKING_MAX = 12   # openers that hang
CHILDREN_MAX = 32  # processes beside the files, such as have just ended


# ---- an agent and its client --------------------------------------------------------

def rule(beneath, **keys):
    keys = {"path_beneath": beneath, "follow_symlinks": "yes", "size_max": MAX,
            "open_mode": "read ; create ; replace ; append ; update", **keys}
    lines = "".join(f"{k.replace('_', '-')} = {v}\n" for k, v in keys.items())
    return ("[policy]\nbase = none\n[rule \"files\"]\neffect = allow\n"
            f"command = @file-read ; @file-write\n{lines}"
            "[rule \"facts\"]\neffect = allow\ncommand = @info\n")


class Files:
    """An agent under such a rule (or a profile), a client, and calls of guest-file-*.
    Leaving the block asserts that nothing is left."""

    def __init__(self, text=None, profile=None):
        self.root = tempfile.mkdtemp(prefix="postern-policy-")
        os.chmod(self.root, 0o755)
        args = []
        if text is not None:
            os.makedirs(f"{self.root}/etc/postern", 0o755)
            put(f"{self.root}/etc/postern/policy.conf", text.encode())
            args = ["--policy-root", self.root]
        self.agent = Agent(profile=profile, args=args)
        self.client = self.agent.client()
        self.client.sync()
        self.worker = self.agent.child("worker")
        self.before = self.settled()
        self.rss = self.rss_kib()

    def __enter__(self):
        return self

    def __exit__(self, *trouble):
        try:
            if trouble[0] is None:
                self.all_gone()
                grown = self.rss_kib() - self.rss
                assert VARIANT != "release" or grown < 1024, f"{grown} KiB"
            self.client.close()
        finally:
            try:
                self.agent.__exit__(*trouble)
            finally:
                shutil.rmtree(self.root)

    def call(self, name, **arguments):
        return self.client.call(f"guest-file-{name}", **arguments)

    def ok(self, name, **arguments):
        reply = self.call(name, **arguments)
        assert "return" in reply, (name, arguments, reply)
        return reply["return"]

    def fails(self, text, name, **arguments):
        reply = self.call(name, **arguments)
        assert text in reply.get("error", {}).get("desc", ""), (name, arguments, reply)

    def open(self, path, mode="r"):
        return self.ok("open", path=path, mode=mode)

    def write(self, handle, data):
        return self.call("write", handle=handle, buf_b64=base64.b64encode(data).decode())

    def read(self, handle, count=4096):
        return base64.b64decode(self.ok("read", handle=handle, count=count)["buf-b64"])

    def close(self, *handles):
        for handle in handles:
            assert self.call("close", handle=handle) == {"return": {}}

    def many(self, name, arguments):
        """One request for each of ARGUMENTS, sent ahead of the replies."""
        arguments = list(arguments)
        self.client.send(b"".join(
            json.dumps({"execute": f"guest-file-{name}", "arguments": a}).encode()
            for a in arguments))
        return [json.loads(line) for line in self.client.recv_replies(len(arguments), 60)]

    # -- what it holds

    def state(self):
        """Descriptors of each of the agent's processes, by its number; None: only root
        may look."""
        found = {}
        for pid in [self.agent.pid] + descendants(self.agent.pid):
            with contextlib.suppress(FileNotFoundError):
                found[pid] = fd_count(pid)
        return found

    def settled(self):
        """The state once all have begun: none closes what it need not have any more."""
        states = [self.state()]
        while len(states) < 10 or states[-10:] != [states[-1]] * 10:
            time.sleep(0.01)
            states.append(self.state())
        return states[-1]

    def op_children(self):
        """Processes of the worker that were not there when nothing was open."""
        return [p for p in children(self.worker) if p not in self.before]

    def all_gone(self):
        wait_until(lambda: self.state() == self.before,
                   lambda: f"{self.before} again, not {self.state()}")

    def answers(self):
        """As a client does that gave up a reply: sync, then ping."""
        self.client.sync()
        assert self.client.call("guest-ping") == {"return": {}}

    def rss_kib(self):
        return int(status(self.worker)["VmRSS"].split()[0])


def put(path, content=b""):
    with open(path, "wb") as f:
        f.write(content)


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
    with folder() as top, Files(rule(top, **keys)) as f:
        yield f, top


# ---- the size of a file -------------------------------------------------------------

def test_nothing_is_written_beyond_the_largest_size():
    with files() as (f, top):
        path = f"{top}/new"
        h = f.open(path, "w")
        assert f.write(h, bytes(MAX - 1))["return"]["count"] == MAX - 1
        assert TOO_LARGE in f.write(h, b"ab")["error"]["desc"]
        assert os.path.getsize(path) == MAX - 1
        assert f.write(h, b"a")["return"]["count"] == 1
        assert TOO_LARGE in f.write(h, b"b")["error"]["desc"]
        f.close(h)
        assert os.path.getsize(path) == MAX
        h = f.open(f"{top}/other", "w+")
        assert TOO_LARGE in f.write(h, bytes(MAX + 1))["error"]["desc"]
        assert os.path.getsize(f"{top}/other") == 0
        f.close(h)


def test_nor_behind_a_seek():
    with files() as (f, top):
        put(f"{top}/old", b"0123456789")
        for path, mode in ((f"{top}/old", "r+"), (f"{top}/new", "w"), (f"{top}/new", "w+")):
            h = f.open(path, mode)
            size = os.path.getsize(path)
            for at in (MAX, MAX + 1, 1 << 31, 1 << 32, (1 << 62), (1 << 63) - 2):
                reply = f.call("seek", handle=h, offset=at, whence=0)
                if "return" in reply:  # the file system's own bound may be less
                    assert "error" in f.write(h, b"a"), (mode, at)
                assert os.path.getsize(path) == size, (mode, at)
            f.ok("seek", handle=h, offset=MAX - 1, whence="set")
            assert TOO_LARGE in f.write(h, b"ab")["error"]["desc"]
            assert os.path.getsize(path) == size
            f.fails("Invalid argument", "seek", handle=h, offset=-MAX - 1, whence="end")
            assert f.write(h, b"z")["return"]["count"] == 1
            assert os.path.getsize(path) == MAX
            f.close(h)


def test_append_handles_append_whatever_they_seek_and_only_up_to_the_largest_size():
    with files() as (f, top):
        path = f"{top}/log"
        put(path, b"first")
        one, two = f.open(path, "a"), f.open(path, "a+")
        for h in (one, two):
            f.ok("seek", handle=h, offset=0, whence="set")
            f.write(h, b"+more")
        with open(path, "rb") as log:
            assert log.read() == b"first+more+more"
        # Its own handles, and whoever else makes the file longer.
        f.write(one, bytes(MAX // 2))
        with open(path, "ab") as log:
            log.write(bytes(MAX - os.path.getsize(path) - 3))
        assert TOO_LARGE in f.write(two, b"four")["error"]["desc"]
        assert f.write(two, b"end")["return"]["count"] == 3
        assert TOO_LARGE in f.write(one, b"x")["error"]["desc"]
        assert os.path.getsize(path) == MAX
        with open(path, "ab") as log:
            log.write(b"beyond")
        for h in (one, two):
            f.ok("seek", handle=h, offset=0, whence="set")
            assert TOO_LARGE in f.write(h, b"x")["error"]["desc"]
        f.close(one, two)
        assert os.path.getsize(path) == MAX + 6


def test_no_sequence_of_calls_makes_a_file_larger_than_it_may_be():
    rng = random.Random(20260201)
    with files() as (f, top):
        path = f"{top}/f"
        put(path)
        for _ in range(8):
            handles = [f.open(path, mode) for mode in ("r+", "w", "w+", "a", "a+")]
            for _ in range(60):
                h = rng.choice(handles)
                if rng.random() < 0.5:
                    f.call("seek", handle=h, whence=rng.choice(["set", "cur", "end"]),
                           offset=rng.choice([0, 1, -1, MAX, MAX - 3, rng.randrange(MAX)]))
                else:
                    f.write(h, bytes(rng.choice([0, 1, 3, 4, MAX // 2, MAX, MAX + 1])))
                assert os.path.getsize(path) <= MAX
            f.close(*handles)


def test_a_file_that_is_too_large_is_neither_opened_nor_read_to_its_end():
    with files() as (f, top):
        put(f"{top}/large", bytes(MAX + 1))
        for mode in ("r", "r+", "a", "a+"):
            f.fails(REFUSED, "open", path=f"{top}/large", mode=mode)
        put(f"{top}/grows", b"a" * MAX)
        h = f.open(f"{top}/grows")
        assert len(f.read(h, MAX)) == MAX
        with open(f"{top}/grows", "ab") as g:
            g.write(b"secret")
        f.fails(TOO_LARGE, "read", handle=h, count=1)
        f.ok("seek", handle=h, offset=MAX + 2, whence="set")
        f.fails(TOO_LARGE, "read", handle=h)
        f.close(h)
        assert os.path.getsize(f"{top}/large") == MAX + 1


def test_a_handle_does_what_it_was_opened_for_and_no_more():
    with files() as (f, top):
        put(f"{top}/f", b"content")
        h = f.open(f"{top}/f", "r")
        assert "error" in f.write(h, b"x")
        f.close(h)
        h = f.open(f"{top}/f", "a")
        f.fails("Bad file descriptor", "read", handle=h)
        f.close(h)
        for name in ("read", "flush", "close"):
            f.fails("has not been found", name, handle=h)
        for number in (0, -1, 3, 4, h + 1, 1 << 40, (1 << 63) - 1, -1 << 63):
            f.fails("has not been found", "close", handle=number)
        with open(f"{top}/f", "rb") as content:
            assert content.read() == b"content"


# ---- many files ---------------------------------------------------------------------

def test_ten_thousand_opens_hold_no_more_than_the_limit():
    total = 10000 if ONCE else 500
    with files() as (f, top):
        put(f"{top}/f", b"content")
        put(f"{top}/keep", b"content")
        replies = []
        for _ in range(total // 50):
            replies += f.many("open", [{"path": f"{top}/f"}] * 50)
            assert len(f.op_children()) <= HANDLES + CHILDREN_MAX
        handles = [r["return"] for r in replies if "return" in r]
        assert len(handles) == HANDLES == len(set(handles)), len(handles)
        assert all(FULL in r["error"]["desc"] for r in replies if "error" in r)
        # Beyond the limit nothing is made or cut either.
        f.fails(FULL, "open", path=f"{top}/keep", mode="w")
        f.fails(FULL, "open", path=f"{top}/new", mode="w")
        assert os.path.getsize(f"{top}/keep") == 7
        assert not os.path.exists(f"{top}/new")
        held = f.state()
        if os.geteuid() == 0:
            assert held[f.worker] <= f.before[f.worker] + 3 * HANDLES, held
        f.close(*handles)
        f.all_gone()
        assert f.open(f"{top}/f") > max(handles)
        f.close(max(handles) + 1)


def test_ten_thousand_files_opened_and_closed_leave_nothing():
    total = 10000 if ONCE else 500
    with files() as (f, top):
        put(f"{top}/f", b"content")

        def rounds(count):
            last = 0
            for _ in range(count // 50):
                got = [r["return"] for r in f.many("open", [{"path": f"{top}/f"}] * 50)]
                assert got == sorted(set(got)) and got[0] > last, "a number came again"
                last = got[-1]
                for reply in f.many("close", [{"handle": h} for h in got]):
                    assert reply == {"return": {}}, reply
        rounds(500)
        f.all_gone()
        before = f.rss_kib()
        rounds(total)
        f.all_gone()
        grown = f.rss_kib() - before
        assert VARIANT != "release" or grown < 512, f"{grown} KiB"


def test_files_left_open_end_with_the_agent():
    with folder() as top:
        put(f"{top}/f", b"content")
        a = Files(rule(top))
        with contextlib.closing(a.client):
            for _ in range(5):
                a.open(f"{top}/f", "r+")
            assert len(a.op_children()) == 5
        a.agent.stop()  # asserts that no process is left
        shutil.rmtree(a.root)


# ---- what is no regular file --------------------------------------------------------

def special(top):
    os.mkfifo(f"{top}/fifo")
    os.mkdir(f"{top}/directory")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{top}/socket")
    found = [f"{top}/{name}" for name in ("fifo", "directory", "socket")]
    if os.geteuid() == 0:
        os.mknod(f"{top}/device", 0o600 | 0o020000, os.makedev(1, 5))
        os.mknod(f"{top}/disk", 0o600 | 0o060000, os.makedev(7, 0))
        found += [f"{top}/device", f"{top}/disk"]
    listener.close()
    return found


def test_what_is_no_regular_file_is_refused():
    with files() as (f, top):
        for path in special(top) + [top, f"{top}/", f"{top}/directory/."]:
            for mode in ("r", "w", "a", "r+", "w+", "a+"):
                f.fails(REFUSED, "open", path=path, mode=mode)
        f.answers()


def test_a_fifo_that_may_be_opened_makes_nobody_wait():
    with files(file_type="regular ; fifo") as (f, top):
        special(top)
        path = f"{top}/fifo"
        f.fails("No such device or address", "open", path=path, mode="w")
        h = f.open(path)
        assert f.ok("read", handle=h)["count"] == 0  # nobody writes
        writer = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        f.fails("Resource temporarily unavailable", "read", handle=h)
        os.write(writer, b"words")
        assert f.read(h) == b"words"
        os.close(writer)
        f.close(h)
        # Full, with nobody who reads: what fits is taken, the rest refused.
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        h = f.open(path, "a")
        assert f.write(h, bytes(MAX))["return"]["count"] == MAX
        for _ in range(40):
            reply = f.write(h, bytes(MAX))
            if "error" in reply:
                break
        assert "Resource temporarily unavailable" in reply["error"]["desc"]
        os.close(reader)
        assert "error" in f.write(h, b"x")  # EPIPE, not SIGPIPE
        f.close(h)


# ---- the agent itself ---------------------------------------------------------------

OWN = ("mem", "maps", "environ", "status", "auxv", "fd/3", "fdinfo/3", "oom_score_adj",
       "comm", "coredump_filter", "clear_refs", "attr/current")


def test_the_process_that_opens_is_no_file_of_the_guest():
    """Under the profile that allows the most, by any name that leads to it."""
    with Files(profile="legacy") as f:
        for name in ("self", "thread-self"):
            for file in OWN:
                for mode in ("r", "r+"):
                    reply = f.call("open", path=f"/proc/{name}/{file}", mode=mode)
                    assert "error" in reply, (name, file, mode, reply)
        for path in ("/dev/fd/3", "/proc/net/../mem", "/proc/self/task/../mem"):
            assert "error" in f.call("open", path=path), path
        # Links there are read, and what they say is looked for; nobody steps through them.
        opened = f.call("open", path="/dev/stdin")
        if "return" in opened:
            f.close(opened["return"])
        for record in f.agent.records():
            if record.get("POSTERN_REASON") == "rule":
                assert not record.get("POSTERN_FILE_OPENED", "").startswith("/proc/"), record
        assert f.agent.child("worker") == f.worker


def test_no_process_of_the_agent_is_read_or_changed():
    """Memory, descriptors and roots; nor is any magic link followed."""
    if os.geteuid() != 0:
        tap.skip("needs root: somebody else's processes are not the caller's to open")
    with folder() as top, Files(profile="legacy") as f:
        put(f"{top}/f", b"content")
        handle = f.open(f"{top}/f")
        for pid in f.state():
            for file in ("mem", "environ", "maps", "auxv", "exe", "fd/0", "fd/3", "fd/4",
                         "cwd", "root", "root/etc/passwd", "cwd/etc/passwd"):
                for mode in ("r", "r+", "w", "a"):
                    reply = f.call("open", path=f"/proc/{pid}/{file}", mode=mode)
                    assert "error" in reply, (pid, f.agent.pid, file, mode, reply)
        # The links of others are as closed.
        for file in ("exe", "fd/0", "root/etc/passwd", "cwd/."):
            reply = f.call("open", path=f"/proc/{os.getpid()}/{file}")
            assert "error" in reply, (file, reply)
        assert f.read(handle) == b"content"
        f.close(handle)


def test_paths_that_are_no_paths():
    with files() as (f, top):
        put(f"{top}/f")
        os.symlink("loop", f"{top}/loop")
        long = "/" + "a" * 255
        for path in ("", "/", "//", ".", "..", "\n", "f", "a" * 256, "/" * 5000, long * 16,
                     long * 1000, "/" + "../" * 2000 + "etc/passwd", "a/" * 400000,
                     f"{top}/loop", f"{top}/f/", f"{top}/f/..", f"{top}/f/.", "\ufffd",
                     f"{top}/" + "x" * 256, f"{top}/none/new"):
            for mode in ("r", "w", "a+"):
                reply = f.call("open", path=path, mode=mode)
                assert "error" in reply, (path[:80], mode, reply)
        assert sorted(os.listdir(top)) == ["f", "loop"]
        for mode in ("", "R", "rw", "wx", "re", "r,ccs=x", "a" * 1000, "r\n"):
            f.fails("invalid file open mode", "open", path=f"{top}/f", mode=mode)
        f.answers()


# ---- a file system that stops -------------------------------------------------------

POINT = "/run/fuse"


@contextlib.contextmanager
def stopping(**keys):
    """A FUSE mount, its server, and an agent whose rule allows what is in it."""
    with scratch.namespaces(), fuse.Server(POINT) as server, \
            Files(rule(POINT, **keys)) as f:
        try:
            yield f, server
        except BaseException:
            server.kill()  # or what hangs could not be cleared away
            raise


def stop(server):
    """Requests are not taken any more."""
    os.kill(server.pid, signal.SIGSTOP)


def take_and_wait(kind):
    """Requests are taken and not answered: their waiters cannot be killed."""
    return lambda server: server.hold(kind)


def resume(server):
    os.kill(server.pid, signal.SIGCONT)
    server.answer()


def killed(server):
    server.kill()


# Where an open can hang: on the way, at its file system's kind, at its end.
WAYS = [("stopped", stop), ("looking", take_and_wait("LOOKUP")),
        ("at statfs", take_and_wait("STATFS")), ("opening", take_and_wait("OPEN"))]


def send_open(f, server):
    f.client.send(json.dumps({"execute": "guest-file-open",
                              "arguments": {"path": server.file}}).encode())


def hung_open(way, end):
    """The client gives an open up that hangs; ping is answered meanwhile and later."""
    with stopping() as (f, server):
        way(server)
        send_open(f, server)
        f.client.nothing(0.5)
        assert f.client.sync() == []  # abandoned: its reply never comes
        assert f.client.call("guest-ping") == {"return": {}}
        assert f.client.call("guest-get-osinfo")["return"]
        assert len(f.op_children()) == 1
        end(server)
        f.all_gone()  # it opened, and was closed; or it failed
        f.client.nothing()
        f.answers()
        assert not [r for r in f.agent.records() if r["POSTERN_EVENT"] == "file-open"]


def test_an_open_that_hangs_is_given_up():
    for name, way in WAYS:
        print(f"# {name}")
        hung_open(way, resume)


def test_an_open_whose_client_left():
    with stopping() as (f, server):
        server.hold("OPEN")
        send_open(f, server)
        f.client.nothing(0.3)
        f.client.close()
        f.client = f.agent.client()
        f.answers()
        assert len(f.op_children()) == 1
        server.answer()
        f.all_gone()
        f.client.nothing()


def test_an_open_that_hangs_ends_with_the_server():
    for name, way in WAYS[:1] + WAYS[-1:]:
        print(f"# {name}")
        hung_open(way, killed)


def test_an_open_whose_time_is_over_ends_its_process():
    """If it can be ended; the error comes at its time anyway."""
    for way in (stop, take_and_wait("OPEN")):
        with stopping(time_limit="1s") as (f, server):
            way(server)
            f.fails("did not finish within 1 s", "open", path=server.file)
            if way == stop:
                f.all_gone()
            else:
                assert len(f.op_children()) == 1
            f.answers()
            resume(server)
            f.all_gone()
            h = f.open(server.file)
            assert f.read(h) == server.content
            f.close(h)


def test_opens_that_hang_are_counted_and_capped():
    with stopping(time_limit="100ms") as (f, server), folder() as top:
        server.hold("OPEN")

        def full():
            """On a busy machine one may end before it got as far as to hang."""
            reply = f.call("open", path=server.file)["error"]["desc"]
            assert NO_ROOM in reply or "did not finish within" in reply, reply
            assert len(f.op_children()) <= LOOKING_MAX
            return NO_ROOM in reply and len(f.op_children()) == LOOKING_MAX
        wait_until(full, "as many as may hang")
        began = f.settled()
        for _ in range(20):
            f.fails(NO_ROOM, "open", path=server.file)
            f.fails(NO_ROOM, "open", path=f"{top}/new", mode="w")
        assert f.settled() == began
        f.answers()
        assert f.client.call("guest-get-osinfo")["return"]
        assert f.client.call("guest-get-time")["return"]
        server.answer()
        f.all_gone()
        f.close(f.open(server.file))


def test_operations_on_a_file_that_hang():
    for kind, name, arguments in (("READ", "read", {}),
                                  ("WRITE", "write", {"buf-b64": "YQ=="})):
        with stopping() as (f, server):
            h = f.open(server.file, "r+")
            server.hold(kind)
            f.client.send(json.dumps({"execute": f"guest-file-{name}",
                                      "arguments": {"handle": h, **arguments}}).encode())
            f.client.nothing(0.3)
            f.answers()
            f.fails(f"handle '{h}' is busy: guest-file-{name} is in progress", "read",
                    handle=h)
            f.fails(f"handle '{h}' is busy: guest-file-{name} is in progress", "flush",
                    handle=h)
            began = time.monotonic()
            f.close(h)  # at once, although its process cannot be ended yet
            assert time.monotonic() - began < 10
            f.fails("has not been found", "read", handle=h)
            assert len(f.op_children()) == 1
            server.answer()
            f.all_gone()


def test_a_close_that_hangs_frees_its_handle():
    with stopping() as (f, server):
        h = f.open(server.file, "r+")
        server.hold("FLUSH")
        f.client.send(b'{"execute":"guest-file-close","arguments":{"handle":%d}}' % h)
        f.client.nothing(0.3)
        f.answers()
        f.close(h)
        f.fails("has not been found", "close", handle=h)
        server.answer()
        f.all_gone()


def test_files_of_a_server_that_is_gone():
    with stopping() as (f, server):
        handles = [f.open(server.file, "r+") for _ in range(5)]
        server.kill()
        for h in handles:
            f.fails("failed to read file", "read", handle=h)
            assert "error" in f.write(h, b"x")
            f.call("close", handle=h)  # whatever it says
            f.fails("has not been found", "close", handle=h)
        f.all_gone()
        f.fails("Transport endpoint is not connected", "open", path=server.file)


def test_processes_that_cannot_be_ended_are_capped():
    """A file whose operation took too long is closed. Its process may still be there, and
    counts, although nobody can name it any more."""
    with stopping(time_limit="100ms") as (f, server):
        server.hold("READ")

        def full():
            reply = f.call("open", path=server.file)
            assert len(f.op_children()) <= CHILDREN_MAX
            if "return" not in reply:
                return NO_ROOM in reply["error"]["desc"]
            f.fails("did not finish within", "read", handle=reply["return"])
            f.fails("has not been found", "close", handle=reply["return"])
            return False
        wait_until(full, "as many as may hang", 30)
        assert len(f.op_children()) > LOOKING_MAX
        f.answers()
        server.answer()
        f.all_gone()
        f.close(f.open(server.file))


def test_the_agent_stops_although_something_hangs():
    with scratch.namespaces(), fuse.Server(POINT) as server:
        f = Files(rule(POINT, time_limit="200ms"))
        try:
            server.hold("OPEN")
            f.fails("did not finish within", "open", path=server.file)
            f.client.close()
            hung = f.op_children()
            f.agent.process.send_signal(signal.SIGTERM)
            assert f.agent.process.wait(PATIENCE) == 0
            server.answer()
            wait_until(lambda: all(is_zombie(p) or not os.path.exists(f"/proc/{p}")
                                   for p in hung), "the process that hung")
        finally:
            server.answer()
            f.agent.kill()
            shutil.rmtree(f.root)


tap.run(tap.tests(globals()), limit=60 if VARIANT == "release" else 180)
