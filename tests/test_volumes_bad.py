"""Every bad input is refused with its exit code and one line; odd ones are read; damage is never silent."""

from __future__ import annotations

import gzip
import subprocess
import sys

import badfiles
import h5py
import numpy as np
import pytest

from conv3d_cli.errors import Conv3dError, OverLimit, VolumeError
from conv3d_cli.volumes import gzipped, open_volume

FLIPS = 300


@pytest.fixture(params=["isal", "zlib"])
def engine(request, monkeypatch):
    """Both engines, one after the other: results and errors are the same."""
    if request.param == "isal":
        pytest.importorskip("isal")
    else:
        monkeypatch.setitem(sys.modules, "isal", None)
    assert (gzipped.engine()[0].__name__ == "zlib") == (request.param == "zlib")
    return request.param


def read(ref, limit=None, dtype="float32"):
    with open_volume(ref) as source:
        return source.read(dtype, limit)


@pytest.mark.parametrize("bad", badfiles.BAD_FILES, ids=lambda bad: bad.name)
def test_refused(bad, tmp_path):
    ref = bad.make(tmp_path)
    before = sorted(tmp_path.iterdir())
    try:
        with pytest.raises(OverLimit if bad.code == 5 else VolumeError) as caught:
            read(ref, bad.max_memory)
    finally:
        badfiles.release()
    # The folder has the row's name, which must not count as words of the message.
    message = str(caught.value).replace(str(tmp_path), "")
    assert caught.value.exit_code == bad.code
    assert "\n" not in message
    assert len(message) < 1000
    for word in bad.words:
        assert word in message
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("bad", [b for b in badfiles.NIFTI if b.name.startswith("nii.gz")], ids=lambda bad: bad.name)
def test_both_engines_say_the_same(bad, tmp_path, monkeypatch):
    pytest.importorskip("isal")
    ref = bad.make(tmp_path)
    said = []
    for missing in (False, True):
        if missing:
            monkeypatch.setitem(sys.modules, "isal", None)
        with pytest.raises(Conv3dError) as caught:
            read(ref)
        # Where in damaged data an engine gives up is its own affair.
        said.append(str(caught.value).partition(" near byte ")[0])
    assert said[0] == said[1]


