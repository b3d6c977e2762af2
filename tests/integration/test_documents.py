#!/usr/bin/python3
"""What the documents show is true: each policy is good, each command line is one that the programs
take, each command of the protocol, file and link exists, and tables that say what a profile allows
say what it allows. Manual pages are well formed, and stale ones are seen.

A policy is a block marked `ini`, or a literal display of a manual page that begins with a section.
Command lines are the other displays, indented blocks, and code in a line.
"""
# run: limit 120
import configparser
import functools
import glob
import json
import os
import re
import shlex
import shutil
import subprocess
import tempfile

import guard
import tap
from agent import PATIENCE, build_dir
from ctl import PROFILES, ctl, policy_file

PAGES = sorted(glob.glob("man/*.[1-8]"))
DOCUMENTS = sorted(glob.glob("*.md") + glob.glob("doc/*.md") + glob.glob("examples/*.md"))


def run(*argv, **options):
    return subprocess.run(argv, text=True, capture_output=True, timeout=PATIENCE, check=False,
                          preexec_fn=guard.harmless, **options)


def text_of(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


# ---- what stands in them -----------------------------------------------------------------------

def fenced(path):
    """(language, text) of each block between fences."""
    return re.findall(r"^```(\S*)\n(.*?)^```", text_of(path), re.M | re.S)


def displays(path):
    """Literal displays of a manual page, as they are read."""
    return [re.sub(r"\\e", r"\\", text) for text in
            re.findall(r"^\.Bd -literal.*?\n(.*?)^\.Ed", text_of(path), re.M | re.S)]


def is_policy(text):
    return re.match(r'\[(policy|limits|audit|(rule|exec|test) ".*")\]\n', text) is not None


def policies():
    """(path, text) of each policy that is shown."""
    for path in DOCUMENTS:
        yield from ((path, text) for language, text in fenced(path) if language == "ini")
    for path in PAGES:
        yield from ((path, text) for text in displays(path) if is_policy(text))


def without_fences(path):
    return re.sub(r"^```.*?^```", "", text_of(path), flags=re.M | re.S)


def shown_lines(path):
    """Lines of what is shown, continuations with what they continue."""
    text = ""
    if path in PAGES:
        text = "\n".join(d for d in displays(path) if not is_policy(d))
    else:
        for language, block in fenced(path):
            if language in ("sh", "console", "file=client"):
                text += re.sub(r"^[$>] ", "", block, flags=re.M)
        text += "\n".join(re.findall(r"^ {4}(.*)", without_fences(path), re.M)) + "\n"
        text += "\n".join(re.findall(r"`([^`\n]+)`", without_fences(path)))
    return text.replace("\\\n", " ").split("\n")


def words(line):
    """Of a line for a shell; none if it is no such line."""
    try:
        return shlex.split(line, comments=True)
    except ValueError:
        return []


def calls(program):
    """(path, words) of each command line that calls PROGRAM."""
    for path in DOCUMENTS + PAGES:
        for line in shown_lines(path):
            found = words(line)
            for at, word in enumerate(found):
                if os.path.basename(word) == program and \
                        (at == 0 or found[at - 1] in ("|", "&&", ";", "sudo")):
                    end = next((n for n, w in enumerate(found) if n > at and
                                re.match(r"[|&;<>)]|\d>", w)), len(found))
                    yield path, found[at + 1:end]


# ---- policies ----------------------------------------------------------------------------------

def test_policies_are_good():
    count = {}
    for path, text in policies():
        with policy_file(text) as f:
            done = ctl("check", f.name)
            assert done.returncode == 0, f"{path}:\n{text}{done.stdout}"
        count[path] = count.get(path, 0) + 1
    assert count["doc/policy.md"] > 5 and count["doc/install.md"] >= 3, count
    assert count["man/postern-policy.5"] == 3 and count["doc/migration.md"] >= 1, count


def test_policies_within_other_files():
    """What cloud-init is to write."""
    try:
        import yaml  # pylint: disable=import-outside-toplevel
    except ImportError:
        tap.skip("python3-yaml is not installed")
    found = [yaml.safe_load(text) for language, text in fenced("doc/install.md")
             if language == "yaml"]
    assert found and all(f["packages"] == ["postern"] for f in found), found
    for entry in (e for f in found for e in f["write_files"]):
        assert entry["path"].startswith("/etc/postern/") and entry["permissions"] == "0644"
        with policy_file(entry["content"]) as f:
            ctl("check", f.name, status=0)


def test_other_snippets_are_well_formed():
    for path in DOCUMENTS:
        for language, text in fenced(path):
            if language == "sh":
                done = run("sh", "-n", input=text)
                assert done.returncode == 0, (path, text, done.stderr)
            elif language == "conf" and "[" in text:
                configparser.ConfigParser(strict=True).read_string(text)
            elif language == "xml":
                import xml.etree.ElementTree as tree  # pylint: disable=import-outside-toplevel
                tree.fromstring(text)


# ---- command lines -----------------------------------------------------------------------------

@functools.cache
def help_of(program, *verb):
    return run(os.path.join(build_dir(), program), *verb, "--help").stdout


def options_in(text):
    """Option -> does it take a value?"""
    found = {}
    for line in re.findall(r"^ {2,6}(-.*)", text, re.M):
        head = re.split(r"(?<=\S)  ", line, maxsplit=1)[0]
        for option in re.findall(r"(?<![\w-])--?[a-zA-Z][a-z-]*", head):
            found[option] = bool(re.search(r" [A-Z]|=|\|", head))
    return found


def unknown_options(arguments, known):
    """Those of ARGUMENTS that are none; a word behind one that takes a value is that value."""
    bad, at = [], 0
    while at < len(arguments):
        word = arguments[at]
        at += 1
        if not re.match(r"--?[a-zA-Z]", word):
            continue
        name = word.split("=")[0] if word.startswith("--") else word[:2]
        if name not in known:
            bad.append(word)
        elif known[name] and word == name:
            at += 1
    return bad


def test_lines_of_posternctl():
    verbs = set(re.findall(r"^  ([a-z]+) ", help_of("posternctl").partition("Verbs")[2], re.M))
    seen = set()
    for path, arguments in calls("posternctl"):
        if not arguments or arguments[0].startswith("-"):
            continue
        assert arguments[0] in verbs, (path, arguments)
        seen.add(arguments[0])
        bad = unknown_options(arguments[1:], options_in(help_of("posternctl", arguments[0])))
        assert not bad, (path, arguments, bad)
    assert seen == verbs, verbs - seen


def test_requests_that_are_explained():
    count = 0
    for path, arguments in calls("posternctl"):
        if arguments[:1] == ["explain"] and arguments[-1].startswith("{"):
            json.loads(arguments[-1])
            done = ctl("explain", "--profile", "safe", arguments[-1])
            assert done.returncode in (0, 1), (path, arguments, done.stderr)
            count += 1
    assert count > 3, count


def test_lines_of_postern():
    known, count = options_in(help_of("postern")), 0
    for path, arguments in calls("postern"):
        bad = unknown_options(arguments, known)
        assert not bad, (path, arguments, bad)
        count += bool(arguments)
    assert count >= 6, count


def test_targets_of_make():
    targets = set(re.findall(r"^([a-z-]+):.*## ", text_of("Makefile"), re.M)) | {"unit"}
    for path, arguments in calls("make"):
        for word in arguments:
            if re.fullmatch(r"[a-z][a-z-]*", word):
                assert word in targets, (path, arguments)


# ---- names -------------------------------------------------------------------------------------

def test_commands_exist():
    known = set(run(os.path.join(build_dir(), "postern"), "-b", "?").stdout.split())
    known |= {"guest-get-devices", "guest-agent"}  # no command of Linux; of other names
    for path in DOCUMENTS + PAGES:
        for name in re.findall(r"(?<![\w./@-])guest-[a-z-]+", text_of(path)):
            # Or what several begin with, as `guest-suspend-*`.
            assert name in known or any(k.startswith(name.rstrip("-") + "-") for k in known), \
                (path, name)


def anchors(path):
    """Of the headings, as they are linked to."""
    found = set()
    for title in re.findall(r"^#+ (.*)", without_fences(path), re.M):
        title = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title).lower()
        found.add(re.sub(r"[^\w\- ]", "", title).replace(" ", "-"))
    return found


