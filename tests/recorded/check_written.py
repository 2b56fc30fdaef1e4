"""Load what this package writes into the frameworks that the formats belong to, and compare weights and outputs.

Run ``python check_written.py make DIR`` where this package is installed, then ``python check_written.py keras DIR``
with TensorFlow 2.4 and again with Keras 3, and ``python check_written.py torch DIR`` with torch and safetensors. It is
run by hand: the frameworks are no dependencies of the tests.
"""

import sys
from pathlib import Path

import numpy as np

WHAT, FOLDER = sys.argv[1], Path(sys.argv[2])


def make():
    """Write a row of two convolutions, one with a PReLU and a model inside, and a grouped one for PyTorch."""
    from conv3d_cli.layers import Conv3D, Network
    from conv3d_cli.weights import Taken, to_torch, write_arrays, write_weights

    FOLDER.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(7)
    x = rng.standard_normal((2, 7, 6, 5, 2)).astype(np.float32)
    row = Network(
        [Conv3D(3, (3, 2, 1), activation="relu", name="conv_a"), Conv3D(2, 1, name="conv_b", bias_initializer="ones")]
    )
    row.build(2, seed=3)
    for name in ("row.h5", "row.weights.h5"):
        write_weights(str(FOLDER / name), row, overwrite=True)
    parts = {
        "first": {"kernel": (1, 1, 1, 2, 3), "bias": (3,)},
        "act": {"alpha": (1, 1, 1, 3)},
        "block/in_a": {"kernel": (3, 3, 3, 3, 2), "bias": (2,)},
        "block/in_b": {"kernel": (1, 1, 1, 2, 2)},
        "last": {"kernel": (2, 2, 2, 2, 1), "bias": (1,)},
    }
    nested = Taken(
        {p: {w: rng.standard_normal(s).astype(np.float32) for w, s in ws.items()} for p, ws in parts.items()}
    )
    for name in ("nested.h5", "nested.weights.h5"):
        write_arrays(str(FOLDER / name), nested.flat(), overwrite=True)
    grouped = Conv3D(4, 3, groups=2, name="conv")
    grouped.build(2, seed=5)
    torch = to_torch({"net/0": {"kernel": grouped.kernel, "bias": grouped.bias + 1}})
    grouped.set_weights([grouped.kernel, grouped.bias + 1])
    for name in ("grouped.npz", "grouped.safetensors"):
        write_arrays(str(FOLDER / name), torch, overwrite=True, layout="torch")
    weights = [*nested.flat().values()]
    np.savez(
        FOLDER / "expected.npz", x=x, row=row(x), grouped=grouped(x), **{f"w{i}": w for i, w in enumerate(weights)}
    )


def keras():
    """Load the files with ``load_weights`` into models of the same make."""
    import tensorflow as tf

    layers, expected = tf.keras.layers, np.load(FOLDER / "expected.npz")
    three = not hasattr(tf.keras, "__version__") or int(tf.keras.__version__.split(".")[0]) >= 3
    shape = expected["x"].shape[1:]

    def row():
        first = layers.Conv3D(3, (3, 2, 1), activation="relu", name="conv_a")
        return tf.keras.Sequential([tf.keras.Input(shape), first, layers.Conv3D(2, 1, name="conv_b")])

    def nested():
        inner = [layers.Conv3D(2, 3, name="in_a"), layers.Conv3D(2, 1, use_bias=False, name="in_b")]
        block = tf.keras.Sequential([tf.keras.Input((*shape[:3], 3)), *inner], name="block")
        before = [layers.Conv3D(3, 1, name="first"), layers.PReLU(shared_axes=[1, 2, 3], name="act")]
        return tf.keras.Sequential([tf.keras.Input(shape), *before, block, layers.Conv3D(1, 2, name="last")])

    for suffix in (".h5", ".weights.h5") if three else (".h5",):
        model = row()
        model.load_weights(str(FOLDER / f"row{suffix}"))
        off = float(np.abs(model.predict(expected["x"], verbose=0) - expected["row"]).max())
        assert off < 1e-5, off
        model = nested()
        model.load_weights(str(FOLDER / f"nested{suffix}"))
        for i, weight in enumerate(model.get_weights()):
            np.testing.assert_array_equal(weight, expected[f"w{i}"])
        print(f"TensorFlow {tf.__version__}: {suffix}: outputs differ by {off:.2g}, {i + 1} nested weights are equal")


def torch():
    """Load the tensors into a grouped Conv3d."""
    import torch
    from safetensors.torch import load_file

    expected = np.load(FOLDER / "expected.npz")
    for name in ("grouped.safetensors", "grouped.npz"):
        path = FOLDER / name
        state = load_file(path) if path.suffix != ".npz" else {k: torch.from_numpy(v) for k, v in np.load(path).items()}
        module = torch.nn.Conv3d(2, 4, 3, groups=2)
        module.load_state_dict({key.removeprefix("net.0."): value for key, value in state.items()})
        x = torch.from_numpy(expected["x"]).permute(0, 4, 1, 2, 3)
        y = module(x).permute(0, 2, 3, 4, 1).detach().numpy()
        off = float(np.abs(y - expected["grouped"]).max())
        assert off < 1e-5, off
        print(f"PyTorch {torch.__version__}: {name}: outputs differ by {off:.2g}")


{"make": make, "keras": keras, "torch": torch}[WHAT]()
