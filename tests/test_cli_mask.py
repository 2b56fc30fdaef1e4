"""``--mask``, ``--labels``, ``--nan missing``, ``--like`` and ``--dtype same`` on ``apply`` and ``plan``."""

from __future__ import annotations

import hashlib
import json
import re

import h5py
import jsonschema
import nibabel
import numpy as np
import pytest
from masked_oracle import masked_oracle
from scipy import ndimage
from support import ROOT, SLOW, beside_the_kernels

from conv3d_cli.report import report_schema

MRI = ROOT / "sample_data" / "mni152_t1_2mm.nii.gz"
SIZE = (9, 10, 11)
SPACING = np.array([1.0, 1.5, 2.5])
TURN = np.linalg.qr(np.random.default_rng(7).standard_normal((3, 3)))[0]
FILTER = ("--filter", "gaussian:sigma=1.5mm,truncate=2")
PADS = ((3, 3), (2, 2), (1, 1))


def rng(seed):
    return np.random.default_rng(seed)


def gauss():
    """Return the kernel of FILTER."""
    lines = []
    for step in SPACING:
        at = np.arange(-int(2 * 1.5 / step + 0.5), int(2 * 1.5 / step + 0.5) + 1) * step
        line = np.exp(-(at**2) / (2 * 1.5**2))
        lines.append(line / line.sum())
    return np.einsum("i,j,k->ijk", *lines)[..., None, None]


@pytest.fixture
def image(tmp_path):
    """Return a function that writes an oblique volume of anisotropic voxels and returns its path."""

    def write(name, array, shift=0.0, **header):
        affine = np.eye(4)
        affine[:3, :3] = TURN @ np.diag(SPACING)
        affine[0, 3] = shift
        made = nibabel.Nifti1Image(array, affine)
        made.header.set_xyzt_units("mm")
        for key, value in header.items():
            made.header[key] = value
        nibabel.save(made, tmp_path / name)
        return tmp_path / name

    return write


@pytest.fixture
def scan(image):
    return image("in.nii", rng(2).standard_normal(SIZE).astype("f4"))


@pytest.fixture
def mask(image):
    return image("mask.nii.gz", (rng(3).random(SIZE) < 0.5).astype("u1"))


def values(path):
    return np.asarray(nibabel.load(path).dataobj)


def applied(conv3d, path, *words, out="out.nii"):
    report = path.parent / "report.json"
    told = conv3d("apply", path, path.parent / out, *words, "--overwrite", "--report", report)
    assert told.code == 0, told.err
    document = json.loads(report.read_text())
    jsonschema.validate(document, report_schema(), cls=jsonschema.Draft202012Validator)
    return path.parent / out, document, told


def close(got, want, to=1e-5):
    np.testing.assert_allclose(got, want, rtol=0, atol=to * np.abs(want).max())


def test_a_gaussian_inside_a_mask_and_its_report(conv3d, scan, mask):
    out, document, told = applied(conv3d, scan, *FILTER, "--mask", mask)
    x, inside = values(scan), values(mask)
    want, gone = masked_oracle(x[None], inside, gauss(), PADS)
    close(values(out), want[0])
    assert not gone.any()
    assert document["mask"] == {
        "by": "mask", "path": str(mask), "outside": "zero", "min_coverage": 0.001, "nan": "local",
        "sha256": hashlib.sha256(mask.read_bytes()).hexdigest(), "inside": int(inside.sum()), "labels": None,
        "missing": 0, "filled": 0, "uncovered": 0,
    }  # fmt: skip
    assert document["layers"][0]["masked"] == {"normalised": 1, "filled": 0, "uncovered": 0, "dtype": "float32"}
    assert document["warnings"] == SLOW
    assert f"mask   {mask}: {inside.sum()} voxels inside, outside 0" in told.out
    assert "gaussian: mask: divided by the weight inside" in told.out


