"""posternctl against an agent of a few lines, which says what each test wants

The real agent is not needed: what is tested is the client's side of the protocol, its
messages and its exit statuses.
"""
# pylint: disable=missing-function-docstring
import contextlib
import json
import os
import re
import socket
import subprocess
import tempfile
import threading
import time

import tap
from agent import PATIENCE, build_dir

CTL = os.path.join(build_dir(), "posternctl")
OK, ERROR, FAILED = 0, 1, 2


class FakeAgent:
    """Serves one client with SCRIPT(conn) in a thread."""

    def __init__(self, script):
        self.dir = tempfile.TemporaryDirectory(prefix="test-ctl-")
        self.path = os.path.join(self.dir.name, "s")
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(1)
        self.listener.settimeout(PATIENCE)
        self.script = script
        self.failure = None
        self.thread = threading.Thread(target=self._serve, daemon=True)

    def _serve(self):
        try:
            sock, _ = self.listener.accept()
            sock.settimeout(PATIENCE)
            with Conn(sock) as conn:
                self.script(conn)
        except Exception as e:  # pylint: disable=broad-except # shown by __exit__
            self.failure = e

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, kind, *_):
        self.thread.join(PATIENCE)
        self.listener.close()
        self.dir.cleanup()
        if kind is None and self.failure:
            raise self.failure


class Conn:
    """The agent's end of the connection."""

    def __init__(self, sock):
        self.sock = sock
        self.file = sock.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.sock.close()

    def line(self):
        return self.file.readline()

    def send(self, data):
        self.sock.sendall(data)

    def sync_request(self):
        """Read the handshake's request; its id."""
        line = self.line()
        assert line[:1] == b"\xff", line
        request = json.loads(line[1:])
        assert request["execute"] == "guest-sync-delimited", request
        return request["arguments"]["id"]

    def sync(self):
        number = self.sync_request()
        self.send(b'{"error": {"class": "GenericError", "desc": "stray"}}\n'
                  b'\xff{"return": %d}\n' % number)

    def wait_for_end(self):
        while self.sock.recv(65536):
            pass


def ctl(*args, stdin=b"", env=None):
    """Exit status, standard output, standard error."""
    plain = {k: v for k, v in os.environ.items() if k != "POSTERN_SOCKET"}
    done = subprocess.run([CTL, *args], input=stdin, capture_output=True, check=False,
                          timeout=PATIENCE, env={**plain, **(env or {})})
    return done.returncode, done.stdout, done.stderr.decode()


def call(script, *args, **kw):
    with FakeAgent(script) as agent:
        return ctl("call", "-s", agent.path, *args, **kw)


def answering(reply, seen=None):
    """A script: sync, then one request, answered by REPLY."""
    def script(conn):
        conn.sync()
        line = conn.line()
        if seen is not None:
            seen.append(line)
        conn.send(reply)
        conn.wait_for_end()
    return script


def assert_failed(result, pattern):
    status, out, err = result
    assert status == FAILED, result
    assert out == b"", result
    assert err.count("\n") == 1 and err.startswith("posternctl: "), result
    assert re.search(pattern, err), result


# ---- replies -------------------------------------------------------------------------

def test_result_is_printed_as_it_came():
    reply = b'{"return":   {"a": "\\u00e9", "n": 18446744073709551615}}\n'
    assert call(answering(reply), "guest-ping") == (OK, reply, "")


def test_error_is_printed_and_gives_status_1():
    reply = b'{"error": {"class": "CommandNotFound", "desc": "no"}}\n'
    assert call(answering(reply), "guest-ping") == (ERROR, reply, "")


def test_error_with_an_id():
    reply = b'{"id": 1, "error": {"class": "GenericError", "desc": "return"}}\n'
    assert call(answering(reply), "guest-ping") == (ERROR, reply, "")


def test_delimited_reply():
    reply = b'\xff{"return": 7}\n'
    assert call(answering(reply), "guest-sync-delimited", '{"id": 7}') == (OK, reply, "")


def test_big_reply():
    reply = b'{"return": "' + b"x" * (8 << 20) + b'"}\n'
    status, out, err = call(answering(reply), "guest-file-read")
    assert (status, out == reply, err) == (OK, True, "")


def test_split_reply():
    def script(conn):
        conn.sync()
        conn.line()
        for byte in b'{"return": {}}\n':
            conn.send(bytes([byte]))
            time.sleep(0.002)
        conn.wait_for_end()
    assert call(script, "guest-ping") == (OK, b'{"return": {}}\n', "")


