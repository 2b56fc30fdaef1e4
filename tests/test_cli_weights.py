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
    text = spec(SPEC, "spec.h5")
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


RECORDED = ROOT / "tests" / "recorded" / "weights"


def test_the_help_is_whole(conv3d):
    text = conv3d("weights", "--help").out
    assert "..." not in text.partition("Commands:")[2]
    for command in ("convert", "init", "project", "show"):
        assert f"\n  {command} " in text
        assert conv3d("weights", command, "--help").code == 0


@pytest.mark.parametrize("name", ["w.h5", "w.weights.h5", "w.safetensors"])
def test_init_writes_every_format(conv3d, spec, volume, tmp_path, name):
    assert conv3d("weights", "init", tmp_path / name, "--spec", spec(SPEC), "--seed", 4).code == 0
    given = ["--spec", spec(SPEC), "--weights", tmp_path / name]
    assert conv3d("apply", volume(), tmp_path / "a.npy", *given).code == 0
    assert conv3d("apply", volume(), tmp_path / "b.npy", "--spec", spec(SPEC), "--seed", 4).code == 0
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), np.load(tmp_path / "b.npy"))


def test_init_refuses_formats_and_shapes_that_are_none(conv3d, spec, tmp_path):
    told = conv3d("weights", "init", tmp_path / "w.keras", "--spec", spec(SPEC))
    assert (told.code, told.out) == (2, "")
    assert "a .keras file holds a whole model" in told.err
    for shape in ("4x4", "4x4x4x4", "axbxc"):
        told = conv3d("weights", "init", tmp_path / "w.npz", "--spec", spec(SPEC), "--input-shape", shape)
        assert told.code == 2
        assert told.err.startswith("Error: --input-shape: ")
    words = ["--input-shape", "8x8x8", "--channels", 3]
    rows = conv3d("weights", "init", tmp_path / "w.npz", "--spec", spec(SPEC), *words, "--json").document["arrays"]
    assert rows[0]["shape"] == [3, 3, 3, 3, 4]


def test_init_of_layers_with_weights_for_each_voxel_needs_their_number(conv3d, spec, tmp_path):
    layers = "layers: [{name: a, filters: 2, kernel_size: 1}, {class_name: PReLU, config: {name: p}}]"
    words = ["weights", "init", tmp_path / "w.npz", "--spec", spec(layers)]
    told = conv3d(*words)
    assert told.code == 3
    assert "sizes are not known" in told.err
    rows = conv3d(*words, "--input-shape", "4x5x6", "--json").document["arrays"]
    assert [row["shape"] for row in rows] == [[1, 1, 1, 1, 2], [2], [4, 5, 6, 2]]


@pytest.mark.parametrize("form", ["channels_last", "channels_first"])
def test_init_goes_by_the_shape_that_a_spec_declares(conv3d, spec, tmp_path, form):
    shape = [4, 5, 6, 3] if form == "channels_last" else [3, 4, 5, 6]
    layer = f"{{filters: 2, kernel_size: 1, data_format: {form}, input_shape: {shape}}}"
    text = spec(f"layers: [{layer}, {{class_name: PReLU, config: {{name: p}}}}]")
    rows = conv3d("weights", "init", tmp_path / "w.npz", "--spec", text, "--json").document["arrays"]
    assert rows[0]["shape"] == [1, 1, 1, 3, 2]
    assert rows[2]["shape"] == ([4, 5, 6, 2] if form == "channels_last" else [2, 4, 5, 6])


def test_show_prints_the_slices_of_small_kernels(conv3d, tmp_path):
    kernel = np.arange(8, dtype=np.float32).reshape(2, 2, 2, 1, 1)
    np.savez(tmp_path / "w.npz", **{"a/kernel": kernel, "b/kernel": np.zeros((3, 3, 3, 4, 4)), "a/bias": -np.zeros(1)})
    lines = conv3d("weights", "show", tmp_path / "w.npz").out.splitlines()
    at = lines.index("a/kernel, channel 0, filter 0:")
    assert lines[at + 1 : at + 3] == ["  0  1     4  5", "  2  3     6  7"]
    assert lines[-1] == "a/bias: 0"
    assert not any(line.startswith("b/kernel,") for line in lines)
    assert "channel" not in conv3d("weights", "show", tmp_path / "w.npz", "--no-slices").out
    told = conv3d("weights", "show", tmp_path / "w.npz", "--layer", "b").out
    assert told.count("b/kernel, channel") == 16
    assert "a/kernel" not in told
    assert conv3d("weights", "show", tmp_path / "w.npz", "--slices").out.count("channel") == 17


