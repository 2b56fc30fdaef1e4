"""The error tree: exit codes, the built-in types that callers may catch, and the words of messages."""

from __future__ import annotations

import pytest

from conv3d_cli import errors

TREE = [
    ("Conv3dError", 1, Exception),
    ("UsageError", 2, Exception),
    ("InputError", 3, Exception),
    ("LayerError", 3, ValueError),
    ("ShapeError", 3, ValueError),
    ("UnknownArgument", 3, TypeError),
    ("MethodError", 3, ValueError),
    ("SpecError", 3, ValueError),
    ("WeightsError", 3, ValueError),
    ("VolumeError", 3, ValueError),
    ("OutputError", 4, OSError),
    ("OverLimit", 5, MemoryError),
]


@pytest.mark.parametrize(("name", "code", "builtin"), TREE)
def test_each_error_has_its_exit_code_and_its_builtin_type(name, code, builtin):
    error = getattr(errors, name)
    assert error.exit_code == code
    assert issubclass(error, errors.Conv3dError)
    assert issubclass(error, builtin)
    assert issubclass(error, errors.InputError) == (code == 3)


def test_the_tree_is_whole():
    named = {name for name in errors.__all__ if isinstance(getattr(errors, name), type)}
    assert named == {name for name, _, _ in TREE}


def test_what_errors_carry():
    assert errors.LayerError("no", "filters").argument == "filters"
    assert errors.LayerError("no").argument is None
    assert errors.ShapeError("no", "x").argument == "x"
    assert errors.UnknownArgument("no", "filter").argument == "filter"
    assert errors.OverLimit("no", 7).needed == 7
    both = errors.SpecError(iter(["one", "two"]))
    assert (both.problems, str(both)) == (("one", "two"), "one\ntwo")


def test_a_quoted_name_is_one_printable_line():
    assert errors.quoted("a b") == "'a b'"
    assert errors.quoted("a\r\n\x1b[0m") == r"'a\r\n\x1b[0m'"
    assert errors.quoted("\udcff.npy").encode("utf-8")


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("Padding", "padding"),
        ("filter", "Filters"),
        ("PADDIN", "padding"),
        ("elu", "ELU"),
        ("kernel", None),
        ("pa", None),
        ("", None),
    ],
)
def test_the_nearest_name_is_near(name, found):
    assert errors.nearest(name, ["padding", "Filters", "ELU"]) == (f"; did you mean {found!r}?" if found else "")
