"""``conv3d info`` and the published schemas."""

from __future__ import annotations

import hashlib

import jsonschema
import numpy as np
import pytest
import yaml
from schemas import validator
from support import ROOT

from conv3d_cli.engine import METHODS, isa, pace
from conv3d_cli.runfile import holds_run


def test_this_machine_and_build(conv3d):
    told = conv3d("info")
    assert told.code == 0
    for word in ("engine", "instruction sets", "threads", "numpy: ", *METHODS):
        assert word in told.out
    assert conv3d("info", "--json").document["instruction sets"] == list(isa.available())


def test_a_volume(conv3d):
    told = conv3d("info", ROOT / "sample_data" / "mni152_t1_2mm.nii.gz")
    assert "99 x 117 x 95" in told.out
    assert "uint8" in told.out
    cells = conv3d("info", ROOT / "sample_data" / "cells_2ch.h5:/volume/raw", "--json").document
    assert cells["axes"] == "zyxc"
    assert cells["spacing"] == [0.5, 0.5, 2.0]
    assert cells["unit"] == "um"
    assert cells["bytes"] == 16 * 64 * 64 * 2 * 2
    lines = conv3d("info", ROOT / "sample_data" / "cells_2ch.h5:/volume/raw").out.splitlines()
    assert lines[2:7] == [
        "shape             16 x 64 x 64 x 2",
        "axes              zyxc",
        "dtype             uint16",
        "bytes             256.0 KiB",
        "spacing           x 0.5, y 0.5, z 2",
    ]


def test_a_spec_and_its_weights(conv3d):
    told = conv3d("info", ROOT / "configs" / "features.yaml", "--json").document
    assert [layer["name"] for layer in told["layers"]] == ["slopes", "boundaries"]
    assert told["weights"].endswith("features.npz")
    weights = conv3d("info", ROOT / "configs" / "features.npz", "--json").document
    assert weights["arrays"]["slopes/kernel"] == "[3, 3, 3, 1, 6] float32"
    assert "slopes" in conv3d("info", ROOT / "configs" / "features.yaml").out


def test_the_schema_of_a_spec(conv3d):
    for words in (["--schema"], ["--schema", "spec"]):
        schema = conv3d("info", *words).document
        for path in (ROOT / "configs").glob("*.yaml"):
            validator(schema).validate(yaml.safe_load(path.read_text()))
    with pytest.raises(jsonschema.ValidationError):
        validator(schema).validate({"filters": 0, "kernel_size": 3})


def test_the_schema_of_a_report(conv3d):
    schema = conv3d("info", "--schema", "report").document
    assert not validator(schema).is_valid({})
    assert schema["properties"]["version"] == {"const": 3}


def test_a_file_that_is_not_there(conv3d):
    told = conv3d("info", "none.nii")
    assert (told.code, told.out) == (3, "")
    assert "none.nii" in told.err


def test_a_build_without_kernels_says_so(conv3d, monkeypatch, spec, volume, tmp_path):
    monkeypatch.setattr(isa, "_load", lambda: (None, "no C++ compiler was found"))
    assert "NumPy reference path (no C++ compiler was found)" in conv3d("info").out
    told = conv3d("apply", volume(), tmp_path / "o.npy", "--spec", spec())
    assert told.code == 0
    assert told.err.count("the slow NumPy path runs: no C++ compiler was found") == 1


def test_a_schema_goes_without_a_file(conv3d):
    told = conv3d("info", "brain.nii", "--schema", "report")
    assert (told.code, told.out) == (2, "")
    assert told.err == "Error: --schema: goes without a file: got 'brain.nii', expected none\n"


def test_a_name_is_shown_on_one_line(conv3d, volume):
    told = conv3d("info", volume(name="a\nb.npy"))
    assert told.code == 0
    assert told.out.splitlines()[0].endswith("a\\nb.npy")


