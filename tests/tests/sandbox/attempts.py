"""What a hostile program tries, one small command an attempt. Each returns when it has succeeded, and raises when it
was stopped; none does harm where nothing stops it."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import platform
import resource
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

import dspex

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.syscall.restype = ctypes.c_long
ON_X86 = platform.machine() == "x86_64"


def checked(answer: int) -> int:
    if answer < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return answer


def syscall(on_x86: int, on_arm: int, *arguments: object) -> int:
    words = [ctypes.c_long(word) if isinstance(word, int) else word for word in arguments]
    return checked(LIBC.syscall(ctypes.c_long(on_x86 if ON_X86 else on_arm), *words))


# Files.


@dspex.command
def read(path: str) -> int:
    with open(path, "rb") as file:
        return len(file.read(64))


@dspex.command
def read_through_link(path: str) -> int:
    link = os.path.join(tempfile.mkdtemp(), "link")
    os.symlink(path, link)
    return read(link)


@dspex.command
def read_through_proc(path: str) -> int:
    return read("/proc/self/root" + path)


@dspex.command
def read_through_hard_link(path: str) -> int:
    link = os.path.join(os.path.dirname(path), "hard-link")
    try:
        os.link(path, link)
        return read(link)
    finally:
        if os.path.exists(link):
            os.unlink(link)


@dspex.command
def read_in_child(path: str) -> int:
    return len(subprocess.run(["head", "-c", "64", path], check=True, capture_output=True).stdout)


@dspex.command
def list_directory(path: str) -> int:
    return len(os.listdir(path))


@dspex.command
def list_beside_home() -> int:
    return len(os.listdir(os.path.join(os.path.expanduser("~"), "..")))


@dspex.command
def keep(text: str) -> str:
    """A session's own file; its name is told to another one."""
    file, name = tempfile.mkstemp()
    with open(file, "w") as kept:
        kept.write(text)
    return name


@dspex.command
def write(path: str) -> str:
    with open(path, "a"):
        return path


@dspex.command
def remove(path: str) -> str:
    os.unlink(path)
    return path


@dspex.command
def rename(path: str) -> str:
    os.rename(path, path + ".renamed")
    os.rename(path + ".renamed", path)
    return path


@dspex.command
def truncate(path: str) -> str:
    os.truncate(path, os.stat(path).st_size)
    return path


@dspex.command
def truncate_by_reading(path: str) -> str:
    os.close(os.open(path, os.O_RDONLY | os.O_TRUNC))
    return path


@dspex.command
def change_mode(path: str) -> str:
    os.chmod(path, os.stat(path).st_mode & 0o777)
    return path


@dspex.command
def change_mode_of_opened(path: str) -> str:
    place = os.open(path, os.O_PATH)
    os.chmod(f"/proc/self/fd/{place}", os.stat(path).st_mode & 0o777)
    return path


@dspex.command
def change_mode_beside_home(path: str) -> str:
    within = os.path.join(os.path.expanduser("~"), os.path.relpath(path, os.path.realpath(os.path.expanduser("~"))))
    os.chmod(within, os.stat(path).st_mode & 0o777)
    return path


@dspex.command
def change_time(path: str) -> str:
    os.utime(path)
    return path


@dspex.command
def change_owner(path: str) -> str:
    os.chown(path, os.getuid(), os.getgid())
    return path


@dspex.command
def change_flags(path: str, past: int = 0) -> str:
    """FS_IOC_SETFLAGS, to what the flags are: who owns a file needs no right to write it. `past` are bits beyond those
    that the kernel looks at."""
    get, change = 0x80086601, 0x40086602
    flags = ctypes.c_int(0)
    place = os.open(path, os.O_RDONLY)
    try:
        checked(LIBC.ioctl(place, ctypes.c_ulong(get), ctypes.byref(flags)))
        checked(LIBC.ioctl(place, ctypes.c_ulong(change | past << 32), ctypes.byref(flags)))
    finally:
        os.close(place)
    return path


@dspex.command
def watch_directory(path: str) -> int:
    watching = checked(LIBC.inotify_init1(0))
    return checked(LIBC.inotify_add_watch(watching, path.encode(), 0x100))


# Connections.


def connect_to(family: int, address: object) -> str:
    with socket.socket(family) as connection:
        connection.settimeout(10)
        connection.connect(address)
        return "connected"


@dspex.command
def connect(host: str, port: int) -> str:
    return connect_to(socket.AF_INET6 if ":" in host else socket.AF_INET, (host, port))


@dspex.command
def connect_and_wait(host: str, port: int) -> str:
    with socket.socket() as connection:
        connection.settimeout(None)
        connection.connect((host, port))
        return "connected"


@dspex.command
def connect_in_child(host: str, port: int) -> str:
    code = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 10)"
    told = subprocess.run([sys.executable, "-c", code, host, str(port)], capture_output=True, text=True, check=False)
    if told.returncode != 0:
        raise RuntimeError(told.stderr.splitlines()[-1])
    return "connected"


