#!/usr/bin/python3
# run: limit 120
"""The worker with a frontend that is wholly in an attacker's hands (A2 of the design):
any frames, any descriptors. It must survive, throw the frontend out where it broke the
rules, and do nothing that the policy forbids.
"""
# pylint: disable=missing-function-docstring
import itertools
import random
import re
import struct
import time

import tap
from agent import VARIANT, wait_until
from hostile import (ABANDON, ASKABLE, BAD_ARGS, BODY_FD, ERROR, HEAD, HELLO, HUGE, LOG,
                     MORE, OPS, POLICY, REFUSED, REPLY, REQUEST, SEALS, SESSION, TABLE,
                     Closed, Descriptors, Worker, allowed, arguments, bad_messages, bulks,
                     fd_count, frame, note, request, request_head, rss_kib, text)

SLEEP, BLOB, ACT = OPS["test-sleep"], OPS["test-blob"], OPS["test-act"]
DENIED = OPS["guest-set-user-password"]
# Sanitizers keep what was freed, so only a plain build shows what is really held.
RSS_KIB = 24 * 1024 if VARIANT == "release" else None

# ---- helpers ------------------------------------------------------------------------


def sleep_for(ms):
    return request_head() + struct.pack("<q", ms)


def keep_up(w, violations):
    """Now and then: until those so far are on record. There is little room for what the
    writer has not taken yet."""
    if violations % 50 == 0:
        wait_until(lambda: len(w.records("child-violation")) >= violations,
                   "the records so far")


def all_violate(w, cases):
    """Each case, a packet or (packet, descriptors), ends its frontend and nothing else."""
    before = len(w.records("decision"))
    told = len(w.records("child-violation"))
    for n, case in enumerate(cases, told):
        keep_up(w, n)
        packet, fds = case if isinstance(case, tuple) else (case, ())
        answers = w.violation(packet, fds)
        assert not answers, (packet[:200], [(f.type, f.body[:80]) for f in answers])
    for record in w.wait_records("child-violation", told + len(cases)):
        assert record["POSTERN_PROCESS"] == "frontend", record
    assert len(w.records("decision")) == before
    assert not w.busy()


def decided(w, before=0):
    """Decisions and ends by the number of the request in the records."""
    ends = {r["POSTERN_REQUEST"]: r for r in w.records("complete")}
    return [(d, ends.get(d["POSTERN_REQUEST"])) for d in w.records("decision")[before:]]


def with_fds(op, d, **how):
    """A request of OP that fits, and the descriptors that go with it."""
    fds = [d.memfd(b"abc") for _ in range(bulks(op))]
    return request(op, fds=len(fds), **how), fds


# ---- the frame ----------------------------------------------------------------------

def samples():
    """A frame of each kind that may come from a frontend, well-formed."""
    return [frame(ABANDON, request=1), note(words=b"abc"), frame(LOG, body=b"\6text"),
            request(DENIED, 1), request(SLEEP, 1, sleep_for(0))]


def test_every_frame_cut_at_every_byte_or_longer_by_one():
    with Worker() as w:
        all_violate(w, [packet[:n] for packet in samples() for n in range(1, len(packet))])
        all_violate(w, [packet + b"\0" for packet in samples()])
        w.works()


def test_headers_that_lie():
    cases = []
    for packet in samples():
        kind, op, number, generation, flags, fds, length = HEAD.unpack_from(packet)
        body = packet[HEAD.size:]
        lengths = {length - 1, length + 1, 0, 65536, 65537, 0x7fffffff, 0xffffffff} - {length}
        cases += [HEAD.pack(kind, op, number, generation, flags, fds, n) + body
                  for n in sorted(n for n in lengths if n >= 0)]
        cases += [HEAD.pack(kind, op, number, generation, flags, n, length) + body
                  for n in (1, 2, 3, 255, 65535)]
        cases += [HEAD.pack(kind, op, number, generation, 1 << bit, fds, length) + body
                  for bit in range(5, 16)]
        cases.append(HEAD.pack(kind, op, number, generation, BODY_FD, fds, length) + body)
        cases += [HEAD.pack(n, op, number, generation, flags, fds, length) + body
                  for n in (0, 8, 9, 255, 256, 65535)]
    with Worker() as w:
        all_violate(w, cases)
        w.works()


def test_frames_of_the_other_direction():
    with Worker("legacy") as w:
        all_violate(w, [frame(kind, op=op, request=n, flags=flags, body=body)
                        for kind in (POLICY, REPLY) for op in (0, SLEEP["number"])
                        for n in (0, 1) for flags in (0, MORE, ERROR, MORE | ERROR)
                        for body in (b"", bytes(4))])
        # Marks of a reply have no meaning on a request.
        all_violate(w, [request(SLEEP, 1, sleep_for(0), flags=flags)
                        for flags in (MORE, ERROR, MORE | ERROR | REFUSED)])


