"""Record gradients from TensorFlow 2.4.4, Keras 3 and PyTorch: run it once in an environment of each.

Each run replaces its own section of gradients.json (versions, cases) and gradients.npz (values) beside this file.
Inputs, weights and upstream gradients are drawn again from the seed of a case; those of the activations' grid are 1.
"""

import json
import platform
import sys
from pathlib import Path

import cases
import numpy as np

HERE = Path(__file__).parent

KERAS_2 = [
    *[row for row in cases.ACTIVATIONS if row != "linear"],
    {"class_name": "relu", "config": {"threshold": 1.0}},
    {"class_name": "relu", "config": {"max_value": 6.0, "threshold": -2.0}},
    {"class_name": "relu", "config": {"alpha": 0.25, "max_value": 6.0}},
    {"class_name": "PReLU", "config": {"alpha_initializer": {"class_name": "Constant", "config": {"value": 0.25}}}},
]
KERAS_3 = [
    *["relu", "relu6", "leaky_relu", "celu", "elu", "selu", "softplus", "softsign", "silu", "gelu", "tanh", "sigmoid"],
    *["exponential", "hard_sigmoid", "hard_silu", "hard_tanh", "hard_shrink", "soft_shrink", "tanh_shrink"],
    *["log_sigmoid", "mish", "squareplus", "sparse_plus", "sparse_sigmoid"],
    {"class_name": "relu", "config": {"negative_slope": 0.5, "max_value": 2.0, "threshold": 1.0}},
    {"class_name": "leaky_relu", "config": {"negative_slope": 0.5}},
    {"class_name": "celu", "config": {"alpha": 0.5}},
    {"class_name": "gelu", "config": {"approximate": True}},
    {"class_name": "hard_shrink", "config": {"threshold": 2.0}},
    {"class_name": "soft_shrink", "config": {"threshold": 2.0}},
    {"class_name": "squareplus", "config": {"b": 1.0}},
    {"class_name": "threshold", "config": {"threshold": 1.0, "default_value": -2.0}},
    {"class_name": "LeakyReLU", "config": {"negative_slope": 0.25}},
    {"class_name": "ReLU", "config": {"max_value": 3.0, "negative_slope": 0.25, "threshold": 0.5}},
    {"class_name": "PReLU", "config": {"alpha_initializer": {"class_name": "Constant", "config": {"value": 0.25}}}},
]
MIXED_2 = cases.SOFTMAX
MIXED_3 = [
    *["softmax", "log_softmax", "glu"],
    *[{"class_name": name, "config": {"axis": axis}} for name in ("softmax", "log_softmax", "glu") for axis in (-2, 1)],
    {"class_name": "Softmax", "config": {"axis": [1, -1]}},
]
SHAPE = (2, 4, 3, 6, 4)


def save(section, arrays, **found):
    path, values = HERE / "gradients.json", HERE / "gradients.npz"
    document = json.loads(path.read_text()) if path.exists() else {}
    document[section] = found
    kept = dict(np.load(values)) if values.exists() else {}
    kept = {key: array for key, array in kept.items() if not key.startswith(section + "/")}
    kept.update({section + "/" + key: array for key, array in arrays.items()})
    np.savez_compressed(values, **kept)
    lines = [json.dumps(name) + ": " + json.dumps(document[name]) for name in sorted(document)]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(section, len(arrays), "arrays")


def function(keras, row):
    """Return the activation that a row of the lists means; layers have a name that begins with a capital."""
    name, config = (row, {}) if isinstance(row, str) else (row["class_name"], dict(row["config"]))
    if not name[0].isupper():
        call = getattr(keras.activations, name)
        return lambda x: call(x, **config)
    return getattr(keras.layers, name).from_config(config)


