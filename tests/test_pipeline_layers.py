"""Volumes through layers of every class in a row: the values of the network, its geometry, channels and memory."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from test_pipeline import Header

from conv3d_cli.engine import Limits
from conv3d_cli.errors import OverLimit, ShapeError
from conv3d_cli.layers import Conv3D, Network, make_layer
from conv3d_cli.layers.catalogue import LAYERS
from conv3d_cli.pipeline import Options, plan_run, run
from conv3d_cli.pipeline import activate as pipeline_activate
from conv3d_cli.volumes.geometry import Geometry

ROOM = Options(Limits(2, 1 << 33))
BORDERS = ((1, 2), (0, 1), (2, 0))
CUTS = ((0, 1), (1, 0), (1, 2))


def mapping(name, /, **config):
    return {"class_name": name, "config": config}


def backwards(x):
    """A function of the caller's that mixes what lies along the last axis."""
    return np.flip(x, axis=-1) - 1


def every_layer(data_format):
    """Return a layer of each class, to which the channels axis is where the format has it."""
    channels = -1 if data_format == "channels_last" else -4
    shared = [a for a in range(1, 5) if a - 5 != channels]
    placed = {"data_format": data_format}
    dropped = [make_layer(name, {"rate": 0.5}) for name in ("Dropout", "GaussianDropout", "AlphaDropout")]
    return [
        make_layer("InputLayer", {}),
        make_layer("ZeroPadding3D", {"padding": BORDERS, **placed}),
        Conv3D(4, 3, padding="same", activation=mapping("PReLU", alpha_initializer="he_normal"), **placed),
        *dropped,
        make_layer("SpatialDropout3D", {"rate": 0.5, **placed}),
        make_layer("PReLU", {"shared_axes": shared, "alpha_initializer": mapping("Constant", value=-0.5)}),
        make_layer("Cropping3D", {"cropping": CUTS, **placed}),
        make_layer("LeakyReLU", {"alpha": 0.1}),
        make_layer("Softmax", {"axis": channels}),
        make_layer("Magnitude", {"parts": 2, **placed}),
        Conv3D(6, (2, 1, 2), strides=(1, 2, 1), groups=2, activation=backwards, **placed),
        make_layer("GaussianNoise", {"stddev": 0.5}),
        make_layer("Activation", {"activation": mapping("glu", axis=channels)}, 3),
        make_layer("Softmax", {"axis": [1, 2]}),
        Conv3D(2, 1, use_bias=False, kernel_initializer=mapping("RandomNormal", stddev=150), **placed),
        make_layer("ELU", {"alpha": 0.7}),
        make_layer("ReLU", {"negative_slope": 0.25, "threshold": -0.125}),
        make_layer("ThresholdedReLU", {"theta": -0.5}),
        make_layer("Activation", {"activation": mapping("glu", axis=channels)}, 3),
    ]


def volume(file_format, shape, dtype="f4"):
    """Return random numbers as a format stores them."""
    order = "F" if file_format == "nifti" else "C"
    return np.asarray(np.random.default_rng(0).standard_normal(shape), dtype, order=order)


def header(file_format, shape, **more):
    return Header(shape, file_format, "F" if file_format == "nifti" else "C", **more)


