"""Record what layers of Keras write, charge, refuse and compute, in either of its dialects.

Run once with TensorFlow 2.4.4 (Python 3.8, ``'protobuf<3.21'``) and once with Keras 3.15 on TensorFlow 2.21; each run
writes its own half of layers.json and layers.npz beside this file and leaves the other.
"""

import json
import os
import platform
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"

import cases
import cases_layers as more
import numpy as np
import tensorflow as tf
from record_activations import plain
from record_keras import ERRORS

if tf.__version__.startswith("2.4"):
    keras, DIALECT = tf.keras, 2
else:
    import keras

    DIALECT = 3

HERE = Path(__file__).parent
Conv3D = keras.layers.Conv3D
arrays = {}


def kept(function):
    """Return what a function returns, or the kind of error that it raises."""
    try:
        return function()
    except Exception as error:
        return {"error": type(error).__name__, "message": str(error)[:120]}


def activation(value):
    return getattr(keras.layers, value["class_name"])(**value["config"]) if isinstance(value, dict) else value


def conv(given):
    keras.backend.clear_session()
    config = json.loads(json.dumps(given))
    if "activation" in config:
        config["activation"] = activation(config["activation"])
    return Conv3D(**config)


def reset(layer, seed):
    """Give a built layer the weights of a seed."""
    layer.set_weights(cases.draw(seed, [tuple(w.shape) for w in layer.weights], "float64"))


def configs():
    return [
        {"given": given, **kept(lambda given=given: {"config": plain(conv(given).get_config())})}
        for given in more.configs(DIALECT)
    ]


def called(layer, shape, seed):
    """Return the output of a layer for the numbers of a seed, with the weights of another, called twice."""
    dtype = getattr(layer, "compute_dtype", None) or layer.dtype
    x = tf.constant(cases.draw(seed, [shape], "float64")[0].astype(dtype))
    layer(x)
    reset(layer, seed + 1)
    return np.array(layer(x))


def losses():
    def one(given, shape, seed):
        layer = conv(given)
        called(layer, shape, seed)
        return {
            "losses": [float(loss) for loss in layer.losses],
            "weights": [list(w.shape) for w in layer.weights],
            "count": layer.count_params(),
        }

    return [kept(lambda c=case, i=i: one(*c, i)) for i, case in enumerate(more.LOSSES)]


def values(key, layers):
    """Record the outputs of layers; those that the framework cannot run are named."""
    refused = {}
    for i, (make, shape) in enumerate(layers):
        found = kept(lambda make=make, shape=shape, i=i: called(make(), shape, i))
        if isinstance(found, dict):
            refused[str(i)] = found["error"]
        else:
            arrays[f"{DIALECT}/{key}/{i}"] = found
    return refused


def prelu():
    found = []
    for i, config in enumerate(more.PRELU):
        for where in ("inside", "beside"):
            layer = conv(more.conv(activation=more.mapping("PReLU", **config)))
            if where == "beside":
                layer = keras.Sequential([conv(more.conv()), keras.layers.PReLU(**config)])
            arrays[f"{DIALECT}/prelu/{where}/{i}"] = called(layer, more.PRELU_SHAPE, i)
            shapes = [list(w.shape) for w in layer.weights]
            found.append({"where": where, "config": config, "weights": shapes, "count": layer.count_params()})
    return found


def set_weights():
    rows = []
    for shapes in more.SET_WEIGHTS:
        layer = conv(more.conv())
        layer.build((1, 5, 5, 5, 1))
        given = [np.zeros(shape, np.float32) for shape in shapes]
        rows.append({"shapes": shapes, **(kept(lambda layer=layer, given=given: layer.set_weights(given)) or {})})
    return rows


def errors():
    rows = []
    for change, shape in ERRORS:

        def attempt(change=change, shape=shape):
            layer = conv({**more.conv(), **change})
            if shape is None:
                return {}
            layer.build(tuple(shape))
            return {} if None in shape else {"output_shape": list(layer(np.zeros(shape, np.float32)).shape)}

        rows.append({"change": change, "shape": shape, **kept(attempt)})
    return rows


def calls():
    rows = []
    for shape, then, dtype in more.CALLS:
        layer = conv(more.conv())
        layer(np.zeros(shape, np.float32))
        found = kept(
            lambda layer=layer, then=then, dtype=dtype: {"output_shape": list(layer(np.ones(then, dtype)).shape)}
        )
        rows.append({"built": shape, "shape": then, "dtype": dtype, **found})
    return rows


def others():
    rows = []
    for i, (name, config, shape) in enumerate(more.others(DIALECT)):

        def attempt(i=i, name=name, config=config, shape=shape):
            keras.backend.clear_session()
            layer = getattr(keras.layers, name)(**json.loads(json.dumps(config)))
            written = plain(layer.get_config())
            if shape is None:
                return {"config": written}
            arrays[f"{DIALECT}/others/{i}"] = called(layer, shape, i)
            return {"config": written, "weights": [list(w.shape) for w in layer.weights]}

        rows.append({"class_name": name, "given": config, "shape": shape, **kept(attempt)})
    return rows


def main():
    different = [
        (lambda value=value: conv(more.conv(4, 2, activation=value)), more.DIFFERENT_SHAPE) for value in more.DIFFERENT
    ]
    half = [(lambda given=given: conv({**given, "dtype": "float16"}), shape) for given, shape in more.FLOAT16]
    record = {
        "versions": {"tensorflow": tf.__version__, "keras": keras.__version__, "python": platform.python_version()},
        "configs": configs(),
        "losses": losses(),
        "prelu": prelu(),
        "set_weights": set_weights(),
        "errors": errors(),
        "calls": calls(),
        "others": others(),
        "different": values("different", different),
        "float16": values("float16", half),
    }
    path, stored = HERE / "layers.json", {}
    if path.exists():
        stored = json.loads(path.read_text())
        with np.load(HERE / "layers.npz") as old:
            arrays.update({key: old[key] for key in old.files if not key.startswith(f"{DIALECT}/")})
    stored[str(DIALECT)] = record
    path.write_text("{\n" + ",\n".join(f'"{key}": {lines(half)}' for key, half in sorted(stored.items())) + "\n}\n")
    np.savez_compressed(HERE / "layers.npz", **dict(sorted(arrays.items())))
    print(len(arrays), "arrays")


def lines(half):
    parts = [
        json.dumps(key)
        + ": "
        + ("[\n" + ",\n".join(map(json.dumps, value)) + "\n]" if isinstance(value, list) else json.dumps(value))
        for key, value in half.items()
    ]
    return "{\n" + ",\n".join(parts) + "\n}"


main()
