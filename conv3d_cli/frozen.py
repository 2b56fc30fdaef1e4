"""Dataclasses that compile nothing: what ``dataclass(frozen=True)`` gives, at a small part of its price.

The standard decorator looks into every class for a while, and writes six methods of it as text that is compiled each
time a program starts; for the classes of one `conv3d apply` that takes longer than its convolution. Here the methods
are written once, for all, and what the standard library wants to know of a class is made when it asks.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, overload

if TYPE_CHECKING:
    from dataclasses import field as field
    from dataclasses import replace as replace

    from typing_extensions import dataclass_transform
else:

    def dataclass_transform(**_words: object) -> Callable[[Any], Any]:
        """Take what tells a type checker how to read a decorator; it is nothing to a program that runs."""
        return lambda decorator: decorator

    def field(**said: Any) -> Any:
        """Say of a field what ``dataclasses.field`` does: ``default``, ``default_factory``, ``compare``, ``repr``."""
        return _Field(**said)

    def replace(held: Any, /, **changes: Any) -> Any:
        """Return another instance of the same class, with other values of some fields, as ``dataclasses.replace``.

        >>> @frozen
        ... class Slab:
        ...     start: int
        ...     stop: int
        >>> replace(Slab(2, 8), stop=9)
        Slab(start=2, stop=9)
        """
        values = held.__dict__
        return held.__class__(**{**{name: values[name] for name in held.__form__.names}, **changes})


Made = TypeVar("Made", bound=type)
NOTHING: Any = object()


@overload
def frozen(cls: Made) -> Made: ...
@overload
def frozen(*, eq: bool = True) -> Callable[[Made], Made]: ...
@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(cls: Any = None, *, eq: bool = True) -> Any:
    """Make a class a frozen dataclass; ``fields``, ``asdict`` and the like of the standard library take what it makes.

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
    return _made(cls, {**_METHODS, **_LOCKED, **(_EQUALITY if eq else {})})


@dataclass_transform(field_specifiers=(field,))
def mutable(cls: Made) -> Made:
    """Make a class a dataclass whose fields may be set: equal as those of ``frozen`` are, and never hashed."""
    made: Made = _made(cls, {**_METHODS, "__eq__": _eq, "__hash__": None})
    return made


def _made(cls: Any, methods: dict[str, Any]) -> Any:
    own = cls.__dict__
    cls.__form__ = form = _Form(cls)
    setattr(cls, "__match_args__", form.names)  # noqa: B010 - which mypy would have nobody but a class assign
    for name, method in methods.items():
        if name not in own:
            setattr(cls, name, method)
    return cls


class _Field:
    """What is said of one field."""

    __slots__ = ("compare", "default", "default_factory", "repr")

    def __init__(self, default: Any = NOTHING, default_factory: Any = NOTHING, **said: bool) -> None:
        self.default, self.default_factory = default, default_factory
        self.compare, self.repr = said.pop("compare", True), said.pop("repr", True)
        if said:
            raise TypeError(f"field: got {', '.join(said)}, expected default, default_factory, compare or repr")


class _Form:
    """The fields of a class, in order: their names, those compared, what stands where nothing is given."""

    __slots__ = ("all", "annotations", "apart", "compared", "defaults", "finish", "hidden", "made", "names", "standard")

    def __init__(self, cls: type) -> None:
        base: _Form | None = getattr(cls, "__form__", None)
        self.annotations: dict[str, Any] = {} if base is None else dict(base.annotations)
        self.defaults: dict[str, Any] = {} if base is None else dict(base.defaults)
        self.made: dict[str, Callable[[], Any]] = {} if base is None else dict(base.made)
        self.apart: set[str] = set() if base is None else set(base.apart)
        self.hidden: set[str] = set() if base is None else set(base.hidden)
        for name, annotation in cls.__annotations__.items():
            if not str(annotation).startswith(("ClassVar", "typing.ClassVar")):
                self.annotations[name] = annotation
                if name in cls.__dict__:
                    self._said(cls, name, cls.__dict__[name])
        self.names = tuple(self.annotations)
        self.all = set(self.names)
        compared = [name for name in self.names if name not in self.apart]
        self.compared = itemgetter(*compared) if compared else lambda _held: ()
        self.finish = getattr(cls, "__post_init__", None)
        self.standard: Any = None

    def _said(self, cls: type, name: str, said: Any) -> None:
        """Note what a class says of a field, and leave in the class what an attribute of it is by default."""
        if not isinstance(said, _Field):
            self.defaults[name] = said
            return
        delattr(cls, name)
        if said.default is not NOTHING:
            self.defaults[name] = said.default
            setattr(cls, name, said.default)
        if said.default_factory is not NOTHING:
            self.made[name] = said.default_factory
        if not said.compare:
            self.apart.add(name)
        if not said.repr:
            self.hidden.add(name)


class _Standard:
    """What the standard library keeps with each class of its own, made when somebody asks for it."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, held: object, cls: Any) -> Any:
        form: _Form = cls.__form__
        if form.standard is None:
            from dataclasses import field, make_dataclass

            def told(name: str) -> Any:
                given = {"default": form.defaults, "default_factory": form.made}
                known: dict[str, Any] = {word: held[name] for word, held in given.items() if name in held}
                return field(compare=name not in form.apart, repr=name not in form.hidden, **known)

            fields = [(name, annotation, told(name)) for name, annotation in form.annotations.items()]
            form.standard = make_dataclass(cls.__name__, fields, init=False, repr=False, eq=False)
        return getattr(form.standard, self.name)


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
    form: _Form = self.__form__
    shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in form.names if name not in form.hidden)
    return f"{type(self).__qualname__}({shown})"


def _eq(self: Any, other: Any) -> Any:
    if other.__class__ is not self.__class__:
        return NotImplemented
    compared = self.__form__.compared
    return compared(self.__dict__) == compared(other.__dict__)


def _hash(self: Any) -> int:
    return hash(self.__form__.compared(self.__dict__))


def _set(self: Any, name: str, _value: object) -> NoReturn:
    from dataclasses import FrozenInstanceError

    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _delete(self: Any, name: str) -> NoReturn:
    from dataclasses import FrozenInstanceError

    raise FrozenInstanceError(f"cannot delete field {name!r}")


_METHODS: dict[str, Any] = {
    "__init__": _init,
    "__repr__": _repr,
    **{name: _Standard(name) for name in ("__dataclass_fields__", "__dataclass_params__")},
}
_LOCKED: dict[str, Any] = {"__setattr__": _set, "__delattr__": _delete}
_EQUALITY: dict[str, Any] = {"__eq__": _eq, "__hash__": _hash}
