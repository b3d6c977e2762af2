#!/usr/bin/python3
"""posternctl audit on a real journal: it finds what the agent's uid wrote, by every filter,
while it comes, and after the journal changed its files; what others write in the same form it
never shows.
"""
# pylint: disable=missing-function-docstring
import contextlib
import functools
import json
import os
import re
import signal
import socket
import struct
import subprocess
import tempfile
import time

import guard
import scratch
import tap
from agent import PATIENCE, build_dir, free_uids, wait_until
from journald import SOCKET, Journald

CTL = os.path.join(build_dir(), "posternctl")
OK, NONE, FAILED = 0, 1, 2
BOOT, INSTANCE = "b0000000-1111-2222-3333-444444444444", "10000000-5555-6666-7777-888888888888"
# Message ids as ipc/record.h has them: they stand in people's journals.
IDS = {"start": "a72483dbe3084399a2ba22aa85feaaba", "stop": "710e9c00d2794da6968e695036ecf262",
       "decision": "046ae31c146b4362bb4a669adf4d9897",
       "complete": "9125dbb08d7e4817bca9bf7cf1d857bf"}
ENV = {**os.environ, "TZ": "UTC", "LC_ALL": "C.UTF-8"}


@contextlib.contextmanager
def journal():
    """A journal of one's own where the system's is."""
    with scratch.namespaces():
        if os.path.isdir("/var/log/journal"):
            scratch.mount("tmpfs", "/var/log/journal", "tmpfs", data="mode=755")
        with Journald() as j:
            yield j


# ---- writing ----------------------------------------------------------------------------------

def record(seq, event="decision", at=None, **fields):
    """As the agent writes it to the journal; FIELDS without prefix, in small letters."""
    r = {"MESSAGE": f"{event} {seq}", "MESSAGE_ID": IDS[event], "PRIORITY": "6",
         "POSTERN_TIME_USEC": str(int((time.time() if at is None else at) * 1000000)),
         "POSTERN_EVENT": event, "POSTERN_SEQ": str(seq), "POSTERN_BOOT_ID": BOOT,
         "POSTERN_INSTANCE": INSTANCE, "SYSLOG_IDENTIFIER": "postern"}
    r.update({"POSTERN_" + k.upper(): v for k, v in fields.items()})
    return r


def datagram(*fields):
    """Pairs (name, text or bytes) in the journal's native protocol."""
    out = b""
    for name, value in fields:
        value = value.encode() if isinstance(value, str) else value
        out += name.encode() + b"\n" + struct.pack("<Q", len(value)) + value + b"\n"
    return out


def send(*records):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        s.connect(SOCKET)
        for r in records:
            s.send(r if isinstance(r, bytes) else datagram(*r.items()))


def send_as(uid, *records):
    """The same by a process of another uid."""
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            send(*records)
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0


# ---- reading ----------------------------------------------------------------------------------

def run(j, *args, status=None, then=None):
    if j is not None:
        j.records()  # what was sent stands in the files by now
    done = subprocess.run([CTL, "audit", *args], capture_output=True, check=False, env=ENV,
                          timeout=PATIENCE, preexec_fn=functools.partial(guard.harmless, then))
    assert status is None or done.returncode == status, (args, done)
    return done


def shown(j, *args, status=OK):
    """What it shows, as records."""
    out = run(j, *args, "--json", status=status).stdout
    return [json.loads(line) for line in out.splitlines()]


def seqs(j, *args, status=OK):
    return [r["POSTERN_SEQ"] for r in shown(j, *args, status=status)]


def test_what_was_written_is_read():
    sent = [record(1, "start", version="0.1.0"),
            record(2, command="guest-exec", decision="deny", session="18446744073709551615",
                   rule="a b", args='{"path": "\\x1b"}'),
            record(3, "complete", result="ok", duration_usec="12", abandoned="true",
                   time_delta_nsec="-5")]
    with journal() as j:
        send(*sent)
        got = shown(j)
        assert shown(j, "-D", j.folder) == got and shown(j, "-D", "/run/log/journal") == got
        with tempfile.NamedTemporaryFile() as f:
            f.write(run(j, "--json").stdout)
            f.flush()
            assert shown(None, "--file", f.name) == got
        text = run(j).stdout.decode().splitlines()
    assert len(text) == 3 and all(len(line) <= 80 for line in text), text
    assert 'deny        guest-exec, rule "a b", {"path": "\\x1b"}' in text[1], text
    for want, r in zip(sent, got):
        want.pop("SYSLOG_IDENTIFIER")
        assert {k: str(v).lower() if isinstance(v, bool) else str(v) for k, v in r.items()} == want
    assert got[1]["POSTERN_SESSION"] == 2**64 - 1 and got[2]["POSTERN_ABANDONED"] is True


