"""stages - how the figures are taken

A stage is a function of the run (Run in bench/run) and of the figures and growths that it is to
take; it hands each sample to run.add(). The subjects of a figure take turns: A B A B.
"""
import contextlib
import os
import select
import socket
import subprocess
import time

import agent
import gauge
import scratch
import subjects
from figures import BOTH, MIB, OUTPUT, SIZE, request
from journald import Journald
from subjects import PING, Postern

SETTLE = 0.3  # seconds from the last reply until the memory is looked at


def started(stack, run, kinds, cpu):
    """Each of KINDS once, running until STACK ends."""
    return {kind: stack.enter_context(kind(run.place, cpu=cpu)) for kind in kinds}


def kinds_of(figures):
    """In the order in which they take turns."""
    return list(dict.fromkeys(kind for f in figures for kind in f.subjects))


def turns(run, figures, cpu):
    with contextlib.ExitStack() as stack:
        running = started(stack, run, kinds_of(figures), cpu)
        for number in run.rounds():
            for figure in figures:
                run.say(f"round {number}: {figure.name}")
                one_turn(run, figure, running)


def one_turn(run, figure, running, size=None):
    """Each subject once; what has failed before is left out."""
    if figure.name in run.failed:
        return
    arguments = [run.files.get(a, a) for a in figure.client]
    if arguments[0] not in ("read", "write"):  # a sample is one file
        arguments.append(run.samples(figure))
    with run.attempt([figure]):
        for kind in figure.subjects:
            run.add(figure, kind, running[kind].client(*arguments), size)


def pinned(run, figures, _growths):
    turns(run, figures, run.cpu)


def free(run, figures, _growths):
    turns(run, figures, None)


def start(run, figures, _growths):
    for figure in figures:
        ready = [kind(run.place) for kind in figure.subjects]
        for _ in run.rounds():
            for _ in range(run.samples(figure)):
                for subject in ready:
                    run.add(figure, type(subject), subject.time_of_start())


def cpu(run, figures, _growths):
    """Samples are scaled to a million."""
    with contextlib.ExitStack() as stack:
        running = started(stack, run, BOTH, run.cpu)
        for _ in run.rounds():
            for figure in figures:
                for kind, subject in running.items():
                    run.add(figure, kind, [cpu_of_a_million(subject, run.samples(figure))])


def cpu_of_a_million(subject, count):
    before = subject.cpu_ns()
    took = subject.client("latency", PING, count)
    asked = len(took) + min(count // 10, 100)  # the client warms up
    return (subject.cpu_ns() - before) * 1000000 // asked


# ---- memory --------------------------------------------------------------------------------

def memory(run, figures, _growths):
    """One at a time: nothing else of either runs, so nothing is shared with it."""
    if os.geteuid() != 0:
        run.skip(figures, "needs root, to see what processes share")
        return
    run.others = others()
    names = {f.name: f for f in figures}
    fresh, after = names.get("PSS, fresh"), names.get("PSS, after the run")
    for _ in range(3 if run.quick else 10) if fresh else ():
        for kind in BOTH:
            with kind(run.place) as subject:
                time.sleep(SETTLE)
                run.add(fresh, kind, [subject.pss()])
    for _ in range(1 if run.quick else 2) if after else ():
        for kind in BOTH:
            with kind(run.place) as subject:
                everything(run, subject)
                time.sleep(SETTLE)
                run.add(after, kind, [subject.pss()])


def others():
    """Pids of agents that are not ours: what they share with ours makes its PSS smaller."""
    ours = agent.descendants(os.getpid())
    return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc")))
            if pid not in ours and agent.comm(pid) in ("postern", "qemu-ga")]