def test_a_packet_larger_than_any_frame():
    body = request_head() + text(b"a" * (TABLE["FRAME_BODY_MAX"] + 1))
    with Worker() as w:
        all_violate(w, [frame(LOG, body=body), frame(LOG, body=body[:65537]),
                        frame(LOG, body=body, length=65536)])
        w.works()


def test_an_empty_packet_ends_the_frontend():
    with Worker() as w:
        w.violation(b"")
        w.works()


# ---- hello --------------------------------------------------------------------------

def test_no_word_before_a_fitting_hello():
    with Worker("legacy") as w:
        peer = w.frontend()
        digest, version = struct.unpack("<QI", peer.hello.body)
        peer.close()
        good = struct.pack("<QI", digest, version)
        hellos = [good[:n] for n in range(len(good))] + [
            good + b"\0", struct.pack("<QI", digest ^ 1, version),
            struct.pack("<QI", digest ^ 1 << 63, version), bytes(12),
            struct.pack("<QI", digest, version + 1), struct.pack("<QI", digest, 0)]
        first = [frame(HELLO, body=body) for body in hellos] + [
            request(ACT, 1), note(), frame(LOG, body=b"\6text"), frame(ABANDON),
            frame(POLICY), frame(REPLY), bytes(20), b"x"]
        for packet in first:
            peer = w.frontend(greet=False)
            peer.send(packet)
            if packet[:2] != frame(HELLO)[:2]:  # else it would be a second one
                peer.send(frame(HELLO, body=good))
            peer.send(request(ACT, 2))
            assert {f.type for f in peer.wait_closed()} <= {HELLO, POLICY}, packet
        w.wait_records("child-violation", len(first))
        all_violate(w, [frame(HELLO, body=good), frame(HELLO)])
        assert not w.records("decision")
        assert not w.busy()


def test_nothing_behind_a_violation_is_heard():
    with Worker("legacy") as w:
        for bad in (b"x", request(DENIED, 0), request(OPS["guest-ping"], 1)):
            peer = w.frontend()
            peer.send(bad)
            peer.send(request(ACT, 9, sleep_for(5000)))
            assert not peer.wait_closed()
        w.wait_records("child-violation", 3)
        assert not w.records("decision")
        assert not w.busy()


# ---- requests that are none ---------------------------------------------------------

def test_numbers_that_are_no_operation_of_ours():
    rows = {op["number"] for op in TABLE["ops"]}
    numbers = [n for n in [*range(TABLE["OP_MAX"]), 64, 65, 127, 128, 255, 256, 32768,
                           65535] if n not in rows]
    session = [op["number"] for op in TABLE["ops"] if op["carrier"] == "BY_FRONTEND"]
    assert 0 in numbers and 63 in numbers and len(session) == 4
    with Worker("legacy") as w:
        all_violate(w, [frame(REQUEST, op, 1, 1, flags, body=body)
                        for op in numbers + session for flags in (0, REFUSED, BAD_ARGS)
                        for body in (b"", request_head())])


def test_request_numbers_only_grow():
    with Worker() as w:
        all_violate(w, [request(SLEEP, 0, sleep_for(0)), request(DENIED, 0)])
        for first, second in ((5, 5), (5, 4), (5, 1), (5, 0), (0xffffffff, 0xffffffff),
                              (0xffffffff, 0)):
            peer = w.frontend()
            peer.send(request(DENIED, first))
            assert peer.reply(first).flags == ERROR
            peer.send(request(ACT, second))
            assert not peer.wait_closed(), (first, second)
        w.wait_records("child-violation", 8)
        assert len(w.records("decision")) == 6


def test_a_generation_of_the_future():
    with Worker() as w:
        all_violate(w, [request(DENIED, 1, generation=n) for n in (2, 3, 0xffffffff)])
        w.works()


def test_arguments_cut_at_every_byte_or_longer_by_one():
    with Worker() as w, Descriptors() as d:
        bulk = d.memfd(b"abc")
        cases = []
        for op in ASKABLE:
            fds = [bulk] * bulks(op)
            body = request_head(client_id="id") + arguments(op)
            cases += [(request(op, 1, body[:n], fds=len(fds)), fds)
                      for n in range(len(body))]
            cases.append((request(op, 1, body + b"\0", fds=len(fds)), fds))
        all_violate(w, cases)
        w.works()


def test_arguments_with_one_thing_wrong():
    with Worker() as w, Descriptors() as d:
        bulk = d.memfd(b"abc")
        cases = []
        for op in ASKABLE:
            fds = [bulk] * bulks(op)
            cases += [(request(op, 1, request_head() + bad, fds=len(fds)), fds)
                      for bad in bad_messages(op["args"])]
            cases.append((request(op, 1, struct.pack("<QB", 1, 1) + HUGE, fds=len(fds)), fds))
            cases += [(request(op, 1, bad + arguments(op), fds=len(fds)), fds)
                      for bad in bad_messages(TABLE["head"])]
        assert len(cases) > 100
        all_violate(w, cases)
        w.works()


