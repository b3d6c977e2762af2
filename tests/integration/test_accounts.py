#!/usr/bin/python3
"""Passwords and authorized keys in a root of the test's own, changed by the machine's real
tools there and read back by them.
"""
# pylint: disable=missing-function-docstring
import base64
import contextlib
import ctypes
import json
import os
import signal
import subprocess
import tempfile

import guard
import scratch
import tap
from agent import children, comm, descendants, wait_until
from memory import Needles, is_ours, memory, random_text
from ownroot import OwnRoot, Setting, refused

USERS = {"alice": 1000, "bob": 1001, "web-1": 1002, "daemon": 2}
TOOLS = ("/usr/sbin/chpasswd", "/usr/bin/getent")
POLICY = """
[policy]
version = 1
base = none
"""


def b64(text):
    return base64.b64encode(text if isinstance(text, bytes) else text.encode()).decode()


def reset(root):
    """Accounts as they were, and homes of theirs."""
    root.text("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n" + "".join(
        f"{u}:x:{n}:{n}::/home/{u}:/bin/sh\n" for u, n in USERS.items()))
    root.text("/etc/shadow", "root:*:19000:0:99999:7:::\n" + "".join(
        f"{u}:!:19000:0:99999:7:::\n" for u in USERS), 0o600)
    root.text("/etc/group", "root:x:0:\nstaff:x:50:alice,bob\n" + "".join(
        f"{u}:x:{n}:\n" for u, n in USERS.items()))
    root.text("/etc/gshadow", "root:*::\n", 0o600)
    root.text("/etc/nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\n")
    root.text("/etc/login.defs", "ENCRYPT_METHOD YESCRYPT\n")
    subprocess.run(["find", f"{root.path}/home", f"{root.path}/root", "-mindepth", "1", "-delete"],
                   check=True, preexec_fn=guard.harmless)
    for user, uid in USERS.items():
        home = f"{root.path}/home/{user}"
        os.mkdir(home, 0o755)
        os.chown(home, uid, uid)


class Accounts(Setting):
    HEAD = POLICY

    def hash(self, user):
        """What the system's own tool says is in the shadow file."""
        return self.root.run("getent", "shadow", user).split(":")[1]


@contextlib.contextmanager
def setting():
    with scratch.namespaces() as top, contextlib.ExitStack() as stack:
        root = OwnRoot(top)
        for tool in TOOLS:
            root.put(tool)
        root.pam()
        reset(root)
        yield Accounts(root, stack)


_CRYPT = None


def crypt(password, salt):
    """crypt(3), which knows how the hash was made."""
    global _CRYPT  # pylint: disable=global-statement
    if _CRYPT is None:
        _CRYPT = ctypes.CDLL("libcrypt.so.1")
        _CRYPT.crypt.restype = ctypes.c_char_p
    return _CRYPT.crypt(password if isinstance(password, bytes) else password.encode(),
                        salt.encode()).decode()


def is_password(s, user, password):
    stored = s.hash(user)
    return stored not in ("!", "*", "") and crypt(password, stored) == stored


def set_password(c, user, password, crypted=False):
    return c.call("guest-set-user-password", username=user, password=b64(password),
                  crypted=crypted)


OK = {"return": {}}
HASH = "$6$saltsalt$" + "a" * 86


# ---- passwords -----------------------------------------------------------------------------

PLAIN = ["secret", "a:b:c", " blanks at both ends ", "tab\tand\rreturn", "größe €", "x" * 511,
         "$6$looks$like-a-hash", "#", "'\"\\$(x)`"]


def test_plain_passwords():
    with setting() as s:
        a = s.agent()
        with a.client() as c:
            for password in PLAIN:
                assert set_password(c, "alice", password) == OK, password
                assert is_password(s, "alice", password), (password, s.hash("alice"))
            assert s.hash("bob") == "!"
            assert set_password(c, "root", "for root") == OK
            assert is_password(s, "root", "for root")
        assert os.stat(f"{s.root.path}/etc/shadow").st_mode & 0o777 == 0o600


def test_crypted_passwords():
    with setting() as s, s.agent().client() as c:
        assert set_password(c, "alice", HASH, True) == OK
        assert s.hash("alice") == HASH
        assert set_password(c, "alice", "!" + HASH, True) == OK  # locked
        assert s.hash("alice") == "!" + HASH
        salted = crypt("plain", "$6$abcdefgh$")
        assert set_password(c, "bob", salted, True) == OK
        assert is_password(s, "bob", "plain")


