"""records - what the agent writes down while a case does something

Looked for from a place in the journal on, not from a time on: cases change the clock. Debian's
agent keeps no records; of it nothing is expected.
"""
import contextlib
import json

from agent import wait_until
from case import skip


def place(vm):
    """Where the journal ends now."""
    return vm.shell("journalctl -q -n 1 -o cat --show-cursor | tail -n 1").removeprefix(
        "-- cursor: ")


def parse(text, *events):
    found = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    return [r for r in found if r["POSTERN_EVENT"] in events]


def since(vm, where, *events):
    """Records of these events from there on, once there is one."""
    def try_once():
        return parse(vm.shell(f"journalctl -q -u {vm.agent.unit} -o cat "
                              f"--after-cursor='{where}'"), *events)
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
    rows = parse(vm.shell(f"journalctl -q -u {vm.agent.unit} -o cat | "
                          "grep -E '\"guest-shutdown\"|\"stop\"' || true", timeout=50),
                 "power", "complete", "stop")
    boot = vm.shell("cat /proc/sys/kernel/random/boot_id")
    told = [r for r in rows if r.get("POSTERN_POWER_MODE") == mode]
    assert told, rows
    power = told[-1]
    assert power["POSTERN_COMMAND"] == "guest-shutdown", power
    assert power["POSTERN_BOOT_ID"] != boot, power
    after = sorted((r for r in rows if r["POSTERN_INSTANCE"] == power["POSTERN_INSTANCE"]
                    and r["POSTERN_SEQ"] > power["POSTERN_SEQ"]),
                   key=lambda r: r["POSTERN_SEQ"])
    assert [r["POSTERN_EVENT"] for r in after] == ["complete", "stop"], after
    assert after[0]["POSTERN_RESULT"] == "ok", after
