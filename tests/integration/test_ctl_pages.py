#!/usr/bin/python3
"""What posternctl says of itself in four places is the same: --help, the manual pages, and the
completion of bash and zsh. Their verbs, and of each verb the options.
"""
# pylint: disable=missing-function-docstring
import glob
import os
import re
import shutil
import subprocess
import tempfile

import guard
import tap
from agent import PATIENCE, build_dir

CTL = os.path.join(build_dir(), "posternctl")


def need_tree():
    """Another user gets a copy of the tests and programs only."""
    if not os.path.isdir("man"):
        tap.skip("pages and completion are not here; root's run has them")


def output(*argv, stdin=""):
    done = subprocess.run(argv, input=stdin, text=True, capture_output=True, timeout=PATIENCE,
                          check=False, env={**os.environ, "LC_ALL": "C.UTF-8"},
                          preexec_fn=guard.harmless)
    assert done.returncode == 0 and done.stderr == "", (argv, done)
    return done.stdout


def verbs():
    text = output(CTL, "--help")
    return set(re.findall(r"^  ([a-z]+) ", text.partition("Verbs")[2], re.M))


def options(verb):
    """Of VERB, or of the program, those that --help has a line for."""
    found = set()
    for line in output(CTL, *[verb] if verb else [], "--help").splitlines():
        if verb and re.match(r" {2,6}-", line):
            # What is said of an option stands two blanks behind it.
            found |= set(re.findall(r"(?<![\w-])--?[a-zA-Z][a-z-]*",
                                    re.split(r"(?<=\S)  ", line.lstrip(), 1)[0]))
        elif not verb and line.startswith(" ") and "|" in line:
            found |= set(re.findall(r"--[a-z]+", line))
    return found | ({"-h", "-V"} if not verb else set())


def is_same(found, verb):
    """FOUND are the options of VERB."""
    assert found == options(verb), (verb, found ^ options(verb))


# ---- the program ----------------------------------------------------------------------------

def test_every_verb_has_json_and_help():
    assert "--json" in output(CTL, "--help")
    assert {"audit", "call", "check", "explain", "suggest"} <= verbs()
    for verb in verbs():
        assert {"--json", "--help", "-h"} <= options(verb), (verb, options(verb))
        assert output(CTL, verb, "-h") == output(CTL, verb, "--help")


# ---- manual pages ---------------------------------------------------------------------------

def page(verb):
    with open(f"man/posternctl{'-' if verb else ''}{verb}.1", encoding="utf-8") as f:
        return f.read()


def page_options(text):
    """Those that have an entry, and those of the synopsis."""
    synopsis = text.partition(".Sh SYNOPSIS")[2].partition(".Sh DESCRIPTION")[0]
    entries = re.findall(r"^\.It Fl .*$", text, re.M)

    def of(text):
        return {"-" + f for f in re.findall(r"(?:Fl|\|) (?!Fl)(-?[a-zA-Z][a-z-]*)", text)}
    return of("\n".join(entries)), of(synopsis)


def test_each_verb_has_a_page():
    need_tree()
    pages = {os.path.basename(p)[:-2] for p in glob.glob("man/*.1")}
    named = {p.removeprefix("posternctl-") for p in pages if p != "posternctl"}
    assert "posternctl" in pages and verbs() <= named, verbs() - named
    assert named == verbs(), named ^ verbs()
    assert {v for v in re.findall(r"^\.It Cm ([a-z]+)$", page(""), re.M)} == named


def test_pages_have_all_options():
    need_tree()
    for path in glob.glob("man/posternctl-*.1"):
        verb = path.removeprefix("man/posternctl-").removesuffix(".1")
        entries, synopsis = page_options(page(verb))
        is_same(entries, verb)
        assert synopsis <= entries, (verb, synopsis - entries)
    entries, _ = page_options(page(""))
    assert entries == options(""), entries ^ options("")


def test_pages_are_well_formed():
    need_tree()
    if not shutil.which("mandoc"):
        tap.skip("mandoc is not installed")
    for path in glob.glob("man/*.1"):
        output("mandoc", "-T", "lint", "-W", "warning", path)
        text = output("mandoc", "-T", "utf8", path)
        assert "EXIT STATUS" in re.sub(".\b", "", text), path
        for name in re.findall(r"^\.Xr (posternctl\S*) 1", page(os.path.basename(path)[11:-2]),
                               re.M):
            assert os.path.exists(f"man/{name}.1"), (path, name)


# ---- bash -----------------------------------------------------------------------------------

BASH = r"""
set -u
. completion/posternctl.bash
compopt() { :; }
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
COMP_LINE="$*" COMP_POINT=${#COMP_LINE}
_posternctl
[ ${#COMPREPLY[@]} = 0 ] || printf '%s\n' "${COMPREPLY[@]}"
"""


def bash(*words):
    """What is offered for the last of WORDS."""
    return output("bash", "--norc", "-c", BASH, "bash", "posternctl", *words).splitlines()


def commands():
    return set(output(os.path.join(build_dir(), "postern"), "-b", "?").split())


def profiles():
    return {os.path.basename(p)[:-5] for p in glob.glob("policy/profiles/*.conf")}


