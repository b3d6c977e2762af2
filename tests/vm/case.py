"""case - what is asked of the guest, and what must be seen

    @case("host name", LIBVIRT)
    def _(vm):
        assert vm.ask("guest-get-host-name")["host-name"] == vm.shell("hostname")

A case is a function of a Guest (machine.py); an exception is a failure, skip(WHY) skips.
It has `limit` seconds, then it and what it started is ended, and the next one begins.
Cases run in the order of the files in cases/ and of their definition, in one guest, so
each leaves the agent running and answering; after a failure the runner sees to that.

LIBVIRT     libvirtd runs and holds the channel: vm.ask, vm.virsh, vm.domain
RAW         libvirtd is stopped, the channel's socket is the case's own: vm.client()
full=True   takes minutes: only `make check-vm-full` runs it
boots=True  is about the boot: begins while the guest still does
off=True    leaves the guest off: the runner boots it again, from the same disks
sleeps=True the guest sleeps: it is one that can be woken (Machine.start_guest)

Inside looks vm.shell() either way. note(TEXT) is shown on the case's line.
"""
import dataclasses

LIBVIRT = "libvirt"
RAW = "raw"
LIMIT = 60
CASES = []
NOTES = []


class Skip(Exception):
    """This case cannot be run; the message says why."""


@dataclasses.dataclass
class Case:
    """One row of the run."""
    name: str
    by: str
    function: object
    limit: int = LIMIT
    full: bool = False
    boots: bool = False
    off: bool = False
    sleeps: bool = False


def case(name, by, **wanted):
    """Decorator: add a function to the run."""
    def add(function):
        CASES.append(Case(name, by, function, **wanted))
        return function
    return add


def skip(why):
    raise Skip(why)


def note(text):
    NOTES.append(text)