@pytest.mark.parametrize(
    ("name", "make", "voxels", "note"),
    badfiles.ODD_FILES,
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_accepted(name, make, voxels, note, tmp_path):
    with open_volume(make(tmp_path)) as source:
        found = source.read("float64")
        notes = source.notes
    assert np.array_equal(found, voxels.astype("f8"))
    assert found.dtype == np.dtype("f8")
    assert any(note in line for line in notes) if note else True


def test_bit_flips_are_caught_or_harmless(engine, tmp_path):
    rng = np.random.default_rng(20)
    voxels = rng.integers(0, 900, 12 * 13 * 14).astype("<i2")
    content = badfiles.nifti(dims=(3, 12, 13, 14, 1, 1, 1, 1), datatype=4, bitpix=16, data=voxels.tobytes())
    packed = gzip.compress(content, 6, mtime=1)
    path = tmp_path / "a.nii.gz"
    path.write_bytes(packed)
    good = read(str(path))
    caught = harmless = 0
    for bit in rng.choice(len(packed) * 8, FLIPS, replace=False).tolist():
        path.write_bytes(badfiles.flip(bit // 8, bit % 8)(bytearray(packed)))
        try:
            found = read(str(path))
        except VolumeError:
            caught += 1
        else:
            assert np.array_equal(found, good), f"bit {bit} changed voxels silently"
            harmless += 1
    assert caught + harmless == FLIPS
    assert harmless <= 10 * 8, "only gzip's header holds bits that mean nothing"
    print(f"bit flips: {caught} caught, {harmless} harmless of {FLIPS}")


def test_header_mutations_never_escape(tmp_path):
    """Any byte of a header, changed to anything: read, or refused with one line, never another exception."""
    rng = np.random.default_rng(21)
    path = tmp_path / "a.nii"
    outcomes = {"read": 0, "refused": 0}
    for content in (badfiles.nifti(sform=np.diag([2.0, 2, 2, 1])), badfiles.nifti2()):
        for _ in range(400):
            changed = bytearray(content)
            for at in rng.integers(0, 352, rng.integers(1, 4)):
                changed[at] = rng.integers(256)
            path.write_bytes(changed)
            try:
                with open_volume(str(path)) as source:
                    assert np.isfinite(source.geometry.affine).all()
                    source.read(limit_bytes=1 << 28)
                outcomes["read"] += 1
            except (VolumeError, OverLimit) as error:
                said = str(error)
                outcomes["refused"] += "\n" not in said
    assert sum(outcomes.values()) == 800
    assert min(outcomes.values()) > 100
    print(f"header mutations: {outcomes}")


def test_npy_mutations_never_escape(tmp_path):
    rng = np.random.default_rng(22)
    path = tmp_path / "a.npy"
    np.save(path, badfiles.VOXELS)
    content = path.read_bytes()
    refused = 0
    for _ in range(400):
        changed = bytearray(content)
        changed[rng.integers(0, 128)] = rng.integers(256)
        path.write_bytes(changed)
        try:
            read(str(path))
        except (VolumeError, OverLimit):
            refused += 1
    assert refused > 100


def test_hdf5_mutations_never_escape(tmp_path):
    """In a child process, since a crash of the library would be a finding and not the end of the tests."""
    code = """
import sys, numpy as np, h5py
from conv3d_cli.errors import VolumeError, OverLimit
from conv3d_cli.volumes import open_volume
path = sys.argv[1]
with h5py.File(path, "w") as file:
    file.create_dataset("d", data=np.arange(512.).reshape(8, 8, 8), chunks=(4, 4, 4), compression="gzip")
content = open(path, "rb").read()
rng = np.random.default_rng(23)
refused = 0
for _ in range(200):
    changed = bytearray(content)
    for at in rng.integers(0, len(content), rng.integers(1, 4)):
        changed[at] = rng.integers(256)
    open(path, "wb").write(changed)
    try:
        with open_volume(path) as source:
            source.read(limit_bytes=1 << 28)
    except (VolumeError, OverLimit) as error:
        assert "\\n" not in str(error)
        refused += 1
print(refused)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a.h5")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 20


def test_a_damaged_heap_of_texts_is_not_walked(tmp_path):
    """In a child process: without the guard the library never comes back."""
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        made = file.create_dataset("d", data=badfiles.VOXELS)
        made.attrs["units"], made.attrs["gain"] = "HU", 3
    content = bytearray(path.read_bytes())
    # The size of the first object, of 8 bytes, such that the next one is where this one is.
    place = content.index(b"GCOL") + 16 + 8
    assert int.from_bytes(content[place : place + 8], "little") == 2
    content[place : place + 8] = ((1 << 64) - 16).to_bytes(8, "little")
    path.write_bytes(content)
    code = """
import sys
from conv3d_cli.volumes import load_volume
loaded = load_volume(sys.argv[1])
print(loaded.array.sum(), *loaded.meta["attributes"].values, *loaded.meta["attributes"].unread)
"""
    call = [sys.executable, "-c", code, str(path)]
    done = subprocess.run(call, capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout, done.stderr) == (f"{badfiles.VOXELS.sum()} gain units\n", "")


def test_a_bomb_is_not_inflated_beyond_its_header(tmp_path, monkeypatch):
    inflated = []
    real = gzipped.GzipStream._some
    monkeypatch.setattr(
        gzipped.GzipStream, "_some", lambda self, view: inflated.append(real(self, view)) or inflated[-1]
    )
    bomb = next(b for b in badfiles.BAD_FILES if b.name == "nii.gz bomb")
    with pytest.raises(VolumeError):
        read(bomb.make(tmp_path))
    assert sum(inflated) <= len(badfiles.GOOD) + 1
