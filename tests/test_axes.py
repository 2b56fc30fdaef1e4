"""The meaning of a file's axes: defaults by format, and precise words for what does not fit."""

from __future__ import annotations

import pytest

from conv3d_cli.errors import UsageError
from conv3d_cli.volumes import resolve_axes, spatial


@pytest.mark.parametrize(
    ("form", "rank", "data_format", "expected"),
    [
        ("nifti", 3, "channels_last", "xyz"),
        ("nifti", 4, "channels_last", "xyzt"),
        ("nifti", 4, "channels_first", "xyzt"),
        ("nifti", 5, "channels_last", "xyztc"),
        ("npy", 3, "channels_last", "zyx"),
        ("npy", 3, "channels_first", "zyx"),
        ("npy", 4, "channels_last", "zyxc"),
        ("npy", 4, "channels_first", "czyx"),
        ("hdf5", 4, "channels_last", "zyxc"),
        ("hdf5", 5, "channels_first", "bczyx"),
        ("npy", 7, "channels_last", "bbbzyxc"),
    ],
)
def test_defaults(form, rank, data_format, expected):
    assert resolve_axes(form, rank, None, data_format) == expected


@pytest.mark.parametrize(
    ("form", "rank", "axes"),
    [
        ("nifti", 4, "xyzc"),
        ("nifti", 6, "xyzbct"),
        ("npy", 3, "xyz"),
        ("hdf5", 5, "btzyx"),
        ("npy", 6, "bbbxyz"),
    ],
)
def test_given_axes_are_kept(form, rank, axes):
    assert resolve_axes(form, rank, axes) == axes


@pytest.mark.parametrize(
    ("form", "rank", "axes", "words"),
    [
        ("npy", 3, "xyw", "unknown letter 'w' in 'xyw'"),
        ("npy", 3, "xyy", "'y' stands 2 times in 'xyy', expected once"),
        ("npy", 3, "xy", "'z' stands 0 times"),
        ("npy", 5, "xyzcc", "'c' stands 2 times in 'xyzcc', expected at most once"),
        ("npy", 5, "ttxyz", "'t' stands 2 times"),
        ("npy", 4, "xyz", "'xyz' names 3 axes, expected 4"),
        ("npy", 3, "", "'x' stands 0 times"),
        ("nifti", 4, "cxyz", "expected 'xyz' in front"),
        ("nifti", 3, "zyx", "expected 'xyz' in front"),
        ("nifti", 2, None, "the volume has 2 axes, expected at least 3"),
        ("npy", 1, None, "the volume has 1 axes"),
        ("nifti", 6, None, "no default"),
    ],
)
def test_what_does_not_fit(form, rank, axes, words):
    with pytest.raises(UsageError) as caught:
        resolve_axes(form, rank, axes)
    assert str(caught.value).startswith("axes: ")
    assert words in str(caught.value)


def test_spatial():
    assert [spatial(axes) for axes in ("xyzt", "bczyx", "zcyx")] == ["xyz", "zyx", "zyx"]
