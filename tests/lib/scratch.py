"""scratch - file systems, mounts and interfaces that only the test sees

    with scratch.namespaces() as dir:           # private mounts and network from here on
        disk = scratch.disk(dir, "a", "ext4", 16)    # image on a loop device
        disk.mount("mnt/plain")
        scratch.bind(disk.point, "mnt/again")
        scratch.ip("link add v0 type veth peer name v1")
        with Agent() as a: ...                  # sees all of it
    # and from here on the process is where it was before

Needs root; as somebody else namespaces() skips the test. Nothing here can reach the
machine's own mounts or network: mounts are made private first, and what was made goes
with the last process in the namespaces, however it ends. A loop device detaches itself
with its last user (LO_FLAGS_AUTOCLEAR).

The process that enters must have one thread, or the kernel refuses.
"""
import contextlib
import ctypes
import errno
import fcntl
import os
import shutil
import struct
import subprocess
import tempfile

import tap
from guard import call

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWNET = 0x00020000, 0x04000000, 0x40000000
MS_BIND, MS_REC, MS_PRIVATE, MS_REMOUNT, MS_RDONLY = 4096, 16384, 1 << 18, 32, 1
MNT_DETACH = 2
SYS_OPEN_TREE, AT_FDCWD, OPEN_TREE_CLONE = 428, -100, 1

_LIBC = ctypes.CDLL(None, use_errno=True)
_TOOLS = os.environ["PATH"] + ":/usr/sbin:/sbin"


def tool(name):
    """Path of a program, or the test is skipped."""
    path = shutil.which(name, path=_TOOLS)
    if path is None:
        tap.skip(f"{name} is not installed")
    return path


def run(name, *arguments, text=None):
    """Run a program to its end; a failure is an exception with what it said."""
    done = subprocess.run([tool(name), *arguments], input=text, text=True,
                          errors="surrogateescape", capture_output=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{name} {arguments!r}: {done.stderr.strip()!r}")
    return done.stdout


# ---- namespaces ------------------------------------------------------------------------

@contextlib.contextmanager
def namespaces():
    """Private mounts, an empty network and a host name of one's own; gives a directory
    that anybody may search.

    /run is an empty tmpfs: the records of udev and of logged-in users there are the
    test's own.
    """
    if os.geteuid() != 0:
        tap.skip("needs root for mount and network namespaces")
    home = [os.open(f"/proc/self/ns/{kind}", os.O_RDONLY) for kind in ("uts", "net", "mnt")]
    before = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
    top = tempfile.mkdtemp(prefix="postern-scratch-")
    os.chmod(top, 0o755)
    try:
        try:
            call("unshare", CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWNET)
        except OSError as why:
            tap.skip(f"no namespaces here: {why}")
        call("mount", None, b"/", None, MS_REC | MS_PRIVATE, None)
        mount("tmpfs", "/run", "tmpfs", data="mode=755")
        ip("link set lo up")
        yield top
    finally:
        # The namespaces die when nobody is left in them, and with them every mount.
        for fd in home:
            call("setns", fd, 0)
            os.close(fd)
        os.fchdir(before)
        os.close(before)
        shutil.rmtree(top, ignore_errors=True)


# ---- mounts ----------------------------------------------------------------------------

def _bytes(path):
    return path if isinstance(path, bytes) else os.fsencode(path)


def mount(source, point, kind, flags=0, data=None):
    """mount(2); makes the mount point if there is none."""
    point = _bytes(point)
    os.makedirs(point, exist_ok=True)
    call("mount", _bytes(source), point, _bytes(kind), ctypes.c_ulong(flags),
         None if data is None else _bytes(data))
    return point


def bind(source, point, readonly=False):
    """Bind a directory or a file; makes the mount point."""
    source, point = _bytes(source), _bytes(point)
    if os.path.isdir(source):
        os.makedirs(point, exist_ok=True)
    elif not os.path.exists(point):
        os.makedirs(os.path.dirname(point), exist_ok=True)
        with open(point, "ab"):
            pass
    call("mount", source, point, None, ctypes.c_ulong(MS_BIND), None)
    if readonly:
        call("mount", None, point, None,
             ctypes.c_ulong(MS_BIND | MS_REMOUNT | MS_RDONLY), None)


def bind_many(point, numbers):
    """A mount for each of NUMBERS: a directory below POINT, bound to itself."""
    for n in numbers:
        os.mkdir(point + b"/d%d" % n)
        bind(point + b"/d%d" % n, point + b"/d%d" % n)


def unmount(point, flags=0):
    call("umount2", _bytes(point), flags)


def detached(point):
    """A descriptor of POINT's directory on a mount of its own that nobody sees: the file
    system stays while it is open, and POINT can be unmounted."""
    tree = _LIBC.syscall(SYS_OPEN_TREE, AT_FDCWD, _bytes(point), OPEN_TREE_CLONE | os.O_CLOEXEC)
    if tree < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"open_tree: {os.strerror(code)}")
    try:
        return os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=tree)
    finally:
        os.close(tree)


