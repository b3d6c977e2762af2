"""Files through virsh: what the host writes and reads is what is found inside, and it gets
no further than the policy says."""
import base64
import contextlib
import hashlib
import io
import random

from agent import wait_until
from case import LIBVIRT, case, note, skip
from machine import Refused, refused

TOP = "/srv/vm-files"
POLICY = f"""
[policy]
version = 1
base = safe

[rule "files"]
effect = allow
command = @file-read ; @file-write
path-beneath = {TOP}/open

[rule "guest's inbox"]
effect = allow
command = @file-write
path-beneath = {TOP}/inbox
open-mode = create ; append
file-mode = 0620
owner = guest:tty
size-max = 10

[rule "facts"]
effect = allow
command = @file-read
path = /proc/loadavg ; /sys/devices/virtual/dmi/id/sys_vendor
"""
MAKE = f"""
rm -rf {TOP}; install -d {TOP} {TOP}/open {TOP}/inbox {TOP}/closed
echo secret >{TOP}/closed/file
"""
DENIED = "Command guest-file-open has been disabled: these arguments are not allowed"
PIECE = 65536  # libvirt 9.0 garbles requests of much more


@contextlib.contextmanager
def files(vm):
    """The policy of these cases, and fresh directories for it."""
    vm.shell(MAKE)
    try:
        with vm.policy(POLICY):
            yield
    finally:
        vm.shell(f"umount -q {TOP}/open/small; rm -r {TOP}")


@contextlib.contextmanager
def opened(vm, name, mode="r"):
    """A handle that is closed whatever happens."""
    handle = vm.command("guest-file-open", path=f"{TOP}/{name}", mode=mode)
    try:
        yield handle
    finally:
        assert vm.command("guest-file-close", handle=handle) == {}


def write(vm, handle, data):
    got = vm.command("guest-file-write", handle=handle,
                     buf_b64=base64.b64encode(data).decode())
    assert got == {"count": len(data), "eof": False}, got


def read(vm, handle, count):
    """Bytes, and whether the end was met."""
    got = vm.command("guest-file-read", handle=handle, count=count)
    data = base64.b64decode(got["buf-b64"])
    assert got["count"] == len(data), got
    return data, got["eof"]


def seek(vm, handle, offset, whence):
    got = vm.command("guest-file-seek", handle=handle, offset=offset, whence=whence)
    assert not got["eof"], got
    return got["position"]


def put(vm, name, data, mode="w"):
    with opened(vm, name, mode) as handle:
        for at in range(0, len(data), PIECE):
            write(vm, handle, data[at:at + PIECE])


def get(vm, name, piece=PIECE):
    with opened(vm, name) as handle:
        data, eof = b"", False
        while not eof:
            more, eof = read(vm, handle, piece)
            assert more or eof, "neither bytes nor the end"
            data += more
    return data


def not_opened(vm, path, mode="r", why=DENIED):
    text = refused(vm.command, "guest-file-open", path=path, mode=mode)
    assert why in text, f"{path}: {text}"


def inside(vm, name):
    return vm.shell(f"cat {TOP}/{name}")


@case("a file there and back through virsh", LIBVIRT)
def _(vm):
    data = random.Random(1).randbytes(5 * PIECE + 4321)
    with files(vm):
        put(vm, "open/file", data)
        assert vm.shell(f"sha256sum <{TOP}/open/file").split()[0] == \
            hashlib.sha256(data).hexdigest()
        assert get(vm, "open/file") == data
        owner, mode = vm.shell(f"stat -c '%U:%G %a' {TOP}/open/file").split()
        assert (owner, mode) == ("root:root", "666" if vm.agent.reference else "644")
    note(f"{len(data) >> 10} KiB in {PIECE >> 10} KiB pieces")


@case("what is at the end of a file", LIBVIRT)
def _(vm):
    with files(vm):
        vm.shell(f"printf 123456 >{TOP}/open/file")
        with opened(vm, "open/file") as handle:
            assert read(vm, handle, 6) == (b"123456", False)
            assert read(vm, handle, 6) == (b"", True)
            vm.shell(f"printf 789 >>{TOP}/open/file")
            assert read(vm, handle, 0) == (b"", False)
            assert read(vm, handle, 6) == (b"789", True)
            assert seek(vm, handle, -2, "end") == 7
            assert read(vm, handle, 100) == (b"89", True)


