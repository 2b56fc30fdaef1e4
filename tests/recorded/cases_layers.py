"""The layers that are recorded from both dialects of Keras; beside ``cases``.

An activation that is a mapping stands for the object of that layer. Arguments are as JSON writes them.
"""


def mapping(name, /, **config):
    return {"class_name": name, "config": config}


def conv(filters=2, kernel_size=3, **more):
    return {"filters": filters, "kernel_size": kernel_size, **more}


INITIALIZER_NAMES = [
    *["zeros", "ones", "constant", "random_normal", "random_uniform", "truncated_normal", "variance_scaling"],
    *["glorot_normal", "glorot_uniform", "he_normal", "he_uniform", "lecun_normal", "lecun_uniform", "orthogonal"],
    *["HeNormal", "Ones"],
]
INITIALIZERS = [
    mapping("Constant", value=2),
    mapping("RandomNormal", mean=1, stddev=2.5, seed=3),
    mapping("RandomUniform", minval=-1, maxval=3, seed=4),
    mapping("TruncatedNormal", stddev=0.1),
    mapping("VarianceScaling", scale=0.5, mode="fan_out", distribution="uniform", seed=7),
    mapping("LecunNormal", seed=8),
    mapping("Orthogonal", gain=1.5, seed=9),
]
REGULARIZERS = ["l1", "l2", mapping("L1", l1=0.3), mapping("L2", l2=2), mapping("L1L2", l1=0.1, l2=0.2)]
CONSTRAINTS = [
    *["max_norm", "non_neg", "unit_norm", "min_max_norm"],
    mapping("MaxNorm", max_value=1.5, axis=[0, 1, 2, 3]),
    mapping("UnitNorm", axis=1),
    mapping("MinMaxNorm", min_value=0.5, max_value=2, rate=0.9, axis=[0, 1, 2, 3]),
]

ACTIVATIONS = {
    2: [
        *["linear", "relu", "elu", "selu", "softplus", "softsign", "swish", "gelu", "tanh", "sigmoid", "exponential"],
        *["hard_sigmoid", "softmax"],
        *[mapping("LeakyReLU"), mapping("LeakyReLU", alpha=0.1, name="leaky"), mapping("LeakyReLU", alpha=2)],
        *[mapping("ReLU"), mapping("ReLU", max_value=6, negative_slope=0.1, threshold=0.3, dtype="float64")],
        *[mapping("ELU"), mapping("ELU", alpha=0.7), mapping("ThresholdedReLU"), mapping("ThresholdedReLU", theta=0.9)],
        *[mapping("Softmax"), mapping("Softmax", axis=1), mapping("Softmax", axis=[1, 2])],
        *[mapping("Activation", activation="relu"), mapping("PReLU"), mapping("PReLU", shared_axes=[1, 2, 3])],
        mapping(
            "PReLU",
            alpha_initializer="ones",
            alpha_regularizer="l1",
            alpha_constraint="non_neg",
            shared_axes=[4],
            trainable=False,
        ),
    ],
    3: [
        *["linear", "relu", "relu6", "leaky_relu", "elu", "celu", "selu", "softplus", "softsign", "silu", "swish"],
        *["gelu", "tanh", "sigmoid", "exponential", "hard_sigmoid", "hard_silu", "hard_swish", "hard_tanh"],
        *["hard_shrink", "soft_shrink", "tanh_shrink", "log_sigmoid", "mish", "squareplus", "sparse_plus"],
        *["sparse_sigmoid", "softmax", "log_softmax", "sparsemax", "glu"],
        *[mapping("LeakyReLU"), mapping("LeakyReLU", negative_slope=0.1, name="leaky"), mapping("ReLU")],
        *[mapping("ReLU", max_value=6, negative_slope=0.1, threshold=0.3, dtype="float64"), mapping("ELU", alpha=0.7)],
        *[mapping("Softmax"), mapping("Softmax", axis=1), mapping("Softmax", axis=[1, 2])],
        *[mapping("Activation", activation="mish"), mapping("PReLU"), mapping("PReLU", shared_axes=[1, 2, 3])],
        mapping(
            "PReLU",
            alpha_initializer="ones",
            alpha_regularizer="l1",
            alpha_constraint="non_neg",
            shared_axes=[4],
            trainable=False,
        ),
    ],
}

GEOMETRIES = [
    conv(),
    conv(8, [1, 2, 3], strides=2, padding="SAME", name="edges"),
    conv(4, dilation_rate=[1, 2, 1], groups=2, data_format="channels_first"),
    conv(4, use_bias=False, trainable=False, dtype="float16"),
    conv(4, dtype="float64", activation="tanh"),
    conv(input_shape=[5, 6, 7, 3]),
    conv(input_shape=[None, None, None, 1]),
]