def test_a_list_that_outgrows_the_memory_for_lists():
    op = OPS["guest-fsfreeze-freeze-list"]
    n = TABLE["REQUEST_BODY_MAX"] // 4 - 100
    body = request_head() + b"\1" + struct.pack("<I", n) + bytes(4 * n)
    with Worker() as w, Descriptors() as d:
        all_violate(w, [(request(op, 1, b"", BODY_FD, 1), [d.memfd(body)])])
        w.works()


def test_bad_arguments_bring_none():
    with Worker() as w:
        all_violate(w, [request(op, 1, request_head() + arguments(op), BAD_ARGS)
                        for op in ASKABLE if op["args"]])
        all_violate(w, [request(BLOB, 1, b"", BAD_ARGS),
                        request(BLOB, 1, request_head()[:-1], BAD_ARGS)])


# ---- random -------------------------------------------------------------------------

def mutated(rng, body):
    body = bytearray(body)
    for _ in range(rng.randint(1, 2)):
        at = rng.randrange(len(body) + 1)
        what = rng.choice((0, 0, 0, 0, 1, 2, 3, 4))
        if what == 0 and body:
            body[at % len(body)] ^= 1 << rng.randrange(8)
        elif what == 1:
            body[at:at] = rng.randbytes(rng.randint(1, 9))
        elif what == 2:
            del body[at:at + rng.randint(1, 9)]
        elif what == 3:
            value = rng.choice([0, 1, 2, 0x7fffffff, 0x80000000, 0xffffffff, len(body)])
            body[at:at + 4] = struct.pack("<I", value)
        else:
            body[at:at] = body[rng.randrange(len(body) + 1):][:rng.randint(1, 40)]
    return bytes(body)


def test_mutations_of_valid_requests():
    """Under a profile that allows none of them: thrown out or refused, never carried out."""
    rng = random.Random(20260101)
    refused = violations = 0
    with Worker("none") as w, Descriptors() as d:
        bulk = d.memfd(b"abc")
        peer, number = w.frontend(), 0
        for _ in range(3000):
            op = rng.choice(ASKABLE)
            full = rng.random() < 0.7
            body = mutated(rng, request_head(client_id="id") + arguments(op, full))
            fds = [bulk] * (bulks(op, full) if rng.random() < 0.95 else rng.randint(0, 2))
            flags = rng.choice([0, 0, 0, REFUSED, BAD_ARGS])
            number += 1
            peer.send(request(op, number, body, flags, len(fds)), fds)
            try:
                reply = peer.reply(number)
                assert reply.flags == ERROR and reply.op == op["number"], vars(reply)
                refused += 1
            except Closed:
                violations += 1
                keep_up(w, violations)
                peer.close()
                peer, number = w.frontend(), 0
        w.wait_records("child-violation", violations)
        assert refused > 200 and violations > 200, (refused, violations)
        assert not w.busy()
    assert w.ended() == refused
    assert {r["POSTERN_DECISION"] for r in w.records("decision")} == {"deny"}
    assert {r["POSTERN_RESULT"] for r in w.records("complete")} == {"refused"}


def test_random_packets():
    rng = random.Random(20260102)
    with Worker("none") as w:
        all_violate(w, [rng.randbytes(rng.randint(1, 200)) for _ in range(300)])
        for _ in range(300):
            packet = frame(rng.randint(1, 7), rng.randrange(70), rng.randrange(3),
                           rng.randrange(3), rng.choice([0, rng.randrange(65536)]),
                           rng.choice([0, 0, 1]), rng.randbytes(rng.randrange(60)))
            peer = w.frontend()
            peer.send(packet)
            peer.send(b"x")
            peer.wait_closed()
        w.violation(request(OPS["guest-ping"], 1, request_head()))
        wait_until(lambda: "illegal" in w.records("child-violation")[-1]["POSTERN_DETAIL"],
                   "the last record")
        assert not [r for r in w.records("decision") if r["POSTERN_DECISION"] != "deny"]
        assert not w.busy()


# ---- descriptors --------------------------------------------------------------------

def test_descriptors_that_were_not_announced_or_are_too_many():
    with Worker() as w, Descriptors() as d:
        fd = d.memfd(b"abc")
        before = fd_count(w.pid)
        all_violate(w, [(packet, [fd] * n) for packet in samples()
                        for n in (1, 2, 3, 8, 9, 100, 253)])
        # Announced, but the kind of frame has none, or not so many.
        all_violate(w, [(frame(kind, fds=n), [fd] * n)
                        for kind in (ABANDON, SESSION, LOG, POLICY, REPLY, HELLO)
                        for n in (1, 2, 3)])
        all_violate(w, [(request(SLEEP, 1, sleep_for(0), fds=n), [fd] * n)
                        for n in (1, 2, 3, 8)])
        all_violate(w, [(request(OPS["guest-file-write"], 1, fds=n), [fd] * n)
                        for n in (0, 2, 3)])
        all_violate(w, [(b"", [fd]), (b"x", [fd] * 9)])
        w.works().close()
        wait_until(lambda: not w.busy(), "the op child to go")
        wait_until(lambda: before in (None, fd_count(w.pid)),
                   lambda: f"{before} descriptors, there are {fd_count(w.pid)}")