BAD = [("two\nlines", False, "forbidden characters in raw password"),
       ("root:x\n", False, "forbidden characters in raw password"),
       (b"nul\0behind", False, "forbidden characters in raw password"),
       ("", False, "an empty password is refused"),
       ("", True, "an empty password is refused"),
       ("a:b", True, "forbidden characters in crypted password"),
       ("with blank", True, "forbidden characters in crypted password"),
       (b"\xff\xfe", True, "forbidden characters in crypted password"),
       ("x\ny", True, "forbidden characters in crypted password"),
       ("x" * 513, False, "the password is too long")]


def test_bad_passwords_change_nothing():
    with setting() as s:
        with open(f"{s.root.path}/etc/shadow", encoding="utf-8") as f:
            before = f.read()
        with s.agent().client() as c:
            for password, crypted, words in BAD:
                refused(set_password(c, "alice", password, crypted), words)
            refused(set_password(c, "a:b", "x"), "forbidden characters in username")
            refused(set_password(c, "alice\nroot", "x"), "forbidden characters in username")
            for user in ("nobody-such", "", "0", "1000", "-h", "--help", "alice ", "ALICE", "+"):
                refused(set_password(c, user, "x"),
                        "child process has failed to set user password"
                        if user not in ("0", "1000") else "failed to lookup user")
            refused(set_password(c, "u" * 257, "x"), "the user name is too long")
            refused(c.call("guest-set-user-password", username="alice", password="**",
                           crypted=False), "Base64 data contains invalid characters")
        with open(f"{s.root.path}/etc/shadow", encoding="utf-8") as f:
            assert f.read() == before


def test_an_empty_one_where_a_rule_says_so():
    with setting() as s, s.agent("""
[rule "any"]
effect = allow
command = @password
empty = yes
""").client() as c:
        assert set_password(c, "alice", "", True) == OK
        assert s.hash("alice") == ""


def test_an_empty_one_where_the_rule_of_another_account_says_so():
    """That rule's words are not for who is allowed by another one."""
    with setting() as s:
        a = s.agent("""
[rule "people"]
effect = allow
command = @password
uid-min = 1000
empty = yes

[rule "root"]
effect = allow
command = @password
user = root
""")
        with a.client() as c:
            refused(set_password(c, "root", "", True), "these arguments are not allowed")
            assert s.hash("root") == "*"
            assert set_password(c, "root", HASH, True) == OK
            assert set_password(c, "alice", "", True) == OK
            assert (s.hash("root"), s.hash("alice")) == (HASH, "")
        a.wait_record(lambda r: r.get("POSTERN_EVENT") == "complete")
        first = [r for r in a.records() if r.get("POSTERN_EVENT") == "decision"][0]
        assert (first["POSTERN_DECISION"], first["POSTERN_REASON"]) == ("deny", "size"), first


def test_rules_for_passwords():
    with setting() as s:
        a = s.agent("""
[rule "people"]
effect = allow
command = @password
user = * ; web-*
user-exclude = bob
uid-min = 1000
crypted = only
""")
        with a.client() as c:
            refused(set_password(c, "alice", "plain"), "these arguments are not allowed")
            refused(set_password(c, "bob", HASH, True), "these arguments are not allowed")
            for user in ("root", "daemon"):  # found out by their numbers
                refused(set_password(c, user, HASH, True), "these arguments are not allowed")
            assert [s.hash(u) for u in ("alice", "bob", "root", "daemon")] == ["!", "!", "*", "!"]
            assert set_password(c, "alice", HASH, True) == OK
            assert set_password(c, "web-1", HASH, True) == OK
        a.wait_record(lambda r: r.get("POSTERN_EVENT") == "password")
        by_number = [r for r in a.records() if r.get("POSTERN_EVENT") == "decision"
                     and '"daemon"' in r.get("POSTERN_ARGS", "")]
        assert [(r["POSTERN_DECISION"], r["POSTERN_REASON"]) for r in by_number] \
            == [("deny", "user")], by_number


def test_a_number_that_is_denied():
    """By the number of the account that is found, whatever its name is."""
    with setting() as s, s.agent("""
[rule "all"]
effect = allow
command = @password ; @ssh-keys

[rule "not these"]
effect = deny
command = @password ; @ssh-keys
uid-min = 1001
""").client() as c:
        for user in ("bob", "web-1"):
            refused(set_password(c, user, HASH, True), "these arguments are not allowed")
            refused(c.call("guest-ssh-add-authorized-keys", username=user, keys=["ssh-rsa A"]),
                    "these arguments are not allowed")
        for user in ("alice", "root"):
            assert set_password(c, user, HASH, True) == OK
            assert c.call("guest-ssh-add-authorized-keys", username=user, keys=["ssh-rsa A"]) == OK
        assert (s.hash("bob"), s.hash("web-1")) == ("!", "!")