def test_bash_verbs():
    need_tree()
    offered = set(bash(""))
    assert offered == verbs(), offered ^ verbs()
    assert bash("aud") == ["audit"] and set(bash("-")) == options("")


def test_bash_options():
    need_tree()
    for verb in bash(""):
        is_same(set(bash(verb, "-")), verb)
    assert bash("audit", "--de") == ["--denied"]
    assert bash("nonsense", "x") == []


def test_bash_values():
    need_tree()
    for verb in ("check", "explain", "list"):
        assert set(bash(verb, "--profile", "")) == profiles()
        assert set(bash(verb, "--profile", "=", "ku")) == {"kubevirt"}
        assert set(bash(verb, "--profile", "=")) == profiles()
    for verb in ("audit", "suggest"):
        assert set(bash(verb, "--command", "")) == commands()
    assert set(bash("call", "")) == commands() == set(bash("call", "-t", "5", "guest-"))
    assert bash("call", "-f", "Make") == ["Makefile"]
    assert bash("call", "guest-ping", "") == [] and bash("call", "-t", "") == []
    assert bash("audit", "-o", "") == ["short", "verbose", "json"]
    assert bash("explain", "guest-pi") == ["'{\"execute\":\"guest-ping\"}'"]
    assert set(bash("explain", "")) == commands()
    assert "policy/profiles/none.conf" in bash("check", "policy/profiles/n")
    assert "policy" in bash("check", "pol") and "Makefile" not in bash("check", "")
    assert bash("explain", "-f", "policy/profiles/none") == ["policy/profiles/none.conf"]
    assert "policy" in bash("check", "--policy-root", "") and \
        "Makefile" not in bash("check", "--policy-root", "")
    assert "profile:" in bash("diff", "pro") and bash("diff", "profile", ":", "ku") == ["kubevirt"]
    assert set(bash("diff", "profile", ":")) == profiles()


# ---- zsh ------------------------------------------------------------------------------------

ZSH = r"""
_arguments() { print -rl -- "$@" }
_describe() { print -rl -- ${(P)2} }
compadd() { :; }
source completion/_posternctl
eval "$1"
"""


def zsh(code):
    if not shutil.which("zsh"):
        tap.skip("zsh is not installed")
    return output("zsh", "-f", "-c", ZSH, "zsh", code).splitlines()


def specs(lines):
    """Options of the arguments to _arguments; `(-a -b)-a[...]` is one of -a."""
    found = set()
    for line in lines:
        name = re.match(r"(?:\([^)]*\)|\*)*(--?[a-zA-Z][a-z-]*)(?=\[)", line)
        if name:
            found.add(name[1])
    return found


def test_zsh_is_what_bash_is():
    need_tree()
    listed = {line.partition(":")[0] for line in zsh("_posternctl_verb")}
    assert listed == set(bash("")), listed
    assert specs(zsh("state=; words=(posternctl); _posternctl")) == options("")
    for verb in listed:
        is_same(specs(zsh(f"_posternctl_{verb}")), verb)
    assert set(zsh("print -rl -- $_posternctl_commands")) == commands()
    assert set(zsh("print -rl -- $_posternctl_profiles")) == profiles()


# A shell at a terminal of its own, in which a line is completed.
ZPTY = r"""
zmodload zsh/zpty
zpty z zsh -f -i
zpty -w z 'PS1= ; stty -echo; cd "'$PWD'"; fpath=($PWD/completion $fpath); autoload -Uz compinit'
zpty -w z 'compinit -D -u; zstyle ":completion:*" list-prompt ""; LISTMAX=1000; COLUMNS=200'
zpty -w z 'show() { print -rl -- "<<$BUFFER>>" }; zle -N show; bindkey "^X" show'
zpty -w z "print rea''dy"
zpty -m -r z out '*ready*'
zpty -n -w z "$1"$'\t'$'\x18'
zpty -r -m z out '*<<*>>*'
print -r -- $out
zpty -d z
"""


def zsh_line(line):
    """LINE after a tabulator behind it."""
    with tempfile.TemporaryDirectory() as home:
        done = subprocess.run(["zsh", "-f", "-c", ZPTY, "zsh", line], text=True, timeout=PATIENCE,
                              capture_output=True, check=False,
                              env={**os.environ, "HOME": home, "ZDOTDIR": home, "TERM": "dumb",
                                   "LC_ALL": "C.UTF-8"}, preexec_fn=guard.harmless)
    found = re.findall(r"<<(.*?)>>", done.stdout, re.S)
    assert found, done
    return found[-1]


def test_zsh_completes_a_line():
    need_tree()
    if not shutil.which("zsh"):
        tap.skip("zsh is not installed")
    for line, completed in (("posternctl sug", "posternctl suggest "),
                            ("posternctl audit --den", "posternctl audit --denied "),
                            ("posternctl check --profile kub",
                             "posternctl check --profile kubevirt "),
                            ("posternctl call guest-get-mem", "posternctl call guest-get-memory-block"),
                            ("posternctl explain -f policy/profiles/conf",
                             "posternctl explain -f policy/profiles/confidential.conf ")):
        assert zsh_line(line) == completed, (line, zsh_line(line))


tap.run(tap.tests(globals()))
