"""Convolution inside a mask against its definition, voxel by voxel."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from masked_oracle import masked_oracle
from support import compiled

from conv3d_cli.engine import METHODS, Limits, isa
from conv3d_cli.errors import MethodError, ShapeError, UsageError
from conv3d_cli.filters import Filter
from conv3d_cli.layers import Conv3D, Magnitude, Network, make_layer
from conv3d_cli.masking import Masking, regions
from conv3d_cli.masking import layer as masked_layer
from conv3d_cli.masking.regions import Cut, Region, regions_of
from conv3d_cli.masking.rules import rules_of
from conv3d_cli.masking.weighing import MOST_KEPT
from conv3d_cli.pipeline import Labels, Options, filter_network, plan_run, run

SIZE = (9, 7, 8)
BOUNDARIES = ["zero", "constant:2.5", "reflect", "mirror", "nearest", "wrap"]
SLACK = 1 << 18


class Header:
    """A header without a file."""

    format = "npy"

    def __init__(self, shape, order="C"):
        self.shape, self.order = shape, order

    def geometry_for(self, axes):
        return None

    def extra_bytes(self, dtype):
        return 0


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    """Cut even these volumes into several pieces."""
    monkeypatch.setattr(regions, "LEAST_VOXELS", 300)
    monkeypatch.setattr(regions, "REACHES", 2)


def rng(seed=0):
    return np.random.default_rng(seed)


def kernel_of(kind, shape, seed=1):
    """Return random weights of one kind: of one sign, of both with a sum, without one."""
    weights = rng(seed).random(shape) + 0.1
    if kind == "negative":
        return -weights
    if kind == "mixed":
        return weights - 0.35
    if kind == "zero-sum":
        return weights - weights.mean(axis=(0, 1, 2, 3), keepdims=True)
    return weights


def masked(layers, x, labels, masking, *, axes="zyxc", order="C", **more):
    """Return what a run gives."""
    network = Network(layers)
    plan = plan_run(Header(x.shape, order), network, Options(Limits(2, 1 << 33), axes=axes, masking=masking, **more))
    return run(plan, lambda: np.array(x, plan.dtype, order=order), None, labels)


def conv(kernel, bias=None, **more):
    """Return a layer with weights, built."""
    layer = Conv3D(kernel.shape[-1], kernel.shape[:3], padding="same", use_bias=bias is not None, **more)
    layer.build(kernel.shape[3] * layer.groups)
    layer.set_weights([kernel] if bias is None else [kernel, bias])
    return layer


def pads_of(kernel, dilation=(1, 1, 1)):
    spans = [(k - 1) * d for k, d in zip(kernel.shape[:3], dilation, strict=True)]
    return [(span // 2, span - span // 2) for span in spans]


def close(got, want, to=1e-5):
    np.testing.assert_allclose(got, want, rtol=0, atol=to * np.abs(want).max())


def check(kernel, x, labels, count=1, *, bias=None, absent=None, masking=None, options=None, **more):
    """Hold a layer's run over x (d1, d2, d3, C) against the oracle; return the outcome."""
    masking = masking or Masking("mask" if labels.dtype == bool else "labels")
    layer = {key: more[key] for key in ("groups", "dilation_rate", "boundary") if key in more}
    outcome = masked([conv(kernel, bias, **layer)], x, Labels(labels, count), masking, **(options or {}))
    dilation = more.get("dilation_rate", (1, 1, 1))
    want, gone = masked_oracle(
        np.nan_to_num(np.moveaxis(x, -1, 0)),
        labels.astype(int),
        kernel,
        pads_of(kernel, dilation),
        absent=absent,
        bias=bias,
        groups=more.get("groups", 1),
        dilation=dilation,
        boundary=more.get("boundary", "zero"),
        coverage=masking.min_coverage,
    )
    close(np.moveaxis(outcome.array, -1, 0), want)
    assert outcome.steps[0].counts.uncovered == outcome.counts.uncovered == gone.sum()
    return outcome


def methods(kernel):
    """Return the methods that can serve a kernel here."""
    flat = kernel.reshape(-1, kernel.shape[-1])
    found = ["reference", "fft"]
    if isa.native() is not None:
        found += ["direct", "winograd"] if kernel.shape[3] > 3 else ["direct"]
        found += ["separable"] if kernel.shape[3] == 1 and np.ptp(flat) == 0 else []
        found += ["pointwise"] if kernel.shape[:3] == (1, 1, 1) else []
    return found


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("kind", ["positive", "negative", "mixed", "zero-sum"])
def test_every_kind_of_kernel_and_boundary(kind, boundary):
    x, labels = rng().standard_normal((*SIZE, 1)), rng(2).random(SIZE) < 0.5
    outcome = check(kernel_of(kind, (3, 4, 5, 1, 2)), x, labels, boundary=boundary, bias=np.array([0.5, -2.0]))
    counts = outcome.steps[0].counts
    assert (counts.normalised, counts.filled) == ((0, 2) if kind == "zero-sum" else (2, 0))


