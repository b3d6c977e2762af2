#!/usr/bin/python3
"""What qemu-guest-agent was told becomes a policy (packaging/migrate), in trees below a scratch
directory: each place that it may stand in, each spelling; what is not understood locks; nothing
of the user's is changed. And the restart after an upgrade (packaging/restart), with an agent
whose file systems are frozen.
"""
# run: limit 300
import contextlib
import functools
import glob
import os
import re
import shlex
import shutil
import stat
import subprocess
import tempfile

import frost
import guard
import tap
from agent import PATIENCE, build_dir
from ctl import ctl

MIGRATE = os.path.abspath("packaging/migrate")
RESTART = os.path.abspath("packaging/restart")
PROGRAMS = os.path.abspath(build_dir())
FIXTURES = os.path.abspath("tests/fixtures/qemu-ga")

UNITS = "etc/systemd/system"
DROPINS = f"{UNITS}/qemu-guest-agent.service.d"
OURS = f"{UNITS}/postern.service.d/zz-qemu-guest-agent.conf"
CONF = "etc/qemu/qemu-ga.conf"
DEBIAN, RHEL = "etc/default/qemu-guest-agent", "etc/sysconfig/qemu-ga"
START = "/usr/sbin/postern --spawner /run/postern/spawner --audit journal"
VARIABLES = ("DAEMON_ARGS", "BLACKLIST_RPC", "BLOCK_RPCS", "FILTER_RPC_ARGS", "QEMU_GA_ARGS",
             "FSFREEZE_HOOK_PATHNAME")


def run(argv, **kwargs):
    return subprocess.run(argv, text=True, capture_output=True, timeout=PATIENCE, check=False,
                          stdin=subprocess.DEVNULL, preexec_fn=guard.harmless, **kwargs)


class Tree:
    """A root with FILES in it: path -> text, or a link for ("link", target)."""

    def __init__(self, files=()):
        self.root = tempfile.mkdtemp(prefix="postern-test-")
        self.output = ""
        self.write("usr/lib/systemd/system/postern.service",
                   f"[Service]\nType=notify\nExecStart={START}\n")
        for path, what in dict(files).items():
            self.write(path, what)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        shutil.rmtree(self.root)

    def path(self, path):
        return os.path.join(self.root, path)

    def write(self, path, what):
        os.makedirs(os.path.dirname(self.path(path)), exist_ok=True)
        if isinstance(what, tuple):
            os.symlink(what[1], self.path(path))
        else:
            with open(self.path(path), "wb") as f:
                f.write(what if isinstance(what, bytes) else what.encode())

    def read(self, path):
        with open(self.path(path), encoding="utf-8") as f:
            return f.read()

    def has(self, path):
        return os.path.lexists(self.path(path))

    def snapshot(self):
        """What every file is, by its path."""
        found = {}
        for folder, folders, names in os.walk(self.root):
            for name in folders + names:
                path = os.path.join(folder, name)
                st = os.lstat(path)
                what = (os.readlink(path) if stat.S_ISLNK(st.st_mode) else
                        open(path, "rb").read() if stat.S_ISREG(st.st_mode) else None)
                found[os.path.relpath(path, self.root)] = (st.st_mode, what)
        return found

    def migrate(self, status=0, programs=PROGRAMS):
        """Run it; what was there is as it was. What it said."""
        before = self.snapshot()
        done = run([MIGRATE, "--root", self.root, "--programs", programs])
        assert done.returncode == status, done
        assert not done.stderr or status, done
        after = self.snapshot()
        assert {path: after.get(path) for path in before} == before
        self.output = done.stdout
        return done.stdout

    def policy(self):
        text = self.read("etc/postern/policy.conf")
        assert stat.S_IMODE(os.stat(self.path("etc/postern/policy.conf")).st_mode) == 0o644
        ctl("check", self.path("etc/postern/policy.conf"), status=0)
        return text

    def explain(self, command, **arguments):
        """Does the policy that was written allow it?"""
        request = '{"execute":"%s"%s}' % (command, "".join(
            f',"arguments":{{"{k}":"{v}"}}' for k, v in arguments.items()))
        done = ctl("explain", "--file", self.path("etc/postern/policy.conf"), request)
        assert done.returncode in (0, 1), done
        return done.returncode == 0

    def denied(self):
        """Commands of deny rules."""
        return set(re.findall(r"^command = (\S+)$", self.policy(), re.M))

    def expect(self, denied, base="legacy"):
        """DENIED and nothing else is denied by name, and so say the policy's own answers."""
        assert f"\nbase = {base}\n" in self.policy()
        assert self.denied() == set(denied), (self.denied(), self.output)
        for command, arguments in QUESTIONS.items():
            want = base == "legacy" and command not in denied
            assert self.explain(command, **arguments) == want, (command, self.output)

    def expect_locked(self, word):
        """Session commands and nothing else; it was said why, with WORD, and what to do."""
        self.expect([], base="none")
        assert self.explain("guest-ping")
        assert re.search(rf"^postern: not understood: .*{word}", self.output, re.M), self.output
        assert "delete /etc/postern/policy.conf" in self.output
        assert not self.has(OURS)