def test_filters():
    now = int(time.time())
    with journal() as j:
        send(record(1, "start", at=now - 7200),
             record(2, command="guest-exec", decision="deny", session="1", at=now - 3600),
             record(3, command="guest-exec", decision="complain", session="2", at=now - 1800),
             record(4, command="guest-get-time", decision="error", session="2", at=now - 60),
             record(5, "complete", command="guest-exec", session="12", result="ok"))
        for args, want in (
                ((), [1, 2, 3, 4, 5]), (("--denied",), [2, 3, 4]),
                (("--command", "exec"), [2, 3, 5]), (("--command", "guest-get-time"), [4]),
                (("--command", "exec", "--command", "get-time"), [2, 3, 4, 5]),
                (("--command", "exec", "--denied"), [2, 3]),
                (("--session", "2"), [3, 4]), (("--session", "1"), [2]), (("-n", "2"), [4, 5]),
                # By the time of the event: all of them came to the journal just now.
                (("--since", "-90min"), [2, 3, 4, 5]), (("--until", "-10min"), [1, 2, 3]),
                (("--since", "-90min", "--until", "30min ago"), [2, 3]),
                (("--since", f"@{now - 1800}"), [3, 4, 5])):
            assert seqs(j, *args) == want, (args, want)
        assert run(j, "--session", "3", status=NONE).stderr == b"-- no records --\n"


def test_what_others_write_is_not_shown():
    uid, other = free_uids(2)
    fake = record(1, command="guest-exec", decision="allow", rule="fake")
    with journal() as j:
        run(j, status=NONE)
        # With what journald alone may say: it leaves those out.
        send_as(uid, fake, {**fake, "_UID": "0", "_PID": "1", "_TRANSPORT": "journal"},
                datagram(("_UID", "0"), *fake.items(), ("_UID", "0")),
                datagram(*fake.items(), ("X", b"\n_UID=0\n")))
        assert len(j.records("POSTERN_RULE=fake")) == 4
        for args in ((), ("--denied",), ("--command", "exec"), ("-D", j.folder), ("--gaps",),
                     ("--uid", str(other))):
            done = run(j, *args, status=NONE)
            assert b"fake" not in done.stdout and b"exec" not in done.stdout, done
        send(record(2))
        assert seqs(j) == [2]
        assert seqs(j, "--uid", str(uid)) == [1] * 4
        assert "1 record of 1 instance" in run(j, "--gaps").stdout.decode()


def test_other_messages_of_root_are_no_records():
    with journal() as j:
        send({"MESSAGE": "x", "POSTERN_EVENT": "decision"},
             {**record(1), "MESSAGE_ID": "0" * 32},
             {"MESSAGE": "y", "MESSAGE_ID": IDS["start"]})
        done = run(j, status=NONE)
        assert done.stdout == b""
        assert done.stderr == b"posternctl: 1 entry is no record and left out\n" \
                              b"-- no records --\n", done


def test_bytes_of_any_kind():
    with journal() as j:
        bad = b"\x1b]0;t\x07\x00\xff\xc0\x80\r\n\xe2\x80\xae" + "\u9b31m\u0085".encode()
        send({**record(1), "POSTERN_RULE": bad, "POSTERN_DETAIL": bad, "MESSAGE": bad,
              "POSTERN_DECISION": b"deny\x1b[0m", "POSTERN_INSTANCE": bad * 50},
             {**record(2), "POSTERN_ARGS": b"\x1b" * 100000},
             datagram(*record(3).items(), ("POSTERN_RULE", "a"), ("POSTERN_RULE", "b"),
                      ("POSTERN_SESSION", b"\x00"), ("POSTERN_REQUEST", "-1"),
                      ("POSTERN_ERRNO", " 5"), ("POSTERN_ABANDONED", "yes")))
        for args in ((), ("-o", "verbose"), ("--json",), ("--gaps",), ("--gaps", "--json")):
            out = run(j, *args).stdout
            assert out and out.decode().replace("\n", "").isprintable(), out
        got = shown(j)
        assert [r["POSTERN_SEQ"] for r in got] == [1, 2, 3]
        assert got[0]["POSTERN_RULE"].startswith("\x1b]0;t\x07\\x00\\xff\\xc0\\x80\r\n"), got[0]
        assert got[1]["POSTERN_ARGS"] == "\x1b" * 16384
        assert got[2]["POSTERN_RULE"] in "ab"
        assert not {"POSTERN_SESSION", "POSTERN_REQUEST", "POSTERN_ERRNO",
                    "POSTERN_ABANDONED"} & set(got[2]), got[2]


