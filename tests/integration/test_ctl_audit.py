#!/usr/bin/python3
"""posternctl audit on files: which records it shows and how, that nothing of what stands in
them reaches the terminal as more than text, what it makes of numbers that are missing, and
how it follows a file that grows, is cut or replaced.

The journal is in test_ctl_journal.py.
"""
# pylint: disable=missing-function-docstring
import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import tempfile
import termios
import time
import unicodedata

import guard
import tap
from agent import PATIENCE, Agent, build_dir, wait_until

CTL = os.path.join(build_dir(), "posternctl")
OK, NONE, FAILED = 0, 1, 2
START = 1700000000  # 2023-11-14 22:13:20 UTC
BOOT, INSTANCE = "b0000000-1111-2222-3333-444444444444", "10000000-5555-6666-7777-888888888888"
ENV = {**os.environ, "TZ": "UTC", "LC_ALL": "C.UTF-8"}
ENV.pop("NO_COLOR", None)


def record(seq, event="decision", at=None, **fields):
    """As the agent writes it; FIELDS by their name without prefix, in small letters."""
    r = {"MESSAGE": f"{event} {seq}", "MESSAGE_ID": f"{seq:032x}", "PRIORITY": 6,
         "POSTERN_TIME_USEC": int((START + seq if at is None else at) * 1000000),
         "POSTERN_EVENT": event, "POSTERN_SEQ": seq, "POSTERN_BOOT_ID": BOOT,
         "POSTERN_INSTANCE": INSTANCE}
    r.update({"POSTERN_" + k.upper(): v for k, v in fields.items()})
    return r


def lines(*records):
    return b"".join(json.dumps(r).encode() + b"\n" for r in records)


def run(*args, data=b"", status=None, env=None):
    done = subprocess.run([CTL, "audit", *args], input=data, capture_output=True, check=False,
                          timeout=PATIENCE, env={**ENV, **(env or {})},
                          preexec_fn=guard.harmless)
    assert status is None or done.returncode == status, (args, done)
    return done


def audit(data, *args, status=OK, env=None):
    """Standard output, as lines, of the records in DATA."""
    return run("--file", "-", *args, data=data, status=status, env=env).stdout.decode() \
        .splitlines()


def shown(data, *args, **kw):
    """The sequence numbers of what is shown."""
    return [json.loads(l)["POSTERN_SEQ"] for l in audit(data, "-o", "json", *args, **kw)]


# ---- one line for each ---------------------------------------------------------------------

