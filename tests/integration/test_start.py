#!/usr/bin/python3
"""Mistakes in calling the real programs: one clear line on standard error, an exit status,
no hang, and no harm to an agent that runs already.

What the supervisor alone decides is in test_supervisor.py; here the other programs are
the real ones, and so is what they have to say.
"""
import functools
import os
import re
import shutil
import signal
import subprocess

import guard
import tap
from agent import PATIENCE, SPAWNS, Agent, build_dir, children, descendants, is_zombie, wait_until

IS_ROOT = os.geteuid() == 0
BUILD = os.path.abspath(build_dir())


def run(argv, prepare=None, **kwargs):
    """Run to the end: (exit status, standard output, standard error)."""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=PATIENCE, check=False,
                          preexec_fn=functools.partial(guard.harmless, prepare), **kwargs)
    return done.returncode, done.stdout, done.stderr


def refused(argv, text, **kwargs):
    """Assert that it ends with status 1 and one line: TEXT, a pattern."""
    status, out, err = run(argv, **kwargs)
    assert (status, out) == (1, ""), (status, out, err)
    assert re.fullmatch(f"postern: {text}\n", err), err


class Prepared(Agent):
    """An agent that was not started, with everything that its start would need."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, start=False, **kwargs)

    def refused(self, text, *more):
        refused(self.argv + list(more), text, env=self.env)
        assert not os.path.lexists(self.path), "a socket was left behind"
        left = sorted(os.listdir(self.dir))
        assert left in ([], ["audit.jsonl"]), left
        assert not children(os.getpid()), "a process was left behind"

    def __exit__(self, *exc):
        shutil.rmtree(self.dir)


# ---- the agent ------------------------------------------------------------------------------

MISTAKES = [
    ("unknown option: '--foo', try 'postern --help'", ["--foo"]),
    ("unknown option: '-z', try 'postern --help'", ["-vz"]),
    ("unsupported channel method/type: carrier-pigeon", ["-m", "carrier-pigeon"]),
    ("there is no profile 'nosuch'; known are: none, confidential, safe, libvirt, proxmox, kubevirt, openstack, legacy", ["--profile", "nosuch"]),
    ("there is no profile ''; known are: none, confidential, safe, libvirt, proxmox, kubevirt, openstack, legacy", ["--profile", ""]),
    ("cannot open program '/nonexistent/postern-worker': No such file or directory",
     ["--programs", "/nonexistent"]),
    ("error opening channel '/nonexistent/s': No such file or directory",
     ["-p", "/nonexistent/s"]),
    ("error opening channel '/dev/null/s': Not a directory", ["-p", "/dev/null/s"]),
    ("error opening channel '/dev/nosuch': No such file or directory",
     ["-m", "virtio-serial", "-p", "/dev/nosuch"]),
    ("state directory '/nonexistent': No such file or directory", ["-t", "/nonexistent"]),
]


def check_mistake(text, more):
    with Prepared() as a:
        a.refused(re.escape(text), *more)


def test_no_such_user():
    """The users of a package that was not installed: the line says what to do."""
    if not IS_ROOT:
        tap.skip("needs root: only there users matter")
    with Prepared() as a:
        a.argv = a.argv[:a.argv.index("--frontend-user")]
        with open("/etc/passwd", encoding="utf-8") as f:
            if any(line.startswith("postern-frontend:") for line in f):
                tap.skip("this machine has the users")
        a.refused(r"user 'postern-frontend' is not in /etc/passwd: create it "
                  r"\(useradd --system postern-frontend\) or name another with "
                  r"--frontend-user")


def test_no_permission():
    """An ordinary user and a path that is root's."""
    if IS_ROOT:
        tap.skip("root may; runs as an ordinary user, too")
    for path in ("/etc/postern-test.sock", "/proc/1/fd/s"):
        with Prepared() as a:
            a.refused(f"error opening channel '{path}': Permission denied", "-p", path)
    with Prepared() as a:
        a.refused("cannot open pidfile '/etc/postern-test.pid': Permission denied",
                  "-f", "/etc/postern-test.pid")


def test_path_in_use():
    """By an agent, which notices nothing."""
    with Agent() as first, first.client() as c, Prepared() as second:
        c.sync()
        second.argv += ["-p", first.path]
        refused(second.argv, f"error opening channel '{first.path}': Address already in use",
                env=second.env)
        assert c.call("guest-get-osinfo")["return"]["id"]
        with first.client() as another:
            c.close()
            assert another.sync() == []


def test_pidfile_in_use():
    """By an agent: the second touches neither the file nor a path of its own."""
    with Agent() as first, Prepared() as second:
        pidfile = os.path.join(first.dir, "postern.pid")
        second.argv += ["-f", pidfile]
        second_line = f"pidfile '{pidfile}': another agent is running"
        refused(second.argv, second_line, env=second.env)
        assert not os.path.lexists(second.path)
        with open(pidfile, encoding="ascii") as f:
            assert f.read() == f"{first.pid}\n"
        with first.client() as c:
            assert c.sync() == []
    assert not os.path.lexists(pidfile)


def test_start_after_a_crash():
    """What a killed agent leaves, pidfile and socket, is in nobody's way."""
    with Agent() as a:
        family = descendants(a.pid)
        os.kill(a.pid, signal.SIGKILL)
        a.process.wait()
        wait_until(lambda: all(not os.path.exists(f"/proc/{p}") or is_zombie(p)
                               for p in family), "the end of the others")
        assert os.path.lexists(a.path) and os.path.exists(os.path.join(a.dir, "postern.pid"))
        a.start()
        with a.client() as c:
            assert c.call("guest-get-time")["return"] > 0