ONCE = "POSTERN_ONCE" in os.environ

# One that reads, one that writes, one that runs, one that stops the guest.
QUESTIONS = {"guest-get-osinfo": {}, "guest-exec": {"path": "/bin/true"},
             "guest-file-open": {"path": "/etc/motd"}, "guest-shutdown": {}}
ALL = {name for name in run([os.path.join(PROGRAMS, "postern"), "-b", "?"],
                            env={"QGA_CONF": ""}).stdout.split()}


def migrated(files):
    tree = Tree(files)
    tree.migrate()
    return tree


# ---- where it may stand --------------------------------------------------------------------

PLACES = [
    ("nothing", {}, []),
    ("the file", {CONF: "[general]\nblock-rpcs=guest-exec,guest-shutdown\n"},
     ["guest-exec", "guest-shutdown"]),
    ("the older key", {CONF: "[general]\nblacklist = guest-exec\n"}, ["guest-exec"]),
    ("an allow list", {CONF: "[general]\nallow-rpcs=guest-ping,guest-get-osinfo\n"},
     ALL - {"guest-ping", "guest-get-osinfo"}),
    ("both lists", {CONF: "[general]\nallow-rpcs=guest-ping,guest-exec\nblock-rpcs=guest-exec\n"},
     ALL - {"guest-ping"}),
    ("Debian's variables", {DEBIAN: '# c\nDAEMON_ARGS="-v -b guest-exec"\nexport X=$(id)\n'},
     ["guest-exec"]),
    ("exported", {DEBIAN: "export DAEMON_ARGS='-b guest-exec'\n"}, ["guest-exec"]),
    ("two lines", {RHEL: 'FILTER_RPC_ARGS="--block-rpcs=guest-exec,\\\nguest-shutdown"\n'},
     ["guest-exec", "guest-shutdown"]),
    ("the last assignment", {RHEL: "BLOCK_RPCS=guest-exec\nBLOCK_RPCS=guest-shutdown\n"},
     ["guest-shutdown"]),
    ("the defaults of SUSE", {"usr/" + RHEL: "BLOCK_RPCS=guest-exec\n"}, ["guest-exec"]),
    ("a file that empties them", {"usr/" + RHEL: "BLOCK_RPCS=guest-exec\n",
                                  RHEL: "BLOCK_RPCS=\n"}, []),
    ("files and lists add up", {CONF: "[general]\nblock-rpcs=guest-exec\n",
                                DEBIAN: "DAEMON_ARGS=-bguest-shutdown\n",
                                RHEL: "BLACKLIST_RPC=guest-file-open\n"},
     ["guest-exec", "guest-shutdown", "guest-file-open"]),
    ("a drop-in", {f"{DROPINS}/a.conf": "[Service]\nExecStart=\n"
                                        "ExecStart=-/usr/sbin/qemu-ga -b guest-exec\n"},
     ["guest-exec"]),
    ("the last drop-in", {f"{DROPINS}/a.conf": "[Service]\n"
                                               "ExecStart=/usr/sbin/qemu-ga -b guest-exec\n",
                          f"{DROPINS}/b.conf": "[Service]\nExecStart=\n"
                                               "ExecStart=/usr/bin/qemu-ga \\\n# not this\n"
                                               "  --block-rpcs=guest-shutdown\n"},
     ["guest-shutdown"]),
    ("a drop-in of the image", {"usr/lib/systemd/system/qemu-guest-agent.service.d/a.conf":
                                "[Service]\nEnvironment=QEMU_GA_ARGS=-bguest-exec\n"},
     ["guest-exec"]),
    ("a masked drop-in", {"usr/lib/systemd/system/qemu-guest-agent.service.d/a.conf":
                          "[Service]\nEnvironment=QEMU_GA_ARGS=-bguest-exec\n",
                          f"{DROPINS}/a.conf": ("link", "/dev/null")}, [],
     "usr/lib/systemd/system/qemu-guest-agent.service.d/a.conf"),
    ("Environment=", {f"{DROPINS}/a.conf": "[Service]\n"
                                           'Environment="DAEMON_ARGS=-b guest-exec" X=1\n'},
     ["guest-exec"]),
    ("EnvironmentFile=", {f"{DROPINS}/a.conf": "[Service]\nEnvironmentFile=-/etc/opt/ga\n"
                                               "ExecStart=\nExecStart=/usr/sbin/qemu-ga $MINE\n",
                          "etc/opt/ga": "MINE='-b guest-exec -v'\n"}, ["guest-exec"]),
    ("a variable in a word", {f"{DROPINS}/a.conf":
                              "[Service]\nEnvironment=A=guest-exec\n"
                              "ExecStart=/usr/sbin/qemu-ga --block-rpcs=${A}\n"},
     ["guest-exec"]),
    ("another file, by variable", {DEBIAN: "QGA_CONF=/etc/other.conf\n",
                                   "etc/other.conf": "[general]\nblock-rpcs=guest-exec\n",
                                   CONF: "[general]\nblock-rpcs=guest-shutdown\n"},
     ["guest-exec"], CONF),
    ("another file, by option", {f"{DROPINS}/a.conf":
                                 "[Service]\nExecStart=/usr/sbin/qemu-ga -c /etc/other.conf\n",
                                 "etc/other.conf": "[general]\nblock-rpcs=guest-exec\n"},
     ["guest-exec"]),
    ("a unit of one's own", {f"{UNITS}/qemu-guest-agent.service":
                             "[Service]\nExecStart=/usr/sbin/qemu-ga -b guest-exec\n"},
     ["guest-exec"]),
    ("a command of other systems", {CONF: "[general]\nblock-rpcs=guest-get-devices\n"},
     ["guest-get-devices"]),
    ("another section", {f"{DROPINS}/a.conf": "[Unit]\nDescription=100% \\x\n"}, []),
]