# ---- loop devices ----------------------------------------------------------------------

LOOP_CTL_GET_FREE, LOOP_CONFIGURE = 0x4C82, 0x4C0A
LO_FLAGS_AUTOCLEAR, LO_FLAGS_PARTSCAN = 4, 8
BLKPG, BLKPG_ADD_PARTITION = 0x1269, 1


class Loop:
    """A loop device on the file PATH. It lives as long as this object is open or
    something is mounted from it."""

    def __init__(self, path):
        backing = os.open(path, os.O_RDWR)
        try:
            self.fd, self.node = self._configure(backing)
        finally:
            os.close(backing)
        self.name = os.path.basename(self.node)
        with open(f"/sys/block/{self.name}/dev", encoding="ascii") as f:
            self.number = f.read().strip()

    @staticmethod
    def _configure(backing):
        # struct loop_config: fd, block_size, struct loop_info64 (lo_flags at 52), reserved
        flags = LO_FLAGS_AUTOCLEAR | LO_FLAGS_PARTSCAN
        config = struct.pack("=II52xI", backing, 0, flags).ljust(304, b"\0")
        control = os.open("/dev/loop-control", os.O_RDWR)
        try:
            while True:
                node = f"/dev/loop{fcntl.ioctl(control, LOOP_CTL_GET_FREE)}"
                fd = os.open(node, os.O_RDWR)
                try:
                    fcntl.ioctl(fd, LOOP_CONFIGURE, config)
                    return fd, node
                except OSError as why:
                    os.close(fd)
                    if why.errno != errno.EBUSY:  # somebody else was faster
                        raise
        finally:
            os.close(control)

    def partition(self, number, start, size):
        """Declare a partition (bytes). The kernel need not know any kind of table."""
        data = ctypes.create_string_buffer(
            struct.pack("@qqi64s64s", start, size, number, b"", b""))
        fcntl.ioctl(self.fd, BLKPG, struct.pack(
            "@iiiP", BLKPG_ADD_PARTITION, 0, len(data), ctypes.addressof(data)))
        return f"{self.node}p{number}"

    def close(self):
        os.close(self.fd)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


# What makes a file system of each type, and the least size in MiB that it takes.
MKFS = {
    "ext4": (("mkfs.ext4", "-q", "-F"), 8),
    "xfs": (("mkfs.xfs", "-q", "-f"), 300),
    "btrfs": (("mkfs.btrfs", "-q", "-f"), 110),
}


def image(top, name, size):
    """A sparse file of SIZE bytes."""
    path = os.path.join(top, name + ".img")
    with open(path, "wb") as f:
        f.truncate(size)
    return path


def mkfs(kind, path, *options):
    command, *fixed = MKFS[kind][0]
    run(command, *fixed, *options, path)


def known(kind):
    """Can the kernel mount this type?"""
    with open("/proc/filesystems", encoding="ascii") as f:
        return any(line.split()[-1] == kind for line in f)


# ---- the network -----------------------------------------------------------------------

def ip(*commands):
    """Run commands of ip(8), in one process."""
    run("ip", "-batch", "-", text="".join(c + "\n" for c in commands))


def addresses(n):
    """Those of the interface vN that add_pairs makes."""
    return f"10.{n // 250}.{n % 250}.1", f"2001:db8:{n + 1:x}::1"


def add_pairs(numbers):
    """Pairs of interfaces, each end up and with two addresses; the kernel adds routes."""
    commands = []
    for pair in numbers:
        ends = [2 * pair, 2 * pair + 1]
        commands.append("link add {} type veth peer name {}".format(*map("v{}".format, ends)))
        for n in ends:
            four, six = addresses(n)
            commands += [f"address add {four}/24 dev v{n}", f"link set v{n} up",
                         f"address add {six}/64 dev v{n} nodad"]
    ip(*commands)


# ---- users -----------------------------------------------------------------------------

# The session and the two halves of the time: 32 bits each where programs of 32 bits may
# read the file too, as on x86-64; long elsewhere.
_TIMES = "iii" if os.uname().machine == "x86_64" else "lll"


def utmp(kind, name, seconds, microseconds=0):
    """A record of utmp(5); KIND 7 is a user process."""
    return struct.pack(f"@hi32s4s32s256shh{_TIMES}16s20x", kind, 1, b"tty1", b"1", name,
                       b"host", 0, 0, 0, seconds, microseconds, bytes(16))