def test_numbers_are_complained_of():
    with setting() as s:
        s.root.text("/etc/postern/policy.d/complain.conf",
                    "[policy]\nmode = complain\nceiling = legacy\n")
        a = s.agent("""
[rule "people"]
effect = allow
command = @password
uid-min = 1000
""")
        with a.client() as c:
            for user in ("root", "alice"):
                assert set_password(c, user, HASH, True) == OK
        wait_until(lambda: len([r for r in a.records()
                                if r.get("POSTERN_EVENT") == "complete"]) == 2, "both ends")
        assert [(r["POSTERN_DECISION"], r["POSTERN_REASON"]) for r in a.records()
                if r.get("POSTERN_EVENT") == "decision"] == [("complain", "user"),
                                                             ("allow", "rule")]


def test_missing_and_unsafe_tools():
    with setting() as s, s.agent().client() as c:
        tool = f"{s.root.path}/usr/sbin/chpasswd"
        os.chmod(tool, 0o777)
        refused(set_password(c, "alice", "x"),
                "others than root could change chpasswd", "CommandNotFound")
        os.unlink(tool)
        refused(set_password(c, "alice", "x"),
                "Command guest-set-user-password has been disabled: this system has no chpasswd",
                "CommandNotFound")
        os.unlink(f"{s.root.path}/usr/bin/getent")
        refused(set_password(c, "alice", "x"), "this system has no getent", "CommandNotFound")
        refused(c.call("guest-ssh-get-authorized-keys", username="alice"),
                "this system has no getent", "CommandNotFound")


# ---- where a password goes -------------------------------------------------------------------

RECORDER = """#!/bin/sh
set -- "$@"
{ tr '\\0' ' ' </proc/$$/cmdline; tr '\\0' ' ' </proc/$$/environ; } >/run/seen
while read -r line; do echo "$line" >>/run/input; done
exec sleep WAIT
"""
SHELL_TOOLS = ("/bin/sh", "/usr/bin/tr", "/usr/bin/sleep")


def found_in(pid, needles):
    return [name for name, content in memory(pid) if is_ours(name) and needles.found(content)]


def test_a_password_is_nowhere():
    """Neither while chpasswd runs, but in chpasswd itself, nor afterwards."""
    with setting() as s:
        for tool in SHELL_TOOLS:
            s.root.put(tool)
        s.root.text("/usr/sbin/chpasswd", RECORDER.replace("WAIT", "1"), 0o755)
        a = s.agent(args=["-v", "-l", "/run/log"])
        with a.client() as c:
            for length in (16, 64, 500):
                secret, needles = random_text(length).decode(), Needles()
                needles.add(secret.encode())
                needles.add(b64(secret).encode())
                c.send(json.dumps({"execute": "guest-set-user-password", "arguments": {
                    "username": "alice", "password": b64(secret), "crypted": False}}).encode()
                    + b"\n")
                seen = f"{s.root.path}/run/input"
                wait_until(lambda: os.path.exists(seen) and os.stat(seen).st_size, "its input")
                family = [a.pid, *descendants(a.pid)]
                ours = [p for p in family if comm(p).startswith("postern")]
                assert len(ours) >= 5, [comm(p) for p in family]
                for pid in ours:
                    assert not found_in(pid, needles), found_in(pid, needles)
                assert json.loads(c.recv_replies(1)[0]) == OK
                with open(seen, encoding="utf-8") as f:
                    assert f.read() == f"alice:{secret}\n"
                os.unlink(seen)
                for pid in [a.pid, *descendants(a.pid)]:
                    assert not found_in(pid, needles), found_in(pid, needles)
                texts = [f"{s.root.path}/run/seen", f"{s.root.path}/run/log", a.audit_path,
                         a.stderr_path]
                for path in texts:
                    with open(path, "rb") as f:
                        content = f.read()
                    assert content or path == a.stderr_path, path
                    assert not needles.found(content), path
            # The search itself finds what is there: a name that the policy holds.
            needles.add(b"passwords\0")
            assert found_in(a.child("worker"), needles)


