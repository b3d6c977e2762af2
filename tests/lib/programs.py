"""programs - guest-exec as a client uses it, and places that programs may be run from

    with programs.agent(POLICY) as a, a.client() as c, programs.Folder() as d:
        script = d.script("hello", "echo hello")
        done = programs.run(c, script, capture_output=True)
        assert (done["exitcode"], done["out-data"]) == (0, b"hello\\n")

In a status the data are bytes here, not base64.
"""
import base64
import contextlib
import os
import shutil
import tempfile
import time

import tap
from agent import PATIENCE, Agent, wait_until


@contextlib.contextmanager
def agent(policy, **how):
    """An agent with the text POLICY as its policy file; HOW as for Agent."""
    a = Agent(profile=None, start=False, **how)
    a.write_policy(policy)
    try:
        a.start()
    except BaseException:
        a.kill()
        raise
    with a:
        yield a


def policy(*sections, base="none", **settings):
    """Text of a policy. A `_` in a setting's name stands for `-`; those of [limits] are
    told apart by name."""
    limits = {k: v for k, v in settings.items() if k in ("exec_concurrent", "handles")}
    text = f"[policy]\nbase = {base}\n" + keys({k: v for k, v in settings.items()
                                                if k not in limits})
    if limits:
        text += "[limits]\n" + keys(limits)
    return text + "".join(sections)


def keys(values):
    return "".join(f"{k.replace('_', '-')} = {v}\n" for k, v in values.items())


def rule(name="any", effect="allow", **constraints):
    """A rule for guest-exec; without constraints it allows every program."""
    return (f'[rule "{name}"]\neffect = {effect}\ncommand = guest-exec\n'
            + keys(constraints))


def named(name, path, **constraints):
    """A program with a name."""
    return f'[exec "{name}"]\npath = {path}\n' + keys(constraints)


# ---- a client --------------------------------------------------------------------------

def request(path, arg=(), **more):
    """Arguments of guest-exec; input_data is bytes. A `_` in a name stands for `-`."""
    if "input_data" in more:
        more["input_data"] = base64.b64encode(more["input_data"]).decode()
    more = {name.replace("_", "-"): value for name, value in more.items()}
    return {"path": path, **({"arg": list(arg)} if arg else {}), **more}


def start(c, path, *arg, **more):
    """Start a program; its pid."""
    reply = c.call("guest-exec", **request(path, arg, **more))
    assert "return" in reply, reply
    return reply["return"]["pid"]


def refused(c, path, *arg, **more):
    """The error of a program that is not started."""
    reply = c.call("guest-exec", **request(path, arg, **more))
    assert "error" in reply, reply
    return reply["error"]


def decoded(state):
    return {k: base64.b64decode(v) if k in ("out-data", "err-data") else v
            for k, v in state.items()}


def look(c, pid):
    """The status as it is now; None if the agent knows of no such program."""
    reply = c.call("guest-exec-status", pid=pid)
    if "error" in reply:
        assert reply["error"] == {"class": "GenericError",
                                  "desc": "Invalid parameter 'pid'"}, reply
        return None
    return decoded(reply["return"])


def wait(c, pid, timeout=None):
    """The status of a program once it has ended; what comes before says no more."""
    end = time.monotonic() + (PATIENCE if timeout is None else timeout)
    while True:
        state = look(c, pid)
        assert state is not None, f"the result of {pid} is lost"
        if state["exited"]:
            return state
        assert state == {"exited": False}, state
        assert time.monotonic() < end, f"program {pid} has not ended"
        time.sleep(0.01)


def run(c, path, *arg, timeout=None, **more):
    return wait(c, start(c, path, *arg, **more), timeout)


# ---- places ----------------------------------------------------------------------------

class Folder:
    """A directory that only root may write, all the way up, and all may search."""

    def __init__(self):
        if os.geteuid() != 0:
            tap.skip("needs root, to have programs that only root can change")
        base = "/run"
        if os.statvfs(base).f_flag & os.ST_NOEXEC:
            base = "/var/lib"
        self.path = tempfile.mkdtemp(prefix="postern-test-", dir=base)
        os.chmod(self.path, 0o755)

    def script(self, name, body, head="#!/bin/sh\n", mode=0o755):
        path = os.path.join(self.path, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as f:
            f.write(head + body + "\n")
        os.chmod(path, mode)
        return path

    def copy(self, source):
        path = os.path.join(self.path, os.path.basename(source))
        shutil.copyfile(source, path)
        os.chmod(path, 0o755)
        return path

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        shutil.rmtree(self.path, ignore_errors=True)


# ---- what runs -------------------------------------------------------------------------

def is_alive(pid):
    """Is there such a process that has not ended?"""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
            return f.read().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def session(sid):
    """Pids of the session SID that have not ended: a program's and what it left."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as f:
                fields = f.read().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[3]) == sid and fields[0] not in "ZX":
            found.append(int(entry))
    return found


def wait_gone(sid, timeout=None):
    wait_until(lambda: not session(sid), f"the processes of session {sid} to end", timeout)
