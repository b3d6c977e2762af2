#!/usr/bin/python3
"""Commands that change something, with arguments that are impossible: the errors of the
installed qemu-ga and ours have the same class, and the same text but where a row says why
not. Neither can change anything here (guard.py): what is possible fails in both as well.
"""
# pylint: disable=missing-function-docstring
import os

import tap
from agent import Agent
from reference import Reference

MAX, MIN = 2 ** 63 - 1, -2 ** 63
SAME = None
NO_HWCLOCK = "qemu-ga 7.2 looks for hwclock first, and says no more if there is none"
NO_TEXT = "ours says why"
MASKED = "the guard's stub, and ours goes on to reboot(2) by the rule's force"

PASSWORD = {"username": "no-such-user", "password": "YQ==", "crypted": False}
KEYS = {"username": "no-such-user", "keys": ["ssh-rsa AAAA"]}


def password(**more):
    return "guest-set-user-password", {**PASSWORD, **more}


def without(arguments, name):
    return {k: v for k, v in arguments.items() if k != name}


def vcpus(*entries):
    return "guest-set-vcpus", {"vcpus": list(entries)}


def blocks(*entries):
    return "guest-set-memory-blocks", {"mem-blks": list(entries)}


# A request and why its text differs.
CASES = [
    (password(), NO_TEXT),
    (password(username=""), NO_TEXT),
    (password(username="a:b"), SAME),
    (password(username="a\nb"), SAME),
    (password(password="YQpi"), SAME),
    (password(password="YQpi", crypted=True), "ours says which kind of password"),
    (password(password="YQpi", username="a:b"), SAME),
    (password(password="**"), SAME),
    (password(password="YQ== "), SAME),
    (password(password=1), SAME),
    (password(crypted="yes"), SAME),
    (password(crypted=None), SAME),
    (password(username=["root"]), SAME),
    (password(surplus=1), SAME),
    (("guest-set-user-password", {}), SAME),
    (("guest-set-user-password", without(PASSWORD, "crypted")), SAME),
    (("guest-set-user-password", without(PASSWORD, "password")), SAME),
    (("guest-ssh-get-authorized-keys", {"username": "no-such-user"}), SAME),
    (("guest-ssh-get-authorized-keys", {}), SAME),
    (("guest-ssh-get-authorized-keys", {"username": 0}), SAME),
    (("guest-ssh-add-authorized-keys", KEYS), SAME),
    (("guest-ssh-add-authorized-keys", {**KEYS, "keys": []}), SAME),
    (("guest-ssh-add-authorized-keys", {**KEYS, "keys": ["#x"]}), SAME),
    (("guest-ssh-add-authorized-keys", {**KEYS, "keys": ["ssh-rsa A", "a\nb"]}), SAME),
    (("guest-ssh-add-authorized-keys", {**KEYS, "keys": [1]}), SAME),
    (("guest-ssh-add-authorized-keys", {**KEYS, "keys": "ssh-rsa A"}), SAME),
    (("guest-ssh-add-authorized-keys", {**KEYS, "reset": "no"}), SAME),
    (("guest-ssh-add-authorized-keys", without(KEYS, "keys")), SAME),
    (("guest-ssh-remove-authorized-keys", KEYS), SAME),
    (("guest-ssh-remove-authorized-keys", {**KEYS, "keys": ["#x"]}), SAME),
    (("guest-ssh-remove-authorized-keys", {**KEYS, "reset": True}), SAME),
    (("guest-set-time", {"time": "now"}), SAME),
    (("guest-set-time", {"time": 1.5}), SAME),
    (("guest-set-time", {"time": None}), SAME),
    (("guest-set-time", {"time": 2 ** 63}), SAME),
    (("guest-set-time", {"time": -1}), NO_HWCLOCK),
    (("guest-set-time", {"time": MIN}), NO_HWCLOCK),
    (("guest-set-time", {"time": MAX}), NO_HWCLOCK),
    (("guest-set-time", {"time": 3155760000 * 10 ** 9}), NO_HWCLOCK),
    (("guest-set-time", {"time": 10 ** 18}), NO_HWCLOCK),
    (vcpus({"logical-id": 9999, "online": True}), SAME),
    (vcpus({"logical-id": 9999, "online": False}, {"logical-id": 0, "online": True}), SAME),
    (vcpus({"logical-id": -1, "online": True}), SAME),
    (vcpus({"logical-id": MAX, "online": False}), SAME),
    (vcpus({"logical-id": MIN, "online": False}), SAME),
    (vcpus({"logical-id": 1, "online": False}), SAME),
    (vcpus({"logical-id": 0}), SAME),
    (vcpus({"online": True}), SAME),
    (vcpus({"logical-id": 0, "online": 1}), SAME),
    (vcpus({"logical-id": 0, "online": True, "more": 1}), SAME),
    (vcpus(1), SAME),
    (("guest-set-vcpus", {}), SAME),
    (blocks({"phys-index": 0}), SAME),
    (blocks({"online": True}), SAME),
    (blocks({"phys-index": "0", "online": True}), SAME),
    (("guest-set-memory-blocks", {}), SAME),
    (("guest-shutdown", {"mode": "sleep"}), SAME),
    (("guest-shutdown", {"mode": ""}), SAME),
    (("guest-shutdown", {"mode": "POWERDOWN"}), SAME),
    (("guest-shutdown", {"mode": 1}), SAME),
    (("guest-shutdown", {"mode": "halt", "more": 1}), SAME),
    (("guest-suspend-ram", {"mode": "x"}), SAME),
    (("guest-suspend-disk", {"mode": "x"}), SAME),
    (("guest-suspend-hybrid", {"mode": "x"}), SAME),
    *(((("guest-shutdown", {"mode": mode})), MASKED) for mode in ("powerdown", "halt", "reboot")),
]

