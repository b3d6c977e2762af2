#!/usr/bin/python3
"""The conformance cases (tests/fixtures/conformance.txt) against Postern with the
`legacy` profile, and once against the reference agent itself, which proves the cases.
"""
# run: limit 120
import contextlib
import functools
import json
import os
import re
import shutil
import subprocess
import tempfile

import frost
import guard
import tap
from agent import Agent, Client, wait_until
from reference import is_newer

HERE = os.path.dirname(os.path.abspath(__file__))
CASES = os.path.join(HERE, "..", "fixtures", "conformance.txt")
COUNT = 248
PATIENCE = 60  # the largest cases are 64 MiB

REFERENCE = shutil.which("qemu-ga", path=os.environ["PATH"] + ":/usr/sbin:/sbin")


# ---- the file ----------------------------------------------------------------------------

class Case:
    """One block of the file; texts as written there."""

    def __init__(self, head):
        number, _, self.about = head.partition(" ")
        self.number = int(number)
        self.request = self.setup = None
        self.replies, self.newer, self.ours = [], [], []
        self.marks = {}

    def add(self, kind, text):
        if kind == ">":
            self.request = text
        elif kind == "+":
            self.setup = text
        elif kind == "<":
            self.replies.append(text)
        elif kind == "~":
            self.newer.append(text)
        elif kind == "=":
            self.ours.append(text)
        elif kind == "!":
            word, _, value = text.partition(": ")
            assert word in ("open", "on", "differs", "reference"), text
            self.marks[word] = value
        else:
            raise ValueError(f"case {self.number}: what is a line of '{kind}'?")

    @property
    def command(self):
        match = re.search(r'"execute": ?"([^"]+)"', self.request)
        return match[1] if match else None

    def __str__(self):
        return f"case {self.number} {self.about}".rstrip()


def read_cases():
    cases = []
    with open(CASES, encoding="utf-8") as f:
        for line in f.read().split("\n"):
            if not line or line.startswith(("#", "==")):
                continue
            if line[0].isdigit():
                cases.append(Case(line))
            else:
                cases[-1].add(line[0], line[2:])
    return cases


ESCAPE = re.compile(rb'\\(?:([nrt\\])|x([0-9a-f]{2})|\((\d+)\*([^)]*)\))')
LETTERS = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"\\": b"\\"}


def to_bytes(text):
    """The bytes that the C notation of the file stands for."""
    def one(m):
        if m[1]:
            return LETTERS[m[1]]
        return bytes([int(m[2], 16)]) if m[2] else m[4] * int(m[3])
    return ESCAPE.sub(one, text.encode())


def to_lines(texts):
    """Expected reply lines; `\\(5*)` in front multiplies a line."""
    lines = []
    for text in texts:
        many = re.match(r"\\\((\d+)\*\)", text)
        lines += [to_bytes(text[many.end():] if many else text)] * (int(many[1]) if many else 1)
    return lines


# ---- comparing ---------------------------------------------------------------------------

# Of guest-info's list, what is enabled then.
WHILE_FROZEN = {"guest-fsfreeze-status", "guest-fsfreeze-thaw", "guest-info", "guest-ping",
                "guest-sync", "guest-sync-delimited"}


class Members(list):
    """An object as its pairs in order; numbers stay text, so 1, 1.0 and -0 differ."""


def parse(line):
    return json.loads(line, object_pairs_hook=Members, parse_int=lambda s: ("number", s),
                      parse_float=lambda s: ("number", s), parse_constant=str)


def same(want, got, bound):
    """Equal but for the order of members and for what <...> stands for."""
    if want in ("<pid>", "<ns>"):
        good = isinstance(got, tuple) and got[1].isdigit() and int(got[1]) > 0
        if good:
            bound[want] = got[1]
        return good
    if want == "<any>":
        return isinstance(got, str)
    if want == "<six enabled>":
        return {dict(c)["name"] for c in got if dict(c)["enabled"]} == WHILE_FROZEN
    if isinstance(want, Members) and isinstance(got, Members):
        left, right = dict(want), dict(got)
        return (len(want) == len(got) and left.keys() == right.keys()
                and all(same(left[k], right[k], bound) for k in left))
    if isinstance(want, list) and isinstance(got, list) and type(want) is type(got):
        return len(want) == len(got) and all(same(w, g, bound) for w, g in zip(want, got))
    return type(want) is type(got) and want == got


