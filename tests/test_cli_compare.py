"""``conv3d compare``: values, places, types, and the exit code."""

from __future__ import annotations

import gzip
import io
import sys

import h5py
import nibabel
import numpy as np
import pytest
from schemas import validator
from support import ROOT

from conv3d_cli.report import comparison_schema
from conv3d_cli.volumes import deviation

SAMPLES = ROOT / "sample_data"
MRI = SAMPLES / "mni152_t1_2mm.nii.gz"
AFFINE = np.array([[2.0, 0.1, 0, 10], [0, 3, 1, 20], [0, 0, 4, 30], [0, 0, 0, 1]])


@pytest.fixture
def pair(tmp_path):
    """Return a function that writes arrays to files: by the suffix as NIfTI, as .npy, or as HDF5 in small chunks."""

    def write(**arrays):
        return [save(tmp_path / name.replace("_", "."), array) for name, array in arrays.items()]

    return write


def save(path, array, affine=AFFINE):
    if path.suffix == ".npy":
        np.save(path, array)
    elif path.suffix == ".h5":
        with h5py.File(path, "w") as file:
            file.create_dataset("v", data=array, chunks=tuple(min(3, n) for n in array.shape))
    else:
        image = nibabel.Nifti1Image(array, affine)
        image.header.set_xyzt_units("mm")
        nibabel.save(image, path)
    return path


def noise(*shape, dtype="float32"):
    return (100 * np.random.default_rng(1).standard_normal(shape)).astype(dtype)


def compared(conv3d, *words):
    told = conv3d("compare", *words, "--json")
    assert told.code in (0, 7), told.err
    document = told.document
    validator(comparison_schema()).validate(document)
    assert document["same"] == (told.code == 0) == (not document["different"])
    return document


@pytest.mark.parametrize(
    "name", ["mni152_t1_2mm.nii.gz", "ct_phantom.npy", "cells_2ch.h5:/volume/raw", "series_4d.nii.gz"]
)
def test_every_sample_is_the_same_as_itself(conv3d, name):
    found = compared(conv3d, SAMPLES / name, SAMPLES / name, "--check", "values,geometry,dtype")
    assert found["same"]
    assert found["values"]["worst"] is None
    assert (found["values"]["unequal"], found["values"]["largest"]) == (0, 0)


@pytest.mark.parametrize("slab", [1, 40, 1 << 20])
@pytest.mark.parametrize("kind", ["a_nii b_nii", "a_npy b_npy", "a_h5 b_h5", "a_npy b_h5"])
def test_the_worst_voxel_and_every_figure(conv3d, pair, monkeypatch, slab, kind):
    monkeypatch.setattr(deviation, "SLAB", slab)
    monkeypatch.setattr(deviation, "places", lambda shape: places(shape, 7))
    from conv3d_cli.volumes.blocks import places

    x = noise(5, 7, 8)
    y = x + np.float32(0.25) * (np.random.default_rng(2).random(x.shape) < 0.3)
    y[3, 5, 1] += 4
    found = compared(conv3d, *pair(**dict(zip(kind.split(), (x, y), strict=True))), "--atol", "0.3")["values"]
    apart = np.abs(x.astype(float) - y)
    assert found["voxels"] == x.size
    assert found["unequal"] == np.count_nonzero(apart)
    assert found["beyond"] == np.count_nonzero(apart > 0.3) == 1
    assert found["largest"] == apart.max()
    assert found["rms"] == pytest.approx(np.sqrt((apart**2).mean()))
    assert found["peak"] == max(np.abs(x).max(), np.abs(y).max())
    assert found["worst"]["index"] == [3, 5, 1]
    assert (found["worst"]["a"], found["worst"]["b"]) == (float(x[3, 5, 1]), float(y[3, 5, 1]))
    world = (AFFINE @ [3, 5, 1, 1])[:3].tolist() if "nii" in kind else None
    assert found["worst"]["world"] == (world and pytest.approx(world))


def test_axes_in_another_order_are_matched_by_their_letters(conv3d, pair):
    x = noise(4, 5, 6)
    y = x.transpose(2, 1, 0).copy()
    assert compared(conv3d, *pair(a_nii=x, b_npy=y))["same"]
    y[5, 1, 2] += 1
    found = compared(conv3d, *pair(a_nii=x, b_npy=y))
    assert found["values"]["worst"]["index"] == [2, 1, 5]
    assert found["different"] == ["values"]
    mixed = compared(conv3d, *pair(a_npy=x, b_npy=x.transpose(1, 2, 0).copy()), "--axes", "xyz,yzx")
    assert mixed["same"]
    assert compared(conv3d, *pair(a_npy=x, b_npy=x.transpose(2, 1, 0).copy()))["different"] == ["shape"]
    assert compared(conv3d, *pair(a_npy=x, b_npy=x), "--axes", "xyz")["a"]["axes"] == "xyz"