# mode, what is left of the file "old" after writing "NEW" (None: that fails), what is read
# then from its beginning (None: that fails), whether a file that is not there is made
MODES = [
    ("r", "old old", "old old", False),
    ("rb", "old old", "old old", False),
    ("w", "NEW", None, True),
    ("wb", "NEW", None, True),
    ("a", "old oldNEW", None, True),
    ("ab", "old oldNEW", None, True),
    ("r+", "NEW old", "NEW old", False),
    ("r+b", "NEW old", "NEW old", False),
    ("rb+", "NEW old", "NEW old", False),
    ("w+", "NEW", "NEW", True),
    ("w+b", "NEW", "NEW", True),
    ("wb+", "NEW", "NEW", True),
    ("a+", "old oldNEW", "old oldNEW", True),
    ("a+b", "old oldNEW", "old oldNEW", True),
    ("ab+", "old oldNEW", "old oldNEW", True),
]


@case("every mode of opening", LIBVIRT, limit=120)
def _(vm):
    with files(vm):
        for mode, left, seen, makes in MODES:
            vm.shell(f"printf 'old old' >{TOP}/open/file; rm -f {TOP}/open/new")
            with opened(vm, "open/file", mode) as handle:
                if mode in ("r", "rb"):
                    text = refused(write_and_flush, vm, handle)
                    assert "Bad file descriptor" in text, text
                else:
                    write_and_flush(vm, handle)
                seek(vm, handle, 0, "set")
                if seen is None:
                    text = refused(read, vm, handle, 100)
                    assert "failed to read file: Bad file descriptor" in text, text
                else:
                    assert read(vm, handle, 100) == (seen.encode(), True), mode
            assert inside(vm, "open/file") == left, mode
            if makes:
                put(vm, "open/new", b"1", mode)
            else:
                not_opened(vm, f"{TOP}/open/new", mode, f"(mode: '{mode}'): No such file")
            assert vm.shell(f"test -e {TOP}/open/new; echo $?") == ("0" if makes else "1")
        for mode in ("", "x", "R", "rw", "r+x"):
            not_opened(vm, f"{TOP}/open/file", mode, f"invalid file open mode '{mode}'")


def write_and_flush(vm, handle):
    write(vm, handle, b"NEW")
    assert vm.command("guest-file-flush", handle=handle) == {}


@case("random reads, writes and seeks", LIBVIRT)
def _(vm):
    """Against a file in the memory of this process."""
    rnd = random.Random(2)
    model = io.BytesIO(rnd.randbytes(3000))
    with files(vm):
        put(vm, "open/file", model.getvalue())
        with opened(vm, "open/file", "r+") as handle:
            for _ in range(60):
                what = rnd.choice("rwsce")
                count = rnd.randrange(1, 600)
                if what == "r":
                    expected = model.read(count)
                    assert read(vm, handle, count) == (expected, len(expected) < count)
                elif what == "w":
                    data = rnd.randbytes(count)
                    model.write(data)
                    write(vm, handle, data)
                else:
                    code = "sce".index(what)
                    offset = (rnd.randrange(5000), rnd.randrange(-min(300, model.tell()), 300),
                              rnd.randrange(-2000, 500))[code]
                    whence = rnd.choice((code, ("set", "cur", "end")[code]))
                    assert seek(vm, handle, offset, whence) == model.seek(offset, code)
        assert vm.shell(f"base64 -w 0 {TOP}/open/file") == \
            base64.b64encode(model.getvalue()).decode()


@case("files of the kernel, whose size is 0", LIBVIRT)
def _(vm):
    with files(vm):
        vendor = vm.shell("cat /sys/class/dmi/id/sys_vendor")
        # The second by a link of the kernel's.
        for path, expected in (("/proc/loadavg", None),
                               ("/sys/class/dmi/id/sys_vendor", vendor)):
            handle = vm.command("guest-file-open", path=path)
            data, eof = read(vm, handle, 4096)
            vm.command("guest-file-close", handle=handle)
            assert eof and data.endswith(b"\n")
            assert expected in (None, data.decode().strip())


@case("a full disk", LIBVIRT)
def _(vm):
    with files(vm):
        vm.shell(f"mkdir {TOP}/open/small; mount -t tmpfs -o size=64k tmpfs {TOP}/open/small")

        def fill():
            with opened(vm, "open/small/file", "w") as handle:
                write(vm, handle, bytes(PIECE))
                write(vm, handle, bytes(PIECE))
                assert vm.command("guest-file-flush", handle=handle) == {}
        assert "No space left on device" in refused(fill)
        assert get(vm, "open/small/file") == bytes(PIECE)


@case("the host gets at nothing beside the rule", LIBVIRT)
def _(vm):
    if vm.agent.reference:
        skip("qemu-ga has no policy")
    with files(vm):
        for mode in ("r", "w", "a", "r+"):
            for path in (f"{TOP}/closed/file", f"{TOP}/closed/none", f"{TOP}/none/none",
                         f"{TOP}/open/../closed/file", "/etc/shadow", "/etc/none",
                         f"{TOP}/openfile", "/proc/self/environ", "relative", ""):
                not_opened(vm, path, mode)
        # A link that the guest's own root made is followed, but no further than the rule.
        vm.shell(f"ln -s ../closed/file {TOP}/open/out; ln -s ../open {TOP}/closed/in; "
                 f"echo here >{TOP}/open/file")
        for mode in ("r", "w", "a", "r+"):
            not_opened(vm, f"{TOP}/open/out", mode)
        assert get(vm, "closed/in/file") == b"here\n"
        assert inside(vm, "closed/file") == "secret"
        assert vm.shell(f"cd {TOP}/closed; ls") == "file\nin"


