"""Numbers as people read them."""

from __future__ import annotations

from collections.abc import Sequence

COUNTS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
BYTES = ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


def count(number: float) -> str:
    """Return a count with a suffix.

    >>> count(112), count(2_097_152), count(56_600_000)
    ('112', '2.1 M', '56.6 M')
    """
    for unit, suffix in COUNTS:
        if number >= unit * (10 if unit == 1e3 else 1):
            return f"{number / unit:.1f} {suffix}"
    return f"{number:.0f}"


def size(number: float) -> str:
    """Return a number of bytes with its unit.

    >>> size(4096), size(3 * 2**29)
    ('4.0 KiB', '1.5 GiB')
    """
    for unit, suffix in BYTES:
        if number >= unit:
            return f"{number / unit:.1f} {suffix}"
    return f"{number:.0f} B"


def duration(seconds: float) -> str:
    """Return a time.

    >>> duration(0.0004), duration(0.25), duration(12.34), duration(200)
    ('0.4 ms', '250 ms', '12.3 s', '3 min 20 s')
    """
    if seconds < 0.01:
        return f"{seconds * 1e3:.1f} ms"
    if seconds < 1:
        return f"{seconds * 1e3:.0f} ms"
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60} s"


def times(values: Sequence[object]) -> str:
    """Return lengths along axes, as one number where all are the same.

    >>> times((91, 109, 91)), times((1, 1, 1))
    ('91x109x91', '1')
    """
    words = [f"{v:g}" if isinstance(v, float) else str(v) for v in values]
    return words[0] if len(set(words)) == 1 else "x".join(words)


def lengths(values: Sequence[object]) -> str:
    """Return lengths along axes, each of them.

    >>> lengths((3, 3, 3))
    '3x3x3'
    """
    return "x".join(f"{v:g}" if isinstance(v, float) else str(v) for v in values)


def number(value: float | None) -> str:
    """Return a voxel value with four digits.

    >>> number(1234.5678), number(None)
    ('1235', 'none')
    """
    return "none" if value is None else f"{value:.4g}"


def printable(text: str) -> str:
    r"""Return a text with line ends and control characters escaped: a name may hold them, a line of a table not.

    >>> print(printable("brain\n1.nii"))
    brain\n1.nii
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
