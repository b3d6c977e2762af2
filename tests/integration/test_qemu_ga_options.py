#!/usr/bin/python3
"""Whoever starts qemu-ga can start this: its command line, its qemu-ga.conf, the
environment files of the distributions (tests/fixtures/qemu-ga), its name, -d and -l.

No command is sent that would do something if a list did not hold: only questions, and
commands without the arguments that they need.
"""
import os
import re
import shlex
import shutil
import signal
import stat
import subprocess
import tempfile

import guard
import tap
from agent import PATIENCE, Agent, Client, build_dir, comm, descendants, free_uids, \
    is_zombie, status, wait_until
from reference import is_newer

IS_ROOT = os.geteuid() == 0
POSTERN = os.path.abspath(os.path.join(build_dir(), "postern"))
FIXTURES = os.path.join(os.path.dirname(__file__), "..", "fixtures", "qemu-ga")
REFERENCE = "/usr/sbin/qemu-ga"

FILES = {f"guest-file-{x}" for x in ("open", "close", "read", "write", "seek", "flush")}
EXEC = {"guest-exec", "guest-exec-status"}
# Of these a request without arguments does nothing, allowed or not.
HARMLESS = FILES | EXEC | {"guest-get-osinfo", "guest-get-time", "guest-get-timezone",
                           "guest-get-host-name", "guest-get-users"}


def environment(name):
    """A file of assignments, as the service manager would read it."""
    with open(os.path.join(FIXTURES, f"{name}.env"), encoding="ascii") as f:
        words = shlex.split(f.read(), comments=True)
    return dict(word.split("=", 1) for word in words)


def conf(name):
    return os.path.abspath(os.path.join(FIXTURES, f"{name}.conf"))


class QemuGa(Agent):
    """The agent, called by the name qemu-ga; nothing of this machine's configuration."""

    def __init__(self, args=(), env=None, start=True, **kwargs):
        env = {"QGA_CONF": "", **(env or {})}
        super().__init__(profile="legacy", args=args, env=env, start=False, **kwargs)
        self.argv[0] = os.path.join(self.dir, "qemu-ga")
        os.symlink(POSTERN, self.argv[0])
        if start:
            try:
                self.start()
            except BaseException:
                self.kill()
                raise


def run(*args, env=None, program=POSTERN, **kwargs):
    """Run to the end: (exit status, standard output, standard error)."""
    env = {"PATH": os.environ["PATH"], "QGA_CONF": "", "XDG_RUNTIME_DIR": "/nonexistent",
           **(env or {})}
    done = subprocess.run([program, *args], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=PATIENCE, check=False, env=env,
                          preexec_fn=guard.harmless, **kwargs)
    return done.returncode, done.stdout, done.stderr


class as_qemu_ga:
    """A link to the program by the name qemu-ga."""

    def __enter__(self):
        self.dir = tempfile.mkdtemp(prefix="postern-test-")
        os.symlink(POSTERN, os.path.join(self.dir, "qemu-ga"))
        return os.path.join(self.dir, "qemu-ga")

    def __exit__(self, *exc):
        shutil.rmtree(self.dir)


# ---- lists --------------------------------------------------------------------------------

def enabled(client):
    info = client.call("guest-info")["return"]["supported_commands"]
    return {c["name"]: c["enabled"] for c in info}


def check_left(agent, everything, is_left):
    """Of EVERYTHING (what an agent without lists has enabled) just what IS_LEFT says."""
    with agent.client() as c:
        now = enabled(c)
        wanted = {name: on and is_left(name) for name, on in everything.items()}
        assert now == wanted, {n for n in wanted if now.get(n) != wanted[n]}
        for name in sorted(HARMLESS):
            reply = c.call(name)
            refused = {"error": {"class": "CommandNotFound", "desc":
                                 f"Command {name} has been disabled: the command is not "
                                 "allowed"}}
            assert (reply == refused) == (not is_left(name)), reply


def everything_enabled():
    with QemuGa() as a, a.client() as c:
        return enabled(c)


ALLOWED_9 = {name for name in environment("el9-allow")["FILTER_RPC_ARGS"]
             .partition("=")[2].split(",")}
assert len(ALLOWED_9) == 34 and not ALLOWED_9 & (FILES | EXEC), ALLOWED_9