def test_what_is_recorded_of_a_password():
    with setting() as s:
        a = s.agent()
        with a.client() as c:
            assert set_password(c, "alice", HASH, True) == OK
            refused(set_password(c, "nobody-such", "x"), "")
        record = a.wait_record(lambda r: r.get("POSTERN_EVENT") == "password")
        assert (record["POSTERN_TARGET_USER"], record["POSTERN_PASSWORD_CRYPTED"],
                record["POSTERN_RESULT"]) == ("alice", True, "ok"), record
        a.wait_record(lambda r: r.get("POSTERN_EVENT") == "complete"
                      and r["POSTERN_RESULT"] == "failed")
        assert len([r for r in a.records() if r.get("POSTERN_EVENT") == "password"]) == 1


# ---- failures ----------------------------------------------------------------------------------

def test_a_chpasswd_that_fails():
    with setting() as s:
        s.root.put("/bin/sh")
        s.root.text("/usr/sbin/chpasswd", "#!/bin/sh\nexit 7\n", 0o755)
        a = s.agent()
        with a.client() as c:
            refused(set_password(c, "alice", "x"),
                    "child process has failed to set user password: exit status 7")
            s.root.text("/usr/sbin/chpasswd", "#!/bin/sh\nkill -9 $$\n", 0o755)
            refused(set_password(c, "alice", "x"), "child process has terminated abnormally")
        def results():
            return [r["POSTERN_RESULT"] for r in a.records()
                    if r.get("POSTERN_EVENT") == "password"]

        wait_until(lambda: results() == ["failed", "failed"], results)


def test_the_spawner_is_lost():
    with setting() as s:
        s.root.put("/bin/sh")
        s.root.put("/usr/bin/sleep")
        s.root.text("/usr/sbin/chpasswd", "#!/bin/sh\nexec sleep 100\n", 0o755)
        a = s.agent()
        with a.client() as c:
            c.send(json.dumps({"execute": "guest-set-user-password", "arguments": {
                "username": "alice", "password": b64("x"), "crypted": False}}).encode() + b"\n")
            spawner = wait_until(lambda: next(
                (p for p in children(a.pid) if comm(p) == "postern-spawner"), None), "it")
            wait_until(lambda: any(comm(p) == "sleep" for p in descendants(spawner)), "chpasswd")
            left = descendants(spawner)
            os.kill(spawner, signal.SIGKILL)
            refused(json.loads(c.recv_replies(1)[0]), "the spawner ended before it was done")
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            # The next one serves.
            refused(set_password(c, "nobody-such", "x"), "there is no such user")


# ---- keys -----------------------------------------------------------------------------------

def keygen(kind, comment):
    with tempfile.TemporaryDirectory() as top:
        scratch.run("ssh-keygen", "-q", "-t", kind, "-N", "", "-C", comment, "-f", f"{top}/key")
        with open(f"{top}/key.pub", encoding="utf-8") as f:
            return f.read().strip()


def prints(path):
    """Fingerprints of the keys in a file, by the system's own tool."""
    return [line.split()[1] for line in
            scratch.run("ssh-keygen", "-l", "-f", path).splitlines()]


def keys_path(s, user="alice"):
    home = "root" if user == "root" else f"home/{user}"
    return f"{s.root.path}/{home}/.ssh/authorized_keys"


def get(c, user="alice"):
    return c.call("guest-ssh-get-authorized-keys", username=user)["return"]["keys"]


def test_keys_of_real_people():
    with setting() as s:
        keys = [keygen("ed25519", "one"), keygen("rsa", "two"), keygen("ecdsa", "three")]
        a = s.agent()
        with a.client() as c:
            for user, uid in (("alice", 1000), ("root", 0)):
                path = keys_path(s, user)
                assert c.call("guest-ssh-add-authorized-keys", username=user, keys=keys[:2]) == OK
                assert get(c, user) == keys[:2]
                assert len(prints(path)) == 2
                assert c.call("guest-ssh-add-authorized-keys", username=user,
                              keys=["", keys[0], keys[2], keys[2], ""]) == OK
                assert get(c, user) == keys
                for p, mode in ((path, 0o600), (os.path.dirname(path), 0o700)):
                    st = os.stat(p)
                    assert (st.st_uid, st.st_gid, st.st_mode & 0o7777) == (uid, uid, mode), (p, st)
                assert c.call("guest-ssh-remove-authorized-keys", username=user,
                              keys=[keys[1], "ssh-rsa unknown"]) == OK
                assert get(c, user) == [keys[0], keys[2]]
                assert c.call("guest-ssh-add-authorized-keys", username=user, keys=[keys[1]],
                              reset=True) == OK
                assert get(c, user) == [keys[1]]
                assert os.listdir(os.path.dirname(path)) == ["authorized_keys"]
            record = a.wait_record(lambda r: r.get("POSTERN_EVENT") == "ssh-keys")
            assert record["POSTERN_TARGET_USER"] == "alice"
            with open(f"{s.root.path}/run/keys.pub", "w", encoding="utf-8") as f:
                f.write("\n".join(keys[:2]) + "\n")
            assert record["POSTERN_KEY_FINGERPRINT"] \
                == ", ".join(prints(f"{s.root.path}/run/keys.pub"))