def one_place(files, denied, passed_over):
    with migrated(files) as tree:
        tree.expect(denied)
        masked = {path for path, what in files.items() if isinstance(what, tuple)}
        named = {path for path in files if f"found: /{path}\n" in tree.output}
        assert named | passed_over | masked == set(files), tree.output


def places():
    return [(f"test_in_{name.replace(' ', '_')}", functools.partial(one_place, files, denied,
                                                                    set(passed_over)))
            for name, files, denied, *passed_over in PLACES]


def lists_of(env):
    """What the agent itself makes of it, with the variables read by another reader."""
    done = run([os.path.join(PROGRAMS, "postern"), "-D"], env=env)
    lists = {k: set(filter(None, v.split(","))) for k, v in
             re.findall(r"^(block-rpcs|allow-rpcs)=(.*)$", done.stdout, re.M)}
    return lists["block-rpcs"] | (ALL - lists["allow-rpcs"] if lists["allow-rpcs"] else set())


def test_set_ups_of_the_distributions():
    files = sorted(glob.glob(f"{FIXTURES}/*.env")) + sorted(glob.glob(f"{FIXTURES}/*.conf"))
    assert len(files) > 10
    for path in files:
        with open(path, encoding="ascii") as f:
            text = f.read()
        if path.endswith(".env"):
            where = RHEL
            words = (w.split("=", 1) for w in shlex.split(text, comments=True))
            want = lists_of({"QGA_CONF": "", **{k: v for k, v in words if k in VARIABLES}})
        else:
            where = CONF
            text = text.replace("method = unix-listen", "method = unix-listen\npath = /x")
            with tempfile.NamedTemporaryFile("w", suffix=".conf") as f:
                f.write(text)
                f.flush()
                want = lists_of({"QGA_CONF": f.name})
        with migrated({where: text}) as tree:
            tree.expect(want)