def test_bodies_in_what_is_no_sealed_memfd():
    body = request_head() + arguments(DENIED)
    with Worker() as w, Descriptors() as d:
        unsealed = [d.memfd(body, SEALS & ~(1 << bit)) for bit in range(4)]
        fds = [fd for _, fd in d.hostile()] + unsealed + [
            d.memfd(body, 0), d.memfd(b""), d.memfd(body, size=TABLE["REQUEST_BODY_MAX"] + 1),
            d.memfd(size=1 << 40)]
        all_violate(w, [(request(DENIED, 1, b"", BODY_FD, 1), [fd]) for fd in fds])
        # As it should be, but more than a request may be.
        arg = text(b"a" * 1000000)
        huge = request_head() + arg + b"\1" + struct.pack("<I", 4) + arg * 4 + bytes(3)
        assert len(huge) > TABLE["REQUEST_BODY_MAX"]
        all_violate(w, [(request(OPS["guest-exec"], 1, b"", BODY_FD, 1), [d.memfd(huge)])])
        good = d.memfd(body)
        all_violate(w, [(request(DENIED, 1, body, BODY_FD, 1), [good]),
                        (request(DENIED, 1, body[:1], BODY_FD, 1), [good]),
                        (request(DENIED, 1, b"", BODY_FD, 2), [good, good])])
        all_violate(w, [(request(DENIED, 1, b"", BODY_FD, 1), [d.memfd(bad)]) for bad in
                        (body[:-1], body + b"\0", bytes(70000), b"\xff" * 70000)])
        # What all of them were refused for is not that a body may come so.
        peer = w.frontend()
        peer.send(request(DENIED, 1, b"", BODY_FD, 1), [good])
        assert peer.reply(1).flags == ERROR
        w.wait_records("complete", 1)


def test_any_descriptor_as_bulk_of_a_refused_request():
    with Worker("none") as w, Descriptors() as d:
        before = fd_count(w.pid)
        fds = [fd for _, fd in d.hostile()] + [d.memfd(b"abc", 0), d.memfd(b"")]
        peer = w.frontend()
        for n, fd in enumerate(fds * 2, 1):
            op = OPS["guest-file-write" if n % 2 else "guest-exec"]
            peer.send(request(op, n, fds=1), [fd])
            assert peer.reply(n).flags == ERROR
        if before is not None:  # all that is more is the frontend's own socket
            wait_until(lambda: fd_count(w.pid) == before + 1, "descriptors to be closed")


# ---- what the policy forbids --------------------------------------------------------

def test_what_the_policy_forbids_is_refused_and_recorded():
    for profile in ("none", "safe"):
        with Worker(profile) as w, Descriptors() as d:
            forbidden = [op for op in ASKABLE if not allowed(profile, op)]
            assert len(forbidden) > 10 and ACT in forbidden
            marks = [0, REFUSED, BAD_ARGS, REFUSED | BAD_ARGS]
            peer, asked = w.frontend(), []
            for op in forbidden:
                for flags in marks:
                    asked.append((op, flags))
                    fds = [] if flags & BAD_ARGS else [d.memfd(b"a")] * bulks(op)
                    peer.send(request(op, len(asked), flags=flags, fds=len(fds)), fds)
                    reply = peer.reply(len(asked))
                    assert (reply.op, reply.flags) == (op["number"], ERROR), (op, flags)
                    assert not w.busy(), (op["name"], flags)
            w.wait_records("complete", len(asked))
            for (op, flags), (decision, end) in zip(asked, decided(w), strict=True):
                assert decision["POSTERN_COMMAND"] == op["name"], (op, decision)
                assert decision["POSTERN_DECISION"] == "deny", decision
                assert decision["POSTERN_REASON"] == "no-rule", decision
                assert decision.get("POSTERN_SKEW", False) == (not flags & REFUSED), decision
                assert end["POSTERN_RESULT"] == "refused", end
                assert ("POSTERN_ARGS" in decision) == (not flags & BAD_ARGS), decision


def opt(value=None):
    """An optional field of a message: absent, or its bytes behind a mark."""
    return b"\0" if value is None else b"\1" + value


def listed(*items):
    return struct.pack("<I", len(items)) + b"".join(items)


def run(path, *args, env=()):
    return (text(path) + opt(listed(*map(text, args)) if args else None) +
            opt(listed(*map(text, env)) if env else None) + opt() + opt())


def password(user, secret, crypted=False):
    return text(user) + text(secret) + bytes([crypted])


def add_keys(*keys, reset=False):
    return text("u") + listed(*map(text, keys)) + opt(bytes([reset]))


def cpu(online):
    return listed(struct.pack("<q", 1) + bytes([online]) + opt())


