#!/usr/bin/python3
"""The benchmark measures and tells: the cheap figures of it, quickly. No speed is looked at."""
# run: limit 90
import json
import os
import subprocess
import tempfile
import xml.etree.ElementTree as tree

import guard
import tap
from agent import PATIENCE, VARIANT, build_dir
from reference import PROGRAM

ASKED = ("pipelined", "guest-sync", "start", "decision", "CPU time")
FIGURES = {"guest-sync": {"qemu-ga", "Postern", "echo, one process", "echo, two processes"},
           "1,000 pipelined pings": {"qemu-ga", "Postern"},
           "start to first reply": {"qemu-ga", "Postern"},
           "CPU time of a million pings": {"qemu-ga", "Postern"},
           "decision against 1,000 rules": {"Postern"}}


def bench(folder, *names, **env):
    return subprocess.run(["bench/run", "--quick", "--rounds", "1", "--out", folder, *names],
                          text=True, capture_output=True, timeout=4 * PATIENCE, check=False,
                          env={**os.environ, **env}, preexec_fn=guard.harmless)


def need_programs():
    if VARIANT == "asan":
        tap.skip("what a sanitizer slows down is not measured")
    if PROGRAM is None:
        tap.skip("qemu-ga is not installed: nothing to compare with")
    assert os.path.exists(f"{build_dir()}/bench/client"), "make bench-release"


def test_figures_are_measured_and_told():
    need_programs()
    with tempfile.TemporaryDirectory(prefix="postern-test-") as folder:
        done = bench(folder, *ASKED)
        assert done.returncode == 0, done.stdout + done.stderr
        with open(f"{folder}/results.json", encoding="utf-8") as f:
            told = json.load(f)
        with open(f"{folder}/results.md", encoding="utf-8") as f:
            text = f.read()
        chart = tree.parse(f"{folder}/chart.svg").getroot()
    check_figures(told)
    lines = [line for line in text.splitlines() if line.startswith("|")]
    for name in FIGURES:
        assert any(line.startswith(f"| {name} |") for line in lines), (name, text)
        if "decision" not in name:
            assert name in "".join(chart.itertext()), name
    assert text in done.stdout and "0 skipped, 0 not measured" in done.stdout, done.stdout


def check_figures(told):
    found = {f["name"]: f for f in told["figures"]}
    assert found.keys() == FIGURES.keys(), found.keys()
    for name, subjects in FIGURES.items():
        assert found[name]["subjects"].keys() == subjects, name
        for subject in found[name]["subjects"].values():
            assert 0 < subject["best"] <= subject["median"] <= subject["p99"], (name, subject)
        assert all(one["ratio"] > 0 and one["met"] in (True, False, None)
                   for one in found[name]["compared"]), name
    assert told["growth"][0]["name"] == "a decision, by rules" and told["machine"]["qemu-ga"], told


def test_unknown_names_are_refused():
    done = bench("/nonexistent", "no such figure")
    assert done.returncode == 1 and "no such figure" in done.stderr, done


def test_what_cannot_be_measured_is_said():
    """Without the programs to measure with."""
    need_programs()
    with tempfile.TemporaryDirectory(prefix="postern-test-") as folder:
        done = bench(folder, "decision", POSTERN_BUILD=folder)
        assert os.path.exists(f"{folder}/results.json"), done
    assert done.returncode == 1 and "NOT MEASURED: decision" in done.stderr, done
    assert "2 not measured" in done.stdout, done


tap.run(tap.tests(globals()))
