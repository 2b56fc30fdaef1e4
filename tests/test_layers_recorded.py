"""The layer against values recorded from TensorFlow 2.4.4 and PyTorch; tests/recorded/ shows how they were made."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from oracle import oracle_layer, same_pads
from recorded import cases
from tolerances import allowed

from conv3d_cli.layers import Conv3D, convolve

HERE = Path(__file__).parent / "recorded"
KERAS = json.loads((HERE / "keras.json").read_text())
TORCH = json.loads((HERE / "torch.json").read_text())

# Where this layer differs from TensorFlow 2.4.4 on purpose: what it raises, and why.
ACCEPTED_BY_KERAS = {
    "padding": "a list is taken for explicit padding, and fails later",
    "strides": "refused only when called, if at all",
    "dilation_rate": "refused only when called",
    "groups": "0 is taken for none given",
    "filters": "0 and less, and fractions, fail later or are cut off",
    "kernel_size": "a negative size or a fraction in a list fails later",
    "dtype": "float means float32 there and float64 in NumPy: neither is guessed",
}
OTHER_TYPE = {
    "padding": "None has no lower case there",
    "filters": "a text is formatted into a message there",
    "strides": "the device's own error there",
    "dilation_rate": "the device's own error there",
    "kernel_size": "the device's own error there",
    "dtype": "a refused value is a ValueError here",
}


def assert_near(got, recorded, case):
    """Fail unless both lie within rounding of the same sum: two tolerances of a direct sum, and the activation's."""
    config = case["config"]
    x, kernel, bias = cases.case_arrays(case)
    geometry = {key: config[key] for key in ("strides", "padding", "data_format", "dilation_rate", "groups")}
    _, magnitude = oracle_layer(x, kernel, bias if config["use_bias"] else None, **geometry)
    assert got.dtype == recorded.dtype
    assert got.shape == recorded.shape
    assert got.flags.c_contiguous
    terms = kernel[..., 0].size
    # Where the native kernel is missing a float64 transform may be taken, which rounds by all that is in its block.
    largest = np.abs(x).max() * np.abs(kernel).sum(axis=(0, 1, 2, 3)).max()
    limit = 2 * allowed("direct", config["dtype"], magnitude, terms) + 64 * np.finfo(np.float64).eps * largest
    if config["activation"] == "softmax":
        limit = np.broadcast_to(limit.max(axis=-1, keepdims=True), limit.shape)
    if config["activation"]:
        limit = limit + 8 * np.finfo(got.dtype).eps * (1 + np.abs(recorded))
    error = np.abs(got.astype(np.float64) - recorded)
    assert (error <= limit).all(), f"{case}: worst error {error.max()}"


@pytest.fixture(scope="module")
def keras_arrays():
    with np.load(HERE / "keras.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def torch_arrays():
    with np.load(HERE / "torch.npz") as arrays:
        return dict(arrays)


@pytest.mark.parametrize("case", KERAS["layers"], ids=lambda case: str(case["seed"]))
def test_layer_gives_what_tensorflow_gives(case, keras_arrays):
    x, kernel, bias = cases.case_arrays(case)
    layer = Conv3D.from_config(case["config"])
    assert layer.compute_output_shape(x.shape) == tuple(case["output_shape"])
    layer.build(x.shape)
    layer.set_weights([kernel, bias] if layer.use_bias else [kernel])
    assert_near(layer(x), keras_arrays[f"layer/{case['seed']}"], case)


@pytest.mark.parametrize("case", TORCH["layers"], ids=lambda case: str(case["seed"]))
def test_convolve_gives_what_pytorch_gives(case, torch_arrays):
    config, (x, kernel, bias) = case["config"], cases.case_arrays(case)
    bias = bias if config["use_bias"] else None
    geometry = {key: config[key] for key in ("strides", "dilation_rate", "groups", "data_format")}
    recorded = torch_arrays[f"layer/{case['seed']}"]
    assert_near(convolve(x, kernel, bias, padding=config["padding"], **geometry), recorded, case)
    first = config["data_format"] == "channels_first"
    size = x.shape[-3:] if first else x.shape[-4:-1]
    pads = same_pads(size, kernel.shape[:3], config["strides"], config["dilation_rate"])
    explicit = pads if config["padding"] == "same" else ((0, 0),) * 3
    assert_near(convolve(x, kernel, bias, padding=explicit, **geometry), recorded, case)


def both_above_one(config):
    return max(config["strides"]) > 1 and max(config["dilation_rate"]) > 1


@pytest.mark.parametrize(
    "case",
    [case for case in TORCH["layers"] if not both_above_one(case["config"])],
    ids=lambda case: str(case["seed"]),
)
def test_layer_gives_what_pytorch_gives(case, torch_arrays):
    x, kernel, bias = cases.case_arrays(case)
    layer = Conv3D(**case["config"])
    layer.build(x.shape)
    layer.set_weights([kernel, bias] if layer.use_bias else [kernel])
    assert_near(layer(x), torch_arrays[f"layer/{case['seed']}"], case)


def test_enough_is_recorded():
    assert len(KERAS["layers"]) >= 60
    assert len(TORCH["layers"]) >= 60
    assert sum(not both_above_one(case["config"]) for case in TORCH["layers"]) >= 30
    assert {case["config"]["data_format"] for case in TORCH["layers"]} == {"channels_first", "channels_last"}


@pytest.mark.parametrize("page", KERAS["pages"], ids=lambda page: str(page["shape"]))
def test_examples_of_the_keras_page(page):
    y = Conv3D(2, 3, activation="relu", input_shape=page["shape"][1:])(np.zeros(page["shape"], np.float32))
    assert list(y.shape) == page["output_shape"]


@pytest.mark.parametrize("row", KERAS["configs"], ids=lambda row: json.dumps(row["given"]))
def test_get_config_is_that_of_keras(row):
    config = Conv3D(**row["given"]).get_config()
    recorded = row["config"]
    if "name" not in row["given"]:
        # Keras counts the layers of the process.
        recorded = {**recorded, "name": "conv3d"}
    assert json.loads(json.dumps(config)) == recorded
    assert list(config) == list(recorded)


@pytest.mark.parametrize("row", KERAS["errors"], ids=lambda row: json.dumps([row["change"], row["shape"]]))
def test_errors_are_of_the_types_of_keras(row):
    argument = next(iter(row["change"]), None)
    raised = None
    try:
        layer = Conv3D(**{"filters": 2, "kernel_size": 3, **row["change"]})
        if row["shape"] is not None:
            layer.build(row["shape"])
            if None not in row["shape"]:
                assert list(layer(np.zeros(row["shape"])).shape) == row["output_shape"]
    except (ValueError, TypeError) as error:
        raised = error
    kinds = {"ValueError": ValueError, "TypeError": TypeError}
    if row["type"] in kinds and isinstance(raised, kinds[row["type"]]):
        assert "\n" not in str(raised)
    elif row["type"] is None and raised is not None:
        assert isinstance(raised, ValueError)
        assert argument in ACCEPTED_BY_KERAS
    elif row["type"] is not None:
        assert isinstance(raised, ValueError)
        assert argument in OTHER_TYPE
    else:
        assert raised is None
