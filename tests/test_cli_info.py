"""``conv3d info`` and the published schemas."""

from __future__ import annotations

import jsonschema
import pytest
import yaml
from support import ROOT

from conv3d_cli.engine import METHODS, isa


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
        jsonschema.Draft202012Validator.check_schema(schema)
        for path in (ROOT / "configs").glob("*.yaml"):
            jsonschema.validate(yaml.safe_load(path.read_text()), schema, cls=jsonschema.Draft202012Validator)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"filters": 0, "kernel_size": 3}, schema, cls=jsonschema.Draft202012Validator)


def test_the_schema_of_a_report(conv3d):
    schema = conv3d("info", "--schema", "report").document
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["properties"]["version"] == {"const": 1}


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