# ---- what is not understood ----------------------------------------------------------------

def service(line):
    return {f"{DROPINS}/x.conf": f"[Service]\n{line}\n"}


LOCKED = [
    ("malformed file", {CONF: "block-rpcs=guest-exec\n"}, "in front of a group"),
    ("unknown command", {CONF: "[general]\nblock-rpcs=guest-exec,guest-frob\n"}, "guest-frob"),
    ("unknown option", {DEBIAN: "DAEMON_ARGS=--frob\n"}, "--frob"),
    ("list cut by a blank", service("ExecStart=/usr/sbin/qemu-ga -b guest-ping, guest-exec"),
     "guest-exec"),
    ("no list but its names", service("ExecStart=/usr/sbin/qemu-ga -b help"), "does not start"),
    ("a shell", service('ExecStart=/bin/sh -c "exec qemu-ga -b guest-exec"'), "not qemu-ga"),
    ("a shell of that name", service("ExecStart=/usr/bin/env /usr/sbin/qemu-ga"), "not qemu-ga"),
    ("a specifier", service("ExecStart=/usr/sbin/qemu-ga -l /var/log/%n"), "specifier"),
    ("a backslash", service(r"Environment=QEMU_GA_ARGS=-b\x20guest-exec"), "backslash"),
    ("a quote", service('ExecStart=/usr/sbin/qemu-ga -b "guest-exec'), "quote is not closed"),
    ("two commands", service("ExecStart=/usr/sbin/qemu-ga ; /bin/true"), "several commands"),
    ("a variable's default", service("ExecStart=/usr/sbin/qemu-ga ${A:-x}"), "only"),
    ("environment passed on", service("PassEnvironment=QEMU_GA_ARGS"), "PassEnvironment"),
    ("a pattern of files", service("EnvironmentFile=/etc/ga*"), "absolute path"),
    ("no assignment", service("frob"), "not an assignment"),
    ("shell code", {DEBIAN: "if true; then\nDAEMON_ARGS='-b guest-exec'\nfi\n"}, "line 1"),
    ("a command's output", {DEBIAN: 'DAEMON_ARGS="-b $(cat /etc/list)"\n'}, "line 1"),
    ("an open quote", {DEBIAN: "X='\nDAEMON_ARGS=-bguest-exec\n'\n"}, "line 1"),
    ("a last line that goes on", {DEBIAN: "X=a \\"}, "goes on"),
    ("a NUL", {DEBIAN: b"X=1\0\nDAEMON_ARGS=-bguest-exec\n"}, "line 1"),
    ("DOS lines", {DEBIAN: "DAEMON_ARGS=-bguest-exec\r\n"}, "line 1"),
    ("a NUL in a drop-in", {f"{DROPINS}/x.conf": b"[Service]\n\0\n"}, "control character"),
    ("a huge file", {DEBIAN: "#" + "x" * 70000 + "\n"}, "64 KiB"),
    ("a directory", {f"{DEBIAN}/x": ""}, "not a regular file"),
    ("a loop of links", {f"{DROPINS}/x.conf": ("link", "x.conf"),
                         f"{DROPINS}/y.conf": ("link", "/dev/zero")}, "not a regular file"),
    ("a name of two lines", {f"{DROPINS}/x\ny.conf": "[Service]\n"}, "not read"),
    ("a drop-in of a shorter name", {f"{UNITS}/qemu-.service.d/x.conf": "[Service]\n"}, "not read"),
    ("units of older SUSE", {f"{UNITS}/qemu-ga@.service.d/x.conf": "[Service]\n"}, "not read"),
]


