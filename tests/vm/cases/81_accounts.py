"""Passwords and keys that the host sets: those who log in inside say whether they hold."""
import contextlib
import os
import tempfile

import records
from case import LIBVIRT, case, skip
from machine import refused

USER, HOME = "guest", "/home/guest"
FILE = f"{HOME}/.ssh/authorized_keys"
SSH = ("ssh -F none -o BatchMode=yes -o StrictHostKeyChecking=no -o IdentitiesOnly=yes "
       f"-o UserKnownHostsFile=/dev/null -o ConnectTimeout=10 {USER}@127.0.0.1")
PEOPLE = """
[policy]
version = 1
base = safe

[rule "people"]
effect = allow
command = @password ; @ssh-keys
uid-min = 1000
"""


# ---- passwords ------------------------------------------------------------------------------

def field(vm, user=USER):
    """The account's password as the shadow database has it."""
    return vm.shell(f"getent shadow {user}").split(":")[1]


def logs_in(vm, password):
    """Does su let somebody else in with it? PAM asks nobody but root without."""
    shown = vm.shell(f"runuser -u nobody -- su {USER} -c 'id -un' 2>&1 <<'END' || true\n"
                     f"{password}\nEND")
    return shown.splitlines()[-1].removeprefix("Password: ") == USER


def nowhere_in_the_journal(vm, pattern):
    """Not in what anybody said, nor in any field of ours."""
    for text in ("-o cat", "-a -o export _UID=0 SYSLOG_IDENTIFIER=postern"):
        vm.shell(f"! journalctl -b {text} | grep -qaE '{pattern}'", timeout=40)


@contextlib.contextmanager
def old_password(vm):
    """The account's password is put back, whatever becomes of it."""
    before = field(vm)
    try:
        yield before
    finally:
        vm.shell(f"usermod -p '{before}' {USER}")


@case("virsh set-user-password, and who logs in with it", LIBVIRT)
def _(vm):
    word, other = "Übung: macht den 'Meister'!", "Postern-4711"
    with vm.profile("legacy"), old_password(vm) as before:
        vm.virsh("set-user-password", USER, other)
        first = field(vm)
        with records.recorded(vm, "password", target_user=USER, password_crypted=False,
                              result="ok"):
            vm.virsh("set-user-password", USER, word)
        second = field(vm)
        assert first[0] == second[0] == "$" and len({before, first, second}) == 3
        assert logs_in(vm, word)
        assert not logs_in(vm, other)
        text = refused(vm.virsh, "set-user-password", "nobody-of-that-name", word)
        assert "child process has failed to set user password" in text, text
    # Nor is it there as it came.
    nowhere_in_the_journal(vm, "Meister|Postern-4711|UG9zdGVybi00NzEx")


@case("virsh set-user-password --encrypted", LIBVIRT)
def _(vm):
    word = "a:b c"
    hashed = vm.shell(f"perl -e 'print crypt(q({word}), q($6$saltsalt$))'")
    assert hashed.startswith("$6$saltsalt$"), hashed
    with vm.profile("legacy"), old_password(vm):
        with records.recorded(vm, "password", target_user=USER, password_crypted=True,
                              result="ok"):
            vm.virsh("set-user-password", USER, hashed, "--encrypted")
        assert field(vm) == hashed
        assert logs_in(vm, word)
    nowhere_in_the_journal(vm, "saltsalt")


@case("root's password is not for the host where uid-min says so", LIBVIRT)
def _(vm):
    if vm.agent.reference:
        skip("this agent has no policy")
    before = field(vm, "root")
    with vm.policy(PEOPLE), old_password(vm) as guest:
        with records.recorded(vm, "decision", decision="deny", reason="user"):
            text = refused(vm.virsh, "set-user-password", "root", "secret")
        assert "Command guest-set-user-password has been disabled" in text, text
        assert field(vm, "root") == before
        vm.virsh("set-user-password", USER, "another")
        assert field(vm) != guest


# ---- keys -----------------------------------------------------------------------------------

def virsh_keys(vm, keys, *options):
    """virsh set-user-sshkeys with a file of these keys, or with none."""
    if keys is None:
        return vm.virsh("set-user-sshkeys", USER, *options)
    with tempfile.NamedTemporaryFile("w", suffix=".pub") as f:
        f.write("".join(f"{key}\n" for key in keys))
        f.flush()
        os.chmod(f.name, 0o644)
        return vm.virsh("set-user-sshkeys", USER, "--file", f.name, *options)


