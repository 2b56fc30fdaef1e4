"""``--filter`` on ``apply`` and ``plan``, filters in a spec, and the layer Magnitude."""

from __future__ import annotations

import json

import h5py
import nibabel
import numpy as np
import pytest
from schemas import validator
from scipy import ndimage
from support import SLOW

from conv3d_cli.engine import isa
from conv3d_cli.filters import Filter, Grid
from conv3d_cli.layers import Magnitude, make_layer
from conv3d_cli.report import report_schema

SPACING = np.array([1.0, 1.5, 2.5])
TURN = np.linalg.qr(np.random.default_rng(7).standard_normal((3, 3)))[0]


def noise(*shape):
    return np.random.default_rng(2).standard_normal(shape).astype("float32")


@pytest.fixture
def scan(tmp_path):
    """Return a function that writes an oblique volume of anisotropic voxels and returns its path and its values."""

    def write(*shape, name="in.nii"):
        affine = np.eye(4)
        affine[:3, :3] = TURN @ np.diag(SPACING)
        image = nibabel.Nifti1Image(noise(*shape), affine)
        image.header.set_xyzt_units("mm")
        nibabel.save(image, tmp_path / name)
        return tmp_path / name, noise(*shape).astype(float)

    return write


def applied(conv3d, path, *words, out="out.nii"):
    report = path.parent / "report.json"
    told = conv3d("apply", path, path.parent / out, *words, "--overwrite", "--report", report)
    assert told.code == 0, told.err
    document = json.loads(report.read_text())
    validator(report_schema()).validate(document)
    return np.asarray(nibabel.load(path.parent / out).dataobj) if out.endswith("nii") else np.load(
        path.parent / out
    ), document


def close(got, expected, to=2e-5):
    np.testing.assert_allclose(got, expected, rtol=0, atol=to * np.abs(expected).max())


def test_a_gaussian_of_millimetres_is_that_of_scipy(conv3d, scan):
    path, x = scan(14, 15, 16)
    got, document = applied(conv3d, path, "--filter", "gaussian:sigma=2mm,truncate=4")
    close(got, ndimage.gaussian_filter(x, 2 / SPACING, mode="constant", truncate=4))
    (layer,) = document["layers"]
    assert layer["filter"]["text"] == "gaussian:sigma=2mm,truncate=4"
    assert layer["filter"]["size"] == layer["kernel_size"] == [17, 11, 7]
    assert 0 < layer["filter"]["lost"] < 2e-4
    assert document["spec"] is None
    assert document["weights"] == {"path": None, "sha256": None, "seed": None, "notes": []}
    assert document["warnings"] == SLOW


def test_a_chain_of_filters_and_its_names(conv3d, scan):
    path, x = scan(14, 15, 16)
    got, document = applied(conv3d, path, "--filter", "box:size=3vox", "--filter", "box:size=1x5x3vox")
    close(got, ndimage.uniform_filter(ndimage.uniform_filter(x, 3, mode="constant"), (1, 5, 3), mode="constant"))
    assert [layer["name"] for layer in document["layers"]] == ["box", "box_1"]


def test_a_gradient_has_three_channels_or_a_magnitude(conv3d, scan):
    path, x = scan(14, 15, 16)
    parts = [ndimage.correlate1d(x, [-0.5, 0, 0.5], axis, mode="constant") / SPACING[axis] for axis in range(3)]
    got, document = applied(conv3d, path, "--filter", "gradient:axis=all,per=mm")
    close(got, np.stack(parts, -1))
    assert document["layers"][0]["filter"]["parts"] == ["x", "y", "z"]
    assert document["layers"][0]["filter"]["per"] == "mm"
    got, document = applied(conv3d, path, "--filter", "gradient:per=mm")
    close(got, np.sqrt(sum(part**2 for part in parts)))
    assert [layer["class_name"] for layer in document["layers"]] == ["Conv3D", "Magnitude"]
    assert document["output"]["axes"] == "xyz"
    got, _ = applied(
        conv3d, path, "--filter", "gradient:sigma=2mm,axis=magnitude,truncate=4", "--filter", "box:size=3vox"
    )
    firsts = [
        ndimage.gaussian_filter(x, 2 / SPACING, np.eye(3, dtype=int)[a], mode="constant", truncate=4) for a in range(3)
    ]
    length = np.sqrt(sum((first / step) ** 2 for first, step in zip(firsts, SPACING, strict=True)))
    close(got, ndimage.uniform_filter(length, 3, mode="constant"))


