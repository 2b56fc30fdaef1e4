"""How much of the machine a run may use: processors and memory, from options, environment, affinity and cgroup."""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache

from conv3d_cli.errors import UsageError
from conv3d_cli.frozen import frozen
from conv3d_cli.paths import Name, exists, folder_of, joined, text_of

CGROUP = "/sys/fs/cgroup"
CACHE = "/sys/devices/system/cpu/cpu0/cache/index2/size"
MEMBERSHIP = "/proc/self/cgroup"
STATUS = "/proc/self/status"
CPUINFO = "/proc/cpuinfo"
USUAL_CACHE = 1 << 20
UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
NO_LIMIT = 1 << 62
MAX_MEMORY = "CONV3D_MAX_MEMORY"


@frozen
class Limits:
    """Threads to use, and bytes of memory that a run may take at its peak."""

    threads: int
    memory: int
    memory_source: str = "unlimited"

    def __hash__(self) -> int:
        """Return the same for equal limits; every call looks up what was chosen within them."""
        return hash((self.threads, self.memory))

    @classmethod
    def detect(
        cls,
        threads: int | None = None,
        max_memory: str | int | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> Limits:
        """Return the limits in force: what is asked for, else what this process may use.

        Threads default to ``CONV3D_THREADS``, then to ``SLURM_CPUS_PER_TASK``, then to the processors that affinity and
        cgroup quota leave. Memory defaults to ``CONV3D_MAX_MEMORY``, then to the smallest of physical memory, cgroup
        limit and address-space limit. Raises UsageError for a value that is no number.

        >>> Limits.detect(threads=2, max_memory="4G").memory
        4294967296
        """
        asked = threads if threads is not None else _positive(environ, "CONV3D_THREADS", "SLURM_CPUS_PER_TASK")
        if asked is not None and asked < 1:
            raise UsageError(f"threads: must be at least 1, got {asked}")
        if max_memory is not None:
            return cls(asked or processors(), parse_bytes(max_memory), "--max-memory")
        if text := environ.get(MAX_MEMORY):
            return cls(asked or processors(), parse_bytes(text, MAX_MEMORY), MAX_MEMORY)
        source, memory = min(memory_bounds().items(), key=lambda item: item[1], default=("unlimited", NO_LIMIT))
        return cls(asked or processors(), memory, source)


def parse_bytes(text: str | int | None, what: str = "max_memory") -> int:
    """Return the bytes that a size like ``4G``, ``512MiB`` or ``1.5g`` means; units are powers of 1024.

    Raises UsageError, naming ``what`` it is a size of, for anything else.

    >>> parse_bytes("1.5K")
    1536
    """
    match = re.fullmatch(r"\s*(\d{1,18}(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?\s*", str(text).lower())
    size = 0 if match is None else int(float(match[1]) * UNITS[match[2]])
    if size == 0:
        raise UsageError(f"{what}: not a size: got {text!r}, expected for example '4G' or '512M'")
    return size


def size_words(size: int) -> str:
    """Return a number of bytes as ``parse_bytes`` reads it, rounded up: so much is enough.

    >>> size_words(4096), size_words((3 << 29) + 1)
    ('4 KiB', '1.51 GiB')
    """
    unit = max((unit for unit in UNITS.values() if unit <= size and unit > 1), default=1 << 10)
    name = next(letter for letter, scale in UNITS.items() if scale == unit)
    return f"{-(-size * 100 // unit) / 100:g} {name.upper()}iB"


def processors() -> int:
    """Return the processors this process may use: affinity, and the cgroup's quota rounded up."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = (_first_numbers(path) for path in _cgroup_files("cpu.max"))
    return min([usable, *(max(1, -(-quota[0] // quota[1])) for quota in quotas if len(quota) == 2)])


def processor() -> str:
    """Return the processor's name, as the system has it."""
    return _processor_fact("model name") or platform.processor() or platform.machine()


def processor_flags() -> str:
    """Return the list of what the processor can do, as the system has it; empty where it does not tell."""
    return _processor_fact("flags") or _processor_fact("Features")


def _processor_fact(name: str) -> str:
    with suppress(OSError, StopIteration):
        lines = text_of(CPUINFO).splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith(f"{name}\t"))
    return ""


@lru_cache(maxsize=1)
def second_level_cache() -> int:
    """Return the size of one core's second-level cache, in bytes; 1 MiB where the system does not tell."""
    try:
        return parse_bytes(text_of(CACHE))
    except (OSError, UsageError):
        return USUAL_CACHE


def memory_bounds() -> dict[str, int]:
    """Return every bound on this process's memory, in bytes, by the name of what sets it."""
    bounds: dict[str, int] = {}
    with suppress(OSError, ValueError):
        bounds["physical memory"] = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if found := [n for path in _cgroup_files("memory.max", "memory.limit_in_bytes") for n in _first_numbers(path)]:
        bounds["cgroup limit"] = min(found)
    with suppress(ImportError, OSError, ValueError):
        import resource

        soft, _ = resource.getrlimit(resource.RLIMIT_AS)
        if soft != resource.RLIM_INFINITY:
            bounds["address-space limit"] = soft
    return bounds


def peak_bytes() -> int | None:
    """Return the largest resident size that this process has had, in bytes; None where the system does not tell."""
    # Linux counts in ru_maxrss what the process was before it became this program: a copy of the one that started it.
    with suppress(OSError, StopIteration):
        lines = text_of(STATUS).splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) * 1024
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _cgroup_files(*names: str) -> list[str]:
    """Return the files of so many names in the control groups that hold this process."""
    return _files_below(CGROUP, MEMBERSHIP, names)


@lru_cache(maxsize=8)
def _files_below(root: Name, membership: Name, names: tuple[str, ...]) -> list[str]:
    """Return those files of a control group that there are: a limit in any of them bounds the process.

    In a container the groups are mounted as the root; a batch system's job is a folder deep below it. What the files
    hold may change, so that they are read anew each time; where they stand is looked up once.
    """
    top = joined(root)
    folders = [top, joined(top, "memory")]
    with suppress(OSError, ValueError):
        for line in text_of(membership).splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers not in ("", "memory"):
                continue
            own = joined(top, controllers, path.lstrip("/")).rstrip("/")
            while f"{own}/".startswith(f"{top}/"):
                folders.append(own)
                own = folder_of(own)
    return [found for folder in dict.fromkeys(folders) for name in names if exists(found := joined(folder, name))]


def _first_numbers(path: Name) -> list[int]:
    try:
        return [int(word) for word in text_of(path).split()]
    except (OSError, ValueError):
        return []


def _positive(environ: Mapping[str, str], *names: str) -> int | None:
    for name in names:
        value = environ.get(name, "")
        if not value:
            continue
        if not value.isdecimal():
            raise UsageError(f"{name}: must be a whole number, got {value!r}")
        return int(value)
    return None
