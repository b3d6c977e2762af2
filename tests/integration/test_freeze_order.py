#!/usr/bin/python3
"""Who waits for whom at a freeze, and who is refused meanwhile (architecture: life of a
request, order). On scratch file systems."""
# run: limit 120
import contextlib
import json
import os
import time

import frost
import tap
from agent import wait_until
from frost import TELLS, WITH_HOOK, Calls, ask, hook_file, place

DISABLED = "Command {} has been disabled: {}"
FROZEN = "the agent is in frozen state"
LIST = "guest-fsfreeze-freeze-list"


# The freeze waits for the file `may`.
GATE = TELLS + """\
[ "$1" = freeze ] || exit 0
: >/run/hooks/begun
while [ ! -e /run/hooks/may ]; do sleep 0.02; done"""


def wait_begun():
    wait_until(lambda: os.path.exists("/run/hooks/begun"), "the hook to run")


def open_gate():
    with open("/run/hooks/may", "w", encoding="ascii"):
        pass


@contextlib.contextmanager
def gate(*disks, **how):
    """A freeze of the first disk that stands in its hook."""
    with frost.stage() as s:
        made = [s.disk(name) for name in disks]
        hook_file(GATE)
        with s.agent(args=WITH_HOOK, **how) as a, a.client() as c:
            ask(c, LIST, mountpoints=[d.point for d in made])
            wait_begun()
            try:
                yield s, a, Calls(c), *made
            finally:
                open_gate()


def test_proxmox_polls_behind_a_freeze():
    """Its freeze takes too long, so it syncs and polls the status: `frozen` is what it waits
    for."""
    with gate("a") as (s, agent, c, _):
        client = c.client
        begun = time.monotonic()
        assert client.sync(timeout=10) == []
        assert time.monotonic() - begun < 4
        # Other commands are refused, and do not wait.
        assert c("guest-get-osinfo") == \
            DISABLED.format("guest-get-osinfo", FROZEN)
        ask(client, "guest-fsfreeze-status")
        client.nothing(0.5)
        assert s.frozen() == set()
        open_gate()
        # The late reply of the freeze itself is dropped.
        assert json.loads(client.recv_replies(1)[0]) == {"return": "frozen"}
        assert s.frozen() == {"a"}
        assert (c.status(), c.thaw()) == ("frozen", 1)
        record = agent.wait_record(lambda r: r.get("POSTERN_COMMAND") == LIST
                                   and r["POSTERN_EVENT"] == "complete")
        assert (record["POSTERN_RESULT"], record["POSTERN_ABANDONED"]) == ("ok", True), record


def test_thaw_behind_a_freeze_waits_its_turn():
    with gate("a") as (s, _, c, _):
        client = c.client
        assert client.sync(timeout=10) == []
        ask(client, "guest-fsfreeze-thaw")
        client.nothing(0.5)
        open_gate()
        assert json.loads(client.recv_replies(1)[0]) == {"return": 1}
        assert (c.status(), s.frozen()) == ("thawed", set())


def test_second_freeze_meanwhile():
    with gate("a", "b") as (s, _, c, _, b):
        client = c.client
        assert client.sync(timeout=10) == []
        assert c.freeze(b.point) == DISABLED.format(LIST, FROZEN)
        # A status that nobody waits for any more is forgotten; a thaw is not.
        ask(client, "guest-fsfreeze-status")
        assert client.sync(timeout=10) == []
        open_gate()
        assert (c.status(), s.frozen(), c.thaw()) == ("frozen", {"a", "b"}, 2)


def test_client_leaves_while_it_freezes():
    """What it asked for is done all the same; the next one finds it."""
    with gate("a") as (s, agent, c, _):
        c.client.close()
        with agent.client() as client:
            client.sync()
            ask(client, "guest-fsfreeze-status")
            client.nothing(0.3)
            open_gate()
            assert json.loads(client.recv_replies(1)[0]) == {"return": "frozen"}
            assert (s.frozen(), Calls(client).thaw()) == ({"a"}, 1)


def test_thaw_is_done_though_its_client_leaves():
    with gate("a") as (s, agent, c, _):
        client = c.client
        assert client.sync(timeout=10) == []
        ask(client, "guest-fsfreeze-thaw")
        client.nothing(0.3)
        client.close()
        open_gate()
        agent.wait_record(lambda r: r.get("POSTERN_EVENT") == "thaw")
        assert s.frozen() == set()


def test_many_wait():
    """As many as there are slots, and one more, is answered or refused; nobody hangs."""
    with gate("a") as (_, _, c, _):
        client = c.client
        assert client.sync(timeout=10) == []
        for n in range(40):
            client.send(b'{"execute":"guest-fsfreeze-status","id":%d}' % n)
        client.nothing(0.3)
        open_gate()
        got = [json.loads(line) for line in client.recv_replies(40)]
        assert [r["id"] for r in got] == list(range(40)), got
        assert {r.get("return") for r in got} == {"frozen"}, got
        assert Calls(client).thaw() == 1


def test_paused_worker():
    """While the worker itself stands (it never does), sync and ping are answered."""
    with place("a") as (s, _, c, a):
        client = c.client
        s.state.pause("FIRST")
        ask(client, LIST, mountpoints=[a.point])
        s.state.wait_paused("FIRST")
        assert client.sync(timeout=10) == []
        assert client.call("guest-ping") == {"return": {}}
        ask(client, "guest-fsfreeze-status")
        client.nothing(0.3)
        s.state.release()
        assert json.loads(client.recv_replies(1)[0]) == {"return": "frozen"}
        assert (s.frozen(), c.thaw()) == ({"a"}, 1)


def test_status_while_it_thaws():
    with place("a") as (s, _, c, a):
        assert c.freeze(a.point) == 1
        client = c.client
        s.state.pause("BEGUN")
        ask(client, "guest-fsfreeze-thaw")
        s.state.wait_paused("BEGUN")
        assert client.sync(timeout=10) == []
        ask(client, "guest-fsfreeze-status")
        client.nothing(0.3)
        s.state.release()
        assert json.loads(client.recv_replies(1)[0]) == {"return": "thawed"}
        assert s.frozen() == set()


tap.run(frost.tests(globals()), limit=30)
