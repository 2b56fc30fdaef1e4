"""Volumes through files: every format, dtype, byte order and storage order, their geometry, and streams."""

from __future__ import annotations

import gzip
import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import badfiles
import h5py
import nibabel as nib
import numpy as np
import pytest

from conv3d_cli.errors import OutputError, OverLimit, UsageError, VolumeError
from conv3d_cli.volumes import (
    FORMATS,
    Geometry,
    Volume,
    check_output,
    hdf5_out,
    load_volume,
    open_volume,
    save_volume,
)
from conv3d_cli.volumes.references import split_ref

ROOT = Path(__file__).parent.parent
SHAPE = (11, 12, 13)
RNG = np.random.default_rng(5)
FLOATS = RNG.normal(0, 50, SHAPE).astype("f4")
AFFINE = np.array([[1.6, 0.3, 0, -8], [-0.3, 1.6, 0, 3], [0, 0, 2.2, 7], [0, 0, 0, 1]])
SHEARED = AFFINE + np.diag([0, 0, 0.0], 1)
SHEARED[0, 1] += 0.4
NAMES = ["a.nii", "a.nii.gz", "a.hdr", "a.img.gz", "a.npy", "a.h5", "a.hdf5:/b/c"]
REAL = [
    "?",
    "i1",
    "u1",
    "<i2",
    ">i2",
    "<u2",
    "<i4",
    ">u4",
    "<i8",
    ">i8",
    "<u8",
    "<f2",
    ">f2",
    "<f4",
    ">f4",
    "<f8",
    ">f8",
]


def volume(array=FLOATS, axes="xyz", geometry=None, form="nifti", **meta):
    return Volume(array, axes, geometry or Geometry(AFFINE), form, meta)


def values_of(dtype):
    """Values that the type holds, and that float32 holds too."""
    return (np.abs(FLOATS) > 30 if dtype == "?" else np.abs(FLOATS)).astype(dtype)


@pytest.mark.parametrize("row", FORMATS, ids=lambda row: row.suffixes[0])
def test_every_format_gives_back_every_dtype_it_stores(row, tmp_path):
    for suffix in row.suffixes:
        for dtype in row.dtypes:
            name = str(tmp_path / f"{dtype}{row.suffixes.index(suffix)}{suffix}")
            saved = save_volume(volume(values_of(dtype), form=row.name), name, dtype)
            with open_volume(name) as source:
                assert (source.format, source.shape, source.dtype.name) == (row.name, SHAPE, dtype)
                assert np.array_equal(source.read("float64"), values_of(dtype))
            assert (saved.bytes, saved.clipped, saved.nans) == (FLOATS.size * np.dtype(dtype).itemsize, 0, 0)


@pytest.mark.parametrize("dtype", REAL)
@pytest.mark.parametrize("order", "CF")
@pytest.mark.parametrize("wanted", ["float32", "float64"])
def test_npy_of_every_dtype(dtype, order, wanted, tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.asarray(values_of(dtype), order=order))
    found = load_volume(str(path), dtype=wanted).array
    assert found.dtype == wanted
    assert found.flags[f"{order}_CONTIGUOUS"]
    assert np.array_equal(found, values_of(dtype).astype(wanted))


@pytest.mark.parametrize("dtype", REAL)
@pytest.mark.parametrize("chunks", [None, (4, 5, 6)])
def test_hdf5_of_every_dtype(dtype, chunks, tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("d", data=values_of(dtype), chunks=chunks)
    found = load_volume(str(path)).array
    assert found.flags.c_contiguous
    assert np.array_equal(found, values_of(dtype).astype("f4"))


def test_hdf5_in_small_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr("conv3d_cli.volumes.hdf5.SLAB", 700)
    path = tmp_path / "a.h5"
    for chunks in (None, (4, 5, 6), (1, 12, 13), SHAPE):
        with h5py.File(path, "w") as file:
            file.create_dataset("d", data=FLOATS, chunks=chunks)
        for dtype in ("float32", "float64"):
            assert np.array_equal(load_volume(str(path), dtype=dtype).array, FLOATS)


@pytest.mark.parametrize("dtype", [d for d in REAL if d not in ("?", "<f2", ">f2")])
@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image, nib.Nifti1Pair])
def test_nifti_as_nibabel_wrote_it(dtype, kind, tmp_path):
    name = str(tmp_path / ("a.hdr" if kind is nib.Nifti1Pair else "a.nii.gz"))
    image = kind(
        values_of(dtype),
        AFFINE,
        dtype=np.dtype(dtype),
        header=kind.header_class(endianness=dtype[0] if dtype[0] in "<>" else "<"),
    )
    nib.save(image, name)
    with open_volume(name) as source:
        assert source.dtype == np.dtype(dtype)
        found = source.read()
    assert found.flags.f_contiguous
    assert np.array_equal(found, values_of(dtype).astype("f4"))
    assert np.allclose(source.geometry.affine, nib.load(name).affine)


