"""compare - replies of two agents, field by field, and what may differ

    rules = Rules.read("tests/fixtures/side-by-side.txt", "machine")
    found = differences(command, before, ours, after)
    bad = [d for d in found if not rules.accept(d)]
    rules.note(command, ours)
    ...
    rules.unseen()              # rows that nothing needed: a difference that is gone

`before` and `after` are replies of the reference, asked before and after ours. A value
that equals one of them does not differ. What still does is a Difference: where it is, what
kind it is, and the three values. The head of the fixture says what its columns mean.

A list is compared by what names its elements (KEYS), not by position; another order is a
difference of its own.
"""
import dataclasses
import fnmatch
import re

# The member that names an element of a list: the first of these that it has.
KEYS = ("mountpoint", "logical-id", "phys-index", "cpu", "ip-address", "dev", "user", "name")

ABSENT = object()


@dataclasses.dataclass
class Difference:
    """PATH holds (".", member) and ("[", key of an element)."""
    command: str
    path: tuple
    kind: str  # extra missing differs order refused answered
    before: object
    ours: object
    after: object

    def where(self):
        return "".join(f".{name}" if sort == "." else f"[{name}]"
                       for sort, name in self.path) or "."

    def __str__(self):
        values = "".join(f"\n      {who:9} {value!r:.300}" for who, value in (
            ("reference", self.before), ("ours", self.ours), ("reference", self.after))
            if value is not ABSENT)
        return f"{self.command} {self.kind} {self.where()}{values}"


def differences(command, before, ours, after):
    """All differences of three replies (dicts with `return` or `error`)."""
    if "return" not in before:
        if "return" in ours:
            return [Difference(command, (), "answered", before, ours, after)]
        return list(_compare(command, (), before["error"], ours["error"], after["error"]))
    if "return" not in ours:
        return [Difference(command, (), "refused", before, ours, after)]
    return list(_compare(command, (), before["return"], ours["return"],
                         after.get("return", ABSENT)))


def _sort(value):
    """JSON's types: no difference between 1 and 1.0, but between 1 and true."""
    return float if type(value) is int else type(value)


def _compare(command, path, before, ours, after):
    if isinstance(ours, dict) and isinstance(before, dict):
        yield from _members(command, path, before, ours, after)
    elif isinstance(ours, list) and isinstance(before, list):
        yield from _lists(command, path, before, ours, after)
    elif not any(_sort(ours) is _sort(v) and ours == v for v in (before, after)):
        yield Difference(command, path, "differs", before, ours, after)


def _both(command, path, before, ours, after):
    """Two dicts with the same keys where nothing is missing: their values."""
    if before is ABSENT:
        if after != ours or after is ABSENT:
            yield Difference(command, path, "extra", before, ours, after)
    elif ours is ABSENT:
        if after is not ABSENT:
            yield Difference(command, path, "missing", before, ours, after)
    else:
        yield from _compare(command, path, before, ours, after)


def _members(command, path, before, ours, after):
    later = after if isinstance(after, dict) else {}
    for name in {**before, **ours}:
        yield from _both(command, path + ((".", name),), before.get(name, ABSENT),
                         ours.get(name, ABSENT), later.get(name, ABSENT))


def keys(values):
    """What names each element of a list; the second of the same name gets a number."""
    names, count = [], {}
    for value in values:
        name = str(value)
        if isinstance(value, dict):
            name = str(next((value[k] for k in KEYS if k in value), sorted(value.items())))
        count[name] = count.get(name, 0) + 1
        names.append(name if count[name] == 1 else f"{name} #{count[name]}")
    return names


def _lists(command, path, before, ours, after):
    maps = [dict(zip(keys(v), v)) if isinstance(v, list) else {}
            for v in (before, ours, after)]
    for name in {**maps[0], **maps[1]}:
        yield from _both(command, path + (("[", name),), *(m.get(name, ABSENT) for m in maps))
    orders = [[k for k in m if k in maps[0] and k in maps[1]] for m in maps]
    if orders[0] != orders[1]:
        yield Difference(command, path, "order", orders[0], orders[1], orders[2])


def _paths(path, value):
    """Path of each value that has no members."""
    if isinstance(value, dict):
        for name, member in value.items():
            yield from _paths(path + ((".", name),), member)
    elif isinstance(value, list):
        for name, member in zip(keys(value), value):
            yield from _paths(path + (("[", name),), member)
    else:
        yield path


def orders(reply):
    """The order of everything in a reply: what must not change from call to call."""
    return list(_paths((), reply.get("return")))


# ---- rules -------------------------------------------------------------------------------

def _number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _counter(d):
    return all(map(_number, (d.before, d.ours, d.after))) and d.before <= d.ours <= d.after


def _level(d):
    return _number(d.ours) and any(_number(v) and abs(d.ours - v) <= 0.05 * abs(v)
                                   for v in (d.before, d.after))


def _moves(d):
    return _sort(d.before) is _sort(d.ours)


# Kinds of rows that accept a difference of kind `differs` on a condition.
MOVING = {"counter": _counter, "level": _level, "moves": _moves}
KINDS = {"extra", "missing", "differs", "order", "refused", "answered", *MOVING}


@dataclasses.dataclass
class Rule:
    """A row of the fixture."""
    command: str
    place: str
    seen: str
    kind: str
    path: list
    text: str
    used: bool = False

    def accepts(self, d):
        if not (fnmatch.fnmatchcase(d.command, self.command) and self.covers(d.path)):
            return False
        if self.kind in MOVING:
            return d.kind == "differs" and MOVING[self.kind](d)
        return d.kind == self.kind

    def covers(self, path):
        return len(path) == len(self.path) and all(
            sort == want and fnmatch.fnmatchcase(name, pattern)
            for (sort, name), (want, pattern) in zip(path, self.path))


def _path(text):
    """`[glob].member` as Difference.path has it; `.` is the reply as a whole."""
    parts = re.findall(r"\[([^\]]*)\]|\.([^.\[]+)", text)
    return [("[", item or "*") if not member else (".", member) for item, member in parts]


class Rules:
    """The rows of the fixture that hold in PLACE."""

    def __init__(self, rules):
        self.rules = rules

    @classmethod
    def read(cls, path, place):
        rules = []
        with open(path, encoding="utf-8") as f:
            for number, line in enumerate(f, 1):
                if not line.strip() or line.startswith("#"):
                    continue
                fields = line.split(None, 5)
                assert len(fields) == 6, f"{path}:{number}: six columns, the last a reason"
                command, where, seen, kind, pattern, _reason = fields
                assert where in ("any", "machine", "scratch"), f"{path}:{number}: {where}"
                assert seen in ("always", "depends"), f"{path}:{number}: {seen}"
                assert kind in KINDS, f"{path}:{number}: {kind}"
                if where in ("any", place):
                    rules.append(Rule(command, where, seen, kind, _path(pattern),
                                      f"{path}:{number}: {line.strip()}"))
        return cls(rules)

    def accept(self, difference):
        found = [r for r in self.rules if r.accepts(difference)]
        for rule in found:
            rule.used = True
        return bool(found)

    def note(self, command, reply):
        """Values that may move need not have: their rows are used if the member is there."""
        paths = list(_paths((), reply.get("return")))
        for rule in self.rules:
            if rule.kind in MOVING and fnmatch.fnmatchcase(command, rule.command):
                rule.used = rule.used or any(map(rule.covers, paths))

    def unseen(self):
        """Rows that are always to be seen, and were not."""
        return [r.text for r in self.rules if r.seen == "always" and not r.used]
