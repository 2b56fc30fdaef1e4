"""The sample volumes are what their README says, and the synthetic ones come out of make.py again."""

from __future__ import annotations

import runpy
from pathlib import Path

import h5py
import nibabel as nib
import numpy as np
import pytest

FOLDER = Path(__file__).parent.parent / "sample_data"


@pytest.fixture(scope="module")
def make():
    return runpy.run_path(str(FOLDER / "make.py"))


def values(path: Path) -> np.ndarray:
    if path.name.endswith(".nii.gz"):
        return np.asarray(nib.load(path).dataobj)
    if path.suffix == ".npy":
        return np.load(path)
    with h5py.File(path) as file:
        return file["volume/raw"][...]


def test_template_keeps_millimetres_of_its_source():
    image = nib.load(FOLDER / "mni152_t1_2mm.nii.gz")
    assert image.shape == (99, 117, 95)
    assert image.get_data_dtype() == np.uint8
    # The 1 mm grid starts at (-98, -134, -72) and the middle of the brain is at 0 mm.
    assert image.affine.tolist() == [[2, 0, 0, -98], [0, 2, 0, -134], [0, 0, 2, -72], [0, 0, 0, 1]]
    assert image.header.get_xyzt_units() == ("mm", "unknown")
    brain = np.argwhere(np.asarray(image.dataobj) > 100)
    middle = nib.affines.apply_affine(image.affine, brain.mean(axis=0))
    assert abs(middle[0]) < 1
    assert np.all(np.abs(middle) < 30)


def test_halving_keeps_places_and_constants(make):
    ramp = np.broadcast_to(np.arange(0, 200, 2, dtype=np.uint8)[:, None, None], (100, 5, 4))
    half = make["halve"](ramp)
    assert half.shape == (50, 3, 2)
    assert half[1:-1, 1, 1].tolist() == list(range(4, 196, 4))


def test_series_has_a_slope_a_tilt_and_a_repetition_time():
    image = nib.load(FOLDER / "series_4d.nii.gz")
    assert image.shape == (16, 16, 12, 6)
    assert (image.dataobj.slope, image.dataobj.inter) == (0.25, 0)
    assert image.header.get_zooms() == (4, 4, 4.5, 2)
    assert image.header.get_xyzt_units() == ("mm", "sec")
    assert np.allclose(image.get_qform(), image.get_sform(), atol=1e-4)
    assert abs(image.affine[1, 2]) > 0.5
    course = np.asarray(image.dataobj).max(axis=(0, 1, 2))
    assert course.argmax() in (1, 2)


def test_cells_have_two_channels_and_their_size():
    with h5py.File(FOLDER / "cells_2ch.h5") as file:
        raw = file["volume/raw"]
        assert raw.shape == (16, 64, 64, 2)
        assert raw.dtype == np.uint16
        assert raw.attrs["element_size_um"].tolist() == [2, 0.5, 0.5]


def test_phantom_is_in_hounsfield_units():
    phantom = values(FOLDER / "ct_phantom.npy")
    assert phantom.shape == (20, 48, 48)
    assert -1100 < phantom.min() < -950
    assert 400 < phantom.max() < 550


@pytest.mark.parametrize(
    ("maker", "name"),
    [("series", "series_4d.nii.gz"), ("cells", "cells_2ch.h5"), ("phantom", "ct_phantom.npy")],
)
def test_synthetic_volumes_are_made_again(make, maker, name, tmp_path):
    make[maker](tmp_path)
    assert np.array_equal(values(tmp_path / name), values(FOLDER / name))


def test_readme_names_every_volume_and_the_folder_stays_small():
    readme = (FOLDER / "README.md").read_text()
    volumes = [p for p in FOLDER.iterdir() if p.suffix in {".gz", ".h5", ".npy"}]
    assert len(volumes) == 4
    for path in volumes:
        assert f"`{path.name}" in readme
        assert " x ".join(map(str, values(path).shape)) in readme
    assert sum(p.stat().st_size for p in FOLDER.iterdir() if p.is_file()) < 3_000_000
    notice = (FOLDER / "LICENSE-ICBM152.txt").read_text()
    assert "Copyright (C) 1993-2009 Louis Collins" in notice
