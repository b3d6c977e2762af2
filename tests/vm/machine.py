"""machine - the test guest in a libvirt of its own

Libvirtd, QEMU and whatever they start live in one mount and one pid namespace, so they
see a private /etc/libvirt, /run and /var/lib/libvirt, and end with the harness, however
it ends. The guest outlives libvirtd: while that is stopped, a case has the channel's
socket to itself.

A case is handed a Guest (see there). Sockets and disks are in a short temporary folder,
logs in build/vm/logs/.
"""
import base64
import contextlib
import dataclasses
import gzip
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import xml.etree.ElementTree as ElementTree

import libvirt
import libvirt_qemu

import image
from agent import Client, wait_until

LOGS = os.path.join(image.BUILD, "logs")
CACHE = os.path.join(image.BUILD, "libvirt-cache")  # what QEMU can do: seconds to find out
NAME = "postern-vm"
CHANNEL = "org.qemu.guest_agent.0"
POLICY = "/etc/postern/policy.conf"
BLOCK_LIST = "/etc/qemu/qemu-ga.conf"  # qemu-ga's: agents.py

# Neither journal nor cgroups, security labels or a log daemon of this machine are used.
LIBVIRTD_CONF = """
unix_sock_group = "root"
unix_sock_rw_perms = "0700"
auth_unix_ro = "none"
auth_unix_rw = "none"
log_outputs = "2:file:/var/log/libvirt/libvirtd.log"
"""
QEMU_CONF = """
user = "root"
group = "root"
security_driver = "none"
dynamic_ownership = 0
remember_owner = 0
cgroup_controllers = []
namespaces = []
stdio_handler = "file"
"""
NAMESPACE = """
set -e
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/libvirt
for pair in etc:/etc/libvirt run:/run/libvirt lib:/var/lib/libvirt cache:/var/cache/libvirt \
    log:/var/log/libvirt; do
	mount --bind "$1/${pair%%:*}" "${pair#*:}"
done
echo ready
cat
"""
KERNEL_LINE = ("root=/dev/vda rw console=ttyS0 mitigations=off no_timer_check tsc=reliable "
               "cryptomgr.notests lsm=landlock,capability,apparmor quiet "
               "systemd.show_status=0 net.ifnames=0")
CAP_SYS_ADMIN = 1 << 21
THAW = """findmnt -k -n -r -v -o TARGET | while read -r point; do
	fsfreeze -u "$(printf %b "$point")"
done 2>/dev/null"""
DOMAIN = f"""
<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>{NAME}</name>
  <maxMemory slots='2' unit='MiB'>1536</maxMemory>
  <memory unit='MiB'>768</memory>
  <vcpu current='2'>3</vcpu>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <kernel>{{base}}/{{kernel}}</kernel>
    <initrd>{{build}}/initrd</initrd>
    <cmdline>{KERNEL_LINE}</cmdline>
  </os>
  <features><acpi/></features>
  <cpu mode='custom' match='exact' check='none'>
    <model fallback='forbid'>Nehalem</model>
    <numa><cell id='0' cpus='0-2' memory='768' unit='MiB'/></numa>
  </cpu>
  <on_poweroff>destroy</on_poweroff>
  <on_reboot>restart</on_reboot>
  <on_crash>destroy</on_crash>
  <pm><suspend-to-mem enabled='yes'/></pm>
  <devices>
    {{disks}}
    <controller type='scsi' index='0' model='virtio-scsi'/>
    <serial type='file'>
      <source path='{{logs}}/console.log' append='on'/><target port='0'/>
    </serial>
    <serial type='unix'>
      <source mode='bind' path='{{dir}}/shell'/><target port='1'/>
    </serial>
    <channel type='unix'>
      <source mode='bind' path='{{dir}}/channel'/>
      <target type='virtio' name='{CHANNEL}'/>
    </channel>
    <memballoon model='none'/>
  </devices>
  <qemu:commandline>
    {{extra}}
  </qemu:commandline>
</domain>
"""
DISK = """<disk type='file' device='disk'>
      <driver name='qemu' type='qcow2' cache='unsafe' discard='unmap'/>
      <source file='{path}'/><target dev='{dev}' bus='{bus}'/><serial>{serial}</serial>
      {address}
    </disk>"""
ADDRESS = "<address type='drive' controller='0' bus='0' target='{}' unit='{}'/>"