def test_a_derivative_says_what_it_makes_of_missing_voxels(conv3d, scan, mask):
    out, document, told = applied(conv3d, scan, "--filter", "gradient:axis=x,per=vox", "--mask", mask)
    kernel = np.array([-0.5, 0, 0.5]).reshape(3, 1, 1, 1, 1)
    want, gone = masked_oracle(values(scan)[None], values(mask), kernel, ((1, 1), (0, 0), (0, 0)))
    close(values(out), want[0])
    lost = int(gone.sum())
    assert lost > 0
    assert document["layers"][0]["masked"] == {"normalised": 0, "filled": 1, "uncovered": lost, "dtype": "float32"}
    assert document["mask"]["uncovered"] == lost
    assert f"missing voxels taken for the mean of the window, {lost} voxels with too little coverage" in told.out
    assert f"voxels inside, {lost} with too little coverage, outside 0" in told.out


def test_labels_keep_apart_whatever_their_numbers(conv3d, scan, image):
    names = rng(4).integers(-1, 4, SIZE)
    numbers = np.array([0, 7, 70000, 3, -5])
    path = image("labels.nii", numbers[names].astype("i4"))
    out, document, told = applied(conv3d, scan, *FILTER, "--labels", path)
    want, _ = masked_oracle(values(scan)[None], np.maximum(numbers[names], 0), gauss(), PADS)
    close(values(out), want[0])
    assert (document["mask"]["labels"], document["mask"]["inside"]) == (3, np.isin(names, (1, 2, 3)).sum())
    assert f"labels {path}: 3 labels, " in told.out
    floats = image("floats.nii", numbers[names].astype("f4"))
    np.testing.assert_array_equal(
        values(applied(conv3d, scan, *FILTER, "--labels", floats, out="o.nii")[0]), values(out)
    )
    huge = scan.parent / "huge.npy"
    np.save(huge, np.where(numbers[names] > 0, (2**63 + numbers[names].astype("u8") * 2**40), 0).astype("u8"))
    np.testing.assert_array_equal(values(applied(conv3d, scan, *FILTER, "--labels", huge, out="o.nii")[0]), values(out))


def test_nan_is_missing_and_filled(conv3d, image, mask):
    x = rng(2).standard_normal(SIZE).astype("f4")
    holes = rng(5).random(SIZE) < 0.2
    scan = image("in.nii", np.where(holes, np.nan, x))
    out, document, told = applied(conv3d, scan, *FILTER, "--nan", "missing")
    want, _ = masked_oracle(np.where(holes, 0, x)[None], np.ones(SIZE, int), gauss(), PADS, absent=holes[None])
    close(values(out), want[0])
    assert document["mask"]["by"] == "missing"
    assert document["mask"]["missing"] == document["mask"]["filled"] == holes.sum()
    assert f"mask   (no file): {holes.sum()} NaN missing, {holes.sum()} filled, outside 0" in told.out
    assert (document["warnings"], beside_the_kernels(told.err)) == (SLOW, "")
    out, document, _ = applied(conv3d, scan, *FILTER, "--nan", "missing", "--mask", mask, "--outside", "nan")
    want, _ = masked_oracle(np.where(holes, 0, x)[None], values(mask), gauss(), PADS, absent=holes[None])
    np.testing.assert_array_equal(np.isnan(values(out)), values(mask) == 0)
    close(np.nan_to_num(values(out)), want[0])
    assert document["mask"]["missing"] == (holes & (values(mask) > 0)).sum()


@pytest.mark.parametrize("boundary", ["constant:3", "mirror"])
def test_the_boundary_is_that_of_the_data(conv3d, scan, mask, boundary):
    out, _, _ = applied(conv3d, scan, *FILTER, "--mask", mask, "--boundary", boundary)
    want, _ = masked_oracle(values(scan)[None], values(mask), gauss(), PADS, boundary=boundary)
    close(values(out), want[0])


