"""``boundary``: what lies around a volume, from Python, in a spec, from the shell, and in scipy.ndimage's filters."""

from __future__ import annotations

import json
from dataclasses import replace

import jsonschema
import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import oracle, oracle_layer, pad, same_pads
from scipy import ndimage
from support import compiled

from conv3d_cli import convolve
from conv3d_cli.engine import Limits, Problem
from conv3d_cli.engine.adjoint import input_gradient, kernel_gradient
from conv3d_cli.engine.boundary import Boundary
from conv3d_cli.errors import LayerError
from conv3d_cli.layers import Conv3D, make_layer
from conv3d_cli.report import report_schema

TEXTS = ("reflect", "mirror", "nearest", "wrap", "constant:-2.5", "zero")
SCIPY = ("reflect", "mirror", "nearest", "wrap", "constant")
SPACING = np.array([1.0, 1.5, 2.5])
RANDOM = np.random.default_rng(11)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_a_layer_and_the_operation_are_the_oracle(text, data_format):
    x = RANDOM.standard_normal((2, 6, 5, 7, 3) if data_format == "channels_last" else (2, 3, 6, 5, 7))
    kernel = RANDOM.standard_normal((3, 4, 5, 3, 2))
    planar = np.moveaxis(x, -1, 1) if data_format == "channels_last" else x
    for strides in ((1, 1, 1), (2, 1, 3)):
        pads = same_pads((6, 5, 7), (3, 4, 5), strides)
        want, _ = oracle(planar, kernel, strides=strides, padding=pads, boundary=text)
        want = np.moveaxis(want, 1, -1) if data_format == "channels_last" else want
        words = {"strides": strides, "padding": "same", "data_format": data_format, "boundary": text}
        np.testing.assert_allclose(convolve(x, kernel, **words), want, atol=1e-12)
        layer = Conv3D(2, (3, 4, 5), use_bias=False, dtype="float64", **words)
        layer.build(3)
        layer.set_weights([kernel])
        np.testing.assert_allclose(layer(x), want, atol=1e-12)


def test_padding_on_each_side():
    x, kernel, pads = RANDOM.standard_normal((1, 3, 4, 5, 1)), RANDOM.standard_normal((3, 3, 3, 1, 1)), ((7, 0), 2, 1)
    full = tuple((n, n) if isinstance(n, int) else n for n in pads)
    want, _ = oracle(np.moveaxis(x, -1, 1), kernel, padding=full, boundary="mirror")
    layer = Conv3D(1, 3, padding=pads, boundary="mirror", dialect="torch", use_bias=False, dtype="float64")
    layer.build(1)
    layer.set_weights([kernel])
    np.testing.assert_allclose(np.moveaxis(layer(x), -1, 1), want, atol=1e-12)
    np.testing.assert_allclose(
        np.moveaxis(convolve(x, kernel, padding=full, boundary="mirror"), -1, 1), want, atol=1e-12
    )


def test_a_configuration_says_the_boundary_only_where_it_is_not_zero():
    assert "boundary" not in Conv3D(1, 3).get_config()
    assert "boundary" not in Conv3D(1, 3, padding="same", boundary="constant:0").get_config()
    for text in TEXTS[:5]:
        config = Conv3D(1, 3, padding="same", boundary=text).get_config()
        assert config["boundary"] == text
        assert make_layer("Conv3D", json.loads(json.dumps(config))).boundary == text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"boundary": "reflect"}, "boundary: nothing around the volume is read with padding 'valid': got 'reflect', "),
        (
            {"boundary": "wrap", "padding": 0, "dialect": "torch"},
            r"padding \(\(0, 0\), \(0, 0\), \(0, 0\)\): got 'wrap'",
        ),
        ({"boundary": "symmetric", "padding": "same"}, "boundary: unknown: got 'symmetric', expected one of zero, "),
        ({"boundary": 0, "padding": "same"}, "boundary: not a word: got 0, expected one of zero, reflect"),
        ({"boundary": "constant:1e99", "padding": "same"}, "boundary: not a value that float32 holds"),
    ],
)
def test_what_is_refused(words, message):
    with pytest.raises(LayerError, match=message) as told:
        Conv3D(1, 3, **words)
    assert told.value.argument == "boundary"
    words.pop("dialect", None)
    words["padding"] = ((0, 0),) * 3 if words.get("padding") == 0 else words.get("padding", "valid")
    with pytest.raises(LayerError, match=message):
        convolve(np.zeros((1, 4, 4, 4, 1)), np.zeros((3, 3, 3, 1, 1)), **words)