@dataclasses.dataclass(frozen=True)
class Disk:
    """A disk as the guest is given it; its serial is its name in capitals."""
    name: str         # the file's; one of image.DISKS
    bus_type: str     # with the next three as in the protocol's disk addresses
    bus: int = 0
    target: int = 0
    unit: int = 0
    dev: str = ""     # libvirt's name, or else:
    slot: int = 0     # that of the controller on the root bus, see EXTRA

    @property
    def serial(self):
        return self.name.upper()


HARDWARE = [
    Disk("root", "virtio", dev="vda"),
    Disk("xfs", "virtio", dev="vdb"),
    Disk("btrfs", "virtio", dev="vdc"),
    Disk("scsi1", "scsi", target=1, dev="sda"),
    Disk("scsi2", "scsi", target=1, unit=2, dev="sdb"),
    Disk("scsi3", "scsi", target=4, dev="sdc"),
    Disk("sata", "sata", unit=3, dev="sdd"),
    Disk("usb", "usb", dev="sde"),
    Disk("nvme", "nvme", slot=0x10),
    Disk("ide", "ide", bus=1, unit=1, slot=0x11),
]

# What libvirt does not offer for this machine type. Both network cards are on one wire
# that leads nowhere.
EXTRA = """
-device nvme,id=nvme,addr=10,serial=NVME,drive=nvme
-device piix3-ide,id=old,addr=11
-device ide-hd,bus=old.1,unit=1,serial=IDE,drive=ide
-netdev hubport,id=wire0,hubid=0
-netdev hubport,id=wire1,hubid=0
-device virtio-net-pci,addr=12,romfile=,netdev=wire0,mac=52:54:00:00:00:01
-device virtio-net-pci,addr=13,romfile=,netdev=wire1,mac=52:54:00:00:00:02
"""


# ---- libvirt, and the guest in it -------------------------------------------------------

class Machine:
    """Starts and ends everything; the cases' processes only talk to it."""

    def __init__(self):
        libvirt.registerErrorHandler(lambda *_: None, None)  # it prints what it raises
        self.dir = tempfile.mkdtemp(prefix="postern-vm-")
        self.shell_path = os.path.join(self.dir, "shell")
        self.channel_path = os.path.join(self.dir, "channel")
        self.uri = f"qemu+unix:///system?socket={self.dir}/run/libvirt-sock"
        self.keeper = self.libvirtd = None
        self.overlays = None
        self.started = None

    def __enter__(self):
        try:
            self._make_namespace()
            self.start_libvirtd()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_exc):
        """The keeper is the first process of the pid namespace: its end ends all."""
        if self.keeper:
            self.keeper.kill()
            self.keeper.wait()
        if self.libvirtd:
            self.libvirtd.wait()
        shutil.rmtree(self.dir, ignore_errors=True)

    def _make_namespace(self):
        for part in ("etc", "run", "lib", "log"):
            os.mkdir(os.path.join(self.dir, part))
        for link, target in (("cache", CACHE), ("logs", LOGS)):
            os.makedirs(target, exist_ok=True)
            os.symlink(target, os.path.join(self.dir, link))
        for name, text in (("libvirtd.conf", LIBVIRTD_CONF), ("qemu.conf", QEMU_CONF)):
            with open(f"{self.dir}/etc/{name}", "w", encoding="ascii") as f:
                f.write(text)
        self.keeper = subprocess.Popen(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc",
             "sh", "-c", NAMESPACE, "sh", self.dir],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        if self.keeper.stdout.readline() != b"ready\n":
            raise RuntimeError("no private mount and pid namespace: is this root?")

    def _inside(self, *argv):
        """argv that runs in the namespaces."""
        with open(f"/proc/{self.keeper.pid}/task/{self.keeper.pid}/children",
                  encoding="ascii") as f:
            first = f.read().split()[0]
        return ["nsenter", "-t", first, "-m", "-p", "--", *argv]

    def start_libvirtd(self):
        with open(f"{LOGS}/libvirtd.log", "ab") as log:
            self.libvirtd = subprocess.Popen(self._inside("libvirtd"), stdout=log,
                                             stderr=log, stdin=subprocess.DEVNULL,
                                             start_new_session=True)
        wait_until(self._answers, "libvirtd", 60)

    def _answers(self):
        assert self.libvirtd.poll() is None, "libvirtd ended: see libvirtd.log"
        with contextlib.suppress(libvirt.libvirtError):
            libvirt.open(self.uri).close()
            return True
        return False

    def stop_libvirtd(self):
        """The guest runs on, and nobody holds the channel's socket."""
        subprocess.run(self._inside("sh", "-c", "kill $(cat /run/libvirtd.pid)"), check=True)
        self.libvirtd.wait(30)
        self.libvirtd = None

    def start_guest(self, wakes=False):
        """Boot it: from fresh disks, and from then on from what it has made of them.

        WAKES: one that can be woken from sleep. When QEMU wakes a guest it writes an ELF
        kernel's segments to where they were at the boot, over those of the one that runs.
        """
        self.overlays = self.overlays or image.make_overlays(self.dir)
        disks, extra = [], EXTRA.split()
        for disk in HARDWARE:
            path = self.overlays[disk.name]
            if disk.dev:
                address = ADDRESS.format(disk.target, disk.unit) \
                    if disk.bus_type in ("scsi", "sata") else ""
                disks.append(DISK.format(path=path, dev=disk.dev, bus=disk.bus_type,
                                         serial=disk.serial, address=address))
            else:
                extra += ["-drive", f"if=none,id={disk.name},file={path},cache=unsafe"]
        text = DOMAIN.format(base=image.BASE, kernel="vmlinuz" if wakes else "vmlinux",
                             build=image.BUILD, logs=LOGS, dir=self.dir,
                             disks="\n    ".join(disks),
                             extra="".join(f"<qemu:arg value='{a}'/>" for a in extra))
        self.started = time.monotonic()
        with contextlib.closing(libvirt.open(self.uri)) as connection:
            connection.createXML(text)

    def end_guest(self):
        """Pull the plug, if it is not off anyway."""
        with contextlib.closing(libvirt.open(self.uri)) as connection:
            with contextlib.suppress(libvirt.libvirtError):
                connection.lookupByName(NAME).destroy()

    def guest(self, agent):
        return Guest(self, agent)


