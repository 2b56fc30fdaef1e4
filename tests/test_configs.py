"""The specs that come along: they load, satisfy the schema, and fit the weights that make_weights.py makes."""

from __future__ import annotations

import re
import runpy
import shlex
from pathlib import Path

import numpy as np
import pytest
import yaml
from schemas import validator

from conv3d_cli.spec import json_schema, load_spec
from conv3d_cli.weights import assign, read_weights

FOLDER = Path(__file__).parent.parent / "configs"
SPECS = sorted(FOLDER.glob("*.yaml"))
CHANNELS = {"channels": 2}


def built(path: Path):
    spec = load_spec(str(path))
    channels = CHANNELS.get(path.stem, 1)
    if spec.weights is None:
        spec.network.build(channels)
    else:
        assert assign(spec.network, read_weights(spec.weights), channels) == []
    return spec.network


@pytest.fixture(scope="module")
def make():
    return runpy.run_path(str(FOLDER / "make_weights.py"))


@pytest.mark.parametrize("path", SPECS, ids=lambda p: p.stem)
def test_a_spec_satisfies_the_schema(path):
    validator(json_schema()).validate(yaml.safe_load(path.read_bytes()))


@pytest.mark.parametrize("path", SPECS, ids=lambda p: p.stem)
def test_a_spec_fits_its_weights_and_gives_finite_values(path):
    network = built(path)
    x = np.random.default_rng(1).uniform(0, 255, (1, 24, 24, 24, CHANNELS.get(path.stem, 1)))
    y = network(x)
    assert y.shape == network.compute_output_shape(x.shape)
    assert np.isfinite(y).all()
    assert np.ptp(y) > 0


@pytest.mark.parametrize("path", SPECS, ids=lambda p: p.stem)
def test_a_spec_says_what_it_is_for_with_a_command_that_names_files_here(path):
    head = re.match(r"(#.*\n)+", path.read_text())[0]
    commands = re.findall(r"^#\s+(conv3d (?:apply|plan) .*?)(?:\s+#.*)?$", head, re.MULTILINE)
    assert commands
    for command in commands:
        words = shlex.split(command)
        assert (FOLDER.parent / words[2].split(":")[0]).is_file()
        assert words[words.index("--spec") + 1] == f"configs/{path.name}"


def test_weights_are_made_again(make, tmp_path):
    make["main"](tmp_path)
    names = sorted(p.name for p in FOLDER.glob("*.npz"))
    assert names == sorted(p.name for p in tmp_path.glob("*.npz"))
    for name in names:
        kept, again = read_weights(str(FOLDER / name)), read_weights(str(tmp_path / name))
        assert list(kept) == list(again)
        for key in kept:
            np.testing.assert_allclose(kept[key], again[key], rtol=1e-6, atol=1e-9)


def test_every_file_of_weights_belongs_to_a_spec():
    named = {load_spec(str(path)).weights for path in SPECS} - {None}
    assert named == {str(path) for path in FOLDER.glob("*.npz")}


def test_edges_measure_slopes_per_voxel():
    ramp = np.arange(9.0)
    x = (2 * ramp[:, None, None] + 3 * ramp[:, None] + 5 * ramp**2 / 2)[None, ..., None]
    y = built(FOLDER / "edges.yaml")(x)
    assert np.allclose(y[0, 4, 4, 4], [2, 3, 5 * 4, 5])


@pytest.mark.parametrize("name", ["smooth", "background", "channels", "downsample"])
def test_smoothing_keeps_a_flat_region(name):
    channels = CHANNELS.get(name, 1)
    y = built(FOLDER / f"{name}.yaml")(np.full((1, 40, 40, 40, channels), 7.0))
    middle = y.shape[1] // 2
    assert np.allclose(y[0, middle, middle, middle], 7, rtol=1e-5)


def test_features_tell_plates_from_walls():
    network = built(FOLDER / "features.yaml")
    x = np.zeros((1, 16, 16, 16, 1))
    x[:, :, :, 8:] = 100
    boundary, plates, walls = network(x)[0, 8, 8, 8]
    assert (boundary > 10, plates > 10, walls) == (True, True, 0)
    boundary, plates, walls = network(x.swapaxes(1, 3))[0, 8, 8, 8]
    assert (boundary > 10, plates, walls > 10) == (True, 0, True)
