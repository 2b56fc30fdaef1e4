"""Kinds of values that an argument may have: each a check, a canonical form, its words, a JSON schema."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from conv3d_cli.errors import LayerError
from conv3d_cli.frozen import frozen

Schema = Mapping[str, Any]

LONGEST_SHOWN = 120

MOST = 2**31 - 1
"""What a count, a step or a margin may be: sums and products of a few of them fit into 64 bits."""


class RefusedError(Exception):
    """A value is not of a kind; the text says what is wrong with it, ``besides`` what is expected beyond the kind."""

    def __init__(self, text: str, besides: str = "") -> None:
        super().__init__(text)
        self.besides = besides


@frozen
class Kind:
    """What an argument accepts: ``parse`` returns the canonical value or raises RefusedError."""

    expected: str
    parse: Callable[[Any], Any]
    schema: Schema

    def read(self, subject: str, value: Any, argument: str | None = None) -> Any:
        """Return the canonical form of a value, or raise LayerError naming subject, value and kind.

        >>> COUNT.read("filters", np.int64(8))
        8
        >>> FLAG.read("use_bias", 1)
        Traceback (most recent call last):
        conv3d_cli.errors.LayerError: use_bias: not a truth value: got 1, expected true or false
        """
        try:
            return self.parse(value)
        except RefusedError as error:
            message = f"{subject}: {error}: got {shown(value)}, expected {self.expected}{error.besides}"
            raise LayerError(message, argument or subject) from None

    def or_none(self, meaning: str) -> Kind:
        """Return this kind with None allowed as well; ``meaning`` says what None stands for."""
        return Kind(
            f"{self.expected}, or None for {meaning}",
            lambda value: None if value is None else self.parse(value),
            {"anyOf": [self.schema, {"type": "null"}]},
        )


def shown(value: object) -> str:
    """Return a value as one short line.

    >>> shown(np.arange(3))
    'array([0, 1, 2])'
    """
    line = " ".join(repr(value).encode("utf-8", "backslashreplace").decode("utf-8").split())
    return line if len(line) <= LONGEST_SHOWN else line[: LONGEST_SHOWN - 3] + "..."


def real_array(value: ArrayLike, subject: str) -> NDArray[Any]:
    """Return a value as an array of real numbers, or raise LayerError naming the subject."""
    try:
        array = np.asarray(value)
    except ValueError:
        raise LayerError(f"{subject}: not an array: got {shown(value)}, expected a regular array") from None
    if array.dtype.kind not in "biuf":
        raise LayerError(f"{subject}: not real numbers: got {array.dtype}, expected integers, floats or bool")
    return array


def cast_to(array: NDArray[Any], dtype: str, copy: bool = False) -> NDArray[Any]:
    """Return an array in another type, itself if it has that type already and no copy is asked for."""
    # A float64 beyond float32's range becomes infinite, as in any framework: no warning is due.
    with np.errstate(over="ignore"):
        return array.astype(dtype, order="C" if copy else "K", copy=copy)


def _items(value: Any) -> list[Any] | None:
    """Return the entries of a list, a tuple or an array, or None for anything else."""
    if isinstance(value, np.ndarray):
        return list(value) if value.ndim else None
    return list(value) if isinstance(value, Sequence) and not isinstance(value, (str, bytes)) else None


def _whole(value: Any) -> int:
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Integral):
        raise RefusedError("not a whole number")
    return int(value)


def _size(value: Any) -> int:
    number = _whole(value)
    if number < 1:
        raise RefusedError("below 1")
    return number


def _at_most(number: int) -> int:
    if number > MOST:
        raise RefusedError(f"above {MOST}", f", at most {MOST}")
    return number


def _count(value: Any) -> int:
    return _at_most(_size(value))


def _triple(value: Any) -> tuple[int, int, int]:
    items = _items(value)
    if items is None:
        items = [value] * 3
    if len(items) != 3:
        raise RefusedError(f"has {len(items)} value{'' if len(items) == 1 else 's'}")
    first, second, third = (_count(item) for item in items)
    return first, second, third


def _pads(value: Any) -> tuple[tuple[int, int], ...]:
    """Return pairs (before, after) from one number, three numbers or three pairs."""
    items = _items(value)
    if items is None:
        items = [value] * 3
    if len(items) != 3:
        raise RefusedError(f"has {len(items)} value{'' if len(items) == 1 else 's'}")
    return tuple(_pair(item) for item in items)


def _pair(value: Any) -> tuple[int, int]:
    items = _items(value)
    if items is None:
        items = [value] * 2
    if len(items) != 2:
        raise RefusedError(f"has a pair of {len(items)} value{'' if len(items) == 1 else 's'}")
    before, after = (_whole(item) for item in items)
    if min(before, after) < 0:
        raise RefusedError("below 0")
    return _at_most(before), _at_most(after)


def _seed(value: Any) -> int:
    number = _whole(value)
    if not -(2**63) <= number < 2**63:
        raise RefusedError("does not fit into 64 bits")
    return number


def _number(value: Any) -> float:
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (Real, np.floating)):
        raise RefusedError("not a number")
    try:
        number = float(value)
    except OverflowError:
        raise RefusedError("too large a number") from None
    if not math.isfinite(number):
        raise RefusedError("not a finite number")
    return number


def _not_negative(value: Any) -> float:
    number = _number(value)
    if number < 0:
        raise RefusedError("below 0")
    return number


def _positive(value: Any) -> float:
    number = _number(value)
    if number <= 0:
        raise RefusedError("not above 0")
    return number


def _flag(value: Any) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise RefusedError("not a truth value")
    return bool(value)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value or not value.isprintable():
        raise RefusedError("not a name")
    return value


def _numbers(value: Any) -> Any:
    """Return a number as float, and nested lists or an array of numbers as nested lists of floats."""
    if not isinstance(value, (list, tuple, np.ndarray)) or (isinstance(value, np.ndarray) and value.ndim == 0):
        return _number(value)
    try:
        array = np.asarray(value)
    except ValueError:
        raise RefusedError("not a regular array") from None
    if array.dtype.kind not in "iuf" or array.size == 0 or not np.isfinite(array).all():
        raise RefusedError("not an array of finite numbers")
    return array.astype(np.float64).tolist()


def _sizes(least: int) -> Callable[[Any], tuple[int | None, ...]]:
    def parse(value: Any) -> tuple[int | None, ...]:
        items = _items(value)
        if items is None:
            raise RefusedError("not a list of sizes")
        if len(items) < least:
            raise RefusedError(f"has {len(items)} values")
        return tuple(None if item is None else _size(item) for item in items)

    return parse


def sizes(least: int, axes: str) -> Kind:
    """Return the kind of a shape of at least ``least`` sizes, each None where it is not known."""
    entry = {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}]}
    return Kind(
        f"at least {least} sizes, {axes}, each a whole number of at least 1 or None",
        _sizes(least),
        {"type": "array", "items": entry, "minItems": least},
    )


def one_of(*names: str, any_case: bool = True) -> Kind:
    """Return the kind of a word out of a few lower-case ones, other cases accepted with ``any_case``.

    >>> one_of("valid", "same").read("padding", "SAME")
    'same'
    """

    def parse(value: Any) -> str:
        if not isinstance(value, str):
            raise RefusedError("not a word")
        word = value.lower() if any_case else value
        if word not in names:
            raise RefusedError("unknown")
        return word

    pattern = "|".join("".join(f"[{c}{c.upper()}]" if c.isalpha() else c for c in name) for name in names)
    in_any_case: Schema = {"type": "string", "pattern": f"^({pattern})$", "examples": list(names)}
    return Kind(" or ".join(repr(name) for name in names), parse, in_any_case if any_case else {"enum": list(names)})


_INTEGER: Schema = {"type": "integer", "minimum": 1, "maximum": MOST}
_TRIPLE: Schema = {"anyOf": [_INTEGER, {"type": "array", "items": _INTEGER, "minItems": 3, "maxItems": 3}]}

_SIDE: Schema = {"type": "integer", "minimum": 0, "maximum": MOST}
_SIDES: Schema = {"anyOf": [_SIDE, {"type": "array", "items": _SIDE, "minItems": 2, "maxItems": 2}]}
_PADS: Schema = {"anyOf": [_SIDE, {"type": "array", "items": _SIDES, "minItems": 3, "maxItems": 3}]}


def _any_size(value: Any) -> tuple[int | None, ...]:
    items = _items(value)
    if items is None:
        raise RefusedError("not a shape")
    sizes_given = tuple(None if item is None else _whole(item) for item in items)
    if any(size is not None and size < 0 for size in sizes_given):
        raise RefusedError("below 0")
    return sizes_given


AXIS = Kind("a whole number", _whole, {"type": "integer"})
COUNT = Kind("a whole number of at least 1", _count, _INTEGER)
TRIPLE = Kind("a whole number of at least 1, or three of them", _triple, _TRIPLE)
PADS = Kind("a whole number of at least 0, three of them, or three pairs (before, after)", _pads, _PADS)
SIZES = Kind("sizes, each a whole number of at least 0 or None", _any_size, {"type": "array"})
SEED = Kind("a whole number of at most 64 bits", _seed, {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1})
NUMBER = Kind("a finite number", _number, {"type": "number"})
NOT_NEGATIVE = Kind("a number of at least 0", _not_negative, {"type": "number", "minimum": 0})
POSITIVE = Kind("a number above 0", _positive, {"type": "number", "exclusiveMinimum": 0})
NUMBERS = Kind("a number, or a list of numbers", _numbers, {"type": ["number", "array"]})
FLAG = Kind("true or false", _flag, {"type": "boolean"})
TEXT = Kind("a printable text that is not empty", _text, {"type": "string", "minLength": 1})
