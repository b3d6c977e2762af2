"""Another policy while the agent runs, as an administrator of the guest has it: systemctl reload,
posternctl status, and what the journal says of it."""
import json

import records
from agent import wait_until
from case import LIBVIRT, case, note, skip
from frozen import freeze, thaw
from machine import POLICY, Refused

WIDE = "[policy]\nversion = 1\nbase = libvirt"
DENY = "[rule \"no\"]\neffect = deny\ncommand = guest-get-host-name"
INFO = "[policy]\nversion = 1\nbase = none\n[rule \"i\"]\neffect = allow\ncommand = @info"


def ours(vm):
    if vm.agent.reference:
        skip("this agent has no policy to be read again")


def write(vm, text):
    vm.shell(f"cat >{POLICY}.new <<'END'\n{text}\nEND\nmv {POLICY}.new {POLICY}")


def status(vm):
    return json.loads(vm.shell("posternctl status --json"))


def reload(vm):
    """How systemctl puts it: done or not."""
    return vm.shell(f"systemctl reload {vm.agent.unit} && echo done || echo failed",
                    timeout=70).splitlines()[-1] == "done"


def is_refused(vm, command):
    try:
        vm.ask(command)
    except Refused:
        return True
    return False


@case("systemctl reload: another policy decides from then on", LIBVIRT)
def _(vm):
    ours(vm)
    with vm.policy(WIDE):
        where, before = records.place(vm), vm.all_processes()
        assert not is_refused(vm, "guest-get-host-name")
        write(vm, WIDE + "\n" + DENY)
        assert reload(vm)
        assert is_refused(vm, "guest-get-host-name")
        assert not is_refused(vm, "guest-get-osinfo")
        now = status(vm)
        assert (now["generation"], now["reload"], now["mode"]) == (2, "done", "enforce"), now
        assert vm.all_processes() == before
        row, = records.after(vm, where, "reload")
        assert (row["POSTERN_RESULT"], row["POSTERN_POLICY_SHA256"]) == \
            ("ok", now["digest"]), row


@case("a reload that is refused changes nothing, nor does the end of the worker", LIBVIRT)
def _(vm):
    ours(vm)
    with vm.policy(INFO):
        where, first = records.place(vm), status(vm)
        assert (first["privileges"], first["files"], first["landlock"]) == \
            ("no-spawner", "none", True), first
        write(vm, WIDE)
        assert not reload(vm)
        assert status(vm)["reload"] == "restart"
        write(vm, "nonsense")
        assert not reload(vm)
        assert status(vm)["reload"] == "mistakes"
        vm.shell(f"kill -9 {vm.all_processes()['worker']}")
        vm.answers()
        wait_until(lambda: status(vm)["pid"] != first["pid"], "another worker", 10)
        assert status(vm)["digest"] == first["digest"]
        assert is_refused(vm, "guest-fsfreeze-status")
        assert len(records.after(vm, where, "policy-refused")) == 2


@case("privilege follows the policy", LIBVIRT)
def _(vm):
    ours(vm)
    # Of a guest under systemd, which no program is needed to shut down.
    narrow = INFO + "\n[rule \"p\"]\neffect = allow\ncommand = guest-shutdown"
    with vm.policy(narrow):
        worker = vm.all_processes()["worker"]
        caps = vm.shell(f"grep -E '^Cap(Bnd|Prm|Eff)' /proc/{worker}/status").split()
        assert set(caps[1::2]) == {"0" * 16}, caps
        assert status(vm)["privileges"] == "no-spawner"
    with vm.policy(WIDE):
        note(f"libvirt: {status(vm)['privileges']}; files: {status(vm)['files']}")


@case("a reload waits for the thaw", LIBVIRT)
def _(vm):
    ours(vm)
    with vm.policy(WIDE):
        count = freeze(vm)
        # Neither program nor service writes to what is frozen.
        vm.shell(f"mkdir /run/postern/policy.d; cat >/run/postern/policy.d/later.conf <<'END'\n"
                 f"{DENY}\nEND")
        try:
            vm.shell(f"kill -HUP {vm.all_processes(frozen=True)['supervisor']}")
            wait_until(lambda: status(vm)["reload-waits"], "the reload to wait", 10)
            told = status(vm)
            assert (told["frozen"], told["generation"]) == (True, 1), told
            assert 0 < told["thaw-in-ms"] <= 600_000, told
            thaw(vm, count)
            wait_until(lambda: status(vm)["generation"] == 2, "the reload", 10)
            assert is_refused(vm, "guest-get-host-name")
        finally:
            vm.shell("rm -r /run/postern/policy.d")
