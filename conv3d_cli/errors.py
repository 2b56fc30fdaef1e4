"""Every error that is the user's to mend, and the exit code of each.

::

    Conv3dError               1  an internal error, if ever raised as such
    ├── UsageError            2  the words of the command line, or arguments of a Python call, contradict
    ├── InputError            3  a spec, weights or a volume cannot be used
    │   ├── LayerError           an argument of a layer (also a ValueError, as Keras raises)
    │   │   └── ShapeError       a layer and an input do not fit together
    │   ├── UnknownArgument      a keyword that no layer has (also a TypeError, as Keras raises)
    │   ├── MethodError          a forced method cannot serve this layer or this data
    │   ├── SpecError            a spec file; holds every problem found in it
    │   ├── WeightsError         a weights file
    │   └── VolumeError          a volume file
    ├── OutputError           4  the output cannot be written
    └── OverLimit             5  more memory would be needed than is allowed

6 (PARTLY) is a batch of which some volumes failed, and 7 (DIFFERS) is no error: two volumes were compared, and they
differ.
A message is one line: the subject, what is wrong with it, the value got, and what is allowed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = [
    "DIFFERS",
    "PARTLY",
    "Conv3dError",
    "InputError",
    "LayerError",
    "MethodError",
    "OutputError",
    "OverLimit",
    "ShapeError",
    "SpecError",
    "UnknownArgument",
    "UsageError",
    "VolumeError",
    "WeightsError",
    "listed",
    "nearest",
    "quoted",
]


MOST_LINES = 20
PARTLY = 6
"""Exit code of a batch of which some volumes failed."""

DIFFERS = 7
"""Exit code of a comparison that found a difference."""


class Conv3dError(Exception):
    """Base of all errors of this package; ``exit_code`` is what the shell sees."""

    exit_code = 1


class UsageError(Conv3dError):
    """The words of the command line, or the arguments of a Python call, contradict each other."""

    exit_code = 2


class InputError(Conv3dError):
    """A spec, weights or a volume cannot be used."""

    exit_code = 3


class LayerError(InputError, ValueError):
    """An argument of a layer is refused; ``argument`` is its Keras name, or None if no single one is at fault."""

    def __init__(self, message: str, argument: str | None = None) -> None:
        super().__init__(message)
        self.argument = argument


class ShapeError(LayerError):
    """A layer and its input do not fit together."""


class UnknownArgument(InputError, TypeError):  # noqa: N818 - reads as what it is: an unknown argument
    """A keyword that the layer does not have; ``argument`` is that keyword."""

    def __init__(self, message: str, argument: str) -> None:
        super().__init__(message)
        self.argument = argument


class MethodError(InputError, ValueError):
    """A method that was asked for by name cannot serve this layer or this data."""


class SpecError(InputError, ValueError):
    """A spec file cannot be used; ``problems`` holds one line for each thing that is wrong with it."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class WeightsError(InputError, ValueError):
    """Weights are missing, left over, of the wrong shape, or their file cannot be read."""


class VolumeError(InputError, ValueError):
    """A volume file is damaged, or holds what cannot be convolved."""


class OutputError(Conv3dError, OSError):
    """The output cannot be written: it exists, its folder is missing, the disk is full."""

    exit_code = 4


class OverLimit(Conv3dError, MemoryError):  # noqa: N818 - a limit that was passed
    """More memory would be needed than is allowed; ``needed`` says how many bytes, where that is known."""

    exit_code = 5

    def __init__(self, message: str, needed: int = 0) -> None:
        super().__init__(message)
        self.needed = needed


def listed(lines: Sequence[str]) -> str:
    """Return lines as one message, and of very many the first only.

    >>> listed([f"line {i}" for i in range(30)]).splitlines()[-1]
    '10 more problems'
    """
    more = len(lines) - MOST_LINES
    return "\n".join([*lines[:MOST_LINES], f"{more} more problems"] if more > 0 else lines)


def quoted(name: object) -> str:
    r"""Return a name in quotes with newlines and control characters escaped, so that a message stays one line.

    >>> print(quoted("brain\n1.nii"))
    'brain\n1.nii'
    """
    return repr(str(name).encode("utf-8", "backslashreplace").decode("utf-8"))


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?`` for the known name closest to a misspelt one, or nothing.

    >>> nearest("kernal_size", ["kernel_size", "filters"])
    "; did you mean 'kernel_size'?"
    >>> nearest("zzz", ["kernel_size", "filters"])
    ''
    """
    import difflib

    lowered = {k.lower(): k for k in known}
    close = difflib.get_close_matches(name.lower(), lowered, n=1, cutoff=0.6)
    return f"; did you mean {lowered[close[0]]!r}?" if close else ""