NOTHING_BLOCKED = set()
# name; what is handed to the agent; blocked; or, behind None, all that is left
SETUPS = [
    ("Debian, as installed", {}, [], NOTHING_BLOCKED),
    ("Debian, init script's file", environment("debian"), [], NOTHING_BLOCKED),
    ("Debian, DAEMON_ARGS", environment("debian-daemon-args"), [], EXEC),
    ("Ubuntu, qemu-ga.conf", {"QGA_CONF": conf("ubuntu")}, [], EXEC | {"guest-file-open"}),
    ("Ubuntu, named with -c", {}, ["-c", conf("ubuntu")], EXEC | {"guest-file-open"}),
    ("EL 8, as installed", environment("el8"), [], FILES | EXEC),
    ("EL 8, list emptied", environment("el8-emptied"), [], NOTHING_BLOCKED),
    ("EL 8, line appended", environment("el8-appended"), [], {"guest-shutdown"}),
    ("EL 8, the unit's own command line too", environment("el8"),
     ["--method=unix-listen", "--blacklist=" + environment("el8")["BLACKLIST_RPC"],
      "-F/etc/qemu-ga/fsfreeze-hook"], FILES | EXEC),
    ("EL 9, as installed", environment("el9"), [], FILES | EXEC),
    ("EL 9.4, allow list", environment("el9-allow"), [], None, ALLOWED_9),
    ("EL 9.4, list emptied", environment("el9-emptied"), [], NOTHING_BLOCKED),
    ("EL 10, allow list without a name", environment("el10-allow-none-named"), [],
     NOTHING_BLOCKED),
    ("Fedora, as installed", environment("fedora"), [], NOTHING_BLOCKED),
    ("Fedora, QEMU_GA_ARGS", environment("fedora-args"), [], EXEC),
    ("SUSE, as installed", environment("suse"), [], EXEC),
    ("both lists", {"QGA_CONF": conf("both-lists")}, [], None,
     {"guest-ping", "guest-info", "guest-sync", "guest-sync-delimited", "guest-get-osinfo"}),
    ("blanks in a list", {"QGA_CONF": conf("blanks")}, [],
     {"guest-get-time", "guest-get-osinfo"}),
    ("older and newer key", {"QGA_CONF": conf("old-and-new")}, [],
     {"guest-get-time", "guest-get-osinfo"}),
    ("file, variable and command line",
     {"QGA_CONF": conf("old-and-new"), **environment("suse")},
     ["-b", "guest-get-users", "--blacklist", "guest-get-timezone"],
     EXEC | {"guest-get-time", "guest-get-osinfo", "guest-get-users",
             "guest-get-timezone"}),
]


def check_setup(env, args, blocked, left=None):
    def is_left(name):
        return name in left if blocked is None else name not in blocked
    everything = everything_enabled()
    with QemuGa(args=args, env=env) as a:
        check_left(a, everything, is_left)


def test_lists_do_not_widen():
    """What the policy refuses stays refused, whatever an allow list says."""
    with Agent(profile="safe", args=["-a", "guest-exec,guest-info,guest-sync"],
               env={"QGA_CONF": ""}) as a, a.client() as c:
        now = enabled(c)
        assert now["guest-sync"] and not now["guest-ping"], now
        assert not now["guest-exec"], now
        assert "is not allowed" in c.call("guest-exec")["error"]["desc"]


def test_session_commands_can_be_blocked():
    with QemuGa(args=["-b", "guest-ping"]) as a, a.client() as c:
        assert c.call("guest-ping")["error"]["class"] == "CommandNotFound"
        assert not enabled(c)["guest-ping"]


# ---- mistakes -----------------------------------------------------------------------------------

MISTAKES = [
    ("a command that does not exist", [], {"BLOCK_RPCS": "guest-exec,guest-exce"},
     "BLOCK_RPCS: --block-rpcs: there is no command 'guest-exce', the closest name is "
     "'guest-exec'"),
    ("';' in a list", ["-b", "guest-exec;guest-ping"], {},
     "--block-rpcs: 'guest-exec;guest-ping': names are separated by ',', not by ';'"),
    ("a list cut by the shell", ["-b", "guest-exec,", "guest-file-open"], {},
     "'guest-file-open' is not an option; a list is one word"),
    ("an old list in a new variable", [], {"FILTER_RPC_ARGS": "guest-exec"},
     "FILTER_RPC_ARGS: 'guest-exec' is not an option; a list is one word"),
    ("a quote that is not closed", [], {"QEMU_GA_ARGS": "--block-rpcs='guest-exec"},
     "QEMU_GA_ARGS: a quote is not closed"),
    ("no file for -c", ["-c", "/nonexistent"], {},
     "error loading configuration from path: /nonexistent, cannot open: No such file or "
     "directory"),
    ("a folder as file", [], {"QGA_CONF": "/etc"},
     "error loading configuration from path: /etc, not a regular file"),
    ("a hook without a path", ["-Fhook"], {},
     "--fsfreeze-hook: 'hook' is not an absolute path"),
    ("no folder for the log", ["-l", "/nonexistent/log"], {},
     "cannot open log file '/nonexistent/log': No such file or directory"),
    ("a device as log", ["-l", "/dev/null"], {},
     "log file '/dev/null': not a regular file"),
    ("a variable's channel", [], {"TRANSPORT": "carrier-pigeon:/coop"},
     "unsupported channel method/type: carrier-pigeon"),
]