def test_reply_that_is_none():
    for reply in (b"\n", b"hello\n", b"[]\n", b'{"event": "x"}\n', b"\xff\n",
                  b'{"return": 1, "error": {}}\n'):
        status, out, err = call(answering(reply), "guest-ping")
        assert (status, out) == (FAILED, reply), (reply, status, out)
        assert err == "posternctl: this is no reply of an agent\n", err


def test_closed_standard_output_is_a_failure():
    with FakeAgent(answering(b'{"return": {}}\n')) as agent, open("/dev/full", "wb") as full:
        done = subprocess.run([CTL, "call", "-s", agent.path, "guest-ping"], stdout=full,
                              stderr=subprocess.PIPE, check=False, timeout=PATIENCE)
    assert done.returncode == FAILED
    assert b"standard output: No space left on device" in done.stderr, done.stderr


# ---- handshake -----------------------------------------------------------------------

def test_garbage_and_stale_replies_before_the_sync_are_skipped():
    def script(conn):
        number = conn.sync_request()
        conn.send(b'half of a stale reply"}}\n{"return": %d}\n' % number)
        conn.send(b'\xff{"return": %d}\n' % (number + 1))
        conn.send(b'\xff{"return": "%d"}\n\xff{"error": {}}\n\n' % number)
        conn.send(b'{"return": {"cut": "\xff{"return": %d}\n' % number)
        assert json.loads(conn.line()) == {"execute": "guest-ping"}
        conn.send(b'{"return": {}}\n')
        conn.wait_for_end()
    assert call(script, "guest-ping") == (OK, b'{"return": {}}\n', "")


def test_request_waits_for_the_sync():
    def script(conn):
        number = conn.sync_request()
        conn.sock.settimeout(0.2)
        try:
            early = conn.sock.recv(1)
        except TimeoutError:
            early = None
        assert early is None, early
        conn.sock.settimeout(PATIENCE)
        conn.send(b'\xff{"return": %d}\n' % number)
        # The file object does not survive its socket's time-out.
        assert b"guest-ping" in conn.sock.recv(1000)
        conn.send(b'{"return": {}}\n')
        conn.wait_for_end()
    assert call(script, "guest-ping") == (OK, b'{"return": {}}\n', "")


def test_no_sync():
    def script(conn):
        assert json.loads(conn.line()) == {"execute": "guest-ping"}
        conn.send(b'{"return": {}}\n')
        conn.wait_for_end()
    assert call(script, "--no-sync", "guest-ping") == (OK, b'{"return": {}}\n', "")


def test_ids_differ():
    ids = set()

    def script(conn):
        ids.add(conn.sync_request())
    for _ in range(3):
        call(script, "guest-ping")
    assert len(ids) == 3, ids


def test_no_sync_in_time():
    def script(conn):
        number = conn.sync_request()
        # A flow of other replies does not prolong the wait.
        try:
            while True:
                conn.send(b'\xff{"return": %d}\n' % (number + 1))
                time.sleep(0.01)
        except OSError:
            pass
    assert_failed(call(script, "-t", "0.3", "guest-ping"), "no sync: no answer in time")


def test_agent_closes_in_the_handshake():
    assert_failed(call(Conn.sync_request, "guest-ping"),
                  "no sync: the agent closed the connection")


# ---- requests ------------------------------------------------------------------------

def request_of(*args, **kw):
    seen = []
    assert call(answering(b'{"return": {}}\n', seen), *args, **kw)[0] == OK
    return seen[0]


def test_name_alone():
    assert request_of("guest-ping") == b'{"execute": "guest-ping"}\n'


def test_name_is_quoted():
    name = 'a"b\\c\u00e9'
    assert json.loads(request_of(name)) == {"execute": name}


def test_name_and_arguments():
    arguments = '{"id": 9223372036854775807, "x": ["-"]}'
    assert request_of("guest-sync", arguments) == \
        b'{"execute": "guest-sync", "arguments": ' + arguments.encode() + b"}\n"


def test_raw_request_is_sent_as_it_is():
    for text in ("{'execute':'guest-info'}", ' {"execute": "x", "id": [1, 2.50]}', "{broken"):
        assert request_of(text) == text.encode() + b"\n", text


def test_request_from_standard_input():
    assert request_of("-", stdin=b'{"execute": "guest-ping"}') == \
        b'{"execute": "guest-ping"}\n'


def test_large_request_while_the_agent_talks():
    big = b'{"execute": "guest-file-write", "arguments": {"buf-b64": "' + \
        b"A" * (8 << 20) + b'"}}'

    def script(conn):
        conn.sync()
        # Neither side can go on until the client takes in what comes.
        conn.send(b'{"return": "' + b"y" * (4 << 20))
        assert conn.line() == big + b"\n"
        conn.send(b'"}\n')
        conn.wait_for_end()
    status, out, err = call(script, "-", stdin=big)
    assert (status, len(out), err) == (OK, (4 << 20) + 15, ""), (status, len(out), err)