def one_locked(files, word):
    with migrated(files) as tree:
        tree.expect_locked(word)


def locked():
    return [(f"test_locked_by_{name.replace(' ', '_')}", functools.partial(one_locked, files, word))
            for name, files, word in LOCKED]


def test_locked_by_a_pipe():
    """And nobody waits for its writer."""
    with Tree() as tree:
        os.makedirs(tree.path("etc/default"))
        os.mkfifo(tree.path(DEBIAN))
        tree.migrate()
        tree.expect_locked("not a regular file")


def test_nothing_of_a_file_is_run_or_written():
    """Whatever a shell, awk, sed or the policy's own language could take for theirs."""
    mark = "/tmp/postern-migrate-was-here"
    evil = [f"$(touch {mark})", f"`touch {mark}`", f"; touch {mark};", f"| touch {mark}",
            f"' ; touch {mark} ; '", f'" ; touch {mark} ; "', "%s%n", "\\n[policy]\\nbase = legacy",
            "&", "a/e", "*", "]", "-e", "\u2028x", "\x1b[31m"]
    for text in evil if ONCE else evil[:3]:
        for path, line in ((DEBIAN, f"DAEMON_ARGS={text}"), (DEBIAN, text),
                           (CONF, f"[general]\n{text}"),
                           (f"{DROPINS}/x.conf", f"[Service]\nExecStart=/usr/sbin/qemu-ga {text}"),
                           (f"{DROPINS}/x.conf", f"[Service]\nEnvironment={text}"),
                           (f"{DROPINS}/x.conf", f"[Service]\n{text}")):
            with migrated({path: line + "\n"}) as tree:
                assert not os.path.exists(mark), (path, line)
                policy = tree.policy()
                assert re.findall(r"^(?:\[policy|base =).*", policy, re.M)[1:] in (
                    ["base = legacy"], ["base = none"]), policy
                assert policy.isascii() and "\x1b" not in policy + tree.output
                assert set(tree.denied()) <= ALL


# ---- what else is written --------------------------------------------------------------------

def test_a_drop_in_that_starts_the_agent_starts_all_of_it():
    files = service("ExecStart=\n"
                    'ExecStart=-/usr/sbin/qemu-ga -b guest-exec $A -l "/var/log/a b%%.log"')
    with migrated(files) as tree:
        tree.expect(["guest-exec"])
        text = tree.read(OURS)
        assert text.splitlines()[-4:] == [
            "[Service]", "Type=notify", "ExecStart=",
            f'ExecStart={START} -b guest-exec $A -l "/var/log/a b%%.log"'], text
        assert f"written: /{OURS}" in tree.output


def test_its_drop_in_comes_last():
    with migrated(service("ExecStart=/usr/sbin/qemu-ga") | {
            f"{DROPINS}/zzz.conf": "[Service]\nExecStart=/usr/sbin/qemu-ga -v\n"}) as tree:
        (ours,) = os.listdir(tree.path(os.path.dirname(OURS)))
        assert ours > "zzz.conf" and ours.endswith("z-qemu-guest-agent.conf"), ours
        assert tree.read(f"{os.path.dirname(OURS)}/{ours}").endswith(f"ExecStart={START} -v\n")


def test_without_such_a_drop_in_there_is_none():
    with migrated(service("Environment=QEMU_GA_ARGS=-v")) as tree:
        assert not tree.has(OURS)