@pytest.mark.parametrize("order", "<>")
def test_scaling_is_nibabels(order, tmp_path):
    stored = np.round(FLOATS).astype(order + "i2")
    path = tmp_path / "a.nii"
    path.write_bytes(
        badfiles.nifti(
            (3, *SHAPE, 1, 1, 1, 1), 4, 16, slope=0.1, inter=-3.3, order=order, data=stored.tobytes(order="F")
        )
    )
    expected = nib.load(path).get_fdata()
    assert np.array_equal(load_volume(str(path), dtype="float64").array, expected)
    assert np.array_equal(load_volume(str(path)).array, expected.astype("f4"))


def test_scaling_is_not_inherited(tmp_path):
    path = tmp_path / "a.nii"
    path.write_bytes(badfiles.nifti(slope=0.1, inter=4.0, sform=AFFINE))
    loaded = load_volume(str(path))
    save_volume(loaded, str(tmp_path / "b.nii"))
    header = nib.load(tmp_path / "b.nii").header
    raw = nib.Nifti1Header(binaryblock=(tmp_path / "b.nii").read_bytes()[:348], check=False)
    assert (raw["scl_slope"], raw["scl_inter"]) == (1, 0)
    assert header.get_data_dtype() == np.float32
    assert np.array_equal(nib.load(tmp_path / "b.nii").get_fdata(dtype="f4"), loaded.array)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("layout", ["C", "F", "strided"])
def test_any_layout_in_memory(name, layout, tmp_path):
    array = np.repeat(FLOATS, 2, 1)[:, ::2] if layout == "strided" else np.asarray(FLOATS, order=layout)
    form = "hdf5" if ".h" in name and "hdr" not in name else "npy" if name.endswith("npy") else "nifti"
    save_volume(Volume(array, "xyz", format=form), str(tmp_path / name))
    assert np.array_equal(load_volume(str(tmp_path / name)).array, FLOATS)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_run_twice_is_the_same_file(name, tmp_path):
    written = []
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        save_volume(volume(), str(tmp_path / folder / name))
        written.append({p.name: p.read_bytes() for p in (tmp_path / folder).iterdir()})
    assert written[0] == written[1]


# Geometry and headers


@pytest.mark.parametrize("affine", [AFFINE, SHEARED], ids=["oblique", "sheared"])
@pytest.mark.parametrize("codes", [(1, 0), (4, 1), (0, 1), (2, 2)])
def test_forms_units_and_time_are_kept(affine, codes, tmp_path):
    sform, qform = codes
    if affine is SHEARED and qform:
        pytest.skip("a qform cannot hold shear")
    image = nib.Nifti1Image(np.zeros((*SHAPE, 5), "i2"), None)
    image.header.set_sform(affine if sform else None, sform)
    image.header.set_qform(affine if qform else None, qform)
    image.header["pixdim"][1:5] = [*Geometry(affine).spacing, 2.5]
    image.header.set_xyzt_units("micron", "msec")
    image.header["descrip"], image.header["toffset"] = b"a scan", 7
    nib.save(image, tmp_path / "a.nii")
    loaded = load_volume(str(tmp_path / "a.nii"))
    assert loaded.axes == "xyzt"
    assert loaded.geometry.unit == "um"
    moved = loaded.geometry.through((2, 1, 3), (0.5, -1, 4))
    save_volume(Volume(loaded.array[:3], "xyzt", moved, "nifti", loaded.meta), str(tmp_path / "b.nii.gz"))
    header = nib.load(tmp_path / "b.nii.gz").header
    assert (int(header["sform_code"]), int(header["qform_code"])) == codes
    assert np.allclose(header.get_best_affine(), moved.affine, atol=1e-4)
    for code, form in zip(codes, (header.get_sform, header.get_qform), strict=True):
        if code:
            assert np.allclose(form(), moved.affine, atol=1e-4)
    assert header.get_xyzt_units() == ("micron", "msec")
    assert np.allclose(header["pixdim"][1:5], [*moved.spacing, 2.5])
    assert header["descrip"].item() == b"a scan"
    assert header["toffset"] == 7


