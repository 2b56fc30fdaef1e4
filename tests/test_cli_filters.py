"""``conv3d filters``: the list, and the kernel of one filter."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest

from conv3d_cli.filters import FILTERS, Filter, Grid


def test_the_list_names_every_filter_with_its_parameters(conv3d):
    told = conv3d("filters")
    assert told.code == 0
    for name, row in FILTERS.rows.items():
        line = next(line for line in told.out.splitlines() if line.split()[:1] and line.split()[0].rstrip(",") == name)
        assert all(parameter in line for parameter in row.parameters)
    assert "box, mean" in told.out
    assert "normalise=false" in told.out
    rows = conv3d("filters", "--json").document
    assert [row["name"] for row in rows] == list(FILTERS.rows)
    assert all(row["formula"] and row["meaning"] for row in rows)


def test_a_small_kernel_is_printed_in_planes_of_z(conv3d):
    told = conv3d("filters", "show", "sobel:axis=x")
    assert told.out.splitlines()[0] == "sobel:axis=x: 3x3x3 voxels, per vox"
    assert told.out.splitlines()[-3:] == [
        "  -1   0   1     -2   0   2     -1   0   1",
        "  -2   0   2     -4   0   4     -2   0   2",
        "  -1   0   1     -2   0   2     -1   0   1",
    ]
    across = conv3d("filters", "show", "gradient:axis=z").out.splitlines()
    assert across[-1] == "  -0.5        0      0.5"


def test_of_a_large_kernel_the_lines_through_its_middle(conv3d):
    told = conv3d("filters", "show", "gaussian:fwhm=6mm", "--spacing", "1x2x3mm")
    assert "23x11x7 voxels of 1x2x3 mm" in told.out
    assert "of it cut off" in told.out
    lines = {line.split()[0]: np.array(line.split()[1:], float) for line in told.out.splitlines()[-3:]}
    kernel = Filter.parse("gaussian:fwhm=6mm").kernel(Grid("xyz", (1.0, 2.0, 3.0))).values[0]
    np.testing.assert_allclose(lines["x"], kernel[:, 5, 3], rtol=1e-3)
    np.testing.assert_allclose(lines["y"], kernel[11, :, 3], rtol=1e-3)
    np.testing.assert_allclose(lines["z"], kernel[11, 5, :], rtol=1e-3)
    whole = conv3d("filters", "show", "gaussian:fwhm=6mm", "--spacing", "1x2x3mm", "--planes").out
    assert len(whole.splitlines()) > 70


def test_a_kernel_as_a_document_and_as_a_file(conv3d, tmp_path):
    kernel = Filter.parse("hessian:sigma=2mm").kernel(Grid("xyz", (1.0, 2.0, 3.0)))
    for name, axes in (("k.nii.gz", (1, 2, 3, 0)), ("k.npy", (3, 2, 1, 0))):
        told = conv3d("filters", "show", "hessian:sigma=2mm", "--spacing", "1x2x3mm", "--json", "-o", tmp_path / name)
        assert told.code == 0
        path = tmp_path / name
        got = np.load(path) if path.suffix == ".npy" else np.asarray(nibabel.load(path).dataobj)
        np.testing.assert_allclose(got, kernel.values.transpose(axes), rtol=0, atol=1e-15)
    assert told.document["filter"] == "hessian:sigma=2mm"
    assert told.document["spacing"] == [1.0, 2.0, 3.0]
    assert [made["part"] for made in told.document["kernels"]] == ["xx", "xy", "xz", "yy", "yz", "zz"]
    np.testing.assert_allclose(told.document["kernels"][2]["values"], kernel.values[2].transpose(2, 1, 0), atol=1e-15)
    image = nibabel.load(tmp_path / "k.nii.gz")
    np.testing.assert_allclose(image.header.get_zooms()[:3], [1, 2, 3])
    np.testing.assert_allclose((image.affine @ [*(n // 2 for n in kernel.size), 1])[:3], 0, atol=1e-6)
    assert conv3d("filters", "show", "box", "-o", tmp_path / "k.npy").code == 4


def test_a_written_kernel_is_a_custom_filter(conv3d, tmp_path):
    told = conv3d("filters", "show", "gaussian:fwhm=5mm", "--spacing", "1x2x3mm", "-o", tmp_path / "k.nii")
    assert told.code == 0
    again = conv3d("filters", "show", f"custom:file={tmp_path / 'k.nii'}", "--spacing", "1x2x3mm", "--json").document
    kernel = Filter.parse("gaussian:fwhm=5mm").kernel(Grid("zyx", (3.0, 2.0, 1.0))).values[0]
    np.testing.assert_allclose(again["kernels"][0]["values"], kernel, atol=1e-12)


def test_the_voxels_of_a_volume(conv3d, tmp_path):
    affine = np.array([[1.0, 0.5, 0, 0], [0, 2, 0, 0], [0, 0, 3, 0], [0, 0, 0, 1]])
    nibabel.save(nibabel.Nifti1Image(np.zeros((3, 3, 3), "float32"), affine), tmp_path / "ref.nii")
    told = conv3d("filters", "show", "ball:radius=2mm", "--like", tmp_path / "ref.nii", "--json").document
    kernel = Filter.parse("ball:radius=2mm").kernel(Grid.of(affine, "mm", "zyx"))
    np.testing.assert_allclose(told["kernels"][0]["values"], kernel.values[0])


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["show", "gaussian:fwhm=6mm"], 2, "such as 2vox, or a spacing by --spacing or --like"),
        (["show", "box", "--spacing", "1x1x3"], 2, "--spacing: got '1x1x3', expected three lengths above 0"),
        (["show", "box", "--spacing", "1x1mm"], 2, "--spacing: has 2 values: got '1x1mm'"),
        (["show", "box", "--spacing", "1mm", "--like", "a.nii"], 2, "--spacing: got it beside --like"),
        (["show", "nothing"], 2, "filter: unknown filter: got 'nothing'"),
        (["show", "box", "-o", "k.txt"], 2, "k.txt"),
        (["show", "custom:file=none.npy"], 3, "none.npy"),
    ],
)
def test_what_is_refused(conv3d, words, code, text):
    told = conv3d("filters", *words)
    assert (told.code, told.out) == (code, "")
    assert text in told.err
    assert len(told.err.splitlines()) == 1