@pytest.mark.parametrize("name", ["A.YAML", "a.yml", "a.json"])
def test_specs_by_any_of_their_suffixes(conv3d, spec, name):
    text = "filters: 1\nkernel_size: 3\n" if not name.endswith("json") else '{"filters": 1, "kernel_size": 3}'
    path = spec(text, name)
    told = conv3d("info", path, "--json").document
    assert told["spec"] == str(path)
    assert told["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert told["keras"] == 2
    assert told["weights"] is None
    assert "weights           none\n" in conv3d("info", path).out


def test_weights_are_told_with_their_hash(conv3d):
    path = ROOT / "configs" / "features.npz"
    told = conv3d("info", path, "--json").document
    assert (told["weights"], told["sha256"]) == (str(path), hashlib.sha256(path.read_bytes()).hexdigest())


def test_a_file_of_no_weights(conv3d, tmp_path):
    np.savez(tmp_path / "w.npz")
    assert conv3d("info", tmp_path / "w.npz").out.splitlines()[-1] == "arrays            none"


def test_a_volume_without_geometry(conv3d, tmp_path):
    np.save(tmp_path / "in.npy", np.ones((5, 6, 7), ">i2"))
    told = conv3d("info", tmp_path / "in.npy", "--json").document
    assert told == {
        "volume": str(tmp_path / "in.npy"),
        "format": "npy",
        "shape": [5, 6, 7],
        "axes": "zyx",
        "dtype": ">i2",
        "bytes": 420,
        "spacing": None,
        "unit": None,
        "affine": None,
        "notes": ["the byte order is big-endian"],
    }
    lines = conv3d("info", tmp_path / "in.npy").out.splitlines()
    assert "shape             5 x 6 x 7" in lines
    assert "affine            none" in lines
    assert "spacing           none" in lines
    assert "bytes             420 B" in lines
    assert "notes             the byte order is big-endian" in lines
    np.save(tmp_path / "in.npy", np.ones((5, 6), "u1"))
    flat = conv3d("info", tmp_path / "in.npy")
    assert flat.code == 0
    assert "axes              none" in flat.out
    assert "notes             none" in flat.out


def test_the_affine_stands_row_below_row(conv3d):
    told = conv3d("info", ROOT / "sample_data" / "mni152_t1_2mm.nii.gz")
    affine = conv3d("info", ROOT / "sample_data" / "mni152_t1_2mm.nii.gz", "--json").document["affine"]
    lines = told.out.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("affine"))
    rows = [" ".join(map(str, row)) for row in affine]
    assert lines[at : at + 4] == [f"affine            {rows[0]}", *(f"{'':18}{row}" for row in rows[1:])]
    assert affine[3] == [0, 0, 0, 1]


def test_the_machine_as_it_may_be_used(conv3d, monkeypatch, tmp_path):
    monkeypatch.setenv("CONV3D_CACHE", str(tmp_path))
    monkeypatch.setenv("CONV3D_THREADS", "3")
    monkeypatch.setenv("CONV3D_MAX_MEMORY", "1G")
    told = conv3d("info", "--json").document
    assert told["threads"] == 3
    assert (told["memory"], told["memory source"]) == (1 << 30, "CONV3D_MAX_MEMORY")
    lines = conv3d("info").out.splitlines()
    assert "memory            1.0 GiB" in lines
    assert "memory source     CONV3D_MAX_MEMORY" in lines
    assert told["costs"].startswith("as shipped")
    pace.keep(pace.Pace((), "2026-01-31"), threads=3)
    assert "costs             measured 2026-01-31" in conv3d("info").out.splitlines()
    assert told["engine"] == isa.active() or isa.native() is None
    assert set(told["versions"]) >= {"conv3d", "python", "numpy"}


def test_a_run_file_is_told_for_one(conv3d, tmp_path, monkeypatch):
    path = tmp_path / "run.yaml"
    path.write_text(
        "inputs: [a.npy, b.npy]\nseed: 3\nfilters: [gaussian:fwhm=6mm, sobel]\nbatch: {out_dir: out, shard: 1/2}\n"
    )
    told = conv3d("info", path, "--json").document
    assert told == {
        "run file": str(path),
        "runs": "batch",
        "says": {
            "inputs": [str(tmp_path / "a.npy"), str(tmp_path / "b.npy")],
            "seed": 3,
            "filters": ["gaussian:fwhm=6mm", "sobel"],
            "batch.out_dir": str(tmp_path / "out"),
            "batch.shard": "1/2",
        },
    }
    lines = conv3d("info", path).out.splitlines()
    assert lines[:2] == [f"run file          {path}", "runs              batch"]
    assert "                  filters: gaussian:fwhm=6mm, sobel" in lines
    told = conv3d("info", ROOT / "configs" / "runs" / "slopes.yaml", "--json").document
    assert (told["runs"], [layer["name"] for layer in told["layers"]]) == ("apply", ["smooth", "slopes", "magnitude"])
    path.write_text("input: a.npy\noutput: b.npy\nfilters: box\nsede: 3\n")
    told = conv3d("info", path)
    assert (told.code, told.out) == (3, "")
    assert "run.yaml:4:1: unknown key sede" in told.err.replace("'", "").replace("`", "")


def test_a_report_is_told_for_what_repeats_it(conv3d, volume, tmp_path):
    conv3d("apply", volume(), tmp_path / "o.npy", "--filter", "box:size=3vox", "--report", tmp_path / "r.json")
    told = conv3d("info", tmp_path / "r.json", "--json").document
    assert (told["runs"], told["says"]["input"]) == ("apply", str(volume()))


@pytest.mark.parametrize("text", ["filters: 1\nkernel_size: 3\n", "", "3", "[]", "a: &b 3\n", "\0", "{"])
def test_what_is_no_run_file(tmp_path, text):
    for name in ("a.yaml", "a.json"):
        (tmp_path / name).write_text(text)
        assert not holds_run(str(tmp_path / name))
    assert not holds_run(str(tmp_path / "none.yaml"))
