"""image - what the test guest is booted from

Two parts, below build/vm/:

    base/       root file system, disks, kernel, modules: Debian as this machine's apt
                knows it. Takes half a minute; kept until the packages or this file change.
    layer       our files: tests/vm/guest/ and packages, as a second archive behind the
                initrd, which lays them over the root at the first boot, and has dpkg install
                the agent that is tried. Takes a second, and the package's build.

So the agent runs from its package, under the guest's systemd, and a run writes to nothing
but overlays of its own.
"""
import glob
import hashlib
import lzma
import os
import shutil
import struct
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.join(ROOT, "build", "vm")
BASE = os.path.join(BUILD, "base")
GUEST = os.path.join(HERE, "guest")
KERNEL = "linux-image-amd64"
REFERENCE = "qemu-guest-agent"
DEBS = "/var/tmp/debs"  # in the guest: packages, and `install`, the name of the agent's
BOOT_MODULES = ["virtio_pci", "virtio_blk", "crc32c_generic", "ext4"]
XZ = b"\xfd7zXZ\0"
DISKS = ["root", "xfs", "btrfs", "scsi1", "scsi2", "scsi3", "sata", "usb", "nvme", "ide"]

# What would only wait, or write, at boot.
MASKED = """apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer
    e2scrub_reap.service fstrim.timer serial-getty@ttyS0.service ldconfig.service
    ssh.service ssh.socket
    systemd-firstboot.service systemd-hwdb-update.service
    nvmf-autoconnect.service systemd-journal-catalog-update.service
    systemd-machine-id-commit.service systemd-network-generator.service
    systemd-networkd-wait-online.service systemd-random-seed.service
    systemd-sysusers.service systemd-update-done.service systemd-update-utmp.service
    systemd-timesyncd.service""".split()


def run(*argv, log=None, **options):
    """A command whose output is of interest only if it fails."""
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, errors="replace", check=False, **options)
    if log:
        with open(log, "a", encoding="utf-8") as f:
            f.write(f"$ {' '.join(argv)}\n{done.stdout}")
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv[:6])}: status {done.returncode}\n"
                           f"{done.stdout[-4000:]}")
    return done.stdout


# ---- Debian, as this machine's apt knows it ------------------------------------------------

def packages(group):
    with open(os.path.join(ROOT, "tests", "packages"), encoding="utf-8") as f:
        rows = [line.split() for line in f if not line.startswith("#")]
    return sorted(name for row in rows if row and row[0] == group for name in row[1:])


def release():
    with open("/etc/os-release", encoding="utf-8") as f:
        rows = dict(line.rstrip("\n").split("=", 1) for line in f if "=" in line)
    return rows["VERSION_CODENAME"].strip('"')


def kernel_package():
    """Name and version of the kernel that KERNEL stands for today."""
    shown = run("apt-cache", "show", "--no-all-versions", KERNEL)
    depends = next(l for l in shown.splitlines() if l.startswith("Depends:"))
    name, version = depends.removeprefix("Depends: ").split(",")[0].split(" ", 1)
    return f"{name}={version.strip('()= ')}"


def sources():
    """Debian's part of the apt sources, one line each."""
    listed = run("apt-get", "indextargets", "--format",
                 "deb $(REPO_URI) $(RELEASE) $(COMPONENT)",
                 "Created-By: Packages", "Origin: Debian")
    return sorted(set(listed.splitlines()))


def proxies():
    """This machine's way to its mirror; mmdebstrap does not read the configuration."""
    found = run("apt-config", "dump")
    return [f"--aptopt={l}" for l in found.splitlines()
            if l.startswith("Acquire::") and "::Proxy " in l]


def fresh_lists():
    if not sources():
        run("apt-get", "update", "-qq")


# ---- the base --------------------------------------------------------------------------------

def key_of(kernel):
    """Changes when a base made earlier would differ from one made now."""
    with open(__file__, "rb") as f:
        text = f.read()
    parts = [release(), kernel, *packages("guest")]
    return hashlib.sha256(text + "\n".join(parts).encode()).hexdigest()[:16]


