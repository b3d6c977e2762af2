#!/usr/bin/python3
"""The tutorial is true: each command of doc/tutorial.md is run, in its order and in one shell,
and prints what stands below it.

Commands are the lines that begin with `$ ` in blocks marked `console`, with their continuations
(`> `); what follows a command is what it prints, where `...` stands for anything. A block marked
`file=NAME` is that file. The reader sets $try to a folder of his own; so does this test.
"""
import os
import re
import subprocess
import tempfile

import guard
import tap
from agent import PATIENCE, free_uids

TUTORIAL = "doc/tutorial.md"
MARK = "-- end of command --"


def blocks():
    """(kind, lines, number of the first line) of each fenced block."""
    with open(TUTORIAL, encoding="utf-8") as f:
        lines = f.read().split("\n")
    at = 0
    while at < len(lines):
        fence = re.fullmatch(r"```(\S.*)", lines[at])
        if not fence:
            at += 1
            continue
        end = lines.index("```", at + 1)
        yield fence[1], lines[at + 1:end], at + 2
        at = end + 1


def commands(lines, number):
    """(command, expected output, line) of a console block."""
    found = []
    for n, line in enumerate(lines, number):
        if line.startswith("$ "):
            found.append([line[2:], [], n])
        elif line.startswith("> ") and not found[-1][1]:
            found[-1][0] += "\n" + line[2:]
        else:
            found[-1][1].append(line)
    return found


def fits(printed, expected):
    """Is it that, with anything for each `...`?"""
    pattern = r"[\s\S]*?".join(map(re.escape, "\n".join(expected).split("...")))
    return re.fullmatch(pattern, printed.strip("\n")) is not None


class Shell:
    """A reader's shell, at the top of the sources."""

    def __init__(self, folder):
        # Root has to name two users; numbers that no account has will do.
        users = ""
        if os.geteuid() == 0:
            users = "--frontend-user {} --inspector-user {}".format(*free_uids(2))
        env = {**os.environ, "try": folder, "users": users, "TZ": "UTC", "LC_ALL": "C.UTF-8"}
        self.process = subprocess.Popen(
            ["bash", "--norc"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, env=env, preexec_fn=guard.harmless)

    def run(self, command):
        """What it prints; and its status as the last line, if it failed."""
        self.process.stdin.write(f"{command}\ns=$?; [ $s = 0 ] || echo \"[status $s]\"; "
                                 f"echo '{MARK}'\n")
        self.process.stdin.flush()
        printed = ""
        while not printed.endswith(MARK + "\n"):
            line = self.process.stdout.readline()
            assert line, f"the shell ended: {printed}"
            printed += line
        return printed.removesuffix(MARK + "\n")


def check(shell, folder, kind, lines, number):
    if kind.startswith("file="):
        with open(os.path.join(folder, kind.removeprefix("file=")), "w", encoding="utf-8") as f:
            f.write("\n".join(lines) + "\n")
    if kind != "console":
        return 0
    found = commands(lines, number)
    for command, expected, line in found:
        printed = shell.run(command)
        assert fits(printed, expected), \
            f"{TUTORIAL}:{line}: $ {command}\nexpected:\n" + "\n".join(expected) + \
            f"\nprinted:\n{printed}"
    return len(found)


def test_the_tutorial():
    if not os.path.exists(TUTORIAL):
        tap.skip("the sources are not here; root's run has them")
    with tempfile.TemporaryDirectory(prefix="postern-test-") as folder:
        shell = Shell(folder)
        try:
            done = sum(check(shell, folder, *block) for block in blocks())
        finally:
            # Its jobs with it: the agent ends, and removes what it made.
            shell.process.stdin.write("kill $(jobs -p) 2>/dev/null; wait; exit\n")
            shell.process.stdin.close()
            shell.process.wait(PATIENCE)
            shell.process.stdout.close()
        assert done > 20, done


tap.run(tap.tests(globals()))
