#!/usr/bin/python3
"""protections - switch one protection off, and see a test fail for it

    tests/run protections [NAME...]                  all of them, or those of that name
    tests/protections.py --check                     does every mutation fit the source?
    tests/protections.py [--on] NAME FOLDER          one of them, in a copy below FOLDER

tests/protections.txt is the table. A protection is switched off by a mutation of the source, a
line or two, in a copy of the tree. What the test needs is built there, and each case that the
table names is run, and must fail. Whatever else goes wrong (the source has changed, the copy
cannot be built, there is no such case) is an error of the matrix. With --on nothing is mutated
and the cases must pass: so one sees that each stands on its own.

The table: a line for people begins with `#`; a protection is a paragraph,

    NAME                    words with hyphens
    claim A2                of DESIGN section 1 that it serves; 2: what section 2 says
    in FILE                 what is mutated
    -TEXT                   whole lines, found exactly once in the file, ...
    +TEXT                   ... and what takes their place; more such pairs may follow
    make TARGET...          below build/; default: the program, where it is a unit test
    test SUITE PROGRAM      as tests/run names them
    fails CASE, CASE...     as their TAP lines name them
"""
import contextlib
import dataclasses
import fcntl
import itertools
import os
import re
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TABLE = os.path.join(ROOT, "tests/protections.txt")
# Seconds after which what a test waits for will not come: something is known to be wrong.
PATIENCE = "3"
# Beside the copies.
TMP = "tmp"
# What a copy has of what is built.
BUILT = ("release", "release-testops")
KEYS = ("claim", "in", "make", "test", "fails")
CLAIMS = ("A1", "A2", "A3", "A4", "A5", "2")


class Wrong(Exception):
    """An error of the matrix."""


@dataclasses.dataclass
class Protection:
    name: str
    words: dict = dataclasses.field(default_factory=dict)
    hunks: list = dataclasses.field(default_factory=list)  # pairs of lists of lines

    @property
    def file(self):
        return self.words["in"]

    @property
    def cases(self):
        return [c.strip() for c in self.words["fails"].split(",")]

    @property
    def test(self):
        """Suite and program."""
        return self.words["test"].split()

    @property
    def source(self):
        """Of the program."""
        suite, program = self.test
        return f"tests/unit/{program}.c" if suite.startswith("unit:") else f"tests/{program}.py"

    @property
    def targets(self):
        suite, program = self.test
        default = f"release/tests/unit/{program}" if suite.startswith("unit:") else ""
        return [f"build/{t}" for t in self.words.get("make", default).split()]

    def row(self):
        """Of the matrix, as texts."""
        return self.name, self.words["claim"], self.file, \
            f"{self.test[1]}: {', '.join(self.cases)}"


# ---- the table -----------------------------------------------------------------------------

def _line(protection, line):
    """One more line of its paragraph."""
    hunks = protection.hunks
    if line[0] == "-":
        if not hunks or hunks[-1][1]:
            hunks.append(([], []))
        hunks[-1][0].append(line[1:])
        return
    if line[0] == "+":
        if not hunks:
            raise Wrong(f"{protection.name}: a line is put in, and none taken out")
        hunks[-1][1].append(line[1:])
        return
    key, _, rest = line.partition(" ")
    if key not in KEYS or not rest or key in protection.words:
        raise Wrong(f"{protection.name}: '{line}' is not understood")
    protection.words[key] = rest.strip()


def read():
    """All protections of the table, by name."""
    found = {}
    with open(TABLE, encoding="utf-8") as f:
        text = f.read()
    for paragraph in re.split(r"\n\s*\n", text):
        lines = [l for l in paragraph.split("\n") if l and l[0] != "#"]
        if not lines:
            continue
        protection = Protection(lines[0])
        if not re.fullmatch(r"[a-z0-9-]+", protection.name) or protection.name in found:
            raise Wrong(f"'{protection.name}' is no name, or there twice")
        for line in lines[1:]:
            _line(protection, line)
        lacking = [k for k in KEYS if k != "make" and k not in protection.words]
        if not protection.hunks or not lacking and not protection.targets:
            lacking.append("a mutation and what to make")
        if lacking:
            raise Wrong(f"{protection.name}: without {', '.join(lacking)}")
        if protection.words["claim"] not in CLAIMS:
            raise Wrong(f"{protection.name}: serves none of {', '.join(CLAIMS)}")
        found[protection.name] = protection
    return found


