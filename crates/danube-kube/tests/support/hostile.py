"""Every way out of a worker that comes to mind, tried as the image's root. `failed` is what each must come to."""
import fcntl
import os
import signal
import socket
import subprocess

SHIM = "/danube/shim/danube-shim"


def attempt(name, what):
    try:
        got = what()
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        print(f"{name}\tfailed: {error}")
        return
    print(f"{name}\tgot {got!r}" if got else f"{name}\tfailed")


def there(path):
    return os.path.lexists(path) and path


def reads(path):
    with open(path, "rb") as file:
        return file.read(64)


def writes(path, text="x", mode="a"):
    with open(path, mode) as file:
        file.write(text)
    return "written"


def runs(*words):
    if not any(os.access(f"{folder}/{words[0]}", os.X_OK) for folder in os.environ["PATH"].split(":")):
        return f"nothing: {words[0]} is not in the image, so it was not tried"
    done = subprocess.run(words, capture_output=True, timeout=20)
    return done.returncode == 0 and words


def status(name):
    with open("/proc/self/status") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)[name].strip()


# The cluster's and the node's own things.
for path in (
    "/var/run/secrets/kubernetes.io", "/run/secrets", "/var/lib/danube", "/var/lib/kubelet", "/etc/kubernetes",
    "/run/containerd/containerd.sock", "/var/run/docker.sock", "/run/crio", "/host", "/rootfs", "/var/tmp/danube-cluster",
    "/dev/mem", "/dev/kmsg", "/dev/sda", "/dev/vda", "/dev/kvm", "/dev/loop-control", "/dev/fuse", "/dev/mapper",
):
    attempt(f"find {path}", lambda: there(path))

# What is the machine's.
for path, text in (
    ("/proc/sys/kernel/core_pattern", "|/bin/sh"), ("/proc/sys/kernel/panic", "1"), ("/proc/sys/vm/overcommit_memory", "1"),
    ("/proc/sys/net/ipv4/ip_forward", "1"), ("/proc/sysrq-trigger", "h"), ("/sys/kernel/uevent_helper", "/bin/sh"),
    ("/proc/self/uid_map", "0 0 1"), ("/proc/1/oom_score_adj", "-1000"),
):
    attempt(f"write {path}", lambda: writes(path, text, "w"))
for path in ("/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware/efi"):
    attempt(f"read {path}", lambda: os.path.exists(path) and os.path.isfile(path) and reads(path))
for group in ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/pids/pids.max"):
    attempt(f"write {group}", lambda: os.path.exists(group) and writes(group, "9999999999", "w"))

# Rights.
attempt("capabilities beyond the list", lambda: int(status("CapEff"), 16) & ~0x800405FB and status("CapEff"))
attempt("privileges could be gained", lambda: status("NoNewPrivs") != "1")
attempt("no list of system calls", lambda: status("Seccomp") != "2")
attempt("mount a tmpfs", lambda: runs("mount", "-t", "tmpfs", "none", "/mnt"))
attempt("mount /proc anew", lambda: runs("mount", "-t", "proc", "proc", "/mnt"))
attempt("make the shim's volume writable", lambda: runs("mount", "-o", "remount,rw", "/danube/shim"))
attempt("a mount namespace", lambda: runs("unshare", "--mount", "true"))
attempt("a user namespace", lambda: runs("unshare", "--user", "--map-root-user", "true"))
attempt("PID 1's namespaces", lambda: runs("nsenter", "--target", "1", "--net", "true"))
attempt("a block device", lambda: os.mknod("/tmp/disk", 0o60600, os.makedev(8, 0)) or reads("/tmp/disk") or "made")
attempt("a character device", lambda: os.mknod("/tmp/memory", 0o20600, os.makedev(1, 1)) or reads("/tmp/memory") or "made")
attempt("the clock", lambda: runs("date", "-s", "@0"))
attempt("the host's name", lambda: runs("hostname", "owned"))
attempt("a raw socket", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP))
attempt("a packet socket", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW))
attempt("an interface taken down", lambda: fcntl.ioctl(socket.socket(), 0x8914, b"lo".ljust(18, b"\0")))

# The shim: its file, its memory, its life, its socket.
attempt("write the shim", lambda: writes(SHIM))
attempt("replace the shim", lambda: os.replace("/bin/sh", SHIM) or "replaced")
attempt("remove the shim", lambda: os.unlink(SHIM) or "removed")
attempt("a file beside the shim", lambda: writes("/danube/shim/x"))
attempt("change the shim's mode", lambda: os.chmod(SHIM, 0o777) or "changed")
attempt("read the shim's memory", lambda: open("/proc/1/mem", "rb"))
attempt("write the shim's memory", lambda: open("/proc/1/mem", "wb"))
attempt("read the shim's environment", lambda: reads("/proc/1/environ"))
# Their numbers can be listed, which tells nothing.
attempt("where the shim's descriptors lead", lambda: [os.readlink(f"/proc/1/fd/{number}") for number in os.listdir("/proc/1/fd")])
attempt("open one of the shim's descriptors", lambda: open("/proc/1/fd/4", "rb"))
attempt("the shim's root", lambda: os.listdir("/proc/1/root"))


def speak():
    """It must hang up on whoever comes from within."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect("/danube/private/shim.sock")
        client.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
        return client.recv(64)


attempt("a word with the shim", speak)

# Others.
attempt("processes of other containers", lambda: [
    words for words in (open(f"/proc/{number}/cmdline", "rb").read() for number in filter(str.isdigit, os.listdir("/proc")))
    if b"runner" in words or b"pause" in words
])
attempt("folders of other containers", lambda: [name for name in os.listdir("/danube") if name not in ("private", "shim")])
attempt("abstract sockets of others", lambda: [line for line in open("/proc/net/unix") if "@" in line])

# At last: PID 1 of one's own container is spared by the kernel. That it lives is seen from outside.
os.kill(1, signal.SIGKILL)
os.kill(1, signal.SIGSTOP)
