"""report - what came of a run: JSON, tables, and the documentation's share of both"""
import datetime
import json
import math
import os
import platform
import re
import shutil
import statistics
import subprocess

import chart
import reference
from figures import FIGURES, GROWTHS
from subjects import Postern, QemuGa, ToJournal

DOC = "doc/performance.md"

# Whose figure it is, of those that are measured for it: the first of these that is among them.
OURS = (ToJournal, Postern)


def percentile(samples, share):
    ordered = sorted(samples)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def middle(figure, samples):
    """Of the most memory that any input takes the worst, else the median."""
    return max(samples) if figure.stage == "hostile" else statistics.median(samples)


def is_met(figure, bar, ratio):
    if bar.ratio is None:
        return None
    return ratio >= bar.ratio if figure.unit.more else ratio <= bar.ratio


# ---- results ---------------------------------------------------------------------------------

def output_of(*argv):
    try:
        return subprocess.run(argv, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def cpu_model():
    with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as f:
        names = re.search(r"^model name\s*: (.*)", f.read(), re.M)
    return names[1] if names else platform.machine()


def machine():
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "cpu": cpu_model(), "cpus": len(os.sched_getaffinity(0)), "kernel": platform.release(),
        "qemu-ga": output_of(reference.PROGRAM or "qemu-ga", "-V"),
        "postern": output_of("git", "describe", "--always", "--dirty"),
    }


def subject(run, figure, kind, size=None):
    """Medians and so on of one of the subjects, in the figure's unit."""
    samples, of = run.taken(figure, kind, size), figure.unit.of
    return {"median": of(middle(figure, samples)), "p99": of(percentile(samples, 0.99)),
            "best": of(min(samples)), "samples": len(samples)}


def whose(told):
    return next(kind.name for kind in OURS if kind.name in told)


def compared(figure, told, bar):
    ours = told[whose(told)]["median"]
    ratio = ours / told[bar.against.name]["median"] if bar.against else ours
    return {"against": bar.against.name if bar.against else None, "ratio": ratio,
            "bar": bar.ratio, "met": is_met(figure, bar, ratio)}


def figure_result(run, figure):
    told = {kind.name: subject(run, figure, kind) for kind in figure.subjects}
    result = {"name": figure.name, "unit": figure.unit.name, "more": figure.unit.more,
              "subjects": told, "compared": [compared(figure, told, bar) for bar in figure.bars]}
    if figure.name in run.notes:
        result["of"] = {what: {name: figure.unit.of(value) for name, value in values.items()}
                        for what, values in run.notes[figure.name].items()}
    return result


def step_ratio(sizes, costs):
    """What one more costs in the last step, to what it costs in all before it."""
    last = (costs[-1] - costs[-2]) / (sizes[-1] - sizes[-2])
    before = (costs[-2] - costs[0]) / (sizes[-2] - sizes[0])
    return last / before if before > 0 else math.inf


def growth_result(run, growth):
    result = {"name": growth.name, "unit": growth.unit.name, "sizes": growth.sizes,
              "subjects": {}}
    for kind in growth.subjects:
        told = [subject(run, growth, kind, size) for size in growth.sizes]
        result["subjects"][kind.name] = {
            "at": told, "last-step": step_ratio(growth.sizes, [t["best"] for t in told])}
    ratio = result["subjects"][Postern.name]["last-step"]
    return {**result, "bar": growth.bar, "met": None if growth.bar is None else ratio <= growth.bar}


def results(run):
    return {
        "machine": machine(), "rounds": run.count, "quick": run.quick,
        "figures": [figure_result(run, f) for f in FIGURES if run.is_measured(f)],
        "growth": [growth_result(run, g) for g in GROWTHS if run.is_measured(g)],
        "other agents": len(run.others), "skipped": run.skipped, "not measured": run.failed,
    }


# ---- tables ----------------------------------------------------------------------------------

def number(value):
    if value is None:
        return "–"
    digits = 0 if abs(value) >= 1000 else max(0, 2 - math.floor(math.log10(abs(value) or 1)))
    return f"{value:,.{min(digits, 3)}f}"


def met(value):
    return {True: "met", False: "**missed**", None: ""}[value]