def test_a_record_without_its_time_has_the_journals():
    with journal() as j:
        before = time.time()
        r = record(1)
        del r["POSTERN_TIME_USEC"]
        send(r)
        got = shown(j)[0]["POSTERN_TIME_USEC"] / 1e6
        assert before - 1 <= got <= time.time() + 1


def test_gaps():
    with journal() as j:
        send(record(1, "start"), record(2), record(5, dropped="1"),
             {**record(1, "start"), "POSTERN_INSTANCE": "second"})
        out = run(j, "--gaps", status=NONE).stdout.decode().splitlines()
        assert out[0].endswith("records 3 to 4 are missing (2)"), out
        assert "1 of them counted as dropped" in out[1] and out[2].startswith("killed: "), out
        assert out[-1] == "4 records of 2 instances, 1 gap, 1 without a stop", out


# ---- following --------------------------------------------------------------------------------

class Follow:
    """posternctl audit -f --json; what it printed so far."""

    def __init__(self, *args):
        self.out = tempfile.TemporaryFile()
        self.process = subprocess.Popen([CTL, "audit", "-f", "--json", *args], stdout=self.out,
                                        stderr=subprocess.PIPE, env=ENV,
                                        preexec_fn=guard.harmless)

    def seqs(self):
        text = os.pread(self.out.fileno(), 1 << 20, 0)
        return [json.loads(line)["POSTERN_SEQ"] for line in text.splitlines()]

    def wait(self, want):
        wait_until(lambda: self.seqs() == want, lambda: f"{want}, not {self.seqs()}")

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.process.send_signal(signal.SIGINT)
        err = self.process.communicate(timeout=PATIENCE)[1]
        self.out.close()
        assert kind or self.process.returncode == OK, (self.process.returncode, err)


def test_follow():
    uid, = free_uids(1)
    with journal() as j:
        with Follow() as f:  # nothing is there yet
            send(record(1))
            f.wait([1])
            send_as(uid, record(99))
            send(record(2, command="guest-exec"), record(3))
            f.wait([1, 2, 3])
            j.process.send_signal(signal.SIGUSR2)  # new files
            wait_until(lambda: any("@" in name for _, _, names in os.walk(j.folder)
                                   for name in names), "another journal file")
            send(record(4))
            f.wait([1, 2, 3, 4])
            j.end()
            j.start()
            send(record(5))
            f.wait([1, 2, 3, 4, 5])
        send(*(record(n) for n in range(6, 20)))
        j.records()
        with Follow("--command", "exec") as f, Follow("-D", j.folder) as g, \
                Follow("--since", "-1h") as h:
            send(record(20, command="guest-exec"))
            f.wait([2, 20])
            # The last ten, with or without the one that has just come.
            wait_until(lambda: g.seqs() in (list(range(10, 21)), list(range(11, 21))),
                       lambda: f"the last ten, not {g.seqs()}")
            h.wait(list(range(1, 21)))


# ---- who may read -----------------------------------------------------------------------------

def test_an_ordinary_user_is_told():
    uid, = free_uids(1)

    def drop():
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    if not os.access(CTL, os.X_OK) or not os.stat(os.path.dirname(os.path.abspath(CTL))).st_mode & 1:
        tap.skip("another user cannot reach the program")
    with journal() as j:
        send(record(1))
        j.records()
        done = run(None, then=drop)
        assert done.stdout == b"" and done.returncode in (NONE, FAILED), done
        assert re.search(rb"systemd-journal|Permission denied", done.stderr), done


def test_directories():
    with journal() as j, tempfile.TemporaryDirectory() as d:
        run(j, "-D", d, status=NONE)
        for bad in ("/nonexistent", "/etc/machine-id"):
            done = run(j, "-D", bad, status=FAILED)
            assert done.stderr.decode().startswith(f"posternctl: {bad}: cannot open"), done


tap.run(tap.tests(globals()))