@pytest.mark.parametrize("block", [3, 1 << 18])
@pytest.mark.parametrize(
    ("file_format", "axes", "shape"),
    [
        ("nifti", "xyz", (7, 6, 8)),
        ("nifti", "xyzt", (7, 6, 8, 3)),
        ("npy", "zyx", (7, 6, 8)),
        ("npy", "bzyx", (2, 7, 6, 8)),
        ("npy", "czyx", (2, 7, 6, 8)),
        ("npy", "bzytxc", (2, 7, 6, 2, 8, 2)),
    ],
)
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_a_run_is_the_network_called_on_the_array(file_format, axes, shape, data_format, block, monkeypatch):
    monkeypatch.setattr(pipeline_activate, "BLOCK_VOXELS", block)
    network = Network(every_layer(data_format))
    last = data_format == "channels_last"
    options = replace(ROOM, axes=axes)
    array = volume(file_format, shape)
    network.build(plan_run(header(file_format, shape), network, options).input_shape, seed=4)
    plan = plan_run(header(file_format, shape), network, options)
    planar = plan.source.planar(array)
    planar = planar if planar.ndim > 4 else planar[np.newaxis]
    want = network(np.moveaxis(planar, -4, -1) if last else planar)
    outcome = run(plan, array.copy)
    got = plan.target.planar(outcome.array)
    want = np.moveaxis(want, -1, -4) if last else want
    np.testing.assert_allclose(got, want.reshape(got.shape), rtol=0, atol=2e-5)
    assert outcome.array.shape == plan.target.shape
    assert outcome.array.flags[f"{plan.target.storage}_CONTIGUOUS"]
    assert want.std() > 5e-3


def test_the_row_has_every_class():
    for data_format in ("channels_last", "channels_first"):
        assert {type(layer).class_name for layer in every_layer(data_format)} == {
            LAYERS[name].class_name for name in LAYERS
        }


@pytest.mark.parametrize(
    ("axes", "filters", "steps"),
    [
        ("zyx", (4, 2), ["czyx", "czyx", "czyx", "zyx"]),
        ("bzyx", (4, 1), ["cbzyx", "cbzyx", "bzyx", "bzyx"]),
    ],
)
def test_a_channel_axis_that_is_made_is_dropped_again(axes, filters, steps):
    first, second = filters
    network = Network(
        [
            Conv3D(first, 1, data_format="channels_first"),
            make_layer("Dropout", {"rate": 0.5}),
            Conv3D(second, 1, data_format="channels_first"),
            make_layer("Activation", {"activation": mapping("glu", axis=-4)}, 3)
            if second > 1
            else make_layer("ReLU", {}),
        ]
    )
    plan = plan_run(header("npy", (2, 5, 6, 7)[-len(axes) :]), network, replace(ROOM, axes=axes))
    assert [step.target.axes for step in plan.steps] == steps
    assert plan.target.shape == (2, 5, 6, 7)[-len(axes) :]


def test_a_channel_axis_of_the_file_stays():
    network = Network([make_layer("Activation", {"activation": "glu"}, 3), make_layer("Cropping3D", {"cropping": 1})])
    plan = plan_run(header("npy", (5, 6, 7, 2)), network, replace(ROOM, axes="zyxc"))
    assert [step.target.shape for step in plan.steps] == [(5, 6, 7, 1), (3, 4, 5, 1)]
    x = volume("npy", (5, 6, 7, 2))
    want = (x[..., :1] / (1 + np.exp(-x[..., 1:])))[1:-1, 1:-1, 1:-1]
    np.testing.assert_allclose(run(plan, x.copy).array, want, rtol=1e-5)


@pytest.mark.parametrize(("file_format", "axes"), [("nifti", "xyz"), ("npy", "zyx"), ("npy", "yxz")])
def test_voxels_keep_their_place_in_the_world(file_format, axes):
    affine = np.array([[2, 0.5, 0, 10], [0, 3, 0, -20], [0, 0, 4, 30], [0, 0, 0, 1.0]])
    row = [
        make_layer("ZeroPadding3D", {"padding": BORDERS}),
        make_layer("ReLU", {}),
        make_layer("Cropping3D", {"cropping": CUTS}),
        Conv3D(1, 1, kernel_initializer="ones"),
        Conv3D(1, 1, strides=(2, 1, 3), kernel_initializer="ones"),
    ]
    network = Network(row)
    network.build(1)
    size = (8, 9, 10)
    plan = plan_run(header(file_format, size, geometry=Geometry(affine, "mm")), network, replace(ROOM, axes=axes))
    array = np.asarray(np.arange(720).reshape(size) + 1, "f4", order="F" if file_format == "nifti" else "C")
    out = run(plan, array.copy).array
    for index in np.ndindex(out.shape):
        if out[index] == 0:
            continue
        old = np.argwhere(array == out[index])[0]
        at, was = dict(zip(axes, index, strict=True)), dict(zip(axes, old, strict=True))
        here = plan.output_geometry.affine @ [at["x"], at["y"], at["z"], 1]
        np.testing.assert_allclose(here, affine @ [was["x"], was["y"], was["z"], 1])
    assert (out > 0).sum() > 20
    assert plan.steps[0].pads == BORDERS
    assert plan.steps[2].pads == tuple((-a, -b) for a, b in CUTS)
    assert [step.receptive_field.size for step in plan.steps] == [(1, 1, 1)] * 5


