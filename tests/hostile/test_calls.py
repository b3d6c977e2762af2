#!/usr/bin/python3
# run: limit 400
"""The lines of the filters against what agents really call: tests of the whole agent run
once more, traced. A line that none of them uses says why it is there; one that says so and
is used says something wrong. And nobody calls what no line of his allows.

Takes root, to trace. By hand, with every line and who used it:

    POSTERN_CALLS=1 tests/run integration:release test_calls
"""
# pylint: disable=missing-function-docstring
import collections
import glob
import json
import os
import re
import shutil
import subprocess
import tempfile

import tap  # and not agent: it guards a process and whatever that starts, and so do the tests

BUILD, VARIANT = os.environ["POSTERN_BUILD"], os.environ["POSTERN_VARIANT"]

# What is run: between them, each command and each way of a process to begin. Of some one test
# is enough.
PROGRAMS = [
    ("integration/test_conformance", None),
    ("integration/test_accounts", None),
    ("integration/test_changes", None),
    ("integration/test_network", None),
    ("integration/test_fsinfo", None),
    ("integration/test_facts", None),
    ("integration/test_scale", None),
    ("integration/test_privileges", None),
    ("integration/test_journal", "an agent in the journal"),
    ("integration/test_files", "mode of new files"),
    ("integration/test_files", "owner of new files"),
    ("integration/test_files", "the largest size of what is written"),
    ("integration/test_freeze", "freeze status thaw"),
    ("integration/test_freeze", "trim"),
    ("integration/test_life", None),
]
# Lines that the tests use or not, as libc and its allocator have it on this machine.
OTHER_LIBC = "a libc of another release"
BY_LIBC = (OTHER_LIBC, "larger blocks than here")
LINE = re.compile(r"(\w+)\((.*)\)\s+= (\S+)")
FORKS = {"clone", "clone3", "fork", "vfork"}
SEALED = {"postern-frontend": ("frontend",), "postern-inspector": ("inspector",),
          "postern-worker": ("worker",), "postern-reader": ("policy",)}


# ---- what was called -------------------------------------------------------------------

class Calls:
    """Every (roles, call, arguments) of sealed processes, and a line that shows it."""

    def __init__(self, filters):
        self.filters = filters
        self.seen = {}
        self.unknown = collections.Counter()

    def read(self, prefix):
        """The traces of one agent: a file for each process, that of a child after its
        parent's."""
        pending = {}
        paths = {int(path.rpartition(".")[2]): path for path in glob.glob(prefix + ".*")}
        born = set()
        texts = {}
        for pid, path in paths.items():
            with open(path, encoding="utf-8", errors="replace") as f:
                texts[pid] = [m.groups() for m in map(LINE.match, f) if m]
            born |= {int(ret, 16) for name, _, ret in texts[pid]
                     if name in FORKS and ret.startswith("0x")}
        for pid in texts.keys() - born:
            pending[pid] = (None, ())
        while pending:
            pid, (program, roles) = pending.popitem()
            pending.update(self._one(texts.pop(pid, []), program, roles))

    def _one(self, lines, program, roles):
        """One process, which begins as PROGRAM with the filter of ROLES, (): none."""
        children, forked = {}, program is not None
        for name, args, ret in lines:
            if name in ("execve", "execveat"):
                found = re.search(r'\["([^"]*)"', args)
                program, roles, forked = found[1] if found else "", (), False
                continue
            if roles:
                self._note(roles, name, args)
            if name in FORKS and ret.startswith("0x"):
                children[int(ret, 16)] = (program, roles)
            if name == "seccomp" and ret == "0" and "{len=" in args:
                roles = self._sealed(program, forked, constants(args))
        return children

    def _sealed(self, program, forked, known_by):
        """In the worker: itself once it is sealed; what it has forked by its filter."""
        if not forked:
            return SEALED.get(program, ())
        if known_by not in self.filters:
            self.unknown[(program, len(known_by))] += 1
        return self.filters.get(known_by, ())

    def _note(self, roles, name, args):
        if name == "seccomp":  # the one that is written with what it points to
            args = "0x1, 0, 0" if args.startswith("0x1, 0, ") else "0, 0, 0"
        self.seen.setdefault((roles, name, args if len(args) < 200 else ""), None)