def check_mistake(args, env, text):
    for options in (args, ["-D", *args]):
        status_, out, err = run(*options, env=env)
        if "log" in text and "-D" in options:
            continue  # nothing is opened to print the configuration
        assert (status_, out, err) == (1, "", f"postern: {text}\n"), (status_, out, err)


def test_a_wrong_file_is_named():
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as f:
        f.write("[general]\nverbose = maybe\n")
        f.flush()
        got = run("-V", env={"QGA_CONF": f.name})
    assert got == (1, "", "postern: error loading configuration from path: "
                   f"{f.name}, line 2: verbose: 'maybe' is none of 'true', 'false', '1' "
                   "and '0'\n"), got


def test_an_unknown_key_is_told():
    """It is no error, since files with such keys have always worked."""
    path = conf("documentation-sample")
    with QemuGa(env={"QGA_CONF": path}) as a:
        assert a.stderr() == (f"postern: {path}, line 3: there is no key 'daemonize', "
                              "ignored; the closest is 'daemon'\n"), a.stderr()


# ---- what acts at once ----------------------------------------------------------------------------

def test_names_of_commands():
    with Agent(profile="legacy", env={"QGA_CONF": ""}) as a, a.client() as c:
        names = list(enabled(c))
    for args in (["-b", "?"], ["-b", "help"], ["--blacklist=?"], ["--block-rpcs", "help"],
                 ["-a", "help"], ["--allow-rpcs=?", "--nonsense"]):
        assert run(*args) == (0, "\n".join(names) + "\n", ""), args
    assert len(names) == 43 and "guest-get-devices" not in names, names


def test_name():
    """By the name qemu-ga, help and messages say so, and pgrep finds it."""
    with as_qemu_ga() as link:
        status_, out, err = run("--help", program=link)
        assert (status_, err) == (0, "") and out.startswith("Usage: qemu-ga "), out
        assert run("--foo", program=link)[2] == \
            "postern: unknown option: '--foo', try 'qemu-ga --help'\n"
        assert re.match(r"QEMU Guest Agent \d+\.\d+\.\d+", run("-V", program=link)[1])
    with QemuGa() as a:
        assert comm(a.pid) == "qemu-ga"


def keys(text):
    head, *lines = text.splitlines()
    assert head == "[general]", text
    return dict(line.split("=", 1) for line in lines)


def test_dump():
    status_, out, err = run("-D", "-t", "/t")
    assert (status_, err) == (0, ""), err
    assert out == ("[general]\ndaemon=false\nmethod=virtio-serial\n"
                   "path=/dev/virtio-ports/org.qemu.guest_agent.0\n"
                   "pidfile=/t/postern.pid\nstatedir=/t\nverbose=false\n"
                   "retry-path=false\nblock-rpcs=\nallow-rpcs=\n"), out


def test_dump_of_defaults():
    """Where things really are; nothing is made there."""
    with as_qemu_ga() as link, tempfile.TemporaryDirectory() as run_dir:
        env = {"XDG_RUNTIME_DIR": run_dir}
        state = "/run/postern" if IS_ROOT else f"{run_dir}/postern"
        got = keys(run("-D", program=link, env=env)[1])
        assert (got["statedir"], got["pidfile"]) == (state, f"{state}/postern.pid"), got
        got = keys(run("-Dd", program=link, env=env)[1])
        pidfile = "/run/qemu-ga.pid" if IS_ROOT else f"{state}/postern.pid"
        assert (got["daemon"], got["pidfile"]) == ("true", pidfile), got
        assert os.listdir(run_dir) == []