SAMPLES = [
    (record(1, "start", version="0.1.0", policy_base="safe", policy_mode="enforce",
            privileges="caps=2200004"), "start       version 0.1.0, policy safe, mode enforce"),
    (record(2, "connect", session=4, reported_by="frontend"),
     "connect     session 4 by frontend"),
    (record(3, command="guest-exec", decision="deny", reason="no-rule", session=4,
            args='{"path": "/bin/true"}', policy_mode="enforce"),
     'deny        guest-exec, no-rule, {"path": "/bin/true"}'),
    (record(4, command="guest-get-time", decision="allow", reason="rule", rule="info"),
     "allow       guest-get-time, rule, rule info"),
    (record(5, command="guest-exec", decision="complain", reason="argv", rule="nginx"),
     "complain    guest-exec, argv, rule nginx"),
    (record(6, command="guest-exec", decision="error", reason="lookup"),
     "error       guest-exec, lookup"),
    (record(7, "complete", command="guest-get-time", result="ok", duration_usec=704),
     "complete    guest-get-time, ok, 704 us"),
    (record(8, "complete", command="guest-fstrim", result="failed", errno=5,
            duration_usec=4200000, abandoned=True),
     "complete    guest-fstrim, failed, errno 5, 4.2 s, abandoned"),
    (record(9, "file-open", command="guest-file-open", handle=1001, result="ok"),
     "file-open   guest-file-open, ok, handle 1001"),
    (record(10, command="guest-file-open", decision="deny", reason="symlink",
            file_requested="/var/x y", file_opened="/etc/shadow", file_mode="w"),
     'deny        guest-file-open, symlink, mode w, /etc/shadow, ask...'),
    (record(11, "file-close", handle=1001, bytes_read=0, bytes_written=12),
     "file-close  handle 1001, 0 bytes read, 12 bytes written"),
    (record(12, "exec-start", exec_path="/bin/ls", exec_argv='["-l"]', exec_user="root",
            exec_pid=77), 'exec-start  pid 77, as root, /bin/ls, ["-l"]'),
    (record(13, "exec-exit", exec_pid=77, signal=9, timed_out=True, out_bytes=3),
     "exec-exit   pid 77, signal 9, timed out, 3 bytes of output"),
    (record(14, "freeze", fs_count=2, fs_mounts='["/", "/home"]'),
     'freeze      2 file systems, ["/", "/home"]'),
    (record(15, "auto-thaw", fs_count=2, thaw_cause="deadline"),
     "auto-thaw   2 file systems, cause deadline"),
    (record(16, command="guest-exec", decision="deny", reason="frozen", repeat=59),
     "deny        guest-exec, frozen x59"),
    (record(17, "password", command="guest-set-user-password", result="ok", target_user="eve",
            password_crypted=False), "password    guest-set-user-password, ok, user eve"),
    (record(18, "time-set", command="guest-set-time", time_delta_nsec=-1500000000),
     "time-set    guest-set-time, by -1.500 s"),
    (record(19, "power", command="guest-shutdown", power_mode="halt"),
     "power       guest-shutdown, halt"),
    (record(20, "child-violation", process="frontend", detail="SIGSYS", dropped=3),
     "child-violation frontend, SIGSYS (3 records lost before this)"),
    (record(21, dropped=1, decision="allow", command="guest-ping"),
     "allow       guest-ping (1 record lost before this)"),
    (record(22, "disconnect", session=4, reported_by="frontend", repeat=2, notes_dropped=7),
     "disconnect  session 4, 7 notes lost before this x2 by frontend"),
    (record(23, "stop", detail="the supervisor ended"), "stop        the supervisor ended"),
]


