#!/usr/bin/python3
"""Whoever connects to the control socket and does not speak as posternctl does is hung up on,
and costs no more than that: no other process hears of it, no descriptor and no memory stays.
"""
# run: limit 150
import contextlib
import json
import os
import random
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time

import frost
import guard
import programs
import tap
from agent import PATIENCE, VARIANT, build_dir, free_uids, helper, stopped, wait_until
from hostile import HELLO, POLICY, Descriptors, Peer, fd_count, frame, rss_kib
from reloading import reader

IS_ROOT = os.geteuid() == 0
INFO = '[policy]\nbase = none\n[rule "info"]\neffect = allow\ncommand = @info\n'
NARROW = '[policy]\nbase = none\n[rule "time"]\neffect = allow\ncommand = guest-get-time\n'
CONTROL, CONTROLLED, TYPES = 20, 21, 22
STATUS, RELOAD, VERBS = 0, 1, 3
UNCHANGED, WAITS = 2, 3
SERVED = 4  # at the same time


def ask(verb):
    return frame(CONTROL, body=bytes([verb]))


def connect(agent):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.connect(agent.control)
    return Peer(s)


def greeted(agent):
    peer = connect(agent)
    peer.greet()
    return peer


def answered(peer, verb, kind=CONTROLLED):
    peer.send(ask(verb))
    f = peer.recv()
    assert f.type == kind and (kind == POLICY or f.body[0] == verb), (verb, f.type, f.body[:9])
    return f


def serves(agent, client=None):
    """A new connection is served, as is the channel (by CLIENT, if there is one). Slots come
    free as the worker sees that their clients went."""
    def status_is_told():
        with contextlib.closing(connect(agent)) as peer:
            try:
                peer.greet()
                answered(peer, STATUS)
                return True
            except Exception:  # pylint: disable=broad-except # hung up in some way
                return False
    wait_until(status_is_told, "an answer")
    with contextlib.nullcontext(client) if client else agent.client() as c:
        assert "return" in c.call("guest-get-osinfo")


@contextlib.contextmanager
def agent(policy=INFO, **how):
    """An agent of which the worker, and what it holds, is the same afterwards."""
    with programs.agent(policy, **how) as a:
        serves(a)
        worker = a.child("worker")
        before = fd_count(worker)
        yield a
        serves(a)
        assert a.child("worker") == worker, a.stderr()
        if before is not None:
            wait_until(lambda: fd_count(worker) == before,
                       lambda: f"{before} descriptors, not {fd_count(worker)}")
        assert "Sanitizer" not in a.stderr(), a.stderr()


# ---- who may connect -----------------------------------------------------------------------

CONNECT = """
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.settimeout(10)
try:
    s.connect(sys.argv[1])
    print(len(s.recv(1 << 17)))
except OSError as why:
    print(type(why).__name__)
"""


def another():
    """Become a user who is nobody."""
    uid = free_uids(5)[-1]
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def as_another(agent):
    """What another user gets: the name of an error, or the number of bytes of a hello."""
    done = subprocess.run(["/usr/bin/python3", "-c", CONNECT, agent.control], check=True,
                          stdout=subprocess.PIPE, text=True,
                          preexec_fn=lambda: guard.harmless(another))
    return done.stdout.strip()


def test_another_user():
    if not IS_ROOT:
        tap.skip("needs root, to be another user")
    with agent() as a:
        assert as_another(a) == "PermissionError"
        os.chmod(a.dir, 0o755)  # it keeps others out by itself
        assert as_another(a) == "PermissionError"
        os.chmod(a.control, 0o777)  # and so does the worker
        assert as_another(a) in ("0", "ConnectionResetError")
        with contextlib.closing(greeted(a)) as p:
            answered(p, STATUS)