def mutated(protection, root):
    """The text of its file without the protection."""
    with open(os.path.join(root, protection.file), encoding="utf-8") as f:
        text = "\n" + f.read()
    for old, new in protection.hunks:
        was = "\n".join(["", *old, ""])
        if text.count(was) != 1:
            raise Wrong(f"{protection.name}: mend tests/protections.txt, this is in "
                        f"{protection.file} {text.count(was)} times, not once:\n" + "\n".join(old))
        text = text.replace(was, "\n".join(["", *new, ""]))
    return text[1:]


def check():
    """Tell of each mutation that does not fit. The exit status."""
    wrong = 0
    for protection in read().values():
        try:
            mutated(protection, ROOT)
        except Wrong as e:
            print(e)
            wrong += 1
    return 1 if wrong else 0


# ---- one of them ---------------------------------------------------------------------------

def differs(ours, theirs):
    try:
        a, b = os.lstat(ours), os.lstat(theirs)
    except FileNotFoundError:
        return True
    return (a.st_mtime_ns, a.st_size) != (b.st_mtime_ns, b.st_size)


def restore(copy):
    """Make COPY what the tree is, with its time stamps, so that only what is mutated then is
    built anew. What an earlier protection has changed there is put back."""
    for top, folders, files in os.walk(ROOT):
        if top == os.path.join(ROOT, "build"):
            folders[:] = BUILT
        elif ".git" in folders:
            folders.remove(".git")
        there = os.path.join(copy, os.path.relpath(top, ROOT))
        os.makedirs(there, exist_ok=True)
        for name in files:
            if differs(os.path.join(top, name), os.path.join(there, name)):
                shutil.copy2(os.path.join(top, name), there, follow_symlinks=False)


def make_tmp(folder):
    """As /tmp is: a place where everybody may write is not trusted, and tests know."""
    tmp = os.path.join(folder, TMP)
    os.makedirs(tmp, exist_ok=True)
    os.chmod(tmp, 0o1777)


@contextlib.contextmanager
def free_copy(folder):
    """A copy of the tree that nobody else works in, at the beginning as the tree is."""
    for n in itertools.count():
        copy = os.path.join(folder, str(n))
        os.makedirs(copy, exist_ok=True)
        lock = os.open(copy, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        restore(copy)
        yield copy  # held until this process ends
        return


def build(protection, folder):
    made = subprocess.run(["make", "-j2", "--no-print-directory", *protection.targets],
                          cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, check=False)
    if made.returncode:
        raise Wrong(f"{protection.name}: cannot be built:\n{made.stdout}")


def run_case(protection, case, on, folder):
    """The end of a TAP line, or Wrong."""
    suite, program = protection.test
    # What a test leaves behind that is ended from outside goes with the copies.
    env = {**os.environ, "POSTERN_ONLY": case, "TMPDIR": os.path.join(os.path.dirname(folder), TMP)}
    if not on:
        env["POSTERN_PATIENCE"] = PATIENCE
    done = subprocess.run(["tests/run", suite, f"^{program}$"], cwd=folder, env=env, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    skipped = re.search(rf"^SKIPPED .*: {re.escape(case)}(?:: (.*))?$", done.stdout, re.M)
    if skipped:
        return f"{case} # SKIP {skipped[1] or 'as ' + program + ' says'}"
    if on and (done.returncode or not re.search(r" 1 passed", done.stdout)):
        raise Wrong(f"{protection.name}: does not pass: {case}\n{done.stdout}")
    # (cmocka has more to say on that line where it failed at the end of a test as well.)
    if not on and not re.search(rf"^     failed: {re.escape(case)}(\n| Could not run test)",
                                done.stdout, re.M):
        raise Wrong(f"{protection.name}: is off, and does not fail: {case}\n{done.stdout}")
    return case


def switch_off(protection, on, folder):
    """In a copy of the tree below FOLDER, which others use later."""
    text = mutated(protection, ROOT)
    make_tmp(folder)
    with free_copy(folder) as copy:
        if not on:
            with open(os.path.join(copy, protection.file), "w", encoding="utf-8") as f:
                f.write(text)
        build(protection, copy)
        done = [run_case(protection, case, on, copy) for case in protection.cases]
    return next((d for d in done if " # SKIP " in d), ", ".join(done))


def main(args):
    if args == ["--check"]:
        return check()
    if len(args) < 2:
        print(__doc__)
        return 2
    name, folder = args[-2:]
    print("1..1")
    try:
        print("ok 1 -", switch_off(read()[name], "--on" in args, folder))
        return 0
    except Wrong as e:
        first, *more = str(e).splitlines()
        print("\n".join([*(f"# {line}" for line in more), f"not ok 1 - {first}"]))
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
