"""The activations whose values and configurations are recorded from both dialects of Keras; beside ``cases``."""

import numpy as np


def function(name, **config):
    return {"class_name": name, "config": config}


ELEMENTWISE = [
    *["linear", "relu", "relu6", "leaky_relu", "elu", "celu", "selu", "softplus", "softsign", "silu", "swish", "gelu"],
    *["tanh", "sigmoid", "exponential", "hard_sigmoid", "hard_silu", "hard_swish", "hard_tanh", "hard_shrink"],
    *["soft_shrink", "tanh_shrink", "log_sigmoid", "mish", "squareplus", "sparse_plus", "sparse_sigmoid"],
    function("relu", negative_slope=0.25),
    function("relu", max_value=2.5),
    function("relu", max_value=6),
    function("relu", negative_slope=0.5, max_value=2.0, threshold=1.0),
    function("relu", threshold=-2.0),
    function("leaky_relu", negative_slope=0.125),
    function("elu", alpha=0.5),
    function("celu", alpha=2.0),
    function("celu", alpha=0.125),
    function("gelu", approximate=True),
    function("hard_shrink", threshold=2.0),
    function("soft_shrink", threshold=0.125),
    function("squareplus", b=0.25),
    function("squareplus", b=0),
    function("threshold", threshold=1.5, default_value=-7.0),
    function("threshold", threshold=-0.5, default_value=0.25),
    function("LeakyReLU"),
    function("LeakyReLU", negative_slope=0.125),
    function("LeakyReLU", negative_slope=2.0),
    function("ReLU"),
    function("ReLU", max_value=3.0, negative_slope=0.25, threshold=0.5),
    function("ELU", alpha=0.75),
]
"""Of Keras 3: those of 2.4 are in keras.npz."""

ALONG_AXES = {
    2: [function("Softmax", axis=[1]), function("Softmax", axis=[1, 3]), function("Softmax", axis=[-1, -2, 2])],
    3: [
        "softmax",
        "log_softmax",
        "glu",
        "sparsemax",
        *[function(name, axis=axis) for name in ("softmax", "log_softmax", "glu", "sparsemax") for axis in (1, -2)],
        function("Softmax"),
        function("Softmax", axis=1),
        function("Softmax", axis=[1]),
        function("Softmax", axis=[1, 3]),
        function("Softmax", axis=[-1, -2, 2]),
    ],
}

PRELU = [{}, {"shared_axes": [1, 2, 3]}, {"shared_axes": 4}, {"shared_axes": [2, 4]}]

NAMES = {
    2: [
        *[None, "linear", "relu", "elu", "selu", "softplus", "softsign", "swish", "gelu", "tanh", "sigmoid"],
        *["exponential", "hard_sigmoid", "softmax"],
    ],
    3: [None, *[v for v in ELEMENTWISE if isinstance(v, str)], "softmax", "log_softmax", "glu", "sparsemax"],
}

LAYERS = {
    2: [
        ("LeakyReLU", {}),
        ("LeakyReLU", {"alpha": 0.125, "name": "leaky", "dtype": "float64"}),
        ("ReLU", {"max_value": 6, "negative_slope": 1, "name": "r"}),
        ("ELU", {"alpha": 0.5, "trainable": False}),
        ("ThresholdedReLU", {"theta": 2}),
        ("Softmax", {"axis": 1}),
        ("Softmax", {"axis": [1, 2]}),
        ("Activation", {"activation": "relu"}),
        ("PReLU", {}),
        (
            "PReLU",
            {
                "shared_axes": 1,
                "alpha_initializer": "he_normal",
                "alpha_regularizer": "l2",
                "alpha_constraint": "non_neg",
                "input_shape": [3, 4, 5, 6],
            },
        ),
    ],
    3: [
        ("LeakyReLU", {}),
        ("LeakyReLU", {"negative_slope": 0.1, "name": "leaky", "dtype": "float64"}),
        ("ReLU", {"max_value": 6, "negative_slope": 1, "name": "r"}),
        ("ELU", {"alpha": 0.5, "trainable": False}),
        ("Softmax", {"axis": 1}),
        ("Softmax", {"axis": [1, 2]}),
        ("Activation", {"activation": "swish"}),
        ("PReLU", {}),
        (
            "PReLU",
            {
                "shared_axes": [1, 2],
                "alpha_initializer": "he_normal",
                "alpha_regularizer": "l2",
                "alpha_constraint": "non_neg",
            },
        ),
    ],
}

REFUSED = {
    2: ["rellu", "RELU", "mish", "silu", "hard_swish", "leaky_relu", "LeakyRelu"],
    3: ["rellu", "RELU", "Swish", "LeakyReLU", "threshold", "thresholded_relu", "glu3"],
}


def block(seed, dtype):
    """Return values of a small batch of volumes, wide enough apart that a softmax has zeros."""
    return 3 * np.random.RandomState(seed).standard_normal((2, 4, 3, 2, 4)).astype(dtype)


def prelu_arrays(seed, dtype):
    """Return values and PReLU's alpha for the case of this number."""
    config = PRELU[seed]
    shape = (2, 3, 4, 2, 5)
    shared = config.get("shared_axes", [])
    shared = [shared] if isinstance(shared, int) else shared
    alpha = [1 if axis in shared else shape[axis] for axis in range(1, 5)]
    state = np.random.RandomState(seed)
    return [state.standard_normal(part).astype(dtype) for part in (shape, alpha)]