# Not errors, but answers that say what failed.
ANSWERS = [
    vcpus(),
    vcpus({"logical-id": 0, "online": True}, {"logical-id": 9999, "online": True}),
    vcpus({"logical-id": 0, "online": True, "can-offline": True}),
    blocks(),
    blocks({"phys-index": 99999, "online": True}, {"phys-index": -1, "online": False},
           {"phys-index": 2 ** 64 - 1, "online": True}, {"phys-index": MAX, "online": True}),
    blocks({"phys-index": 0, "online": True}, {"phys-index": 0, "online": True}),
]


def test_errors():
    if os.geteuid() != 0:
        tap.skip("needs root: these commands fail for lack of it otherwise")
    bad = []
    with Reference() as reference, Agent(profile="legacy") as a, a.client() as ours:
        for (command, arguments), why in CASES:
            theirs, mine = (c.call(command, **arguments).get("error")
                            for c in (reference, ours))
            same = theirs == mine if why is SAME else \
                theirs and mine and theirs["class"] == mine["class"]
            stale = why not in (SAME, NO_HWCLOCK) and theirs == mine
            if not same or not theirs or stale:
                bad.append(f"{command} {arguments}: {theirs} but ours {mine}")
    assert not bad, "\n" + "\n".join(bad)


def test_answers():
    if os.geteuid() != 0:
        tap.skip("needs root: these commands fail for lack of it otherwise")
    bad = []
    with Reference() as reference, Agent(profile="legacy") as a, a.client() as ours:
        for command, arguments in ANSWERS:
            theirs, mine = (c.call(command, **arguments) for c in (reference, ours))
            if theirs != mine or "return" not in theirs:
                bad.append(f"{command} {arguments}: {theirs} but ours {mine}")
    assert not bad, "\n" + "\n".join(bad)


def can_suspend():
    try:
        with open("/sys/power/state", encoding="ascii") as f:
            return bool({"mem", "disk"} & set(f.read().split()))
    except FileNotFoundError:
        return False


def test_suspend_answers():
    """What qemu-ga says nothing to (protocol 5.6) is an error of ours."""
    if can_suspend():
        tap.skip("this machine can suspend")
    with Agent(profile="legacy") as a, a.client() as c:
        for mode in ("disk", "ram", "hybrid"):
            error = c.call(f"guest-suspend-{mode}")["error"]
            assert error["class"] == "CommandNotFound", error
            assert error["desc"].startswith(
                f"Command guest-suspend-{mode} has been disabled: "), error


tap.run(tap.tests(globals()))