def test_dump_is_a_configuration():
    """Read as qemu-ga.conf, it has the same meaning."""
    args = ["-dvr", "-m", "unix-listen", "-p", " /tmp/a\\b\tc ", "-l", "/l", "-F/h", "-t",
            "/t", "-b", "guest-exec,guest-ping", "-a", "guest-info,guest-exec"]
    status_, out, err = run("-D", *args)
    assert (status_, err) == (0, ""), err
    assert keys(out)["block-rpcs"] == "guest-ping,guest-exec", out
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as f:
        f.write(out)
        f.flush()
        assert run("-D", env={"QGA_CONF": f.name}) == (0, out, "")


# ---- beside the reference -----------------------------------------------------------------------

def reference(*args, env=None):
    if not os.access(REFERENCE, os.X_OK):
        tap.skip(f"{REFERENCE} is not installed (package qemu-guest-agent)")
    return run(*args, program=REFERENCE, env={"QGA_CONF": "/nonexistent", **(env or {})})


# Each with -D: the reference prints and ends, whatever else is asked for. Two that it takes
# and we refuse: `-s WORD`, an option for Windows, and an empty path.
COMMAND_LINES = [
    [], ["-v"], ["-d"], ["-r"], ["--daemon"], ["--retry"], ["-vdr"], ["--verb", "--log=/l"],
    ["-F"], ["-F/hook"], ["--fsfreeze-hook"], ["--fsfreeze-hook=/hook"], ["-F", "/other"],
    ["-l", "/l", "-f", "/f", "-t", "/t"], ["-p", "/a", "-p", "/b"], ["surplus", "words"],
    ["-m", "unix-listen", "-p", "/s"], ["-b", ""], ["-b", "guest-exec"],
    ["--bl", "guest-ping"], ["--blacklist=guest-exec", "--block-rpcs", "guest-ping"],
    # refused
    ["--nonsense"], ["-x"], ["-b"], ["--verbose=1"], ["--ver"], ["-m", "unix-listen"],
    ["--service", "x"], ["-p"],
]
CONF_TEXTS = [
    "", "[general]\n", "[general]\nverbose=true\ndaemon = 1\nretry-path=0\n",
    "[general]\nmethod=unix-listen\npath=/s\n", "\n# x\n[general]\n\n  path = /s\n",
    "[general]\nunknown=1\n[other]\nverbose=true\n", "[general]\npath=/a\npath=/b\n",
    "[general]\nfsfreeze-hook=/h\nlogfile=/l\nstatedir=/t\npidfile=/f\n",
    "[general]\nblock-rpcs=guest-exec\n", "[general]\nblacklist=guest-exec\n",
    "[general]\nblock-rpcs=\n", "[general]\npath=/a\\sb\\\\c\n", "[general]\r\nverbose=1\r\n",
    # refused
    "verbose=true\n", "[general]\nword\n", "[general]\nverbose=yes\n",
    "[general]\ndaemon=\n", "[general\n", "[general]\n; x\n", "[general]\npath=\\x\n",
    "[general]\n=x\n",
]


def is_given_up(text):
    """Does TEXT have the word that newer releases of the reference take no longer?"""
    return "--bl" in text and "--block" not in text or "blacklist" in text


def compare(args, env):
    theirs = reference("-D", *args, env=env)
    ours = run("-D", *args, env=env)
    assert ours[0] == theirs[0], (ours, theirs)
    if theirs[0] != 0:
        return
    got, wanted = keys(ours[1]), keys(theirs[1])
    if not is_newer():
        assert got.pop("allow-rpcs") == ""
    for key in ("pidfile", "statedir"):  # ours lie elsewhere
        if wanted[key].startswith("/var/run"):
            del got[key], wanted[key]
    for both in (got, wanted):  # a set; the reference reverses it
        both["block-rpcs"] = sorted(both["block-rpcs"].split(","))
    assert got == wanted, (got, wanted)


def test_command_lines_beside_the_reference():
    for args in COMMAND_LINES:
        if not (is_newer() and is_given_up(" ".join(args))):
            compare(args, {})


def test_files_beside_the_reference():
    with tempfile.TemporaryDirectory(prefix="postern-test-") as folder:
        path = os.path.join(folder, "qemu-ga.conf")
        for text in CONF_TEXTS:
            if is_newer() and is_given_up(text):
                continue
            with open(path, "w", encoding="ascii", newline="") as f:
                f.write(text)
            try:
                compare([], {"QGA_CONF": path})
            except AssertionError as e:
                raise AssertionError(text) from e