def test_a_unit_of_ones_own_goes_on_alone():
    with migrated({f"{UNITS}/qemu-guest-agent.service":
                   "[Service]\nExecStart=/usr/sbin/qemu-ga -b guest-exec\n"}) as tree:
        tree.expect(["guest-exec"])
        assert tree.read(OURS).splitlines()[-3:] == [
            "[Unit]", "ConditionPathExists=!/etc/systemd/system/qemu-guest-agent.service",
            "Wants=qemu-guest-agent.service"]


def test_our_own_alias_is_no_such_unit():
    with migrated({f"{UNITS}/qemu-guest-agent.service":
                   ("link", "/usr/lib/systemd/system/postern.service")}) as tree:
        tree.expect([])
        assert not tree.has(OURS)


MASK = {f"{UNITS}/qemu-guest-agent.service": ("link", "/dev/null")}


def test_what_is_masked_stays_masked():
    with migrated(MASK) as tree:
        assert os.readlink(tree.path(f"{UNITS}/postern.service")) == "/dev/null"
        assert "systemctl unmask" in tree.output


def test_a_mask_of_the_old_package_is_none():
    with migrated(MASK | {"var/lib/systemd/deb-systemd-helper-masked/qemu-guest-agent.service": ""}
                  ) as tree:
        assert not tree.has(f"{UNITS}/postern.service")


def test_hooks():
    with migrated({CONF: "[general]\nfsfreeze-hook=/etc/qemu/fsfreeze-hook\n"}) as tree:
        tree.expect([])
        assert "note: /etc/qemu/fsfreeze-hook goes on to be run around each freeze" in tree.output
        assert "note: /etc/qemu/fsfreeze-hook is not there" in tree.output
        assert "a purge of that package removes it" in tree.output
    with Tree({"etc/qemu/fsfreeze-hook.d/db": ""}) as tree:
        os.chmod(tree.path("etc/qemu/fsfreeze-hook.d/db"), 0o755)
        assert "are not run, as before" in tree.migrate()


def test_mounts_that_are_hidden():
    with migrated(service("ProtectSystem=strict\nPrivateTmp=no")) as tree:
        tree.expect([])
        assert "note: /etc/systemd/system/qemu-guest-agent.service.d/x.conf: ProtectSystem= hides" \
            in tree.output
        assert "PrivateTmp" not in tree.output


# ---- what is there already ---------------------------------------------------------------------

def test_a_policy_stays():
    for path in ("etc/postern/policy.conf", "etc/postern/policy.d/x.conf",
                 "usr/lib/postern/policy.conf", "run/postern/policy.d/x.conf"):
        for what in ("[policy]\nbase = none\n", ("link", "/nonexistent")):
            with migrated({path: what, CONF: "[general]\nblock-rpcs=guest-exec\n"}) as tree:
                assert "stays as it is" in tree.output and "written" not in tree.output
                assert tree.has("etc/postern/policy.conf") == (path == "etc/postern/policy.conf")


def test_a_second_run_changes_nothing():
    for files in (service("ExecStart=/usr/sbin/qemu-ga -b guest-exec"), MASK, {DEBIAN: "if\n"}, {}):
        with migrated(files) as tree:
            before = tree.snapshot()
            tree.migrate()
            assert tree.snapshot() == before


def test_programs_that_fail():
    """Without the agent's word it locks, without posternctl's nothing is put in place."""
    with Tree({CONF: "[general]\nblock-rpcs=guest-exec\n"}) as tree, \
            tempfile.TemporaryDirectory() as programs:
        for name in ("postern", "posternctl"):
            shutil.copy(os.path.join(PROGRAMS, name), programs)
        shutil.copy("/bin/false", os.path.join(programs, "postern"))
        tree.migrate(programs=programs)
        tree.expect_locked("does not start")
        os.unlink(tree.path("etc/postern/policy.conf"))
        shutil.copy("/bin/false", os.path.join(programs, "posternctl"))
        tree.migrate(programs=programs, status=1)
        assert not os.path.exists(tree.path("etc/postern/policy.conf"))


def test_wrong_calls():
    for args in (["--frob"], ["--root"], ["x"]):
        assert run([MIGRATE, *args]).returncode == 2