@pytest.mark.parametrize(
    "row",
    [
        [make_layer("ZeroPadding3D", {"padding": 9})],
        [make_layer("Cropping3D", {"cropping": 3})],
        [make_layer("ReLU", {}), make_layer("Dropout", {"rate": 0.5})],
        [make_layer("ZeroPadding3D", {"padding": 4}), make_layer("Cropping3D", {"cropping": 8})],
        [make_layer("Activation", {"activation": mapping("glu", axis=-3)}, 3)],
    ],
    ids=lambda row: row[-1].class_name,
)
def test_a_run_takes_what_is_predicted(row):
    network, size = Network(row), (60, 64, 62)
    plan = plan_run(header("npy", size, extra=0), network, replace(ROOM, limits=Limits(1, 1 << 33)))
    array = volume("npy", size)
    tracemalloc.start()
    out = run(plan, array.copy).array
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # Beside the volumes only blocks of a fixed size.
    assert peak <= plan.peak_bytes + 2**22
    assert peak >= array.nbytes
    arrays = [array.nbytes, *(4 * int(np.prod(step.target.shape)) for step in plan.steps)]
    copied = [a + b for a, b, step in zip(arrays, arrays[1:], plan.steps, strict=False) if step.copies]
    assert plan.peak_bytes == max([array.nbytes, *copied])
    assert out.nbytes == arrays[-1]


def test_too_little_memory_is_told_before_anything_is_read():
    network = Network([make_layer("ZeroPadding3D", {"padding": 50})])
    plan = plan_run(header("npy", (20, 20, 20), extra=0), network, ROOM)
    assert plan.peak_bytes == 4 * (20**3 + 120**3)
    with pytest.raises(OverLimit, match="not enough for this run"):
        plan_run(header("npy", (20, 20, 20), extra=0), network, replace(ROOM, limits=Limits(2, plan.peak_bytes - 1)))


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ([make_layer("Cropping3D", {"cropping": 3})], r"^layer 'cropping3d': nothing is left of axis 2: got 6 voxels"),
        ([make_layer("Activation", {"activation": "glu"}, 3)], r"glu: axis -1 has an odd size: got 1"),
        (
            [Conv3D(1, 3), make_layer("Cropping3D", {"cropping": 2})],
            r"nothing is left of axis 2: got 4 voxels in \(1, 5, 4,",
        ),
        (
            [make_layer("InputLayer", {"input_shape": (7, 6, 8, 2)}), Conv3D(1, 3, input_shape=(7, 6, 8, 2))],
            r"channels",
        ),
    ],
)
def test_rows_that_cannot_take_a_volume(row, words):
    with pytest.raises(ShapeError, match=words):
        plan_run(header("npy", (7, 6, 8)), Network(row), ROOM)


def test_losses_and_times_of_each_layer():
    network = Network(
        [make_layer("ZeroPadding3D", {}), Conv3D(2, 1, activity_regularizer="l2"), make_layer("ReLU", {})]
    )
    network.build(1, seed=1)
    array = volume("npy", (3, 7, 6, 8))
    outcome = run(plan_run(header("npy", array.shape), network, replace(ROOM, axes="bzyx")), array.copy)
    network(array[..., np.newaxis])
    assert [step.activity_loss is None for step in outcome.steps] == [True, False, True]
    assert outcome.steps[1].activity_loss == pytest.approx(network.losses[0], rel=1e-5)
    assert [step.plan is None for step in outcome.steps] == [True, False, True]
    assert outcome.output_values.min == 0
