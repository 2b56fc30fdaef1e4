"""Voxel centres keep their place in the world through strides, shifts and chains, oblique and sheared affines too."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conv3d_cli.shapes import centre_shift
from conv3d_cli.volumes import Geometry

NUMBERS = st.floats(-50, 50, allow_nan=False).map(lambda x: round(x, 3))


@st.composite
def affines(draw):
    """Rotations with spacings, mirrored and sheared ones: any affine that can be inverted well."""
    linear = np.array(draw(st.lists(NUMBERS, min_size=9, max_size=9))).reshape(3, 3) / 25
    linear += np.diag(draw(st.lists(st.sampled_from([-4.0, 4.0, 7.5]), min_size=3, max_size=3)))
    affine = np.eye(4)
    affine[:3, :3] = linear
    affine[:3, 3] = draw(st.lists(NUMBERS, min_size=3, max_size=3))
    return affine


STEPS = st.tuples(
    st.tuples(*[st.integers(1, 4)] * 3),
    st.tuples(*[st.floats(-5, 5, allow_nan=False).map(lambda x: round(x * 2) / 2)] * 3),
)


@given(affines(), st.lists(STEPS, max_size=4), st.tuples(*[st.integers(0, 30)] * 3))
def test_a_chain_is_its_steps_one_after_the_other(affine, steps, index):
    geometry = Geometry(affine)
    for strides, shift in steps:
        geometry = geometry.through(strides, shift)
    place = np.array(index, dtype=float)
    for strides, shift in reversed(steps):
        place = place * strides + shift
    expected = affine @ [*place, 1]
    assert np.allclose(geometry.world(index), expected[:3], atol=1e-9 * 4**5)


@given(affines(), STEPS)
def test_strides_scale_the_spacing(affine, step):
    before, after = Geometry(affine), Geometry(affine).through(*step)
    assert np.allclose(after.spacing, np.array(before.spacing) * step[0])
    assert np.allclose(after.origin, before.world(step[1]))
    assert after.sheared == before.sheared


@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
@pytest.mark.parametrize("before", [0, 1, 2])
def test_a_window_lies_at_the_mean_of_its_voxels(kernel, before):
    """The output of a mean filter over the world's own coordinates is where the output voxel lies."""
    affine = np.array([[1.6, 0.3, 0, -8], [-0.2, 1.9, 0.4, 3], [0, -0.5, 2.2, 7], [0, 0, 0, 1]])
    geometry, stride = Geometry(affine), 2
    shift = centre_shift(kernel, 1, before)
    moved = geometry.through((stride,) * 3, (shift,) * 3)
    for index in [(0, 0, 0), (1, 2, 3)]:
        first = np.array(index) * stride - before
        window = np.stack(np.meshgrid(*[np.arange(f, f + kernel) for f in first], indexing="ij"), -1)
        assert np.allclose(moved.world(index), geometry.world(window).mean(axis=(0, 1, 2)))


def test_the_order_of_the_axes_can_be_given():
    geometry = Geometry(np.diag([1.0, 2.0, 3.0, 1.0]))
    one = geometry.through((4, 5, 6), (1, 2, 3), order="zyx")
    other = geometry.through((6, 5, 4), (3, 2, 1))
    assert np.array_equal(one.affine, other.affine)


def test_shear():
    assert not Geometry(np.diag([1.0, 2, 3, 1])).sheared
    affine = np.eye(4)
    affine[0, 1] = 0.1
    assert Geometry(affine).sheared


def test_a_geometry_is_fixed():
    geometry = Geometry(np.eye(4), "um")
    with pytest.raises(ValueError, match="read-only"):
        geometry.affine[0, 0] = 2
    assert geometry.through((2, 2, 2), (0, 0, 0)).unit == "um"
    for affine, unit in ((np.eye(3), "mm"), (np.eye(4), "inch")):
        with pytest.raises(ValueError, match="expected"):
            Geometry(affine, unit)
