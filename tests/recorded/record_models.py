"""Record model files as three releases of Keras write them, and what the models return.

Run once with each: Python 3.8 and ``pip install tensorflow==2.4.4 'protobuf<3.21'``; Python 3.8 and
``pip install tensorflow==2.12.0``; Python 3.11 and ``pip install tensorflow==2.21.0 keras==3.15.1``.
Writes models/<release>/ with the files, and models/<release>.json and .npz with versions, inputs and outputs.
"""

import json
import os
import platform
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
import tensorflow as tf

try:
    import keras

    THREE = keras.__version__.startswith("3.")
except ImportError:
    THREE = False
K = keras if THREE else tf.keras
L = K.layers
VERSION = K.__version__
RELEASE = "keras" + "".join(VERSION.split(".")[:2])
HERE = Path(__file__).parent / "models"

#: What is kept of each model by each release; every layout is there, not every pair.
FILES = {
    "keras24": {"row": (".h5", ".json", "_weights.h5"), "nested": (".h5", ".json"), "unet": (".h5",)},
    "keras212": {"row": (".keras", ".weights.h5"), "nested": (".keras", ".h5"), "unet": (".keras", ".weights.h5")},
    "keras315": {
        "row": (".keras", ".h5", ".json", ".weights.h5"),
        "nested": (".keras", ".h5"),
        "unet": (".keras", ".weights.h5", ".json"),
    },
}
INPUTS = {"row": (1, 6, 7, 8, 2), "nested": (2, 6, 5, 6, 1), "unet": (1, 4, 4, 4, 1)}


def row():
    """Every layer runs: convolutions of many settings, and the layers without weights between them."""
    return K.Sequential(
        [
            K.Input((None, None, None, 2)),
            L.ZeroPadding3D((1, 0, 2), name="pad"),
            L.Conv3D(4, (3, 2, 1), groups=1, activation="relu", name="first"),
            L.Dropout(0.5, name="drop"),
            L.Conv3D(3, 3, padding="same", dilation_rate=(1, 2, 1), use_bias=False, name="middle"),
            L.Activation("hard_sigmoid", name="hard"),
            L.PReLU(shared_axes=[1, 2, 3], name="slopes"),
            L.Cropping3D(((1, 0), (0, 1), (1, 1)), name="crop"),
            L.Conv3D(2, 2, strides=(1, 2, 1), padding="same", activation="softplus", name="last"),
        ],
        name="row",
    )


def nested():
    """Models in models in a row; names repeat from one to the next."""
    inner = [K.Input((None, None, None, 3)), L.Conv3D(2, 1, name="conv"), L.ReLU(name="relu")]
    inner = K.Sequential(inner, name="inner")
    image = K.Input((None, None, None, 2))
    x = inner(L.Conv3D(3, 2, name="into")(image))
    deep = K.Model(image, L.Conv3D(1, 3, padding="same", name="out")(x), name="decoder")
    encoder = K.Sequential(
        [
            K.Input((None, None, None, 1)),
            L.Conv3D(2, 3, padding="same", activation="tanh", name="conv_a"),
            L.SpatialDropout3D(0.2, name="drop"),
            L.Conv3D(2, 1, name="conv_b"),
        ],
        name="encoder",
    )
    image = K.Input((None, None, None, 1))
    x = L.Conv3D(1, 1, name="before")(image)
    return K.Model(image, deep(L.LeakyReLU(name="leaky")(encoder(x))), name="nested")


def unet():
    """Not in a row: a skip, a shared layer, two branches, and layers that are not convolutions among them."""
    image = K.Input((4, 4, 4, 1))
    x = L.Conv3D(2, 3, padding="same", name="down")(image)
    x = skip = L.ReLU(name="act")(L.BatchNormalization(name="norm")(x))
    x = L.MaxPooling3D(2, name="pool")(x)
    block = [K.Input((2, 2, 2, 2)), L.Conv3D(3, 3, padding="same", name="conv"), L.Dense(2, name="mix")]
    block = K.Sequential(block, name="block")
    shared = L.Conv3D(2, 1, name="shared")
    x = L.Add(name="sum")([shared(block(x)), shared(x)])
    x = x * 2.0 + 1.0
    x = L.Conv3DTranspose(2, 2, strides=2, name="up")(x)
    x = L.Concatenate(name="join")([x, skip])
    x = L.Dropout(0.1, name="drop")(L.Conv3D(2, 3, padding="same", name="again")(x))
    return K.Model(image, L.Conv3D(1, 1, activation="sigmoid", name="head")(x), name="unet")


def fill(model, seed):
    rng = np.random.default_rng(seed)
    values = [(w.name, rng.standard_normal(w.shape) * 0.4) for w in model.weights]
    model.set_weights([np.abs(value) + 0.5 if "variance" in name else value for name, value in values])


def save(model, path):
    name = str(path)
    if name.endswith(".json"):
        path.write_text(model.to_json() + "\n")
    elif name.endswith("weights.h5"):
        model.save_weights(name)
    elif name.endswith(".keras") and not THREE:
        model.save(name, save_format="keras_v3")
    else:
        model.save(name)


if __name__ == "__main__":
    record = {
        "versions": {"keras": VERSION, "tensorflow": tf.__version__, "python": platform.python_version()},
        "models": {},
    }
    arrays = {}
    (HERE / RELEASE).mkdir(parents=True, exist_ok=True)
    for seed, make in enumerate((row, nested, unet)):
        K.backend.clear_session()
        model = make()
        fill(model, seed)
        shape = INPUTS[make.__name__]
        x = np.random.default_rng(100 + seed).standard_normal(shape).astype(np.float32)
        y = model(x, training=False)
        arrays[make.__name__] = np.asarray(y)
        for layer in model.layers:
            for j, value in enumerate(layer.get_weights()):
                arrays[f"{make.__name__}/{layer.name}/{j}"] = value
        names = []
        for suffix in FILES[RELEASE][make.__name__]:
            path = HERE / RELEASE / (make.__name__ + suffix)
            save(model, path)
            names.append(path.name)
        record["models"][make.__name__] = {
            "files": names,
            "input": {"seed": 100 + seed, "shape": shape},
            "layers": [[layer.name, type(layer).__name__, len(layer.get_weights())] for layer in model.layers],
        }
    np.savez_compressed(HERE / f"{RELEASE}.npz", **arrays)
    (HERE / f"{RELEASE}.json").write_text(json.dumps(record, indent=1) + "\n")
