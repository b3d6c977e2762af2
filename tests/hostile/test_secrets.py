#!/usr/bin/python3
# run: limit 240
"""A password that the host sets, or a key that it adds, is gone once its request was passed
on or refused, whatever was wrong with it: it stands in no process's memory, no log, no record,
no argument, no environment.

The test sends random text and looks for any piece of it, as it was typed and as base64. It
does not look into the kernel, nor into itself.
"""
# pylint: disable=missing-function-docstring
import base64
import json
import os
import select
import signal
import time

import tap
from agent import VARIANT, Agent, comm, descendants, wait_until
from memory import Needles, is_ours, memory, random_text

# What the sanitizers keep takes long to search: there, one that is short and one that is not.
LENGTHS = (8, 200, 3000, 70000) if VARIANT == "release" else (8, 3000)


# ---- looking for it ----------------------------------------------------------------------

def places(agent):
    """(name, content) of whatever a secret could stand in."""
    for pid in [agent.pid] + descendants(agent.pid):
        try:
            for what in ("cmdline", "environ"):
                with open(f"/proc/{pid}/{what}", "rb") as f:
                    yield f"{comm(pid)} {what}", f.read()
            yield from memory(pid)
        except (FileNotFoundError, ProcessLookupError):
            pass  # it ended meanwhile
    for top, _, names in os.walk(agent.dir):
        for name in names:
            path = os.path.join(top, name)
            if os.path.isfile(path):
                with open(path, "rb") as f:
                    yield path, f.read()


def found(agent, needles):
    hits = ((name, needles.found(content)) for name, content in places(agent))
    return [(name, piece) for name, piece in hits if piece]


class Watched(Agent):
    """An agent that is asked with secrets, and searched."""

    def __init__(self, profile="legacy", **kind):
        if os.geteuid() != 0:
            tap.skip("needs root, to look into the memory of other processes")
        self.needles = Needles()
        super().__init__(profile=profile, **kind)

    def secret(self, length):
        """A new one: its text, and as it goes over the channel."""
        text = random_text(length)
        coded = base64.b64encode(text)
        self.needles.add(text)
        self.needles.add(coded)
        return text, coded

    def hits(self):
        return [hit for hit in found(self, self.needles) if is_ours(hit[0])]

    def check(self, what):
        """The reply comes a moment before its sender has cleaned up; no later message may
        be needed for that, so none is sent."""
        hits = self.hits()
        for _ in range(3):
            if hits:
                time.sleep(0.2)
                hits = self.hits()
        assert not hits, f"{what}: {hits!r:.1500}"

    def password(self, length):
        return request(self.secret(length)[1])


def request(password, user=b"nobody-such", more=b""):
    return (b'{"execute":"guest-set-user-password","arguments":{"username":"%s","password":"%s"'
            b',"crypted":false%s}}\n' % (user, password, more))


def in_pieces(client, data, size):
    for n in range(0, len(data), size):
        client.send(data[n:n + size])


def errors(client, count):
    for line in client.recv_replies(count, 60):
        assert "error" in json.loads(line), line


# ---- what the search finds ---------------------------------------------------------------

def test_the_search_finds_what_is_there():
    with Watched(env={"POSTERN_MARK": "marked" + "EnvironmentOf"}) as a, a.client() as c:
        for mark, places_of in ((b"EnvironmentOf", {"postern environ"}), (b"unix-listen", set())):
            needles = Needles()
            needles.add(mark)
            names = {name for name, _ in found(a, needles)}
            assert places_of <= names and "postern [stack]" in names, (mark, names)
        # The name of a user may stand in a record, and does.
        needles, user = Needles(), random_text(40)
        needles.add(user)
        c.send(request(a.secret(20)[1], user))
        errors(c, 1)
        a.wait_record(lambda r: user.decode() in json.dumps(r))
        assert a.audit_path in {name for name, _ in found(a, needles)}
        a.check("beside the name")
        # Each process is looked into: the name of its program is on its stack.
        seen = {name for name, content in places(a) if b"postern-" in content}
        for program in ("postern-worker", "postern-reader", "postern-fronten",
                        "postern-inspect"):
            assert program + " [stack]" in seen, seen