# Command, constraint of its only rule, arguments that keep it, arguments that do not.
CONSTRAINTS = [
    ("guest-exec", "path = /bin/nosuch", run("/bin/nosuch"), run("/bin/false")),
    ("guest-exec", "path = /bin/*", run("/bin/x"), run("/bin/x/y")),
    ("guest-exec", "argv = a ; {b|c}", run("/x", "a", "c"), run("/x", "a", "d")),
    ("guest-exec", "argv = a ; ...", run("/x", "a", "-z"), run("/x", "b")),
    ("guest-exec", "env-allow = LANG", run("/x", env=["LANG=C"]),
     run("/x", env=["LD_PRELOAD=x"])),
    ("guest-file-open", "open-mode = read", text("/x") + opt(), text("/x") + opt(text("w"))),
    ("guest-set-user-password", "user = a*", password("ab", "s"), password("b", "s")),
    ("guest-set-user-password", "user-exclude = root", password("a", "s"),
     password("root", "s")),
    ("guest-set-user-password", "crypted = only", password("a", "s", True), password("a", "s")),
    ("guest-set-user-password", "empty = no", password("a", "s"), password("a", "")),
    ("guest-ssh-add-authorized-keys", "user = u", add_keys("ssh-rsa A"),
     text("v") + listed() + opt()),
    ("guest-ssh-add-authorized-keys", "key-types = ssh-ed25519", add_keys("ssh-ed25519 A", ""),
     add_keys("ssh-rsa A")),
    ("guest-ssh-add-authorized-keys", "keys-max = 1", add_keys("k a"), add_keys("k a", "k b")),
    ("guest-ssh-add-authorized-keys", "reset = no", add_keys("k a"), add_keys(reset=True)),
    ("guest-set-time", "from-rtc = no", opt(struct.pack("<q", 1)), opt()),
    ("guest-set-vcpus", "offline = no", cpu(True), cpu(False)),
    ("guest-shutdown", "modes = reboot", opt(text("reboot")), opt()),
    ("guest-suspend-ram", "modes = disk ; ram", b"", None),
    ("guest-suspend-hybrid", "modes = disk ; ram", None, b""),
]


def test_what_a_constraint_forbids_is_refused():
    """A frontend that says nothing of its own copy's refusal: the worker's own copy holds."""
    for name, constraint, good, bad in CONSTRAINTS:
        policy = ("[policy]\nbase = none\n[rule \"r\"]\neffect = allow\n"
                  f"command = {name}\n{constraint}\ntime-limit = 500ms\n")
        with Worker(policy=policy) as w:
            peer, asked = w.frontend(), [args for args in (good, bad) if args is not None]
            for n, args in enumerate(asked, 1):
                peer.send(request(OPS[name], n, request_head() + args))
                peer.reply(n)  # at best an error: no account is found without a spawner
            w.wait_records("complete", len(asked))
            for args, (decision, _) in zip(asked, decided(w), strict=True):
                at = (name, constraint, decision)
                assert decision["POSTERN_RULE"] == "r", at
                allowed_here = decision["POSTERN_REASON"] in ("rule", "lookup", "not-supported")
                assert allowed_here == (args is good), at
                assert decision.get("POSTERN_SKEW", False) == (args is bad), at


def test_secrets_of_a_refused_request_are_in_no_record():
    secret = "Zm9vYmFyU2VjcmV0"
    password = request_head() + text("root") + text(secret) + b"\0"
    keys = request_head() + text("root") + struct.pack("<I", 1) + text(secret) + b"\0"
    env = (request_head() + text("/bin/true") + b"\0" + b"\1" + struct.pack("<I", 1)
           + text(secret) + b"\0\0")
    with Worker() as w:
        peer = w.frontend()
        for n, (name, body) in enumerate(
                (("guest-set-user-password", password), ("guest-exec", env),
                 ("guest-ssh-add-authorized-keys", keys)), 1):
            peer.send(request(OPS[name], n, body))
            assert peer.reply(n).flags == ERROR
        w.wait_records("complete", 3)
        with open(w.audit_path, encoding="ascii") as f:
            trail = f.read()
        assert trail.count("<secret>") >= 3 and secret not in trail
        assert secret.encode() not in w.stderr()


def test_a_long_request_is_cut_in_its_record_not_left_out():
    path = "/bin/" + "a" * 100000
    words = [text("word%d" % i) for i in range(5000)]
    with Worker("none") as w, Descriptors() as d:
        peer = w.frontend()
        for n, body in enumerate((text(path) + b"\1" + struct.pack("<I", 1) + text("-c"),
                                  text("/bin/x") + b"\1" + struct.pack("<I", 5000)
                                  + b"".join(words)), 1):
            fds = [d.memfd(request_head() + body + bytes(3))]
            peer.send(request(OPS["guest-exec"], n, b"", BODY_FD, 1), fds)
            assert peer.reply(n).flags == ERROR
        long, many = [r["POSTERN_ARGS"] for r in w.wait_records("decision", 2)]
        assert long.startswith('{"path": "/bin/aaa') and '"arg": ["-c"]' in long, long
        assert many.startswith('{"path": "/bin/x", "arg": ["word0", "word1"'), many
        assert len(long) < 1000 and 3500 < len(many) <= 4096, (len(long), len(many))