# ---- many requests -------------------------------------------------------------------

def conversation(*replies, seen=None, then=Conn.wait_for_end):
    """A script: sync, then for each of REPLIES a request: all that comes before it, so that
    one which comes too early would show."""
    def script(conn):
        conn.sync()
        for reply in replies:
            request = conn.sock.recv(65536)
            conn.sock.settimeout(0.05)
            with contextlib.suppress(TimeoutError):
                request += conn.sock.recv(65536)
            conn.sock.settimeout(PATIENCE)
            if seen is not None:
                seen.append(request)
            conn.send(reply)
        then(conn)
    return script


class Unbuffered(Conn):
    """Its lines are read byte by byte, so that what follows is still there."""

    def line(self):
        got = b""
        while not got.endswith(b"\n"):
            byte = self.sock.recv(1)
            if not byte:
                break
            got += byte
        return got


GOOD, BAD = b'{"return": {}}\n', b'{"error": {"class": "GenericError", "desc": "no"}}\n'


def converse(text, *replies, args=(), then=Conn.wait_for_end):
    """What is sent for a file of TEXT, and what comes of it."""
    seen = []
    script = conversation(*replies, seen=seen, then=then)
    with FakeAgent(lambda conn: script(Unbuffered(conn.sock))) as agent:
        result = ctl("call", "-s", agent.path, "-f", "-", *args, stdin=text)
    return seen, result


def test_requests_of_a_file():
    text = (b'# a comment with { and "\n\n{"execute":"guest-ping"}\n'
            b"{'execute': 'guest-info', 'id': '}'}{\"execute\": \"guest-sync\",\n"
            b'  "arguments": {"id": 1, "x": ["{\\"", "\\\\"]}}  {"a": []}\n'
            b'guest-get-load\n  guest-sync   {"id": 5}\r\nguest-get-time')
    seen, (status, out, err) = converse(text, *[GOOD] * 7)
    assert (status, out, err) == (OK, GOOD * 7, "")
    assert seen == [b'{"execute":"guest-ping"}\n', b"{'execute': 'guest-info', 'id': '}'}\n",
                    b'{"execute": "guest-sync",\n'
                    b'  "arguments": {"id": 1, "x": ["{\\"", "\\\\"]}}\n',
                    b'{"a": []}\n', b'{"execute": "guest-get-load"}\n',
                    b'{"execute": "guest-sync", "arguments": {"id": 5}}\n',
                    b'{"execute": "guest-get-time"}\n'], seen


def test_requests_of_a_named_file():
    with tempfile.NamedTemporaryFile("w") as f:
        f.write('{"execute":"guest-ping"}\n' * 3)
        f.flush()
        seen = []
        script = conversation(GOOD, BAD, GOOD, seen=seen)
        with FakeAgent(lambda conn: script(Unbuffered(conn.sock))) as agent:
            result = ctl("call", "-s", agent.path, "--file", f.name)
    assert result == (ERROR, GOOD + BAD + GOOD, "") and len(seen) == 3, (result, seen)


def test_without_an_answer_the_others_are_not_sent():
    def closes(conn):
        conn.line()
    seen, (status, out, err) = converse(b"guest-ping\n" * 4, GOOD, then=closes)
    assert (status, out) == (FAILED, GOOD) and "closed the connection" in err, err
    assert len(seen) == 1


def test_after_a_command_without_a_reply_there_is_a_new_sync():
    def script(conn):
        conn.sync()
        assert b"guest-shutdown" in conn.line()
        conn.sync()
        assert b"guest-ping" in conn.line()
        conn.send(GOOD)
        conn.wait_for_end()
    with FakeAgent(script) as agent:
        status, out, err = ctl("call", "-s", agent.path, "-t", "1", "-f", "-",
                               stdin=b"guest-shutdown\nguest-ping\n")
    assert (status, out) == (OK, GOOD) and "answers only when it fails" in err, err