def test_every_volume_of_a_series_and_every_channel_on_its_own(conv3d, scan):
    path, x = scan(9, 10, 11, 3)
    for axes in ("xyzt", "xyzc"):
        got, _ = applied(conv3d, path, "--filter", "gaussian:sigma=1x0x2mm,truncate=4", "--axes", axes)
        close(got, ndimage.gaussian_filter(x, (1, 0, 2 / 2.5, 0), mode="constant", truncate=4))
        got, _ = applied(conv3d, path, "--filter", "sobel:per=vox", "--axes", axes)
        parts = [np.stack([ndimage.sobel(x[..., c], a, mode="constant") for c in range(3)], -1) for a in range(3)]
        close(got, np.sqrt(sum(part**2 for part in parts)))
    got, _ = applied(conv3d, path, "--filter", "prewitt:axis=all", "--axes", "xyzc")
    assert got.shape == (9, 10, 11, 9)
    close(got[..., 5], ndimage.prewitt(x[..., 1], 2, mode="constant"))


def test_hdf5_and_npy_have_their_own_order_of_axes(conv3d, tmp_path):
    x = noise(9, 10, 11)
    with h5py.File(tmp_path / "in.h5", "w") as file:
        file["v"] = x
        file["v"].attrs["element_size_um"] = [2.0, 0.5, 1.0]
    got, document = applied(conv3d, tmp_path / "in.h5", "--filter", "gaussian:sigma=1x1x4um,truncate=4", out="out.npy")
    close(got, ndimage.gaussian_filter(x.astype(float), (4 / 2, 1 / 0.5, 1 / 1.0), mode="constant", truncate=4))
    assert document["layers"][0]["filter"]["text"] == "gaussian:sigma=1x1x4um,truncate=4"
    np.save(tmp_path / "in.npy", x)
    got, _ = applied(
        conv3d, tmp_path / "in.npy", "--filter", "gaussian:sigma=1x2x3", "--compute-dtype", "float64", out="o.npy"
    )
    kernel = Filter.parse("gaussian:sigma=1x2x3").kernel(Grid()).values[0]
    close(got, ndimage.correlate(x.astype(float), kernel, mode="constant"), 1e-6)


def test_a_spec_names_filters_as_initializers(conv3d, scan, spec):
    path, x = scan(14, 15, 16)
    text = """
layers:
  - {filters: 1, kernel_size: [17, 11, 8], padding: same, use_bias: false,
     kernel_initializer: {class_name: gaussian, config: {sigma: 2mm, truncate: 4}}}
  - {filters: 3, kernel_size: 3, padding: same, use_bias: false,
     kernel_initializer: {class_name: gradient, config: {axis: all, per: mm}}}
  - {class_name: Magnitude, config: {parts: 3}}
"""
    got, document = applied(conv3d, path, "--spec", spec(text))
    smooth = ndimage.gaussian_filter(x, 2 / SPACING, mode="constant", truncate=4)
    parts = [ndimage.correlate1d(smooth, [-0.5, 0, 0.5], a, mode="constant") / SPACING[a] for a in range(3)]
    close(got, np.sqrt(sum(part**2 for part in parts)))
    assert [layer["filter"] and layer["filter"]["text"].partition(":")[0] for layer in document["layers"]] == [
        "gaussian",
        "gradient",
        None,
    ]
    assert document["warnings"] == SLOW


def test_after_a_stride_voxels_are_larger(conv3d, scan, spec):
    path, _ = scan(14, 15, 16)
    layer = "{filters: 1, kernel_size: %s, padding: same, strides: %s, use_bias: false, kernel_initializer: %s}"
    gaussian = "{class_name: gaussian, config: {sigma: 2mm, truncate: 4}}"
    text = f"layers: [{layer % (1, '[2, 1, 1]', 'ones')}, {layer % (17, 1, gaussian)}]"
    report = conv3d("plan", path, "--spec", spec(text), "--json").document
    assert report["layers"][1]["filter"]["size"] == [9, 11, 7]


def test_a_custom_kernel_lies_beside_its_spec(conv3d, scan, spec, tmp_path):
    path, x = scan(9, 10, 11)
    psf = np.random.default_rng(3).random((3, 5, 3))
    (tmp_path / "in").mkdir()
    np.save(tmp_path / "psf.npy", psf.transpose(2, 1, 0))
    close(
        applied(conv3d, path, "--filter", f"custom:file={tmp_path / 'psf.npy'}")[0],
        ndimage.correlate(x, psf, mode="constant"),
    )
    text = (
        "{filters: 1, kernel_size: 5, padding: same, kernel_initializer: {class_name: custom, config: {file: psf.npy}}}"
    )
    close(applied(conv3d, path, "--spec", spec(text))[0], ndimage.correlate(x, psf, mode="constant"))


def test_a_kernel_of_hdf5_has_its_own_order_of_axes_and_spacing(conv3d, scan, tmp_path):
    path, x = scan(9, 10, 11)
    psf = np.random.default_rng(3).random((3, 5, 3))
    with h5py.File(tmp_path / "psf.h5", "w") as file:
        file["v"] = psf.transpose(2, 1, 0)
        file["v"].attrs["element_size_um"] = [2500.0, 1500.0, 1000.0]
    close(
        applied(conv3d, path, "--filter", f"custom:file={tmp_path / 'psf.h5'}")[0],
        ndimage.correlate(x, psf, mode="constant"),
    )