# ---- the restart after an upgrade --------------------------------------------------------------

@contextlib.contextmanager
def restarting(agent, pid="17"):
    """The script with a service manager that only writes down what it is told, and tells PID.
    A function that runs it, and one for what was said to the manager."""
    with tempfile.TemporaryDirectory() as top:
        said = os.path.join(top, "said")
        open(said, "w", encoding="ascii").close()
        with open(os.path.join(top, "pid"), "w", encoding="ascii") as f:
            f.write(pid)
        for name in ("systemctl", "systemd-run", "deb-systemd-invoke"):
            with open(os.path.join(top, name), "w", encoding="ascii") as f:
                f.write(f'#!/bin/sh\n[ "$1" = show ] && exec cat {top}/pid\n'
                        f'echo "{name} $*" >>{said}\n')
            os.chmod(f.name, 0o755)
        asker = os.path.join(top, "posternctl.running")
        shutil.copy(os.path.join(agent.programs, "posternctl"), asker)
        script = os.path.join(top, "restart")
        with open(RESTART, encoding="ascii") as f, open(script, "w", encoding="ascii") as out:
            out.write(f.read().replace("/usr/libexec/postern/posternctl.running", asker))
        os.chmod(script, 0o755)
        env = {"PATH": f"{top}:/usr/bin:/bin", "POSTERN_CONTROL": agent.control}

        def start(*args):
            return subprocess.Popen([script, *args], env=env, text=True, stdout=subprocess.PIPE,
                                    preexec_fn=guard.harmless)

        def told():
            with open(said, encoding="ascii") as f:
                return f.read().replace(top, "TOP").splitlines()
        start.top, start.asker = top, asker
        yield start, told


FREEZE = '[policy]\nbase = none\n[rule "freeze"]\neffect = allow\ncommand = @freeze\n'
AT_ONCE = ["deb-systemd-invoke try-restart postern.service"]


def test_a_restart_waits_for_the_thaw():
    with frost.stage() as s:
        disk = s.disk("a")
        with s.agent(policy=FREEZE) as a, a.client() as client, restarting(a) as (start, told):
            c = frost.Calls(client)
            assert c.freeze(disk.point) == 1
            done = start()
            assert "after the thaw" in done.communicate(timeout=PATIENCE)[0]
            (line,) = told()
            assert line.startswith("systemd-run ") and line.endswith(
                "TOP/restart --when-thawed 17"), line
            waiting = start("--when-thawed", "17")
            try:
                waiting.wait(2.5)
                raise AssertionError("it did not wait")
            except subprocess.TimeoutExpired:
                pass
            assert told() == [line] and s.frozen() == {"a"}
            assert c.thaw() == 1
            assert waiting.wait(PATIENCE) == 0
            assert told() == [line] + AT_ONCE
            assert not os.path.exists(start.asker)


def test_a_restart_that_somebody_made_meanwhile_is_not_made_again():
    with frost.stage() as s:
        disk = s.disk("a")
        with s.agent(policy=FREEZE) as a, a.client() as client, restarting(a) as (start, told):
            c = frost.Calls(client)
            assert c.freeze(disk.point) == 1
            assert start("--when-thawed", "16").wait(PATIENCE) == 0
            assert told() == [] and s.frozen() == {"a"}
            assert not os.path.exists(start.asker)
            assert c.thaw() == 1


def test_a_restart_at_once():
    """Nothing frozen, nobody to ask, nothing to ask with."""
    with frost.stage() as s, s.agent(policy=FREEZE) as a:
        with restarting(a) as (start, told):
            assert start().wait(PATIENCE) == 0
            assert told() == AT_ONCE and not os.path.exists(start.asker)
            assert start().wait(PATIENCE) == 0
            assert told() == 2 * AT_ONCE
        a.stop()
        with restarting(a) as (start, told):
            assert start().wait(PATIENCE) == 0
            assert told() == AT_ONCE


tap.run(places() + locked() + tap.tests(globals()), limit=120)
