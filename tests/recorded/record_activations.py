"""Record what Keras does with activations, in either of its dialects.

Run with TensorFlow 2.4.4 (Python 3.8, ``pip install tensorflow==2.4.4 'protobuf<3.21'``) and with Keras 3.15 on
TensorFlow 2.21: each writes the json (what get_config of a Conv3D says, versions) and the npz (values) of its own
dialect beside this file, activations_2 or activations_3.
"""

import json
import os
import platform
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"

import cases
import cases_activations as more
import numpy as np
import tensorflow as tf

HERE = Path(__file__).parent
KERAS = 3 if hasattr(tf.keras, "ops") else 2
layers = tf.keras.layers


def callable_of(value, dtype):
    """Return the function or the layer of a case."""
    if isinstance(value, str):
        return tf.keras.activations.get(value)
    name, config = value["class_name"], value["config"]
    if name[0].isupper():
        return getattr(layers, name)(dtype=dtype, **config)
    function = tf.keras.activations.get(name)
    return lambda x: function(x, **config)


def layer_of(name, config):
    """Return an activation layer, its own arguments read as names."""
    return getattr(layers, name)(**config)


def values(arrays):
    for dtype in ("float32", "float64"):
        grid = tf.constant(cases.GRID.astype(dtype))
        for i, value in enumerate(more.ELEMENTWISE if KERAS == 3 else []):
            arrays[f"elementwise/{i}/{dtype}"] = callable_of(value, dtype)(grid).numpy()
        for i, value in enumerate(more.ALONG_AXES[KERAS]):
            x = tf.constant(more.block(i, dtype))
            arrays[f"along/{i}/{dtype}"] = callable_of(value, dtype)(x).numpy()
        for i, config in enumerate(more.PRELU):
            x, alpha = more.prelu_arrays(i, dtype)
            layer = layers.PReLU(dtype=dtype, **config)
            layer.build(x.shape)
            assert layer.alpha.shape == alpha.shape, (layer.alpha.shape, alpha.shape)
            layer.set_weights([alpha])
            arrays[f"prelu/{i}/{dtype}"] = layer(tf.constant(x)).numpy()


def plain(value):
    """Return a configuration without the containers and number types of TensorFlow."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value.item() if isinstance(value, (np.ndarray, np.generic)) else value


def written(activation):
    return plain(layers.Conv3D(2, 3, activation=activation).get_config()["activation"])


def configs():
    names = [{"given": name, "written": written(name)} for name in more.NAMES[KERAS]]
    objects = [
        {"class_name": name, "config": config, "written": written(layer_of(name, config))}
        for name, config in more.LAYERS[KERAS]
    ]

    def my_function(x):
        return x

    return {"names": names, "objects": objects, "function": written(my_function)}


def errors():
    """Record which of the given names and objects Keras refuses, and what kind of error it raises."""
    recorded = []
    for given in more.REFUSED[KERAS]:
        try:
            layers.Conv3D(2, 3, activation=given)(tf.zeros((1, 3, 3, 3, 1)))
        except Exception as error:
            recorded.append({"given": given, "type": type(error).__name__, "message": str(error)[:160]})
        else:
            recorded.append({"given": given, "type": None, "message": ""})
    return recorded


if __name__ == "__main__":
    arrays = {}
    values(arrays)
    record = {
        "versions": {
            "tensorflow": tf.__version__,
            "keras": tf.keras.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
        **configs(),
        "errors": errors(),
    }
    np.savez_compressed(HERE / f"activations_{KERAS}.npz", **arrays)
    lines = ",\n".join(
        json.dumps(key)
        + ": "
        + ("[\n" + ",\n".join(map(json.dumps, value)) + "\n]" if isinstance(value, list) else json.dumps(value))
        for key, value in record.items()
    )
    (HERE / f"activations_{KERAS}.json").write_text("{\n" + lines + "\n}\n")
    print(len(arrays), "arrays")