def fingerprints(vm, file):
    return [line.split()[1] for line in vm.shell(f"ssh-keygen -l -f {file}").splitlines()]


def comes_in(vm, name):
    shown = vm.shell(f"{SSH} -i /run/vm-keys/{name} id -un 2>&1 || true", timeout=40)
    return shown.splitlines()[-1] == USER


def expect(vm, *names):
    """These keys are in the file, which is as sshd wants it, and so does libvirt tell."""
    keys = [vm.shell(f"cat /run/vm-keys/{n}.pub") for n in names]
    told = vm.domain.authorizedSSHKeysGet(USER)
    assert sorted(told) == sorted(keys), (told, keys)
    shown = vm.virsh("get-user-sshkeys", USER)
    assert all(key in shown for key in keys) and len(shown.split()) >= len(keys), shown
    assert vm.shell(f"stat -c '%U:%G %a' {HOME}/.ssh {FILE}").splitlines() == \
        [f"{USER}:{USER} 700", f"{USER}:{USER} 600"]
    if names:
        assert fingerprints(vm, FILE) == \
            [fingerprints(vm, f"/run/vm-keys/{n}.pub")[0] for n in names]


@contextlib.contextmanager
def sshd(vm):
    """A server on the loopback device, and three keys."""
    vm.shell(f"""rm -rf {HOME}/.ssh; mkdir -m 700 /run/vm-keys; mkdir -p /run/sshd
        for n in a b; do ssh-keygen -q -t ed25519 -N '' -C "key $n" -f /run/vm-keys/$n; done
        ssh-keygen -q -t ecdsa -N '' -C guest@vm -f /run/vm-keys/c
        systemd-run -q --unit vm-sshd /usr/sbin/sshd -D -o ListenAddress=127.0.0.1""",
             timeout=40)
    try:
        yield
    finally:
        vm.shell(f"systemctl stop vm-sshd; rm -rf /run/vm-keys {HOME}/.ssh")


@case("virsh set-user-sshkeys, and who gets in by them", LIBVIRT, limit=120)
def _(vm):
    def key(name):
        return vm.shell(f"cat /run/vm-keys/{name}.pub")
    with vm.profile("legacy"), sshd(vm):
        with records.recorded(vm, "ssh-keys", target_user=USER, result="ok",
                              command="guest-ssh-add-authorized-keys") as rows:
            virsh_keys(vm, [key("a")])
        for row in rows:
            assert row["POSTERN_KEY_FINGERPRINT"] == \
                fingerprints(vm, "/run/vm-keys/a.pub")[0], row
        expect(vm, "a")
        assert comes_in(vm, "a")
        assert not comes_in(vm, "b")
        virsh_keys(vm, [key("b"), key("a"), key("c")])
        expect(vm, "a", "b", "c")
        virsh_keys(vm, [key("a"), key("b")], "--remove")
        expect(vm, "c")
        assert not comes_in(vm, "a")
        virsh_keys(vm, [key("b")], "--reset")
        expect(vm, "b")
        virsh_keys(vm, None, "--reset")
        expect(vm)
        assert vm.shell(f"cat {FILE}") == ""
        text = refused(vm.virsh, "get-user-sshkeys", "nobody-of-that-name")
        assert "failed to lookup user 'nobody-of-that-name'" in text, text


@case("a link in the place of the keys leads the agent nowhere", LIBVIRT)
def _(vm):
    if vm.agent.reference:
        skip("this agent follows it")
    with vm.policy(PEOPLE):
        vm.shell(f"""rm -rf {HOME}/.ssh; install -d -o {USER} -g {USER} -m 700 {HOME}/.ssh
            echo 'root only' >/root/vm-secret; chmod 600 /root/vm-secret
            ln -s /root/vm-secret {FILE}; chown -h {USER}: {FILE}""")
        try:
            text = refused(vm.ask, "guest-ssh-get-authorized-keys", username=USER)
            assert "root only" not in text, text
            refused(vm.ask, "guest-ssh-add-authorized-keys", username=USER,
                    keys=["ssh-ed25519 AAAA"])
            assert vm.shell("cat /root/vm-secret") == "root only"
        finally:
            vm.shell(f"rm -rf {HOME}/.ssh /root/vm-secret")