def test_links_lead_somewhere():
    count = 0
    for path in DOCUMENTS:
        for target in re.findall(r"\]\(([^)\s]+)\)", without_fences(path)):
            if re.match(r"[a-z]+:", target):
                continue
            name, _, anchor = target.partition("#")
            file = os.path.normpath(os.path.join(os.path.dirname(path), name)) if name else path
            assert os.path.exists(file), (path, target)
            if anchor:
                assert anchor in anchors(file), (path, target)
            count += 1
    assert count > 50, count


def test_files_that_are_named_exist():
    for path in DOCUMENTS:
        for name in re.findall(r"(?<![\w/.-])(?:examples|policy/profiles|doc|man|systemd)"
                               r"/[\w.@-]+\.\w+", text_of(path)):
            assert os.path.exists(name), (path, name)
        for name in re.findall(r"add-on `([\w-]+\.conf)`", text_of(path)):
            assert os.path.exists(f"examples/{name}"), (path, name)


def test_pages_that_are_named_exist():
    ours = {os.path.basename(p) for p in PAGES}
    for path in PAGES:
        for name, number in re.findall(r"^\.Xr (postern[\w-]*) (\d)", text_of(path), re.M):
            assert f"{name}.{number}" in ours, (path, name, number)
    for path in DOCUMENTS + glob.glob("systemd/*"):
        for name, number in re.findall(r"\b(postern[\w-]*)\((\d)\)", text_of(path)):
            assert f"{name}.{number}" in ours, (path, name, number)


