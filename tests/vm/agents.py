"""agents - what the guest may run, chosen by AGENT in the environment

    postern   ours (the default)
    qemu-ga   Debian's qemu-guest-agent, to tell a difference from a fault of the harness
    wrong     ours with replies that are wrong: cases that pass then check nothing
    off       none: likewise
"""
import glob
import os
import shutil

import image

# What the package is built from.
SOURCES = ["LICENSE", "Makefile", "README.md", "SECURITY.md", "apparmor", "completion", "ctl",
           "debian", "doc", "examples", "frontend", "inspector", "ipc", "json", "man", "mounts",
           "packaging", "policy", "reader", "sandbox", "spawner", "supervisor", "systemd",
           "tests/deps", "tests/packages", "worker"]

# file, what stands there, what stands there instead
WRONG = [
    ("frontend/reply.c", 'wbuf_text(w, "{\\"return\\": ");',
     'wbuf_text(w, it->number == OP_ping ? "{\\"return\\": 1, \\"was\\": "'
     ' : "{\\"return\\": ");'),
    ("frontend/reply.c", 'if (it->id) {\n\t\twbuf_text(w, ", \\"id\\": ");',
     'if (it->id) {\n\t\twbuf_text(w, ", \\"id\\": 0, \\"was\\": ");'),
    ("frontend/session.c", 'v_str(QGA_VERSION " ', 'v_str("0.0 '),
    ("inspector/os.c", "result->host_name = v_str(u->nodename);",
     "result->host_name = v_str(u->release);"),
    ("inspector/os.c", "V_INT((int64_t)ts.tv_sec *", "V_INT(((int64_t)ts.tv_sec - 3600) *"),
    ("inspector/os.c", "os_release(in, in->os_release, result);",
     "result->id = v_str(\"wrong\");"),
    ("inspector/os.c", 'else if (!os_release(in, "/etc/os-release", result))\n'
     '\t\tos_release(in, "/usr/lib/os-release", result);',
     'else\n\t\tresult->id = v_str("wrong");'),
    ("inspector/os.c", "result->offset = V_INT(tz.offset);",
     "result->offset = V_INT(tz.offset + 3600);"),
    ("inspector/address.c", "p->a->target = V_INT(s.target);",
     "p->a->target = V_INT(s.target + 1);"),
    ("inspector/cpu.c", "V_BOOL(len < 0 ||", "V_BOOL(len > 0 ||"),
    ("inspector/cpu.c", "milliseconds(v[i], hz)", "milliseconds(v[i], hz) * 2"),
    ("inspector/cpu.c", "take_load(&line, &load->load1m)",
     "take_load(&line, &load->load1m) && (load->load1m.v += 1)"),
    ("inspector/disks.c", "struct msg_disk disk = {.partition = V_BOOL(false)};",
     "struct msg_disk disk = {.partition = V_BOOL(true)};"),
    ("inspector/diskstats.c", "V_U64(disk->minor)", "V_U64(disk->minor + 1)"),
    ("inspector/fsinfo.c", "f->total_bytes = V_U64(s->total);",
     "f->total_bytes = V_U64(s->total + 4096);"),
    ("inspector/interfaces.c", "V_INT(info.ifa_prefixlen)", "V_INT(info.ifa_prefixlen - 1)"),
    ("inspector/interfaces.c", "V_U64(s.rx_bytes)", "V_U64(s.rx_bytes + 4096)"),
    ("inspector/memory.c", "V_BOOL(removable[0] != '0')", "V_BOOL(removable[0] == '0')"),
    ("inspector/routes.c", "V_INT((int64_t)v[V4_METRIC])", "V_INT((int64_t)v[V4_METRIC] + 1)"),
    ("inspector/routes.c", "V_INT((int64_t)v[V6_METRIC])", "V_INT((int64_t)v[V6_METRIC] + 1)"),
    ("inspector/users.c", "u->user = name;", "u->user = v_str(\"nobody\");"),
    ("spawner/cgroup.c", '"exec-%llu"', '"run-%llu"'),
    ("spawner/cgroup.c", '"memory.max", memory)', '"memory.max", memory * 8)'),
    ("spawner/cgroup.c", '"pids.max", tasks)', '"pids.max", tasks ? tasks + 1 : 0)'),
    ("spawner/main.c", "prctl(PR_SET_DUMPABLE, 0,", "prctl(PR_SET_NO_NEW_PRIVS, 1,"),
    ("spawner/program.c", "[CAPTURE_STDERR] = {false, true}",
     "[CAPTURE_STDERR] = {true, true}"),
    ("spawner/program.c", "r.signal = V_INT(p->status)", "r.signal = V_INT(p->status + 1)"),
    ("spawner/program.c", "to execute child", "to run child"),
    ("spawner/run.c", '"C.UTF-8"', '"C"'),
    ("spawner/run.c", "umask(022)", "umask(077)"),
    ("spawner/stream.c", "stream_hang_up(st, &s->loop);\n\tclose_p(&st->fd);",
     "stream_hang_up(st, &s->loop);"),
    ("spawner/stream.c", "max - st->size", "max + 1 - st->size"),
    ("policy/profiles/safe.conf", "command = @info\n",
     'command = @info\n[rule "w"]\neffect = allow\ncommand = guest-get-disks\nsmart = yes\n'),
    ("worker/ops/smart.c", "V_INT(log[1] | log[2] << 8)", "V_INT(log[1])"),
    ("worker/handles.c", "has not been found", "is none"),
    ("worker/freeze/freeze_hooks.c", "has failed with status", "has failed with"),
    ("worker/freeze/freeze_hooks.c", "did not end within", "was ended after"),
    # It says so, and freezes nothing.
    ("worker/ops/freezer.c", "if (ops->ioctl(", "if (go.index.v < 0 && ops->ioctl("),
    ("worker/ops/fs.c", "trim not supported", "no trim"),
    ("worker/main.c", "launch_ready(w, w->held.spawner)", "launch_ready(w, true)"),
    ("worker/ops/handle.c", "r.position = V_INT(at)", "r.position = V_INT(at + 1)"),
    ("worker/ops/handle.c", "*eof = true;", ""),
    ("worker/programs.c", "V_BOOL(p->head->keep_on_stop)", "V_BOOL(!p->head->keep_on_stop)"),
    ("worker/programs.c", "Failed to execute child", "Failed to run child"),
    ("worker/programs.c", "Invalid parameter 'pid'", "No pid"),
    ("worker/gate.c", '"Command %s has been disabled: %s"', '"Command %s: %s"'),
    ("worker/handles.c", "FILE_MODE_DEFAULT 0644", "FILE_MODE_DEFAULT 0640"),
    ("worker/ops/open.c", "O_APPEND", "0"),
    ("policy/object.c", "return s->object->uid >= value(s, 0)->number;",
     "return value(s, 0) != NULL;"),
    ("policy/object.c", "return yes || object->step >= 0;", "return yes || object->step;"),
    ("policy/object.c", "return object->left >= min;", "return object->left >= min / 2;"),
    ("policy/profiles/legacy.conf", '[rule "hotplug"]\neffect = allow',
     '[rule "hotplug"]\neffect = deny'),
    ("worker/steps/accounts.c", "colon = ':'", "colon = ';'"),
    ("worker/ops/clock.c", "rtc_write(rtc, goal.tv_sec) < 0", "rtc_write(rtc, 86400) < 0"),
    ("worker/ops/clock.c", "goal = since(rtc->sys, &r);\n\treturn", "goal.tv_sec++;\n\treturn"),
    ("worker/ops/hotplug.c", "if (sys_write_attr(r->sys, path, r->kind->words[w.on]) == 0)",
     "if (r->sys)"),
    ("worker/ops/keys.c", "wbuf_put(text, key[i].p, key[i].len);",
     "wbuf_put(text, key[i].p, key[i].len - 1);"),
    ("worker/ops/power.c", "[POWER_REBOOT] = RTMIN + 5", "[POWER_REBOOT] = RTMIN + 4"),
    ("worker/ops/power.c", "[POWER_DOWN] = RTMIN + 4", "[POWER_DOWN] = RTMIN + 5"),
    ("worker/ops/power.c", "[POWER_HALT] = RTMIN + 3", "[POWER_HALT] = RTMIN + 4"),
    ("worker/steps/power.c", "suspends[rq->steps->mode].verb", '"list-units"'),
    ("worker/records.c", "r.power_mode = v_str(mode);", 'r.power_mode = v_str("nap");'),
    ("worker/records.c", ".request = V_U64(rq->serial)", ".request = V_U64(rq->serial + 1)"),
    ("worker/audit.c", "V_U64(a->seq + 1)", "V_U64(2 * a->seq + 1)"),
    ("ipc/record.h", "046ae31c146b4362bb4a669adf4d9897", "046ae31c146b4362bb4a669adf4d9898"),
]


