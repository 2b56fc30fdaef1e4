"""Axes to the engine's blocks and back, and activations over whatever lies in memory."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conv3d_cli.engine import Limits
from conv3d_cli.engine.threads import share
from conv3d_cli.errors import LayerError, MethodError, OverLimit, ShapeError, UsageError
from conv3d_cli.layers import Conv3D, Network
from conv3d_cli.pipeline import Options, plan_run, run
from conv3d_cli.pipeline import activate as pipeline_activate
from conv3d_cli.pipeline.arrange import Arrangement, paired_blocks
from conv3d_cli.volumes.geometry import Geometry

ROOM = Options(Limits(2, 1 << 33))


class Header:
    """A header without a file."""

    def __init__(self, shape, file_format="npy", order="C", geometry=None, extra=1000):
        self.shape, self.format, self.order, self.geometry, self.extra = shape, file_format, order, geometry, extra

    def geometry_for(self, axes):
        return self.geometry

    def extra_bytes(self, dtype):
        return self.extra * dtype.itemsize


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
        ("zyx", 1, True, "F", "zyx"),
        ("btzyx", 2, True, "C", "cbtzyx"),
        ("tzyxb", 2, False, "C", "tzyxbc"),
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
    assert place.storage == storage
    assert place.batch_shape == tuple(2 + i for i, axis in enumerate(axes) if axis in "bt")


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
    assert [pair[0].shape for pair in paired_blocks(x[:, :2], x[:, :2])] == [(2, 1, 4, 4, 4)] * 2
    one = np.zeros((1, 8, 1, 4, 4, 4))[:, :3]
    assert [pair[0].shape for pair in paired_blocks(one, one)] == [(3, 1, 4, 4, 4)]


def test_arrays_lie_as_their_format_stores_them():
    for storage, order in (("C", (0, 1, 2)), ("F", (2, 1, 0))):
        place = Arrangement("xyzt", (3, 4, 5, 6), storage)
        assert place.memory_order == order
        assert place.empty("f4").flags[f"{storage}_CONTIGUOUS"]
        assert place.channels == 1
        assert place.batch_shape == (6,)
    assert Arrangement("tzyxb", (2, 3, 4, 5, 6)).batch_shape == (2, 6)


@pytest.mark.parametrize("block", [1, 100, 1 << 18])
@pytest.mark.parametrize("file_format", ["npy", "nifti"])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize(
    "activation", ["linear", "relu", "softmax", {"class_name": "softmax", "config": {"axis": 2}}], ids=str
)
def test_a_run_is_the_network_called_on_the_array(file_format, data_format, activation, block, monkeypatch):
    monkeypatch.setattr(pipeline_activate, "BLOCK_VOXELS", block)
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


def two_layers(**first) -> Network:
    """Return a built network of 3 and 2 filters whose second layer has no bias."""
    network = Network([Conv3D(3, 3, padding="same", **first), Conv3D(2, (2, 3, 1), strides=(1, 2, 1), use_bias=False)])
    network.build(1)
    return network


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_peak_is_that_of_the_largest_step_and_all_weights(dtype):
    options = replace(ROOM, compute_dtype=dtype)
    plan = plan_run(Header((20, 21, 22)), two_layers(), options)
    size, scratch = 8 if dtype == "float64" else 4, [step.plan.scratch_bytes for step in plan.steps]
    volumes = [20 * 21 * 22, 3 * 20 * 21 * 22, 2 * 19 * 10 * 22]
    held, copied = 4 * (27 * 3 + 3 + 6 * 3 * 2), size * 27 * 3 if dtype == "float64" else 0
    layers = [size * (volumes[i] + volumes[i + 1]) + scratch[i] for i in (0, 1)]
    assert min(scratch) > 0
    assert plan.peak_bytes == held + copied + max(layers)
    wide = Header((20, 21, 22), extra=10**7)
    assert plan_run(wide, two_layers(), options).peak_bytes == held + copied + size * (volumes[0] + 10**7)
    assert [step.parameters for step in plan.steps] == [27 * 3 + 3, 6 * 3 * 2]
    turned = plan_run(Header((20, 21, 22), "nifti", "F", extra=10**7), two_layers(), options)
    assert turned.peak_bytes == held + copied + size * (27 * 3 + volumes[0] + 10**7)


@pytest.mark.parametrize("extra", [0, 10**7])
def test_a_run_may_take_just_what_its_plan_says(extra):
    header = Header((20, 21, 22), extra=extra)
    for method in ("reference", "fft"):
        options = replace(ROOM, method=method)
        peak = plan_run(header, two_layers(), options).peak_bytes
        exact = replace(options, limits=Limits(2, peak, "cgroup limit"))
        assert plan_run(header, two_layers(), exact).peak_bytes <= peak
    less = replace(exact, limits=Limits(2, 1 << 15, "cgroup limit"))
    with pytest.raises(OverLimit, match=r"not enough for this run: got 32 KiB \(cgroup limit\), expected at least"):
        plan_run(header, two_layers(), less)


def test_a_method_leaves_room_for_the_weights():
    """Where the fastest tiles and the weights together are too much, leaner tiles are taken."""
    network = Network([Conv3D(8, 9, padding="same")])
    forced = replace(ROOM, method="fft")
    roomy = plan_run(Header((64, 64, 64), extra=0), network, forced)
    tight = replace(forced, limits=Limits(2, roomy.peak_bytes - 1))
    lean = plan_run(Header((64, 64, 64), extra=0), network, tight)
    assert lean.steps[0].plan.scratch_bytes < roomy.steps[0].plan.scratch_bytes
    assert lean.peak_bytes < roomy.peak_bytes


def test_reading_alone_may_be_too_much():
    header = Header((9, 9, 9), extra=10**7)
    peak = plan_run(header, two_layers(), ROOM).peak_bytes
    assert plan_run(header, two_layers(), replace(ROOM, limits=Limits(2, peak))).peak_bytes == peak
    with pytest.raises(OverLimit):
        plan_run(header, two_layers(), replace(ROOM, limits=Limits(2, peak - 1)))


def test_what_is_asked_for_reaches_every_step():
    options = Options(Limits(3, 1 << 33), "xyz", "fft", "strict", "float64")
    plan = plan_run(Header((20, 21, 22)), two_layers(), options)
    assert (plan.source.axes, plan.target.axes, plan.dtype, plan.options) == ("xyz", "xyzc", "float64", options)
    for step in plan.steps:
        assert (step.plan.method_asked, step.plan.method, step.plan.accuracy) == ("fft", "fft", "strict")
        assert step.plan.threads == 3
        assert step.plan.asked.dtype == "float64"
    assert plan.seconds == sum(step.plan.seconds for step in plan.steps)
    assert min(step.plan.seconds for step in plan.steps) > 0


@pytest.mark.parametrize(
    ("first", "asked", "dtype"),
    [
        ("float32", None, "float32"),
        ("float64", None, "float64"),
        ("float64", "float32", "float32"),
        ("float32", "float64", "float64"),
    ],
)
def test_one_layer_in_float64_makes_the_run_so_unless_asked_otherwise(first, asked, dtype):
    plan = plan_run(Header((8, 8, 8)), two_layers(dtype=first), replace(ROOM, compute_dtype=asked))
    assert plan.dtype == dtype
    array = np.random.default_rng(0).standard_normal((8, 8, 8)).astype(dtype)
    assert run(plan, lambda: array).array.dtype == dtype


def test_the_engine_hears_of_the_order_in_memory():
    for order, in_memory in (("C", (0, 1, 2)), ("F", (2, 1, 0))):
        plan = plan_run(Header((8, 9, 10), "nifti", order), two_layers(), ROOM)
        assert [step.plan.asked.order for step in plan.steps] == [in_memory, in_memory]
        assert plan.target.storage == order


def test_geometry_follows_the_axes_of_the_file():
    geometry = Geometry(np.diag([2.0, 3.0, 4.0, 1.0]), "um")
    network = Network([Conv3D(1, (3, 2, 1), strides=(1, 1, 2)), Conv3D(1, (2, 1, 3), dilation_rate=(2, 1, 1))])
    for axes, origin, spacing in (("xyz", (4, 1.5, 8), (2, 3, 8)), ("zyx", (4, 1.5, 8), (4, 3, 4))):
        plan = plan_run(Header((9, 9, 9), geometry=geometry), network, replace(ROOM, axes=axes))
        assert plan.geometry is geometry
        assert plan.output_geometry is plan.steps[-1].geometry
        assert plan.output_geometry.spacing == spacing
        assert plan.output_geometry.origin == origin
        assert plan.output_geometry.unit == "um"
        assert plan.steps[0].geometry.origin == ((2, 1.5, 0) if axes == "xyz" else (0, 1.5, 4))
    assert [step.receptive_field.size for step in plan.steps] == [(3, 2, 1), (5, 2, 5)]
    assert [step.pads for step in plan.steps] == [((0, 0),) * 3] * 2


def test_an_output_that_would_be_empty_names_the_smallest_input():
    network = Network([Conv3D(1, 3), Conv3D(1, (2, 3, 4), dilation_rate=(3, 2, 1), name="wide")])
    text = r"^layer 'wide': the output would be empty: got input 4x4x4, expected at least 4x5x4 for this kernel"
    with pytest.raises(ShapeError, match=text):
        plan_run(Header((6, 6, 6)), network, ROOM)


def test_what_a_layer_cannot_take_is_refused_while_planning():
    with pytest.raises(ShapeError, match="groups"):
        plan_run(Header((6, 6, 6)), Network([Conv3D(2, 3, groups=2)]), ROOM)
    with pytest.raises(UsageError, match="axes"):
        plan_run(Header((6, 6, 6)), Network([Conv3D(2, 3)]), replace(ROOM, axes="xy"))
    along = {"class_name": "softmax", "config": {"axis": 5}}
    with pytest.raises(LayerError, match="axis: not an axis of the output"):
        plan_run(Header((6, 6, 6)), Network([Conv3D(2, 3, activation=along)]), ROOM)


@pytest.mark.parametrize(
    ("data_format", "activation", "told"),
    [
        ("channels_first", "softmax", True),
        ("channels_last", "softmax", False),
        ("channels_first", "relu", False),
        ("channels_first", {"class_name": "softmax", "config": {"axis": -4}}, False),
    ],
)
def test_only_a_softmax_that_takes_space_for_channels_is_warned_of(data_format, activation, told):
    network = Network([Conv3D(2, 1, data_format=data_format, activation=activation, name="last")])
    warnings = plan_run(Header((6, 6, 6)), network, ROOM).warnings
    assert len(warnings) == told
    assert all(text.startswith("layer 'last': softmax acts on axis -1") for text in warnings)


def test_a_run_tells_its_values_and_its_times():
    network = Network([Conv3D(1, 1, kernel_initializer="ones", activation="relu")])
    network.build(1)
    array = np.linspace(-3, 5, 720, dtype="f4").reshape(8, 9, 10)
    outcome = run(plan_run(Header((8, 9, 10)), network, ROOM), lambda: array)
    assert (outcome.input_values.min, outcome.input_values.max) == (-3, 5)
    assert (outcome.output_values.min, outcome.output_values.max) == (0, 5)
    assert outcome.output_values.mean == pytest.approx(outcome.array.mean())
    assert outcome.warnings == ()
    assert all(step.seconds > 0 for step in outcome.steps)


def test_non_finite_voxels_anywhere_close_the_fft():
    network = Network([Conv3D(1, 21, padding="same")])
    network.build(1)
    plan = plan_run(Header((3, 40, 40, 40)), network, replace(ROOM, axes="bzyx"))
    assert plan.steps[0].plan.method == "fft"
    array = np.zeros((3, 40, 40, 40), "f4")
    assert run(plan, array.copy).steps[0].plan.method == "fft"
    array[2, 39, 38, 37] = np.nan
    array[2, 39, 38, 36] = np.inf
    outcome = run(plan, lambda: array)
    assert outcome.steps[0].plan.method != "fft"
    assert outcome.steps[0].step is plan.steps[0]
    assert not np.isnan(outcome.array[:2]).any()
    assert outcome.warnings == (
        "the input has 2 non-finite voxels, the first at index (2, 39, 38, 36): they spread as far as the kernel "
        "reaches",
    )


def test_a_forced_method_that_cannot_take_the_values_names_layer_and_cause():
    network = Network([Conv3D(1, 1, name="one"), Conv3D(1, 1, name="two")])
    network.build(1)
    plan = plan_run(Header((8, 8, 8)), network, replace(ROOM, method="fft"))
    array = np.zeros((8, 8, 8), "f4")
    array[1, 2, 3] = np.nan
    text = r"^layer 'one': method 'fft' would spread non-finite voxels: got 1, the first at index \(1, 2, 3\), expected"
    with pytest.raises(MethodError, match=text):
        run(plan, lambda: array)
    for layer in network:
        network.build(1)
        layer.kernel[...] = np.inf
        with pytest.raises(MethodError, match=f"^layer '{layer.name}': method 'fft'.* 1 non-finite values in the kern"):
            run(plan, lambda: np.zeros((8, 8, 8), "f4"))


def test_progress_grows_over_blocks_too():
    network = Network([Conv3D(2, 5, padding="same")])
    network.build(1)
    plan = plan_run(Header((2, 20, 3, 21, 22)), network, replace(ROOM, axes="bztyx"))
    heard = []
    run(plan, lambda: np.zeros((2, 20, 3, 21, 22), "f4"), heard.append)
    assert heard == sorted(heard)
    assert heard[-1] == pytest.approx(1.0)


def test_activations_are_shared_by_the_threads(monkeypatch):
    network = Network([Conv3D(1, 1, activation="relu")])
    network.build(1)
    asked = []
    monkeypatch.setattr(
        pipeline_activate, "share", lambda work, count, **more: asked.append(count) or share(work, count, **more)
    )
    run(plan_run(Header((8, 9, 10)), network, Options(Limits(3, 1 << 33))), lambda: np.zeros((8, 9, 10), "f4"))
    assert asked == [3]