@st.composite
def problems(draw):
    three = st.tuples(*[st.integers(1, 3)] * 3)
    size, kernel, strides, dilation = draw(st.tuples(*[st.integers(1, 4)] * 3)), draw(three), draw(three), draw(three)
    padding = []
    for n, k, d in zip(size, kernel, dilation, strict=True):
        missing = max((k - 1) * d + 1 - n, 0)
        padding.append((draw(st.integers(missing, missing + 4)), draw(st.integers(0, 5))))
    groups = draw(st.integers(1, 2))
    return Problem(
        size,
        kernel,
        strides,
        dilation,
        tuple(padding),
        batch=draw(st.integers(1, 2)),
        channels=groups * draw(st.integers(1, 2)),
        filters=groups * draw(st.integers(1, 2)),
        groups=groups,
        dtype="float64",
        boundary=Boundary.parse(draw(st.sampled_from(TEXTS))),
    )


@given(problems())
@settings(max_examples=60, deadline=None, derandomize=True)
def test_gradients_are_those_of_the_transposed_matrix(problem):
    """The convolution is linear but for the constant: each gradient is one row of the oracle after the other."""
    rng = np.random.default_rng(0)
    x, kernel, up = (rng.standard_normal(s) for s in (problem.input_shape, problem.kernel_shape, problem.output_shape))
    geometry = (None, problem.strides, problem.padding, problem.dilation, problem.groups, str(problem.boundary))
    base = float((oracle(x, kernel, *geometry)[0] * up).sum())
    linear = str(problem.boundary) if not problem.boundary.is_constant else "zero"
    by_x = np.empty(x.shape)
    for at in np.ndindex(*x.shape):
        one = np.zeros(x.shape)
        one[at] = 1
        by_x[at] = (oracle(one, kernel, *geometry[:-1], linear)[0] * up).sum()
    by_kernel = np.empty(kernel.shape)
    for at in np.ndindex(*kernel.shape):
        one = np.zeros(kernel.shape)
        one[at] = 1
        by_kernel[at] = (oracle(x, one, *geometry)[0] * up).sum()
    assert (by_kernel * kernel).sum() == pytest.approx(base, abs=1e-9)
    out = np.full(x.shape, np.nan)
    input_gradient(problem, up, kernel, out, Limits(2, 1 << 30))
    np.testing.assert_allclose(out, by_x, atol=1e-10)
    np.testing.assert_allclose(kernel_gradient(problem, x, up, Limits(2, 1 << 30)), by_kernel, atol=1e-10)


def test_an_input_that_no_window_but_the_boundary_reads_has_a_gradient():
    problem = Problem((4, 1, 1), (2, 1, 1), (8, 1, 1), padding=((8, 0), (0, 0), (0, 0)), dtype="float64")
    up, kernel, out = np.ones(problem.output_shape), np.ones((2, 1, 1, 1, 1)), np.empty(problem.input_shape)
    for text, want in (("wrap", [2, 2, 0, 0]), ("nearest", [3, 1, 0, 0]), ("zero", [1, 1, 0, 0])):
        input_gradient(replace(problem, boundary=Boundary.parse(text)), up, kernel, out, Limits(1, 1 << 30))
        assert out.ravel().tolist() == want


def test_gradients_of_a_layer():
    layer = Conv3D(2, (3, 2, 5), padding="same", boundary="reflect", activation="tanh", flip=True, dtype="float64")
    x, up = RANDOM.standard_normal((1, 4, 5, 3, 2)), RANDOM.standard_normal((1, 4, 5, 3, 2))
    found, step = layer.gradients(x, up), 1e-6
    for at in np.ndindex(*x.shape):
        sides = []
        for sign in (1, -1):
            changed = x.copy()
            changed[at] += sign * step
            sides.append(float((layer(changed) * up).sum()))
        assert found.input[at] == pytest.approx((sides[0] - sides[1]) / (2 * step), rel=1e-5, abs=1e-8)


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    """Return an oblique volume of anisotropic voxels, and its values."""
    affine = np.eye(4)
    affine[:3, :3] = np.linalg.qr(np.random.default_rng(7).standard_normal((3, 3)))[0] @ np.diag(SPACING)
    x = (100 + 30 * np.random.default_rng(2).standard_normal((14, 11, 9))).astype("float32")
    image = nibabel.Nifti1Image(x, affine)
    image.header.set_xyzt_units("mm")
    path = tmp_path_factory.mktemp("scan") / "in.nii"
    nibabel.save(image, path)
    return path, x.astype(float)


@pytest.fixture
def filtered(conv3d, scan, tmp_path):
    """Return a function that filters the volume on the command line, and returns the output and the report."""

    def call(*words):
        told = conv3d("apply", scan[0], tmp_path / "o.nii", *words, "--overwrite", "--json")
        assert told.code == 0, told.err
        jsonschema.validate(told.document, report_schema(), cls=jsonschema.Draft202012Validator)
        return np.asarray(nibabel.load(tmp_path / "o.nii").dataobj), told.document

    return call