def fetch_kernel(kernel, folder, log):
    os.makedirs(folder)
    try:
        run("apt-get", "download", "-qq", kernel, cwd=folder, log=log)
    except RuntimeError:  # the lists are older than the mirror
        run("apt-get", "update", "-qq", log=log)
        run("apt-get", "download", "-qq", kernel, cwd=folder, log=log)
    deb, = glob.glob(f"{folder}/*.deb")
    run("dpkg-deb", "-x", deb, f"{folder}/tree", log=log)
    modules, = glob.glob(f"{folder}/tree/lib/modules/*")
    run("depmod", "-b", f"{folder}/tree", os.path.basename(modules), log=log)
    return f"{folder}/tree"


def fetch_reference(folder, log):
    os.makedirs(folder)
    run("apt-get", "download", "-qq", REFERENCE, cwd=folder, log=log)
    deb, = glob.glob(f"{folder}/*.deb")
    os.rename(deb, f"{folder}/{REFERENCE}.deb")


def unpack_kernel(bzimage, path):
    """The ELF file in a bzImage: an emulated processor needs seconds to unpack it at each
    boot. The packed one is for a guest that is to sleep (machine.py). Where its fields are:
    Documentation/x86/boot.rst of Linux."""
    with open(bzimage, "rb") as f:
        data = f.read()
    begin, length = struct.unpack_from("<II", data, 0x248)  # payload_offset, _length
    begin += (data[0x1f1] + 1) * 512                        # setup_sects
    packed = data[begin:begin + length]
    with open(path, "wb") as f:
        # Behind it stands its unpacked size, hence not lzma.decompress().
        f.write(lzma.LZMADecompressor().decompress(packed) if packed.startswith(XZ) else data)


def archive(folder, path):
    """FOLDER as a cpio, all owned by root."""
    with open(path, "wb") as out:
        find = subprocess.run(["find", ".", "-mindepth", "1", "-print0"], cwd=folder,
                              stdout=subprocess.PIPE, check=True)
        subprocess.run(["cpio", "-0", "-o", "-H", "newc", "-R", "0:0", "--quiet"],
                       cwd=folder, input=find.stdout, stdout=out, check=True)


def make_initrd(kernel_tree, folder, path):
    """A busybox and the modules of the root disk, in the order to load them."""
    version = os.path.basename(glob.glob(f"{kernel_tree}/lib/modules/*")[0])
    os.makedirs(f"{folder}/bin")
    os.makedirs(f"{folder}/modules")
    shutil.copy("/bin/busybox", f"{folder}/bin/busybox")
    order = []
    for module in BOOT_MODULES:
        shown = run("modprobe", "-d", kernel_tree, "-S", version, "--show-depends", module)
        for line in shown.splitlines():
            source = line.split()[1]
            target = f"/modules/{os.path.basename(source)}"
            if line.startswith("insmod") and target not in order:
                shutil.copy(source, folder + target)
                order.append(target)
    with open(f"{folder}/modules/order", "w", encoding="ascii") as f:
        f.write("\n".join(order) + "\n")
    archive(folder, path)


def make_root(kernel_tree, folder, path, log):
    with open(f"{folder}.list", "w", encoding="utf-8") as f:
        f.write("\n".join(sources()) + "\n")
    run("mmdebstrap", "--mode=root", "--variant=minbase", *proxies(),
        f"--include={','.join(packages('guest'))}", release(), folder, f"{folder}.list",
        log=log)
    # What it depends on stays, and its hook, which people go on using; its package is in DEBS.
    shutil.copytree(f"{folder}/etc/qemu", f"{folder}/etc/qemu.kept")
    run("chroot", folder, "dpkg", "--purge", REFERENCE, log=log)
    os.rename(f"{folder}/etc/qemu.kept", f"{folder}/etc/qemu")
    run("cp", "-a", f"{kernel_tree}/lib/modules", f"{folder}/usr/lib/modules", log=log)
    run("truncate", "-s", "2G", path)
    run("mke2fs", "-q", "-t", "ext4", "-d", folder, path, log=log)