def test_a_qform_to_another_world_moves_with_the_voxels(tmp_path):
    scanner = np.diag([1.5, 1.5, 2.0, 1.0])
    image = nib.Nifti1Image(FLOATS, None)
    image.header.set_sform(AFFINE, 4)
    image.header.set_qform(scanner, 1)
    nib.save(image, tmp_path / "a.nii")
    loaded = load_volume(str(tmp_path / "a.nii"))
    strides, shift = (2, 2, 1), (1, 0, 0.5)
    moved = Volume(loaded.array, "xyz", loaded.geometry.through(strides, shift), "nifti", loaded.meta)
    save_volume(moved, str(tmp_path / "b.nii"))
    header = nib.load(tmp_path / "b.nii").header
    assert np.allclose(header.get_sform(), moved.geometry.affine, atol=1e-4)
    assert np.allclose(header.get_qform(), Geometry(scanner).through(strides, shift).affine, atol=1e-4)


def test_a_sheared_geometry_has_no_qform(tmp_path):
    image = nib.Nifti1Image(FLOATS, None)
    image.header.set_sform(AFFINE, 1)
    image.header.set_qform(AFFINE, 1)
    nib.save(image, tmp_path / "a.nii")
    loaded = load_volume(str(tmp_path / "a.nii"))
    loaded.geometry = Geometry(SHEARED)
    save_volume(loaded, str(tmp_path / "b.nii"))
    header = nib.load(tmp_path / "b.nii").header
    assert (header["sform_code"], header["qform_code"]) == (1, 0)
    assert np.allclose(header.get_sform(), SHEARED)
    assert np.allclose(header.get_zooms(), Geometry(SHEARED).spacing)


def test_without_forms_the_fallback_is_nibabels(tmp_path):
    path = tmp_path / "a.nii"
    path.write_bytes(badfiles.nifti(pixdim=(1.0, 2, 3, 4, 1, 1, 1, 1)))
    loaded = load_volume(str(path))
    assert np.allclose(loaded.geometry.affine, nib.load(path).affine)
    save_volume(loaded, str(tmp_path / "same.nii"))
    same = nib.load(tmp_path / "same.nii")
    assert (same.header["sform_code"], same.header["qform_code"]) == (0, 0)
    assert np.allclose(same.affine, loaded.geometry.affine)
    loaded.geometry = loaded.geometry.through((1, 1, 1), (3, 0, 0))
    save_volume(loaded, str(tmp_path / "moved.nii"))
    assert np.allclose(nib.load(tmp_path / "moved.nii").affine, loaded.geometry.affine)


def test_nifti2_stays_and_large_dims_need_it(tmp_path):
    nib.save(nib.Nifti2Image(FLOATS, AFFINE), tmp_path / "a.nii")
    save_volume(load_volume(str(tmp_path / "a.nii")), str(tmp_path / "b.nii"))
    assert isinstance(nib.load(tmp_path / "b.nii"), nib.Nifti2Image)
    save_volume(Volume(np.zeros((40_000, 1, 2)), "xyz"), str(tmp_path / "c.nii"), "uint8")
    assert nib.load(tmp_path / "c.nii").shape == (40_000, 1, 2)


def test_channels_of_nifti_stand_behind_space(tmp_path):
    array = RNG.normal(size=(2, *SHAPE)).astype("f4")
    saved = save_volume(volume(array, "cxyz"), str(tmp_path / "a.nii"))
    assert saved.axes == "xyzc"
    assert np.array_equal(load_volume(str(tmp_path / "a.nii"), "xyzc").array, np.moveaxis(array, 0, -1))