def test_files_that_are_wrong():
    for text, pattern in ((b"", "there is no request in it"), (b"# x\n\n", "there is no request"),
                          (b'\n\n{"execute": "x"', ":3: the request that begins here does not"),
                          (b'guest-ping\n{"a": "}\n', ":2: the request that begins here"),
                          (b"{}\0", "NUL")):
        assert_failed(ctl("call", "-s", "x", "-f", "-", stdin=text), pattern)
    status, _, err = ctl("call", "-s", "x", "-f", "-", stdin=b"guest-ping\nguest-sync [1]\n")
    assert status == FAILED and "no JSON object: [1]" in err and \
        "standard input:2: no request was sent" in err, err
    assert_failed(ctl("call", "-s", "x", "-f", "/nonexistent"), "No such file")
    assert_failed(ctl("call", "-s", "x", "-f", "-", "guest-ping"), "one too many")


def test_repetitions_and_how_long_they_took():
    seen, (status, out, err) = converse(b"guest-ping\nguest-info\n", *[GOOD, BAD] * 3,
                                        args=("--repeat", "3", "--interval", "0.2"))
    assert status == ERROR and out == (GOOD + BAD) * 3 and len(seen) == 6, out
    match = re.fullmatch(r"posternctl: 6 replies, 3 errors; time: min ([\d.]+) ms, "
                         r"median ([\d.]+) ms, max ([\d.]+) ms\n", err)
    assert match, err
    low, middle, high = map(float, match.groups())
    # The agent here looks for 50 ms at what comes early.
    assert 40 < low <= middle <= high < 1000 * PATIENCE, err


def test_the_summary_comes_however_it_ends():
    def closes(conn):
        conn.line()
    _, (status, out, err) = converse(b"guest-ping", GOOD, args=("--repeat", "5"), then=closes)
    assert (status, out) == (FAILED, GOOD)
    assert "posternctl: 1 replies, 0 errors; time: min " in err, err


def test_an_interval_is_waited():
    began = time.monotonic()
    converse(b"guest-ping", GOOD, GOOD, GOOD, args=("--repeat", "3", "--interval", "0.4"))
    assert time.monotonic() - began > 0.8


# ---- forms of replies ----------------------------------------------------------------

def test_pretty_changes_nothing_but_blanks():
    reply = (b'{"return":{"n":18446744073709551615,"f":1.50,"e":{},"l":[ ],"a":[1,[2,{"b":null}]],'
             b'"s":"a, [b]: {\\"c\\\\","u":"\\u00e9 \xc3\xa9 \xe2\x80\xae","t":true}}\n')
    status, out, err = call(answering(reply), "--pretty", "guest-ping")
    assert (status, err) == (OK, "")
    assert out == (b'{\n  "return": {\n    "n": 18446744073709551615,\n    "f": 1.50,\n'
                   b'    "e": {},\n    "l": [],\n    "a": [\n      1,\n      [\n        2,\n'
                   b'        {\n          "b": null\n        }\n      ]\n    ],\n'
                   b'    "s": "a, [b]: {\\"c\\\\",\n    "u": "\\u00e9 \\u00E9 \\u202E",\n'
                   b'    "t": true\n  }\n}\n'), out
    assert json.loads(out) == json.loads(reply)
    status, out, _ = call(answering(BAD), "--pretty", "guest-ping")
    assert status == ERROR and json.loads(out) == json.loads(BAD) and out.count(b"\n") > 3


def test_pretty_and_escape_sequences():
    status, out, _ = call(answering(b'{"return": "\x1b[2J\x9b\x7f"}\n'), "--pretty", "guest-ping")
    assert status == OK and b"\x1b" not in out and b"\\u001B[2J\\uFFFD\\u007F" in out, out


def test_json_is_one_value_for_a_reply():
    assert call(answering(b'\xff{"return": 7}\n'), "--json", "guest-sync-delimited") == \
        (OK, b'{"return": 7}\n', "")
    assert call(answering(b'\xff{"return": 7}\n'), "--json", "--pretty", "guest-ping") == \
        (OK, b'{\n  "return": 7\n}\n', "")
    for reply in (b"hello\n", b"[]\n", b"\xff\n"):
        for form in ("--json", "--pretty"):
            assert_failed(call(answering(reply), form, "guest-ping"), "this is no reply")
    assert call(closing, "--json", "guest-shutdown")[:2] == (OK, b"")


# ---- no answer -----------------------------------------------------------------------

def silent(conn):
    conn.sync()
    conn.line()
    conn.wait_for_end()


def closing(conn):
    conn.sync()
    conn.line()


def cut(conn):
    conn.sync()
    conn.line()
    conn.send(b'{"return": ')


def test_timeout():
    assert_failed(call(silent, "-t", "1", "guest-ping"), ": no answer in time$")


def test_agent_closes():
    assert_failed(call(closing, "guest-ping"), ": the agent closed the connection$")


def test_agent_closes_within_a_reply():
    assert_failed(call(cut, "guest-ping"), ": the agent closed the connection$")