# Without a choice for each byte: some strings have 64 MiB.
STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"')
IN_STRING = re.compile(rb"\\(?:u(?:[0-9A-F]{4})?|.)")
PRINTABLE = bytes(range(0x20, 0x7f))


def check_form(line):
    """What holds for every reply: ASCII, upper-case escapes, `, ` and `: ` (protocol 1.3)."""
    text = line.removeprefix(b"\xff")
    assert not text.translate(None, PRINTABLE), f"not ASCII: {line[:300]!r}"
    for string in STRING.findall(text):
        assert b"\\u" not in IN_STRING.findall(string), string[:300]
    bare = STRING.sub(b'""', text)
    assert not re.search(rb"[,:](?! )| (?<![,:] )|  ", bare), f"separators: {line[:300]!r}"


def matches(want, got, bound):
    if want == got:
        return True
    try:
        left, right = (parse(x.removeprefix(b"\xff")) for x in
                       (re.sub(rb"(?<![\"\w])<(\w+)>(?!\")", rb'"<\1>"', want), got))
    except (ValueError, RecursionError):
        return False
    order = [[k for k, _ in x] for x in (left, right)]
    return (want[:1] == b"\xff") == (got[:1] == b"\xff") and order[0] == order[1] \
        and same(left, right, bound)


# ---- running -----------------------------------------------------------------------------

class Session:
    """A connection on which the cases follow each other."""

    def __init__(self, client, scratch):
        self.client = client
        self.scratch = scratch
        self.bound = {}

    def request(self, text):
        """Bytes of a request, with $D and <...> filled in."""
        data = to_bytes(text).replace(b"$D", self.scratch.encode())
        return re.sub(rb"<\w+>", lambda m: self.bound[m[0].decode()].encode(), data)

    def exchange(self, case):
        """Send a case's request; the reply lines up to the answer of a sync behind it.
        A program's end takes time: exec-status is asked again while it says running."""
        if case.setup:
            self.client.send(self.request(case.setup))
            reply = json.loads(self.client.recv_replies(1)[0])
            self.bound["<handle>"] = str(reply["return"])
        data = self.request(case.request)
        if "open" in case.marks:
            self.client.send(data)
            self.client.nothing()
            return []
        running = [b'{"return": {"exited": false}}']
        while True:
            self.client.send(data, PATIENCE)
            got = self.client.sync(PATIENCE)
            if got != running or to_lines(case.replies) == running:
                return got

    def check(self, case, replies):
        got = self.exchange(case)
        want = [w.replace(b"$D", self.scratch.encode()) for w in to_lines(replies)]
        assert len(got) == len(want) and \
            all(matches(w, g, self.bound) for w, g in zip(want, got)), \
            f"sent {self.request(case.request)[:300]!r}\nwant {want[:4]!r:.900}\n" \
            f"got  {got[:4]!r:.900}\n({len(want)} and {len(got)} lines)"
        for line in got:
            check_form(line)


def make_scratch(folder):
    with open(os.path.join(folder, "hello"), "w", encoding="ascii") as f:
        f.write("hello world\n")
    with open(os.path.join(folder, "big"), "wb") as f:
        f.truncate(48 * 1024 * 1024)


def safely(live, check):
    """A case that failed must not upset the next: start over on the wire."""
    assert "session" in live, "it did not start"
    try:
        check()
    except AssertionError:
        live["session"].client.reset(PATIENCE)
        raise


# ---- Postern -----------------------------------------------------------------------------

