#!/usr/bin/python3
"""`make run` ends well: its script, against the programs under test."""
import subprocess

import guard
import tap
from agent import build_dir


def test_the_demo_shows_door_and_guard():
    done = subprocess.run(["tests/demo", build_dir()], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False, preexec_fn=guard.harmless)
    assert done.returncode == 0, done.stdout
    for shown in ("guest-get-osinfo", "CommandNotFound", "POSTERN_DECISION", "To go on"):
        assert shown in done.stdout, (shown, done.stdout)


tap.run(tap.tests(globals()))
