"""NIfTI's fields and maps against nibabel, which reads and writes all of them."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nibabel.spatialimages import HeaderDataError

from conv3d_cli.volumes import Volume, load_volume, save_volume
from conv3d_cli.volumes.nifti_fields import FIELDS, qform, record, sform, spacing_affine

KINDS = {1: nibabel.Nifti1Header, 2: nibabel.Nifti2Header}
#: Fields that nibabel has in parts.
PARTS = {
    "quatern": ("quatern_b", "quatern_c", "quatern_d"),
    "qoffset": ("qoffset_x", "qoffset_y", "qoffset_z"),
    "srow": ("srow_x", "srow_y", "srow_z"),
}
NUMBER = st.floats(-2, 2, width=32)
SPACING = st.floats(0.125, 8, width=32)


def three(of):
    return st.tuples(of, of, of)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("version", KINDS)
def test_every_field_is_where_nibabel_has_it(version, order):
    block = bytes(np.random.default_rng(version).integers(1, 127, KINDS[version].sizeof_hdr, np.uint8))
    theirs, ours = KINDS[version](block, order, check=False), record(version, block, order)
    for field in FIELDS:
        parts = [theirs[part] for part in PARTS.get(field, (field,))]
        expected = np.array(parts) if field in PARTS else parts[0]
        if field == "magic" and version == 2:
            expected = block[4:12]
        np.testing.assert_array_equal(ours[field], expected, err_msg=field)
    assert ours.tobytes() == block


@pytest.mark.parametrize("version", KINDS)
def test_an_empty_header_is_nibabels(version):
    header = record(version)
    header["magic"] = b"n+1\0" if version == 1 else b"n+2\0\r\n\x1a\n"
    header["datatype"], header["bitpix"], header["scl_slope"] = 16, 32, 1
    assert header.tobytes() == KINDS[version](endianness="<").binaryblock


@given(
    st.sampled_from([1, 2]), st.sampled_from("<>"), three(NUMBER), three(SPACING), three(NUMBER),
    st.sampled_from([-1, 1]), st.lists(st.integers(1, 300), min_size=1, max_size=5), st.booleans(),
)  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_maps_are_nibabels(version, order, turn, spacing, origin, side, shape, unit):
    length = np.linalg.norm(turn)
    if unit and length:  # half a turn, of which rounding leaves a quaternion that is a little too long or too short
        turn = np.array(turn) / length
    theirs = KINDS[version](endianness=order)
    theirs.set_data_shape(shape)
    theirs["pixdim"][:4] = [side, *spacing]
    for letter, value in zip("bcd", turn, strict=True):
        theirs[f"quatern_{letter}"] = value
    for letter, value in zip("xyz", origin, strict=True):
        theirs[f"qoffset_{letter}"] = value
        theirs[f"srow_{letter}"] = [*turn, value]
    ours = record(version, theirs.binaryblock, order)
    np.testing.assert_array_equal(sform(ours), theirs.get_sform())
    np.testing.assert_array_equal(spacing_affine(ours), theirs.get_base_affine())
    try:
        expected = theirs.get_qform()
    except (HeaderDataError, ValueError):
        expected = None
    found = qform(ours)
    assert (found is None) == (expected is None)
    if expected is not None:
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-14 * max(spacing))


@pytest.mark.parametrize("spacing", [(-1.0, 2, 3), (1.0, 2, -3)])
def test_no_map_has_a_spacing_below_zero(spacing):
    header = record(1)
    header["pixdim"][1:4] = spacing
    assert qform(header) is None


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
def test_the_quaternion_of_an_input_stays_to_the_bit(kind, tmp_path):
    image = kind(np.zeros((4, 5, 6), "f4"), None)
    header = image.header
    header["quatern_b"], header["quatern_c"], header["quatern_d"] = 0.1, -0.7, 0.30000001
    header["pixdim"][:4], header["qform_code"] = [-1, 1.1, 0.7, 2.3], 1
    nibabel.save(image, tmp_path / "a.nii")
    loaded = load_volume(str(tmp_path / "a.nii"))
    loaded.geometry = loaded.geometry.through((1, 3, 2), (2, 0.5, -1))
    save_volume(loaded, str(tmp_path / "b.nii"))
    made = nibabel.load(tmp_path / "b.nii").header
    for field in ("quatern_b", "quatern_c", "quatern_d"):
        assert made[field] == header[field]
    np.testing.assert_allclose(made["pixdim"][:4], [-1, 1.1, 2.1, 4.6], rtol=1e-6)
    np.testing.assert_allclose(made.get_qform(), loaded.geometry.affine, atol=1e-5)


def test_axes_that_turn_get_a_quaternion_of_their_own(tmp_path):
    image = nibabel.Nifti1Image(np.zeros((4, 5, 6), "f4"), None)
    image.header.set_qform(np.diag([1.5, 2, 3, 1]), 1)
    nibabel.save(image, tmp_path / "a.nii")
    loaded = load_volume(str(tmp_path / "a.nii"))
    turned = Volume(
        loaded.array[::-1], "xyz", loaded.geometry.through((-1, 1, 1), (3, 0, 0)), "nifti", loaded.meta
    )  # fmt: skip
    save_volume(turned, str(tmp_path / "b.nii"))
    made = nibabel.load(tmp_path / "b.nii").header
    assert made["pixdim"][0] == -1
    np.testing.assert_allclose(made.get_qform(), turned.geometry.affine, atol=1e-6)