# ---- what a case sees --------------------------------------------------------------------

class Refused(AssertionError):
    """A command that failed: .text is what its user was shown."""

    def __init__(self, what, text):
        super().__init__(f"{what}: {text}")
        self.text = text


def log(text):
    """A line in the case's own log."""
    print(f"{time.strftime('%H:%M:%S')} {text[:4000]}", flush=True)


def refused(function, *argv, **options):
    """The text with which a call is refused; it must be."""
    try:
        function(*argv, **options)
    except Refused as e:
        log(f"refused, as it should be: {e.text}")
        return e.text
    raise AssertionError(f"not refused: {argv} {options}")


class Guest:
    """The guest, from outside (libvirt, channel) and from inside (shell).

    Everything that is asked and answered goes to the case's log. What fails raises.
    """

    def __init__(self, machine, agent):
        self.agent = agent
        self.machine = machine
        self._shell = None
        self._connection = None
        self._nonce = itertools.count()

    # -- from outside: libvirt

    @property
    def domain(self):
        """python3-libvirt's view of the guest."""
        if not self._connection:
            self._connection = libvirt.open(self.machine.uri)
        return self._connection.lookupByName(NAME)

    def virsh(self, command, *argv, timeout=20, quiet=True):
        """Output of a virsh command on this guest; Refused with what virsh says."""
        done = subprocess.run(["virsh", *["-q"] * quiet, "-c", self.machine.uri, command, NAME,
                               *argv],
                              capture_output=True, text=True, timeout=timeout, check=False)
        log(f"virsh {command} {' '.join(argv)}\n{done.stdout}{done.stderr}")
        if done.returncode:
            raise Refused(f"virsh {command}", done.stderr.strip())
        return done.stdout

    def ask(self, execute, timeout=10, **arguments):
        """What the agent returns to a command that libvirt passes on."""
        request = {"execute": execute}
        if arguments:
            request["arguments"] = {k.replace("_", "-"): v for k, v in arguments.items()}
        log(f"ask {json.dumps(request)}")
        try:
            reply = libvirt_qemu.qemuAgentCommand(self.domain, json.dumps(request), timeout, 0)
        except libvirt.libvirtError as e:
            log(f"error: {e}")
            raise Refused(execute, str(e)) from None
        log(f"reply {reply}")
        return json.loads(reply)["return"]

    def command(self, execute, timeout=10, **arguments):
        """The same by virsh, as an operator would."""
        request = json.dumps({"execute": execute, "arguments":
                              {k.replace("_", "-"): v for k, v in arguments.items()}})
        told = self.virsh("qemu-agent-command", "--timeout", str(timeout), request,
                          timeout=timeout + 10)
        return json.loads(told)["return"]

    def devices(self):
        """Libvirt's description of the guest's hardware."""
        return ElementTree.fromstring(self.domain.XMLDesc()).find("devices")

    def state(self):
        """What libvirt says of the channel: connected, disconnected."""
        return self.devices().find(f"channel/target[@name='{CHANNEL}']").get("state")

    def answers(self, timeout=20):
        """Wait until libvirt gets a ping answered; how long that took."""
        start = time.monotonic()
        got = self.reached(timeout)
        assert got == {}, f"guest-ping returned {got}"
        return time.monotonic() - start

    def reached(self, timeout=20):
        """Wait until libvirt, or without it a client, gets a ping answered; what by."""
        answers = []
        if not self.machine.libvirtd:
            with self.client() as client:
                client.reset(timeout)
                return client.call("guest-ping", timeout)["return"]

        def try_once():
            try:
                answers.append(self.ask("guest-ping", timeout=5))
            except Refused:
                time.sleep(0.2)
            return answers
        return wait_until(try_once, "an answer to guest-ping", timeout)[0]

    def is_off(self):
        """Has the guest powered off?"""
        try:
            return self.domain.state()[0] == libvirt.VIR_DOMAIN_SHUTOFF
        except libvirt.libvirtError:
            return True  # it goes with its QEMU

    @staticmethod
    def console():
        """What all boots so far have written to the first serial port."""
        with open(f"{LOGS}/console.log", encoding="utf-8", errors="replace") as f:
            return f.read()

    @contextlib.contextmanager
    def states_seen(self):
        """The list of states that libvirt reports as events during the block. Begins by
        waiting: QEMU reports one change a second, and of several the last one."""
        time.sleep(1.2)
        seen, stop = [], threading.Event()
        libvirt.virEventRegisterDefaultImpl()

        def turn():
            while not stop.is_set():
                libvirt.virEventRunDefaultImpl()
        libvirt.virEventAddTimeout(100, lambda *_: None, None)
        names = {1: "connected", 2: "disconnected"}
        with contextlib.closing(libvirt.open(self.machine.uri)) as connection:
            connection.domainEventRegisterAny(
                None, libvirt.VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE,
                lambda _c, _d, state, _reason, _o: seen.append(names[state]), None)
            thread = threading.Thread(target=turn)
            thread.start()
            try:
                yield seen
            finally:
                stop.set()
                thread.join()
                log(f"events: {seen}")

    # -- from outside: the channel itself, while libvirtd is stopped

    def client(self):
        """A connection to the channel's socket (tests/lib/agent.py), not in sync yet."""
        return Client.unix(self.machine.channel_path)

    # -- from inside

    def shell(self, command, timeout=20):
        """Output of a command that root runs inside, without the last newline."""
        status, output = self._run_inside(command, timeout)
        text = output.decode(errors="replace").rstrip("\n")
        log(f"inside# {command}\n{text}")
        if status:
            raise Refused(f"inside: {command}", f"status {status}, {text}")
        return text

    def _run_inside(self, command, timeout):
        if not self._shell:
            self._shell = socket.socket(socket.AF_UNIX)
            self._shell.connect(self.machine.shell_path)
        nonce = f"{os.getpid()}.{next(self._nonce)}"  # each case is a process
        text = base64.b64encode(command.encode()).decode()
        self._shell.sendall(f"{nonce} {timeout} {text}\n".encode())
        self._shell.settimeout(timeout + 10)
        got = b""
        while True:  # what an earlier case left behind comes first
            line, newline, rest = got.partition(b"\n")
            if not newline:
                try:
                    piece = self._shell.recv(65536)
                except TimeoutError:
                    piece = b""
                assert piece, f"the shell inside does not answer: {command}"
                got += piece
                continue
            got = rest
            words = line.split()
            if words and words[0].decode(errors="replace") == f"={nonce}":
                return int(words[1]), base64.b64decode(b"".join(words[2:]))

    def has_booted(self, timeout=150):
        """Wait until the shell answers and systemd has nothing left to start."""
        def try_once():
            try:
                self._run_inside("true", 3)
                return True
            except AssertionError:
                self._shell.close()
                self._shell = None
                return False
        wait_until(try_once, "the shell inside; see console.log", timeout)
        self._run_inside("systemctl is-system-running --wait", timeout)

    def processes(self):
        """Pids of the agent's processes by their part, e.g. {"worker": 312}."""
        listed = self.shell(
            f"cd /proc; for p in $(cat /sys/fs/cgroup/system.slice/{self.agent.unit}"
            "/cgroup.procs 2>/dev/null); do "
            "echo $p $(grep -sE '^(Name|PPid|CapEff)' $p/status); done; true")
        rows = {}
        for line in listed.splitlines():
            pid, _, name, _, parent, _, caps = (line.split() + [""] * 7)[:7]
            if name:
                rows[int(pid)] = (name.removeprefix("postern-")[:8], int(parent or 0), caps)
        parts = {}
        for pid, row in rows.items():
            parts[self._part(row, rows.get(row[1], ("", 0, "")))] = pid
        return parts

    @staticmethod
    def _part(row, parent):
        name, _, caps = row
        forked = parent[0] == name
        if name == "worker" and int(caps or "0", 16) == CAP_SYS_ADMIN:
            # The thawer may have outlived its worker.
            return "helper" if forked and parent[2] == caps else "thawer"
        if forked and name == "worker":
            return "audit writer"
        return {"fronten": "frontend", "inspect": "inspector",
                "reader": "policy reader"}.get(name[:7], name) \
            if name not in ("postern", "qemu-ga") else "supervisor"

    def all_processes(self, timeout=20, frozen=False):
        """The same, once all that should run do; also what has to be there while FROZEN."""
        wanted = {*self.agent.processes, *(self.agent.frozen if frozen else ())}

        def try_once():
            parts = self.processes()
            return parts if set(parts) == wanted else None
        return wait_until(try_once, lambda: f"all processes: {self.processes()}", timeout)

    def wakeups(self, seconds=10):
        """How often each process of the agent is switched to in so many seconds."""
        pids = " ".join(str(p) for p in self.all_processes().values())
        count = ("for p in " + pids + "; do echo $(cat /proc/$p/comm)-$p "
                 "$(awk '/ctxt_switches/ { n += $2 } END { print n }' /proc/$p/status); done")
        output = self.shell(f"{count}; sleep {seconds}; {count}", timeout=seconds + 15)
        rows = [line.split() for line in output.splitlines()]
        half = len(rows) // 2
        return {a[0]: int(b[1]) - int(a[1]) for a, b in zip(rows[:half], rows[half:])}

    def port_is_open(self):
        """Has a process inside the channel's port open?"""
        return self.shell(f"port=$(readlink -f /dev/virtio-ports/{CHANNEL}); "
                          "find /proc/[0-9]*/fd -lname $port 2>/dev/null | head -1") != ""

    @contextlib.contextmanager
    def policy(self, text):
        """The agent runs under this policy during the block. qemu-ga has none: it runs
        without its block list."""
        begin = f"mkdir -m 755 /etc/postern; cat >{POLICY} <<'END'\n{text}\nEND"
        end = "rm -r /etc/postern"
        if self.agent.reference:
            begin, end = f"mv {BLOCK_LIST} /run", f"mv /run/qemu-ga.conf {BLOCK_LIST}"
        restart = f"\nsystemctl restart {self.agent.unit}"
        self.shell(begin + restart)
        try:
            self.reached()
            yield
        except BaseException:
            self.thaw()  # or what follows would wait for it
            raise
        finally:
            self.shell(end + restart)
            self.reached()

    def profile(self, name):
        """The same with one of the agent's own profiles."""
        return self.policy(f"[policy]\nversion = 1\nbase = {name}")

    def repair(self):
        """After a case that failed: the agent started anew, even if it hangs or is stopped."""
        unit = self.agent.unit
        self.thaw()
        if not self.agent.reference:
            self._run_inside(f"rm -f {BLOCK_LIST}", 10)
        self._run_inside("command -v qemu-ga || (cd /var/tmp/debs && dpkg -i $(cat install))",
                         300)
        self._run_inside("rm -rf /etc/postern /run/postern/policy.conf; "
                         "mv /run/qemu-ga.conf /etc/qemu; "
                         "for g in /sys/fs/cgroup/system.slice/*/postern-spawner@*; do "
                         "echo 1 >$g/cgroup.kill; done; "
                         f"systemctl kill --kill-whom=all -s KILL {unit}; sleep 0.5; "
                         f"systemctl reset-failed {unit}; systemctl restart {unit}", 30)
        time.sleep(1.2)  # until QEMU has reported the last change (states_seen)

    def thaw(self):
        """Whatever is frozen, by whomever: thawed without the agent."""
        self._run_inside(THAW, 20)

    def reset(self):
        """When not even the shell answers; takes a minute or two. Libvirtd must run."""
        self.domain.reset()
        time.sleep(2)
        self.has_booted()
        self.answers()

    def save_journal(self):
        _status, packed = self._run_inside("journalctl -o short-precise | tail -n 9000 | "
                                           "gzip", 30)
        with open(f"{LOGS}/journal.log", "wb") as f:
            f.write(gzip.decompress(packed))


def end_group(pid):
    """Kill a case with everything that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
