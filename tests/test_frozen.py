"""`frozen` and `mutable` against the standard library's dataclasses, of which they are a quicker writing."""

from __future__ import annotations

import dataclasses
import pickle
from dataclasses import FrozenInstanceError, asdict, dataclass, fields, is_dataclass
from functools import cached_property, partial
from pprint import pformat
from typing import ClassVar

import pytest

from conv3d_cli.frozen import field, frozen, mutable, replace

STANDARD = dataclass(frozen=True)


def _pair(decorate, field):
    """Return a class with all that a field can have, and one that inherits from it."""

    @decorate
    class Axis:
        size: int
        pad: tuple[int, int] = (0, 0)
        names: list[str] = field(default_factory=list, repr=False)
        noted: float = field(default=0.0, compare=False)
        kind: ClassVar[str] = "axis"

        def __post_init__(self):
            if self.size < 0:
                raise ValueError(f"size {self.size}")

        @cached_property
        def whole(self):
            return self.size + sum(self.pad)

    @decorate
    class Strided(Axis):
        stride: int = 1

    return Axis, Strided


OURS, THEIRS = _pair(frozen, field), _pair(STANDARD, dataclasses.field)


@frozen
class Picklable:
    """A class at the top of a module, as pickle needs it."""

    size: int
    stride: int = 1


ARGUMENTS = {
    "positions": ((3, (1, 2)), {}),
    "names": ((), {"pad": (1, 2), "size": 3}),
    "mixed": ((3,), {"noted": 2.5, "names": ["x"]}),
    "all": ((3, (1, 2), ["x"], 2.5), {}),
}
WRONG = {
    "nothing": ((), {}),
    "too many": ((1, (0, 0), [], 0.0, 5, 6), {}),
    "unknown": ((1,), {"dilation": 2}),
    "unknown in place of a missing one": ((), {"dilation": 2}),
    "twice": ((1,), {"size": 1}),
}


@pytest.mark.parametrize("which", [0, 1], ids=["base", "derived"])
@pytest.mark.parametrize("case", ARGUMENTS)
def test_instances_are_as_the_standard_library_makes_them(case, which):
    values, named = ARGUMENTS[case]
    ours, theirs = OURS[which](*values, **named), THEIRS[which](*values, **named)
    assert vars(ours) == vars(theirs) == asdict(ours)
    assert repr(ours) == repr(theirs)
    assert [each.name for each in fields(ours)] == [each.name for each in fields(theirs)]
    assert ours.whole == theirs.whole
    assert vars(ours) == vars(theirs)


@pytest.mark.parametrize("case", WRONG)
def test_wrong_arguments_are_a_type_error_that_names_the_class(case):
    values, named = WRONG[case]
    for make in (OURS[0], THEIRS[0]):
        with pytest.raises(TypeError, match="Axis"):
            make(*values, **named)


def test_what_is_wrong_is_named():
    with pytest.raises(TypeError, match=r"missing: size; too many: dilation$"):
        OURS[0](dilation=2)
    with pytest.raises(TypeError, match=r"too many: 6$"):
        OURS[1](1, (0, 0), [], 0.0, 5, 6)
    with pytest.raises(TypeError, match=r"too many: size, size$"):
        OURS[0](1, size=1)


@pytest.mark.parametrize("make", [OURS[0], THEIRS[0]], ids=["ours", "theirs"])
def test_nothing_can_be_set_or_deleted(make):
    axis = make(3)
    for change in (partial(setattr, axis, "size", 4), partial(setattr, axis, "new", 4), partial(delattr, axis, "size")):
        with pytest.raises(FrozenInstanceError):
            change()
    assert axis.size == 3


@pytest.mark.parametrize(("base", "derived"), [OURS, THEIRS], ids=["ours", "theirs"])
def test_equality_is_of_class_and_compared_fields(base, derived):
    assert base(3, noted=1.0) == base(3, noted=2.0)
    assert base(3) != base(4)
    assert base(3) != derived(3)
    assert base(3) != (3, (0, 0), [])
    assert derived(3, stride=2) != derived(3)


def test_equal_instances_have_one_hash():
    assert len({Picklable(3), Picklable(3, 1), Picklable(size=3), Picklable(3, 2)}) == 2
    with pytest.raises(TypeError, match="unhashable"):
        hash(OURS[0](3))  # holds a list


def test_without_equality_each_is_itself_alone():
    @frozen(eq=False)
    class Held:
        values: list[int]

    one, other = Held([1]), Held([1])
    assert one == one
    assert one != other
    assert len({one, other}) == 2


def test_methods_of_the_class_itself_stay():
    @frozen
    class Named:
        name: str

        def __repr__(self):
            return self.name

        def __hash__(self):
            return 7

    assert repr(Named("halo")) == "halo"
    assert hash(Named("halo")) == 7
    assert Named("halo") == Named("halo")


def test_each_instance_has_a_default_of_its_own():
    one, other = OURS[0](1), OURS[0](1)
    one.names.append("x")
    assert other.names == []


@pytest.mark.parametrize("change", [replace, dataclasses.replace], ids=["ours", "theirs"])
def test_replace_makes_a_new_one_and_checks_it(change):
    axis = OURS[1](3, names=["x"], stride=2)
    held = dict(vars(axis))
    assert axis.whole == 3  # which is no field, and none of the new one's
    assert vars(change(axis, size=5)) == {**held, "size": 5}
    with pytest.raises(ValueError, match="size -1"):
        change(axis, size=-1)
    with pytest.raises(TypeError, match="dilation"):
        change(axis, dilation=2)


@pytest.mark.parametrize("which", [0, 1], ids=["base", "derived"])
def test_the_standard_library_knows_them(which):
    ours, theirs = OURS[which], THEIRS[which]
    said = [[(f.name, f.type, f.default, f.compare, f.repr) for f in fields(each)] for each in (ours, theirs)]
    assert said[0] == said[1]
    assert is_dataclass(ours)
    assert is_dataclass(ours(1))
    assert ours.__match_args__ == theirs.__match_args__
    assert ours.kind == "axis"
    assert not hasattr(ours, "names")
    assert pformat(ours(1, names=["x" * 90])).replace(" ", "") == repr(ours(1, names=["x" * 90])).replace(" ", "")


def test_what_nobody_does_with_a_field_is_refused():
    with pytest.raises(TypeError, match="got kw_only, expected default"):
        field(kw_only=True)


def test_fields_of_a_mutable_one_may_be_set():
    @mutable
    class Tally:
        count: int = 0
        names: list[str] = field(default_factory=list)

    one, other = Tally(), Tally(1)
    other.count -= 1
    assert one == other
    assert one.names is not other.names
    with pytest.raises(TypeError, match="unhashable"):
        hash(one)
    assert "Tally(count=0, names=[])" in repr(replace(one, names=[]))


def test_an_instance_comes_back_from_a_pickle():
    assert pickle.loads(pickle.dumps(Picklable(3, 2))) == Picklable(3, 2)