def test_element_size_follows_the_index_order(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("d", data=FLOATS).attrs["element_size_um"] = [5.0, 2.0, 1.0]
    loaded = load_volume(str(path))
    assert (loaded.axes, loaded.geometry.spacing, loaded.geometry.unit) == ("zyx", (1, 2, 5), "um")
    assert load_volume(str(path), "xyz").geometry.spacing == (5, 2, 1)
    moved = Volume(loaded.array, "zyx", loaded.geometry.through((3, 1, 1), (0, 0, 0), "zyx"), "hdf5", loaded.meta)
    save_volume(moved, str(tmp_path / "b.h5"))
    with h5py.File(tmp_path / "b.h5") as file:
        assert file["d"].attrs["element_size_um"].tolist() == [15, 2, 1]
        assert (file["d"].compression, file["d"].compression_opts, file["d"].shuffle) == ("gzip", 1, True)


@pytest.mark.parametrize("sizes", [[1.0, 2.0], [1.0, -2.0, 3.0], [1.0, np.nan, 3.0]])
def test_a_useless_element_size_is_noted(sizes, tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("d", data=FLOATS).attrs["element_size_um"] = sizes
    with open_volume(str(tmp_path / "a.h5")) as source:
        assert source.geometry is None
        assert "element_size_um is ignored" in source.notes[0]


def test_nifti_to_hdf5_and_back(tmp_path):
    """HDF5's convention is z, y, x: the first axis of NIfTI, which varies fastest, becomes the last."""
    array = RNG.normal(size=(*SHAPE, 4)).astype("f4")
    saved = save_volume(volume(array, "xyzc", Geometry(np.diag([1.0, 2, 3, 1]))), str(tmp_path / "a.h5"))
    assert saved.axes == "zyxc"
    assert saved.notes == ("hdf5 does not hold orientation and origin",)
    middle = load_volume(str(tmp_path / "a.h5"))
    assert np.array_equal(middle.array, array.transpose(2, 1, 0, 3))
    assert (middle.geometry.unit, middle.geometry.spacing) == ("mm", (1, 2, 3))
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["data"].attrs["element_size_um"].tolist() == [3000, 2000, 1000]
    save_volume(middle, str(tmp_path / "b.nii"))
    back = load_volume(str(tmp_path / "b.nii"), "xyzc")
    assert np.array_equal(back.array, array)
    assert (back.geometry.unit, back.geometry.spacing) == ("mm", (1, 2, 3))


@pytest.mark.parametrize("unit", ["mm", "um", "m", "unknown"])
def test_hdf5_keeps_the_unit(unit, tmp_path):
    save_volume(volume(geometry=Geometry(np.diag([0.5, 2, 3, 1]), unit)), str(tmp_path / "a.h5"))
    found = load_volume(str(tmp_path / "a.h5")).geometry
    assert (found.unit, found.spacing) == (unit, (0.5, 2, 3))


def test_a_unit_that_nobody_knows_is_noted(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        attributes = file.create_dataset("d", data=FLOATS).attrs
        attributes["element_size_um"], attributes["element_size_unit"] = [1.0, 2.0, 3.0], "inch"
    loaded = load_volume(str(tmp_path / "a.h5"))
    assert (loaded.geometry.unit, loaded.geometry.spacing) == ("um", (3, 2, 1))
    assert loaded.notes == ("element_size_unit is ignored: got inch, expected one of mm, um, m, unknown",)


def with_attributes(path, **more):
    """Write a volume with attributes of every kind, and return its name."""
    with h5py.File(path, "w") as file:
        made = file.create_dataset("d", data=FLOATS)
        attributes = {
            "units": "HU",
            "axis_names": np.array(["z", "y", "x"], object),
            "exposure": np.float32(0.25),
            "fixed": np.bytes_("as it is"),
            "gains": np.array([1, 2, 3], ">i2"),
            "valid": True,
            "element_size_um": [5.0, 2.0, 1.0],
            "maxValue": 9.0,
            "channel_names": np.array(["a"], object),
            "long": "x" * 5000,
            "many": np.zeros(600),
            "nothing": h5py.Empty("f4"),
            "complex": 1j,
            **more,
        }
        for name, value in attributes.items():
            text = isinstance(value, np.ndarray) and value.dtype == object
            made.attrs.create(name, value, dtype=h5py.string_dtype() if text else None)
        made.attrs["elsewhere"] = made.ref
    return str(path)


def test_hdf5_carries_the_attributes_that_still_hold(tmp_path):
    source = with_attributes(tmp_path / "a.h5")
    loaded = load_volume(source)
    saved = save_volume(loaded, str(tmp_path / "b.h5"))
    assert saved.notes[1:] == (
        "attributes that may not hold of the output are left out: 'channel_names', 'complex', 'elsewhere', 'long', "
        "'many', 'maxValue', 'nothing'",
    )
    kept = ["axis_names", "element_size_um", "exposure", "fixed", "gains", "units", "valid"]
    with h5py.File(source) as one, h5py.File(tmp_path / "b.h5") as other:
        before, after = one["d"].attrs, other["d"].attrs
        assert sorted(after) == kept
        for name in kept:
            assert np.array_equal(after[name], before[name])
            assert after.get_id(name).dtype == before.get_id(name).dtype
    four = Volume(np.stack([loaded.array] * 2, -1), "zyxc", loaded.geometry, "hdf5", loaded.meta)
    assert "'axis_names', 'channel_names'" in save_volume(four, str(tmp_path / "c.h5")).notes[1]
    assert save_volume(loaded, str(tmp_path / "d.npy")).notes[1] == (
        "npy does not hold the attributes 'axis_names', 'exposure', 'fixed', 'gains', 'units', 'valid'"
    )
    for name in ("e.h5", "f.h5"):
        save_volume(loaded, str(tmp_path / name))
    assert (tmp_path / "e.h5").read_bytes() == (tmp_path / "f.h5").read_bytes()


def test_more_attributes_than_are_read_are_named(tmp_path):
    loaded = load_volume(with_attributes(tmp_path / "a.h5", **{f"tag{i:03}": i for i in range(300)}))
    _, dropped = loaded.meta["attributes"].carried(3)
    assert {"tag299", "units", "valid"} <= set(dropped)
    assert save_volume(loaded, str(tmp_path / "b.h5")).notes[1].endswith(f" and {len(dropped) - 8} more")


# Names, streams, limits


def test_a_file_with_a_colon_in_its_name(tmp_path):
    for name in ("a:b.h5", "x.h5:y.h5", "c:d.nii"):
        save_volume(volume(form="hdf5"), str(tmp_path / name))
        assert load_volume(str(tmp_path / name)).array.shape == SHAPE
    assert split_ref(str(tmp_path / "x.h5:y.h5"))[1] == "y.h5"
    (tmp_path / "odd.h5:data").symlink_to("x.h5")
    assert split_ref(str(tmp_path / "odd.h5:data"))[1] is None
    with h5py.File(tmp_path / "x.h5") as file:
        assert list(file) == ["y.h5"]


def test_the_only_volume_is_found(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["deep/down/volume"] = FLOATS
        file["image"], file["text"], file["also"] = (
            np.zeros((3, 4)),
            "words",
            h5py.SoftLink("/deep/down/volume"),
        )
    assert np.array_equal(load_volume(str(tmp_path / "a.h5")).array, FLOATS)


class Stdin:
    def __init__(self, content=b"", terminal=False):
        self.buffer = io.BytesIO(content)
        self.isatty = lambda: terminal


CAT = """
import sys
from conv3d_cli.volumes import load_volume, save_volume
save_volume(load_volume("-"), "-")
"""


@pytest.mark.parametrize("name", ["a.npy", "a.nii", "a.nii.gz"])
def test_streams(name, tmp_path):
    save_volume(volume(form="npy" if "npy" in name else "nifti"), str(tmp_path / name))
    content = (tmp_path / name).read_bytes()
    done = subprocess.run([sys.executable, "-c", CAT], input=content, capture_output=True, check=True)
    (tmp_path / name.removesuffix(".gz")).write_bytes(done.stdout)
    assert np.array_equal(load_volume(str(tmp_path / name.removesuffix(".gz"))).array, FLOATS)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "got 0 bytes"),
        (b"\x93NUMPY", "data is cut"),
        (badfiles.GOOD[:-1], "got 1695 bytes, expected 1696"),
        (badfiles.GOOD + b"x", "more than its header announces"),
        (gzip.compress(badfiles.GOOD) + b"x", "and after: got more, expected none"),
        (
            badfiles.npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2, 4)}", bytes(65)),
            "more than its header",
        ),
        (b"PK\3\4" + bytes(900), "not NIfTI"),
    ],
)
def test_bad_streams(content, words, monkeypatch):
    stdin = Stdin(content)
    monkeypatch.setattr("sys.stdin", stdin)
    with pytest.raises(VolumeError) as caught, open_volume("-") as source:
        source.read()
    assert words in str(caught.value)
    assert str(caught.value).startswith("'standard input': ")
    assert not stdin.buffer.closed