def test_tolerances(conv3d, pair):
    files = pair(a_npy=np.full((3, 3, 3), 100.0), b_npy=np.full((3, 3, 3), 101.0))
    for words, same in (
        ([], False),
        (["--atol", "1"], True),
        (["--atol", "0.99"], False),
        (["--rtol", "0.0099"], False),
        (["--rtol", "0.01"], True),
        (["--rtol", "0.005", "--atol", "0.5"], True),
    ):
        assert compared(conv3d, *files, *words)["same"] is same
        assert compared(conv3d, *files[::-1], *words)["same"] is same


def test_the_worst_is_the_farthest_beyond_the_tolerance_not_the_largest_difference(conv3d, pair):
    x, y = np.full((2, 2, 2), 1.0), np.full((2, 2, 2), 1.0)
    x[0, 0, 0], y[0, 0, 0] = 1000, 1005
    y[1, 0, 1] = 1.5
    found = compared(conv3d, *pair(a_npy=x, b_npy=y), "--rtol", "0.01")["values"]
    assert (found["worst"]["index"], found["largest"], found["beyond"]) == ([1, 0, 1], 5.0, 1)


def test_nan_and_infinities(conv3d, pair):
    x = np.zeros((2, 3, 4))
    x[0, 0, 0], x[0, 0, 1] = np.nan, np.inf
    y = x.copy()
    assert compared(conv3d, *pair(a_npy=x, b_npy=y))["same"]
    strict = compared(conv3d, *pair(a_npy=x, b_npy=y), "--nan-differs")
    assert (strict["same"], strict["values"]["worst"]["index"]) == (False, [0, 0, 0])
    y[1, 2, 3], y[0, 0, 1] = np.nan, -np.inf
    found = compared(conv3d, *pair(a_npy=x, b_npy=y), "--atol", "1e300", "--rtol", "1")["values"]
    assert found["nan"] == {"both": 1, "only_a": 0, "only_b": 1}
    assert (found["unequal"], found["beyond"], found["largest"]) == (2, 2, 0.0)
    assert found["worst"] == {"index": [0, 0, 1], "world": None, "a": "inf", "b": "-inf", "apart": "inf"}
    assert "NaN" in conv3d("compare", *pair(a_npy=x, b_npy=y)).out


def test_whole_numbers_are_compared_exactly(conv3d, pair):
    x = np.full((2, 2, 2), 2**62, dtype="int64")
    y = x.copy()
    y[1, 1, 0] += 1
    found = compared(conv3d, *pair(a_npy=x, b_npy=y))["values"]
    assert (found["unequal"], found["largest"], found["worst"]["index"]) == (1, 1.0, [1, 1, 0])
    low, high = np.full((2, 2, 2), -(2**63)), np.full((2, 2, 2), 2**63 - 1)
    assert compared(conv3d, *pair(a_npy=low, b_npy=high))["values"]["largest"] == 2.0**64
    minus = compared(conv3d, *pair(a_npy=np.full((2, 2, 2), -1), b_npy=np.full((2, 2, 2), 2**64 - 1, dtype="uint64")))
    assert minus["values"]["unequal"] == 8
    flags = compared(conv3d, *pair(a_npy=np.eye(3)[None] > 0, b_npy=np.eye(3)[None]))
    assert (flags["same"], flags["found"]) == (True, ["dtype"])


def test_a_type_differs_only_when_asked(conv3d, pair):
    files = pair(a_npy=np.ones((2, 2, 2)), b_npy=np.ones((2, 2, 2), dtype="int16"))
    assert compared(conv3d, *files)["found"] == ["dtype"]
    assert compared(conv3d, *files, "--check", "values,dtype")["different"] == ["dtype"]
    swapped = pair(a_npy=np.ones((2, 2, 2), dtype=">i2"), b_npy=np.ones((2, 2, 2), dtype="<i2"))
    assert compared(conv3d, *swapped, "--check", "dtype")["same"]


def test_scaled_values_are_compared_as_meant(conv3d, pair, tmp_path):
    image = nibabel.Nifti1Image(np.arange(24, dtype="int16").reshape(2, 3, 4), AFFINE)
    image.header.set_slope_inter(0.5, 3)
    nibabel.save(image, tmp_path / "a.nii")
    values = np.asarray(nibabel.load(tmp_path / "a.nii").dataobj)
    assert compared(conv3d, tmp_path / "a.nii", *pair(b_nii=values))["same"]


