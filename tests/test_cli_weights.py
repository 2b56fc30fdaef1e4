"""``conv3d weights init`` and ``show``."""

from __future__ import annotations

import numpy as np
import pytest
from support import ROOT

SPEC = """
layers:
  - {name: stem, filters: 4, kernel_size: 3, bias_initializer: ones}
  - {name: head, filters: 1, kernel_size: 1, use_bias: false}
"""


def test_init_draws_from_the_initializers(conv3d, spec, tmp_path):
    out = tmp_path / "w.npz"
    told = conv3d("weights", "init", out, "--spec", spec(SPEC), "--channels", 2, "--seed", 7)
    assert told.code == 0
    with np.load(out) as weights:
        shapes = {name: weights[name].shape for name in weights.files}
        np.testing.assert_array_equal(weights["stem/bias"], np.ones(4, np.float32))
    assert shapes == {"stem/kernel": (3, 3, 3, 2, 4), "stem/bias": (4,), "head/kernel": (1, 1, 1, 4, 1)}
    assert "3x3x3x2x4" in told.out


def test_the_seed_decides(conv3d, spec, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert conv3d("weights", "init", tmp_path / f"{name}.npz", "--spec", spec(SPEC), "--seed", seed).code == 0
    a, b, c = ((tmp_path / f"{name}.npz").read_bytes() for name in "abc")
    assert a == b
    assert a != c


def test_a_run_without_weights_is_a_run_with_the_initial_ones(conv3d, spec, volume, tmp_path):
    conv3d("weights", "init", tmp_path / "w.npz", "--spec", spec(SPEC), "--seed", 4)
    with_file = ["--weights", tmp_path / "w.npz"]
    assert conv3d("apply", volume(), tmp_path / "a.npy", "--spec", spec(SPEC), "--seed", 4).code == 0
    assert conv3d("apply", volume(), tmp_path / "b.npy", "--spec", spec(SPEC), *with_file).code == 0
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), np.load(tmp_path / "b.npy"))


def test_init_keeps_what_exists(conv3d, spec, tmp_path):
    out = tmp_path / "w.npz"
    out.write_bytes(b"precious")
    assert conv3d("weights", "init", out, "--spec", spec(SPEC)).code == 4
    assert out.read_bytes() == b"precious"
    assert conv3d("weights", "init", out, "--spec", spec(SPEC), "--overwrite").code == 0


def test_show_sums_up_each_array(conv3d):
    told = conv3d("weights", "show", ROOT / "configs" / "features.npz")
    assert told.code == 0
    assert "boundaries" in told.out
    rows = conv3d("weights", "show", ROOT / "configs" / "features.npz", "--json").document["arrays"]
    assert rows[0]["layer"] == "slopes"
    assert rows[0]["shape"] == [3, 3, 3, 1, 6]
    with np.load(ROOT / "configs" / "features.npz") as weights:
        assert rows[0]["max"] == float(weights["slopes/kernel"].max())


def test_weights_that_do_not_fit(conv3d, spec, volume, tmp_path):
    np.savez(tmp_path / "w.npz", kernel=np.zeros((3, 3, 3, 2, 1), np.float32), stray=np.zeros(1))
    told = conv3d("apply", volume(), tmp_path / "o.npy", "--spec", spec(), "--weights", tmp_path / "w.npz")
    assert told.code == 3
    lines = told.err.splitlines()
    assert "kernel has the wrong shape: got (3, 3, 3, 2, 1), expected (3, 3, 3, 1, 1)" in lines[0]
    assert any("bias is missing" in line for line in lines)
    assert any("'stray' is left over" in line for line in lines)


def test_a_file_that_is_none(conv3d, tmp_path):
    (tmp_path / "w.npz").write_bytes(b"no zip")
    told = conv3d("weights", "show", tmp_path / "w.npz")
    assert (told.code, told.out) == (3, "")


def test_init_prints_json_when_asked_and_writes_what_it_prints(conv3d, spec, tmp_path):
    out = tmp_path / "w.npz"
    told = conv3d("weights", "init", out, "--spec", spec(SPEC), "--channels", 2, "--json").document
    shown = conv3d("weights", "show", out, "--json").document
    assert told == shown
    assert shown["path"] == str(out)
    assert [(row["layer"], row["name"]) for row in shown["arrays"]] == [
        ("stem", "kernel"),
        ("stem", "bias"),
        ("head", "kernel"),
    ]


def test_init_never_replaces_the_spec(conv3d, spec, tmp_path):
    text = spec(SPEC, "spec.npz")
    before = text.read_bytes()
    told = conv3d("weights", "init", text, "--spec", text, "--overwrite")
    assert told.code == 4
    assert "is the same file, which this run needs" in told.err
    assert text.read_bytes() == before


def test_init_refuses_before_it_makes_anything(conv3d, spec, tmp_path, monkeypatch):
    monkeypatch.setattr("conv3d_cli.layers.Network.build", lambda *given, **more: pytest.fail("weights were made"))
    (tmp_path / "w.npz").touch()
    for target in (tmp_path / "w.npz", tmp_path / "none" / "w.npz"):
        assert conv3d("weights", "init", target, "--spec", spec(SPEC)).code == 4