def test_coverage_that_is_asked_for(conv3d, scan, mask):
    out, document, _ = applied(conv3d, scan, *FILTER, "--mask", mask, "--min-coverage", "0.5", "--outside", "keep")
    want, gone = masked_oracle(values(scan)[None], values(mask), gauss(), PADS, coverage=0.5)
    assert 0 < gone.sum() == document["mask"]["uncovered"]
    close(values(out), np.where((values(mask) == 0) | gone[0], values(scan), want[0]))
    whole = scan.parent / "whole.npy"
    np.save(whole, np.ones(SIZE, bool))
    words = [*FILTER, "--mask", whole, "--boundary", "nearest"]
    for method in ("auto", "fft"):
        out, document, _ = applied(conv3d, scan, *words, "--min-coverage", "1", "--method", method)
        assert document["mask"]["uncovered"] == 0


def test_a_mask_serves_all_volumes_and_has_its_own_order_of_axes(conv3d, image, mask):
    x = rng(2).standard_normal((*SIZE, 2)).astype("f4")
    scan, inside = image("in.nii", x), values(mask)
    first, _, _ = applied(conv3d, scan, *FILTER, "--mask", mask)
    for t in range(2):
        close(values(first)[..., t], masked_oracle(x[None, ..., t], inside, gauss(), PADS)[0][0])
    with h5py.File(scan.parent / "mask.h5", "w") as file:
        file["m"] = inside.T
        file["m"].attrs["element_size_um"] = 1000 * SPACING[::-1]
    np.save(scan.parent / "mask.npy", inside > 0)
    four = image("four.nii", inside[..., None].astype("f4") * -0.5)
    for other in (scan.parent / "mask.h5", scan.parent / "mask.npy", four):
        second, _, _ = applied(conv3d, scan, *FILTER, "--mask", other, out="second.nii")
        np.testing.assert_array_equal(values(second), values(first))


def test_a_mask_on_npy_and_channels(conv3d, tmp_path):
    x, inside = rng(2).standard_normal((*SIZE, 2)), rng(3).random(SIZE) < 0.5
    np.save(tmp_path / "in.npy", x)
    np.save(tmp_path / "mask.npy", inside)
    words = [
        "--filter",
        "box:size=3x5x1vox",
        "--mask",
        tmp_path / "mask.npy",
        "--dtype",
        "same",
        "--compute-dtype",
        "float64",
    ]
    out, document, _ = applied(conv3d, tmp_path / "in.npy", *words, out="out.npy")
    kernel = np.full((1, 5, 3, 1, 1), 1 / 15)
    got = np.load(out)
    assert (got.dtype, document["output"]["dtype"]) == (np.float64, "float64")
    for c in range(2):
        want, _ = masked_oracle(x[None, ..., c], inside.astype(int), kernel, ((0, 0), (2, 2), (1, 1)))
        close(got[..., c], want[0], 1e-12)


def test_a_spec_of_several_layers_inside_a_mask(conv3d, scan, mask, spec):
    text = """
layers:
  - {filters: 2, kernel_size: [3, 2, 3], padding: same, activation: relu, name: first, kernel_initializer: ones}
  - {filters: 1, kernel_size: 3, padding: same, use_bias: false, kernel_initializer: ones}
"""
    out, document, told = applied(conv3d, scan, "--spec", spec(text), "--mask", mask)
    inside = values(mask)
    middle, _ = masked_oracle(values(scan)[None], inside, np.ones((3, 2, 3, 1, 2)), ((1, 1), (0, 1), (1, 1)))
    want, _ = masked_oracle(np.maximum(middle, 0), inside, np.ones((3, 3, 3, 2, 1)), ((1, 1),) * 3)
    close(values(out), want[0])
    averages = "inside a mask it averages: its results are divided by the sum of its weights, "
    assert f"layer 'first': {averages}18" in document["warnings"]
    assert f"layer 'conv3d': {averages}54" in told.err