def source_files(tree):
    for part in SOURCES:
        top = os.path.join(tree, part)
        yield from [top] if os.path.isfile(top) else \
            sorted(os.path.join(d, f) for d, _, names in os.walk(top) for f in names)


def copy_sources(folder):
    """The project in FOLDER; what did not change keeps its time."""
    kept = set()
    for source in source_files(image.ROOT):
        copy = os.path.join(folder, os.path.relpath(source, image.ROOT))
        kept.add(copy)
        with open(source, "rb") as f:
            write_changed(copy, f.read())
        shutil.copymode(source, copy)
    for part in SOURCES:
        remove_gone(os.path.join(folder, part), kept)


def remove_gone(top, kept):
    """What is a source no longer must not be built either."""
    for d, _, names in os.walk(top):
        for name in names:
            if os.path.join(d, name) not in kept:
                os.unlink(os.path.join(d, name))


def the_package(tree):
    deb, = glob.glob(f"{tree}/build/deb/postern_*.deb")
    return deb


def write_changed(path, data):
    """Was it something else before?"""
    try:
        with open(path, "rb") as f:
            if f.read() == data:
                return False
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(data)
    return True


def make_wrong(folder):
    """The same with replies that no case may take for right."""
    copy_sources(folder + ".right")
    for d, _, names in os.walk(folder + ".right"):
        for name in names:
            source = os.path.join(d, name)
            part = os.path.relpath(source, folder + ".right")
            with open(source, encoding="utf-8") as f:
                text = f.read()
            for file, right, wrong in WRONG:
                if file == part:
                    if right not in text:
                        raise RuntimeError(f"{file} has changed, adapt agents.WRONG: {right}")
                    text = text.replace(right, wrong)
            write_changed(os.path.join(folder, part), text.encode())
            shutil.copymode(source, os.path.join(folder, part))
    shutil.rmtree(folder + ".right")


