"""Record the regularizers, constraints and initializers of Keras: names, configurations, errors, values.

Run once with TensorFlow 2.4.4 (Python 3.8, ``'protobuf<3.21'``) and once with Keras 3.15 on TensorFlow 2.21; each run
writes its own half of objects.json and objects.npz beside this file and leaves the other.
"""

import json
import os
import platform
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import cases
import numpy as np
import tensorflow as tf

if tf.__version__.startswith("2.4"):
    keras, DIALECT = tf.keras, "2"
else:
    import keras

    DIALECT = "3"

HERE = Path(__file__).parent
DTYPES = ("float16", "float32", "float64")
SHAPES = [(3, 2, 2, 2, 3), (2, 3, 2, 2), (4, 4, 1, 2), (4, 3), (5,)]
SEEDS = [7, -123456789, 2**31 + 3, 2**40 + 1]


def mapping(name, /, **config):
    return {"class_name": name, "config": config}


def in_keras_3(module, name, /, **config):
    return {"module": f"keras.{module}", "class_name": name, "config": config, "registered_name": None}


REGULARIZERS = [
    *["l1", "l2", "l1_l2", "L1", "L2", "L1L2", "l1l2", "orthogonal", "orthogonal_regularizer", "OrthogonalRegularizer"],
    *["L1_L2", "l3", "", 3, 0.5, [], True],
    *[mapping(name) for name in ("l1", "L2", "l1_l2", "L1L2", "l1l2", "none")],
    *[mapping("L1", l1=0.3), mapping("L2", l2=0.3), mapping("L1L2", l1=0.3, l2=0.7), mapping("l1_l2", l2=0.5)],
    *[mapping("L1", l=0.3), mapping("l2", l=0.3), mapping("L1L2", l=0.3), mapping("L1", l2=0.3)],
    *[mapping("L1", l1=-0.5), mapping("L2", l2=None), mapping("L1L2", l1=None, l2=2), mapping("L1", l1="x")],
    *[mapping("L2", l2=float("nan")), mapping("L1", l1=1e50), mapping("L1", l1=1)],
    mapping("OrthogonalRegularizer", factor=0.3, mode="columns"),
    mapping("OrthogonalRegularizer", mode="ROWS"),
    in_keras_3("regularizers", "L1L2", l1=0.1, l2=0.2),
]

CONSTRAINTS = [
    *["max_norm", "maxnorm", "MaxNorm", "non_neg", "nonneg", "NonNeg", "unit_norm", "unitnorm", "UnitNorm"],
    *["min_max_norm", "MinMaxNorm", "minmaxnorm", "radial_constraint", "RadialConstraint", "Constraint", "constraint"],
    *["max", "", 3, [], True],
    *[mapping(name) for name in ("max_norm", "NonNeg", "unit_norm", "none")],
    *[mapping("MaxNorm", max_value=0.5), mapping("MaxNorm", max_value=1.5, axis=[0, 1, 2, 3])],
    *[mapping("MaxNorm", axis=None), mapping("MaxNorm", axis=-1), mapping("MaxNorm", axis=[]), mapping("MaxNorm", m=1)],
    *[mapping("MaxNorm", max_value=-1), mapping("MaxNorm", axis=7), mapping("MaxNorm", axis=[0, 0])],
    *[mapping("UnitNorm", axis=[0, 1, 2, 3]), mapping("UnitNorm", axis=[0, 1]), mapping("NonNeg", axis=0)],
    *[
        mapping("MinMaxNorm", min_value=0.5, max_value=2),
        mapping("MinMaxNorm", min_value=3, rate=0.25, axis=[0, 1, 2, 3]),
    ],
    mapping("MinMaxNorm", min_value=3.0, max_value=1.0, rate=2.0),
    in_keras_3("constraints", "MaxNorm", max_value=1, axis=1),
]

INITIALIZER_NAMES = sorted(
    {
        name
        for one in [*cases.INITIALIZERS, {"class_name": "Identity"}]
        for name in (one["class_name"], f"{one['class_name']}V2", one["class_name"].lower())
    }
    | {"zeros", "ones", "constant", "random_normal", "random_uniform", "truncated_normal", "variance_scaling"}
    | {f"{name}_{kind}" for name in ("glorot", "he", "lecun") for kind in ("normal", "uniform")}
    | {f"{name}_{kind}V2" for name in ("glorot", "he", "lecun") for kind in ("normal", "uniform")}
    | {"orthogonal", "identity", "zero", "one", "normal", "uniform", "zerosV2", "constantV2", "orthogonalV2"}
    | {"IdentityInitializer", "OrthogonalInitializer", "ZerosInitializer", "xavier", "he", "Initializer_"}
)
INITIALIZERS = [
    *INITIALIZER_NAMES,
    *["", 3, [], True],
    *[mapping(name) for name in ("he_normal", "Zeros", "normal", "none")],
    *[mapping("Constant", value=2), mapping("Constant", value=[1, 2.5]), mapping("Constant", value=0.5)],
    *[mapping("RandomNormal", mean=1, stddev=2, seed=3), mapping("RandomNormal", stddev=-1)],
    *[mapping("RandomUniform", minval=1, maxval=0), mapping("TruncatedNormal", seed=5), mapping("HeNormal", stddev=1)],
    *[mapping("VarianceScaling", scale=value) for value in (2, 0, -1.0)],
    *[mapping("VarianceScaling", distribution=value) for value in ("normal", "UNIFORM", "uniform", "gauss")],
    *[mapping("VarianceScaling", mode=value) for value in ("fan_avg", "FAN_IN")],
    *[mapping("HeNormal", seed=4, dtype="float32"), mapping("Zeros", dtype="float32"), mapping("Zeros", value=1)],
    *[mapping("Orthogonal", gain=2, seed=5), mapping("Identity", gain=2.0), mapping("LecunUniform", seed=-1)],
    *[mapping("GlorotUniform", input_axes=[0, 3], output_axes=[4]), mapping("HeUniform", input_axes=[0])],
    mapping("VarianceScaling", mode="fan_out", seed=1, input_axes=[0, 3], output_axes=[4]),
    in_keras_3("initializers", "HeNormal", seed=4),
    mapping("HeNormal", seed=in_keras_3("random", "SeedGenerator", seed=5, name="mine")),
]
AXES = [([0, 3], [4]), ([-2], [0, 1, 2, 4]), ([0], None)]

