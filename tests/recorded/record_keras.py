"""Record what TensorFlow's own Conv3D does: run with Python 3.8, ``pip install tensorflow==2.4.4 'protobuf<3.21'``.

Writes keras.json (configurations, shapes, errors, versions) and keras.npz (values) beside this file.
"""

import json
import os
import platform
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import cases
import numpy as np
import tensorflow as tf

HERE = Path(__file__).parent
Conv3D = tf.keras.layers.Conv3D
arrays = {}


def layers():
    recorded = []
    for case in cases.layer_cases(1, 90, groups=False):
        x, kernel, bias = cases.case_arrays(case)
        layer = Conv3D(**case["config"])
        layer.build(x.shape)
        layer.set_weights([kernel, bias] if layer.use_bias else [kernel])
        try:
            y = layer(x).numpy()
        except (tf.errors.OpError, ValueError, NotImplementedError) as error:
            print("not run by this TensorFlow:", case["config"], str(error)[:100])
            continue
        arrays[f"layer/{case['seed']}"] = y
        recorded.append({**case, "output_shape": list(y.shape)})
    return recorded


def activation(value):
    if isinstance(value, str):
        return tf.keras.activations.get(value)
    if value["class_name"][0].isupper():
        return getattr(tf.keras.layers, value["class_name"])(dtype="float64", **value["config"])
    function = tf.keras.activations.get(value["class_name"])
    return lambda x: function(x, **value["config"])


def activations():
    for dtype in ("float32", "float64"):
        grid = cases.GRID.astype(dtype)
        for i, value in enumerate(cases.ACTIVATIONS):
            function = activation(value)
            if hasattr(function, "_set_dtype_policy"):
                function._set_dtype_policy(dtype)
            arrays[f"activation/{i}/{dtype}"] = function(tf.constant(grid)).numpy()
        for i, value in enumerate(cases.SOFTMAX):
            function = activation(value)
            if hasattr(function, "_set_dtype_policy"):
                function._set_dtype_policy(dtype)
            x = 5 * cases.draw(i, [(1, 2, 3, 2, 2)], dtype)[0]
            arrays[f"softmax/{i}/{dtype}"] = function(tf.constant(x)).numpy()


def initializer(value, seed):
    config = dict(value["config"])
    if value["class_name"] not in cases.UNSEEDED:
        config["seed"] = seed
    return tf.keras.initializers.get({"class_name": value["class_name"], "config": config})


def initializers():
    for i, value in enumerate(cases.INITIALIZERS):
        for seed in cases.SEEDS[: 1 if value["class_name"] in cases.UNSEEDED else None]:
            for j, shape in enumerate(cases.INITIALIZER_SHAPES):
                if value["class_name"] == "Orthogonal" and len(shape) < 2:
                    continue
                for dtype in ("float32", "float64"):
                    key = f"initializer/{i}/{seed}/{j}/{dtype}"
                    arrays[key] = initializer(value, seed)(shape, dtype).numpy()
    for name in ("RandomUniform", "RandomNormal", "TruncatedNormal"):
        for dtype in ("float32", "float64"):
            drawn = initializer({"class_name": name, "config": {}}, 11)((cases.LONG,), dtype).numpy()
            arrays[f"long/{name}/{dtype}"] = drawn[:: cases.STEP]


CONFIGS = [
    {"filters": 2, "kernel_size": 3},
    {"filters": 8, "kernel_size": [1, 2, 3], "strides": 2, "padding": "SAME", "name": "edges"},
    {
        "filters": 4,
        "kernel_size": 3,
        "dilation_rate": [1, 2, 1],
        "groups": 2,
        "data_format": "Channels_First",
    },
    {"filters": 4, "kernel_size": 3, "activation": "relu", "use_bias": False, "trainable": False},
    {
        "filters": 4,
        "kernel_size": 3,
        "dtype": "float64",
        "input_shape": [None, 5, 6, 3],
        "activation": "gelu",
    },
    {"filters": 4, "kernel_size": 3, "batch_input_shape": [2, 7, 5, 6, 7, 3]},
    *[
        {"filters": 1, "kernel_size": 1, "kernel_initializer": name, "bias_initializer": "ones"}
        for name in [
            *["zeros", "ones", "constant", "random_normal", "random_uniform", "truncated_normal"],
            *["variance_scaling", "glorot_normal", "glorot_uniform", "he_normal", "he_uniform"],
            *["lecun_normal", "lecun_uniform", "orthogonal", "zero", "one", "normal", "uniform"],
            *["HeNormalV2", "he_normalV2", "GlorotUniform"],
        ]
    ],
    {
        "filters": 1,
        "kernel_size": 1,
        "kernel_initializer": {
            "class_name": "VarianceScaling",
            "config": {"scale": 2.0, "mode": "fan_out", "distribution": "Normal", "seed": 3},
        },
    },
]