def test_impossible_requests_for_keys():
    with setting() as s, s.agent().client() as c:
        for command in ("get", "add", "remove"):
            more = {} if command == "get" else {"keys": ["ssh-ed25519 AAAA"]}
            name = f"guest-ssh-{command}-authorized-keys"
            refused(c.call(name, username="nobody-such", **more),
                    "failed to lookup user 'nobody-such': Success")
            for user in ("0", "1000"):
                refused(c.call(name, username=user, **more), f"failed to lookup user '{user}': ")
            for user in ("", "-h", "--help", "alice:x", "+", "../alice"):
                refused(c.call(name, username=user, **more), f"failed to lookup user '{user}': ")
            if command == "get":
                continue
            for key in ("# a comment", "ssh-rsa AAAA\nssh-rsa BBBB", "\n"):
                refused(c.call(name, username="alice", keys=["ssh-rsa AAAA", key]),
                        f"invalid OpenSSH public key: '{key}'")
        refused(c.call("guest-ssh-get-authorized-keys", username="alice"),
                "Failed to open file “/home/alice/.ssh/authorized_keys”: "
                "No such file or directory")
        assert c.call("guest-ssh-remove-authorized-keys", username="alice", keys=["x y"]) == OK
        assert os.listdir(f"{s.root.path}/home/alice") == []


def test_many_keys():
    """More than fits a frame, there and back."""
    keys = [f"ssh-ed25519 {n:0200d} comment" for n in range(2000)]
    with setting() as s, s.agent().client() as c:
        assert c.call("guest-ssh-add-authorized-keys", username="alice", keys=keys) == OK
        assert get(c) == keys


def test_rights_of_the_account():
    """Its groups count, and no others; root's rights do not."""
    with setting() as s, s.agent().client() as c:
        home = f"{s.root.path}/home/bob"
        os.chmod(home, 0o000)
        refused(c.call("guest-ssh-add-authorized-keys", username="bob", keys=["ssh-rsa AAAA"]),
                "Permission denied")
        os.chmod(home, 0o755)
        # Reached by way of what only staff may pass.
        os.makedirs(f"{s.root.path}/home/staff", 0o750)
        os.chown(f"{s.root.path}/home/staff", 0, 50)
        os.rename(home, f"{s.root.path}/home/staff/bob")
        s.root.text("/etc/passwd", "bob:x:1001:1001::/home/staff/bob:/bin/sh\n"
                    "eve:x:1002:1002::/home/staff/bob:/bin/sh\n")
        assert c.call("guest-ssh-add-authorized-keys", username="bob",
                      keys=["ssh-rsa AAAA"]) == OK
        refused(c.call("guest-ssh-get-authorized-keys", username="eve"), "Permission denied")


def test_rules_for_keys():
    with setting() as s, s.agent("""
[rule "keys"]
effect = allow
command = @ssh-keys
user = alice ; daemon ; bob
user-exclude = bob
uid-min = 1000
key-types = ssh-ed25519
keys-max = 2
reset = no
""").client() as c:
        def add(user, *keys, **more):
            return c.call("guest-ssh-add-authorized-keys", username=user, keys=list(keys), **more)

        assert add("alice", "ssh-ed25519 A", "ssh-ed25519 B") == OK
        for reply in (add("alice", "ssh-rsa A"), add("alice", *["ssh-ed25519 x"] * 3),
                      add("alice", "ssh-ed25519 A", reset=True), add("bob", "ssh-ed25519 A"),
                      add("root", "ssh-ed25519 A"), add("daemon", "ssh-ed25519 A"),
                      c.call("guest-ssh-get-authorized-keys", username="daemon"),
                      c.call("guest-ssh-remove-authorized-keys", username="daemon", keys=["x"])):
            refused(reply, "these arguments are not allowed")
        assert get(c) == ["ssh-ed25519 A", "ssh-ed25519 B"]
        assert not os.path.exists(f"{s.root.path}/home/daemon/.ssh")


tap.run(tap.tests(globals()))
