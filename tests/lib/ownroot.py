"""ownroot - a root directory of one's own, with copies of the machine's tools in it

    root = OwnRoot(top)                      # a directory that a tmpfs is mounted on
    root.put("/usr/bin/getent")              # a copy, with the libraries that it needs
    root.text("/etc/passwd", "root:x:0:0::/root:/bin/sh\n")
    with root.agent(profile="legacy") as a: ...     # all of its processes have that root
    root.run("getent", "shadow", "user")            # and so has this

What runs in there sees accounts, keys and tools of the test's alone. Needs root.
"""
import os
import re
import shutil
import subprocess

import guard
import scratch
from agent import INSTALLED, TRACES, Agent, build_dir

PROGRAMS = "/usr/lib/postern"
# PAM has a module for each line of its configuration; these are all that is used here.
PAM = ("pam_unix.so", "pam_permit.so", "pam_deny.so")
PAM_FOLDERS = ("/lib/x86_64-linux-gnu/security", "/lib/aarch64-linux-gnu/security",
               "/usr/lib64/security", "/lib/security")


def needed(program):
    """The libraries of PROGRAM, its loader too."""
    done = subprocess.run(["ldd", program], capture_output=True, text=True, check=True,
                          preexec_fn=guard.harmless, pass_fds=_fds(program))
    return re.findall(r"(?:^|\s)(/\S+) \(", done.stdout)


def _fds(path):
    """The descriptor that PATH is, as guard.real gives it."""
    return [int(path.rpartition("/")[2])] if path.startswith("/proc/self/fd/") else []


def put(root, path, at=None):
    """A copy of the file PATH below ROOT, at the same place or AT."""
    target = root + (at or path)
    if not os.path.exists(target):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copyfile(path, target)  # the file that a link leads to
        os.chmod(target, 0o755 if os.access(path, os.X_OK) else 0o644)


def put_program(root, path, at=None):
    """The same with its libraries."""
    put(root, path, at)
    for library in needed(path):
        put(root, library)


def text(root, path, content, mode=0o644):
    os.makedirs(os.path.dirname(root + path), exist_ok=True)
    with open(root + path, "w", encoding="utf-8") as f:
        f.write(content)
    os.chmod(root + path, mode)


class _Inside(Agent):
    """An agent whose processes have ROOT as their root. Its directory is in there, and a
    link to it stands where others have theirs."""

    def __init__(self, root, **options):
        super().__init__(start=False, **options)
        inside = "/run/" + os.path.basename(self.dir)
        os.rmdir(self.dir)
        os.makedirs(root.path + inside, 0o755)
        os.symlink(root.path + inside, self.dir)
        self.argv = [a.replace(self.programs, PROGRAMS).replace(self.dir, inside)
                     for a in self.argv]
        self.prepare = root.enter
        try:
            self.start()
        except BaseException:
            self.kill()
            raise

    def kill(self):
        super().kill()
        if os.path.islink(self.dir):
            shutil.rmtree(os.path.realpath(self.dir), ignore_errors=True)
            os.unlink(self.dir)


class Setting:
    """A root and, made when asked for, its agents, which end with STACK. HEAD is the beginning
    of their policies."""
    HEAD = ""

    def __init__(self, root, stack):
        self.root, self.stack = root, stack

    def agent(self, rules=None, **options):
        """Under legacy, or under a policy of these."""
        if rules is not None:
            self.root.text("/etc/postern/policy.conf", self.HEAD + rules + "\n")
        return self.stack.enter_context(
            self.root.agent(profile="legacy" if rules is None else None, **options))


def refused(reply, words, kind="GenericError"):
    """REPLY is an error of that class that says so."""
    assert reply.get("error", {}).get("class") == kind, reply
    assert words in reply["error"]["desc"], reply


class OwnRoot:
    """See above. Within scratch.namespaces(), with which it goes."""

    def __init__(self, top, testops=False):
        self.path = os.path.join(top, "root")
        self.testops = testops
        scratch.mount("tmpfs", self.path, "tmpfs", data="mode=755")
        for name in ("dev", "etc", "home", "root", "run", "tmp", "sys"):
            os.mkdir(os.path.join(self.path, name), 0o755)
        os.mknod(f"{self.path}/dev/null", 0o20666, os.makedev(1, 3))
        os.chmod(f"{self.path}/dev/null", 0o666)
        scratch.mount("proc", f"{self.path}/proc", "proc")
        for name in ("postern", *INSTALLED.values()):
            put_program(self.path, os.path.abspath(f"{build_dir(testops)}/{name}"),
                        f"{PROGRAMS}/{name}")
        if TRACES:
            put_program(self.path, scratch.tool("strace"))
            scratch.bind(TRACES, self.path + TRACES)

    def put(self, path):
        """Of a program that the guard masks the real one."""
        put_program(self.path, guard.real(path), path)

    def text(self, path, content, mode=0o644):
        text(self.path, path, content, mode)

    def pam(self):
        """What programs need that change passwords by PAM."""
        folder = next(f for f in PAM_FOLDERS if os.path.isdir(f))
        for module in PAM:
            put_program(self.path, f"{folder}/{module}")
            if not folder.startswith("/usr"):  # where newer releases look, links or not
                put(self.path, f"{folder}/{module}", f"/usr{folder}/{module}")
        for service in ("chpasswd", "other"):
            self.text(f"/etc/pam.d/{service}", "auth sufficient pam_permit.so\n"
                      "account sufficient pam_permit.so\npassword required pam_unix.so yescrypt\n")

    def agent(self, **options):
        return _Inside(self, testops=self.testops, **options)

    def run(self, *argv):
        """Run a program in there to its end: what it wrote."""
        return subprocess.run(argv, check=True, text=True, capture_output=True, cwd="/",
                              preexec_fn=lambda: guard.harmless(self.enter)).stdout

    def enter(self):
        os.chroot(self.path)
        os.chdir("/")