@case("what a user of the guest may plant", LIBVIRT)
def _(vm):
    """Links and special files in a directory of the user's own, which a rule opens."""
    if vm.agent.reference:
        skip("qemu-ga has no policy")
    with files(vm):
        vm.shell(f"chown guest {TOP}/open; echo old >{TOP}/open/roots; "
                 "sysctl -q fs.protected_hardlinks=0")
        try:
            vm.shell(f"cd {TOP}/open; echo mine >{TOP}/open/target; chown guest target; "
                     "su guest -c 'ln -s target link; ln -s ../closed/file out; "
                     "mkfifo fifo; ln ../closed/file hard; mkdir dir'; mknod null c 1 3")
        finally:
            vm.shell("sysctl -q fs.protected_hardlinks=1")
        for name in ("link", "out", "fifo", "hard", "dir", "null"):
            for mode in ("r", "w", "a", "r+"):
                not_opened(vm, f"{TOP}/open/{name}", mode)
        assert inside(vm, "closed/file") == "secret"
        assert get(vm, "open/target") == b"mine\n"
        put(vm, "open/target", b"ours\n")
        assert inside(vm, "open/target") == "ours"


@case("what a rule says of files that are made", LIBVIRT)
def _(vm):
    if vm.agent.reference:
        skip("qemu-ga has no policy")
    with files(vm):
        with opened(vm, "inbox/letter", "w") as handle:
            write(vm, handle, b"12345678")
            text = refused(write, vm, handle, b"9abc")
            assert "failed to write to file: File too large" in text, text
        assert inside(vm, "inbox/letter") == "12345678"
        assert vm.shell(f"stat -c '%U:%G %a' {TOP}/inbox/letter") == "guest:tty 620"
        # It may be added to, as long as there is room, and neither replaced nor read.
        vm.shell(f"printf 1 >{TOP}/inbox/letter")
        put(vm, "inbox/letter", b"23", "a")
        for mode in ("w", "r", "r+", "a+"):
            not_opened(vm, f"{TOP}/inbox/letter", mode)
        assert inside(vm, "inbox/letter") == "123"
        vm.shell(f"printf 12345678901 >{TOP}/inbox/letter")
        not_opened(vm, f"{TOP}/inbox/letter", "a")
        assert inside(vm, "inbox/letter") == "12345678901"


@case("a handle is a process, and ends with it", LIBVIRT, limit=120)
def _(vm):
    if vm.agent.reference:
        skip("this agent is one process")
    tasks = f"cat /sys/fs/cgroup/system.slice/{vm.agent.unit}/cgroup.procs"
    with files(vm):
        vm.shell(f"echo text >{TOP}/open/file")
        vm.all_processes()
        before = set(vm.shell(tasks).split())
        handles, pids = [], []
        for _ in range(8):
            handles.append(vm.command("guest-file-open", path=f"{TOP}/open/file"))
            new, = set(vm.shell(tasks).split()) - before - set(pids)
            pids.append(new)
        assert len(set(handles)) == 8, handles
        status = vm.shell(f"grep -E '^(CapPrm|CapEff|NoNewPrivs|Seccomp):' "
                          f"/proc/{pids[0]}/status").split()
        assert status == ["CapPrm:", "0" * 16, "CapEff:", "0" * 16, "NoNewPrivs:", "1",
                          "Seccomp:", "2"], status
        vm.shell(f"kill -9 {pids[0]}")
        for handle in handles[:4]:
            with contextlib.suppress(Refused):  # the one whose process is gone
                vm.command("guest-file-close", handle=handle)
        wait_until(lambda: set(vm.shell(tasks).split()) == before | set(pids[4:]),
                   "the processes to end", 5)
        for handle in handles[:4]:
            text = refused(vm.command, "guest-file-read", handle=handle)
            assert f"handle '{handle}' has not been found" in text, text
        assert read(vm, handles[7], 10) == (b"text\n", True)
        # Numbers of an agent that was started anew cannot be taken for those of before.
        vm.shell(f"systemctl restart {vm.agent.unit}")
        wait_until(lambda: set(vm.shell(tasks).split()).isdisjoint(pids), "their end", 5)
        vm.reached()
        text = refused(read, vm, handles[7], 1)
        assert f"handle '{handles[7]}' has not been found" in text, text
        with opened(vm, "open/file") as handle:
            assert handle > max(handles), (handle, handles)
