"""Frozen dataclasses that compile nothing: what ``dataclass(frozen=True)`` gives, at a small part of its price.

The standard decorator writes six methods of every class as text and compiles them each time a program starts; for the
classes of one `conv3d apply` that takes longer than its convolution. Here the methods are written once, for all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, FrozenInstanceError, dataclass, field, fields
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, overload

if TYPE_CHECKING:
    from typing_extensions import dataclass_transform
else:

    def dataclass_transform(**_words: object) -> Callable[[Any], Any]:
        """Take what tells a type checker how to read a decorator; it is nothing to a program that runs."""
        return lambda decorator: decorator


Made = TypeVar("Made", bound=type)


@overload
def frozen(cls: Made) -> Made: ...
@overload
def frozen(*, eq: bool = True) -> Callable[[Made], Made]: ...
@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(cls: Any = None, *, eq: bool = True) -> Any:
    """Make a class a frozen dataclass; `dataclasses.replace`, ``fields`` and ``asdict`` take what it makes.

    Instances of one class are equal if their fields are, those with ``compare=False`` apart; with ``eq=False`` each is
    equal to itself alone. What the class writes itself stays: its own ``__hash__``, its ``__post_init__``.

    >>> @frozen
    ... class Slab:
    ...     start: int
    ...     stop: int = 8
    >>> Slab(2), Slab(2) == Slab(stop=8, start=2), len({Slab(1), Slab(1, 8)})
    (Slab(start=2, stop=8), True, 1)
    """
    if cls is None:
        return lambda each: frozen(each, eq=eq)  # type: ignore[call-overload]
    dataclass(init=False, repr=False, eq=False)(cls)
    cls.__form__ = _Form(cls)
    for name, method in {**_METHODS, **(_EQUALITY if eq else {})}.items():
        if name not in cls.__dict__:
            setattr(cls, name, method)
    return cls


class _Form:
    """The fields of a class: their names in order, those compared, what stands where nothing is given."""

    __slots__ = ("all", "compared", "defaults", "finish", "made", "names")

    def __init__(self, cls: type) -> None:
        own = fields(cls)
        self.names = tuple(each.name for each in own)
        self.all = set(self.names)
        compared = [each.name for each in own if each.compare]
        self.compared = itemgetter(*compared) if compared else lambda _held: ()
        self.defaults = {each.name: each.default for each in own if each.default is not MISSING}
        self.made = {each.name: each.default_factory for each in own if each.default_factory is not MISSING}
        self.finish = getattr(cls, "__post_init__", None)


def _init(self: Any, *values: Any, **named: Any) -> None:
    form: _Form = self.__form__
    held: dict[str, Any] = self.__dict__
    held.update(form.defaults)
    held.update(zip(form.names, values, strict=False))
    held.update(named)
    for name, make in form.made.items():
        if name not in held:
            held[name] = make()
    if held.keys() != form.all or len(values) > len(form.names) or named.keys() & form.names[: len(values)]:
        _refuse(self, values, named)
    if form.finish is not None:
        form.finish(self)


def _refuse(self: Any, values: tuple[Any, ...], named: dict[str, Any]) -> NoReturn:
    """Say what is wrong with the arguments that an instance was to be made of."""
    form: _Form = self.__form__
    given = [*form.names[: len(values)], *named]
    surplus = [*map(repr, values[len(form.names) :]), *(name for name in given if given.count(name) > 1)]
    surplus += [name for name in named if name not in form.names]
    missing = [name for name in form.names if name not in self.__dict__]
    wrong = [f"{word}: {', '.join(names)}" for word, names in (("missing", missing), ("too many", surplus)) if names]
    raise TypeError(f"{type(self).__qualname__}({', '.join(form.names)}): {'; '.join(wrong)}")


def _repr(self: Any) -> str:
    shown = ", ".join(f"{each.name}={getattr(self, each.name)!r}" for each in fields(self) if each.repr)
    return f"{type(self).__qualname__}({shown})"


def _eq(self: Any, other: Any) -> Any:
    if other.__class__ is not self.__class__:
        return NotImplemented
    compared = self.__form__.compared
    return compared(self.__dict__) == compared(other.__dict__)


def _hash(self: Any) -> int:
    return hash(self.__form__.compared(self.__dict__))


def _set(self: Any, name: str, _value: object) -> NoReturn:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _delete(self: Any, name: str) -> NoReturn:
    raise FrozenInstanceError(f"cannot delete field {name!r}")


_METHODS: dict[str, Any] = {"__init__": _init, "__repr__": _repr, "__setattr__": _set, "__delattr__": _delete}
_EQUALITY: dict[str, Any] = {"__eq__": _eq, "__hash__": _hash}
