"""What the kernel knows: CPU time, memory, load, and how much of the machine somebody else was using."""

from __future__ import annotations

import os
import time
from pathlib import Path
from statistics import median

_TICKS = os.sysconf("SC_CLK_TCK")


def load() -> float:
    """The load average of the last minute."""
    return os.getloadavg()[0]


def cpu_seconds(pid: int, *, with_children: bool = False) -> float:
    """CPU time of a process, on request with its children that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11 : 15 if with_children else 13])) / _TICKS


def private_bytes(pid: int | str = "self") -> int:
    """Memory that would be free again if this process ended."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith(("Private_Clean:", "Private_Dirty:")))


def shared_out_bytes(pid: int) -> int:
    """A process's memory, what it shares counted in parts (PSS); all of it (RSS) where only its user may see more."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    except PermissionError:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))
    except (FileNotFoundError, ProcessLookupError):
        return 0


def resident_bytes(pid: int) -> int:
    """A process's memory (RSS): files that it has mapped are in it, too."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


def peak_resident_bytes(pid: int) -> int:
    """The most memory (RSS) that a process has had."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


def tree_cpu_seconds(pid: int) -> float:
    """CPU time of a process and of all that it started, whether that lives or has ended and was waited for."""
    total = 0.0
    for each in with_descendants({pid}):
        try:
            total += cpu_seconds(each, with_children=True)
        except OSError:
            pass  # It has ended meanwhile: its parent has its time.
    return total


def disk_bytes(directory: Path) -> int:
    """What a directory takes of the disk: blocks, so that a file's holes count nothing and its reserves do."""
    return sum(512 * path.lstat().st_blocks for path in directory.rglob("*"))


def sync_ms(directory: Path, times: int = 100) -> float:
    """How long the disk takes to make a small write durable, in the median: what every durable write waits for."""
    taken = []
    with (directory / "sync").open("wb", buffering=0) as file:
        for _ in range(times):
            file.write(b"x" * 256)
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            taken.append(1000 * (time.perf_counter() - began))
    return round(median(taken), 3)


def _busy_seconds() -> float:
    user, nice, system, _idle, _iowait, interrupts, soft, steal = map(
        int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    )
    return (user + nice + system + interrupts + soft + steal) / _TICKS


class Others:
    """How many CPUs somebody else kept busy while this was open."""

    def __enter__(self) -> Others:
        self._busy, self._started = _busy_seconds(), time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self._busy, self._wall = _busy_seconds() - self._busy, time.monotonic() - self._started

    def settle(self, own: float) -> float:
        """The figure, once the CPU time of the measured processes is known."""
        return round(max(0.0, self._busy - own) / max(self._wall, 1e-3), 2)


def with_descendants(pids: set[int]) -> set[int]:
    """These processes, what they started, what that started, and so on."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue  # It has ended.
            children.setdefault(parent, []).append(int(entry.name))
    found: set[int] = set()
    following = list(pids)
    while following:
        pid = following.pop()
        if pid not in found:
            found.add(pid)
            following += children.get(pid, [])
    return found


def filesystem(directory: Path) -> str:
    """The type of the file system that holds a directory: without a disk under it, durable writes cost nothing."""
    best, kind = "", "unknown"
    for line in Path("/proc/mounts").read_text().splitlines():
        _, mount, found, *_ = line.split()
        if directory.resolve().is_relative_to(mount) and len(mount) >= len(best):
            best, kind = mount, found
    return kind