def test_the_type_of_the_input(conv3d, image, tmp_path):
    x = rng(2).integers(0, 256, SIZE).astype("u1")
    scan = image("in.nii", x)
    words = ["--filter", "unsharp:sigma=2mm", "--dtype", "same"]
    out, document, told = applied(conv3d, scan, *words)
    full = values(applied(conv3d, scan, "--filter", "unsharp:sigma=2mm", out="full.nii")[0])
    assert values(out).dtype == np.uint8
    np.testing.assert_array_equal(values(out), np.clip(np.rint(full), 0, 255))
    clipped = int(((np.rint(full) < 0) | (np.rint(full) > 255)).sum())
    assert clipped > 0
    assert (document["output"]["dtype"], document["output"]["clipped"]) == ("uint8", clipped)
    assert f"{clipped} clipped" in told.out
    whole = image("whole.nii", x.astype("i2"), scl_slope=2, scl_inter=-1000)
    out, _, _ = applied(conv3d, whole, "--filter", "box", "--dtype", "same")
    loaded = nibabel.load(out)
    assert loaded.get_data_dtype() == np.int16
    assert (loaded.dataobj.slope, loaded.dataobj.inter) == (1, 0)
    close(values(out), np.rint(ndimage.uniform_filter(2.0 * x - 1000, 3, mode="constant")))
    np.save(tmp_path / "big.npy", x.astype(">i4"))
    assert (
        np.load(applied(conv3d, tmp_path / "big.npy", "--filter", "box", "--dtype", "same", out="o.npy")[0]).dtype
        == "<i4"
    )


def test_another_files_grid(conv3d, scan, tmp_path):
    x = rng(2).standard_normal(SIZE).astype("f4")
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "zyx.npy", np.ascontiguousarray(x.T))
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["v"] = x.T
    want = values(applied(conv3d, scan, *FILTER)[0])
    for name, more in (("x.npy", ["--axes", "xyz"]), ("zyx.npy", []), ("x.h5", [])):
        out, document, _ = applied(conv3d, tmp_path / name, *FILTER, "--like", scan, *more, out="like.nii")
        close(values(out), want)
        np.testing.assert_allclose(nibabel.load(out).affine, nibabel.load(scan).affine, atol=1e-6)
        assert document["input"]["unit"] == document["output"]["unit"] == "mm"
        plan = conv3d("plan", tmp_path / name, *FILTER, "--like", scan, *more, "--json").document
        assert plan["output"]["affine"] == document["output"]["affine"]
    plan = conv3d("plan", "--shape", "11x10x9", *FILTER, "--like", scan, "--json").document
    np.testing.assert_allclose(plan["input"]["spacing"], SPACING)
    np.testing.assert_array_equal(values(applied(conv3d, scan, *FILTER, "--like", scan, out="like.nii")[0]), want)
    with h5py.File(tmp_path / "x.h5", "a") as file:  # HDF5's spacing alone, to which the other file adds the rest
        file["v"].attrs["element_size_um"] = 1000 * SPACING[::-1]
    out, _, _ = applied(conv3d, tmp_path / "x.h5", *FILTER, "--like", scan, out="like.nii")
    np.testing.assert_allclose(nibabel.load(out).affine, nibabel.load(scan).affine, atol=1e-6)


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["--mask", "MASK", "--labels", "MASK"], 2, "--labels: got 'MASK' beside --mask, expected one of them"),
        (["--outside", "nan"], 2, "--outside: got nan without a mask, expected --mask, --labels or --nan missing"),
        (["--min-coverage", "0.1"], 2, "--min-coverage: got 0.1 without a mask"),
        (["--mask", "MASK", "--min-coverage", "0"], 2, "--min-coverage: got 0, expected a share from 1e-06 to 1"),
        (["--mask", "MASK", "--min-coverage", "1.5"], 2, "--min-coverage: got 1.5, expected a share"),
        (["--mask", "MASK", "--min-coverage", "nan"], 2, "--min-coverage: got nan, expected a share"),
        (["--mask", "-"], 2, "--mask: got '-', expected the name of a file"),
        (["--like", ""], 2, "--like: got '', expected the name of a file"),
        (["--mask", "none.nii"], 3, "none.nii"),
        (["--mask", "small.nii"], 3, "'small.nii': does not have the shape of 'in.nii': got 9x10x10 xyz, expected"),
        (["--mask", "three.nii"], 3, "does not have the shape of 'in.nii': got 9x10x11x3 xyzt, expected 9x10x11 xyz"),
        (["--mask", "moved.nii"], 3, "'moved.nii': does not lie where 'in.nii' lies: the same voxel is 0.1 mm apart, "
                                     "expected at most 0.001: got affine ["),
        (["--labels", "moved.nii"], 3, "'moved.nii': does not lie where"),
        (["--like", "moved.nii"], 3, "'moved.nii': does not lie where 'in.nii' lies"),
        (["--like", "small.nii"], 3, "'small.nii': does not have the shape of 'in.nii'"),
        (["--like", "plain.npy"], 3, "'plain.npy': says nothing of its voxels' place, which --like takes"),
        (["--spec", "strides.yaml", "--mask", "MASK"], 3, "layer 'odd': changes the grid, which a mask does not follow"
                                                          ": got strides (2, 2, 2), expected strides 1 and padding"),
        (["--spec", "two.yaml", "--mask", "MASK", "--outside", "keep"], 2, "--outside: 'keep' needs an output channel"),
    ],
)  # fmt: skip
def test_what_plan_and_apply_refuse(conv3d, scan, mask, image, spec, monkeypatch, words, code, text):
    monkeypatch.chdir(scan.parent)
    image("small.nii", np.ones((9, 10, 10), "u1"))
    image("three.nii", np.ones((9, 10, 11, 3), "u1"))
    image("moved.nii", np.ones(SIZE, "u1"), shift=0.1)
    np.save("plain.npy", np.ones(SIZE))
    spec("{filters: 1, kernel_size: 3, padding: same, strides: 2, name: odd}", "strides.yaml")
    spec("{filters: 2, kernel_size: 3, padding: same}", "two.yaml")
    words = [mask.name if word == "MASK" else word for word in words]
    given = words if "--spec" in words else [*FILTER, *words]
    for command in (["plan", "in.nii"], ["apply", "in.nii", "o.nii"]):
        told = conv3d(*command, *given)
        assert (told.code, told.out) == (code, "")
        assert text.replace("MASK", mask.name) in told.err
        assert len([line for line in told.err.splitlines() if not line.startswith("Warning")]) == 1
    assert not (scan.parent / "o.nii").exists()