arrays = {}


def kept(function):
    """Return what a function returns, or the kind of error that it raises."""
    try:
        return function()
    except Exception as error:
        return {"error": type(error).__name__}


def written(module, values):
    recorded = []
    for value in values:
        found = kept(lambda value=value: {"written": module.serialize(module.get(json.loads(json.dumps(value))))})
        recorded.append({"given": value, **found})
    return recorded


def weights():
    return [(i, dtype, cases.draw(i, [shape], dtype)[0]) for i, shape in enumerate(SHAPES) for dtype in DTYPES]


def regularizers():
    recorded = written(keras.regularizers, REGULARIZERS)
    for one in recorded:
        if "error" in one:
            continue
        loss = keras.regularizers.get(one["given"])
        one["losses"] = {
            f"{i}/{dtype}": kept(lambda w=w, loss=loss: float(loss(tf.constant(w)))) for i, dtype, w in weights()
        }
    return recorded


def constraints():
    recorded = written(keras.constraints, CONSTRAINTS)
    for number, one in enumerate(recorded):
        if "error" in one:
            continue
        project = keras.constraints.get(one["given"])
        one["errors"] = {}
        for i, dtype, w in weights():
            found = kept(lambda w=w, project=project: project(tf.constant(w)).numpy())
            if isinstance(found, dict):
                one["errors"][f"{i}/{dtype}"] = found["error"]
            elif i in (0, 4) or "adial" in str(one["given"]):
                arrays[f"{DIALECT}/constraint/{number}/{i}/{dtype}"] = found
    return recorded


def draw(key, value, shape, dtype):
    drawn = kept(lambda: np.array(keras.initializers.get(value)(shape, dtype=dtype)))
    if isinstance(drawn, dict):
        print("not drawn:", key, value, drawn)
    else:
        arrays[f"{DIALECT}/{key}"] = drawn


def seeded(value, seed):
    config = dict(value["config"])
    if value["class_name"] not in cases.UNSEEDED:
        config["seed"] = seed
    return {"class_name": value["class_name"], "config": config}


def values():
    for i, value in enumerate(cases.INITIALIZERS):
        for j, shape in enumerate(cases.INITIALIZER_SHAPES):
            if value["class_name"] == "Orthogonal" and len(shape) < 2:
                continue
            for dtype in DTYPES:
                draw(f"initializer/{i}/{j}/7/{dtype}", seeded(value, 7), shape, dtype)
    for seed in SEEDS:
        for dtype in DTYPES:
            draw(f"seed/{seed}/{dtype}", mapping("RandomUniform", seed=seed), (6,), dtype)
    draw("array", mapping("Constant", value=[[1.0], [2.0], [3.0]]), (3, 1), "float32")
    draw("repeated", mapping("Constant", value=[1.0, 2.0]), (2, 2), "float32")
    if DIALECT == "3":
        for i, (into, out) in enumerate(AXES):
            value = mapping("HeUniform", seed=7, input_axes=into, output_axes=out)
            draw(f"axes/{i}", value, cases.INITIALIZER_SHAPES[0], "float32")
        generator = in_keras_3("random", "SeedGenerator", seed=7, name="mine")
        draw("generator", mapping("RandomUniform", seed=generator), (6,), "float32")


def main():
    values()
    half = {
        "versions": {"tensorflow": tf.__version__, "keras": keras.__version__, "python": platform.python_version()},
        "regularizers": regularizers(),
        "constraints": constraints(),
        "initializers": written(keras.initializers, INITIALIZERS),
    }
    path, stored = HERE / "objects.json", {}
    if path.exists():
        stored = json.loads(path.read_text())
        with np.load(HERE / "objects.npz") as old:
            arrays.update({key: old[key] for key in old.files if not key.startswith(DIALECT)})
    stored = {**stored, DIALECT: half, "shapes": SHAPES, "seeds": SEEDS, "axes": AXES}
    path.write_text(json.dumps(stored, indent=1, sort_keys=True) + "\n")
    np.savez_compressed(HERE / "objects.npz", **dict(sorted(arrays.items())))
    print(len(arrays), "arrays")


main()