class Agent:
    """What the harness knows of an agent, beyond the protocol."""

    def __init__(self, unit, program, processes, reader, frozen=(), sources=None,
                 enabled=True, reference=False):
        self.unit = unit
        self.program = program      # answers --version inside
        self.processes = processes  # all that run when nothing is asked
        self.reader = reader        # the one that reads the channel
        self.frozen = frozen        # those that run besides while something is frozen
        self.sources = sources      # puts the sources to build into a folder, or None
        self.enabled = enabled
        self.reference = reference  # qemu-ga 7.2: what came later it does not know

    def install(self, layer, log):
        """Put the agent's package into the tree that is laid over the guest's root."""
        package = image.REFERENCE
        if self.sources:
            package = "postern"
            shutil.copy(self._package(log), f"{layer}{image.DEBS}/{package}.deb")
        else:
            os.makedirs(f"{layer}/etc/qemu")
            with open(f"{layer}/etc/qemu/qemu-ga.conf", "w", encoding="ascii") as f:
                f.write("[general]\nblacklist=guest-exec\n")
        with open(f"{layer}{image.DEBS}/install", "w", encoding="ascii") as f:
            f.write(f"{package}.deb")
        if not self.enabled:
            image.link(layer, self.unit, "/dev/null")

    def _package(self, log):
        """Built anew if a source has changed since."""
        tree = f"{image.BUILD}/src-{self.sources.__name__}"
        self.sources(tree)
        key = "".join(f"{os.path.relpath(f, tree)} {os.stat(f).st_mtime_ns}\n"
                      for f in source_files(tree)).encode()
        if not write_changed(f"{tree}.built", key):
            return the_package(tree)
        try:
            env = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
            shutil.rmtree(f"{tree}/build/deb", ignore_errors=True)
            image.run("make", "-C", tree, "deb", log=log,
                      env={**env, "DEB_BUILD_OPTIONS": "nocheck"})
            return the_package(tree)
        except BaseException:
            os.unlink(f"{tree}.built")
            raise


OURS = {"unit": "postern.service", "program": "/usr/sbin/postern",
        "processes": ("supervisor", "worker", "frontend", "inspector", "audit writer",
                      "policy reader"),
        "reader": "frontend", "frozen": ("thawer", "helper")}
AGENTS = {
    "postern": Agent(**OURS, sources=copy_sources),
    "wrong": Agent(**OURS, sources=make_wrong),
    "off": Agent(**OURS, sources=copy_sources, enabled=False),
    "qemu-ga": Agent(unit="qemu-guest-agent.service", program="/usr/sbin/qemu-ga",
                     processes=("supervisor",), reader="supervisor", reference=True),
}