@dspex.command
def connect_by_sending(host: str, port: int) -> str:
    with socket.socket() as connection:
        connection.sendto(b"GET / HTTP/1.0\r\n\r\n", socket.MSG_FASTOPEN, (host, port))
        return "connected"


@dspex.command
def connect_while_changing(host: str, port: int, other: int) -> str:
    """Another thread changes the address between the look of whoever judges it and its use."""
    address = ctypes.create_string_buffer(struct.pack("!2sH4s8x", b"\2\0", other, socket.inet_aton(host)), 16)
    ports = [struct.pack("!H", port), struct.pack("!H", other)]
    done = threading.Event()

    def change() -> None:
        while not done.is_set():
            for each in ports:
                ctypes.memmove(ctypes.addressof(address) + 2, each, 2)

    changing = threading.Thread(target=change)
    changing.start()
    try:
        end = time.monotonic() + 5
        while time.monotonic() < end:
            with socket.socket() as connection:
                if LIBC.connect(connection.fileno(), address, 16) == 0 and connection.getpeername()[1] == port:
                    return "connected"
    finally:
        done.set()
        changing.join()
    raise PermissionError(errno.EACCES, "always judged before it was used")


@dspex.command
def reach_metadata(host: str) -> str:
    """There is nobody at that address here: that the kernel tries is enough."""
    try:
        return connect(host, 80)
    except PermissionError:
        raise
    except OSError as error:
        return f"tried: {error}"


@dspex.command
def connect_unix(path: str) -> str:
    return connect_to(socket.AF_UNIX, path)


@dspex.command
def connect_abstract(name: str) -> str:
    return connect_to(socket.AF_UNIX, "\0" + name)


@dspex.command
def send_unix_datagram(path: str) -> str:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagrams:
        datagrams.sendto(b"x", path)
        return "sent"


@dspex.command
def open_netlink() -> str:
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).close()
    return "opened"


@dspex.command
def open_raw() -> str:
    socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).close()
    return "opened"


# Processes.


@dspex.command
def signal_process(pid: int) -> str:
    os.kill(pid, signal.SIGCONT)
    return "signalled"


@dspex.command
def signal_parent() -> str:
    return signal_process(os.getppid())


@dspex.command
def signal_by_descriptor(pid: int) -> str:
    signal.pidfd_send_signal(os.pidfd_open(pid), signal.SIGCONT)
    return "signalled"


@dspex.command
def trace_parent() -> str:
    attach, detach = 16, 17
    LIBC.ptrace.restype = ctypes.c_long
    checked(LIBC.ptrace(ctypes.c_long(attach), ctypes.c_long(os.getppid()), None, None))
    os.waitpid(os.getppid(), 0x40000000)
    checked(LIBC.ptrace(ctypes.c_long(detach), ctypes.c_long(os.getppid()), None, None))
    return "traced"


@dspex.command
def read_memory_of_parent() -> int:
    with open(f"/proc/{os.getppid()}/maps") as maps:
        begin = int(maps.readline().split("-")[0], 16)
    buffer = ctypes.create_string_buffer(16)
    local = (ctypes.c_size_t * 2)(ctypes.addressof(buffer), 16)
    remote = (ctypes.c_size_t * 2)(begin, 16)
    return syscall(310, 270, os.getppid(), local, 1, remote, 1, 0)


@dspex.command
def call_into_parent() -> int:
    return call_into(os.getppid())


@dspex.command
def call_into(pid: int) -> int:
    """process_vm_readv of an address that is nobody's: refused for it, or for the call itself."""
    buffer = ctypes.create_string_buffer(16)
    local = (ctypes.c_size_t * 2)(ctypes.addressof(buffer), 16)
    remote = (ctypes.c_size_t * 2)(ctypes.addressof(buffer), 16)
    try:
        return syscall(310, 270, pid, local, 1, remote, 1, 0)
    except OSError as error:
        if error.errno == errno.EFAULT:
            return 0
        raise


@dspex.command
def take_descriptor_of_parent() -> int:
    taken = syscall(438, 438, os.pidfd_open(os.getppid()), 0, 0)
    os.close(taken)
    return taken


@dspex.command
def limit_parent() -> str:
    resource.prlimit(os.getppid(), resource.RLIMIT_CORE, resource.prlimit(os.getppid(), resource.RLIMIT_CORE))
    return "limited"


@dspex.command
def slow_parent() -> str:
    os.setpriority(os.PRIO_PROCESS, os.getppid(), os.getpriority(os.PRIO_PROCESS, os.getppid()))
    return "slowed"


@dspex.command
def bind_parent_to_a_cpu() -> str:
    os.sched_setaffinity(os.getppid(), os.sched_getaffinity(os.getppid()))
    return "bound"


@dspex.command
def outlive() -> int:
    """A process in a session of its own, without what it would be known by."""
    child = subprocess.Popen(["sleep", "600"], env={}, start_new_session=True)
    return child.pid


# The kernel.


