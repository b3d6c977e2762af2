"""guest-set-time: the clock and the real-time clock inside afterwards, and what the policy
lets the host do to them. Each case leaves the host's time."""
import contextlib
import time

import records
from agent import wait_until
from case import LIBVIRT, RAW, case, note, skip
from machine import Refused

NS = 10**9
RTC = "/sys/class/rtc/rtc0/since_epoch"
TICK = f"""read -r a <{RTC}; b=$a
while [ "$a" = "$b" ]; do read -r b <{RTC}; now=$EPOCHREALTIME; done
echo $now $b"""
# A command takes some time to come, and to be answered.
SLACK = 0.02

LIMITED = """
[policy]
version = 1
base = safe

[rule "a little forward"]
effect = allow
command = @time
max-step = 1h
backwards = no
"""


def need_rtc(vm):
    if vm.agent.reference:
        skip("this agent needs hwclock, which the image has not")


def clocks(vm):
    """Seconds that the clock shows, with six digits behind the point, and the RTC."""
    now, rtc = vm.shell(f"read -r rtc <{RTC}; echo $EPOCHREALTIME $rtc").split()
    return float(now), int(rtc)


@contextlib.contextmanager
def host_time(vm):
    """Whatever a case has set, both clocks then show the host's time."""
    try:
        yield
    finally:
        vm.shell(f"""date -s @{time.time():.6f} >/dev/null
            perl -e 'my @t = gmtime; my $t = pack("i9", @t);
            open my $rtc, "<", "/dev/rtc0" or die; ioctl($rtc, 0x4024700a, $t) or die'""")


def shown_after(vm, goal, act):
    """Do ACT, which sets the time to GOAL: both clocks then show it."""
    begin = time.monotonic()
    act()
    now, rtc = clocks(vm)
    passed = time.monotonic() - begin
    assert goal - SLACK <= now <= goal + passed + SLACK, (goal, now, passed)
    assert abs(int(now) - rtc) <= 1, (now, rtc)
    return now


@case("virsh domtime --time, --now, and as it shows it", LIBVIRT)
def _(vm):
    need_rtc(vm)
    with vm.profile("libvirt"), host_time(vm):
        for goal in (int(time.time()) + 90000, int(time.time()) - 5 * 365 * 86400):
            shown_after(vm, goal, lambda g=goal: vm.virsh("domtime", "--time", str(g)))
            told = int(vm.virsh("domtime").split()[-1])
            assert goal <= told <= goal + 5, (goal, told)
        before, begin = clocks(vm)[0], time.monotonic()
        with records.recorded(vm, "time-set", command="guest-set-time") as rows:
            # Virsh itself names the whole second: which one, is sure at its beginning.
            time.sleep(1 - time.time() % 1)
            now = int(time.time())
            after = shown_after(vm, now, lambda: vm.virsh("domtime", "--now"))
        # The clock went on as well, before it was set and afterwards.
        passed = time.monotonic() - begin
        for row in rows:
            delta = row["POSTERN_TIME_DELTA_NSEC"] / NS
            assert 0 <= after - before - delta <= passed + SLACK, (row, after - before, passed)


@case("guest-set-time is exact to the nanosecond's 64 bits", LIBVIRT)
def _(vm):
    need_rtc(vm)
    with vm.profile("libvirt"), host_time(vm):
        # After 2038, and what a double of nanoseconds or 32 bits of seconds do not hold.
        for goal in (2**61 + 123456789, 946684799999999999):
            begin = time.monotonic_ns()
            assert vm.ask("guest-set-time", time=goal) == {}
            told = vm.ask("guest-get-time")
            passed = time.monotonic_ns() - begin
            # The reply has microseconds.
            assert goal - 1000 <= told <= goal + passed + SLACK * NS, (goal, told, passed)
            assert goal - 1000 <= int(vm.shell("date +%s%N")) <= goal + 5 * NS
            now, rtc = clocks(vm)
            assert abs(int(now) - rtc) <= 1, (now, rtc)


@case("virsh domtime --sync takes the time from the RTC", LIBVIRT)
def _(vm):
    need_rtc(vm)
    with vm.profile("libvirt"), host_time(vm):
        with records.recorded(vm, "time-set") as rows:
            vm.shell("date -s '2 hours ago'")
            vm.virsh("domtime", "--sync")
        # Where the RTC's second begins the clock shows it, which shows no more than that.
        now, second = map(float, vm.shell(TICK).split())
        note(f"{(now - second) * 1000:+.0f} ms from the RTC's second")
        assert abs(now - second) < 0.1, (now, second)
        for row in rows:
            assert abs(row["POSTERN_TIME_DELTA_NSEC"] / NS - 7200) < 10, row
        assert abs(now - time.time()) < 10, now


@case("max-step and backwards refuse, and both clocks stay", RAW)
def _(vm):
    if vm.agent.reference:
        skip("this agent has no policy")
    with vm.policy(LIMITED), host_time(vm), vm.client() as client:
        client.reset()
        for offset in (7200, -60, None):
            if offset is None:
                vm.shell("date -s '2 minutes'")  # so that the RTC's time is before
            begin, before = time.monotonic(), clocks(vm)
            where = records.place(vm)
            goal = {"time": int((before[0] + offset) * NS)} if offset else {}
            reply = client.call("guest-set-time", **goal)
            assert reply["error"]["class"] == "GenericError", reply
            assert reply["error"]["desc"] == "Command guest-set-time has been disabled: " \
                "these arguments are not allowed", reply
            after, passed = clocks(vm), time.monotonic() - begin
            assert 0 <= after[0] - before[0] <= passed + SLACK, (before, after)
            assert 0 <= after[1] - before[1] <= passed + 1, (before, after)
            row, = records.since(vm, where, "decision")
            assert (row["POSTERN_DECISION"], row["POSTERN_REASON"]) == ("deny", "step"), row
        # What the rule allows is done meanwhile.
        goal = (int(clocks(vm)[0]) + 3000) * NS
        assert client.call("guest-set-time", time=goal) == {"return": {}}
        assert goal <= int(vm.shell("date +%s%N")) <= goal + 5 * NS


def answers(vm):
    with contextlib.suppress(Exception):
        return vm.ask("guest-ping") == {}
    return False


@case("virsh shows a time that was refused", LIBVIRT)
def _(vm):
    if vm.agent.reference:
        skip("this agent has no policy")
    wait_until(lambda: answers(vm), "libvirt to have the channel again")
    # The profile safe: a day forward at the most.
    for goal in (int(time.time()) + 90000, int(time.time()) - 100):
        try:
            vm.virsh("domtime", "--time", str(goal))
        except Refused as e:
            assert "Command guest-set-time has been disabled" in e.text, e.text
        else:
            raise AssertionError(f"{goal} was not refused")
    assert abs(clocks(vm)[0] - time.time()) < 5
