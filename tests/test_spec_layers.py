"""Specs with layers of every class, as each dialect of Keras writes them, and layers with PyTorch's rules."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from schemas import validator

from conv3d_cli.errors import SpecError
from conv3d_cli.layers import LAYERS, Conv3D, Network, make_layer
from conv3d_cli.spec import json_schema, load_spec

SCHEMA = validator(json_schema())
RECORDED = json.loads((Path(__file__).parent / "recorded" / "layers.json").read_text())
DIALECTS = (2, 3)

CONFIGS = {
    "Conv3D": {"filters": 2, "kernel_size": 3},
    "Convolution3D": {"filters": 2, "kernel_size": [1, 2, 3], "name": "edges"},
    "InputLayer": {"batch_input_shape": [None, 8, 8, 8, 2]},
    "Activation": {"activation": "relu"},
    **{name: {"rate": 0.5} for name in ("Dropout", "SpatialDropout3D", "GaussianDropout", "AlphaDropout")},
    "GaussianNoise": {"stddev": 0.5},
    "ZeroPadding3D": {"padding": [[1, 2], 0, 1]},
    "Cropping3D": {"cropping": 1},
    "PReLU": {"shared_axes": [1, 2, 3], "alpha_initializer": {"class_name": "Constant", "config": {"value": 0.5}}},
    "Softmax": {"axis": [1, 2]},
    "LeakyReLU": {"alpha": 0.25},
    "Magnitude": {"parts": 2},
    **{name: {} for name in ("ReLU", "ELU", "ThresholdedReLU")},
}


@pytest.fixture
def spec(tmp_path):
    def load(text):
        path = tmp_path / "row.yaml"
        path.write_text(text if isinstance(text, str) else json.dumps(text))
        return load_spec(str(path))

    return load


def accepted(spec, document):
    """Load a document that the schema must accept as well."""
    SCHEMA.validate(yaml.safe_load(document) if isinstance(document, str) else json.loads(json.dumps(document)))
    return spec(document).network


def test_every_class_is_here():
    assert set(CONFIGS) == set(LAYERS)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("keras", DIALECTS)
@pytest.mark.parametrize("alone", [True, False])
def test_every_class_by_its_name_and_config(spec, name, keras, alone):
    layer = {"class_name": name, "config": CONFIGS[name]}
    document = (
        {"keras": keras, **layer} if alone else {"keras": keras, "layers": [layer, {"filters": 3, "kernel_size": 1}]}
    )
    if (name, keras) == ("ThresholdedReLU", 3):
        with pytest.raises(SpecError, match="is of keras: 2"):
            spec(document)
        return
    made = accepted(spec, document)[0]
    assert type(made) is LAYERS[name]
    assert made.keras == keras
    assert made.get_config() == make_layer(name, CONFIGS[name], keras).get_config()


@pytest.mark.parametrize("keras", DIALECTS)
def test_what_keras_writes_of_other_layers_is_read(spec, keras):
    for row in RECORDED[str(keras)]["others"]:
        strict = row["class_name"] == "Dropout" and not 0 <= row["given"].get("rate", 0) <= 1
        if "error" in row or strict or row["given"].get("cropping") == -1:
            continue
        layer = {"class_name": row["class_name"], "config": row["config"]}
        if keras == 3:
            layer |= {"module": "keras.layers", "registered_name": None}
        made = accepted(spec, {"keras": keras, "layers": [layer]})[0]
        assert json.dumps(made.get_config()) == json.dumps(row["config"])


@pytest.mark.parametrize("keras", DIALECTS)
def test_what_keras_writes_of_conv3d_is_read(spec, keras):
    for row in RECORDED[str(keras)]["configs"][::4]:
        if "error" not in row:
            layer = {"class_name": "Conv3D", "config": row["config"]}
            made = accepted(spec, {"keras": keras, "layers": [layer]})[0]
            assert json.dumps(made.get_config()) == json.dumps(row["config"])


def test_the_dialect_decides_what_a_name_means(spec):
    text = "keras: {}\nfilters: 1\nkernel_size: 1\nactivation: hard_sigmoid\n"
    two, three = (accepted(spec, text.format(keras)) for keras in DIALECTS)
    x = np.ones((1, 1, 1, 1, 1))
    for network in (two, three):
        network.build(1)
        network[0].set_weights([np.ones((1, 1, 1, 1, 1)), [0]])
    np.testing.assert_allclose([two(x).item(), three(x).item()], [0.7, 4 / 6], rtol=1e-6)


TORCH = [
    "padding: 1\n",
    "padding: [1, 0, 2]\nstrides: 2\ndilation_rate: 2\n",
    "padding: [[1, 2], [0, 0], 3]\nstrides: [1, 2, 1]\n",
    "padding: same\ndilation_rate: 3\n",
    "padding: valid\nstrides: 2\ndilation_rate: [1, 1, 2]\n",
]


@pytest.mark.parametrize("text", TORCH)
def test_layers_with_the_rules_of_pytorch(spec, text):
    config = yaml.safe_load(text)
    text = "filters: 2\nkernel_size: 3\ndialect: torch\n" + text
    [layer] = accepted(spec, text)
    assert layer.dialect == "torch"
    assert layer.get_config() == Conv3D(2, 3, dialect="torch", **config).get_config()
    if "same" not in text:
        with pytest.raises(SpecError, match=r":\d+:\d+: (padding|strides): "):
            spec(text.replace("dialect: torch\n", ""))
    again = accepted(spec, {"class_name": "Conv3D", "config": layer.get_config()})[0]
    assert again.get_config() == layer.get_config()


def test_a_row_of_all_of_them(spec):
    row = [{"class_name": name, "config": CONFIGS[name]} for name in CONFIGS]
    network = accepted(spec, {"layers": row})
    assert isinstance(network, Network)
    assert [layer.name for layer in network] == [
        *["conv3d", "edges", "input_layer", "activation", "dropout", "spatial_dropout3d", "gaussian_dropout"],
        *["alpha_dropout", "gaussian_noise", "zero_padding3d", "cropping3d", "p_re_lu", "softmax", "leaky_re_lu"],
        *["magnitude", "re_lu", "elu", "thresholded_re_lu"],
    ]
    network.build(1)
    assert network(np.ones((1, 9, 9, 9, 1))).shape == network.compute_output_shape((1, 9, 9, 9, 1)) == (1, 8, 4, 5, 1)


def test_a_spatial_dropout_fits_either_format(spec):
    """Keras 2 does not write its data_format, so that a file with channels_first says nothing of it."""
    dropout = {"class_name": "SpatialDropout3D", "config": {"rate": 0.5}}
    for data_format in ("channels_last", "channels_first"):
        row = [dropout, {"filters": 2, "kernel_size": 3, "data_format": data_format}, dropout]
        assert accepted(spec, {"layers": row}).data_format == data_format