def ours_tests(cases):
    """Tests of the cases against one agent, which the first starts and the last stops."""
    scratch = tempfile.mkdtemp(prefix="postern-conformance-")
    make_scratch(scratch)
    live = {}

    def start():
        live["agent"] = Agent(profile="legacy", audit=False)
        live["session"] = Session(live["agent"].client(), scratch)

    def runnable(case):
        def check():
            answers = case.ours if "differs" in case.marks else case.replies
            live["session"].check(case, answers)
        return lambda: safely(live, check)

    def stop():
        shutil.rmtree(scratch, ignore_errors=True)
        live["session"].client.close()
        live["agent"].stop()

    yield "the agent starts", start
    for case in cases:
        if "on" not in case.marks:
            yield str(case), runnable(case)
    yield "the agent stops", stop


def frozen_tests(cases, what, args):
    """Those that need a file system which may be frozen, at $D/mnt."""
    live = {}

    def start():
        with contextlib.ExitStack() as opened:
            stage = opened.enter_context(frost.stage())
            stage.disk("mnt")
            frost.hook_file("exit 7")
            agent = opened.enter_context(stage.agent(args=args, audit=False))
            client = opened.enter_context(agent.client())
            live["session"] = Session(client, stage.top)
            live["opened"] = opened.pop_all()

    def check(case):
        answers = case.ours if "differs" in case.marks else case.replies
        safely(live, lambda: live["session"].check(case, answers))

    def stop():
        live["opened"].close()

    yield f"an agent that may freeze starts: {what}", start
    if os.geteuid() != 0:
        return
    for case in cases:
        if case.marks.get("on") == what:
            yield str(case), functools.partial(check, case)
    yield f"it stops: {what}", stop


# ---- the reference -----------------------------------------------------------------------

def reference_tests(cases):
    scratch = tempfile.mkdtemp(prefix="postern-reference-")
    make_scratch(scratch)
    path = os.path.join(scratch, "s")
    live = {}

    def answers():
        assert live["process"].poll() is None, "the reference ended"
        try:
            client = Client.unix(path)
        except (FileNotFoundError, ConnectionRefusedError):
            return None
        client.sync()
        return client

    def start():
        live["process"] = subprocess.Popen(
            [REFERENCE, "-m", "unix-listen", "-p", path, "-t", scratch,
             "-f", os.path.join(scratch, "pid"), "-b", "guest-get-users"],
            stdin=subprocess.DEVNULL, env={"PATH": os.environ["PATH"], "TZ": "UTC"},
            preexec_fn=guard.harmless)
        live["session"] = Session(wait_until(answers, "the reference"), scratch)

    def proof(case):
        replies = case.newer if case.newer and is_newer() else case.replies
        return lambda: safely(live, lambda: live["session"].check(case, replies))

    def stop():
        live["session"].client.close()
        live["process"].kill()  # its SIGTERM handler can block for ever
        live["process"].wait()
        shutil.rmtree(scratch, ignore_errors=True)

    yield "the reference starts", start
    for case in cases:
        if "reference" not in case.marks:
            yield f"reference: {case}", proof(case)
    yield "the reference stops", stop


def test_no_case_is_lost():
    numbers = [c.number for c in read_cases()]
    assert numbers == list(range(1, COUNT + 1)), numbers
    for case in read_cases():
        assert case.request and (case.ours or "differs" not in case.marks), case
        assert case.marks.get("on") in (None, "mount", "hook"), case


def no_reference():
    raise tap.Skip("qemu-ga is not installed: the cases are not proven against it")


def main():
    cases = read_cases()
    todo = [test_no_case_is_lost, *ours_tests(cases),
            *frozen_tests(cases, "mount", ["-b", "guest-get-users"]),
            *frozen_tests(cases, "hook", frost.WITH_HOOK)]
    if os.environ.get("POSTERN_ONCE"):
        todo += reference_tests(cases) if REFERENCE else [("the reference", no_reference)]
    tap.run(todo, limit=90)


main()