def test_a_password_under_way_is_found():
    for length in LENGTHS[1:]:
        with Watched() as a, a.client() as c:
            half = a.password(length)[:-length // 2]
            in_pieces(c, half, 1 if length == 200 else len(half))
            wait_until(lambda a=a: [n for n, _ in found(a, a.needles) if "fronten" in n],
                       "what is read to be found")


# ---- requests that are well-formed -------------------------------------------------------

def test_in_one_write():
    with Watched() as a, a.client() as c:
        for length in LENGTHS:
            c.send(a.password(length))
            errors(c, 1)
            a.check(length)


def test_byte_by_byte():
    with Watched() as a, a.client() as c:
        for length in LENGTHS:
            in_pieces(c, a.password(length), 1)
            errors(c, 1)
            a.check(length)


def test_among_others():
    ping, name = b'{"execute":"guest-ping"}', b'{"execute":"guest-get-host-name","id":[1]}'
    with Watched() as a, a.client() as c:
        secrets = [a.password(length) for length in LENGTHS * 2]
        c.send(b"".join(ping + name + s for s in secrets))
        c.recv_replies(3 * len(secrets))
        a.check("among others")


def test_refused_by_the_policy():
    with Watched("safe") as a, a.client() as c:
        for length in LENGTHS:
            c.send(a.password(length))
            errors(c, 1)
            a.check(length)


def test_spelled_in_other_ways():
    """The scanner puts down the same text for all of them."""
    with Watched() as a, a.client() as c:
        for length in LENGTHS[1:]:
            text = a.secret(length)[1]
            c.send(request(b"".join(b"\\u%04x" % b for b in text)))
            c.send(request(a.secret(length)[1]).replace(b'"', b"'"))
            text = a.secret(length)[1]
            c.send(request(text[:50] + b"\\n" + text[50:]))
            errors(c, 3)
            a.check(length)


def test_keys():
    with Watched() as a, a.client() as c:
        for length in LENGTHS[1:]:
            for command in ("add", "remove"):
                keys = [f"ssh-ed25519 {a.secret(length)[0].decode()} a@b" for _ in range(3)]
                c.send(json.dumps({"execute": f"guest-ssh-{command}-authorized-keys",
                                   "arguments": {"username": "nobody-such",
                                                 "keys": keys}}).encode())
                errors(c, 1)
                a.check((command, length))


def test_keys_that_are_none():
    """The error quotes such a key."""
    with Watched() as a, a.client() as c:
        for length in LENGTHS[1:3]:
            for make in (lambda s: "#" + s, lambda s: "ssh-rsa " + s + "\n", lambda s: "\n" + s):
                for command in ("add", "remove"):
                    key = make(a.secret(length)[0].decode())
                    c.send(json.dumps({"execute": f"guest-ssh-{command}-authorized-keys",
                                       "arguments": {"username": "nobody-such",
                                                     "keys": [key]}}).encode())
                    errors(c, 1)
                    a.check((command, length))


def test_keys_with_a_fingerprint():
    """What was decoded for it is gone as well."""
    with Watched() as a, a.client() as c:
        for length in LENGTHS[1:3]:
            raw = b"\0\0\0\x0bssh-ed25519" + a.secret(length)[0]
            coded = base64.b64encode(raw)
            a.needles.add(coded[28:])
            c.send(json.dumps({"execute": "guest-ssh-add-authorized-keys", "arguments": {
                "username": "nobody-such",
                "keys": [f"ssh-ed25519 {coded.decode()} a@b"]}}).encode())
            errors(c, 1)
            a.check(length)


# ---- requests with something wrong -------------------------------------------------------

BAD_ARGUMENTS = [
    ("no base64", lambda s: request(s + b"!")),
    ("no base64 within", lambda s: request(s[:len(s) // 2] + b"!" + s[len(s) // 2:])),
    ("a member too many", lambda s: request(s, more=b',"other":1')),
    ("a member too few", lambda s: request(s).replace(b',"crypted":false', b"")),
    ("a wrong type", lambda s: request(s).replace(b"false", b'"no"')),
    ("a list", lambda s: request(s).replace(b'"%s"' % s, b'["%s"]' % s)),
    ("an object", lambda s: request(s).replace(b'"%s"' % s, b'{"a":"%s"}' % s)),
    ("another member's name", lambda s: request(s).replace(b'"password"', b'"buf-b64"')),
    ("a command that is none", lambda s: request(s).replace(b"set-user", b"set-nobody")),
    ("beside the arguments", lambda s: request(s).replace(b"}}", b'},"x":"%s"}' % s)),
    ("too deep", lambda s: request(s).replace(b'"%s"' % s, b"[" * 9 + b'"%s"' % s + b"]" * 9)),
]

MALFORMED = [
    ("a control character", lambda s: request(s + b"\x01")),
    ("a control character at once", lambda s: request(s[:100] + b"\x02" + s[100:])),
    ("no text", lambda s: request(s + b"\xfa")),
    ("a bad escape", lambda s: request(s[:100] + b"\\uD800" + s[100:])),
    ("a bad escape, quoted", lambda s: request(b"\\u12" + s)),
    ("a bad letter", lambda s: request(s + b"\\q")),
    ("no colon", lambda s: request(s).replace(b'"password":', b'"password"')),
    ("no comma", lambda s: request(s).replace(b'",', b'"')),
    ("a keyword", lambda s: request(s).replace(b'"%s"' % s, s.lower())),
    ("twice", lambda s: request(s, more=b',"password":"%s"' % s)),
    ("no object", lambda s: b'["%s"]' % s),
    ("text alone", lambda s: b'"%s"' % s),
    ("a bracket too many", lambda s: request(s).replace(b"}}", b"]}}")),
    ("too long", lambda s: request(s * ((2 << 20) // len(s)))),
    ("a name too long", lambda s: b'{"%s":1}' % (s * ((2 << 20) // len(s)))),
    ("too many", lambda s: b'{"arguments":[%s' % (b'"%s",' % s * 140000 if len(s) < 20
                                                   else b'"%s",' % s * 3 + b"\x03")),
]


def send_bad(agent, kinds, lengths):
    """Each kind leaves at least one error, and the channel is brought into step only after
    the search, which needs the reply to have come."""
    for length in lengths:
        for what, make in kinds:
            with agent.client() as c:
                text = agent.secret(length)[1]
                if what == "a keyword":
                    agent.needles.add(text.lower())
                c.send(make(text))
                line = c.recv_replies(1)[0]
                assert b'"error"' in line, (what, line)
                agent.check((what, length))
                c.reset()


def test_bad_arguments():
    with Watched() as a:
        send_bad(a, BAD_ARGUMENTS, LENGTHS)


def test_bad_arguments_that_the_policy_refuses():
    with Watched("safe") as a:
        send_bad(a, BAD_ARGUMENTS, LENGTHS[1:3])


def test_malformed():
    with Watched() as a:
        send_bad(a, MALFORMED, LENGTHS)


def test_begun_anew_halfway():
    with Watched() as a, a.client() as c:
        for length in LENGTHS:
            whole = a.password(length)
            for end in (-20, -length // 2 - 20):
                c.send(whole[:end])
                c.send(b"\xff")
                errors(c, 1)
                a.check((length, end))
                c.reset()


# ---- clients that go, workers that do not answer -----------------------------------------

def ended(agent):
    return len([r for r in agent.records() if r["POSTERN_EVENT"] == "disconnect"])


def leave(agent, client):
    before = ended(agent)
    client.close()
    wait_until(lambda: ended(agent) > before, "the record of its end")


def test_a_client_that_goes_halfway():
    with Watched() as a:
        for length in LENGTHS:
            for size in (1 << 20, 1):
                c = a.client()
                in_pieces(c, a.password(length)[:-length // 2 - 20], size)
                leave(a, c)
                a.check((length, size))


def test_a_client_that_does_not_read():
    """What it sent waits unread in the buffer when it goes."""
    with Watched() as a:
        for length in LENGTHS[:3]:
            c = a.client()
            ping = b'{"execute":"guest-ping","id":"%s"}' % (b"i" * 4000)
            many, sent = ping + a.password(length), 0
            while select.select([], [c.sock], [], 0.3)[1]:
                sent += c.sock.send(many[sent % len(many):])
            assert sent > 300000, sent
            assert [n for n, _ in found(a, a.needles) if "fronten" in n], "nothing was read"
            leave(a, c)
            a.check(length)


def test_in_front_of_what_cannot_be_read_yet():
    """The queue is full, so what follows the bad request stays in the buffer."""
    with Watched() as a, a.client() as c:
        worker = a.child("worker")
        for length in LENGTHS[:3]:
            os.kill(worker, signal.SIGSTOP)
            try:
                c.send(b'{"execute":"guest-get-host-name"}'
                       + a.password(length).replace(b"set-user", b"set-nobody")
                       + b'{"execute":"guest-ping"}' * 300)
                time.sleep(0.5)
                a.check(length)
            finally:
                os.kill(worker, signal.SIGCONT)
            c.recv_replies(302)


def test_abandoned():
    with Watched() as a, a.client() as c:
        for length in LENGTHS:
            worker = a.child("worker")
            os.kill(worker, signal.SIGSTOP)
            try:
                c.send(a.password(length))
                c.sync(10)
            finally:
                os.kill(worker, signal.SIGCONT)
            a.check(length)


def test_more_than_the_worker_takes():
    """The frontend queues frames for a worker that does not read."""
    with Watched() as a:
        worker = a.child("worker")
        os.kill(worker, signal.SIGSTOP)
        try:
            with a.client() as c:
                c.send(b"".join(a.password(60000) for _ in range(12)))
            # Nobody waits for what a client that went left behind, two seconds later.
            with a.client() as c:
                c.sync(10)
            assert [n for n, _ in found(a, a.needles) if "fronten" in n], "nothing was queued"
        finally:
            os.kill(worker, signal.SIGCONT)
        wait_until(lambda: len([r for r in a.records() if r["POSTERN_EVENT"] == "decision"]) == 12,
                   "all decisions")
        a.check("queued")


def test_a_worker_that_is_killed():
    with Watched() as a, a.client() as c:
        worker, frontend = a.child("worker"), a.child("frontend")
        os.kill(worker, signal.SIGSTOP)
        for length in LENGTHS:
            c.send(a.password(length))
        time.sleep(0.3)
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: a.child("frontend") != frontend, "another frontend")
        a.wait_ready()
        a.check("killed")


tap.run(tap.tests(globals()), 120 if VARIANT == "asan" else 60)
