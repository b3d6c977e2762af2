"""What the agent records, in the journal of a real guest: whose words they are, what explains
them, and that none is missing, not even while the journal is frozen."""
import json

import frozen
import records
from agent import wait_until
from case import LIBVIRT, case, note, skip
from frozen import freeze, thaw
from machine import refused

SHORT = """
[policy]
version = 1
base = safe

[audit]
interval = 2s
"""
REFUSED = {"guest-get-host-name": {}, "guest-fstrim": {},
           "guest-file-open": {"path": "/etc/hostname"}}


def ours(vm):
    if vm.agent.reference:
        skip("this agent keeps no records")


# ---- one call -----------------------------------------------------------------------------

@case("a call is on record in the journal, by the worker", LIBVIRT)
def _(vm):
    ours(vm)
    name = "guest-get-host-name"

    def of_the_calls():
        rows = [r for r in records.after(vm, where, "decision", "complete")
                if r["POSTERN_COMMAND"] == name]
        return rows if sum(r.get("POSTERN_REPEAT", 0) for r in rows) == 4 else None

    with vm.policy(SHORT):  # after a start nothing was asked before
        where = records.place(vm)
        worker = vm.all_processes()["worker"]
        for _ in range(5):
            assert vm.ask(name)["host-name"] == vm.shell("uname -n")
        rows = wait_until(of_the_calls, "records of five calls", 20)
    decision, complete = [r for r in rows if not records.is_count(r)]
    assert (decision["POSTERN_EVENT"], decision["POSTERN_DECISION"],
            decision["POSTERN_REASON"], decision["POSTERN_RULE"]) == \
        ("decision", "allow", "rule", "info"), decision
    assert (complete["POSTERN_EVENT"], complete["POSTERN_RESULT"]) == ("complete", "ok"), complete
    assert decision["POSTERN_SEQ"] < complete["POSTERN_SEQ"]
    for field in "POSTERN_REQUEST", "POSTERN_SESSION", "POSTERN_INSTANCE":
        assert decision[field] == complete[field], (decision, complete)
    for row in rows:
        # What nobody can make up: journald asks the kernel.
        assert (row["_UID"], row["_PID"], row["_COMM"], row["_SYSTEMD_UNIT"],
                row["_TRANSPORT"]) == \
            ("0", str(worker), "postern-worker", vm.agent.unit, "journal"), row


@case("journalctl -x explains a record", LIBVIRT, limit=120)
def _(vm):
    ours(vm)
    # As a package does: the unit for it is masked in the image.
    vm.shell("journalctl --update-catalog", timeout=50)
    refused(vm.ask, "guest-file-open", path="/etc/hostname")
    for matches, *wanted in (
            (records.matching("start"), "The guest agent is ready"),
            (records.matching("decision", command="guest-file-open", decision="deny"),
             "guest-file-open of the host: deny", "no-rule")):
        text = wait_until(lambda m=matches: vm.shell(
            f"journalctl -q -x -b -n 1 {' '.join(m)}", timeout=40), f"{matches}", 10)
        for words in ("Defined-By: Postern", *wanted):
            assert words in text, (words, text)
        assert "@POSTERN_" not in text, text


# ---- none is missing ------------------------------------------------------------------------

def usec(seconds):
    """Of what frozen.now() gives."""
    return int(seconds.replace(".", ""))


@case("what is recorded while the journal is frozen comes after the thaw, whole", LIBVIRT)
def _(vm):
    ours(vm)
    where = records.place(vm)
    count = freeze(vm)
    for _ in range(2):
        for command, arguments in REFUSED.items():
            text = refused(vm.ask, command, **arguments)
            assert "has been disabled: the agent is in frozen state" in text, text
    before = usec(frozen.now(vm))
    thaw(vm, count)

    def all_there():
        rows = records.after(vm, where)
        told = {c: sum(r.get("POSTERN_REPEAT", 1) for r in rows if is_refusal(r, c))
                for c in REFUSED}
        ends = [r for r in rows if r["POSTERN_EVENT"] == "complete"
                and r["POSTERN_COMMAND"] == "guest-fsfreeze-thaw"]
        return rows if ends and set(told.values()) == {2} else None

    rows = wait_until(all_there, "the records of freeze and thaw", 20)
    assert len({r["POSTERN_INSTANCE"] for r in rows}) == 1, rows
    first = rows[0]["POSTERN_SEQ"]
    assert [r["POSTERN_SEQ"] for r in rows] == list(range(first, first + len(rows))), rows
    assert not any("POSTERN_DROPPED" in r for r in rows), rows
    froze, = [r for r in rows if r["POSTERN_EVENT"] == "freeze"]
    thawed, = [r for r in rows if r["POSTERN_EVENT"] == "thaw"]
    held = [froze] + [r for r in rows if not records.is_count(r)
                      and any(is_refusal(r, c) for c in REFUSED)]
    assert len(held) == 1 + len(REFUSED), held
    for row in held:
        assert row["POSTERN_TIME_USEC"] < before < int(row["__REALTIME_TIMESTAMP"]), row
        assert row["POSTERN_SEQ"] < thawed["POSTERN_SEQ"], (row, thawed)
    assert before < thawed["POSTERN_TIME_USEC"], thawed
    note(f"{len(rows)} records")


def is_refusal(row, command):
    return (row["POSTERN_EVENT"] == "decision" and row["POSTERN_COMMAND"] == command
            and row["POSTERN_REASON"] == "frozen")


@case("posternctl audit is fit to read, and finds no gap", LIBVIRT, limit=180)
def _(vm):
    ours(vm)
    vm.answers()
    lines = vm.shell("posternctl audit -n 200", timeout=70).splitlines()
    assert len(lines) > 20, lines
    assert max(map(len, lines)) <= 80, max(lines, key=len)
    # Cases before have killed workers, which is found as well: of those it says so (status 1).
    told = vm.shell("posternctl audit --gaps -o json 2>/dev/null || [ $? = 1 ]", timeout=70)
    *found, total = map(json.loads, told.splitlines())
    assert total["finding"] == "summary" and total["records"] > 20, total
    running, = records.read(vm, "-b", "-n", "1", *records.matching("start"))
    mine = [f for f in found if f["instance"] == running["POSTERN_INSTANCE"]]
    assert not mine, mine
    note(f"{total['records']} records of {total['instances']} instances, {total['gaps']} gaps")