@pytest.mark.parametrize("method", list(METHODS))
@pytest.mark.parametrize("kind", ["positive", "mixed", "zero-sum", "box"])
def test_every_method(method, kind):
    kernel = np.full((3, 4, 5, 1, 2), 1 / 60) if kind == "box" else kernel_of(kind, (3, 4, 5, 1, 2))
    if method == "winograd" and kind != "box":
        kernel = kernel_of(kind, (3, 4, 5, 4, 2))
    if method == "pointwise":
        kernel = kernel[:1, :1, :1]
    if method not in methods(kernel):
        pytest.skip("cannot serve this kernel here")
    x, labels = rng().standard_normal((*SIZE, kernel.shape[3])), rng(2).random(SIZE) < 0.5
    outcome = check(kernel, x, labels, options={"method": method})
    assert outcome.steps[0].plan.method == method


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_labels_are_kept_apart(boundary):
    labels = (rng(3).integers(0, 4, SIZE) * (rng(4).random(SIZE) < 0.8)).astype(np.uint8)
    labels[labels == 2] = 0  # a label that is not there
    x = rng().standard_normal((*SIZE, 1))
    for kind in ("positive", "zero-sum"):
        outcome = check(kernel_of(kind, (3, 4, 5, 1, 1)), x, labels, 3, boundary=boundary)
    assert outcome.counts.labels == 3
    assert outcome.counts.inside == np.count_nonzero(labels)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_a_mask_that_touches_some_faces_of_the_volume(boundary):
    labels = np.zeros(SIZE, bool)
    labels[:4, 2:5, 3:] = rng(2).random((4, 3, 5)) < 0.7
    x = rng().standard_normal((*SIZE, 1))
    check(kernel_of("positive", (3, 4, 5, 1, 1)), x, labels, boundary=boundary)


@pytest.mark.parametrize("kind", ["positive", "mixed", "zero-sum"])
def test_channels_groups_and_dilation(kind):
    x, labels = rng().standard_normal((*SIZE, 4)), rng(2).random(SIZE) < 0.6
    check(kernel_of(kind, (2, 3, 3, 2, 4)), x, labels, groups=2, dilation_rate=(2, 1, 2), bias=np.arange(4.0))
    check(kernel_of(kind, (3, 2, 3, 4, 3)), x, labels)


