"""tap - run a list of functions as a TAP program

    import tap

    def test_ping_is_answered():
        ...                      # an exception is a failure, its traceback is shown

    def test_needs_a_loop_device():
        raise tap.Skip("no loop devices here")      # or tap.skip("...")

    tap.run(tap.tests(globals()))

A test is a function, or a pair (name, function) where one function serves many cases.
Its name on the TAP line is the function's, without `test_` and with blanks.

Each test has `limit` seconds (default 30); then it fails with a traceback of where it
hung and the next one runs. tests/run limits the whole program from outside. It reads
four markers from the first 30 lines of a test's source (Python or C):

    # run: alone        nothing else runs meanwhile
    # run: limit 120    seconds for the whole program (default 60)
    # run: admin        in C: root keeps CAP_SYS_ADMIN (guard.py says why not)
    # run: floor 300    of a fuzz target: the edges that it reaches at least

Environment that tests/run sets, for tests to read:

    POSTERN_BUILD     folder of the programs, e.g. build/release; the same programs with
                      test operations are in POSTERN_BUILD-testops
    POSTERN_VARIANT   release or asan: under asan, leave out memory figures
    POSTERN_ONCE      set in one of the configurations only: for what does not depend
                      on the build or on the user
    POSTERN_ONLY      the test of that name is run, and no other (in C, too: only.c)
    POSTERN_PATIENCE  seconds to wait for what must come (agent.py), where it is known that
                      something does not: tests/protections.py
"""
import os
import signal
import sys
import traceback


class Skip(Exception):
    """This test cannot run here; the message says why."""


class TimeLimit(Exception):
    """The test did not end in its time."""


def skip(why):
    raise Skip(why)


def tests(namespace):
    """The functions named test_* of a module, in the order of their definition."""
    return [f for name, f in namespace.items() if name.startswith("test_") and callable(f)]


def _expired(_signum, _frame):
    raise TimeLimit("time limit of one test")


def _pair(test):
    if isinstance(test, tuple):
        return test
    return test.__name__.removeprefix("test_").replace("_", " "), test


def _one(number, name, function, limit):
    signal.signal(signal.SIGALRM, _expired)
    signal.alarm(limit)
    try:
        function()
        print(f"ok {number} - {name}", flush=True)
        return True
    except Skip as why:
        print(f"ok {number} - {name} # SKIP {why}", flush=True)
        return True
    except Exception:  # pylint: disable=broad-except # a test may fail in any way
        signal.alarm(0)
        for line in traceback.format_exc().rstrip().splitlines():
            print(f"# {line[:2000]}")
        print(f"not ok {number} - {name}", flush=True)
        return False
    finally:
        signal.alarm(0)


def run(todo, limit=30):
    """Run TODO in order, print TAP, exit: 0 if all passed or were skipped, else 1."""
    only = os.environ.get("POSTERN_ONLY")
    pairs = [p for p in map(_pair, todo) if only in (None, p[0])]
    print(f"1..{len(pairs)}", flush=True)
    good = [_one(n, name, f, limit) for n, (name, f) in enumerate(pairs, 1)]
    sys.exit(0 if all(good) else 1)