def test_posternctl_of_another_user():
    """It says who may; the program is handed over open, as its folder may be private."""
    if not IS_ROOT:
        tap.skip("needs root, to be another user")
    with agent() as a:
        os.chmod(a.dir, 0o755)
        program = os.open(os.path.join(a.programs, "posternctl"), os.O_RDONLY)
        try:
            done = subprocess.run([f"/proc/self/fd/{program}", "status", "-c", a.control],
                                  pass_fds=[program], check=False, text=True,
                                  capture_output=True,
                                  preexec_fn=lambda: guard.harmless(another))
        finally:
            os.close(program)
        assert (done.returncode, done.stdout) == (2, ""), done
        assert "root, or who runs the agent, may connect" in done.stderr, done


def test_the_confined_cannot_connect():
    """Frontend and inspector: they may not even make a socket."""
    for role in ("frontend", "inspector", "child"):
        for call in ("socket-unix", "connect"):
            done = subprocess.run([helper("integration/trysyscall"), role, call], check=False,
                                  capture_output=True, preexec_fn=guard.harmless)
            assert done.returncode == -signal.SIGSYS, (role, call, done)


# ---- what is said --------------------------------------------------------------------------

def violates(a, *packets, greet=True, fds=()):
    """The last of PACKETS has us thrown out; the frames before are answered."""
    peer = greeted(a) if greet else connect(a)
    for packet in packets[:-1]:
        peer.send(packet)
    peer.send(packets[-1], fds)
    found = peer.wait_closed()
    assert len(found) == len(packets) - 1 + (not greet), (packets, len(found))


def test_each_question():
    with agent() as a, contextlib.closing(greeted(a)) as p:
        for _ in range(3):
            answered(p, STATUS)
            answered(p, RELOAD)
            f = answered(p, 2, POLICY)
            assert struct.unpack("<I", f.body)[0] > 0 and f.generation == 1


def test_garbage():
    rnd = random.Random(1)
    with agent() as a:
        for size in (1, 2, 19, 20, 21, 22, 33, 1000, 65556, 65557, 100000):
            violates(a, rnd.randbytes(size))
            violates(a, rnd.randbytes(size), greet=False)
        violates(a, b"")


def test_cut_at_every_byte():
    with agent() as a:
        for verb in range(VERBS):
            whole = ask(verb)
            for n in range(len(whole)):
                violates(a, whole[:n])
        with contextlib.closing(connect(a)) as p:
            hello = p.recv()
        whole = frame(HELLO, body=hello.body)
        for n in range(len(whole)):
            violates(a, whole[:n], greet=False)


def test_extra_bytes():
    with agent() as a:
        for more in (b"\0", b"\1", bytes(100), bytes(65535)):
            violates(a, frame(CONTROL, body=b"\0" + more))
            violates(a, ask(STATUS) + more)
            violates(a, frame(CONTROL, body=b"\0" + more, length=1))
        violates(a, frame(CONTROL, body=b"\0", length=2))
        violates(a, frame(CONTROL, body=b"\0", length=1 << 31))


def test_wrong_verbs():
    with agent() as a:
        for verb in range(VERBS, 256):
            violates(a, ask(verb))


def test_flags_of_all_kinds():
    with agent() as a:
        for bit in range(16):
            violates(a, frame(CONTROL, flags=1 << bit, body=b"\0"))


def test_frames_of_every_other_type():
    with agent() as a:
        for kind in [*range(CONTROL), *range(CONTROLLED, TYPES + 3), 255, 65535]:
            for body in (b"", b"\0", bytes(12)):
                violates(a, frame(kind, body=body))
            violates(a, ask(STATUS), frame(kind, body=b"\0"))


def test_descriptors_beside_it():
    """Whatever they are; none of them stays."""
    with agent() as a, Descriptors() as d:
        for name, fd in d.hostile():
            for kind in (CONTROL, HELLO, POLICY, 13, 18):
                for n in (1, 2, 3, 8, 100):
                    for announced in {0, 1, min(n, 9)}:
                        violates(a, frame(kind, fds=announced, body=b"\0"), fds=[fd] * n)
            violates(a, frame(HELLO, body=bytes(12)), fds=[fd], greet=False)
            assert name