# ---- what profiles allow -----------------------------------------------------------------------

@functools.cache
def states(profile):
    listed = json.loads(ctl("list", "--json", "--profile", profile, status=0).stdout)
    return {c["command"]: c["state"] for c in listed["commands"]}


def test_tables_of_platforms():
    """A column named after a profile says yes, limited or no of the commands of its row."""
    said, count = {"yes": "allowed", "limited": "constrained", "no": "denied"}, 0
    for block in re.findall(r"(?:^\|.*\n)+", text_of("doc/install.md"), re.M):
        head, *rows = [[cell.strip() for cell in line.strip("|").split("|")]
                       for line in block.splitlines()]
        columns = [(at, cell.strip("`")) for at, cell in enumerate(head)
                   if cell.strip("`") in PROFILES]
        for row in rows[1:] if columns else []:
            commands = [c for c in re.findall(r"`([^`]+)`", row[1]) if c.startswith("guest-")]
            assert commands, row
            for at, profile in columns:
                for command in commands:
                    word = re.match(r"\w+", row[at])[0]
                    assert states(profile)[command] == said[word], (profile, command, row[at])
                    count += 1
    assert count > 100, count


# ---- manual pages ------------------------------------------------------------------------------

def test_pages_are_well_formed():
    if not shutil.which("mandoc"):
        tap.skip("mandoc is not installed")
    assert {os.path.basename(p) for p in PAGES} > {"postern.8", "postern-policy.5",
                                                   "postern-audit.7", "posternctl.1"}
    for path in PAGES:
        done = run("mandoc", "-T", "lint", "-W", "warning", path)
        assert done.returncode == 0 and not done.stdout, (path, done.stdout)


def stale(folder):
    """What the check says of a copy of what it reads."""
    build = os.path.abspath("build/release")
    return run(f"{folder}/tests/lint/pages", "--check", build)


def test_stale_pages_are_seen():
    if not os.path.exists("build/release/tests/integration/tables"):
        tap.skip("build/release has no tables; make helpers-release")
    changes = [  # file, what is there, what it becomes, which page complains
        ("man/postern-policy.5", ".It Cm freeze-max No = Ar time", ".It Cm freeze-min",
         "make pages"),
        ("man/postern.8", "Besides:", "And:", None),
        ("doc/policy.md", "| `freeze-max` | time |", "| `freeze-max` | size |", "freeze-max"),
        ("doc/policy.md", "| `keys-max` | count |", "| `keys-most` | count |", "keys-max"),
        ("doc/audit.md", "| `auto-thaw` | 4 |", "| `auto-thaw` | 5 |", "auto-thaw"),
        ("doc/audit.md", "| `HOOK` | path |", "| `HOOKS` | path |", "HOOK"),
        ("supervisor/config.c", '{"BLOCK_RPCS", as_value', '{"BLOCK_ALL", as_value',
         "make pages"),
    ]
    with tempfile.TemporaryDirectory(prefix="postern-test-") as folder:
        for name in ("man", "doc", "tests/lint", "supervisor"):
            shutil.copytree(name, os.path.join(folder, name))
        done = stale(folder)
        assert done.returncode == 0 and not done.stderr, done
        for file, there, instead, complaint in changes:
            path = os.path.join(folder, file)
            text = text_of(path)
            assert there in text, (file, there)
            with open(path, "w", encoding="utf-8") as f:
                f.write(text.replace(there, instead, 1))
            done = stale(folder)
            if complaint:
                assert done.returncode == 1 and complaint in done.stderr, (file, done)
            else:  # what is written by hand is no part of it
                assert done.returncode == 0, (file, done)
            with open(path, "w", encoding="utf-8") as f:
                f.write(text)


def documents():
    tap.skip("they are not here; root's run has them")


# Another user gets a copy of the tests and programs only.
tap.run(tap.tests(globals()) if DOCUMENTS else [documents])