@pytest.mark.parametrize(
    ("array", "option", "text"),
    [
        (np.full(SIZE, np.nan), "--mask", "holds NaN: expected 0 outside of the mask, other numbers inside"),
        (np.zeros(SIZE), "--mask", "nothing is inside of the mask: got 0 at every voxel"),
        (np.full(SIZE, 1.5), "--labels", "labels are whole numbers: got 1.5"),
        (np.full(SIZE, np.nan), "--labels", "labels are whole numbers: got nan"),
        (np.full(SIZE, np.inf), "--labels", "labels are whole numbers: got inf"),
        (np.full(SIZE, -3), "--labels", "holds no label: got no number above 0"),
    ],
)
def test_masks_whose_values_are_none(conv3d, scan, array, option, text):
    np.save(scan.parent / "m.npy", array)
    told = conv3d("apply", scan, scan.parent / "o.nii", *FILTER, option, scan.parent / "m.npy")
    assert (told.code, told.out, len(beside_the_kernels(told.err).splitlines())) == (3, "", 1)
    assert re.search(rf"m\.npy': {re.escape(text)}", told.err)
    assert not (scan.parent / "o.nii").exists()


def test_types_that_cannot_be_written(conv3d, scan, mask, image, tmp_path):
    words = ["apply", scan, tmp_path / "o.nii", *FILTER]
    told = conv3d(*words, "--mask", mask, "--outside", "nan", "--dtype", "int16")
    assert (told.code, told.out) == (2, "")
    assert "--outside: 'nan' cannot be written as int16: expected zero or keep, or --dtype float32" in told.err
    scaled = image("scaled.nii", np.ones(SIZE, "i2"), scl_slope=0.5, scl_inter=0)
    told = conv3d("apply", scaled, tmp_path / "o.nii", *FILTER, "--dtype", "same")
    assert told.code == 2
    assert "--dtype: 'same' would round what is stored as int16 times 0.5 plus 0 to whole numbers" in told.err
    for dtype, text in (("bool", "'same' would be truth values"), ("float16", "nifti cannot store 'float16'")):
        np.save(tmp_path / "in.npy", np.ones(SIZE, dtype))
        told = conv3d("apply", tmp_path / "in.npy", tmp_path / "o.nii", "--filter", "box", "--dtype", "same")
        assert (told.code, told.out) == (2, "")
        assert text in told.err
    assert not (tmp_path / "o.nii").exists()