def test_a_standard_input_that_brings_nothing(monkeypatch):
    monkeypatch.setattr("sys.stdin", Stdin(terminal=True))
    with pytest.raises(UsageError, match="is a terminal"):
        open_volume("-")
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(VolumeError, match="is closed"):
        open_volume("-")


def test_a_stream_in_the_middle_of_a_file(tmp_path):
    """What stands in front of it was read by another program."""
    save_volume(volume(form="npy"), str(tmp_path / "a.npy"))
    (tmp_path / "both").write_bytes(b"front" + (tmp_path / "a.npy").read_bytes())
    with (tmp_path / "both").open("rb") as file:
        os.lseek(file.fileno(), 5, os.SEEK_SET)
        done = subprocess.run([sys.executable, "-c", CAT], stdin=file, capture_output=True, check=True)
    assert done.stdout == (tmp_path / "a.npy").read_bytes()


@pytest.mark.parametrize(
    ("axes", "suffix", "needs"),
    [
        ("xyz", ".nii", None),
        ("xyzt", ".nii", None),
        ("xyzc", ".nii", "xyzc"),
        ("xyz", ".npy", "xyz"),
        ("xyzc", ".npy", "xyzc"),
        ("cxyz", ".npy", "cxyz"),
        ("zyx", ".npy", None),
        ("zyxc", ".npy", None),
        ("czyx", ".npy", None),
        ("xyzt", ".npy", "xyzt"),
        ("xyz", ".h5", None),
        ("xyzt", ".h5", "tzyx"),
    ],
)
def test_axes_that_a_reader_has_to_name_are_noted(axes, suffix, needs, tmp_path):
    saved = save_volume(Volume(np.zeros((2, 3, 4, 5)[: len(axes)]), axes, format="nifti"), str(tmp_path / f"a{suffix}"))
    assert saved.notes == (
        (f"the meaning of the axes is not stored: reading it needs --axes {needs}",) if needs else ()
    )


