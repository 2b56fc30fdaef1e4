"""Record PyTorch's own paddings, its strides with dilation, and the gradients of it all: ``pip install torch numpy``.

Writes dialect.json (configurations, versions, errors) and dialect.npz (outputs, gradients) beside this file. The
configurations are those of our layer; an input with other batch axes is one with their product.
"""

import json
import platform
from pathlib import Path

import cases
import numpy as np
import torch
from torch.nn import functional

HERE = Path(__file__).parent
PRELU = {"class_name": "PReLU", "config": {"shared_axes": [1, 2, 3]}}


def dialect_cases(count=48):
    state = np.random.RandomState(20)

    def pick(values):
        return values[state.randint(len(values))]

    def triple(low, high):
        return [int(v) for v in state.randint(low, high + 1, 3)]

    found = []
    while len(found) < count:
        parts = int(pick([1, 1, 2, 3]))
        channels, filters = parts * int(pick([1, 2])), parts * int(pick([2, 4]))
        size, kernel = triple(2, 6), triple(1, 4)
        pads = [[int(v) for v in state.randint(0, 4, 2)] for _ in range(3)]
        padding = pick(["valid", "same", int(state.randint(0, 3)), triple(0, 3), pads, pads])
        strides, dilation = ([1] * 3 if padding == "same" else triple(1, 3)), triple(1, 3)
        first = bool(pick([True, False]))
        activation = pick([None, None, "relu", "glu", PRELU]) if not first else None
        config = {
            "filters": filters,
            "kernel_size": kernel,
            "strides": strides,
            "padding": padding,
            "data_format": "channels_first" if first else "channels_last",
            "dilation_rate": dilation,
            "groups": parts,
            "activation": activation,
            "use_bias": bool(pick([True, True, False])),
            "dtype": pick(["float32", "float32", "float64"]),
        }
        # PReLU counts the axes that share a weight from the second: with PyTorch's meaning there is one batch axis.
        batch = pick([[1], [2], [2] if activation is PRELU else [2, 2]])
        case = {"seed": 7000 + len(found), "shape": [*batch, *([channels, *size] if first else [*size, channels])]}
        found.append({**case, "config": config})
        try:
            y = run(found[-1], {})
        except RuntimeError:
            y = np.zeros(0)
        if not 0 < y.size <= 400:
            found.pop()
    return found


def layer(case, x, kernel, bias, alpha):
    config = case["config"]
    first, padding = config["data_format"] == "channels_first", config["padding"]
    planar = x.reshape(-1, *x.shape[-4:])
    planar = planar if first else planar.permute(0, 4, 1, 2, 3)
    if isinstance(padding, list) and isinstance(padding[0], list):
        planar, padding = functional.pad(planar, [zeros for pair in reversed(padding) for zeros in pair]), 0
    y = functional.conv3d(
        planar,
        kernel.permute(4, 3, 0, 1, 2),
        bias if config["use_bias"] else None,
        stride=config["strides"],
        padding=tuple(padding) if isinstance(padding, list) else padding,
        dilation=config["dilation_rate"],
        groups=config["groups"],
    )
    functions = {None: lambda y: y, "relu": functional.relu, "glu": lambda y: functional.glu(y, 1)}
    y = functional.prelu(y, alpha) if isinstance(config["activation"], dict) else functions[config["activation"]](y)
    y = y if first else y.permute(0, 2, 3, 4, 1)
    return y.reshape(*x.shape[:-4], *y.shape[1:]).contiguous()


def run(case, arrays):
    seed, dtype = case["seed"], case["config"]["dtype"]
    leaves = [
        torch.from_numpy(a)
        for a in (*cases.case_arrays(case), cases.draw(seed + 1, [(case["config"]["filters"],)], dtype)[0])
    ]
    for leaf in leaves:
        leaf.requires_grad_()
    y = layer(case, *leaves)
    arrays[f"{seed}/output"] = y.detach().numpy()
    y.backward(torch.from_numpy(cases.draw(seed + 500, [tuple(y.shape)], dtype)[0]))
    for name, leaf in zip(("input", "kernel", "bias", "alpha"), leaves, strict=True):
        if leaf.grad is not None:
            arrays[f"{seed}/{name}"] = leaf.grad.numpy()
    return y.detach().numpy()


REFUSED = [
    {"padding": "same", "strides": 2},
    {"padding": "full"},
    {"padding": -1},
    {"padding": [1, 1]},
    {"padding": [1, 1, 1, 1]},
    {"padding": 1.5},
    {"strides": 0},
    {"dilation_rate": 0},
    {"kernel_size": 0},
    {"groups": 2},
    {"groups": 0},
]


def errors():
    names = {"strides": "stride", "dilation_rate": "dilation"}
    rows = []
    for change in REFUSED:
        given = {"kernel_size": 3, **change}
        given = {
            names.get(key, key): tuple(value) if isinstance(value, list) else value for key, value in given.items()
        }
        try:
            torch.nn.Conv3d(2, 3, **given)(torch.zeros(1, 2, 6, 6, 6))
            rows.append({"change": change, "type": None})
        except Exception as error:
            rows.append({"change": change, "type": type(error).__name__})
    return rows


if __name__ == "__main__":
    arrays, recorded = {}, dialect_cases()
    for case in recorded:
        run(case, arrays)
    np.savez_compressed(HERE / "dialect.npz", **arrays)
    versions = {"torch": torch.__version__, "numpy": np.__version__, "python": platform.python_version()}
    parts = {"versions": versions, "layers": recorded, "errors": errors()}
    text = ",\n".join(
        json.dumps(key)
        + ": "
        + (json.dumps(rows) if isinstance(rows, dict) else "[\n" + ",\n".join(map(json.dumps, rows)) + "\n]")
        for key, rows in parts.items()
    )
    (HERE / "dialect.json").write_text("{\n" + text + "\n}\n")
    print(len(recorded), "layers", len(arrays), "arrays")