@pytest.mark.parametrize("option", ["--mask", "--labels", "--like"])
def test_outputs_are_no_file_that_the_run_reads(conv3d, scan, mask, option):
    before = mask.read_bytes()
    for outputs in ([mask], ["o.nii", "--report", mask], ["o.nii", "--log-file", mask]):
        told = conv3d("apply", scan, *outputs, *FILTER, option, mask, "--overwrite")
        assert (told.code, told.out) == (4, "")
        assert "is the same file, which this run needs" in told.err
    assert mask.read_bytes() == before


def test_a_plan_reads_no_voxel_of_a_mask_and_knows_its_memory(conv3d, scan, mask, monkeypatch):
    from conv3d_cli.volumes import source

    monkeypatch.setattr(source.Source, "_fill", lambda *args, **more: pytest.fail("voxels were read"))
    told = conv3d("plan", scan, *FILTER, "--mask", mask, "--json")
    assert told.document["mask"]["path"] == str(mask)
    assert "inside" not in told.document["mask"]
    bare = conv3d("plan", scan, *FILTER, "--json").document["memory"]["predicted_bytes"]
    assert told.document["memory"]["predicted_bytes"] > bare
    refused = conv3d("plan", scan, *FILTER, "--mask", mask, "--max-memory", str(bare))
    assert (refused.code, conv3d("plan", scan, *FILTER, "--max-memory", str(bare)).code) == (5, 0)
    assert "outside 0" in conv3d("plan", scan, *FILTER, "--mask", mask).out


def test_smoothing_the_sample_inside_labels(conv3d, tmp_path):
    """On the sample MRI, in blocks of a hundred labels: a label is what its own volume alone would be."""
    image = nibabel.load(MRI)
    grid = np.stack(
        np.meshgrid(*(np.arange(n) * k // n for n, k in zip(image.shape, (5, 5, 4), strict=True)), indexing="ij")
    )
    labels = (1 + grid[0] + 5 * grid[1] + 25 * grid[2]).astype("u1")
    for name, array in (("labels.nii", labels), ("one.nii", (labels == 57).astype("u1"))):
        nibabel.save(nibabel.Nifti1Image(array, image.affine), tmp_path / name)
    words = ["apply", MRI, "--filter", "gaussian:fwhm=6mm", "--overwrite", "-q"]
    assert conv3d(*words, tmp_path / "all.nii", "--labels", tmp_path / "labels.nii").code == 0
    assert conv3d(*words, tmp_path / "57.nii", "--mask", tmp_path / "one.nii").code == 0
    together, alone = values(tmp_path / "all.nii"), values(tmp_path / "57.nii")
    np.testing.assert_allclose(np.where(labels == 57, together, 0), alone, rtol=1e-5)
    assert (together > 0).mean() > 0.3


def test_each_option_has_its_line_of_help(conv3d):
    text = " ".join(conv3d("apply", "--help").out.split())
    for option in ("--mask M", "--labels L", "--outside", "--min-coverage X", "--nan", "--like REF"):
        assert option in text
        assert option in " ".join(conv3d("plan", "--help").out.split())