def test_a_forbidden_act_is_seen_where_it_is_allowed():
    """That the tests above would see a child: here is one."""
    with Worker("legacy") as w:
        peer = w.frontend()
        peer.send(request(ACT, 1, sleep_for(300)))
        wait_until(w.busy, "an op child")
        assert peer.reply(1).flags == 0
        w.wait_records("complete", 1)
        assert decided(w)[0][0]["POSTERN_DECISION"] == "allow"


def test_the_frontends_no_is_a_no():
    with Worker() as w:
        peer = w.frontend()
        peer.send(request(SLEEP, 1, sleep_for(5000), REFUSED))
        peer.send(request(SLEEP, 2, flags=BAD_ARGS))
        peer.send(request(SLEEP, 3, flags=BAD_ARGS | REFUSED))
        for n in (1, 2, 3):
            assert peer.reply(n).flags == ERROR
        assert not w.busy()
        w.wait_records("complete", 3)
        reasons = [(d["POSTERN_DECISION"], d["POSTERN_REASON"], d.get("POSTERN_SKEW", False))
                   for d, _ in decided(w)]
        assert reasons == [("deny", "frontend", True), ("deny", "arguments", False),
                           ("deny", "frontend", True)], reasons


def test_operations_of_later_builds_are_refused():
    with Worker() as w, Descriptors() as d:
        later = [op for op in ASKABLE if op["carrier"] == "BY_NOBODY" and allowed("safe", op)]
        peer = w.frontend()
        for n, op in enumerate(later, 1):
            packet, fds = with_fds(op, d, number=n)
            peer.send(packet, fds)
            reply = peer.reply(n)
            assert reply.flags == ERROR and reply.body[0] == 2, (op["name"], reply.body)
        w.wait_records("complete", len(later))
        assert {d["POSTERN_REASON"] for d, _ in decided(w)} == {"not-supported"}
        assert not w.busy()


# ---- abandoning, many at once, not reading ------------------------------------------

def test_abandon_touches_only_the_reply_of_its_own_request():
    with Worker() as w:
        peer = w.frontend()
        for n in (0, 1, 2, 7, 0xffffffff):
            peer.send(frame(ABANDON, request=n))
        peer.send(request(SLEEP, 1, sleep_for(100)))
        for n in (0, 2, 0xffffffff):
            peer.send(frame(ABANDON, request=n))
        assert peer.reply(1).flags == 0
        peer.send(frame(ABANDON, request=1))
        peer.send(request(SLEEP, 2, sleep_for(100)))
        for _ in range(3):
            peer.send(frame(ABANDON, request=2))
        ends = w.wait_records("complete", 2)
        peer.nothing()
        assert [r.get("POSTERN_ABANDONED", False) for r in ends] == [False, True], ends


def test_more_at_once_than_there_is_room_for():
    room = TABLE["REQUESTS_MAX"]
    with Worker() as w:
        peer = w.frontend()
        for n in range(1, room + 21):
            peer.send(request(SLEEP, n, sleep_for(700)))
        for n in range(room + 1, room + 21):
            reply = peer.reply(n)
            assert reply.flags == ERROR and b"in progress" in reply.body, reply.body
        assert len(w.busy()) <= room
        assert {peer.recv().request for _ in range(room)} == set(range(1, room + 1))
        w.wait_records("complete", room + 20)
        reasons = [d["POSTERN_REASON"] for d, _ in decided(w)]
        assert reasons == ["rule"] * room + ["busy"] * 20, reasons
        wait_until(lambda: not w.busy(), "the op children to go")
        w.works()


def test_who_left_and_came_back_gets_no_reply_of_old():
    with Worker() as w:
        peer = w.frontend()
        peer.send(request(SLEEP, 1, sleep_for(300)))
        wait_until(w.busy, "an op child")
        peer.send(b"x")
        peer.wait_closed()
        peer = w.frontend()
        w.wait_records("complete", 1)
        peer.nothing()
        assert decided(w)[0][1]["POSTERN_ABANDONED"] is True
        peer.send(request(BLOB, 1, request_head() + struct.pack("<q", 3)))
        assert peer.reply(1).body == text("xxx")


def test_a_frontend_that_does_not_read_is_given_up():
    n = TABLE["PEER_QUEUE_MAX"] // (1 << 20) + 4
    with Worker() as w:
        peer = w.frontend()
        for i in range(1, n + 1):
            peer.send(request(BLOB, i, request_head() + struct.pack("<q", 1 << 20)))
        # It sends nothing more, reads nothing, and is still found out.
        w.wait_records("child-violation", 1)
        peer.wait_closed()
        w.wait_records("complete", n)
        assert RSS_KIB is None or rss_kib(w.pid) < RSS_KIB, rss_kib(w.pid)
        w.works()


# ---- floods -------------------------------------------------------------------------