def test_each_event_as_a_line():
    got = audit(lines(*(r for r, _ in SAMPLES)))
    assert len(got) == len(SAMPLES), got
    for line, (r, want) in zip(got, SAMPLES):
        when = time.strftime("%m-%d %H:%M:%S", time.gmtime(r["POSTERN_TIME_USEC"] // 1000000))
        assert line == f"{when} {want}", (line, want)


def columns(text):
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def test_lines_fit_into_eighty_columns():
    long = [record(n, event, command="guest-" + "x" * 90, decision=decision, reason="no-rule",
                   rule=text, args=json.dumps({"a": text}), exec_path=text, detail=text,
                   target_user=text, repeat=2**64 - 1, dropped=2**64 - 1,
                   reported_by="frontend" * 9, duration_usec=2**64 - 1)
            for n, (event, decision, text) in enumerate((
                ("decision", "deny", "r" * 300), ("e" * 99, "d" * 99, "\u6f22" * 200),
                ("\x1b" * 50, "\u6f22" * 50, "a b" * 50), ("", "", "")), 1)]
    got = audit(lines(*long, *(r for r, _ in SAMPLES)))
    assert len(got) == len(long) + len(SAMPLES)
    assert all(columns(line) <= 80 for line in got), got
    assert all("records lost before this)" in line for line in got[:4]), got[:4]
    assert any("..." in line for line in got)


def test_verbose_has_every_field():
    got = audit(lines(SAMPLES[2][0], SAMPLES[7][0]), "-o", "verbose")
    assert got[0] == "2023-11-14 22:13:23.000000 +0000", got
    blocks = "\n".join(got).strip().split("\n\n")
    assert len(blocks) == 2, blocks
    for block, (r, _) in zip(blocks, (SAMPLES[2], SAMPLES[7])):
        fields = dict(l.split("=", 1) for l in block.splitlines()[1:])
        r = {k: str(v).lower() if isinstance(v, bool) else str(v) for k, v in r.items()}
        assert fields == r, (fields, r)
    assert list(r)[:3] == ["MESSAGE", "MESSAGE_ID", "PRIORITY"]


def test_json_goes_round():
    data = lines(*(r for r, _ in SAMPLES))
    for text in ("\u00e4 \u6f22 \U0001f600", "a\nb\t\x1b[31m\x7f", "\\x41 \\", "a, \"b\" c"):
        data += lines(record(99, rule=text, session=2**64 - 1, time_delta_nsec=-2**63 + 1,
                             errno=-5, abandoned=False))
    once = run("--file", "-", "-o", "json", data=data, status=OK).stdout
    assert run("--file", "-", "--json", data=once, status=OK).stdout == once
    want = [json.loads(line) for line in data.splitlines()]
    assert [json.loads(line) for line in once.splitlines()] == want
    assert [list(json.loads(line))[:4] for line in once.splitlines()] == \
        [["MESSAGE", "MESSAGE_ID", "PRIORITY", "POSTERN_TIME_USEC"]] * len(want)


def test_an_agents_own_file():
    with Agent(profile="safe") as a:
        with a.client() as c:
            c.call("guest-get-time")
            c.call("guest-exec", path="/bin/true")
        asked = a.wait_record(lambda r: r.get("POSTERN_COMMAND") == "guest-exec")
        # Of that session: who looked whether the agent answers had one before.
        a.wait_record(lambda r: r["POSTERN_EVENT"] == "disconnect" and
                      r["POSTERN_SESSION"] == asked["POSTERN_SESSION"])
        with open(a.audit_path, "rb") as f:
            data = f.read()
    assert run("--file", "-", "--json", data=data, status=OK).stdout == data
    got = audit(data)
    assert len(got) == len(data.splitlines()) and all(len(l) <= 80 for l in got)
    assert any("allow       guest-get-time, rule" in l for l in got), got
    assert "deny" in audit(data, "--denied", "--command", "exec")[0]
    report = audit(data, "--gaps")
    assert report == [f"{len(got)} records of 1 instance, 0 gaps"], report


# ---- which ------------------------------------------------------------------------------------

MIXED = lines(
    record(1, "start"), record(2, command="guest-ping", decision="allow", session=1),
    record(3, command="guest-exec", decision="deny", session=1),
    record(4, command="guest-exec", decision="complain", session=2),
    record(5, command="guest-file-open", decision="error", session=2),
    record(6, "complete", command="guest-exec", result="ok", session=12), record(7, "stop"))


def test_filters():
    for args, want in (
            ((), [1, 2, 3, 4, 5, 6, 7]),
            (("--denied",), [3, 4, 5]),
            (("--command", "guest-exec"), [3, 4, 6]),
            (("--command", "exec"), [3, 4, 6]),
            (("--command", "exec", "--command", "guest-ping"), [2, 3, 4, 6]),
            (("--session", "1"), [2, 3]),
            (("--session", "2", "--denied", "--command=exec"), [4]),
            (("-n", "2"), [6, 7]),
            (("-n", "2", "--denied"), [4, 5]),
            (("--lines", "1000000"), [1, 2, 3, 4, 5, 6, 7]),
            (("--since", f"@{START + 3}"), [3, 4, 5, 6, 7]),
            (("--until", f"@{START + 3}"), [1, 2, 3]),
            (("--since", f"@{START + 2}", "--until", f"@{START + 4}"), [2, 3, 4])):
        assert shown(MIXED, *args) == want, (args, want)


def test_nothing_found_says_so():
    done = run("--file", "-", "--session", "99", data=MIXED, status=NONE)
    assert done.stdout == b"" and done.stderr == b"-- no records --\n", done
    done = run("--file", "-", "--json", status=NONE)
    assert done.stdout == b"" and done.stderr == b"-- no records --\n", done


def test_forms_of_time():
    # Not within a minute before midnight or after it: "today" is to mean one thing.
    while time.time() % 86400 > 86400 - PATIENCE:
        time.sleep(1)
    now = int(time.time())
    midnight = now - now % 86400
    at = [midnight - 90000, midnight - 3600, now - 3 * 3600, now - 3000, now - 60]
    data = lines(*(record(n, at=t) for n, t in enumerate(at, 1)))

    def since(t):
        return [n for n, x in enumerate(at, 1) if x >= t]

    def text(form, t):
        return time.strftime(form, time.gmtime(t))
    for form, t in (("now", now), ("today", midnight), ("yesterday", midnight - 86400),
                    ("-2h", now - 7200), ("2h ago", now - 7200), ("-30min", now - 1800),
                    ("-1h30min", now - 5400), ("2 hours ago", now - 7200), ("-4d", now - 4 * 86400),
                    ("-1w", now - 7 * 86400), (f"@{now - 7200}", now - 7200),
                    (text("%Y-%m-%d", midnight), midnight),
                    (text("%Y-%m-%d %H:%M:%S", now - 7200), now - 7200),
                    (text("%Y-%m-%d %H:%M", midnight - 3600), midnight - 3600),
                    ("00:00", midnight), ("00:00:00", midnight)):
        want = since(t)
        assert shown(data, "--since", form, status=OK if want else NONE) == want, (form, want)
    # Local time is that of TZ.
    one = lines(record(1, at=START))
    for zone, hour in (("UTC", "22"), ("Etc/GMT-2", "00")):
        assert f"{hour}:13:20" in audit(one, env={"TZ": zone})[0]
    day = "2023-11-15 00:13"
    assert shown(one, "--since", day, env={"TZ": "Etc/GMT-2"}) == [1]
    assert shown(one, "--since", day, status=NONE) == []


def test_what_is_no_time():
    for bad in ("", "x", "2023-02-30", "2023-13-01", "2023-1-1", "2023-01-01T00:00", "24:00",
                "12:60", "-2", "-2x", "2h", "ago", "-h", "@", "@-1", "@1x", "today ", "-2h ago",
                "--1h", "-99999999999999999999h", "@99999999999999", "2023-01-01 00:00:00 UTC",
                "-9999999w"):
        for option in ("--since", "--until"):
            done = run(f"{option}={bad}", "--file", "-", status=FAILED)
            assert f"{option}: '{bad}' is no time".encode() in done.stderr, done
            assert b"YYYY-MM-DD" in done.stderr and b"@SECONDS" in done.stderr, done


# ---- hostile ----------------------------------------------------------------------------------

def assert_harmless(out):
    text = out.decode()  # no invalid UTF-8
    bad = [c for c in text if c != "\n" and unicodedata.category(c)[0] == "C"]
    assert not bad, bad


BAD_TEXTS = ["\x1b[2J\x1b]0;title\x07", "\x9b31m", "\r\nfake line", "\x00", "\x7f\x08\x08",
             "\u202egnp.exe", "\u200b\u2066\ufeff", "\u2028", "a\u0301\u0301\u0301", "\ue000",
             "\ud800", "\udfff\ud800", "\U000e0041", "\ufffe", "x" * 40000]


def test_no_byte_of_a_record_reaches_the_terminal():
    """In any field, any form, with and without UTF-8."""
    names = ["event", "command", "decision", "reason", "rule", "detail", "args", "exec_path",
             "file_opened", "reported_by", "process", "target_user", "key_fingerprint"]
    records = [record(n, **{name: text}) for n, text in enumerate(BAD_TEXTS, 1)
               for name in names]
    for r in records[:3]:
        r["POSTERN_INSTANCE"] = r["POSTERN_BOOT_ID"] = "\x1b[31m" * 30
    raw = lines(*records) + json.dumps(record(99, rule="RAW")).encode().replace(
        b"RAW", b"\xff\xfe\xc0\xaf\xed\xa0\x80\xf5ok\x9b") + b"\n"
    for locale in ("C.UTF-8", "C"):
        for args in ((), ("-o", "verbose"), ("--json",), ("--gaps",), ("--gaps", "--json"),
                     ("--gaps", "-o", "verbose")):
            done = run("--file", "-", *args, data=raw, env={"LC_ALL": locale})
            assert done.returncode in (OK, NONE) and done.stdout
            assert_harmless(done.stdout)
            assert_harmless(done.stderr)
            if not args:
                assert all(columns(l) <= 80 for l in done.stdout.decode().splitlines())
            if locale == "C" or "--json" in args:
                assert done.stdout.isascii()


def test_what_is_printable_is_printed():
    data = lines(record(1, decision="deny", rule="gr\u00fc\u00df\u6f22\u0007"))
    assert "rule gr\u00fc\u00df\u6f22\\x07" in audit(data)[0]
    assert r"rule gr\xc3\xbc\xc3\x9f\xe6\xbc\xa2\x07" in audit(data, env={"LC_ALL": "C"})[0]


def test_a_value_cannot_pass_for_more():
    got = audit(lines(record(1, decision="deny", command="a, ok, rule b", rule='" x')))
    assert 'deny        "a, ok, rule b", rule "' in got[0], got


def test_lines_that_are_no_records_are_counted():
    good = lines(record(1))
    for bad, n in ((b"garbage\n", 1), (b"{}\n[]\n5\n\"x\"\n", 4), (b"\x00\n\x00\xff\n", 2),
                   (b"{\"POSTERN_SEQ\": 1}\n", 1), (b"\n\n\n", 0), (b" \n", 1),
                   (b"{" * 5000 + b"\n", 1), (b"x" * 70000 + b"\n", 1),
                   (good.strip() + good, 1), (good.strip() + b" x\n", 1), (good[:-9] + b"\n", 1),
                   (lines(record(1, rule="x" * 200000)), 1), (b"x" * 1000000 + b"\n", 1),
                   (good.replace(b": 1,", b": \"x\","), 1), (b"\xff" + good, 1)):
        done = run("--file", "-", "--json", data=good + bad + lines(record(2)), status=OK)
        seqs = [json.loads(line)["POSTERN_SEQ"] for line in done.stdout.splitlines()]
        assert seqs == [1, 2], (bad[:99], seqs)
        said = re.fullmatch(r"posternctl: (\d+) lines? (is|are) no records? and left out\n|",
                            done.stderr.decode())
        assert said and int(said[1] or 0) == n, (bad[:99], done.stderr)


def test_the_last_line_may_be_cut():
    data = lines(record(1), record(2))
    assert shown(data[:-1]) == [1, 2]  # as it is written
    done = run("--file", "-", "--json", data=data[:-20], status=OK)
    assert len(done.stdout.splitlines()) == 1 and b"1 line is no record" in done.stderr
    done = run("--file", "-", "--json", data=lines(record(1)) + b"x" * 99999, status=OK)
    assert len(done.stdout.splitlines()) == 1 and b"1 line is no record" in done.stderr


def test_values_of_the_wrong_kind_are_left_out():
    r = record(1, session=1.5, repeat=-1, errno=2**70, abandoned="maybe", rule={"a": 1},
               detail=None, request=2**64, duration_usec=1e3)
    got = json.loads(audit(lines(r), "--json")[0])
    assert set(got) == set(record(1)), got


def test_long_fields_are_cut():
    got = json.loads(audit(lines(record(1, rule="x" * 40000)), "--json")[0])
    assert got["POSTERN_RULE"] == "x" * 16384


# ---- colour -----------------------------------------------------------------------------------

def on_terminal(data, *args, width=80, env=None):
    """What goes to a terminal of WIDTH columns."""
    with tempfile.NamedTemporaryFile() as f:
        f.write(data)
        f.flush()
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
        child = subprocess.Popen([CTL, "audit", "--file", f.name, *args], stdout=slave,
                                 env={**ENV, **(env or {})}, preexec_fn=guard.harmless)
        os.close(slave)
        out = b""
        try:
            while piece := os.read(master, 65536):
                out += piece
        except OSError:  # the other end is closed
            pass
        os.close(master)
        assert child.wait(PATIENCE) in (OK, NONE)
    return out.decode().replace("\r\n", "\n")


def test_colour_on_a_terminal_only():
    data = MIXED + lines(record(9, dropped=2))
    out = on_terminal(data)
    for want in ("\x1b[31mdeny\x1b[0m ", "\x1b[33mcomplain\x1b[0m ", "\x1b[31merror\x1b[0m ",
                 "\x1b[35m (2 records lost before this)\x1b[0m\n", " allow "):
        assert want in out, (want, out)
    plain = re.sub(r"\x1b\[\d+m", "", out)
    assert "\x1b" not in plain and plain == "\n".join(audit(data)) + "\n"
    assert "\x1b[35mgap\x1b[0m" in on_terminal(data, "--gaps")
    assert "\x1b" not in on_terminal(data, env={"NO_COLOR": "1"})
    assert "\x1b" not in on_terminal(data, "--json")
    hostile = on_terminal(lines(record(1, decision="deny", rule="\x1b[31m", event="\x1b")))
    assert hostile.count("\x1b") == 2, hostile


def test_a_wide_terminal_is_used():
    data = lines(record(1, decision="deny", rule="x" * 1000))
    for width, want in ((0, 80), (40, 80), (80, 80), (132, 132), (200, 200), (900, 200)):
        line = re.sub(r"\x1b\[\d+m", "", on_terminal(data, width=width)).rstrip("\n")
        assert len(line) == want and line.endswith("..."), (width, len(line))


# ---- gaps -------------------------------------------------------------------------------------

def findings(data, *args, status=NONE):
    got = [json.loads(l) for l in audit(data, "--gaps", "--json", *args, status=status)]
    assert got[-1]["finding"] == "summary"
    return got[:-1], got[-1]


def seqs(*numbers, instance=INSTANCE, boot=BOOT, **fields):
    at = {"at": START} if max(numbers) > 2**32 else {}
    return lines(*({**record(n, **at, **fields), "POSTERN_INSTANCE": instance, "POSTERN_BOOT_ID": boot}
                   for n in numbers))


def test_no_gap():
    data = seqs(1, 2, 3) + seqs(4, event="stop") + seqs(1, 2, instance="other")
    assert findings(data, status=OK) == ([], {"finding": "summary", "records": 6,
                                              "instances": 2, "gaps": 0})
    assert audit(data, "--gaps") == ["6 records of 2 instances, 0 gaps"]


def test_what_is_missing():
    data = seqs(1, 2, 5, 6) + seqs(10, dropped=2) + seqs(12)
    found, total = findings(data)
    base = {"finding": "gap", "boot_id": BOOT, "instance": INSTANCE}
    assert found == [{**base, "from": 3, "to": 4, "missing": 2, "dropped": 2},
                     {**base, "from": 7, "to": 9, "missing": 3, "dropped": 0},
                     {**base, "from": 11, "to": 11, "missing": 1, "dropped": 0}], found
    assert (total["records"], total["gaps"]) == (6, 3)
    text = audit(data, "--gaps", status=NONE)
    assert text[:2] == ["gap: boot b0000000, instance 10000000: records 3 to 4 are missing (2)",
                        "    2 of them counted as dropped by the agent"], text
    assert "record 11 is missing (1)" in text[4] and "0 of them" in text[5]
    assert text[-1] == "6 records of 1 instance, 3 gaps"
    assert all(len(line) <= 80 for line in text)
    full = audit(data, "--gaps", "-o", "verbose", status=NONE)
    assert BOOT in full[0] and INSTANCE in full[0]


def test_a_beginning_that_is_missing():
    found, _ = findings(seqs(5, 6))
    assert [(f["from"], f["to"]) for f in found] == [(1, 4)]
    assert "the beginning" in "\n".join(audit(seqs(5, 6), "--gaps", status=NONE))
    # Where the caller left the beginning out, it is not missing.
    assert findings(seqs(5, 6), "--since", "@0", status=OK)[0] == []
    assert findings(seqs(5, 6, 9), "--since", f"@{START + 6}")[0][0]["from"] == 7


def test_records_that_come_late_or_twice():
    assert findings(seqs(1, 4, 2, 3, 5), status=OK)[0] == []
    assert findings(seqs(1, 9, 5, 2, 8, 3, 7, 4, 6), status=OK)[0] == []
    found, total = findings(seqs(1, 2, 2, 3, 1))
    assert [(f["finding"], f["count"]) for f in found] == [("duplicate", 2)]
    assert total["gaps"] == 0
    assert "2 records came twice" in audit(seqs(1, 2, 2, 3, 1), "--gaps", status=NONE)[0]


def test_a_worker_that_was_killed():
    data = seqs(1, 2) + seqs(1, instance="second") + seqs(2, instance="second", event="stop") + \
        seqs(1, instance="third", boot="later")
    found, _ = findings(data)
    assert [(f["finding"], f["instance"], f["reboot"]) for f in found] == \
        [("killed", INSTANCE, False)]
    text = audit(data, "--gaps", status=NONE)
    assert text[0].startswith("killed: boot b0000000, instance 10000000: no record of a stop")
    assert text[1] == "    another instance followed: the worker was killed"
    assert text[-1] == "5 records of 3 instances, 0 gaps, 1 without a stop"
    found, _ = findings(seqs(1, 2) + seqs(1, boot="later"))
    assert found[0]["finding"] == "killed" and found[0]["reboot"] is True
    # Its successor writes what it held back; two machines at once are no successors.
    found, _ = findings(seqs(1) + seqs(1, instance="second") + seqs(2))
    assert [f["instance"] for f in found] == [INSTANCE], found
    assert findings(seqs(1) + seqs(1, boot="machine 2") + seqs(2), status=OK)[0] == []


def test_gaps_of_any_numbers():
    big = 2**64 - 1
    for numbers in ((0,), (0, 0), (big,), (big, big), (1, big, big - 1), (big, 1, 0)):
        done = run("--file", "-", "--gaps", data=seqs(*numbers))
        assert done.returncode in (OK, NONE) and re.match(rb"(?s).*\d records? of 1 instance, ",
                                                            done.stdout), done
    found, _ = findings(seqs(big))
    assert found[0]["missing"] == big - 1
    many = b"".join(seqs(1, 3, instance=str(n)) for n in range(2000))
    assert findings(many)[1]["gaps"] == 2000


def test_gaps_of_nothing():
    done = run("--file", "-", "--gaps", status=NONE)
    assert done.stdout == b"0 records of 0 instances, 0 gaps\n"


# ---- following --------------------------------------------------------------------------------

class Follow:
    """posternctl audit -f --json on a file; what it printed so far."""

    def __init__(self, path, *args):
        self.out = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [CTL, "audit", "-f", "--json", "--file", path, *args], stdout=self.out,
            stderr=subprocess.PIPE, env=ENV, preexec_fn=guard.harmless)

    def seqs(self):
        text = os.pread(self.out.fileno(), 1 << 20, 0)
        return [json.loads(line)["POSTERN_SEQ"] for line in text.splitlines()]

    def wait(self, want):
        wait_until(lambda: self.seqs() == want, lambda: f"{want}, not {self.seqs()}")

    def end(self, sig=signal.SIGINT):
        self.process.send_signal(sig)
        err = self.process.communicate(timeout=PATIENCE)[1]
        assert self.process.returncode == OK, (self.process.returncode, err)
        return err

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
        self.out.close()


def append(path, data):
    with open(path, "ab") as f:
        f.write(data)


def test_follow_a_file():
    with tempfile.TemporaryDirectory() as d:
        path = os.path.join(d, "audit.jsonl")
        append(path, lines(*(record(n) for n in range(1, 16))))
        with Follow(path) as f:
            got = list(range(6, 16))  # the last ten
            f.wait(got)
            half = lines(record(16))
            append(path, half[:50])
            append(path, half[50:] + lines(record(17))[:30])
            f.wait(got + [16])
            append(path, lines(record(17))[30:] + b"junk\n")
            f.wait(got + [16, 17])
            assert b"1 line is no record" in f.end()
        with Follow(path, "--since", f"@{START + 2}", "--command", "exec") as f:
            append(path, lines(record(18), record(19, command="guest-exec")))
            f.wait([19])
            f.end(signal.SIGTERM)
        with Follow(path, "-n", "1") as f:
            f.wait([19])


def test_follow_a_file_that_is_replaced():
    with tempfile.TemporaryDirectory() as d:
        path = os.path.join(d, "audit.jsonl")
        append(path, lines(record(1)))
        with Follow(path) as f, open(path, "ab") as old:
            f.wait([1])
            os.rename(path, path + ".1")
            old.write(lines(record(2)))
            old.flush()
            f.wait([1, 2])  # still the old one, while there is no new one
            append(path, lines(record(3)))
            f.wait([1, 2, 3])
            append(path, lines(record(4)))
            f.wait([1, 2, 3, 4])
            os.truncate(path, 0)
            time.sleep(1.2)
            append(path, lines(record(5)))
            f.wait([1, 2, 3, 4, 5])
            f.end()


def test_follow_ends_with_its_reader():
    with tempfile.NamedTemporaryFile() as file:
        append(file.name, lines(record(1)))
        for later in (b"", lines(record(2))):
            child = subprocess.Popen([CTL, "audit", "-f", "--file", file.name],
                                     stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENV,
                                     preexec_fn=guard.harmless)
            assert child.stdout.readline()
            child.stdout.close()
            append(file.name, later)
            assert child.wait(PATIENCE) == OK and child.stderr.read() == b""
            child.stderr.close()


def test_follow_a_pipe():
    child = subprocess.Popen([CTL, "audit", "-f", "--json", "--file", "-"],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=ENV,
                             preexec_fn=guard.harmless, bufsize=0)
    child.stdin.write(lines(record(1)))
    child.stdin.write(lines(record(2))[:40])
    assert json.loads(child.stdout.readline())["POSTERN_SEQ"] == 1
    child.stdin.write(lines(record(2))[40:])
    assert json.loads(child.stdout.readline())["POSTERN_SEQ"] == 2
    child.stdin.write(lines(record(3))[:-1])
    child.stdin.close()
    assert json.loads(child.stdout.readline())["POSTERN_SEQ"] == 3
    assert child.wait(PATIENCE) == OK
    child.stdout.close()


def test_a_reader_that_has_enough():
    data = lines(*(record(n) for n in range(1, 5000)))
    with tempfile.NamedTemporaryFile() as f:
        f.write(data)
        f.flush()
        child = subprocess.Popen([CTL, "audit", "--file", f.name], stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, env=ENV, preexec_fn=guard.harmless)
        assert child.stdout.readline()
        child.stdout.close()
        assert child.wait(PATIENCE) == OK and child.stderr.read() == b""
        child.stderr.close()


# ---- wrong calls ------------------------------------------------------------------------------

def test_wrong_calls():
    for args, pattern in (
            (("--frob",), "'--frob'"), (("-x",), "'-x'"), (("--since",), "'--since'"),
            (("word",), "one word too many: 'word'"),
            (("-o", "xml"), "none of short, verbose, json"),
            (("--command", "guest-frob"), "no command 'guest-frob'"),
            (("--command", ""), "no command ''"),
            (("--command", "get-disks smart"), "no command"),
            (("--command", "account"), "no command"),
            (("--session", "x"), "--session: 'x' is no number"),
            (("--session", "-1"), "is no number"),
            (("--session", "18446744073709551616"), "is no number"),
            (("-n", "0"), "--lines: '0'"), (("-n", "1000001"), "is no number"),
            (("--uid", "root"), "--uid: 'root'"),
            (("--gaps", "--denied"), "--gaps looks at all records"),
            (("--gaps", "--command", "exec"), "--gaps looks at all records"),
            (("--gaps", "--session", "1"), "--gaps looks at all records"),
            (("--gaps", "-f"), "--gaps goes neither"), (("--gaps", "-n", "1"), "--gaps goes"),
            (("-f", "--until", "now"), "do not go together"),
            (("--since", "@2", "--until", "@1"), "later than"),
            (("--file", "x", "-D", "y"), "another source"),
            (("--file", "x", "--uid", "1"), "another source"),
            (("--file", "/nonexistent"), "/nonexistent: cannot open"),
            (("--file", "/"), "/: cannot read"),
            (("-D", "/nonexistent"), "/nonexistent: cannot open")):
        done = run(*args, status=FAILED)
        assert done.stdout == b"" and done.stderr.startswith(b"posternctl: "), done
        assert pattern in done.stderr.decode() and done.stderr.count(b"\n") == 1, (args, done)


def test_help():
    done = run("--help", status=OK)
    assert b"Exit status" in done.stdout and b"--gaps" in done.stdout and not done.stderr
    assert all(len(line) <= 80 for line in done.stdout.decode().splitlines()), done


tap.run(tap.tests(globals()))
