"""The channel without libvirt: clients that come, go, leave halves and read slowly."""
import json
import select
import time

from agent import wait_until
from case import RAW, case, note

HALF = b'{"execute":"guest-pi'
PING = b'{"execute":"guest-ping"}\n'
PONG = b'{"return": {}}'


def settled():
    """The time that the agent may take to see that the host has gone."""
    time.sleep(1)


@case("reset, then a first answer", RAW)
def _(vm):
    with vm.client() as client:
        client.reset()
        assert client.call("guest-ping") == {"return": {}}
        assert client.call("guest-get-host-name")["return"]["host-name"] == \
            vm.shell("uname -n")


@case("the host closes and opens the port, slowly and quickly", RAW)
def _(vm):
    before = vm.all_processes()
    for pause in [1.0] * 3 + [0.0] * 20:
        with vm.client() as client:
            client.reset()
            assert client.call("guest-ping") == {"return": {}}
        time.sleep(pause)
    assert vm.all_processes() == before


@case("half a request from a client that leaves", RAW)
def _(vm):
    with vm.client() as client:
        client.reset()
        client.send(HALF)
    settled()
    with vm.client() as client:
        client.send(PING)
        assert client.recv_replies(1) == [PONG]


@case("half a request, and the next client is there at once", RAW)
def _(vm):
    """Too quick for the guest to see: the next client must begin with 0xFF."""
    with vm.client() as client:
        client.reset()
        client.send(HALF)
    with vm.client() as client:
        client.reset()
        assert client.call("guest-ping") == {"return": {}}


@case("a request in pieces", RAW)
def _(vm):
    with vm.client() as client:
        client.reset()
        for n in range(len(PING)):
            client.send(PING[n:n + 1])
            time.sleep(0.02)
        assert client.recv_replies(1) == [PONG]


@case("8 MiB of replies to a client that reads slowly", RAW, limit=120)
def _(vm):
    size, count = 64 << 10, 128
    ids = [f"{n:08x}" * (size // 8) for n in range(count)]
    data = b"".join(json.dumps({"execute": "guest-ping", "id": i}).encode() + b"\n"
                    for i in ids)
    with vm.client() as client:
        client.reset()
        got = read_slowly(client.sock, data, count)
    replies = [json.loads(line) for line in got.split(b"\n")[:-1]]
    assert len(replies) == count, len(replies)
    for reply, expected in zip(replies, ids):
        assert reply == {"return": {}, "id": expected}, f"{reply!r:.200}"
    note(f"{len(got) >> 10} KiB")


def read_slowly(sock, data, lines):
    """Send DATA, read COUNT lines: nothing for two seconds, then 16 KiB at a time."""
    view, got, begin = memoryview(data), bytearray(), time.monotonic()
    while got.count(b"\n", max(0, len(got) - 16384)) == 0 or got.count(b"\n") < lines:
        may_read = time.monotonic() > begin + 2
        r, w, _ = select.select([sock] if may_read else [], [sock] if view else [], [], 0.1)
        assert time.monotonic() < begin + 100, f"{len(got)} bytes, {len(view)} to send"
        if w:
            view = view[sock.send(view[:65536]):]
        if r:
            piece = sock.recv(16384)
            assert piece, "closed"
            got += piece
            time.sleep(0.005)
    return bytes(got)


@case("replies that a client left unread do not reach the next", RAW)
def _(vm):
    with vm.client() as client:
        client.reset()
        client.send(b'{"execute":"guest-info"}\n' * 400)
        time.sleep(1)  # more than socket and port hold: the agent has to wait with it
    settled()
    with vm.client() as client:
        client.send(PING)
        got = client.recv_replies(1)
        assert got == [PONG], got
        client.nothing(0.5)


@case("the service stops and starts under a client", RAW)
def _(vm):
    with vm.client() as client:
        client.reset()
        vm.shell(f"systemctl stop {vm.agent.unit}")
        try:
            assert not vm.port_is_open()
            client.send(PING)
            client.nothing(1)
        finally:
            vm.shell(f"systemctl start {vm.agent.unit}")
        # What was sent meanwhile waits in the port.
        assert client.recv_replies(1) == [PONG]
        assert client.call("guest-ping") == {"return": {}}


@case("no wake-ups while the host is away", RAW)
def _(vm):
    with vm.client() as client:
        client.reset()
    settled()
    count = vm.wakeups()
    note(", ".join(f"{n} {name}" for name, n in count.items()))
    assert max(count.values()) <= 2, count
    with vm.client() as client:
        client.send(PING)
        assert client.recv_replies(1) == [PONG]


@case("an agent that was away and idle answers at once", RAW)
def _(vm):
    def answered():
        with vm.client() as client:
            client.send(PING)
            return client.recv_replies(1, timeout=5) == [PONG]
    for _ in range(5):
        assert wait_until(answered, "an answer", 5)
        settled()