def everything(run, subject):
    """Each request of the benchmark, the large ones too."""
    subject.client("latency", PING, 1000)
    subject.client("pipeline", PING, 1000, 5)
    for command in ("guest-info", "guest-get-osinfo", "guest-get-vcpus",
                    "guest-network-get-interfaces", "guest-get-fsinfo"):
        subject.client("latency", request(command), 20)
    for chunk in (64 << 10, 8 * MIB):
        subject.client("read", run.files["{file}"], chunk)
        subject.client("write", run.files["{written}"], SIZE // 4, chunk)
    subject.client("exec", 20)
    subject.client("output", OUTPUT, 1)


def members(count):
    return b"{" + b",".join(b'"%08x":1' % n for n in range(count)) + b"}\n"


def ping_with(argument):
    return b'{"execute":"guest-ping","arguments":{%s}}\n' % argument


# What has many small values stays within the two million tokens that qemu-ga takes: beyond, each
# token is a mistake of its own, and answering all of them takes minutes and no memory.
# No member that holds bulk data (buf-b64, input-data) is among them.
HOSTILE = (
    ("1 MiB of [", lambda: b"[" * MIB + b"\n"),
    ("65,000 objects", lambda: ping_with(b'"x":[' + b"{}," * 43000 + b"{}]") * 4),
    ("a million numbers", lambda: b"[" + b"1," * 1000000 + b"1]\n"),
    ("340,000 objects", lambda: b"[" + b"{}," * 340000 + b"{}]\n"),
    ("200,000 members", lambda: members(200000)),
    ("3 strings of 1 MiB", lambda: ping_with(
        b",".join(b'"%d":"%s"' % (n, b"a" * (MIB - 9)) for n in range(3))) * 4),
    ("a string of 64 MiB", lambda: b'{"execute":"guest-ping","id":"' + b"a" * (64 * MIB) + b'"}\n'),
    ("a string of 60 MiB in an unknown member",
     lambda: ping_with(b'"x":"' + b"a" * (60 * MIB) + b'"')),
    ("a string of 60 MiB without end", lambda: b'{"execute":"' + b"a" * (60 * MIB)),
)
HOSTILE_QUICK = 3


def hostile(run, figures, _growths):
    """Each input for a fresh subject; the figure is the worst of them."""
    for figure in figures:
        for name, make in HOSTILE[:HOSTILE_QUICK] if run.quick else HOSTILE:
            data = make()
            for kind in BOTH:
                run.say(f"{name}: {kind.name}")
                peak = peak_of(run, kind, data)
                run.add(figure, kind, [peak])
                run.note(figure, name, kind, peak)


def peak_of(run, kind, data):
    def make(prepare):
        return kind(run.place, prepare=prepare)

    with gauge.measured(make=make) as (subject, meter):
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(subject.path)
            s.setblocking(False)
            flood(s, data)
        return meter.peak()


RESET = b'\xff{"execute":"guest-sync-delimited","arguments":{"id":4711}}\n'
MARK = b'\xff{"return": 4711}\n'


def flood(sock, data):
    """Send DATA, whatever comes back, and start over, until that is answered."""
    view, rest, end = memoryview(data + RESET), b"", time.monotonic() + subjects.PATIENCE
    while view or not rest.endswith(MARK):
        assert time.monotonic() < end, f"{len(view)} bytes left"
        r, w, _ = select.select([sock], [sock] if view else [], [], 1)
        if r:
            piece = sock.recv(MIB)
            assert piece, "it hung up"
            rest = (rest + piece)[-len(MARK):]
        if w:
            view = view[sock.send(view[:MIB]):]


# ---- many ----------------------------------------------------------------------------------

def at_sizes(run, figures, growths, more):
    """MORE(FROM, TO) makes so many more things; both subjects see them come."""
    with contextlib.ExitStack() as stack:
        running = started(stack, run, BOTH, run.cpu)
        for growth in growths:
            there = 0
            for size in growth.sizes:
                run.say(f"{growth.name}: {size}")
                more(there, size)
                there = size
                for _ in run.rounds():
                    one_turn(run, growth, running, size)
    # The figure is what the growth ends with.
    for figure in figures:
        for kind in figure.subjects:
            run.add(figure, kind, run.taken(growths[0], kind, growths[0].sizes[-1]))


def mounts(run, figures, growths):
    with scratch.namespaces() as top:
        path = scratch.image(top, "many", 64 << 20)
        scratch.mkfs("ext4", path)
        with scratch.Loop(path) as loop:
            point = scratch.mount(loop.node, f"{top}/many", "ext4")
        at_sizes(run, figures, growths,
                 lambda a, b: scratch.bind_many(point, range(a, b)))


def links(run, figures, growths):
    with scratch.namespaces():
        at_sizes(run, figures, growths,
                 lambda a, b: scratch.add_pairs(range(a // 2, b // 2)) if b > a else None)


def messages(run, _figures, growths):
    with contextlib.ExitStack() as stack:
        running = started(stack, run, BOTH, run.cpu)
        for growth in growths:
            for size in growth.sizes:
                head, tail = b'{"execute":"guest-ping","id":"', b'"}\n'
                with open(run.files["{request}"], "wb") as f:
                    f.write(head + b"a" * (size - len(head) - len(tail)) + tail)
                for _ in run.rounds():
                    one_turn(run, growth, running, size)


def decide(run, figures, growths):
    """The worst kind of request is the figure."""
    for growth in growths:
        for size in growth.sizes:
            found = decisions(run, size, run.samples(growth))
            name, worst = max(found.items(), key=lambda item: sorted(item[1])[len(item[1]) // 2])
            run.add(growth, Postern, worst, size)
            for figure in figures if size == growth.sizes[-1] else ():
                run.add(figure, Postern, worst)
                for other, samples in found.items():
                    run.note(figure, other + (", the worst" if other == name else ""), Postern,
                             sorted(samples)[len(samples) // 2])


def decisions(run, rules, count):
    """Kind of request -> samples."""
    done = subprocess.run([subjects.program("decide"), str(rules), str(count)], text=True,
                          check=True, stdout=subprocess.PIPE, preexec_fn=run.on_one_cpu)
    found = {}
    for line in done.stdout.splitlines():
        name, ns = line.split()
        found.setdefault(name, []).append(int(ns))
    return found


# ---- records -------------------------------------------------------------------------------

def audit(run, figures, _growths):
    """Two of Postern; the journal's own work is done on another CPU, if there is one."""
    others = os.sched_getaffinity(0) - {run.cpu} or {run.cpu}
    with scratch.namespaces(), Journald() as journal:
        os.sched_setaffinity(journal.process.pid, others)
        turns(run, figures, run.cpu)
        assert journal.records(), "nothing has come to the journal"


# In the order in which they are run. Those of memory come first, on a machine that is quiet.
STAGES = {"memory": memory, "start": start, "pinned": pinned, "cpu": cpu, "free": free,
          "messages": messages, "decide": decide, "audit": audit, "mounts": mounts,
          "links": links, "hostile": hostile}