@pytest.mark.parametrize("kind", ["positive", "mixed", "zero-sum"])
@pytest.mark.parametrize("groups", [1, 2])
def test_missing_voxels_of_each_channel(kind, groups):
    x, labels = rng().standard_normal((*SIZE, 2)), rng(2).random(SIZE) < 0.8
    absent = rng(5).random((2, *SIZE)) < 0.3
    holes = np.where(np.moveaxis(absent, 0, -1), np.nan, x)
    masking = Masking("mask", missing=True)
    outcome = check(
        kernel_of(kind, (3, 4, 3, 2 // groups, 2)), holes, labels, absent=absent, masking=masking, groups=groups
    )
    assert outcome.counts.missing == (absent.any(0) & labels).sum()
    assert outcome.counts.filled == outcome.counts.missing
    assert outcome.warnings == () if kind == "zero-sum" else len(outcome.warnings) == 1


def test_as_many_weights_as_are_kept_and_more():
    """Filters of one sum over the channels and of other magnitudes: what the one left is read beside what is new."""
    whole = rng(4).integers(-8, 16, (3, 3, 3, 1, 6)) / 8
    apart = rng(5).integers(-8, 8, (3, 3, 3, 1, 6)) / 8
    whole[..., 4], whole[..., 5] = whole[..., 0], whole[..., 2]
    kernel = np.concatenate([apart, whole - apart], axis=3)
    x, labels = rng().standard_normal((*SIZE, 2)), rng(2).random(SIZE) < 0.5
    planes = {key for rule in rules_of(kernel, 1) for key in (rule.shared.key, rule.shared_magnitude.tap.key)}
    assert len(planes) == 10 > MOST_KEPT
    check(kernel, x, labels)


@compiled  # the reference sums in float64 anyway
@pytest.mark.parametrize("outside", [0, 3])
def test_what_a_division_enlarges_is_computed_in_float64(outside, monkeypatch):
    """Of the weights that the first voxel inside sees, 1 in 670 is left: as much larger are the errors of a sum."""
    kernel = np.array([3, 1, -1, 0.3, 0.703], np.float32).reshape(5, 1, 1, 1, 1)
    x = (1000 + 0.01 * rng().standard_normal((24, 3, 4, 1))).astype(np.float32)
    labels = np.ones(x.shape[:3], np.bool_)
    labels[:outside] = False
    want, gone = masked_oracle(np.moveaxis(x, -1, 0), labels.astype(int), kernel, pads_of(kernel))
    assert not gone.any()
    errors = []
    for most in (masked_layer.ENLARGED, np.inf):
        monkeypatch.setattr(masked_layer, "ENLARGED", most)
        got = np.moveaxis(masked([conv(kernel)], x, Labels(labels), Masking("mask")).array, -1, 0)
        errors.append(np.abs(got - want).max() / 1000)
    assert errors[0] < 1e-6 < 5e-6 < errors[1]


def test_missing_voxels_without_a_mask_are_filled_and_the_next_filter_sees_them():
    x = rng().standard_normal(SIZE).astype("f4")
    absent = rng(5).random(SIZE) < 0.3
    x[absent] = np.nan
    first, second = kernel_of("positive", (3, 4, 3, 1, 1)), kernel_of("zero-sum", (3, 3, 5, 1, 1), 7)
    outcome = masked([conv(first), conv(second)], x, None, Masking("missing", missing=True), axes="zyx")
    every = np.ones(SIZE, int)
    want, _ = masked_oracle(np.nan_to_num(x)[None], every, first, pads_of(first), absent=absent[None])
    want, _ = masked_oracle(want, every, second, pads_of(second))
    close(outcome.array, want[0])
    assert (outcome.counts.inside, outcome.counts.missing) == (x.size, absent.sum())
    assert outcome.counts.filled == absent.sum()


def test_the_nan_of_other_runs_stays_local_and_those_outside_have_no_effect():
    x, labels = rng().standard_normal(SIZE), np.ones(SIZE, bool)
    labels[:3] = False
    x[1], x[6, 3, 3], x[8, 6, 0] = np.nan, np.nan, np.inf
    kernel = kernel_of("positive", (3, 3, 3, 1, 1))
    outcome = masked([conv(kernel)], x, Labels(labels), Masking("mask"), axes="zyx")
    assert outcome.counts.nonfinite == 2
    assert "2 non-finite voxels inside of the mask" in outcome.warnings[0]
    bad = np.zeros(SIZE, bool)
    bad[5:8, 2:5, 2:5] = bad[7:, 5:, :2] = True
    np.testing.assert_array_equal(np.isfinite(outcome.array), ~bad)
    want, _ = masked_oracle(np.where(np.isfinite(x), x, 0)[None], labels.astype(int), kernel, pads_of(kernel))
    close(np.where(bad, 0, outcome.array), np.where(bad, 0, want[0]))
    with pytest.raises(MethodError, match="layer 'conv3d': method 'fft' would spread non-finite voxels"):
        masked([conv(kernel)], x, Labels(labels), Masking("mask"), axes="zyx", method="fft")


@pytest.mark.parametrize("kind", ["positive", "mixed"])
@pytest.mark.parametrize("method", ["reference", "fft", "direct", "winograd"])
def test_a_constant_stays_constant_inside_any_mask(kind, method):
    kernel = kernel_of(kind, (3, 4, 5, 4, 2))
    if method not in methods(kernel):
        pytest.skip("no compiled kernels in this install")
    for share in (0.02, 0.2, 0.7):
        labels = rng(6).random(SIZE) < share
        x = np.full((*SIZE, 4), 7.3, "f4")
        outcome = masked([conv(kernel)], x, Labels(labels), Masking("mask", "nan"), method=method)
        inside = outcome.array[np.isfinite(outcome.array)]
        assert inside.size == 2 * labels.sum() - outcome.counts.uncovered > 0
        np.testing.assert_allclose(inside, 7.3, rtol=1e-6)


def test_a_chain_of_filters_leaves_out_what_has_too_little_coverage():
    """What the first filter gives no value to is outside for the second."""
    labels = rng(8).random(SIZE) < 0.15
    x = rng().standard_normal(SIZE)
    first, second = kernel_of("zero-sum", (3, 4, 3, 1, 2)), kernel_of("positive", (3, 3, 5, 2, 1), 7)
    masking = Masking("mask", "nan", min_coverage=0.25)
    outcome = masked([conv(first), conv(second)], x, Labels(labels), masking, axes="zyx")
    inside = labels.astype(int)
    middle, gone = masked_oracle(x[None], inside, first, pads_of(first), coverage=0.25)
    assert 0 < gone.sum() < 2 * labels.sum()
    want, lost = masked_oracle(middle, inside, second, pads_of(second), absent=gone, coverage=0.25)
    assert [step.counts.uncovered for step in outcome.steps] == [gone.sum(), lost.sum()]
    np.testing.assert_array_equal(np.isnan(outcome.array), ~labels | lost[0])
    close(np.nan_to_num(outcome.array), want[0])


def test_the_magnitude_has_a_value_where_all_its_parts_have():
    x, labels = rng().standard_normal((*SIZE, 2)), rng(8).random(SIZE) < 0.3
    header = Header((*SIZE, 2))
    network = filter_network([Filter.parse("gradient")], header)
    plan = plan_run(header, network, Options(Limits(2, 1 << 33), masking=Masking("mask", "nan")))
    outcome = run(plan, lambda: x.astype("f4"), None, Labels(labels))
    kernel = network[0].kernel.astype(float)
    for c in range(2):
        parts, gone = masked_oracle(
            x[None, ..., c].astype("f4"), labels.astype(int), kernel[..., 3 * c : 3 * c + 3], pads_of(kernel)
        )
        lost = gone.any(0)
        assert lost.any()
        np.testing.assert_array_equal(np.isnan(outcome.array[..., c]), ~labels | lost)
        close(np.nan_to_num(outcome.array[..., c]), np.where(lost, 0, np.sqrt((parts**2).sum(0))))


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_voxels_outside_get_what_is_asked_for_after_the_activation(activation):
    x, labels = rng().standard_normal((*SIZE, 2)).astype("f4"), rng(2).random(SIZE) < 0.5
    kernel = kernel_of("positive", (3, 3, 3, 2, 2))
    layers = lambda: [conv(kernel, activation=activation)]  # noqa: E731
    zero, keep, nan = (
        masked(layers(), x, Labels(labels), Masking("mask", outside)).array for outside in ("zero", "keep", "nan")
    )
    assert (zero[~labels] == 0).all()
    assert np.isnan(nan[~labels]).all()
    np.testing.assert_array_equal(keep[~labels], x[~labels])
    np.testing.assert_array_equal(keep[labels], nan[labels])
    np.testing.assert_array_equal(zero[labels], nan[labels])
    assert (zero[labels] > 0).all()


def test_volumes_in_any_layout_are_each_masked():
    x, labels = rng().standard_normal((*SIZE, 2, 3)), rng(2).random(SIZE) < 0.5
    x[..., 1, 2][rng(5).random(SIZE) < 0.2] = np.nan
    kernel = kernel_of("positive", (3, 4, 5, 1, 1))
    masking = Masking("mask", missing=True)
    got = masked([conv(kernel, data_format="channels_first")], x, Labels(np.asfortranarray(labels)), masking,
                 axes="xyztb", order="F").array  # fmt: skip
    for t, b in np.ndindex(2, 3):
        one = x[..., t, b]
        want, _ = masked_oracle(
            np.nan_to_num(one)[None], labels.astype(int), kernel, pads_of(kernel), absent=np.isnan(one)[None]
        )
        close(got[..., t, b], want[0])


@pytest.mark.parametrize(
    ("layers", "error", "message"),
    [
        ([{"strides": 2, "padding": "same"}], ShapeError, r"layer 'odd': changes the grid.* got strides \(2, 2, 2\)"),
        ([{"padding": "valid"}], ShapeError, "layer 'odd': changes the grid.* got padding"),
        ([{"padding": "same", "activation": "softmax", "data_format": "channels_first"}], ShapeError, "mixes voxels"),
        (["Cropping3D"], ShapeError, "layer 'odd': changes the grid.* got padding"),
    ],
)
def test_layers_that_a_mask_cannot_follow(layers, error, message):
    made = [
        make_layer(one, {"name": "odd"}) if isinstance(one, str) else Conv3D(2, 3, name="odd", **one) for one in layers
    ]
    with pytest.raises(error, match=message):
        plan_run(Header(SIZE), Network(made), Options(Limits(2, 1 << 33), masking=Masking("mask")))


def test_the_input_outside_needs_a_channel_for_each():
    with pytest.raises(UsageError, match=r"--outside: 'keep' needs an output channel for each.* got 2 for 1"):
        masked([Conv3D(2, 3, padding="same")], rng().random(SIZE), None, Masking("mask", "keep"), axes="zyx")


def test_layers_that_act_on_each_voxel_follow_a_mask():
    x, labels = rng().standard_normal((*SIZE, 4)), rng(8).random(SIZE) < 0.5
    kernel = kernel_of("zero-sum", (3, 3, 3, 4, 4))
    layers = [make_layer("Dropout", {"rate": 0.5}), conv(kernel), make_layer("ReLU", {}), Magnitude(2)]
    got = masked(layers, x, Labels(labels), Masking("mask", "nan"))
    want, gone = masked_oracle(np.moveaxis(x, -1, 0), labels.astype(int), kernel, pads_of(kernel))
    want = np.sqrt((np.maximum(want, 0).reshape(2, 2, *SIZE) ** 2).sum(1))
    lost = gone.reshape(2, 2, *SIZE).any(1) | ~labels
    np.testing.assert_array_equal(np.isnan(np.moveaxis(got.array, -1, 0)), lost)
    close(np.nan_to_num(np.moveaxis(got.array, -1, 0)), np.where(lost, 0, want))


@pytest.mark.parametrize("boundary", ["zero", "mirror", "wrap"])
def test_pieces_cover_every_region_once_and_stay_within_what_is_planned(boundary, monkeypatch):
    from conv3d_cli.engine.boundary import Boundary

    for least, reaches in ((1, 2), (200, 3), (10**6, 3)):
        monkeypatch.setattr(regions, "LEAST_VOXELS", least)
        monkeypatch.setattr(regions, "REACHES", reaches)
        for seed in range(20):
            draw = rng(seed)
            size = tuple(int(n) for n in draw.integers(2, 14, 3))
            pads = tuple((int(a), int(b)) for a, b in draw.integers(0, 5, (3, 2)))
            cut = Cut(size, pads, Boundary.parse(boundary))
            spans = [sorted(draw.choice(n + 1, 2, replace=False)) for n in size]
            box = tuple(slice(int(a), int(b)) for a, b in spans)
            seen = np.zeros(size, int)
            for piece in cut.pieces(Region(1, box)):
                seen[piece.outputs] += 1
                assert np.prod(piece.window) <= cut.most[0]
                assert np.prod(piece.size) <= cut.most[1]
            assert (seen[box] == 1).all()
            assert seen.sum() == seen[box].size


def test_regions_are_the_boxes_of_labels(monkeypatch):
    from scipy.ndimage import find_objects

    monkeypatch.setattr(regions, "SLAB_VOXELS", 150)
    for seed, dtype in enumerate((np.uint8, np.uint16, np.int32)):
        labels = (rng(seed).integers(1, 30, SIZE) * (rng(seed + 9).random(SIZE) < 0.1)).astype(dtype)
        found = {region.label: region.box for region in regions_of(labels, SIZE, 30)}
        expected = {i: box for i, box in enumerate(find_objects(labels.astype(int)), 1) if box is not None}
        assert found == expected
    mask = rng().random(SIZE) < 0.02
    assert regions_of(mask, SIZE, 1) == [Region(1, find_objects(mask.astype(int))[0])]
    assert regions_of(np.zeros(SIZE, bool), SIZE, 1) == []


@pytest.mark.parametrize(
    ("text", "by", "outside", "missing"),
    [
        ("gaussian:sigma=2vox", "mask", "zero", False),
        ("gaussian:sigma=2vox", "labels", "keep", True),
        ("sobel", "mask", "zero", False),
        ("unsharp:sigma=1vox", "missing", "zero", True),
    ],
)
def test_a_run_takes_what_its_plan_says(text, by, outside, missing, monkeypatch):
    monkeypatch.undo()
    size = (120, 110, 130)
    header = Header(size)
    network = filter_network([Filter.parse(text)], header)
    masking = Masking(by, outside, missing=missing)
    plan = plan_run(header, network, Options(Limits(2, 1 << 33), masking=masking))
    x = rng().standard_normal(size).astype("f4")
    if missing:
        x[rng(1).random(size) < 0.1] = np.nan
    labels = None if by == "missing" else np.ones(size, bool) if by == "mask" else np.ones(size, np.int32)
    held = x.nbytes + (0 if labels is None else labels.nbytes)
    tracemalloc.start()
    run(plan, lambda: x, None, None if labels is None else Labels(labels))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak + held <= plan.peak_bytes + SLACK
    if by == "mask" and isa.native():  # without kernels a mask takes another method, which needs more
        bare = plan_run(header, network, Options(Limits(2, 1 << 33)))
        assert plan.peak_bytes <= bare.peak_bytes + 3 * max(x.nbytes, 4 * np.prod(plan.steps[0].middle.shape))
