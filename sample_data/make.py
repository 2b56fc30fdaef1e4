"""Make the volumes of this folder again, value for value.

    python sample_data/make.py [--mni mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz] [--out FOLDER]

Three volumes are synthetic. The fourth is the MNI152 template of 1 mm that the nilearn package carries
(``nilearn/datasets/data`` in its wheel), brought to 2 mm; without ``--mni`` it is left out.
"""

from __future__ import annotations

import argparse
import gzip
import json
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import nibabel as nib
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

TR_SECONDS = 2.0
CELL_SIZE_UM = (2.0, 0.5, 0.5)
CT_SPACING_MM = (5.0, 1.5, 1.5)


def halve(volume: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return every second voxel of a volume smoothed by (1 2 1)/4 on each axis; voxel 0 stays put."""
    smooth = volume.astype(np.float32)
    for axis in range(3):
        width = [(1, 1) if a == axis else (0, 0) for a in range(3)]
        padded = np.moveaxis(np.pad(smooth, width, mode="edge"), axis, 0)
        smooth = np.moveaxis((padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4, 0, axis)
    return np.rint(smooth[::2, ::2, ::2]).astype(np.uint8)


def mni152(source: Path, out: Path) -> None:
    """Write the template at 2 mm; its voxel 0 is the voxel 0 of 1 mm, so only the affine's scale changes."""
    image = nib.load(source)
    affine = image.affine @ np.diag([2.0, 2.0, 2.0, 1.0])
    save_nifti(halve(np.asarray(image.dataobj)), affine, out / "mni152_t1_2mm.nii.gz", space="mni")


def series(out: Path) -> None:
    """Write a head-shaped ellipsoid with one region that follows a slow sine; oblique, stored scaled."""
    rng = np.random.default_rng(11)
    x, y, z = np.mgrid[-1:1:16j, -1:1:16j, -1:1:12j]
    head = (x / 0.8) ** 2 + (y / 0.9) ** 2 + (z / 0.85) ** 2 < 1
    active = (x - 0.35) ** 2 + (y + 0.3) ** 2 + (z - 0.2) ** 2 < 0.08
    course = np.sin(2 * np.pi * np.arange(6) / 6)
    signal = 800.0 * head[..., None] + 40.0 * active[..., None] * course + rng.normal(0, 4, (16, 16, 12, 6))
    tilt = np.deg2rad(12)
    turn = np.array([[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([-4.0, 4.0, 4.5])
    affine[:3, 3] = (30.0, -31.5, -22.0)
    slope = 0.25
    save_nifti(
        np.rint(signal / slope).astype(np.int16),
        affine,
        out / "series_4d.nii.gz",
        space="scanner",
        slope=slope,
    )


def cells(out: Path) -> None:
    """Write two channels of round cells, 0 the nuclei and 1 the shells around them, with photon noise."""
    rng = np.random.default_rng(12)
    shape = (16, 64, 64)
    grid = np.stack(np.meshgrid(*(np.arange(n) * d for n, d in zip(shape, CELL_SIZE_UM, strict=True)), indexing="ij"))
    nuclei, shells = np.zeros(shape), np.zeros(shape)
    for centre in rng.uniform((4, 3, 3), (28, 29, 29), (14, 3)):
        distance = np.sqrt(((grid - centre[:, None, None, None]) ** 2).sum(axis=0))
        nuclei += np.exp(-((distance / 2.0) ** 4))
        shells += np.exp(-(((distance - 3.2) / 0.7) ** 2))
    expected = np.stack([90 + 900 * nuclei, 110 + 500 * shells], axis=-1)
    with h5py.File(out / "cells_2ch.h5", "w", track_order=False) as file:
        raw = file.create_dataset(
            "volume/raw",
            data=rng.poisson(expected).astype(np.uint16),
            chunks=(8, 32, 32, 2),
            compression="gzip",
            shuffle=True,
        )
        raw.attrs["element_size_um"] = CELL_SIZE_UM
        raw.attrs["channel_names"] = ["nuclei", "shells"]


def phantom(out: Path) -> None:
    """Write a CT-like body of thick slices in Hounsfield units, with lungs, a spine and a nodule."""
    rng = np.random.default_rng(13)
    shape = (20, 48, 48)
    z, y, x = np.meshgrid(*(np.arange(n) * d for n, d in zip(shape, CT_SPACING_MM, strict=True)), indexing="ij")
    values = np.full(shape, -1000.0)
    values[((x - 35) / 33) ** 2 + ((y - 35) / 26) ** 2 < 1] = 40
    for centre in (20, 50):
        lung = ((x - centre) / 11) ** 2 + ((y - 33) / 17) ** 2 + ((z - 50) / 42) ** 2 < 1
        values[lung] = -820
    values[(x - 35) ** 2 + (y - 53) ** 2 < 25] = 450
    values[(x - 51) ** 2 + (y - 30) ** 2 + (z - 50) ** 2 < 36] = 60
    values += rng.normal(0, 12, shape)
    np.save(out / "ct_phantom.npy", np.rint(values).astype(np.int16))
    about = {"axes": ["z", "y", "x"], "spacing_mm": CT_SPACING_MM, "values": "Hounsfield units"}
    (out / "ct_phantom.json").write_text(json.dumps(about, indent=2) + "\n")


def save_nifti(
    data: NDArray[np.generic],
    affine: NDArray[np.float64],
    path: Path,
    *,
    space: str,
    slope: float | None = None,
) -> None:
    """Write NIfTI-1 with equal sform and qform; the gzip header carries neither name nor time."""
    image = nib.Nifti1Image(data, affine)
    image.set_sform(affine, space)
    image.set_qform(affine, space)
    image.header.set_xyzt_units("mm", "sec" if data.ndim == 4 else None)
    if data.ndim == 4:
        image.header["pixdim"][4] = TR_SECONDS
    if slope is not None:
        image.header.set_slope_inter(slope, 0.0)
    raw = bytearray(image.to_bytes())
    if slope is not None:  # nibabel keeps no slope beside data that is stored already; bytes 112 and 116 are the fields
        raw[112:120] = np.array([slope, 0.0], "<f4").tobytes()
    with path.open("wb") as file, gzip.GzipFile("", "wb", 9, file, mtime=0) as stream:
        stream.write(raw)


def main() -> None:
    """Read the command line and write the volumes."""
    parser = argparse.ArgumentParser(description="Make the sample volumes again.")
    parser.add_argument("--mni", type=Path, help="the 1 mm template of the nilearn package")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent, help="folder to write to (default: this one)"
    )
    options = parser.parse_args()
    if options.mni is not None:
        mni152(options.mni, options.out)
    for make in (series, cells, phantom):
        make(options.out)


if __name__ == "__main__":
    main()
