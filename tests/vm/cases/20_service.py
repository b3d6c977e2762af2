"""Processes that die, and the service that is stopped, while libvirt is connected."""
from agent import wait_until
from case import LIBVIRT, case, note, skip

ALL = {"supervisor", "worker", "frontend", "inspector", "audit writer", "policy reader"}

# Who dies, whom that takes along, and whether libvirt sees the port close.
DEATHS = [
    ("inspector", {"inspector"}, False),
    ("audit writer", {"audit writer"}, False),
    ("frontend", {"frontend"}, True),
    ("worker", ALL - {"supervisor"}, False),
    ("supervisor", ALL, True),
]


def add_death(victim, replaced, seen):
    @case(f"kill -9 of the {victim}", LIBVIRT)
    def _(vm):
        if victim not in vm.agent.processes:
            skip("this agent is one process")
        vm.answers()
        before = vm.all_processes()
        with vm.states_seen() as states:
            vm.shell(f"kill -9 {before[victim]}")
            wait_until(lambda: vm.processes().get(victim) not in (None, before[victim]),
                       f"another {victim}", 20)
            note(f"answers after {vm.answers():.1f} s")
            after = vm.all_processes()
            assert vm.ask("guest-get-host-name")["host-name"] == vm.shell("uname -n")
        changed = {part for part, pid in before.items() if after[part] != pid}
        assert changed == replaced & set(vm.agent.processes), changed
        assert states == (["disconnected", "connected"] if seen else []), states


for row in DEATHS:
    add_death(*row)


@case("systemctl restart", LIBVIRT)
def _(vm):
    vm.answers()
    before = vm.all_processes()
    with vm.states_seen() as states:
        vm.shell(f"systemctl restart {vm.agent.unit}")
        vm.answers()
        wait_until(lambda: states == ["disconnected", "connected"], lambda: f"{states}", 10)
    after = vm.all_processes()
    assert not set(before.values()) & set(after.values()), (before, after)
    assert vm.state() == "connected"


@case("systemctl stop, then start", LIBVIRT)
def _(vm):
    vm.answers()
    vm.shell(f"systemctl stop {vm.agent.unit}")
    try:
        wait_until(lambda: vm.state() == "disconnected", "libvirt to see it", 10)
        assert not vm.port_is_open()
        assert vm.processes() == {}, "processes that outlive the service"
        assert vm.shell(f"systemctl show -P Result {vm.agent.unit}") == "success"
    finally:
        vm.shell(f"systemctl start {vm.agent.unit}")
    # Started means ready: what is ordered behind the unit relies on it.
    vm.answers()
    assert vm.state() == "connected"