def test_a_stream_that_claims_more_than_there_is_memory(monkeypatch):
    content = badfiles.header_dims(3, 32767, 32767, 32767)
    monkeypatch.setattr("sys.stdin", Stdin(content))
    with pytest.raises(OverLimit, match="needs 14072"), open_volume("-") as source:
        source.read(limit_bytes=1 << 32)


def test_a_named_pipe_is_read_by_what_it_brings(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    child = subprocess.Popen([sys.executable, "-c", f"open({str(pipe)!r}, 'wb').write({badfiles.GOOD!r})"])
    try:
        assert np.array_equal(load_volume(str(pipe)).array, badfiles.VOXELS)
    finally:
        child.wait(30)


@pytest.mark.parametrize("name", ["a.npy", "a.nii.gz", "a.h5"])
def test_the_limit_names_what_is_needed(name, tmp_path):
    save_volume(volume(), str(tmp_path / name))
    with open_volume(str(tmp_path / name)) as source, pytest.raises(OverLimit) as caught:
        source.read(limit_bytes=1000)
    assert caught.value.exit_code == 5
    assert f"needs {FLOATS.nbytes + source.extra_bytes(np.dtype('f4'))} bytes" in str(caught.value)


#: The peak of this very program in KiB; ru_maxrss would remember that of the process it was forked from.
PEAK = """
def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
"""
MEMORY = (
    PEAK
    + """
import sys
import numpy as np
from conv3d_cli.volumes import open_volume, save_volume, Volume
small, large = sys.argv[1:]
with open_volume(small) as source:
    source.read("float32")
before = peak()
with open_volume(large) as source:
    array = source.read("float32")
print(peak() - before, array.nbytes >> 10)
out = large.replace("large", "out")
save_volume(Volume(array, "zyx", format=source.format), out, dtype="int16")
print(peak() - before, array.nbytes >> 10)
"""
)
needs_proc = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from /proc")


@needs_proc
@pytest.mark.parametrize("dtype", ["float32", "int16"])
@pytest.mark.parametrize("suffix", [".npy", ".nii", ".nii.gz", ".h5"])
def test_peak_memory_is_the_result(suffix, dtype, tmp_path):
    """A 64 MiB result, read and written again, in a process of its own."""
    form = "npy" if suffix == ".npy" else "hdf5" if suffix == ".h5" else "nifti"
    for name, shape in (("small", (8, 8, 8)), ("large", (256, 256, 256))):
        array = np.broadcast_to(np.arange(shape[2], dtype="f4"), shape)
        save_volume(Volume(array, "zyx", format=form), str(tmp_path / f"{name}{suffix}"), dtype)
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(tmp_path / f"small{suffix}"), str(tmp_path / f"large{suffix}")],
        capture_output=True,
        text=True,
        check=True,
    )
    print(suffix, dtype, done.stdout.split())
    for line in done.stdout.splitlines():
        grown, result = map(int, line.split())
        assert result == 64 << 10
        assert result <= grown + 1024
        assert grown <= result + (32 << 10)