def assert_no_reply(result, why):
    assert result == (OK, b"", f"posternctl: no reply ({why}): "
                      "this command answers only when it fails\n"), result


def test_commands_without_a_success_reply():
    for name in ("guest-shutdown", "guest-suspend-disk", "guest-suspend-ram",
                 "guest-suspend-hybrid", '{"id": 1, "execute": "guest-shutdown"}'):
        assert_no_reply(call(closing, name), "connection closed")
    assert_no_reply(call(silent, "-t", "1", "guest-shutdown"), "none in time")


def test_error_of_a_command_without_a_success_reply():
    reply = b'{"error": {"class": "GenericError", "desc": "no"}}\n'
    assert call(answering(reply), "guest-shutdown") == (ERROR, reply, "")


def test_no_success_without_a_sync():
    assert_failed(call(Conn.sync_request, "guest-shutdown"), "no sync")


# ---- calls that are wrong ----------------------------------------------------------------

def test_no_socket_given():
    assert_failed(ctl("call", "guest-ping"), "--socket PATH or set POSTERN_SOCKET")
    assert_failed(ctl("call", "guest-ping", env={"POSTERN_SOCKET": ""}), "no socket given")


def test_socket_from_the_environment():
    with FakeAgent(answering(b'{"return": {}}\n')) as agent:
        result = ctl("call", "guest-ping", env={"POSTERN_SOCKET": agent.path})
    assert result == (OK, b'{"return": {}}\n', "")


def test_cannot_connect():
    with tempfile.TemporaryDirectory(prefix="test-ctl-") as d:
        path = os.path.join(d, "s")
        assert_failed(ctl("call", "-s", path, "guest-ping"), "No such file or directory")
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(path)
            assert_failed(ctl("call", "-s", path, "guest-ping"), "Connection refused")
    assert_failed(ctl("call", "-s", "/" + "x" * 200, "guest-ping"), "at most 107 bytes")


def test_full_backlog_is_waited_for_no_longer_than_told():
    with tempfile.TemporaryDirectory(prefix="test-ctl-") as d:
        path = os.path.join(d, "s")
        with socket.socket(socket.AF_UNIX) as s, socket.socket(socket.AF_UNIX) as first:
            s.bind(path)
            s.listen(0)
            first.connect(path)
            assert_failed(ctl("call", "-s", path, "-t", "0.2", "guest-ping"),
                          "not accepted in time")


def test_wrong_calls():
    for args, pattern in (
            ((), "no verb given"),
            (("cal",), "unknown verb 'cal'"),
            (("--cal",), "unknown option '--cal'"),
            (("call", "-s", "x"), "no request given"),
            (("call", "-x", "guest-ping"), "option '-x' is unknown"),
            (("call", "--no-such", "guest-ping"), "option '--no-such' is unknown"),
            (("call", "--no-sync=1", "guest-ping"), "option '--no-sync=1'"),
            (("call", "-s"), "option '-s' needs a value"),
            (("call", "--timeout"), "option '--timeout' needs a value"),
            (("call", "-s", "x", "a", "{}", "c"), "one argument too many: 'c'"),
            (("call", "-s", "x", "a", "[]"), "no JSON object"),
            (("call", "-s", "x", "a", "{} {}"), "no JSON object"),
            (("call", "-s", "x", "{}", "{}"), "name of a command only"),
            (("call", "-s", "x", "-", "{}"), "name of a command only")):
        assert_failed(ctl(*args), pattern)
    for bad in ("", "0", "-1", "x", "1x", "nan", "inf", "86401", "1e9"):
        assert_failed(ctl("call", "-s", "x", "-t", bad, "a"), "--timeout: ")
        if bad != "0":
            assert_failed(ctl("call", "-s", "x", "--repeat", "2", "--interval", bad, "a"),
                          "--interval: ")
        assert_failed(ctl("call", "-s", "x", "--repeat", f"{bad}y", "a"), "--repeat: ")
    for bad in ("", "0", "-1", "1000001"):
        assert_failed(ctl("call", "-s", "x", "--repeat", bad, "a"), "--repeat: ")
    assert_failed(ctl("call", "-s", "x", "--interval", "1", "a"), "goes with --repeat")


def test_help_and_version():
    status, out, err = ctl("--help")
    assert status == OK and b"call " in out and err == "", (status, out, err)
    status, out, err = ctl("call", "--help")
    assert status == OK and b"--socket" in out and err == "", (status, out, err)
    status, out, err = ctl("--version")
    assert status == OK and re.fullmatch(rb"posternctl \d+\.\d+\.\d+\n", out), out


tap.run(tap.tests(globals()))