def test_malformed_notes():
    good = note(words=b"abc")[HEAD.size:]
    with Worker() as w:
        all_violate(w, [frame(SESSION, body=good[:n]) for n in range(len(good))])
        all_violate(w, [frame(SESSION, body=bad) for bad in bad_messages(TABLE["note"])])
        all_violate(w, [frame(SESSION, body=good + b"\0"), note(event=4), note(event=255),
                        note(words=b"a\0b")])
        # Counts there are of session commands, and of nothing that somebody else decides on.
        ping = OPS["guest-ping"]["number"]
        all_violate(w, [note(3), note(3, command=ping), note(3, outcome=0),
                        note(3, command=ping, outcome=3)])
        numbers = {*range(-1, TABLE["OP_MAX"] + 2), 1 << 32 | ping, (1 << 63) - 1, -1 << 63}
        all_violate(w, [note(3, command=n, outcome=0) for n in sorted(numbers - {
            op["number"] for op in TABLE["ops"] if op["carrier"] == "BY_FRONTEND"})])
        assert not [r for r in w.records() if "POSTERN_REPORTED_BY" in r]
        peer = w.frontend()
        peer.send(note(2, (1 << 64) - 1, (1 << 64) - 1, b"\xff\n\"\x1b[31m" + b"a" * 60000))
        record = w.wait_records("protocol-error", 1)[0]
        assert record["POSTERN_REPORTED_BY"] == "frontend"
        assert len(record["POSTERN_DETAIL"]) <= 256, record


def test_counts_are_the_frontends_word():
    with Worker() as w:
        peer = w.frontend()
        for n, outcome in ((7, 0), (1, 1), ((1 << 64) - 1, 2)):
            peer.send(note(3, 5, n, command=OPS["guest-info"]["number"], outcome=outcome))
        told = w.wait_records("decision", 3)
        assert [(r["POSTERN_DECISION"], r["POSTERN_REASON"], r["POSTERN_REPEAT"]) for r in told] \
            == [("allow", "rule", 7), ("deny", "explicit-deny", 1),
                ("error", "arguments", (1 << 64) - 1)], told
        for r in told:
            assert (r["POSTERN_REPORTED_BY"], r["POSTERN_COMMAND"], r["POSTERN_SESSION"]) == \
                ("frontend", "guest-info", 5), r
            assert "POSTERN_REQUEST" not in r, r


def test_a_flood_of_notes_costs_no_decision_record():
    notes, every = 10000, 100
    with Worker() as w:
        began = time.monotonic()
        peer, asked = w.frontend(), 0
        for i in range(notes):
            peer.send(note(i % 3, i, words=b"flood" * 50))
            if i % every == 0:
                asked += 1
                peer.send(request(DENIED, asked))
                assert peer.reply(asked).flags == ERROR
        seconds = time.monotonic() - began
        peer.send(request(DENIED, asked + 1))
        assert peer.reply(asked + 1).flags == ERROR
        ends = w.wait_records("complete", asked + 1)
        assert len(w.records("decision")) == asked + 1
        assert [e["POSTERN_REQUEST"] for e in ends] == list(range(1, asked + 2))
        told = [r for r in w.records() if "POSTERN_REPORTED_BY" in r]
        assert not [r for r in w.records() if "POSTERN_DROPPED" in r]
        most = TABLE["NOTES_BURST"] + TABLE["NOTES_PER_SEC"] * (seconds + 2)
        assert TABLE["NOTES_BURST"] <= len(told) <= most, (len(told), most)
        # What was left out is counted in the next note that is not.
        before = len(w.records("disconnect"))
        while len(w.records("disconnect")) == before:
            peer.send(note(1))
            notes += 1
            time.sleep(0.05)
        told = [r for r in w.records() if "POSTERN_REPORTED_BY" in r]
        dropped = sum(r.get("POSTERN_NOTES_DROPPED", 0) for r in told)
        assert len(told) + dropped == notes, (len(told), dropped)
        assert RSS_KIB is None or rss_kib(w.pid) < RSS_KIB, rss_kib(w.pid)


def test_a_flood_of_refused_requests_hides_nothing():
    """Records may be more than the writer keeps up with; then their number is told."""
    n = 3000
    with Worker("none") as w:
        peer = w.frontend()
        for i in range(1, n + 1):
            peer.send(request(OPS["guest-exec"], i, request_head() + text("a" * 200)
                              + b"\0\0\0\0"))
            if i % 8 == 0:
                for k in range(i - 7, i + 1):
                    assert peer.reply(k).flags == ERROR
        def room_again():
            w.violation(b"x")
            return w.records("child-violation")
        wait_until(room_again, "room for a record, which tells")
        trail = w.records()
        dropped = sum(r.get("POSTERN_DROPPED", 0) for r in trail)
        of_requests = [r for r in trail if "POSTERN_REQUEST" in r]
        assert len(of_requests) + dropped >= 2 * n, (len(of_requests), dropped)
        assert {r["POSTERN_DECISION"] for r in trail if "POSTERN_DECISION" in r} == {"deny"}