def configs(keras):
    """Return everything that a Conv3D of a dialect is made from."""
    ones = {"bias_initializer": "ones", "kernel_size": 1, "filters": 1}
    objects = [
        *[{"kernel_initializer": value} for value in INITIALIZER_NAMES + INITIALIZERS],
        *[{"bias_initializer": value} for value in INITIALIZERS[:4]],
        *[{"kernel_regularizer": value} for value in [*REGULARIZERS, "l1l2" if keras == 3 else "l1_l2"]],
        *[{"bias_regularizer": "l2"}, {"activity_regularizer": mapping("L1L2", l1=0.01, l2=0.3)}],
        *[{"kernel_constraint": value} for value in CONSTRAINTS],
        *[{"bias_constraint": value} for value in CONSTRAINTS[:3]],
        *[{"activation": value} for value in ACTIVATIONS[keras]],
    ]
    return [*GEOMETRIES, *[{**ones, **one} for one in objects]]


RULED = {"kernel_regularizer": "l1", "bias_regularizer": "l2", "activity_regularizer": "l2"}
LOSSES = [
    (conv(**RULED), [1, 4, 4, 4, 1]),
    (conv(**RULED), [3, 4, 4, 4, 1]),
    (conv(**RULED), [2, 3, 4, 4, 4, 1]),
    (conv(activity_regularizer=mapping("L1L2", l1=0.5, l2=0.25), activation="relu"), [3, 4, 4, 4, 2]),
    (conv(activity_regularizer="l1", use_bias=False, bias_regularizer="l1"), [2, 4, 4, 4, 1]),
    (conv(kernel_regularizer=mapping("L1L2", l1=0.1, l2=0.2), dtype="float64"), [2, 4, 4, 4, 1]),
    (conv(kernel_regularizer="l2", bias_regularizer="l1", dtype="float16"), [2, 4, 4, 4, 1]),
    (conv(activation=mapping("PReLU", alpha_regularizer="l1", shared_axes=[1, 2, 3]), **RULED), [2, 4, 4, 4, 1]),
]
"""Layers that are charged, and the shape of what they are called with."""

PRELU = [{}, {"shared_axes": [1, 2, 3]}, {"shared_axes": [4], "alpha_initializer": "ones"}]
PRELU_SHAPE = [2, 4, 4, 3, 2]

FLOAT16 = [
    (conv(3, 3, activation="relu"), [2, 5, 5, 4, 2]),
    (conv(2, [1, 2, 3], padding="same", strides=2, activation="tanh"), [1, 6, 5, 4, 3]),
    (conv(4, 3, padding="same", activation="softmax", use_bias=False), [1, 4, 4, 4, 8]),
    (conv(2, 2, dilation_rate=[1, 1, 2]), [1, 4, 4, 5, 16]),
]
"""Layers of float16; those that a framework cannot run are left out of its half."""

DIFFERENT = ["hard_sigmoid", "gelu", "elu", "softmax", mapping("LeakyReLU"), "relu6", "silu", "glu", "sparsemax"]
"""Activations of a whole layer, by those dialects that have them."""
DIFFERENT_SHAPE = [2, 4, 3, 4, 2]

SET_WEIGHTS = [
    [],
    [[3, 3, 3, 1, 2]],
    [[3, 3, 3, 1, 2], [2], [2]],
    [[3, 3, 3, 2, 1], [2]],
    [[3, 3, 3, 1, 2], [1]],
    [[3, 3, 3, 1, 2], [2, 1]],
    [[2], [3, 3, 3, 1, 2]],
    [[3, 3, 3, 1, 2], [2]],
]
"""Shapes of weights that are set on Conv3D(2, 3) for one channel."""

CALLS = [
    ([1, 5, 5, 5, 1], [1, 5, 5, 5, 2], "float32"),
    ([1, 5, 5, 5, 1], [1, 5, 5, 5, 1], "int32"),
    ([1, 5, 5, 5, 1], [1, 5, 5, 5, 1], "bool"),
    ([1, 5, 5, 5, 1], [5, 5, 5, 1], "float32"),
    ([1, 5, 5, 5, 1], [1, 5, 5, 5, 1], "float64"),
]
"""Shape that a layer is built for, and what it is called with."""