def make_disks(folder, log):
    """All but the root; what spans several disks is made by the guest (vm-hardware)."""
    for name, size, partitions, kind in (
            ("xfs", 320, [], "xfs"), ("btrfs", 256, [], "btrfs"),
            ("scsi1", 48, [24, 16], "ext4"), ("scsi2", 16, [], None), ("scsi3", 24, [], None),
            ("sata", 16, [], "ext4"), ("usb", 16, [], "ext4"), ("ide", 16, [], "ext4"),
            ("nvme", 48, [16, 24], "ext4")):
        path = f"{folder}/{name}.raw"
        run("truncate", "-s", f"{size}M", path)
        if partitions:  # the first MiB is the table's
            run("sfdisk", "-q", path, log=log,
                input="label: gpt\n" + "".join(f"size={mib}MiB\n" for mib in partitions))
            run("mke2fs", "-q", "-t", kind, "-E", "offset=1048576", path,
                f"{partitions[0]}M", log=log)
        elif kind:
            run(f"mkfs.{kind}", "-q", path, log=log)


def make_base(kernel, log):
    """Everything but our own files, in a new folder that takes the old one's place."""
    work = BASE + ".new"
    for stale in (work, BASE):
        shutil.rmtree(stale, ignore_errors=True)
    os.makedirs(work)
    tree = fetch_kernel(kernel, f"{work}/kernel", log)
    fetch_reference(f"{work}/debs", log)
    make_root(tree, f"{work}/tree", f"{work}/root.raw", log)
    make_initrd(tree, f"{work}/initrd", f"{work}/initrd.cpio")
    shutil.copy(glob.glob(f"{tree}/boot/vmlinuz-*")[0], f"{work}/vmlinuz")
    unpack_kernel(f"{work}/vmlinuz", f"{work}/vmlinux")
    make_disks(work, log)
    for part in ("kernel", "tree", "initrd"):
        shutil.rmtree(f"{work}/{part}")
    with open(f"{work}/key", "w", encoding="ascii") as f:
        f.write(key_of(kernel))
    os.rename(work, BASE)


def need_base(log):
    """Make the base unless there is one as it would be made now. Was it made?"""
    fresh_lists()
    kernel = kernel_package()
    try:
        with open(f"{BASE}/key", encoding="ascii") as f:
            if f.read() == key_of(kernel):
                return False
    except FileNotFoundError:
        pass
    make_base(kernel, log)
    return True


# ---- the layer -------------------------------------------------------------------------------

def link(folder, name, target):
    path = f"{folder}/etc/systemd/system/{name}"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    os.symlink(target, path)


def make_layer(agent, log):
    """The initrd of a run: the base's, and behind it our files with AGENT among them."""
    work = f"{BUILD}/layer"
    shutil.rmtree(work, ignore_errors=True)
    layer = f"{work}/layer"
    shutil.copytree(GUEST, layer, symlinks=True)
    os.rename(f"{layer}/init", f"{work}/init")
    for unit in MASKED:
        link(layer, unit, "/dev/null")
    shutil.copytree(f"{BASE}/debs", layer + DEBS)
    link(layer, "sysinit.target.wants/vm-shell.service", "../vm-shell.service")
    link(layer, "multi-user.target.wants/vm-hardware.service", "../vm-hardware.service")
    agent.install(layer, log)
    with open(f"{layer}{DEBS}/Packages", "wb") as f:  # so that apt can take it for an archive
        subprocess.run(["dpkg-scanpackages", "--multiversion", "."], cwd=layer + DEBS, check=True,
                       stdout=f, stderr=subprocess.DEVNULL)
    for folder, _folders, _files in os.walk(work):
        os.chmod(folder, 0o755)
    archive(work, f"{BUILD}/layer.cpio")
    shutil.rmtree(work)
    with open(f"{BUILD}/initrd", "wb") as out:
        for part in (f"{BASE}/initrd.cpio", f"{BUILD}/layer.cpio"):
            with open(part, "rb") as f:
                shutil.copyfileobj(f, out)


def make_overlays(folder):
    """A fresh disk over each of the base's; {name: path}."""
    paths = {}
    for name in DISKS:
        paths[name] = f"{folder}/{name}.qcow2"
        run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw",
            "-b", f"{BASE}/{name}.raw", paths[name])
    return paths
