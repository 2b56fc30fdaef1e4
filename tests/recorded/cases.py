"""The cases whose expected values are recorded from TensorFlow and PyTorch, and the numbers that they are made from.

Imported by the recording scripts (any Python from 3.8 with NumPy) and by the tests. Inputs are not stored:
they are drawn again from their seed by NumPy's legacy generator, whose numbers never change.
"""

import numpy as np

GRID = np.array(
    [
        *[float("nan"), float("inf"), -float("inf"), 1e30, -1e30, 104.0, -104.0, 88.5, -88.5, 20.0, -20.0],
        *[0.0, -0.0, 1e-8, -1e-8, 1e-3, -1e-3],
        *np.linspace(-6, 6, 49),
    ]
)

ACTIVATIONS = [
    *["linear", "relu", "elu", "selu", "softplus", "softsign", "swish", "gelu", "tanh", "sigmoid"],
    *["exponential", "hard_sigmoid"],
    {"class_name": "relu", "config": {"alpha": 0.25}},
    {"class_name": "relu", "config": {"max_value": 2.5}},
    {"class_name": "relu", "config": {"max_value": 6}},
    {"class_name": "relu", "config": {"alpha": 0.5, "max_value": 2.0, "threshold": 1.0}},
    {"class_name": "relu", "config": {"threshold": -2.0}},
    {"class_name": "relu", "config": {"alpha": 0.25, "max_value": 2.0, "threshold": -2.0}},
    {"class_name": "elu", "config": {"alpha": 0.5}},
    {"class_name": "gelu", "config": {"approximate": True}},
    {"class_name": "LeakyReLU", "config": {}},
    {"class_name": "LeakyReLU", "config": {"alpha": 0.125}},
    {"class_name": "LeakyReLU", "config": {"alpha": 2.0}},
    {"class_name": "ReLU", "config": {}},
    {"class_name": "ReLU", "config": {"max_value": 3.0, "negative_slope": 0.25, "threshold": 0.5}},
    {"class_name": "ELU", "config": {"alpha": 0.75}},
    {"class_name": "ThresholdedReLU", "config": {}},
    {"class_name": "ThresholdedReLU", "config": {"theta": 2.0}},
]
SOFTMAX = [
    "softmax",
    *[{"class_name": name, "config": {"axis": axis}} for name in ("softmax", "Softmax") for axis in (-2, 1, 3)],
]

INITIALIZERS = [
    {"class_name": name, "config": config}
    for name, config in [
        ("Zeros", {}),
        ("Ones", {}),
        ("Constant", {"value": 2.5}),
        ("RandomNormal", {}),
        ("RandomNormal", {"mean": 1.0, "stddev": 3.0}),
        ("RandomUniform", {}),
        ("RandomUniform", {"minval": -1.0, "maxval": 3.5}),
        ("TruncatedNormal", {}),
        ("TruncatedNormal", {"mean": -1.0, "stddev": 0.5}),
        ("VarianceScaling", {}),
        ("VarianceScaling", {"scale": 3.0, "mode": "fan_out", "distribution": "uniform"}),
        ("VarianceScaling", {"scale": 0.5, "mode": "fan_avg", "distribution": "untruncated_normal"}),
        ("GlorotNormal", {}),
        ("GlorotUniform", {}),
        ("HeNormal", {}),
        ("HeUniform", {}),
        ("LecunNormal", {}),
        ("LecunUniform", {}),
        ("Orthogonal", {}),
        ("Orthogonal", {"gain": 1.5}),
    ]
]
UNSEEDED = ("Zeros", "Ones", "Constant")
INITIALIZER_SHAPES = [(2, 3, 2, 2, 3), (1, 1, 1, 3, 7), (5,)]
SEEDS = [7, -123456789]
LONG = 30011
"""Numbers drawn at once, to see groups that need more than their first samples; only a sample of them is kept."""
STEP = 997


def draw(seed, shapes, dtype):
    """Return one array of standard normal numbers for each shape."""
    state = np.random.RandomState(seed)
    return [state.standard_normal(shape).astype(dtype) for shape in shapes]


def layer_cases(seed, count, groups, most=420):
    """Return random configurations with an input shape, each with at most ``most`` output values.

    With ``groups`` the layers also have groups, channels_first, and strides together with dilation.
    """
    state = np.random.RandomState(seed)

    def pick(values):
        return values[state.randint(len(values))]

    def triple(low, high):
        return [int(v) for v in state.randint(low, high + 1, 3)]

    cases = []
    while len(cases) < count:
        parts = int(pick([1, 2, 3])) if groups else 1
        channels, filters = parts * int(state.randint(1, 4)), parts * int(state.randint(1, 4))
        size, kernel = triple(1, 9), triple(1, 5)
        strides, dilation = pick([([1] * 3, [1] * 3), (triple(1, 3), [1] * 3), ([1] * 3, triple(1, 3))])
        if groups and pick([True, False]):
            strides, dilation = triple(1, 3), triple(1, 3)
        padding = pick(["valid", "same"])
        spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilation)]  # noqa: B905 - Python 3.8
        axes = zip(size, spans, strides)  # noqa: B905 - Python 3.8
        out = [-(-n // s) if padding == "same" else (n - e) // s + 1 for n, e, s in axes]
        batch = pick([[1], [2], [2, 2]])
        if min(out) < 1 or np.prod(out) * np.prod(batch) * filters > most:
            continue
        first = bool(groups and pick([True, False]))
        config = {
            "filters": filters,
            "kernel_size": kernel,
            "strides": strides,
            "padding": padding,
            "data_format": "channels_first" if first else "channels_last",
            "dilation_rate": dilation,
            "groups": parts,
            "activation": None if groups else pick([None, None, "relu", "tanh", "softplus", "elu", "softmax"]),
            "use_bias": bool(pick([True, True, False])),
            "dtype": pick(["float32", "float32", "float32", "float64"]),
        }
        shape = [*batch, channels, *size] if first else [*batch, *size, channels]
        cases.append({"seed": len(cases) + 1000 * seed, "shape": shape, "config": config})
    return cases


def case_arrays(case):
    """Return input, kernel and bias of a case; the bias is made even if the layer has none."""
    config, shape = case["config"], case["shape"]
    channels = shape[-4] if config["data_format"] == "channels_first" else shape[-1]
    kernel = [*config["kernel_size"], channels // config["groups"], config["filters"]]
    return draw(case["seed"], [shape, kernel, [config["filters"]]], config["dtype"])