def along(x, axis, order, **mode):
    """Return scipy's derivative of a Gaussian of 2 mm, per voxel."""
    return ndimage.gaussian_filter(x, 2 / SPACING, np.eye(3, dtype=int)[axis] * order, truncate=4, **mode)


FILTERS = {
    "gaussian:sigma=2mm,truncate=4": lambda x, **mode: ndimage.gaussian_filter(x, 2 / SPACING, truncate=4, **mode),
    "gaussian:sigma=9x0x4mm,truncate=4": lambda x, **mode: ndimage.gaussian_filter(x, (9, 0, 1.6), truncate=4, **mode),
    "gaussian:sigma=1.1x0.8x1.4vox,order=1x0x2,truncate=3": lambda x, **mode: ndimage.gaussian_filter(
        x, (1.1, 0.8, 1.4), (1, 0, 2), truncate=3, **mode
    ),
    "gaussian:sigma=2mm,order=0x3x0,truncate=4": lambda x, **mode: along(x, 1, 3, **mode) / SPACING[1] ** 3,
    "box:size=3x5x7vox": lambda x, **mode: ndimage.uniform_filter(x, (3, 5, 7), **mode),
    "box:size=29x1x3vox": lambda x, **mode: ndimage.uniform_filter(x, (29, 1, 3), **mode),
    "laplacian:per=vox": ndimage.laplace,
    "laplacian:per=mm": lambda x, **mode: sum(
        ndimage.correlate1d(x, [1, -2, 1], a, **mode) / SPACING[a] ** 2 for a in range(3)
    ),
    "log:sigma=1.2x0.9x1.5vox,truncate=4": lambda x, **mode: ndimage.gaussian_laplace(
        x, (1.2, 0.9, 1.5), truncate=4, **mode
    ),
    "log:sigma=2mm,truncate=4": lambda x, **mode: sum(along(x, a, 2, **mode) / SPACING[a] ** 2 for a in range(3)),
    "sobel:axis=y": lambda x, **mode: ndimage.sobel(x, 1, **mode),
    "sobel:per=vox": lambda x, **mode: np.sqrt(sum(ndimage.sobel(x, a, **mode) ** 2 for a in range(3))),
    "prewitt:axis=z": lambda x, **mode: ndimage.prewitt(x, 2, **mode),
    "gradient:sigma=2mm,truncate=4": lambda x, **mode: np.sqrt(
        sum((along(x, a, 1, **mode) / SPACING[a]) ** 2 for a in range(3))
    ),
}


@pytest.mark.parametrize("mode", SCIPY)
@pytest.mark.parametrize("text", FILTERS)
def test_filters_agree_with_scipy_in_every_mode(filtered, scan, text, mode):
    """Where scipy filters one axis after the other it reads its constant anew each time: that is 0 here, and below."""
    got, document = filtered("--filter", text, "--boundary", "zero" if mode == "constant" else mode)
    want = FILTERS[text](scan[1], mode=mode)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-5 * np.abs(want).max())
    assert document["layers"][0]["boundary"]["scipy"] == mode


def test_a_constant_other_than_zero_is_scipys(filtered, scan):
    for text, want in (
        (
            "gaussian:sigma=2mm,truncate=4",
            ndimage.gaussian_filter(scan[1], 2 / SPACING, mode="constant", cval=70, truncate=4),
        ),
        ("box:size=3x5x7vox", ndimage.uniform_filter(scan[1], (3, 5, 7), mode="constant", cval=70)),
        ("laplacian:per=vox", ndimage.laplace(scan[1], mode="constant", cval=70)),
    ):
        got, _ = filtered("--filter", text, "--boundary", "constant:70")
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-5 * np.abs(want).max())


def test_every_layer_reads_around_its_own_input(filtered, scan):
    words = [
        "--filter",
        "box:size=3x5x7vox",
        "--filter",
        "gaussian:sigma=1x2x1.5vox,truncate=4",
        "--boundary",
        "mirror",
    ]
    got, document = filtered(*words)
    want = ndimage.uniform_filter(scan[1], (3, 5, 7), mode="mirror")
    want = ndimage.gaussian_filter(want, (1, 2, 1.5), mode="mirror", truncate=4)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-5 * np.abs(want).max())
    assert [layer["boundary"]["text"] for layer in document["layers"]] == ["mirror", "mirror"]


