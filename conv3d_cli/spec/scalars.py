"""What YAML makes of a plain word, and where that is not what its writer meant.

PyYAML follows YAML 1.1: ``no`` is false, ``010`` is eight, ``3:00`` is 180, and ``1e3`` is text. Two tables
tell what to write instead. A word of ``NEVER`` is refused wherever it stands: its meaning would pass unseen.
A word of ``EXPLAINED`` is refused only where its value does not belong, and then with the explanation.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from yaml import ScalarNode

LARGEST = 2**63 - 1
TAG = "tag:yaml.org,2002:"


class Trap(NamedTuple):
    """Words that YAML reads in an unexpected way: their tag, their form, and what to write instead."""

    tag: str
    words: re.Pattern[str]
    instead: Callable[[str, Any], str]

    def explain(self, tag: str, word: str, value: Any) -> str | None:
        """Return what YAML made of the word and what to write, or None if this is no such word."""
        if tag != TAG + self.tag or self.words.fullmatch(word) is None:
            return None
        return f"YAML reads {word or 'nothing'} as {made(value)}: write {self.instead(word, value)}"


def made(value: Any) -> str:
    """Return how a message names a value that YAML made.

    >>> made(False), made(None), made("1e3"), made(8)
    ('false', 'null', "the text '1e3'", 'the number 8')
    """
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, (int, float)):
        return f"the number {value}"
    return f"the text {value!r}" if isinstance(value, str) else f"a {type(value).__name__}"


def number(value: float) -> str:
    """Return a number as YAML 1.1 must have it: whole ones without an exponent, others with point and sign.

    >>> number(1000.0), number(1e-7), number(0.25)
    ('1000', '1.0e-07', '0.25')
    """
    if not math.isfinite(value):
        return {"inf": ".inf", "-inf": "-.inf"}.get(str(value), ".nan")
    if value == int(value) and abs(value) < 1e15:
        return str(int(value))
    mantissa, exponent, power = repr(value).partition("e")
    return mantissa + (".0" if exponent and "." not in mantissa else "") + exponent + power


def _number_or_text(word: str, value: Any) -> str:
    return f"{number(value)}, or {word!r} in quotes for the text"


def _decimal_or_octal(word: str, value: Any) -> str:
    return f"{value}, or {word.replace('_', '').lstrip('+-0') or 0}, or {word!r} in quotes for the text"


def _digits(word: str, _: Any) -> str:
    return f"{word.replace('_', '')}, or {word!r} in quotes for the text"


def _from_power(word: str, _: Any) -> str:
    return number(float(word))


def _from_python(word: str, _: Any) -> str:
    return {"none": "null", "nan": ".nan"}.get(word.lower(), word.lower().replace("inf", ".inf"))


def _as_list(word: str, _: Any) -> str:
    return f"[{', '.join(re.findall(r'[-+.0-9]+', word))}]"


NEVER: tuple[Trap, ...] = (
    Trap("int", re.compile(r"[-+]?0[0-7_]+"), _decimal_or_octal),
    Trap("int", re.compile(r"[-+]?0b.*"), _number_or_text),
    Trap("int", re.compile(r".*:.*"), _number_or_text),
    Trap("float", re.compile(r".*:.*"), _number_or_text),
    Trap("int", re.compile(r".*_.*"), _digits),
    Trap("float", re.compile(r".*_.*"), _digits),
    Trap("timestamp", re.compile(r".*", re.DOTALL), lambda word, _: f"{word!r} in quotes"),
    Trap("value", re.compile(r".*"), lambda word, _: f"{word!r} in quotes"),
    Trap("merge", re.compile(r".*"), lambda word, _: f"{word!r} in quotes"),
)
EXPLAINED: tuple[Trap, ...] = (
    Trap(
        "bool",
        re.compile("yes|no|on|off", re.IGNORECASE),
        lambda word, _: f"{word!r} in quotes if the text is meant",
    ),
    Trap("null", re.compile(""), lambda *_: "a value after the colon"),
    Trap("str", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+"), _from_power),
    Trap("str", re.compile(r"[-+]?0\d+"), lambda word, _: str(int(word))),
    Trap("str", re.compile(r"0o[0-7]+"), lambda word, _: str(int(word, 8))),
    Trap("str", re.compile(r"none|nan|[-+]?inf", re.IGNORECASE), _from_python),
    Trap("str", re.compile(r"\(?\s*[-+.0-9]+(\s*[,x]\s*[-+.0-9]+)+\s*,?\s*\)?"), _as_list),
)


class Scalar(NamedTuple):
    """A value with what must be said about its word: ``never`` at once, ``hint`` where it does not belong."""

    value: Any
    never: str | None = None
    hint: str | None = None


def read_scalar(node: ScalarNode) -> Scalar:
    """Return the value of a YAML scalar, as YAML 1.1 reads it, with the traps it steps into."""
    from yaml.constructor import ConstructorError, SafeConstructor

    plain = not node.style
    if not plain:
        return Scalar(node.value)
    try:
        value = SafeConstructor().construct_object(node)
    except ConstructorError:
        value = node.value
    except (ValueError, OverflowError):
        return Scalar(None, f"not a value that YAML can read: got {node.value[:40]!r}")
    if isinstance(value, int) and abs(value) > LARGEST:
        return Scalar(None, f"too large a number: got {node.value[:40]}, expected at most {LARGEST}")
    never, hint = (
        next(filter(None, (trap.explain(node.tag, node.value, value) for trap in traps)), None)
        for traps in (NEVER, EXPLAINED)
    )
    return Scalar(value, never, hint)