ERRORS = [
    ({"padding": "causal"}, None),
    ({"padding": "full"}, None),
    ({"padding": ["same"]}, None),
    ({"padding": None}, None),
    ({"strides": 2, "dilation_rate": 2}, None),
    ({"strides": [1, 1, 2], "dilation_rate": [2, 1, 1]}, None),
    ({"data_format": "NCDHW"}, None),
    ({"groups": 2}, [1, 4, 4, 4, 3]),
    ({"groups": 3}, None),
    ({"groups": 0}, None),
    ({"filters": 0}, None),
    ({"filters": -1}, None),
    ({"filters": "2"}, None),
    ({"filters": "two"}, None),
    ({"filters": None}, [1, 4, 4, 4, 1]),
    ({"filters": 2.0}, None),
    ({"filters": 2.5}, None),
    ({"kernel_size": 0}, None),
    ({"kernel_size": [3, 0, 3]}, None),
    ({"kernel_size": -1}, None),
    ({"kernel_size": 1.5}, None),
    ({"kernel_size": [1.5, 1, 1]}, None),
    ({"kernel_size": 3.0}, None),
    ({"kernel_size": [3, 3]}, None),
    ({"kernel_size": [3, 3, 3, 3]}, None),
    ({"kernel_size": "3"}, None),
    ({"kernel_size": None}, None),
    ({"strides": 0}, [1, 4, 4, 4, 1]),
    ({"strides": [1, -1, 1]}, [1, 4, 4, 4, 1]),
    ({"strides": [1, 1]}, None),
    ({"strides": "a"}, None),
    ({"dilation_rate": 0}, [1, 4, 4, 4, 1]),
    ({"dilation_rate": [1, 1]}, None),
    ({"activation": "rellu"}, None),
    ({"activation": "ReLU"}, None),
    ({"activation": {"class_name": "Nope", "config": {}}}, None),
    ({"kernel_initializer": "glorot"}, None),
    ({"kernel_initializer": {"class_name": "Nope", "config": {}}}, None),
    ({"kernel_initializer": {"class_name": "HeNormal", "config": {"stddev": 1}}}, None),
    ({"kernel_initializer": {"class_name": "VarianceScaling", "config": {"scale": -1.0}}}, None),
    ({"kernel_initializer": {"class_name": "VarianceScaling", "config": {"mode": "fan"}}}, None),
    ({"kernel_initializer": {"class_name": "VarianceScaling", "config": {"distribution": "x"}}}, None),
    ({"kernel_initializer": "identity"}, [1, 4, 4, 4, 1]),
    ({"bias_initializer": "orthogonal"}, [1, 4, 4, 4, 1]),
    ({"bias_initializer": "nope"}, None),
    ({"kernel_regularizer": "nope"}, None),
    ({"kernel_constraint": "nope"}, None),
    ({"kernal_size": 3}, None),
    ({"dtype": "float"}, None),
    ({"dtype": "nope"}, None),
    ({}, [4, 4, 4, 1]),
    ({}, [1, 4, 4, 4, None]),
    ({"kernel_size": 6}, [1, 4, 4, 4, 1]),
    ({"kernel_size": 3, "dilation_rate": 3}, [1, 5, 5, 5, 1]),
    ({"kernel_size": 5}, [1, 4, 4, 4, 1]),
    ({"kernel_size": 7, "strides": 2}, [1, 4, 4, 4, 1]),
    ({"kernel_size": 6, "strides": 2}, [1, 4, 4, 4, 1]),
    ({"kernel_size": 5}, [1, 4, 9, 4, 1]),
]


def errors():
    recorded = []
    for change, shape in ERRORS:
        row = {
            "change": change,
            "shape": shape,
            "stage": None,
            "type": None,
            "message": "",
            "output_shape": None,
        }
        try:
            layer = Conv3D(**{"filters": 2, "kernel_size": 3, **change})
        except Exception as error:
            row.update(stage="C", type=type(error).__name__, message=str(error)[:160])
            recorded.append(row)
            continue
        if shape is not None:
            try:
                layer.build(shape)
                if None not in shape:
                    row["output_shape"] = list(layer(np.zeros(shape, np.float32)).shape)
            except Exception as error:
                row.update(stage="B", type=type(error).__name__, message=str(error)[:160])
        recorded.append(row)
    return recorded


def pages():
    rows = []
    for shape in [(4, 28, 28, 28, 1), (4, 7, 28, 28, 28, 1)]:
        y = Conv3D(2, 3, activation="relu", input_shape=shape[1:])(tf.zeros(shape))
        rows.append({"shape": shape, "output_shape": list(y.shape)})
    return rows


if __name__ == "__main__":
    record = {
        "versions": {
            "tensorflow": tf.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
        "layers": layers(),
        "pages": pages(),
        "configs": [{"given": given, "config": Conv3D(**given).get_config()} for given in CONFIGS],
        "errors": errors(),
    }
    activations()
    initializers()
    np.savez_compressed(HERE / "keras.npz", **arrays)
    lines = ",\n".join(
        json.dumps(key)
        + ": "
        + (json.dumps(value) if isinstance(value, dict) else "[\n" + ",\n".join(map(json.dumps, value)) + "\n]")
        for key, value in record.items()
    )
    (HERE / "keras.json").write_text("{\n" + lines + "\n}\n")
    print(len(record["layers"]), "layers,", len(record["errors"]), "errors,", len(arrays), "arrays")