def bar_text(result, unit=""):
    if result["bar"] is None:
        return "–"
    return f"{'≥' if result.get('more') else '≤'} {result['bar']:g}{unit}"


def row(figure, one):
    """A line of the table: what is ours, what it is compared with."""
    told = figure["subjects"]
    ours = told[whose(told)]
    theirs = told.get(one["against"], {})
    name = figure["name"]
    if one["against"] not in (None, QemuGa.name):
        name += f", against {one['against'].replace('Postern', '`--audit fd:` on /dev/null')}"
    unit = f" {figure['unit']}" if one["against"] is None else ""
    cells = [name, figure["unit"], number(ours["median"]), number(ours["p99"]),
             number(theirs.get("median")), number(theirs.get("p99")),
             number(one["ratio"]) if theirs else "–",
             bar_text({**one, "more": figure["more"]}, unit), met(one["met"])]
    return cells


def table(head, lines):
    rule = ["---"] + ["--:" if h in NUMBERS else "---" for h in head[1:]]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in [head, rule, *lines])


NUMBERS = ("Postern", "p99", "other", "its p99", "ratio", "bar", "last step", "qemu-ga's")


def figures_table(told):
    head = ["Figure", "unit", "Postern", "p99", "other", "its p99", "ratio", "bar", ""]
    return table(head, [row(f, one) for f in told["figures"] for one in f["compared"]])


def growth_table(told):
    head = ["Cost", "unit", "sizes", "Postern", "qemu-ga's", "last step", "bar", ""]
    lines = []
    for g in told["growth"]:
        costs = {name: ", ".join(number(t["best"]) for t in s["at"])
                 for name, s in g["subjects"].items()}
        lines.append([g["name"], g["unit"], ", ".join(f"{n:,}" for n in g["sizes"]),
                      costs[Postern.name], costs.get(QemuGa.name, "–"),
                      number(g["subjects"][Postern.name]["last-step"]), bar_text(g), met(g["met"])])
    return table(head, lines)


def about(told):
    m, others = told["machine"], told["other agents"]
    return (f"{m['cpu']}, {m['cpus']} CPUs, Linux {m['kernel']}, {m['qemu-ga']}, "
            f"Postern {m['postern']}, {m['date']}, {told['rounds']} rounds"
            f"{', quick' if told['quick'] else ''}.\n"
            + (f"{others} other agents ran meanwhile: PSS is too small.\n" if others else ""))


def tables(told):
    parts = [about(told), figures_table(told)]
    if told["growth"]:
        parts.append(growth_table(told))
    return "\n".join(parts)


# ---- files -----------------------------------------------------------------------------------

def write(run, folder):
    os.makedirs(folder, exist_ok=True)
    told = results(run)
    for name, text in (("results.json", json.dumps(told, indent=1, ensure_ascii=False) + "\n"),
                       ("results.md", tables(told)), ("chart.svg", chart.draw(told))):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
            f.write(text)
    return told


def between(text, name, new):
    """TEXT with NEW between the marks of NAME."""
    begin, end = f"<!-- bench: {name} -->\n", "<!-- bench: end -->\n"
    before, found, rest = text.partition(begin)
    assert found and end in rest, f"{DOC} has no place for {name}"
    return before + begin + new + end + rest.partition(end)[2]


def write_doc(folder):
    with open(os.path.join(folder, "results.json"), encoding="utf-8") as f:
        told = json.load(f)
    with open(DOC, encoding="utf-8") as f:
        text = f.read()
    text = between(text, "table", about(told) + "\n" + figures_table(told))
    text = between(text, "growth", growth_table(told))
    with open(DOC, "w", encoding="utf-8") as f:
        f.write(text)
    shutil.copy(os.path.join(folder, "chart.svg"), "doc/performance.svg")


def summary(told, folder):
    said = [one["met"] for f in told["figures"] for one in f["compared"]]
    said += [g["met"] for g in told["growth"]]
    return (f"{tables(told)}\n{said.count(True)} bars met, {said.count(False)} missed; "
            f"{len(told['figures']) + len(told['growth'])} figures measured, "
            f"{len(told['skipped'])} skipped, {len(told['not measured'])} not measured. {folder}/results.json")
