"""figures - what is measured, and which bar it is held to: const tables

A figure is measured by the stage it names (stages.py); the client's arguments are those of
bench/client.c, with files of Run.files in braces. Samples are nanoseconds or bytes; `unit` says
how they are shown.
"""
import collections

import subjects
from subjects import OneProcess, Postern, QemuGa, ToJournal, TwoProcesses

MIB = 1 << 20
SIZE = 64 * MIB  # of the file that is read and written
OUTPUT = 8 * MIB
PIPELINED = 1000
CHUNKS = ((4096, "4 KiB"), (64 << 10, "64 KiB"), (MIB, "1 MiB"), (8 * MIB, "8 MiB"))
RULES = 1000

# How a sample is shown; whether more is better.
Unit = collections.namedtuple("Unit", "name of more", defaults=(False,))
US = Unit("µs", lambda ns: ns / 1e3)
MS = Unit("ms", lambda ns: ns / 1e6)
SECONDS = Unit("s", lambda ns: ns / 1e9)
RATE = Unit("MiB/s", lambda ns: SIZE / MIB / (ns / 1e9), True)
MEMORY = Unit("MiB", lambda size: size / MIB)

# A comparison of the first subject with AGAINST: the ratio of the medians, and the bar that it is
# held to (None: none). Against nothing, the bar is one for the figure itself.
Bar = collections.namedtuple("Bar", "against ratio")

Figure = collections.namedtuple("Figure", "name unit stage subjects client samples bars")

BOTH = (QemuGa, Postern)
FLOORS = (QemuGa, Postern, OneProcess, TwoProcesses)


def figure(name, unit, stage, *bars, client=None, samples=1, of=BOTH):
    """SAMPLES: in a round. A bar without subject is one against qemu-ga."""
    bars = [b if isinstance(b, Bar) else Bar(QemuGa, b) for b in bars or (None,)]
    return Figure(name, unit, stage, of, client, samples, bars)


def request(command):
    return f'{{"execute":"{command}"}}'


SYNC = '{"execute":"guest-sync","arguments":{"id":1234567}}'


def latency(command, bar, samples):
    return figure(command, US, "pinned", bar, client=("latency", request(command)),
                  samples=samples)


FIGURES = (
    *(figure(name, US, "pinned", 0.6, Bar(OneProcess, 1.3), Bar(TwoProcesses, None),
             client=("latency", text), samples=2000, of=FLOORS)
      for name, text in (("guest-ping", subjects.PING), ("guest-sync", SYNC))),
    figure("guest-ping, on any CPU", US, "free", None, Bar(OneProcess, None),
           Bar(TwoProcesses, None), client=("latency", subjects.PING), samples=1000, of=FLOORS),
    latency("guest-info", 0.3, 400),
    latency("guest-get-osinfo", 1.2, 500),
    latency("guest-get-vcpus", 1.0, 500),
    latency("guest-network-get-interfaces", 0.75, 300),
    latency("guest-get-fsinfo", 0.75, 200),
    figure("1,000 pipelined pings", MS, "pinned", 0.2,
           client=("pipeline", subjects.PING, PIPELINED), samples=20),
    *(figure(f"file read, {text} chunks", RATE, "free", None if chunk == 4096 else 8,
             client=("read", "{file}", chunk)) for chunk, text in CHUNKS),
    *(figure(f"file write, {text} chunks", RATE, "free", None if chunk == 4096 else 10,
             client=("write", "{written}", SIZE, chunk)) for chunk, text in CHUNKS),
    figure("guest-exec of /bin/true, to status", MS, "free", 0.7, client=("exec",), samples=40),
    figure("guest-exec with 8 MiB output", MS, "free", client=("output", OUTPUT), samples=3),
    figure("start to first reply", MS, "start", 0.8, samples=4),
    figure("PSS, fresh", MEMORY, "memory", 1.0),
    figure("PSS, after the run", MEMORY, "memory", 0.5),
    figure("peak memory, hostile input", MEMORY, "hostile", 0.25),
    figure("CPU time of a million pings", SECONDS, "cpu", 0.35, samples=10000),
    figure("guest-get-fsinfo, 1,000 mounts", MS, "mounts", 0.5, samples=12),
    figure("guest-network-get-interfaces, 500 links", MS, "links", 0.5, samples=12),
    figure("decision against 1,000 rules", US, "decide", Bar(None, 50), of=(Postern,),
           samples=20),
    figure("guest-get-osinfo, audit to the journal", US, "audit", Bar(Postern, 1.4),
           client=("latency", request("guest-get-osinfo")), samples=500,
           of=(ToJournal, Postern)),
    figure("guest-file-read, each recorded, to the journal", US, "audit", Bar(Postern, 1.4),
           client=("counts", "{short}"), samples=500, of=(ToJournal, Postern)),
)

# How a cost grows: the figure at each size. BAR: of the cost of one more in the last step, to that
# in all steps before it; None: none was set.
Growth = collections.namedtuple("Growth", "name unit stage sizes subjects client samples bar")
GROWTHS = (
    Growth("guest-get-fsinfo, by mounts", MS, "mounts", (0, 250, 500, 1000), BOTH,
           ("latency", request("guest-get-fsinfo")), 12, 1.25),
    Growth("guest-network-get-interfaces, by links", MS, "links", (0, 125, 250, 500), BOTH,
           ("latency", request("guest-network-get-interfaces")), 12, 1.25),
    Growth("a decision, by rules", US, "decide", (1, 10, 100, RULES), (Postern,), None, 20, None),
    Growth("guest-ping with an id, by bytes", US, "messages", (1 << 10, 64 << 10, MIB - 1024),
           BOTH, ("latency", "@{request}"), 30, None),
)
