"""reloading - another policy for a running agent, and what became of it

    with programs.agent(FIRST) as a:
        a.write_policy(SECOND)
        assert reload(a) == {"outcome": "done"}
        assert status(a)["generation"] == 2
        with Asking(a) as asking:           # a posternctl that waits
            ...
            assert asking.wait()["outcome"] == "done"
        ends = Ends(a)
        ...
        assert [r["POSTERN_RESULT"] for r in ends.read()] == ["ok"]
"""
import json
import os
import subprocess

import guard
from agent import PATIENCE

# What a reload leaves, however it ended.
ENDS = ("reload", "policy-refused")


def reader(a):
    """The process that reads the policy files."""
    return a.child("reader")


def posternctl(a, *args):
    """The command line of a posternctl that speaks with the agent A."""
    return [os.path.join(a.programs, "posternctl"), args[0], "-c", a.control, *args[1:]]


class Asking:
    """`posternctl reload`, not over yet."""

    def __init__(self, a, *args):
        self.process = subprocess.Popen(posternctl(a, "reload", "--json", *args),
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True, env=a.env,
                                        preexec_fn=guard.harmless)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.process.kill()
        self.process.communicate()

    def wait_told(self):
        """Until it says that the reload waits."""
        line = self.process.stderr.readline()
        assert "the reload waits for the thaw" in line, line

    def is_over(self):
        return self.process.poll() is not None

    def wait(self, timeout=PATIENCE):
        """The outcome as the agent tells it; None: there was no answer."""
        out, err = self.process.communicate(timeout=timeout)
        code = self.process.returncode
        if code == 2:
            assert err and not out, (out, err)
            return None
        told = json.loads(out)
        assert (code == 0) == (told["outcome"] in ("done", "unchanged")), (code, told)
        return told


def reload(a, *args):
    with Asking(a, *args) as asking:
        return asking.wait()


def status(a):
    """`posternctl status`, or None: there was no answer."""
    got = subprocess.run(posternctl(a, "status", "--json"), stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=a.env,
                         timeout=PATIENCE, check=False, preexec_fn=guard.harmless)
    return None if got.returncode == 2 else json.loads(got.stdout)


class Ends:
    """How the reloads of the agent A ended from now on: .all, each record read once. The
    others, of which there are many, are passed over."""

    def __init__(self, a):
        self.path, self.at, self.rest = a.audit_path, os.path.getsize(a.audit_path), b""
        self.all = []

    def read(self):
        """All so far."""
        with open(self.path, "rb") as f:
            f.seek(self.at)
            text = f.read()
        self.at += len(text)
        *lines, self.rest = (self.rest + text).split(b"\n")
        self.all += [json.loads(line) for line in lines
                     if any(b'"POSTERN_EVENT": "%s"' % e.encode() in line for e in ENDS)]
        return self.all