def test_words_beside_the_reference():
    """Every option in its help is in ours; it has no command that we lack but one, which it
    gave up later."""
    theirs = set(re.findall(r"^  (-\w), (--[\w-]+)", reference("--help")[1], re.M))
    ours = set(re.findall(r"^  (-\w), (--[\w-]+)", run("--help")[1], re.M))
    assert len(theirs) >= 13 and theirs <= ours, (theirs, theirs - ours)
    theirs = set(reference("-b", "?")[1].split())
    ours = set(run("-b", "?")[1].split())
    assert theirs - ours == (set() if is_newer() else {"guest-get-devices"}), theirs - ours
    first = re.match(r"(QEMU Guest Agent )\d", reference("-V")[1])
    assert run("-V")[1].startswith(first[1])


# ---- the log ------------------------------------------------------------------------------------

def test_logfile():
    """It is appended to, and made with no permission for others."""
    with QemuGa(args=["-v"], start=False) as a:
        log = os.path.join(a.dir, "log")
        a.argv += ["-l", log]
        a.start()
        assert a.stderr() == "", a.stderr()

        def lines():
            with open(log, encoding="utf-8") as f:
                return f.read().splitlines()
        wanted = {"postern: postern-frontend started", "postern-worker: ready, policy legacy"}
        wait_until(lambda: wanted <= set(lines()), lambda: f"{wanted} in {lines()}")
        before = lines()
        assert stat.S_IMODE(os.stat(log).st_mode) == 0o600
        a.process.terminate()
        assert a.process.wait(PATIENCE) == 0
        before += lines()[len(before):]  # what it said at its end
        a.start()
        wait_until(lambda: len(lines()) > len(before), "more lines")
        assert lines()[:len(before)] == before, lines()


def test_logfile_is_a_link():
    """An ordinary user must not have root append to a file of his choice."""
    with tempfile.TemporaryDirectory(prefix="postern-test-") as folder:
        target, link = os.path.join(folder, "target"), os.path.join(folder, "log")
        os.symlink(target, link)
        got = run("-m", "unix-listen", "-p", f"{folder}/s", "-t", folder, "-l", link)
        assert got == (1, "", f"postern: cannot open log file '{link}': Too many levels of "
                       "symbolic links\n"), got
        assert not os.path.exists(target)


# ---- the background -----------------------------------------------------------------------------