def test_programs_of_another_build():
    """Programs whose tables differ do not speak to each other; here the worker knows the
    test operations. It is no crash loop in silence: each end is told."""
    with Prepared() as a:
        mixed = os.path.join(a.dir, "mixed")
        os.mkdir(mixed)
        for name, folder in (("worker", BUILD + "-testops"), ("reader", BUILD + "-testops"),
                             ("frontend", BUILD), ("inspector", BUILD), ("spawner", BUILD)):
            shutil.copy(os.path.join(folder, f"postern-{name}"), mixed)
        os.chmod(a.dir, 0o755)
        err = os.path.join(a.dir, "err")
        with open(err, "wb") as f, \
                subprocess.Popen(a.argv + ["--programs", mixed], stdin=subprocess.DEVNULL,
                                 stdout=f, stderr=f, env=a.env, preexec_fn=guard.harmless) as p:
            def told():
                with open(err, encoding="utf-8") as f:
                    return "postern-inspector ended by status 67" in f.read()
            wait_until(told, "a line")
            p.terminate()
            assert p.wait(PATIENCE) == 0


def test_version_and_help():
    for option in ("-V", "--version"):
        status, out, err = run([os.path.join(BUILD, "postern"), option])
        assert (status, err) == (0, ""), (status, err)
        assert re.fullmatch(r"QEMU Guest Agent \d+\.\d+\.\d+ \(Postern \d+\.\d+\.\d+\)\n",
                            out), out
    for option in ("-h", "--help"):
        status, out, err = run([os.path.join(BUILD, "postern"), option])
        assert (status, err) == (0, "") and out.startswith("Usage: postern "), out
        assert all(f"--{word}" in out for word in ("method", "path", "profile", "audit")), out


def test_verbose():
    """With -v each start is told, without it nothing at all."""
    with Agent(args=["-v"]) as a:
        wait_until(lambda: sorted(a.stderr().splitlines()) == [
            "postern-worker: ready, policy safe", "postern: postern-frontend started",
            "postern: postern-inspector started", "postern: postern-reader started",
            *["postern: postern-spawner started"] * SPAWNS,
            "postern: postern-worker started"], a.stderr)
    with Agent() as a:
        assert a.stderr() == "", a.stderr()


# ---- its programs, started by hand -------------------------------------------------------------

BY_HAND = [(f"postern-{name}", args)
           for name, options in (("worker", [["--verbose"], ["--channel"]]),
                                 ("reader", [["--profile", "safe"], ["--profile"]]),
                                 ("frontend", [["--listen"], ["--port"], ["--foo"]]),
                                 ("inspector", [["--foo"]]))
           for args in [[], ["--help"], *options]]


def check_by_hand(program, args):
    """From a shell, and by somebody who has descriptors where the supervisor puts some."""
    for fds in ((), (3,), (3, 4)):
        def arrange(fds=fds):
            os.closerange(3, 10)
            for fd in fds:
                os.dup2(0, fd)
        status, out, err = run([os.path.join(BUILD, program), *args], prepare=arrange,
                               close_fds=False)
        assert (status, out) == (64, ""), (fds, status, out, err)
        assert err.count("\n") == 1 and err.endswith("started by postern, not by hand\n"), \
            (fds, err)


# ---- posternctl -----------------------------------------------------------------------------------

def ctl(*args):
    return run([os.path.join(BUILD, "posternctl"), *args])


def test_posternctl():
    """0: answered; 1: answered by an error; 2: not answered, or called wrongly."""
    with Agent() as a:
        status, out, err = ctl("call", "-s", a.path, "guest-ping")
        assert (status, out, err) == (0, '{"return": {}}\n', ""), (status, out, err)
        status, out, err = ctl("call", "-s", a.path, "guest-exec", '{"path": "/bin/true"}')
        assert status == 1 and "CommandNotFound" in out and err == "", (status, out, err)
        status, out, err = ctl("call", "-s", a.path, "{'execute': 'guest-sync', "
                               "'arguments': {'id': 5}}")
        assert (status, out) == (0, '{"return": 5}\n'), (status, out, err)
        gone = a.path
    for args in (["call", "-s", gone, "guest-ping"], ["call", "guest-ping"], ["nonsense"], [],
                 ["call", "-s", gone]):
        status, out, err = ctl(*args)
        assert (status, out) == (2, "") and err.count("\n") == 1, (args, status, out, err)
        assert err.startswith("posternctl: "), err


def test_posternctl_and_an_agent_that_hangs_up():
    with Agent() as a:
        worker = a.child("worker")
        os.kill(a.child("inspector"), signal.SIGSTOP)
        with subprocess.Popen([os.path.join(BUILD, "posternctl"), "call", "-s", a.path,
                               "guest-get-osinfo"], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True,
                              preexec_fn=guard.harmless) as p:
            a.wait_record(lambda r: r["POSTERN_EVENT"] == "decision")
            os.kill(worker, signal.SIGKILL)
            out, err = p.communicate(timeout=PATIENCE)
        assert (p.returncode, out) == (2, ""), (p.returncode, out, err)
        assert err == f"posternctl: {a.path}: the agent closed the connection\n", err
        wait_until(lambda: a.child("worker") != worker, "a new worker")


def cases():
    todo = [(text, lambda t=text, m=more: check_mistake(t, m)) for text, more in MISTAKES]
    todo += [(f"{' '.join([program, *args])} by hand",
              lambda p=program, a=args: check_by_hand(p, a)) for program, args in BY_HAND]
    return todo + tap.tests(globals())


tap.run(cases())