def test_a_hello_of_another_build():
    with agent() as a:
        with contextlib.closing(connect(a)) as p:
            good = p.recv().body
        for n in range(len(good)):
            bad = bytearray(good)
            bad[n] ^= 1
            violates(a, frame(HELLO, body=bytes(bad)), greet=False)
        violates(a, frame(HELLO, body=good + b"\0"), greet=False)


def test_no_hello():
    with agent() as a:
        violates(a, ask(STATUS), greet=False)
        violates(a, ask(RELOAD), greet=False)
        assert not [r for r in a.records() if r["POSTERN_EVENT"] == "reload"]


def test_two_hellos():
    with agent() as a:
        p = connect(a)
        p.greet()
        p.send(frame(HELLO, body=p.hello.body))
        assert p.wait_closed() == []


# ---- who wants too much --------------------------------------------------------------------

def flood(a, client, verb):
    """Ask 100,000 times and read nothing, until we are thrown out; of reloads, which are many to
    one, there may be no answer too many. The most descriptors that the worker had meanwhile,
    by how many more they are."""
    worker = a.child("worker")
    before, most = fd_count(worker) or 0, 0
    with contextlib.closing(greeted(a)) as peer:
        for n in range(100_000):
            if not peer.send(ask(verb)):
                return most
            if n % 500 == 0:
                most = max(most, (fd_count(worker) or 0) - before)
                assert "return" in client.call("guest-get-load")
    assert verb == RELOAD, f"{verb}: it was served to the end"
    return most


def test_a_client_that_reads_nothing():
    """It is hung up on before what waits for it is worth a word."""
    with agent() as a:
        worker = a.child("worker")
        with a.client() as c:
            for verb in range(VERBS):
                flood(a, c, verb)
                serves(a, c)
                before = rss_kib(worker)
                most = flood(a, c, verb)
                assert most < 10, (verb, most)
                serves(a, c)
                if VARIANT == "release":
                    assert rss_kib(worker) - before < 512, (verb, before, rss_kib(worker))


def test_a_client_that_reads_may_ask_on():
    with agent() as a, contextlib.closing(greeted(a)) as p:
        for n in range(3000):
            answered(p, STATUS if n % 3 else RELOAD)


def test_a_hundred_connections():
    """Four are served; the others are hung up on, and the channel is served meanwhile."""
    with agent() as a, a.client() as c:
        peers = []
        for _ in range(100):
            peers.append(connect(a))
            assert "return" in c.call("guest-get-load")
        served = []
        for p in peers:
            try:
                p.greet()
                answered(p, STATUS)
                served.append(p)
            except Exception:  # pylint: disable=broad-except # hung up in some way
                p.close()
        assert served == peers[:SERVED], len(served)
        done = a.ctl("status", status=2)
        assert "serves others at present" in done.stderr, done
        for p in served:
            answered(p, STATUS)
        served.pop().close()
        wait_until(lambda: a.ctl("status").returncode == 0, "a place that came free")
        for p in served:
            answered(p, RELOAD)
            p.close()


def test_connections_come_and_go():
    with agent() as a:
        worker = a.child("worker")
        for _ in range(200):
            greeted_or_not = connect(a)
            greeted_or_not.close()
        serves(a)
        before = rss_kib(worker)
        for n in range(2000):
            with contextlib.suppress(OSError), contextlib.closing(connect(a)) as p:
                if n % 3:
                    p.send(frame(HELLO, body=bytes(n % 13)))
                p.send(ask(n % 4))
        serves(a)
        if VARIANT == "release":
            assert rss_kib(worker) - before < 512, (before, rss_kib(worker))


# ---- reloads -------------------------------------------------------------------------------

def reloads(a):
    return [r for r in a.records() if r["POSTERN_EVENT"] == "reload"]


def test_a_client_that_leaves_a_reload():
    with agent() as a:
        with stopped(reader(a)):
            for _ in range(20):
                with contextlib.suppress(OSError):
                    p = greeted(a)
                    p.send(ask(RELOAD))
                    p.close()
            serves(a)
            a.write_policy(NARROW)
        wait_until(lambda: a.ctl_json("status")["generation"] == 2, "the new policy")
        a.write_policy(INFO)
        a.ctl("reload", status=0)