def test_show_gives_values_as_json(conv3d, tmp_path):
    np.savez(tmp_path / "w.npz", kernel=np.array([[1.0, np.nan]]))
    assert "values" not in conv3d("weights", "show", tmp_path / "w.npz", "--json").document["arrays"][0]
    [row] = conv3d("weights", "show", tmp_path / "w.npz", "--json", "--slices").document["arrays"]
    assert row["values"] == [[1.0, "nan"]]


def test_show_knows_no_such_layer(conv3d):
    told = conv3d("weights", "show", RECORDED / "nested_3.keras", "--layer", "in_c")
    assert (told.code, told.out) == (3, "")
    assert "there is no layer 'in_c': expected one of 'first', 'act', 'norm', 'block/in_a'" in told.err
    assert "block/in_b" in conv3d("weights", "show", RECORDED / "nested_3.keras", "--layer", "in_b").out


def test_convert_takes_one_layer_out_of_a_model(conv3d, spec, volume, tmp_path):
    words = ["weights", "convert", RECORDED / "nested_3.keras", "--layer", "last", "-o", tmp_path / "last.npz"]
    told = conv3d(*words)
    assert (told.code, told.err) == (0, "")
    with np.load(tmp_path / "last.npz") as arrays:
        assert arrays.files == ["kernel", "bias"]
        assert arrays["bias"] == 11
    text = spec("filters: 1\nkernel_size: 2\npadding: valid\n")
    np.save(tmp_path / "two.npy", np.ones((4, 4, 4, 2), np.float32))
    out = tmp_path / "o.npy"
    given = ["--spec", text, "--weights", tmp_path / "last.npz", "--axes", "zyxc"]
    assert conv3d("apply", tmp_path / "two.npy", out, *given).code == 0
    np.testing.assert_allclose(np.load(out).ravel()[0], (10 + np.arange(16) / 16).sum() + 11)
    assert conv3d(*words).code == 4
    assert conv3d(*words, "--overwrite").code == 0


def test_convert_takes_everything_it_knows_and_says_what_it_left(conv3d, tmp_path):
    for suffix in (".npz", ".h5", ".weights.h5", ".safetensors"):
        out = tmp_path / f"all{suffix}"
        told = conv3d("weights", "convert", RECORDED / "nested_2.12.keras", "-o", out, "--json").document
        assert told["notes"] == ["left out, neither Conv3D nor PReLU: 'norm'"]
        assert told["source"] == str(RECORDED / "nested_2.12.keras")
        assert len(told["sha256"]) == 64
        again = conv3d("weights", "show", out, "--json").document["arrays"]
        assert sorted(row["layer"] for row in again) == sorted(row["layer"] for row in told["arrays"])
        assert len(again) == 8
    text = conv3d("weights", "convert", RECORDED / "nested_3.h5", "-o", tmp_path / "more.npz").out
    assert text.splitlines()[-1] == "note: left out, neither Conv3D nor PReLU: 'norm'"


def test_convert_there_and_back_is_the_same(conv3d, tmp_path):
    first, torch, second = (tmp_path / name for name in ("a.npz", "t.safetensors", "b.npz"))
    conv3d("weights", "convert", RECORDED / "nested_2.4.h5", "-o", first)
    assert conv3d("weights", "convert", first, "-o", torch, "--to", "torch").code == 0
    names = [f"{row['layer']}.{row['name']}" for row in conv3d("weights", "show", torch, "--json").document["arrays"]]
    assert "block.in_a.weight" in names
    assert conv3d("weights", "convert", torch, "-o", second, "--from", "torch").code == 0
    with np.load(first) as a, np.load(second) as b:
        assert sorted(name.replace("/", ".") for name in a.files) == sorted(name.replace("/", ".") for name in b.files)
        for name in a.files:
            layer, _, weight = name.rpartition("/")
            np.testing.assert_array_equal(a[name], b[f"{layer.replace('/', '.')}/{weight}"])


def test_convert_refuses_in_one_line_and_writes_nothing(conv3d, tmp_path):
    source, out = RECORDED / "nested_3.keras", tmp_path / "o.npz"
    for words, code, message in (
        (["-o", tmp_path / "o.keras"], 2, "a .keras file holds a whole model"),
        (["-o", tmp_path / "o.txt"], 2, "not a known weights file: got '.txt'"),
        (["-o", tmp_path / "o.h5", "--to", "torch"], 2, "in Keras's layout: expected .npz or .safetensors"),
        (["-o", out, "--layer", "fist"], 3, "did you mean 'first'?"),
        (["-o", out, "--layer", "norm"], 3, "layer 'norm' is no Conv3D"),
        (["-o", out, "--from", "torch"], 3, "try --from keras"),
        (["-o", tmp_path / "none" / "o.npz"], 4, "there is no folder"),
        ([], 2, "Missing option '-o'"),
    ):
        told = conv3d("weights", "convert", source, *words)
        assert (told.code, told.out) == (code, ""), told
        assert message in told.err
        assert len(told.err.splitlines()) == 1
        assert list(tmp_path.iterdir()) == []