BOX = [1, 5, 4, 6, 2]
SQUARES = [1, 2, 5, 4, 6]
OTHERS = {
    0: [
        *[("ZeroPadding3D", {}, BOX), ("ZeroPadding3D", {"padding": [1, 0, 2], "name": "wide"}, BOX)],
        ("ZeroPadding3D", {"padding": [[1, 2], [0, 0], [3, 0]]}, BOX),
        ("ZeroPadding3D", {"padding": 2, "data_format": "channels_first"}, SQUARES),
        *[("Cropping3D", {}, BOX), ("Cropping3D", {"cropping": [0, 1, 2]}, BOX)],
        ("Cropping3D", {"cropping": [[1, 2], [0, 0], [3, 0]], "dtype": "float64"}, BOX),
        ("Cropping3D", {"cropping": [1, 1, 2], "data_format": "channels_first"}, SQUARES),
        *[("Cropping3D", {"cropping": [0, 2, 0]}, BOX), ("Cropping3D", {"cropping": [[3, 2], [0, 0], [0, 0]]}, BOX)],
        *[("Cropping3D", {"cropping": -1}, BOX), ("Cropping3D", {"cropping": [1, 1]}, BOX)],
        *[("ZeroPadding3D", {"padding": [1, 1]}, BOX), ("ZeroPadding3D", {"padding": [1, [1, 1, 1], 1]}, BOX)],
        *[("ZeroPadding3D", {"padding": "same"}, BOX), ("ZeroPadding3D", {"data_format": "first"}, BOX)],
        *[("Activation", {"activation": name}, BOX) for name in ("relu", "tanh", "softmax", "nope")],
        ("Activation", {"activation": "elu", "trainable": False, "name": "a", "dtype": "float64"}, BOX),
        *[("ReLU", {}, BOX), ("ReLU", {"max_value": 1, "negative_slope": 0.1, "threshold": 0.3}, BOX)],
        *[("ReLU", {"max_value": -1}, BOX), ("ReLU", {"negative_slope": -1}, BOX)],
        *[("ELU", {}, BOX), ("ELU", {"alpha": 0.7}, BOX), ("LeakyReLU", {}, BOX), ("LeakyReLU", {"alpha": 0.1}, BOX)],
        *[("Softmax", {}, BOX), ("Softmax", {"axis": 1}, BOX), ("Softmax", {"axis": [1, 2]}, BOX)],
        *[("PReLU", {}, BOX), ("PReLU", {"shared_axes": [1, 2, 3]}, BOX), ("PReLU", {"shared_axes": [2, 4]}, BOX)],
        *[("Dropout", {"rate": 0.5}, BOX), ("Dropout", {"rate": 0.25, "noise_shape": [1, 1, 1, 1, 2], "seed": 3}, BOX)],
        *[("Dropout", {"rate": 2}, BOX), ("Dropout", {"rate": -0.1}, BOX), ("Dropout", {}, BOX)],
        *[("SpatialDropout3D", {"rate": 0.5}, BOX), ("SpatialDropout3D", {"rate": 0.5, "name": "s"}, BOX)],
        ("SpatialDropout3D", {"rate": 0.5, "data_format": "channels_first"}, SQUARES),
        *[("GaussianDropout", {"rate": 0.5}, BOX), ("GaussianNoise", {"stddev": 0.5}, BOX)],
        *[("AlphaDropout", {"rate": 0.5}, BOX), ("AlphaDropout", {"rate": 0.5, "trainable": False}, BOX)],
    ],
    2: [
        ("InputLayer", {"batch_input_shape": [None, 5, 4, 6, 2]}, None),
        ("InputLayer", {"input_shape": [5, None, 6, 2], "name": "x", "dtype": "float64"}, None),
        *[("ThresholdedReLU", {}, BOX), ("ThresholdedReLU", {"theta": 0.4}, BOX)],
        *[("ReLU", {"input_shape": BOX[1:]}, BOX), ("Dropout", {"rate": 0.5, "batch_input_shape": BOX}, BOX)],
        *[("AlphaDropout", {"rate": 0.5, "seed": 3}, BOX), ("Dropout", {"rate": 0.5, "seeds": 3}, BOX)],
    ],
    3: [
        ("InputLayer", {"batch_shape": [None, 5, 4, 6, 2]}, None),
        ("InputLayer", {"batch_shape": [2, None, None, None, 1], "name": "x", "dtype": "float64"}, None),
        *[("LeakyReLU", {"negative_slope": 0.1}, BOX), ("Activation", {"activation": "hard_silu"}, BOX)],
        *[("LeakyReLU", {"negative_slope": -1}, BOX), ("ReLU", {"threshold": -1}, BOX)],
        *[("GaussianDropout", {"rate": 0.5, "seed": 5}, BOX), ("GaussianNoise", {"stddev": 0.5, "seed": 5}, BOX)],
        *[("AlphaDropout", {"rate": 0.5, "seed": 3}, BOX), ("Dropout", {"rate": 0.5, "seeds": 3}, BOX)],
    ],
}
"""Layers of the other classes with the shape of what they are called with: those of both dialects under 0."""


def others(keras):
    return OTHERS[0] + OTHERS[keras]