class Daemon:
    """A folder in which daemons are started, and its end."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="postern-test-")
        self.path = os.path.join(self.dir, "agent.sock")
        self.pidfile = os.path.join(self.dir, "pid")

    def __enter__(self):
        return self

    def start(self, *args, **kwargs):
        """Call it with -d: (exit status, standard output, standard error)."""
        users = zip(("--frontend-user", "--inspector-user"), map(str, free_uids(2)))
        return run("-d", "-m", "unix-listen", "-p", self.path, "-t", self.dir, "-f",
                   self.pidfile, "--programs", os.path.dirname(POSTERN),
                   *([w for pair in users for w in pair] if IS_ROOT else []), *args,
                   **kwargs)

    def pid(self):
        with open(self.pidfile, encoding="ascii") as f:
            return int(f.read())

    def stop(self):
        """SIGTERM; everything must go, and the pidfile with it."""
        pid = self.pid()
        family = [pid] + descendants(pid)
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: all(not comm(p) or is_zombie(p) for p in family), "its end")
        for p in family:
            try:  # some are ours now: see _subreaper in lib/agent.py
                os.waitpid(p, os.WNOHANG)
            except ChildProcessError:
                pass
        assert not os.path.lexists(self.pidfile) and not os.path.lexists(self.path)

    def __exit__(self, *exc):
        try:
            os.kill(self.pid(), signal.SIGKILL)
        except (FileNotFoundError, ProcessLookupError, ValueError):
            pass
        shutil.rmtree(self.dir, ignore_errors=True)


def fd_of(pid, number):
    return os.readlink(f"/proc/{pid}/fd/{number}")


def test_daemon():
    """Answered when the call returns; on its own in every respect."""
    with Daemon() as d:
        assert d.start("--audit", f"file:{d.dir}/audit") == (0, "", "")
        with Client.unix(d.path) as c:
            assert c.sync() == []
        pid = d.pid()
        assert os.getsid(pid) == pid and status(pid)["Umask"] == "0077"
        assert os.readlink(f"/proc/{pid}/cwd") == "/"
        assert [fd_of(pid, n) for n in range(3)] == ["/dev/null"] * 3
        d.stop()


def test_daemon_with_a_log():
    with Daemon() as d:
        log = os.path.join(d.dir, "log")
        assert d.start("-v", "-l", log) == (0, "", "")
        pid = d.pid()
        assert [fd_of(pid, n) for n in range(3)] == ["/dev/null", "/dev/null", log]
        d.stop()
        with open(log, encoding="utf-8") as f:
            text = f.read()
        assert "postern: postern-worker started\n" in text
        assert '"POSTERN_EVENT": "stop"' in text, text


def test_daemon_without_a_place_for_records():
    with Daemon() as d:
        assert d.start() == (0, "", "postern: a daemon has no standard error: decisions "
                             "will not be recorded, give --audit or --logfile\n")
        with Client.unix(d.path) as c:
            assert c.call("guest-get-time")["return"] > 0
        # Nor does the worker hold on to what the caller waits for, but by its log.
        workers = [p for p in descendants(d.pid())
                   if comm(p) == "postern-worker" and os.geteuid() == 0]
        links = [fd_of(p, n) for p in workers for n in os.listdir(f"/proc/{p}/fd")]
        assert sum(link.startswith("pipe:") for link in links) <= 2, links
        d.stop()


def test_daemon_of_a_service_manager():
    """One that waits to be notified watches the process that it started."""
    with QemuGa(args=["-d"], env={"NOTIFY_SOCKET": "/nonexistent/notify"}) as a:
        assert a.stderr() == \
            "postern: run by a service manager: daemonize is ignored\n", a.stderr()
        with a.client() as c:
            assert c.sync() == []


def test_daemon_and_relative_paths():
    """They are relative to where it was called, though it leaves that."""
    with Daemon() as d:
        assert d.start("-p", "other.sock", "-t", ".", "-f", "other.pid", "-l", "log",
                       cwd=d.dir) == (0, "", "")
        d.path, d.pidfile = f"{d.dir}/other.sock", f"{d.dir}/other.pid"
        with Client.unix(d.path) as c:
            assert c.sync() == []
        d.stop()


DAEMON_FAILURES = [
    ("channel", ["-p", "/nonexistent/s"],
     "error opening channel '/nonexistent/s': No such file or directory"),
    ("policy", ["--profile", "nosuch"],
     "there is no profile 'nosuch'; known are: none, confidential, safe, libvirt, proxmox, kubevirt, openstack, legacy"),
    ("program", ["--programs", "/nonexistent"],
     "cannot open program '/nonexistent/postern-worker': No such file or directory"),
    ("pidfile", ["-f", "/nonexistent/pid"],
     "cannot open pidfile '/nonexistent/pid': No such file or directory"),
]


def check_daemon_failure(args, text):
    with Daemon() as d:
        got = d.start("--audit", f"file:{d.dir}/audit", *args)
        assert got == (1, "", f"postern: {text}\n"), got
        assert sorted(os.listdir(d.dir)) in (["audit"], []), os.listdir(d.dir)


def test_retry():
    """With -r a channel that is not there yet is waited for, in the background too."""
    with Daemon() as d:
        folder = os.path.join(d.dir, "later")
        d.path = os.path.join(folder, "agent.sock")
        log = os.path.join(d.dir, "log")
        assert d.start("-r", "-l", log) == (0, "", "")

        def told():
            with open(log, encoding="utf-8") as f:
                return f"error opening channel '{d.path}': No such file" in f.read()
        wait_until(told, "a first try")
        os.mkdir(folder)
        wait_until(lambda: os.path.exists(d.path), "the channel")
        with Client.unix(d.path) as c:
            assert c.sync() == []
        d.stop()


def test_second_daemon():
    """Refused by the status, and the first notices nothing."""
    with Daemon() as d:
        assert d.start("-l", f"{d.dir}/log")[0] == 0
        first = d.pid()
        got = d.start("--audit", f"file:{d.dir}/audit", "-p", f"{d.dir}/other")
        assert got == (1, "", f"postern: pidfile '{d.pidfile}': another agent is "
                       "running\n"), got
        assert d.pid() == first
        with Client.unix(d.path) as c:
            assert c.sync() == []
        d.stop()


def cases():
    todo = [(f"list: {name}", lambda r=rest: check_setup(*r)) for name, *rest in SETUPS]
    todo += [(f"mistake: {name}", lambda r=rest: check_mistake(*r))
             for name, *rest in MISTAKES]
    todo += [(f"daemon without its {name}", lambda a=args, t=text: check_daemon_failure(a, t))
             for name, args, text in DAEMON_FAILURES]
    return todo + tap.tests(globals())


tap.run(cases())