def of_activations(tf, keras, rows, mixed):
    arrays = {}
    for i, row in enumerate(rows):
        x = tf.constant(cases.GRID[np.newaxis], tf.float32)
        call = function(keras, row)
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = call(x)
        arrays[f"grid/{i}"] = tape.gradient(y, x).numpy()[0]
    for i, row in enumerate(mixed):
        x = tf.constant(cases.draw(i, [SHAPE], "float32")[0])
        call = function(keras, row)
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = call(x)
        upstream = cases.draw(i + 500, [y.shape], "float32")[0]
        arrays[f"mixed/{i}"] = tape.gradient(y, x, upstream).numpy()
    return arrays


def tensorflow(tf, keras):
    old = tf.__version__.startswith("2.4.")
    rows, mixed = (KERAS_2, MIXED_2) if old else (KERAS_3, MIXED_3)
    arrays = of_activations(tf, keras, rows, mixed)
    found = cases.layer_cases(3, 30, groups=False, most=150) if old else []
    done = [case for case in found if keras_layer(tf, keras, case, arrays)]
    versions = {"tensorflow": tf.__version__, "keras": keras.__version__}
    save(
        "keras2" if old else "keras3",
        arrays,
        versions={**versions, "numpy": np.__version__, "python": platform.python_version()},
        grid=rows,
        mixed=mixed,
        layers=done,
    )


def keras_layer(tf, keras, case, arrays):
    x, kernel, bias = cases.case_arrays(case)
    layer = keras.layers.Conv3D(**case["config"])
    layer.build(x.shape)
    layer.set_weights([kernel, bias][: 1 + layer.use_bias])
    x = tf.constant(x)
    try:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
        upstream = cases.draw(case["seed"] + 500, [y.shape], case["config"]["dtype"])[0]
        gradients = tape.gradient(y, [x, *layer.trainable_variables], upstream)
    except tf.errors.OpError as error:
        print("skipped:", case["config"], str(error).splitlines()[0])
        return False
    for name, gradient in zip(("input", "kernel", "bias"), gradients):  # noqa: B905 - Python 3.8
        arrays[f"{case['seed']}/{name}"] = gradient.numpy()
    return True


def torch_layer(torch, case, x, kernel, bias):
    from record_torch import same

    config = case["config"]
    first = config["data_format"] == "channels_first"
    axes = ("kernel_size", "strides", "dilation_rate")
    merged = x.reshape(-1, *x.shape[-4:])
    merged = merged if first else merged.permute(0, 4, 1, 2, 3)
    if config["padding"] == "same":
        sizes = zip(merged.shape[2:], *(config[axis] for axis in axes))  # noqa: B905 - Python 3.8
        pads = [same(*axis) for axis in sizes]
        merged = torch.nn.functional.pad(merged, [zeros for pair in reversed(pads) for zeros in pair])
    y = torch.nn.functional.conv3d(
        merged,
        kernel.permute(4, 3, 0, 1, 2),
        bias if config["use_bias"] else None,
        stride=config["strides"],
        dilation=config["dilation_rate"],
        groups=config["groups"],
    )
    y = y if first else y.permute(0, 2, 3, 4, 1)
    return y.reshape(*x.shape[:-4], *y.shape[1:])


def pytorch(torch):
    arrays = {}
    found = cases.layer_cases(4, 40, groups=True, most=150)
    for case in found:
        leaves = [torch.from_numpy(a).requires_grad_() for a in cases.case_arrays(case)]
        y = torch_layer(torch, case, *leaves)
        upstream = cases.draw(case["seed"] + 500, [tuple(y.shape)], case["config"]["dtype"])[0]
        y.backward(torch.from_numpy(upstream))
        for name, leaf in zip(("input", "kernel", "bias"), leaves):  # noqa: B905 - Python 3.8
            if leaf.grad is not None:
                arrays[f"{case['seed']}/{name}"] = leaf.grad.numpy()
    versions = {"torch": torch.__version__, "numpy": np.__version__, "python": platform.python_version()}
    save("torch", arrays, versions=versions, layers=found)


if __name__ == "__main__":
    if sys.argv[1:] == ["torch"]:
        import torch

        pytorch(torch)
    else:
        import tensorflow as tf

        tensorflow(tf, tf.keras)
