"""fuse - a file system that stops answering

    with scratch.namespaces(), fuse.Server("/run/fuse") as server:
        ...                          # /run/fuse/f is a file; answers come at once
        server.hold("READ")          # takes requests of that kind and does not answer
        server.answer()              # answers these too, and all others from here on
        os.kill(server.pid, signal.SIGSTOP)   # takes no request any more
        server.kill()                # is gone: whoever waits gets an error

The two ways of hanging differ: SIGKILL ends whoever waits for a request that was not
taken yet; one that was taken is waited for until its answer, or until the server is gone.

The server is a process of its own that speaks the kernel's protocol (linux/fuse.h) on
/dev/fuse. Nothing is cached, so that every call of a program asks. It ends with the test,
since its socket to it does.
"""
import errno
import os
import select
import signal
import socket
import stat
import struct

import scratch

IN_HEAD = struct.Struct("<IIQQIIIHH")
OUT_HEAD = struct.Struct("<IiQ")

LOOKUP, FORGET, GETATTR, SETATTR, OPEN, READ, WRITE = 1, 2, 3, 4, 14, 15, 16
STATFS, RELEASE, FLUSH, INIT, INTERRUPT, BATCH_FORGET = 17, 18, 25, 26, 36, 42
KINDS = {"LOOKUP": LOOKUP, "GETATTR": GETATTR, "OPEN": OPEN, "READ": READ, "WRITE": WRITE,
         "STATFS": STATFS, "FLUSH": FLUSH}
UNANSWERED = (FORGET, BATCH_FORGET, INTERRUPT)
FOPEN_DIRECT_IO = 1

TOP, FILE = 1, 2  # node numbers


class _FileSystem:
    """A directory with the file `f`. Each method gives the answer to a kind of request."""

    def __init__(self, content):
        self.content = bytearray(content)

    def _attributes(self, node):
        mode = stat.S_IFDIR | 0o755 if node == TOP else stat.S_IFREG | 0o644
        size = 0 if node == TOP else len(self.content)
        return struct.pack("<6Q10I", node, size, 0, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0,
                           4096, 0)

    def init(self, _node, _body):
        return struct.pack("<IIIIHHII", 7, 31, 0, 0, 12, 9, 65536, 1).ljust(64, b"\0")

    def lookup(self, _node, body):
        if body != b"f\0":
            return -errno.ENOENT
        return struct.pack("<QQQQII", FILE, 0, 0, 0, 0, 0) + self._attributes(FILE)

    def getattr(self, node, _body):
        return struct.pack("<QII", 0, 0, 0) + self._attributes(node)

    def setattr(self, node, body):
        valid, _, _, size = struct.unpack_from("<IIQQ", body)
        if valid & 8:  # FATTR_SIZE
            del self.content[size:]
        return self.getattr(node, body)

    def open(self, _node, _body):
        return struct.pack("<QII", 0, FOPEN_DIRECT_IO, 0)

    def read(self, _node, body):
        _, offset, size = struct.unpack_from("<QQI", body)
        return bytes(self.content[offset:offset + size])

    def write(self, _node, body):
        _, offset, size = struct.unpack_from("<QQI", body)
        self.content[offset:offset + size] = body[40:40 + size]
        return struct.pack("<II", size, 0)

    def statfs(self, _node, _body):
        return struct.pack("<5Q4I", 0, 0, 0, 0, 0, 4096, 255, 4096, 0).ljust(80, b"\0")

    def nothing(self, _node, _body):
        return b""


class _Loop:
    """What the server's process runs."""

    def __init__(self, device, control, content):
        self.device, self.control = device, control
        self.kept, self.held = set(), []
        fs = _FileSystem(content)
        self.answers = {INIT: fs.init, LOOKUP: fs.lookup, GETATTR: fs.getattr,
                        SETATTR: fs.setattr, OPEN: fs.open, READ: fs.read,
                        WRITE: fs.write, STATFS: fs.statfs, RELEASE: fs.nothing,
                        FLUSH: fs.nothing}

    def _answer(self, packet):
        _, kind, unique, node = IN_HEAD.unpack_from(packet)[:4]
        handler = self.answers.get(kind)
        got = handler(node, packet[IN_HEAD.size:]) if handler else -errno.ENOSYS
        error, body = (got, b"") if isinstance(got, int) else (0, got)
        try:
            os.write(self.device, OUT_HEAD.pack(OUT_HEAD.size + len(body), error, unique)
                     + body)
        except FileNotFoundError:
            pass  # nobody waits for it any more

    def _request(self):
        try:
            packet = os.read(self.device, 1 << 18)
        except (FileNotFoundError, BlockingIOError):
            return  # taken back while it was read, or before
        kind = IN_HEAD.unpack_from(packet)[1]
        if kind in self.kept:
            self.held.append(packet)
        elif kind not in UNANSWERED:
            self._answer(packet)

    def _order(self):
        word = self.control.recv(1)
        if not word:
            os._exit(0)
        if word[0]:
            self.kept.add(word[0])
        else:
            self.kept.clear()
            for packet in self.held:
                self._answer(packet)
            self.held.clear()
        self.control.send(word)

    def run(self):
        while True:
            for source in select.select([self.device, self.control], [], [])[0]:
                if source == self.device:
                    self._request()
                else:
                    self._order()


class Server:
    """A mount at POINT, and its server."""

    def __init__(self, point, content=b"content\n"):
        self.point = point
        self.content = content
        self.file = os.path.join(point, "f")

    def __enter__(self):
        device = os.open("/dev/fuse", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        scratch.mount("test", self.point, "fuse", data=f"fd={device},rootmode=40000,"
                      "user_id=0,group_id=0,allow_other")
        self.control, theirs = socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                self.control.close()
                _Loop(device, theirs, self.content).run()
            finally:
                os._exit(1)
        os.close(device)
        theirs.close()
        os.stat(self.file)  # it answers
        return self

    def __exit__(self, *_):
        self.kill()
        self.control.close()

    def _order(self, word):
        self.control.send(bytes([word]))
        assert self.control.recv(1) == bytes([word])

    def hold(self, *kinds):
        for kind in kinds:
            self._order(KINDS[kind])

    def answer(self):
        self._order(0)

    def kill(self):
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.pid = 0
