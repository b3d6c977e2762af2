"""records - what the agent writes down while a case does something

Read from the guest's journal by its fields, of root's entries only. Looked for from a place in
the journal on, not from a time on: cases change the clock. Debian's agent keeps no records; of it
nothing is expected.

The journal has text alone, some characters as \\xNN; numbers and truth values are what ipc/record.h
declares as such. Fields of the journal's own (with `_` in front) stay as they are.
"""
import contextlib
import functools
import json
import os
import re
import shlex

import image
from agent import wait_until
from case import skip

def plain(text):
    """Without the escapes of worker/journal.c."""
    return re.sub(rb"\\x([0-9a-f]{2})", lambda m: bytes([int(m[1], 16)]),
                  text.encode()).decode(errors="surrogateescape")


KINDS = {"INT": int, "U64": int, "BOOL": {"true": True, "false": False}.__getitem__,
         "STR": plain}


@functools.cache
def kinds():
    """How a field's text is read; one that is JSON stays."""
    with open(os.path.join(image.ROOT, "ipc", "record.h"), encoding="utf-8") as f:
        rows = re.findall(r'X\(t, (\w+), \w+, (PX )?"(\w+)", ([A-Z_ |]+)', f.read())
    assert rows, "the table of fields in ipc/record.h has changed"
    return {("POSTERN_" if prefix else "") + name: KINDS[kind]
            for kind, prefix, name, flags in rows if "F_JSON" not in flags}


def record(entry):
    return {name: kinds().get(name, str)(value) for name, value in entry.items()}


def read(vm, *options, timeout=20):
    """Records that journalctl finds with these options and matches."""
    command = ["journalctl", "-q", "-a", "-o", "json", *options]
    listed = vm.shell(" ".join(map(shlex.quote, command)), timeout=timeout)
    return [record(json.loads(line)) for line in listed.splitlines()]


def matching(*events, **fields):
    """What finds root's records of any of these events, or of all, with these fields."""
    return ["_UID=0", "SYSLOG_IDENTIFIER=postern", *(f"POSTERN_EVENT={e}" for e in events),
            *(f"POSTERN_{name.upper()}={value}" for name, value in fields.items())]


def place(vm):
    """Where the journal ends now."""
    return vm.shell("journalctl -q -n 1 -o cat --show-cursor | tail -n 1").removeprefix(
        "-- cursor: ")


def after(vm, where, *events):
    """Records of these events, or of all, from there on, as they came. Without matches: with
    them systemd 252 passes over the first one behind a cursor that does not match."""
    listed = vm.shell(f"journalctl -q -a -o json '--after-cursor={where}' | "
                      "grep -F '\"SYSLOG_IDENTIFIER\":\"postern\"' || true")
    rows = [record(json.loads(line)) for line in listed.splitlines()]
    return [r for r in rows if r["_UID"] == "0" and "POSTERN_EVENT" in r
            and (not events or r["POSTERN_EVENT"] in events)]


def is_count(row):
    """It tells of earlier requests, or of session commands: libvirt asks one with each request."""
    return row["POSTERN_EVENT"] == "decision" and "POSTERN_REPEAT" in row


def since(vm, where, *events):
    """Records of these events from there on, once there is one; no counts."""
    def try_once():
        return [r for r in after(vm, where, *events) if not is_count(r)]
    return wait_until(try_once, f"a record of {events}", 10)


@contextlib.contextmanager
def recorded(vm, event, **fields):
    """The block makes one record of EVENT, with these fields. Gives a list that has it once
    the block is over, or nothing if the agent keeps no records."""
    rows = []
    where = place(vm)
    yield rows
    if vm.agent.reference:
        return
    rows += since(vm, where, event)
    assert len(rows) == 1, f"recorded: {rows}"
    for name, value in fields.items():
        told = rows[0].get(f"POSTERN_{name.upper()}")
        assert told == value, f"recorded {name}: {told!r}, not {value!r}"


def last_words(vm, mode):
    """The agent of a boot before this one was told to do this, said so, and ended in peace.
    Cases change the clock, so neither boots nor lines are in an order that counts."""
    if vm.agent.reference:
        skip("this agent keeps no records")
    if vm.shell("journalctl --list-boots | wc -l", timeout=50) == "1":
        skip("there was no boot before")
    rows = read(vm, *matching("power", "complete", command="guest-shutdown"), "+",
                *matching("stop"), timeout=50)
    boot = vm.shell("cat /proc/sys/kernel/random/boot_id")
    told = [r for r in rows if r.get("POSTERN_POWER_MODE") == mode]
    assert told, rows
    power = told[-1]
    assert power["POSTERN_COMMAND"] == "guest-shutdown", power
    assert power["POSTERN_BOOT_ID"] != boot, power
    later = sorted((r for r in rows if r["POSTERN_INSTANCE"] == power["POSTERN_INSTANCE"]
                    and r["POSTERN_SEQ"] > power["POSTERN_SEQ"]),
                   key=lambda r: r["POSTERN_SEQ"])
    assert [r["POSTERN_EVENT"] for r in later] == ["complete", "stop"], later
    assert later[0]["POSTERN_RESULT"] == "ok", later
