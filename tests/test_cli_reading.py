"""Volumes that are read ahead: when that may begin, what it holds, and how it ends."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from conv3d_cli.cli.apply import Watch
from conv3d_cli.cli.reading import reading
from conv3d_cli.cli.working import _Told
from conv3d_cli.errors import VolumeError
from conv3d_cli.volumes import Source, Volume, open_volume, save_volume, scan
from conv3d_cli.volumes.blocks import BLOCK

EXTRA = BLOCK * 12  # bytes that reading takes beside the result
ARRAY = np.random.default_rng(5).normal(size=(9, 10, 11)).astype("f4")
WORDS = {"compute_dtype": None, "filters": ["gaussian"], "dry_run": False, "threads": 2, "max_memory": None}
NAMES = ("in.nii", "in.nii.gz", "in.img", "in.npy", "in.h5")


def plan(dtype="float32"):
    return SimpleNamespace(dtype=dtype, options=SimpleNamespace(limits=SimpleNamespace(memory=1 << 30, threads=2)))


@pytest.fixture
def saved(tmp_path):
    def save(name, array=ARRAY):
        save_volume(Volume(array, "xyz", format="nifti"), str(tmp_path / name))
        return str(tmp_path / name)

    return save


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("early", [True, False])
def test_the_voxels_are_the_same_ahead_or_not(name, early, saved):
    with open_volume(saved(name)) as volume, reading(volume, WORDS, early) as source:
        assert (source.ahead is not None) == early
        source.look()
        array = source.voxels(plan())
        values = source.values(array, 2)
    with open_volume(saved(f"other_{name}")) as volume:
        want = volume.read("float32")
    np.testing.assert_array_equal(array, want)
    assert array.flags.f_contiguous == want.flags.f_contiguous
    assert values == scan(want)


@pytest.mark.parametrize(
    "words",
    [
        {"filters": []},
        {"dry_run": True},
        {"max_memory": str(ARRAY.nbytes + EXTRA - 1)},
        {"compute_dtype": "float64", "max_memory": str(ARRAY.nbytes + EXTRA)},
    ],
)
def test_what_may_not_be_needed_is_not_read_ahead(words, saved):
    with open_volume(saved("in.nii")) as volume, reading(volume, WORDS | words, True) as source:
        assert source.ahead is None


def test_a_large_volume_is_read_ahead_where_an_output_has_room_too():
    volume = Source("large.npy", "npy", (512, 512, 512), np.dtype("f4"))
    for room, ahead in ((1 << 30, True), ((1 << 30) - 1, False)):
        with reading(volume, WORDS | {"max_memory": str(room)}, True) as source:
            assert (source.ahead is not None) == ahead


@pytest.mark.parametrize(
    "words", [{"max_memory": str(ARRAY.nbytes + EXTRA)}, {"filters": [], "compute_dtype": "float64"}]
)
def test_what_has_room_is_read_as_the_words_say(words, saved):
    with open_volume(saved("in.nii")) as volume, reading(volume, WORDS | words, True) as source:
        assert source.voxels(plan()).dtype == words.get("compute_dtype", "float32")


def test_a_pipe_is_not_read_ahead(saved, tmp_path):
    os.mkfifo(tmp_path / "pipe.nii")
    content = Path(saved("in.nii")).read_bytes()
    writer = threading.Thread(target=lambda: (tmp_path / "pipe.nii").write_bytes(content))
    writer.start()
    with open_volume(str(tmp_path / "pipe.nii")) as volume, reading(volume, WORDS, True) as source:
        assert source.ahead is None
        assert source.voxels(plan()).shape == ARRAY.shape
    writer.join()


@pytest.mark.parametrize("name", NAMES)
def test_who_stops_does_not_wait_for_the_rest(name, saved, monkeypatch):
    """A thread that is still reading ends before its file is closed, and not only when the file does."""
    begun, pieces = threading.Event(), []
    monkeypatch.setattr("conv3d_cli.volumes.stream.PIECE", 64)
    monkeypatch.setattr("conv3d_cli.volumes.hdf5.SLAB", 64)

    def slowly(real):
        def piece(*args):
            pieces.append(1)
            begun.set()
            time.sleep(0.02)
            return real(*args)

        return piece

    with pytest.raises(RuntimeError, match="refused"), open_volume(saved(name)) as volume:  # noqa: PT012
        stream = getattr(volume, "_data", getattr(volume, "_stream", None))
        if stream is None:
            monkeypatch.setattr(volume, "_copy", slowly(volume._copy))
        else:
            monkeypatch.setattr(stream, "_some", slowly(stream._some))
        with reading(volume, WORDS, True) as source:
            assert begun.wait(10)
            ahead = source.ahead
            raise RuntimeError("refused")
    with pytest.raises(VolumeError, match="was not read to its end"):
        ahead.result()
    assert len(pieces) < 60


def test_an_error_of_the_voxels_comes_when_they_are_asked_for(conv3d, saved, tmp_path):
    name = saved("in.nii.gz")
    data = bytearray(Path(name).read_bytes())
    data[len(data) // 2] ^= 4
    Path(name).write_bytes(data)
    told = conv3d("apply", name, tmp_path / "out.nii", "--filter", "gaussian:sigma=1vox")
    assert (told.code, told.err.count("\n")) == (3, 1)
    assert "in.nii.gz" in told.err
    told = conv3d("apply", name, tmp_path / "out.nii", "--filter", "gaussian:sigma=1vox", "--method", "winograd")
    assert "method 'winograd'" in told.err  # what the plan refuses goes before what the voxels are
    assert not (tmp_path / "out.nii").exists()


def test_a_batch_says_when_reading_may_begin():
    assert Watch.early
    assert not _Told.early
