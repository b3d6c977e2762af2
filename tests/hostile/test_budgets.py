#!/usr/bin/python3
# run: limit 120
"""Each process has a budget of memory (sandbox/budget.c). Where one has less left than it needs,
at whatever point that shows, a request is answered with an error, or whoever cannot answer is
started anew; the worker lives on, and what comes next is served."""
import contextlib
import os
import resource

import programs
import scratch
import tap
from agent import PATIENCE, VARIANT, Closed, children, status, wait_until
from programs import Folder

MIB = 1 << 20
DATA = resource.RLIMIT_DATA
# Of sandbox/budget.c; an op child has the worker's.
BUDGETS = {"frontend": 40 * MIB, "inspector": 40 * MIB, "worker": 48 * MIB, "reader": 16 * MIB,
           "spawner": 24 * MIB}
# What is left of it, where there is less than is needed: pages, to some of the buffers.
ROOM = [0, 4096, 16384, 65536, 1 << 18, MIB, 3 * MIB, 6 * MIB]


def agent():
    return programs.agent(programs.policy(programs.rule(), base="legacy"))


def bounds(pid):
    """(soft, hard) of PID, in bytes or -1 where there is none."""
    with open(f"/proc/{pid}/limits", encoding="ascii") as f:
        words = next(line.split() for line in f if line.startswith("Max data size"))
    return tuple(resource.RLIM_INFINITY if w == "unlimited" else int(w) for w in words[3:5])


def bound(pid, soft):
    """Give PID that limit. Only a process of its own user may, where the test's has not all
    capabilities."""
    ids = [status(pid)[key].split()[0] for key in ("Gid", "Uid")]
    child = os.fork()
    if not child:
        with contextlib.suppress(ProcessLookupError):
            os.setresgid(*[int(ids[0])] * 3)
            os.setresuid(*[int(ids[1])] * 3)
            resource.prlimit(pid, DATA, (soft, bounds(pid)[1]))
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@contextlib.contextmanager
def short(pid, room):
    """PID can take no more than ROOM bytes meanwhile."""
    was = bounds(pid)[0]
    bound(pid, (int(status(pid)["VmData"].split()[0]) << 10) + room)
    try:
        yield
    finally:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            bound(pid, was)


# Elements of a good answer that is a list, at least: one that lacks some is no answer.
LEAST = {}


def asked(a, command, **arguments):
    """Ask with a connection of its own: "return", "error", or None if it was cut."""
    try:
        with a.client() as c:
            reply = c.call(command, PATIENCE, **arguments)
    except (Closed, ConnectionError):
        return None
    assert len(reply) == 1, reply
    if command in LEAST and "return" in reply:
        assert len(reply["return"]) >= LEAST[command], len(reply["return"])
    return next(iter(reply))


def test_each_process_has_its_budget():
    with agent() as a:
        for name, budget in BUDGETS.items():
            # The agent answers before all of them have begun.
            wait_until(lambda n=name, b=budget: bounds(a.child(n))[0] == b, f"{name}: its budget")
            got = bounds(a.child(name))
            # Nobody who is sealed can have more.
            assert name == "spawner" or got[1] == budget, (name, got)
        worker = a.child("worker")
        for pid in children(worker):
            assert bounds(pid) == (BUDGETS["worker"],) * 2


def test_a_program_has_the_limit_of_who_started_the_agent():
    with agent() as a, a.client() as c, Folder() as d:
        script = d.script("limits", "ulimit -S -d; ulimit -H -d")
        done = programs.run(c, script, capture_output=True)
        was = ["unlimited" if n == resource.RLIM_INFINITY else str(n >> 10)
               for n in resource.getrlimit(DATA)]
        assert done["out-data"].decode().split() == was, (done, was)


def sweep(name, requests, enlarge=lambda: None):
    """Ask each of REQUESTS (command, arguments), which are good, with less and less short of
    memory. An answer is a good one or an error. ENLARGE makes the answers larger than one
    that was given before, whose memory may still be there."""
    ends = []
    with agent() as a:
        worker = a.child("worker")
        for command, arguments in requests:
            assert asked(a, command, **arguments) == "return", command
        enlarge()
        for room in ROOM:
            for command, arguments in requests:
                with short(a.child(name), room):
                    ends.append(asked(a, command, **arguments))
                wait_until(lambda: asked(a, "guest-ping") == "return", "service")
                assert asked(a, "guest-get-host-name") == "return", (command, room)
        assert a.child("worker") == worker, "the worker ended"
    print(f"# {name}:", {end: ends.count(end) for end in set(ends)})
    # Who cannot answer any more is started anew; that is the frontend.
    assert name == "frontend" or None not in ends, ends
    assert "return" in ends and set(ends) - {"return"}, ends


def test_frontend():
    sweep("frontend", [("guest-info", {}), ("guest-get-fsinfo", {}),
                       ("guest-exec", {"path": "/bin/true", "arg": ["a" * 1000] * 1000})])


def test_inspector():
    """A thousand mounts are more than it has in its arena."""
    with scratch.namespaces() as top:
        def mounts():
            for n in range(1000):
                os.mkdir(f"{top}/{n}")
                scratch.bind(f"{top}/{n}", f"{top}/{n}")
            LEAST["guest-get-fsinfo"] = 1000

        try:
            sweep("inspector", [("guest-get-fsinfo", {}), ("guest-get-disks", {})], mounts)
        finally:
            LEAST.clear()


def test_worker():
    """And its op children, which have no more than it."""
    sweep("worker", [("guest-file-open", {"path": "/etc/passwd"}),
                     ("guest-exec", {"path": "/bin/true"}),
                     ("guest-exec", {"path": "/bin/true", "arg": ["a" * 1000] * 1000}),
                     ("guest-get-fsinfo", {})])


def test_spawner():
    sweep("spawner", [("guest-exec", {"path": "/bin/true"}),
                      ("guest-exec", {"path": "/bin/true", "arg": ["a" * 1000] * 1000})])


def test_reader_of_the_policy():
    """What cannot be read as a whole is not put in force."""
    many = "".join(programs.rule(f"r{n}", path=f"/usr/{n}/" + "x" * 250) for n in range(150))
    with agent() as a:
        reader = a.child("reader")
        outcomes = []
        for n, room in enumerate(ROOM):
            a.write_policy(programs.policy(programs.rule(f"other{n}"), many, base="legacy"))
            with short(reader, room):
                outcomes.append(a.ctl("reload").returncode)
            assert asked(a, "guest-get-host-name") == "return", room
        print("# reader:", outcomes)
        assert 0 in outcomes and any(outcomes), outcomes
        a.ctl("reload", status=0)


def none():
    tap.skip("sanitizers have no budget: they ask for terabytes, and end where memory is short")


tap.run([none] if VARIANT == "asan" else tap.tests(globals()), limit=60)