@pytest.mark.parametrize(
    "method", ["fft", "reference", *(pytest.param(name, marks=compiled) for name in ("direct", "winograd", "toom"))]
)
def test_every_method_from_the_shell(conv3d, spec, volume, tmp_path, method):
    kernel = RANDOM.standard_normal((3, 5, 4, 4, 4)).astype("float32")
    np.savez(tmp_path / "w.npz", kernel=kernel)
    path = volume(9, 10, 11, 4)
    layer = spec("filters: 4\nkernel_size: [3, 5, 4]\npadding: same\nuse_bias: false\nboundary: wrap\n")
    words = ["--spec", layer, "--weights", tmp_path / "w.npz", "--method", method, "--json"]
    told = conv3d("apply", path, tmp_path / "o.npy", *words)
    assert told.code == 0, told.err
    x = np.load(path).astype(float)[None]
    want = pad(np.moveaxis(x, -1, 1), same_pads((9, 10, 11), (3, 5, 4)), "wrap")
    want = oracle_layer(np.moveaxis(want, 1, -1), kernel)[0][0]
    np.testing.assert_allclose(np.load(tmp_path / "o.npy"), want, atol=1e-5 * np.abs(want).max())
    assert [told.document["layers"][0][key] for key in ("method", "boundary")] == [
        method,
        {"text": "wrap", "value": None, "scipy": "wrap", "numpy": "wrap"},
    ]
    assert conv3d("apply", path, tmp_path / "z.npy", *words, "--boundary", "zero").code == 0
    want, _ = oracle_layer(x, kernel, padding="same")
    np.testing.assert_allclose(np.load(tmp_path / "z.npy"), want[0], atol=1e-5 * np.abs(want).max())


def test_the_report_and_the_table_name_the_boundary(conv3d, volume):
    words = ["plan", volume(9, 10, 11), "--filter", "sobel:per=vox"]
    for given_, value, scipy, numpy in (
        ("reflect", None, "reflect", "symmetric"),
        ("mirror", None, "mirror", "reflect"),
        ("nearest", None, "nearest", "edge"),
        ("constant:70", 70.0, "constant", "constant"),
        ("zero", 0.0, "constant", "constant"),
    ):
        document = conv3d(*words, "--boundary", given_, "--json").document
        jsonschema.validate(document, report_schema(), cls=jsonschema.Draft202012Validator)
        found = [layer["boundary"] for layer in document["layers"]]
        assert found == [{"text": given_, "value": value, "scipy": scipy, "numpy": numpy}, None]
        sentence = f"boundary {given_}, scipy's '{scipy}', numpy's '{numpy}'"
        assert (sentence in conv3d(*words, "--boundary", given_).out) == (given_ != "zero")
    assert "boundary" not in conv3d(*words).out


@pytest.mark.parametrize(
    ("layers", "boundary", "message"),
    [
        (
            "filters: 1\nkernel_size: 3\n",
            "wrap",
            "--boundary: nothing around the volume is read with padding 'valid': got ",
        ),
        (
            "filters: 1\nkernel_size: 3\nname: first\n",
            "reflect",
            "voxels on each side, for layer 'first'",
        ),
        (
            "filters: 1\nkernel_size: 3\ndialect: torch\npadding: [0, 0, 0]\n",
            "wrap",
            "nothing around the volume is read",
        ),
        ("class_name: Activation\nconfig: {activation: relu}\n", "wrap", "--boundary: no layer convolves: got 'wrap'"),
        (
            "filters: 1\nkernel_size: 3\npadding: same\n",
            "edge",
            "--boundary: unknown: got 'edge', expected one of zero, ",
        ),
        ("filters: 1\nkernel_size: 3\npadding: same\n", "constant:", "--boundary: no number after 'constant:'"),
    ],
)
def test_one_line_says_what_is_wrong(conv3d, spec, volume, tmp_path, layers, boundary, message):
    path = spec(f"layers:\n  - {layers.strip()}".replace("\n", "\n    ").replace("layers:\n    ", "layers:\n"))
    for words in (("plan",), ("apply", tmp_path / "o.npy")):
        told = conv3d(words[0], volume(5, 5, 5), *words[1:], "--spec", path, "--boundary", boundary)
        assert told.code == 2
        assert message in told.err
        assert told.err.count("\n") == 1
    assert not (tmp_path / "o.npy").exists()


def test_a_spec_that_names_no_such_boundary_is_told_with_its_place(conv3d, spec, volume):
    path = spec("filters: 1\nkernel_size: 3\npadding: same\nboundary: edge\n")
    told = conv3d("plan", volume(5, 5, 5), "--spec", path)
    assert told.code == 3
    assert "spec.yaml:4:11" in told.err
    assert "boundary: unknown: got 'edge'" in told.err