def test_convert_refuses_the_output_before_it_reads(conv3d, tmp_path):
    assert conv3d("weights", "convert", tmp_path / "absent.npz", "-o", tmp_path / "o.keras").code == 2
    assert conv3d("weights", "convert", tmp_path / "absent.npz", "-o", tmp_path / "no" / "o.npz").code == 4


def test_convert_never_overwrites_its_input(conv3d, tmp_path):
    np.savez(tmp_path / "w.npz", kernel=np.ones((1, 1, 1, 1, 1), np.float32))
    before = (tmp_path / "w.npz").read_bytes()
    told = conv3d("weights", "convert", tmp_path / "w.npz", "-o", tmp_path / "w.npz", "--overwrite")
    assert told.code == 4
    assert "is the same file, which this run needs" in told.err
    assert (tmp_path / "w.npz").read_bytes() == before


ROW = "layers: [{name: a, filters: 2, kernel_size: 1}, {name: b, filters: 1, kernel_size: 1, use_bias: false}]"


CONSTRAINED = """
layers:
  - name: a
    filters: 2
    kernel_size: 1
    kernel_constraint: non_neg
    bias_constraint: {class_name: MaxNorm, config: {max_value: 1, axis: 0}}
  - {name: b, filters: 1, kernel_size: 1, use_bias: false}
"""


@pytest.fixture
def unconstrained_weights(tmp_path):
    arrays = {"a/kernel": [[[[[-3.0, 2.0]]]]], "a/bias": [3.0, 4.0], "b/kernel": [[[[[-1.0], [1.0]]]]]}
    np.savez(tmp_path / "w.npz", **{name: np.array(values, np.float32) for name, values in arrays.items()})
    return tmp_path / "w.npz"


def test_project_applies_the_constraints(conv3d, spec, tmp_path, unconstrained_weights):
    out = tmp_path / "p.npz"
    words = ["weights", "project", unconstrained_weights, "--spec", spec(CONSTRAINED), "-o", out]
    told = conv3d(*words, "--json").document
    assert told["projected"] == [
        {"layer": "a", "name": "kernel", "constraint": "NonNeg", "before": 3.0, "after": 0.0},
        {"layer": "a", "name": "bias", "constraint": "MaxNorm", "before": 4.0, "after": 0.0},
    ]
    with np.load(out) as arrays:
        assert arrays["a/kernel"].ravel().tolist() == [0.0, 2.0]
        np.testing.assert_allclose(arrays["a/bias"], [0.6, 0.8], rtol=1e-6)
        assert arrays["b/kernel"].ravel().tolist() == [-1.0, 1.0]
    assert conv3d(*words).code == 4
    assert "NonNeg" in conv3d(*words, "--overwrite").out


def test_project_without_constraints_says_so(conv3d, spec, tmp_path, unconstrained_weights):
    text = spec(ROW)
    told = conv3d("weights", "project", unconstrained_weights, "--spec", text, "-o", tmp_path / "p.npz")
    assert told.code == 0
    assert told.out.splitlines()[-1] == "note: no layer has a constraint: the weights are as they were"
    words = ["weights", "project", unconstrained_weights, "--spec", text, "--overwrite", "-o"]
    (tmp_path / "spec.npz").symlink_to(text)
    for same in (unconstrained_weights, tmp_path / "spec.npz"):
        told = conv3d(*words, same)
        assert told.code == 4
        assert "is the same file, which this run needs" in told.err


@pytest.mark.parametrize(("target", "told"), [("o.weights.h5", True), ("o.h5", True), ("o.npz", False)])
def test_convert_tells_the_order_that_keras_will_go_by(conv3d, tmp_path, target, told):
    """A .safetensors file has no order of its own; Keras loads the layers of its own files in theirs."""
    kernel = np.ones((1, 1, 1, 1, 1), np.float32)
    np.savez(tmp_path / "in.npz", **{"b/kernel": kernel, "a/kernel": kernel})
    done = conv3d("weights", "convert", tmp_path / "in.npz", "-o", tmp_path / target)
    assert done.code == 0
    assert ("it is b, a, as in" in done.out) == told
