"""What AppArmor has said of the agent in all boots of this run.

The guest enforces the profiles of apparmor/, so all cases before have run confined by them.
The last case of a run: it makes a denial itself, to see that one would have been seen.
"""
from case import LIBVIRT, case, note, skip

SEEN = """journalctl --quiet --no-pager --output=cat _TRANSPORT=kernel |
    grep -a 'apparmor="[A-Z]*"' | grep -a 'profile="[^"]*postern' | grep -av '"STATUS"'"""


def ours(vm):
    if vm.agent.reference:
        skip("AppArmor knows no profile of it")


def said(vm):
    return vm.shell(f"({SEEN}) || true").splitlines()


@case("every process is confined by its profile", LIBVIRT)
def _(vm):
    ours(vm)
    labels = vm.shell("for p in $(pgrep -f '^/usr/sbin/qemu-ga|^postern-'); do"
                      " echo $(cat /proc/$p/comm /proc/$p/attr/current); done").splitlines()
    assert {tuple(line.split(maxsplit=1)) for line in labels} == {
        ("qemu-ga", "postern (enforce)"),
        ("postern-worker", "postern-worker (enforce)"),
        ("postern-reader", "postern//&postern-reader (enforce)"),
        ("postern-inspect", "postern//&postern-inspector (enforce)"),
        ("postern-fronten", "postern//&postern-frontend (enforce)"),
    }, labels
    note("loaded in " + vm.shell("systemd-analyze blame | sed -n 's/ apparmor.service//p'").strip())


@case("nothing was denied that was needed", LIBVIRT)
def _(vm):
    ours(vm)
    lines = said(vm)
    assert not lines, "\n".join(lines)
    vm.shell("aa-exec -p postern-reader -- cat /etc/shadow >/dev/null 2>&1 && exit 1; exit 0")
    assert any('profile="postern-reader"' in line for line in said(vm)), \
        "what was denied did not show"
