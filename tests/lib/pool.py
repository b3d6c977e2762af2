"""pool - many cases in some processes at the same time, as one TAP program

    import pool

    @contextlib.contextmanager
    def place(number):              # in each process, once
        ...
        yield function              # called with each case; an exception is a failure

    pool.run([("name of a case", case), ...], place)

A case has `limit` seconds, of which it is told by tap.TimeLimit. A process that does not
come back soon after is lost: on_lost(number) is called, in the process that called run,
to free it of what it may wait for; it is killed, with all it started, and another takes
its place. Cases are begun in the order given; the lines come as they end.
"""
import io
import json
import os
import select
import signal
import socket
import sys
import time
import traceback

import tap
from agent import descendants

# After the limit, for a case to clean up.
GRACE = 20


def _expired(_signum, _frame):
    raise tap.TimeLimit("time limit of one case")


def _one(function, case, limit):
    """(word, text): "ok", "skip" with why, "fail" with a traceback."""
    signal.signal(signal.SIGALRM, _expired)
    signal.alarm(limit)
    try:
        function(case)
        return "ok", ""
    except tap.Skip as why:
        return "skip", str(why)
    except Exception:  # pylint: disable=broad-except # a case may fail in any way
        return "fail", traceback.format_exc()
    finally:
        signal.alarm(0)


def _serve(sock, number, cases, place, limit):
    """In a process of the pool: numbers of cases come, results go."""
    said = sys.stdout = io.StringIO()
    with sock, sock.makefile("rw") as wire, place(number) as function:
        for line in wire:
            word, text = _one(function, cases[int(line)][1], limit)
            json.dump([word, said.getvalue() + text], wire)
            wire.write("\n")
            wire.flush()
            said.seek(0)
            said.truncate()


class _Process:
    """One of the pool, as the parent sees it."""

    numbers = iter(range(1 << 30))

    def __init__(self, others, cases, place, limit):
        self.number = next(self.numbers)
        self.case = None
        self.until = None
        self.sock, theirs = socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                self.sock.close()
                for other in others:
                    other.wire.close()
                    other.sock.close()
                _serve(theirs, self.number, cases, place, limit)
                status = 0
            except BaseException:  # pylint: disable=broad-except # it must not go on
                traceback.print_exc(file=sys.stderr)
            finally:
                os._exit(status)
        theirs.close()
        self.wire = self.sock.makefile("rw")

    def begin(self, case, seconds):
        self.case = case
        self.until = time.monotonic() + seconds
        self.wire.write(f"{case}\n")
        self.wire.flush()

    def result(self):
        """None: it is gone."""
        line = self.wire.readline()
        return json.loads(line) if line else None

    def end(self):
        self.wire.close()
        self.sock.close()
        os.waitpid(self.pid, 0)

    def kill(self):
        for pid in [self.pid, *descendants(self.pid)]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.end()


def _tell(number, name, word, text):
    for line in text.rstrip().splitlines():
        if word == "fail":
            print(f"# {line[:2000]}")
    print(f"{'not ok' if word == 'fail' else 'ok'} {number} - {name}"
          + (f" # SKIP {text}" if word == "skip" else ""), flush=True)
    return word != "fail"


class _Pool:
    def __init__(self, cases, place, limit, on_lost):
        self.cases, self.limit, self.on_lost = cases, limit, on_lost
        self.waiting = iter(range(len(cases)))
        self.processes = []
        self.told = 0
        self.good = True
        self.new = lambda: _Process(self.processes, cases, place, limit)

    def _next(self, process):
        """The next case; without one the process ends."""
        process.case = next(self.waiting, None)
        if process.case is not None:
            process.begin(process.case, self.limit + GRACE)
        else:
            self.processes.remove(process)
            process.end()

    def _told(self, process, word, text):
        self.told += 1
        self.good &= _tell(self.told, self.cases[process.case][0], word, text)

    def _lost(self, process, why):
        self._told(process, "fail", why)
        self.on_lost(process.number)
        self.processes.remove(process)
        process.kill()
        self.processes.append(self.new())
        self._next(self.processes[-1])

    def _turn(self):
        ready, _, _ = select.select([p.sock for p in self.processes], [], [], 1)
        for process in list(self.processes):
            if process.sock in ready:
                result = process.result()
                if result:
                    self._told(process, *result)
                    self._next(process)
                else:
                    self._lost(process, "its process ended")
            elif time.monotonic() > process.until:
                self._lost(process, "its process did not come back")

    def run(self, size):
        print(f"1..{len(self.cases)}", flush=True)
        for _ in range(min(size, len(self.cases))):
            self.processes.append(self.new())
        for process in list(self.processes):
            self._next(process)
        while self.processes:
            self._turn()
        return self.good


def run(cases, place, size=8, limit=25, on_lost=lambda number: None):
    """True if none failed."""
    return _Pool(cases, place, limit, on_lost).run(size)
