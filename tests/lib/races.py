"""races - change what stands under a path while somebody works on it, and see where else
that reaches

    seen = races.Watch("/run/out", "/run/out/file")
    with races.Flip(("swap", "/run/a", "/run/b"), ("unlink", "/run/c")) as flip:
        ...                     # the steps go on, over and over, as fast as they go
    assert not seen.seen()      # nobody opened, read, changed or made anything there
    flip.rounds                 # how often

The steps are those of tests/hostile/flip.c.
"""
import ctypes
import functools
import os
import struct
import subprocess

import guard
from agent import helper

LIBC = ctypes.CDLL(None, use_errno=True)


def write(path, content):
    with open(path, "wb") as f:
        f.write(content)


# ---- watching the outside -----------------------------------------------------------

EVENTS = {0x1: "read", 0x2: "changed", 0x20: "opened", 0x100: "made", 0x200: "removed"}
HEAD = struct.Struct("iIII")


class Watch:
    """Sees whatever is done to directories (and what is in them) and files. A file is
    watched by itself, so whatever name it is opened by."""

    def __init__(self, *paths):
        self.fd = LIBC.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        self.names = {LIBC.inotify_add_watch(self.fd, p.encode(), sum(EVENTS)): p
                      for p in paths}
        assert self.fd >= 0 and min(self.names) >= 0, ctypes.get_errno()

    def seen(self):
        """A list of (path, what was done); empties it."""
        found = []
        while True:
            try:
                data = os.read(self.fd, 1 << 16)
            except BlockingIOError:
                return found
            while data:
                number, mask, _, size = HEAD.unpack_from(data)
                name = data[HEAD.size:HEAD.size + size].rstrip(b"\0").decode()
                words = [word for bit, word in EVENTS.items() if mask & bit]
                found.append((self.names.get(number), name, words or hex(mask)))
                data = data[HEAD.size + size:]

    def close(self):
        os.close(self.fd)


def tree(top):
    """All below TOP: kind and mode, owner, content."""
    found = {}
    for folder, folders, files in os.walk(top):
        for name in folders + files:
            path = os.path.join(folder, name)
            st = os.lstat(path)
            content = b""
            if os.path.isfile(path) and not os.path.islink(path):
                with open(path, "rb") as f:
                    content = f.read()
            found[path] = (st.st_mode, st.st_uid, st.st_gid, content)
    return found


# ---- changing -----------------------------------------------------------------------

class Flip:
    """The steps of one round, over and over until the end of the block; as root, or UID."""

    def __init__(self, *steps, uid=None):
        words = [word for step in steps for word in step]
        if uid is not None:
            words = ["as", str(uid), *words]
        self.process = subprocess.Popen([helper("hostile/flip"), *words],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        preexec_fn=functools.partial(guard.harmless,
                                                                     admin=True))
        self.rounds = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.rounds = int(self.process.communicate()[0])
        assert self.process.returncode == 0
