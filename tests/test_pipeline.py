"""Axes to the engine's blocks and back, and activations over whatever lies in memory."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conv3d_cli.engine import Limits
from conv3d_cli.layers import Conv3D, Network
from conv3d_cli.pipeline import Options, plan_run, run
from conv3d_cli.pipeline.arrange import Arrangement, paired_blocks

ROOM = Options(Limits(2, 1 << 33))


class Header:
    """A header without a file."""

    def __init__(self, shape, file_format="npy", order="C"):
        self.shape, self.format, self.order = shape, file_format, order

    def geometry_for(self, axes):
        return None

    def extra_bytes(self, dtype):
        return 1000


@settings(max_examples=60, deadline=None)
@given(
    axes=st.permutations("xyzct").flatmap(lambda a: st.sampled_from(["".join(a), "".join(a).replace("c", "")])),
    storage=st.sampled_from("CF"),
)
def test_planar_views_hold_every_voxel_in_its_place(axes, storage):
    sizes = dict(zip("xyzct", (2, 3, 4, 5, 6), strict=True))
    place = Arrangement(axes, tuple(sizes[a] for a in axes), storage)
    array = place.empty("f4")
    array[...] = np.arange(array.size).reshape(array.shape)
    planar = place.planar(array)
    assert planar.shape == (6, sizes["c"] if "c" in axes else 1, *place.size)
    assert np.shares_memory(planar, array)
    spot = {"x": 1, "y": 2, "z": 3, "c": 0, "t": 4}
    index = (spot["t"], 0, *(spot[a] for a in place.space))
    assert planar[index] == array[tuple(spot[a] for a in axes)]


@pytest.mark.parametrize(
    ("axes", "filters", "channels_first", "storage", "after"),
    [
        ("zyx", 1, False, "C", "zyx"),
        ("zyx", 4, False, "C", "zyxc"),
        ("zyx", 4, True, "C", "czyx"),
        ("xyz", 4, True, "F", "xyzc"),
        ("xyzt", 4, False, "F", "xyztc"),
        ("zyxc", 1, False, "C", "zyxc"),
        ("bczyx", 3, True, "C", "bczyx"),
    ],
)
def test_where_the_channels_of_an_output_go(axes, filters, channels_first, storage, after):
    place = Arrangement(axes, tuple(range(2, 2 + len(axes))), storage).after((7, 8, 9), filters, channels_first)
    assert place.axes == after
    assert place.size == (7, 8, 9)
    assert place.channels == filters


@settings(max_examples=40, deadline=None)
@given(st.permutations(range(6)))
def test_paired_blocks_cover_every_batch_entry_once(order):
    x, y = np.arange(2 * 3 * 2 * 2 * 2 * 2).reshape(2, 3, 2, 2, 2, 2), np.zeros((2, 3, 2, 2, 2, 2), int)
    turned = np.ascontiguousarray(x.transpose(order)).transpose(np.argsort(order))
    for source, target in paired_blocks(turned, y):
        assert source.ndim == target.ndim == 5
        assert source.shape[0] == target.shape[0]
        target[...] = source
    np.testing.assert_array_equal(y, x)


def test_contiguous_batches_are_one_block():
    x = np.zeros((2, 3, 1, 4, 4, 4))
    assert [pair[0].shape for pair in paired_blocks(x, x)] == [(6, 1, 4, 4, 4)]


@pytest.mark.parametrize("file_format", ["npy", "nifti"])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize(
    "activation", ["linear", "relu", "softmax", {"class_name": "softmax", "config": {"axis": 2}}], ids=str
)
def test_a_run_is_the_network_called_on_the_array(file_format, data_format, activation):
    order = "F" if file_format == "nifti" else "C"
    shape = (12, 11, 10, 3) if file_format == "nifti" else (3, 10, 11, 12)
    axes = "xyzt" if file_format == "nifti" else "bzyx"
    layers = [
        Conv3D(4, 3, padding="same", data_format=data_format, activation=activation),
        Conv3D(2, (2, 3, 1), strides=(1, 2, 1), data_format=data_format, activation=activation),
    ]
    network = Network(layers)
    network.build(1)
    plan = plan_run(Header(shape, file_format, order), network, Options(Limits(2, 1 << 33), axes=axes))
    array = np.asarray(np.random.default_rng(0).standard_normal(shape), "f4", order=order)
    outcome = run(plan, lambda: array)
    place = plan.source
    planar = place.planar(array)
    want = network(planar if data_format == "channels_first" else np.moveaxis(planar, 1, -1))
    got = plan.target.planar(outcome.array)
    np.testing.assert_allclose(got, want if data_format == "channels_first" else np.moveaxis(want, -1, 1), atol=2e-6)


def test_the_input_is_let_go_after_the_first_layer():
    import weakref

    network = Network([Conv3D(1, 3), Conv3D(1, 3)])
    network.build(1)
    plan = plan_run(Header((20, 20, 20)), network, ROOM)
    alive = []

    def read():
        array = np.zeros((20, 20, 20), "f4")
        alive.append(weakref.ref(array))
        return array

    run(plan, read, lambda share: alive.append(share))
    assert alive[0]() is None


def test_progress_runs_from_layer_to_layer():
    network = Network([Conv3D(8, 5), Conv3D(8, 5)])
    network.build(1)
    plan = plan_run(Header((40, 40, 40)), network, ROOM)
    heard = []
    run(plan, lambda: np.zeros((40, 40, 40), "f4"), heard.append)
    assert heard == sorted(heard)
    assert heard[-1] == pytest.approx(1.0)