def in_child(call: object) -> str:
    """In a process of its own, which it would change for ever."""
    child = os.fork()
    if child == 0:
        try:
            call()  # type: ignore[operator]
        except OSError as error:
            os._exit(error.errno or 255)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code > 0:
        raise OSError(code, os.strerror(code))
    if code < 0:
        raise RuntimeError(f"killed by {signal.Signals(-code).name}")
    return "done"


@dspex.command
def unshare_users() -> str:
    return in_child(lambda: syscall(272, 97, 0x10000000))


@dspex.command
def unshare_mounts() -> str:
    return in_child(lambda: syscall(272, 97, 0x20000))


@dspex.command
def clone_users() -> str:
    child = syscall(56, 220, 0x10000000 | signal.SIGCHLD, 0, 0, 0, 0)
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return "done"


@dspex.command
def mount() -> str:
    place = tempfile.mkdtemp()
    return in_child(
        lambda: (
            syscall(272, 97, 0x20000),
            checked(LIBC.mount(b"none", place.encode(), b"tmpfs", ctypes.c_ulong(0), None)),
        )
    )


@dspex.command
def share_memory() -> int:
    shared = syscall(29, 194, 0, 4096, 0o600 | 0o1000)
    return syscall(31, 195, shared, 0, 0)


@dspex.command
def add_key() -> int:
    key = ctypes.create_string_buffer(b"secret")
    return syscall(248, 217, ctypes.c_char_p(b"user"), ctypes.c_char_p(b"dspex-test"), key, 6, -2)


@dspex.command
def set_up_ring() -> int:
    parameters = ctypes.create_string_buffer(120)
    ring = syscall(425, 425, 1, parameters)
    os.close(ring)
    return ring


@dspex.command
def count_cycles() -> int:
    attributes = ctypes.create_string_buffer(struct.pack("=IIQQQQQ", 1, 112, 1, 0, 0, 0, 1 | 1 << 5 | 1 << 6), 112)
    counter = syscall(298, 241, attributes, 0, -1, -1, 0)
    os.close(counter)
    return counter


@dspex.command
def change_personality() -> str:
    return in_child(lambda: syscall(135, 92, 0x0040000))


@dspex.command
def call_as_x32() -> int:
    """getpid(2) of the x32 ABI. Where the kernel has none it says so."""
    try:
        return syscall(0x40000000 + 39, 0x40000000 + 39)
    except OSError as error:
        if error.errno == errno.ENOSYS:
            return 0
        raise


@dspex.command
def call_as_32_bit() -> int:
    """getpid(2) by `int 0x80`."""
    code = b"\xb8\x14\x00\x00\x00\xcd\x80\xc3"
    memory = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    memory.write(code)
    function = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(memory)))
    return function()


# Too much.


@dspex.command
def fork_many(count: int) -> int:
    children = []
    try:
        for _ in range(count):
            child = os.fork()
            if child == 0:
                time.sleep(60)
                os._exit(0)
            children.append(child)
        return len(children)
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


@dspex.command
def start_many_threads(count: int) -> int:
    done = threading.Event()
    threads = [threading.Thread(target=done.wait, daemon=True) for _ in range(count)]
    try:
        for thread in threads:
            thread.start()
        return len(threads)
    finally:
        done.set()


@dspex.command
def open_many(count: int) -> int:
    opened = []
    try:
        for _ in range(count):
            opened.append(os.open(os.devnull, os.O_RDONLY))
        return len(opened)
    finally:
        for descriptor in opened:
            os.close(descriptor)


@dspex.command
def write_long_file(megabytes: int) -> int:
    with tempfile.TemporaryFile() as file:
        for _ in range(megabytes):
            file.write(b"x" * (1 << 20))
        file.flush()
        return megabytes


@dspex.command
def fill_disk(megabytes: int, seconds: float) -> int:
    with tempfile.TemporaryDirectory() as place:
        for number in range(megabytes):
            with open(os.path.join(place, str(number)), "wb") as file:
                file.write(b"x" * (1 << 20))
        time.sleep(seconds)
    return megabytes


@dspex.command
def fill_disk_without_names(megabytes: int, seconds: float) -> int:
    files = []
    for _ in range(megabytes):
        descriptor, name = tempfile.mkstemp()
        os.unlink(name)
        files.append(descriptor)
        os.write(descriptor, b"x" * (1 << 20))
    time.sleep(seconds)
    for descriptor in files:
        os.close(descriptor)
    return megabytes


@dspex.command
def fill_memory(megabytes: int) -> int:
    return len(b"x" * (megabytes << 20)) >> 20


@dspex.command
def pid() -> int:
    return os.getpid()


# Sessions.


@dspex.command
def remember(text: str) -> dict[str, object]:
    """What a session keeps, everywhere it can: in its data, in a file, in its worker's memory and environment."""
    dspex.current_session().data["kept"] = text
    os.environ["KEPT"] = text
    return {"file": keep(text), "pid": os.getpid(), "home": os.path.expanduser("~")}


@dspex.command
def data() -> dict[str, object]:
    return dict(dspex.current_session().data)