def test_a_slot_of_who_left_waits_for_nothing():
    """Whoever gets it next is not told of a reload that another asked for."""
    with agent() as a:
        with stopped(reader(a)):
            for _ in range(SERVED):
                p = greeted(a)
                p.send(ask(RELOAD))
                p.close()
            serves(a)
            peers = [greeted(a) for _ in range(SERVED)]
        wait_until(lambda: reloads(a), "the end of the reload")
        for p in peers:
            p.nothing(0.1)
            answered(p, STATUS)
            p.close()


def test_clients_that_leave_while_a_reload_waits():
    """Each is told once that it waits; the slots of those who left wait for nothing."""
    freeze = INFO + '[rule "freeze"]\neffect = allow\ncommand = @freeze\n'
    with frost.stage() as s:
        disk = s.disk("a")
        with s.agent(policy=freeze) as a, a.client() as client:
            c = frost.Calls(client)
            worker = a.child("worker")
            before = fd_count(worker)
            assert c.freeze(disk.point) == 1
            stays = greeted(a)
            assert answered(stays, RELOAD).body[1:3] == bytes([1, WAITS])
            for _ in range(10):
                leaves = greeted(a)
                assert answered(leaves, RELOAD).body[1:3] == bytes([1, WAITS])
                leaves.close()
            stays.nothing()
            news = [greeted(a) for _ in range(SERVED - 1)]
            assert c.thaw() == 1
            f = stays.recv()
            assert f.body[:3] == bytes([RELOAD, 1, UNCHANGED]), f.body
            for p in news:
                p.nothing()
                p.close()
            stays.close()
            serves(a, client)
            assert len(reloads(a)) == 1, reloads(a)
            wait_until(lambda: fd_count(worker) == before, "as many descriptors as before")


def test_reloads_without_end():
    """Asked for as fast as it goes by all that may: each is told, the files are read one after
    the other, and the channel is served."""
    with agent() as a, a.client() as c:
        peers = [greeted(a) for _ in range(SERVED)]
        end = time.monotonic() + 3
        count = 0
        while time.monotonic() < end:
            a.write_policy(NARROW + '[rule "i"]\neffect = allow\ncommand = @info\n'
                           if count % 2 else INFO)
            for p in peers:
                p.send(ask(RELOAD))
            for p in peers:
                f = p.recv()
                assert f.type == CONTROLLED and f.body[0] == RELOAD
            assert "return" in c.call("guest-get-osinfo")
            count += 1
        for p in peers:
            p.close()
        a.write_policy(INFO)
        a.ctl("reload", status=0)
        assert count > 10, count


def test_a_worker_that_is_killed_meanwhile():
    """Its clients see it go, and posternctl says so."""
    with programs.agent(INFO) as a:
        with stopped(reader(a)):
            p = greeted(a)
            p.send(ask(RELOAD))
            old = a.child("worker")
            os.kill(old, signal.SIGKILL)
            assert p.wait_closed() == []
        wait_until(lambda: a.child("worker") != old, "another worker")
        a.wait_ready()
        serves(a)


# ---- who pretends to be an agent -----------------------------------------------------------

class Pretender:
    """Listens in the place of an agent, says HELLO and sends each of PACKETS to whoever asks."""

    def __init__(self, hello, *packets, fds=()):
        self.dir = tempfile.TemporaryDirectory(prefix="postern-test-")
        self.path = os.path.join(self.dir.name, "control")
        self.said, self.fds = (hello, *packets), fds
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.bind(self.path)
        self.sock.listen()
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        with contextlib.suppress(OSError), self.sock.accept()[0] as s:
            s.recv(1 << 17)
            for packet in self.said:
                socket.send_fds(s, [packet], list(self.fds))
            s.shutdown(socket.SHUT_WR)
            while s.recv(1 << 17):
                pass

    def ask(self, verb, *args):
        program = os.path.join(build_dir(), "posternctl")
        done = subprocess.run([program, verb, "-c", self.path, "-t", "5", *args], text=True,
                              capture_output=True, timeout=PATIENCE, check=False,
                              preexec_fn=guard.harmless)
        self.sock.close()
        self.dir.cleanup()
        return done