def test_places_in_the_world(conv3d, tmp_path):
    x = noise(5, 6, 7)
    a = save(tmp_path / "a.nii", x)
    turned = AFFINE.copy()
    turned[:3, 1] *= 1.01
    b = save(tmp_path / "b.nii", x, turned)
    found = compared(conv3d, a, b)
    assert found["different"] == ["geometry"]
    assert found["apart"] == pytest.approx(0.01 * 5 * np.linalg.norm(AFFINE[:3, 1]), rel=1e-4)
    assert compared(conv3d, a, b, "--check", "values")["same"]
    assert compared(conv3d, a, b, "--gtol", "0.1")["same"]
    moved = AFFINE.copy()
    moved[2, 3] += 1e-4
    assert compared(conv3d, a, save(tmp_path / "c.nii", x, moved))["same"]
    for word in ("differs", "spacing", "mm apart at most", "different: geometry"):
        assert word in conv3d("compare", a, b).out


def test_units_are_compared_by_what_they_mean(conv3d, tmp_path):
    x = noise(3, 4, 5)
    a = save(tmp_path / "a.nii", x)
    image = nibabel.Nifti1Image(x, np.diag([1000.0, 1000, 1000, 1]) @ AFFINE)
    image.header.set_xyzt_units("micron")
    nibabel.save(image, tmp_path / "b.nii")
    assert compared(conv3d, a, tmp_path / "b.nii")["same"]


def test_of_hdf5_only_the_spacing_is_compared(conv3d, tmp_path):
    x = noise(4, 5, 6)
    nii = save(tmp_path / "a.nii", x, np.array([[0, 2.0, 0, 9], [3, 0, 0, 9], [0, 0, 4, 9], [0, 0, 0, 1]]))
    for z, same in ((4000.0, True), (4100.0, False)):
        path = save(tmp_path / "b.h5", x.transpose(2, 1, 0))
        with h5py.File(path, "r+") as file:
            file["v"].attrs["element_size_um"] = [z, 2000.0, 3000.0]
        found = compared(conv3d, nii, path)
        assert (found["same"], len(found["notes"])) == (same, 1)


def test_a_stream_the_quiet_word_and_the_table(conv3d, pair, monkeypatch):
    x = noise(3, 4, 5)
    a, b = pair(a_npy=x, b_npy=x + 1)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(a.read_bytes())))
    assert compared(conv3d, "-", a)["same"]
    quiet = conv3d("compare", a, b, "-q")
    assert (quiet.code, quiet.out, quiet.err) == (7, "", "")
    told = conv3d("compare", a, b, "--atol", "2")
    assert told.code == 0
    assert told.out.splitlines()[-1] == "the same within atol 2"
    assert "60 of 60 unequal, 0 beyond the tolerance" in told.out


def test_damage_behind_the_last_voxel_is_found(conv3d, pair):
    a, b = pair(a_nii=noise(5, 6, 7), b_nii=noise(5, 6, 7))
    packed = gzip.compress(b.read_bytes())
    zipped = b.with_name("b.nii.gz")
    zipped.write_bytes(packed[:-6] + bytes([packed[-6] ^ 1]) + packed[-5:])
    told = conv3d("compare", a, zipped)
    assert (told.code, told.out) == (3, "")
    assert "CRC" in told.err


def test_what_is_refused(conv3d, pair):
    a, b = pair(a_npy=noise(3, 4, 5), b_npy=noise(3, 4, 5))
    for words, code, text in (
        ((a, b, "--atol", "-1"), 2, "--atol: got -1, expected a number of at least 0"),
        ((a, b, "--rtol", "nan"), 2, "--rtol: got nan"),
        ((a, b, "--check", "colour"), 2, "--check: got 'colour', expected some of values, geometry, dtype"),
        (("-", "-"), 2, "both '-'"),
        ((a, "none.npy"), 3, "none.npy"),
        ((a, b, "--axes", "xy"), 2, "axes"),
        ((a, b, "--max-memory", "1M"), 5, "compare: needs"),
        ((a, b, "--log-file", a), 4, "a.npy"),
    ):
        told = conv3d("compare", *words)
        assert (told.code, told.out) == (code, "")
        assert text in told.err
        assert len(told.err.splitlines()) == 1


def test_the_schema_is_published(conv3d):
    assert conv3d("info", "--schema", "compare").document == comparison_schema()
