"""The pace of this machine: how long the methods really take, as multiples of what the shipped constants predict.

The cost models' constants were measured on one machine. A calibration measures the ways of the engine here, for one
number of threads; its multiples are kept in the user's cache folder, and the planner applies them from then on. A
machine is told by its processor, its instruction set, its number of threads and the build of the kernels.
"""

from __future__ import annotations

import platform
from functools import lru_cache
from typing import Any

from conv3d_cli import __version__, userfiles
from conv3d_cli.engine import isa
from conv3d_cli.engine.candidate import Candidate
from conv3d_cli.engine.problem import Problem
from conv3d_cli.errors import quoted
from conv3d_cli.frozen import frozen
from conv3d_cli.limits import processor, processor_flags
from conv3d_cli.telling import Log

FILE = "pace.json"
SLOWEST = 16.0
"""By what factor, up or down, a machine may differ from the constants before its measurement is not believed."""

log = Log("conv3d")


@frozen
class Pace:
    """Multiples of the predicted seconds, by kind of work, and the day on which they were measured, if they were.

    >>> Pace(multiples=(("direct one", 2.0),)).of("direct one"), Pace().of("direct one")
    (2.0, 1.0)
    """

    multiples: tuple[tuple[str, float], ...] = ()
    measured: str | None = None

    def of(self, kind: str) -> float:
        """Return by what the predicted time of a kind of work is to be multiplied."""
        return dict(self.multiples).get(kind, 1.0)


SHIPPED = Pace()
NAMES = (isa.VARIABLE, *userfiles.VARIABLES)

_written = 0  # how often ``keep`` has changed what is kept


def kind_of(candidate: Candidate, problem: Problem) -> str:
    """Return the kind of work whose multiple a candidate takes: its way, for one channel and filter or for many.

    >>> kind_of(Candidate("direct"), Problem((9, 9, 9), (3, 3, 3), channels=8))
    'direct many'
    """
    one = problem.channels == problem.filters == problem.groups
    return f"{candidate.way} {'one' if one else 'many'}"


def active(threads: int) -> Pace:
    """Return the pace that was measured here for so many threads, else the shipped one; the file is read once."""
    return _kept(*isa.variables(userfiles.VARIABLES), isa.active(), threads)


def surroundings() -> tuple[object, ...]:
    """Return what decides over instruction set and pace: while it is the same, so is what was chosen for a problem."""
    return isa.native(), _written, isa.variables(NAMES)


def keep(pace: Pace, threads: int) -> str:
    """Write the pace for so many threads beside those already kept, and return the path of the file.

    Raises OutputError if it cannot be written.
    """
    try:
        entries = _entries()
    except ValueError:  # a damaged file is replaced
        entries = {}
    import json

    entries[machine(threads)] = {"measured": pace.measured, "multiples": dict(pace.multiples)}
    path = userfiles.write(FILE, json.dumps({"version": 1, "machines": entries}, indent=1) + "\n")
    global _written
    _written += 1
    _kept.cache_clear()
    return path


def machine(threads: int) -> str:
    """Return what tells this machine, this build and so many threads from others."""
    module = isa.native()
    build = userfiles.stamp(module.__file__) if module is not None and module.__file__ else ""
    facts = [processor(), processor_flags(), platform.machine(), isa.active(), __version__, build]
    import hashlib
    import json

    digest = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
    return f"{digest} {threads}"


@lru_cache(maxsize=16)
def _kept(own: bytes | None, shared: bytes | None, home: bytes | None, instructions: str, threads: int) -> Pace:
    """Return what ``active`` does, by all that it depends on."""
    try:
        entries = _entries()
        entry = entries.get(machine(threads)) if entries else None
    except ValueError as error:
        where = quoted(userfiles.place(FILE))
        log.warning("%s: %s; the shipped costs are used: 'conv3d bench --calibrate' measures them anew", where, error)
        return SHIPPED
    return SHIPPED if entry is None else Pace(tuple(entry["multiples"].items()), entry["measured"])


def _entries() -> dict[str, Any]:
    """Return what is kept, by machine. Raises ValueError, saying what is wrong, for a file that cannot be used."""
    try:
        text = userfiles.read(FILE)
    except (OSError, ValueError) as error:
        raise ValueError(f"cannot be read: {getattr(error, 'strerror', None) or 'it is not UTF-8'}") from None
    if text is None:
        return {}
    import json

    try:
        document = json.loads(text)
        machines: dict[str, Any] = document["machines"]
        sound = document["version"] == 1 and all(_sound(entry) for entry in machines.values())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        sound = False
    if not sound:
        raise ValueError("is damaged: expected what 'conv3d bench --calibrate' writes")
    return machines


def _sound(entry: dict[str, Any]) -> bool:
    multiples = entry["multiples"].values()
    plausible = all(isinstance(m, float | int) and 1 / SLOWEST <= m <= SLOWEST for m in multiples)
    return isinstance(entry["measured"], str) and plausible