def test_the_kernels_own_file_is_no_output(conv3d, scan, spec, tmp_path):
    path, _ = scan(9, 10, 11)
    np.save(tmp_path / "psf.npy", np.ones((3, 3, 3)))
    custom = "{class_name: custom, config: {file: psf.npy}}"
    text = f"{{filters: 1, kernel_size: 5, padding: same, kernel_initializer: {custom}}}"
    for words in (["--filter", f"custom:file={tmp_path / 'psf.npy'}"], ["--spec", spec(text)]):
        for outputs in ([tmp_path / "psf.npy"], [tmp_path / "o.npy", "--report", tmp_path / "psf.npy"]):
            told = conv3d("apply", path, *outputs, *words, "--overwrite")
            assert (told.code, told.out) == (4, "")
            assert "psf.npy" in told.err
    assert np.load(tmp_path / "psf.npy").shape == (3, 3, 3)


def test_the_plan_sees_the_values_of_a_filter(conv3d, scan):
    path, _ = scan(40, 41, 42)
    for text, method in (("gaussian:fwhm=6mm", "separable"), ("ball:radius=6mm", None)):
        plan = conv3d("plan", path, "--filter", text, "--json").document
        report = applied(conv3d, path, "--filter", text)[1]
        assert [layer["method"] for layer in plan["layers"]] == [layer["method"] for layer in report["layers"]]
        assert method is None or isa.native() is None or plan["layers"][0]["method"] == method


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        ([], 2, "--spec: needs either a spec or --filter: got neither, expected one of them"),
        (["--filter", "box", "--spec", "a.yaml"], 2, "got both"),
        (["--filter", "box", "--weights", "w.npz"], 2, "--weights: got 'w.npz' beside --filter, expected none"),
        (["--filter", "bux"], 2, "--filter: unknown filter: got 'bux'"),
        (["--filter", "gaussian:fwhm=6"], 2, "--filter: gaussian: fwhm: has no unit: got 6, expected 6mm or 6vox"),
        (["--filter", "gaussian:fwhm=1e9mm"], 2, "the kernel is too large"),
        (["--filter", "custom:file=none.npy"], 3, "none.npy"),
    ],
)
def test_what_is_refused(conv3d, scan, words, code, text):
    path, _ = scan(9, 10, 11)
    for command in (["apply", path, path.parent / "o.nii"], ["plan", path]):
        told = conv3d(*command, *words)
        assert (told.code, told.out) == (code, "")
        assert text in told.err
        assert len(told.err.splitlines()) == 1
    assert not (path.parent / "o.nii").exists()


def test_a_spec_with_a_wrong_filter_is_told_with_its_place(conv3d, scan, spec):
    path, _ = scan(9, 10, 11)
    layer = "filters: %s\nkernel_size: %s\nkernel_initializer: {class_name: gaussian, config: {%s}}\n"
    for text, message in (
        (layer % (1, 9, "fwhm: 6mmm"), ":3:59: kernel_initializer: gaussian: fwhm: not a length: got '6mmm'"),
        (layer % (1, 9, "fwmh: 6mm"), ":3:53: kernel_initializer: gaussian has no argument of this name: got 'fwmh'"),
        (layer % (1, 3, "fwhm: 6mm"), "does not fit the layer's kernel_size: got 3x3x3, expected at least 23x15x9"),
        (layer % (1, 30, "fwhm: 6") + "padding: same\n", "has no unit: got 6, expected 6mm or 6vox"),
        (
            "filters: 2\nkernel_size: 3\nkernel_initializer: {class_name: gradient, config: {per: mm}}",
            "expected a multiple of 3",
        ),
    ):
        told = conv3d("apply", path, path.parent / "o.nii", "--spec", spec(text))
        assert (told.code, told.out) == (3, "")
        assert message in told.err


def test_the_layer_magnitude():
    x = noise(2, 3, 4, 5, 6)
    for parts in (1, 2, 3, 6):
        expected = np.sqrt((x.reshape(2, 3, 4, 5, 6 // parts, parts) ** 2).sum(-1))
        np.testing.assert_allclose(Magnitude(parts)(x), expected, rtol=1e-6)
        first = make_layer("Magnitude", {"parts": parts, "data_format": "channels_first"})
        np.testing.assert_allclose(first(np.moveaxis(x, -1, 1)), np.moveaxis(expected, -1, 1), rtol=1e-6)
        assert Magnitude(parts).compute_output_shape((None, 3, None, 5, 6)) == (None, 3, None, 5, 6 // parts)
    with pytest.raises(ValueError, match="parts: do not divide the channels: got 4 for 6"):
        Magnitude(4)(x)
    layer = Magnitude(2, name="length")
    assert make_layer("Magnitude", layer.get_config()).get_config() == layer.get_config()