def true_words():
    """The hello, and the answers to each question, of an agent."""
    with agent() as a, contextlib.closing(greeted(a)) as p:
        hello = frame(HELLO, body=p.hello.body)
        return hello, answered(p, STATUS).body, answered(p, RELOAD).body


def test_posternctl_asks_a_pretender():
    """What is no answer is none: one line, status 2, nothing on standard output."""
    hello, status, reload = true_words()
    good = {"status": frame(CONTROLLED, body=status), "reload": frame(CONTROLLED, body=reload)}
    for verb, packet in good.items():
        assert Pretender(hello, packet).ask(verb).returncode == 0
        other = good["reload" if verb == "status" else "status"]
        body = packet[20:]
        bad = [b"", b"garbage", packet[:-1], packet + b"\0", frame(CONTROLLED), other, hello,
               frame(POLICY, body=body), frame(CONTROL, body=body),
               frame(CONTROLLED, body=body + b"\0"), frame(CONTROLLED, body=body[:-1]),
               frame(CONTROLLED, body=b"\x09" + body[1:]), bytes(70000)]
        bad += [frame(CONTROLLED, body=body[:n]) for n in range(0, len(body), 7)]
        for packet in bad:
            done = Pretender(hello, packet).ask(verb)
            assert (done.returncode, done.stdout) == (2, ""), (packet, done)
            assert done.stderr.count("\n") == 1, (packet, done)
        for greeting in (b"", b"x", hello[:-1], hello + b"\0", packet):
            done = Pretender(greeting, packet).ask(verb)
            assert (done.returncode, done.stdout) == (2, ""), (greeting, done)


def test_what_a_pretender_says_is_escaped():
    hello, status, _ = true_words()
    for text in (b"\x1b[2Jx", b"\xff\xfe\n\rx", "\u202e".encode() + b"\x7fx"):
        assert len(text) == len(b"0.1.0")
        body = status.replace(b"0.1.0", text)
        done = Pretender(hello, frame(CONTROLLED, body=body)).ask("status")
        assert done.returncode == 0, done
        assert all(c == "\n" or c.isprintable() for c in done.stdout), repr(done.stdout)
        assert len(done.stdout.splitlines()) == 10, done.stdout
        done = Pretender(hello, frame(CONTROLLED, body=body)).ask("status", "--json")
        assert done.returncode == 0 and done.stdout.isascii(), done
        assert json.loads(done.stdout)["version"], done
    mistakes = bytes([RELOAD, 1, 4, 1]) + blob(b"one\x1b[0m") + b"\1" + blob(
        b"a:1: \x1b]0;x\x07\nb:2: \x9b1m") + b"\0"
    done = Pretender(hello, frame(CONTROLLED, body=mistakes)).ask("reload")
    assert done.returncode == 1 and len(done.stdout.splitlines()) == 3, done
    assert all(c == "\n" or c.isprintable() for c in done.stdout), repr(done.stdout)


def blob(b):
    return struct.pack("<I", len(b)) + b


def test_a_pretender_that_waits():
    """As often as it says so; a reload that waits is waited for, but not by --timeout."""
    hello, _, reload = true_words()
    waits = frame(CONTROLLED, body=bytes([RELOAD, 1, WAITS, 0, 0, 0]))
    done = Pretender(hello, waits, waits, frame(CONTROLLED, body=reload)).ask("reload")
    assert done.returncode == 0 and "waits for the thaw" in done.stderr, done
    done = Pretender(hello, waits).ask("reload", "--timeout", "1")
    assert done.returncode == 2 and done.stdout == "", done


tap.run(tap.tests(globals()), limit=60)