def test_no_act_without_its_record():
    """A flood of refusals takes no room from acts; and where there is none for the record of
    one, it is not done."""
    with Worker("legacy", stuck=True) as w:
        peer, numbers, acts = w.frontend(), itertools.count(1), 0

        def act(ms=0):
            n = next(numbers)
            peer.send(request(ACT, n, sleep_for(ms)))
            return peer.reply(n)

        for i in range(3000):
            n = next(numbers)
            peer.send(request(OPS["guest-exec"], n,
                              request_head() + text("a" * 200) + bytes(4), REFUSED))
            assert peer.reply(n).flags == ERROR
            if i % 50 == 0:
                assert act().flags == 0
                acts += 1
        while not (reply := act()).flags:
            acts += 1
            assert acts < 20000
        refused = 6
        wait_until(lambda: not w.busy(), "the last op child to go")
        for reply in (reply, *(act(5000) for _ in range(5))):
            assert reply.flags == ERROR and b"it cannot be recorded at present" in reply.body
            assert not w.busy()
        assert RSS_KIB is None or rss_kib(w.pid) < RSS_KIB, rss_kib(w.pid)
        w.read_records()

        def done():
            nonlocal refused
            well = act().flags == 0
            refused += not well
            return well
        wait_until(done, "an act, once there is room")
        acts += 1
        # Its end stands behind all that waited; a worker that stops waits for no reader.
        last = next(numbers) - 1
        wait_until(lambda: any(r["POSTERN_REQUEST"] == last for r in w.records("complete")),
                   "all that waited to be written")
    of_acts = [r for r in w.records() if r.get("POSTERN_COMMAND") == "test-act"]
    for event in ("decision", "complete"):
        well = [r for r in of_acts if r["POSTERN_EVENT"] == event
                and (r.get("POSTERN_DECISION") == "allow" or r.get("POSTERN_RESULT") == "ok")]
        assert len(well) == acts, (event, len(well), acts)
    # Of the refusals, equal as they are, there is the first, and a count.
    denied = [r for r in of_acts if r.get("POSTERN_DECISION") == "deny"]
    assert {r["POSTERN_REASON"] for r in denied} == {"audit-unavailable"}, denied
    assert sum(r.get("POSTERN_REPEAT", 1) for r in denied) == refused, (denied, refused)


def test_log_lines_are_escaped_bounded_and_few():
    forged = b"\6\r\n\x1b[2J\0postern-worker: forged\n\x7f\x80\xff\xe2\x80\xae"
    with Worker() as w:
        began = time.monotonic()
        peer = w.frontend()
        peer.send(frame(LOG))
        for _ in range(3000):
            peer.send(frame(LOG, body=forged))
            peer.send(frame(LOG, op=9, request=7, body=b"\x1b" * 60000))
        peer.send(request(DENIED, 1))
        assert peer.reply(1).flags == ERROR
        seconds = time.monotonic() - began
        w.wait_records("complete", 1)
        wait_until(lambda: w.stderr().count(b"\n") >= TABLE["NOTES_BURST"], "the lines")
        lines = w.stderr().split(b"\n")[:-1]
        # Of those that are left out the worker tells how many there were.
        left_out = [int(m[1]) for line in lines
                    if (m := re.fullmatch(rb"postern-worker: (\d+) lines were lost", line))]
        own = [line for line in lines if line.startswith(b"postern-frontend: ")]
        assert len(own) + len(left_out) == len(lines) <= 2 * len(own), lines
        assert len(own) <= TABLE["NOTES_BURST"] + TABLE["NOTES_PER_SEC"] * (seconds + 2)
        assert len(own) + sum(left_out) <= 6001, (len(own), left_out)
        for line in own:
            assert len(line) < 2048 and all(0x20 <= c < 0x7f for c in line), line
        assert any(b"forged" in line for line in own)


def test_a_storm_of_everything_leaves_nothing_behind():
    rng = random.Random(20260103)
    with Worker() as w, Descriptors() as d:
        w.works().close()
        wait_until(lambda: not w.busy(), "the op child to go")
        before = fd_count(w.pid)
        big = request_head() + text(b"a" * 1000000) + b"\0"
        for _ in range(60):
            peer = w.frontend()
            for n in range(1, rng.randint(2, 30)):
                what = rng.randrange(5)
                if what == 0:
                    peer.send(request(OPS["guest-file-open"], n, b"", BODY_FD, 1),
                              [d.memfd(big)])
                elif what == 1:
                    peer.send(request(BLOB, n, request_head() + struct.pack("<q", 200000)))
                elif what == 2:
                    peer.send(request(SLEEP, n, sleep_for(1)))
                elif what == 3:
                    peer.send(frame(LOG, body=rng.randbytes(2000)))
                else:
                    peer.send(note(1, n))
            peer.close()
        peer = w.frontend()  # the last one's leftovers go with its successor
        wait_until(lambda: not w.busy(), "the op children to go")
        assert before is None or fd_count(w.pid) <= before + 1, (before, fd_count(w.pid))
        assert RSS_KIB is None or rss_kib(w.pid) < RSS_KIB, rss_kib(w.pid)
        w.works()


tap.run(tap.tests(globals()), limit=60)
