"""ctl - posternctl and policies for it, for the tests of its verbs

    from ctl import ctl, policy_file

    with policy_file("[policy]\\nbase = none\\n") as f:
        done = ctl("check", f.name, status=0)      # a CompletedProcess
"""
import os
import subprocess
import tempfile

import guard
from agent import PATIENCE, build_dir

PROFILES = ("none", "confidential", "safe", "libvirt", "proxmox", "kubevirt", "openstack",
            "legacy")
GROUPS = {
    "@session": ["guest-sync", "guest-ping", "guest-info", "guest-sync-delimited"],
    "@freeze": ["guest-fsfreeze-freeze", "guest-fsfreeze-thaw", "guest-fsfreeze-status",
                "guest-fsfreeze-freeze-list"],
    "@trim": ["guest-fstrim"],
    "@power": ["guest-shutdown"],
    "@suspend": ["guest-suspend-ram", "guest-suspend-disk", "guest-suspend-hybrid"],
    "@time": ["guest-set-time"],
    "@hotplug": ["guest-set-vcpus", "guest-set-memory-blocks"],
    "@exec": ["guest-exec", "guest-exec-status"],
    "@file-read": ["guest-file-open", "guest-file-close", "guest-file-read", "guest-file-seek"],
    "@file-write": ["guest-file-open", "guest-file-close", "guest-file-seek",
                    "guest-file-write", "guest-file-flush"],
    "@password": ["guest-set-user-password"],
    "@ssh-keys": ["guest-ssh-get-authorized-keys", "guest-ssh-add-authorized-keys",
                  "guest-ssh-remove-authorized-keys"],
}


def ctl(*args, status=None):
    """Run posternctl with ARGS; it must exit with STATUS, unless that is None."""
    done = subprocess.run([os.path.join(build_dir(), "posternctl"), *args], text=True,
                          capture_output=True, timeout=PATIENCE, check=False,
                          preexec_fn=guard.harmless)
    assert status is None or done.returncode == status, (args, done)
    return done


def policy_file(text):
    """A policy file for as long as it is open."""
    f = tempfile.NamedTemporaryFile("w", suffix=".conf", encoding="utf-8")
    f.write(text)
    f.flush()
    return f


def verdicts():
    """(profile, group or command) -> allowed, cut or denied."""
    rows = {}
    with open("tests/fixtures/profiles.txt", encoding="utf-8") as f:
        for line in f:
            if line.strip() and line[0] != "#":
                profile, what, verdict = line.split()
                rows[profile, what] = verdict
    return rows