def constants(args):
    """Those of each instruction of a filter, as strace writes it: in parts, some of them."""
    return tuple(sum(int(part, 16) for part in k.split("|"))
                 for k in re.findall(r"BPF_(?:STMT|JUMP)\([^,]+, ([0-9a-fx|]+)[,)]", args))


def numbers(args):
    return [int(a, 16) if re.fullmatch("0x[0-9a-f]+|0", a) else None
            for a in re.split(r",\s*", args)]


def matches(row, roles, name, values):
    if row["call"] != name or not set(row["roles"]) & set(roles):
        return False
    return all(arg < len(values) and values[arg] is not None and values[arg] & mask == want
               for arg, mask, want, _ in row["when"])


# ---- the run -----------------------------------------------------------------------------

def tables():
    done = subprocess.run([os.path.join(BUILD, "tests/integration/confinement")],
                          stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def known_filters(table):
    filters = {}
    for known in table["filters"]:
        roles = tuple(known["roles"])
        assert filters.setdefault(tuple(known["constants"]), roles) == roles, \
            f"{roles} has the filter of another"
    return filters


def trace(top):
    """The programs, traced; whether they pass slowed down like that is not asked here."""
    tests = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    running = []
    for name, only in PROGRAMS:
        env = {**os.environ, "POSTERN_TRACE": top, **({"POSTERN_ONLY": only} if only else {})}
        running.append(subprocess.Popen(
            ["/usr/bin/python3", os.path.join(tests, name + ".py")], env=env,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        if len(running) == 2:
            running.pop(0).wait()
    for process in running:
        process.wait()


def used_by(table, calls):
    """{number of a row: who used it}, and the calls that no row allows."""
    used, unmatched = collections.defaultdict(set), set()
    for roles, name, args in calls.seen:
        values = numbers(args)
        rows = [n for n, row in enumerate(table["rows"]) if matches(row, roles, name, values)]
        for n in rows:
            used[n] |= set(roles) & set(table["rows"][n]["roles"])
        if not rows:
            unmatched.add(f"{'+'.join(roles)}: {name}({args})")
    return used, unmatched


def text(row):
    when = "".join(f" [{arg}: {words}]" for arg, _, _, words in row["when"])
    return f"{row['call']}{when} ({', '.join(row['roles'])}): {row['why']}"


def twin(table, used, row):
    """Is the other call used by which a libc does what ROW does?"""
    return any(used[n] for n, other in enumerate(table["rows"])
               if {row["call"], other["call"]} == {"fstat", "newfstatat"}
               and row["roles"] == other["roles"])


def test_each_line_is_used_or_says_why():
    if os.geteuid() != 0:
        tap.skip("needs root, to trace the agent")
    if VARIANT != "release":
        tap.skip("the sanitizers have lines of their own")
    assert shutil.which("strace"), "strace is missing: make deps"
    table = tables()
    calls = Calls(known_filters(table))
    top = tempfile.mkdtemp(prefix="postern-calls-")
    os.chmod(top, 0o711)
    try:
        trace(top)
        for prefix in glob.glob(os.path.join(top, "*/")):
            calls.read(prefix + "calls")
    finally:
        shutil.rmtree(top)
    used, unmatched = used_by(table, calls)
    for n, row in enumerate(table["rows"]):
        if os.environ.get("POSTERN_CALLS"):
            print(f"# {', '.join(sorted(used[n])) or '-':40} {text(row)}")
    print(f"# {len(calls.seen)} different calls, {sum(map(bool, used.values()))} of "
          f"{len(table['rows'])} lines used")
    allowed = [(n, row) for n, row in enumerate(table["rows"]) if not row["errno"]]
    wrong = [f"not used, and does not say why: {text(row)}" for n, row in allowed
             if not used[n] and not row["unused"]]
    wrong += [f"used by {sorted(used[n])}, says '{row['unused']}': {text(row)}"
              for n, row in allowed if used[n] and row["unused"] and row["unused"] not in BY_LIBC]
    wrong += [f"none of both is used: {text(row)}" for n, row in allowed
              if row["unused"] == OTHER_LIBC and not used[n] and not twin(table, used, row)]
    wrong += [f"a call of no line: {u}" for u in sorted(unmatched)]
    assert not calls.unknown, calls.unknown
    assert not wrong, "\n".join(wrong)


tap.run(tap.tests(globals()), limit=380)