@needs_proc
def test_a_bad_file_takes_little_memory(tmp_path):
    """The whole table in one process: no row may allocate what its header claims."""
    code = (
        PEAK
        + """
import sys
sys.path.insert(0, "tests")
import pathlib, numpy as np, badfiles
from conv3d_cli.errors import Conv3dError
from conv3d_cli.volumes import open_volume
folder = pathlib.Path(sys.argv[1])
skip = {"nii.gz bomb", "h5 shape bomb"}  # making these takes memory itself
rows = [(row, folder / str(i)) for i, row in enumerate(badfiles.BAD_FILES) if row.name not in skip]
for _, place in rows:
    place.mkdir()
refs = [(row, row.make(place)) for row, place in rows]
before = peak()
for row, ref in refs:
    try:
        with open_volume(ref) as source:
            source.read(limit_bytes=row.max_memory)
    except Conv3dError as error:
        assert error.exit_code == row.code
print(peak() - before)
badfiles.release()
"""
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 64 << 10


# What is refused before any work


def test_check_output(tmp_path):
    old, new = tmp_path / "old.nii", tmp_path / "new.nii"
    save_volume(volume(), str(old))
    check_output(str(new), inputs=[str(old), "-"])
    check_output(str(old), overwrite=True)
    for name, overwrite, inputs, kind, words in (
        (old, False, [], OutputError, "exists already"),
        (old, True, [str(old)], OutputError, "is the same file"),
        (tmp_path / "no" / "a.nii", False, [], OutputError, "there is no folder"),
        (tmp_path / "a.txt", False, [], UsageError, "suffix"),
        (tmp_path / "a", False, [], UsageError, "suffix"),
    ):
        with pytest.raises(kind, match=words):
            check_output(str(name), overwrite, inputs)
    with pytest.raises(UsageError, match="float16"):
        check_output(str(new), dtype="float16")
    assert [p.name for p in tmp_path.iterdir()] == ["old.nii"]


@pytest.mark.parametrize("way", ["symlink", "hard link", "other path", "other of the pair", "other dataset"])
def test_an_input_under_another_name_is_refused(way, tmp_path):
    name = {"other of the pair": "a.hdr", "other dataset": "a.h5:/d"}.get(way, "a.nii")
    save_volume(volume(), str(tmp_path / name))
    given = str(tmp_path / name)
    other = tmp_path / "b.nii"
    if way == "symlink":
        other.symlink_to("a.nii")
    elif way == "hard link":
        other.hardlink_to(tmp_path / "a.nii")
    elif way == "other path":
        other = tmp_path / "." / ".." / tmp_path.name / "a.nii"
    elif way == "other of the pair":
        other = tmp_path / "a.img"
    else:
        other = tmp_path / "a.h5:/e"
    with pytest.raises(OutputError, match="is the same file") as caught:
        check_output(str(other), True, [given])
    assert caught.value.exit_code == 4


def test_other_datasets_are_not_lost_to_an_overwrite(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["raw"], file["edges"] = FLOATS, FLOATS
    with pytest.raises(OutputError, match="holds 2 datasets"):
        check_output(f"{tmp_path / 'a.h5'}:/edges", True)
    save_volume(volume(), str(tmp_path / "b.h5"))
    check_output(str(tmp_path / "b.h5"), True)


def test_integers_of_an_output(tmp_path):
    array = np.array([[[0.5, 1.5, -3.0, 300.0, np.nan, np.inf]]])
    saved = save_volume(Volume(array, "zyx"), str(tmp_path / "a.npy"), "uint8")
    assert load_volume(str(tmp_path / "a.npy")).array.ravel().tolist() == [0, 2, 0, 255, 0, 255]
    assert (saved.clipped, saved.nans) == (3, 1)


def test_nothing_heavy_is_imported_before_it_is_needed():
    code = "import sys, conv3d_cli.volumes; print(*sorted({m.partition('.')[0] for m in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"h5py", "nibabel", "isal", "scipy", "hdf5plugin"} & set(done.stdout.split())


def test_the_voxels_of_a_source_are_read_once(tmp_path):
    save_volume(volume(), str(tmp_path / "a.nii"))
    with open_volume(str(tmp_path / "a.nii")) as source:
        source.read()
        with pytest.raises(RuntimeError, match="read already"):
            source.read()
    with open_volume(str(tmp_path / "a.nii")) as source, pytest.raises(TypeError, match="complex64"):
        source.read("complex64")


def test_what_a_source_noted_comes_with_the_volume(tmp_path):
    (tmp_path / "a.nii").write_bytes(badfiles.nifti(order=">"))
    assert load_volume(str(tmp_path / "a.nii")).notes[0] == "the byte order is big-endian"


def test_both_engines_write_what_the_other_reads(tmp_path, monkeypatch):
    for missing in (False, True):
        if missing:
            monkeypatch.setitem(sys.modules, "isal", None)
        for suffix in (".nii.gz", ".h5"):
            save_volume(volume(form="hdf5"), str(tmp_path / f"{missing}{suffix}"))
    monkeypatch.undo()
    for path in tmp_path.iterdir():
        assert np.array_equal(load_volume(str(path)).array, FLOATS)


def test_a_volume_knows_its_axes():
    with pytest.raises(UsageError, match="names 3 axes"):
        Volume(np.zeros((2, 2)), "xyz")
    with pytest.raises(TypeError, match="complex"):
        Volume(np.zeros((2, 2, 2), complex), "xyz")
    with pytest.raises(UsageError, match="at most 7 axes"):
        save_volume(Volume(np.zeros((1,) * 8), "xyzbbbbb"), "never.nii")
    assert not Path("never.nii").exists()


def test_hdf5_calls_back_only_while_signals_wait(tmp_path, monkeypatch):
    """An exception out of a handler would be lost in a library that cannot take it, and the file stay open."""
    calls = []

    def handler(number, frame):
        raise AssertionError

    signal.signal(signal.SIGTERM, handler)

    def noted(name, method):
        return lambda self, *words: (
            calls.append((name, signal.getsignal(signal.SIGTERM) is handler)) or method(self, *words)
        )

    for name in ("seek", "tell", "write", "readinto", "truncate", "flush"):
        monkeypatch.setattr(hdf5_out.CalmFile, name, noted(name, getattr(hdf5_out.CalmFile, name)))
    save_volume(volume(), str(tmp_path / "a.h5"))
    assert len(calls) > 10
    assert not [name for name, exposed in calls if exposed]
