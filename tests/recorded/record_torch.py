"""Record what PyTorch's conv3d gives for groups, both layouts, and strides with dilation: ``pip install torch numpy``.

Writes torch.json (configurations, versions) and torch.npz (values) beside this file. Padding ``same`` is put
into the input as zeros beforehand, with TensorFlow's rule: the odd voxel goes after.
"""

import json
import platform
from pathlib import Path

import cases
import numpy as np
import torch

HERE = Path(__file__).parent


def same(n, k, s, d):
    total = max((-(-n // s) - 1) * s + (k - 1) * d + 1 - n, 0)
    return total // 2, total - total // 2


def run(case):
    config = case["config"]
    first = config["data_format"] == "channels_first"
    x, kernel, bias = (torch.from_numpy(a) for a in cases.case_arrays(case))
    batch = x.shape[:-4]
    x = x.reshape(-1, *x.shape[-4:])
    x = x if first else x.permute(0, 4, 1, 2, 3)
    if config["padding"] == "same":
        pads = [
            same(n, k, s, d)
            for n, k, s, d in zip(
                x.shape[2:], config["kernel_size"], config["strides"], config["dilation_rate"], strict=True
            )
        ]
        x = torch.nn.functional.pad(x, [zeros for pair in reversed(pads) for zeros in pair])
    y = torch.nn.functional.conv3d(
        x,
        kernel.permute(4, 3, 0, 1, 2),
        bias if config["use_bias"] else None,
        stride=config["strides"],
        dilation=config["dilation_rate"],
        groups=config["groups"],
    )
    y = y if first else y.permute(0, 2, 3, 4, 1)
    return y.reshape(*batch, *y.shape[1:]).contiguous().numpy()


if __name__ == "__main__":
    recorded = cases.layer_cases(2, 110, groups=True)
    arrays = {f"layer/{case['seed']}": run(case) for case in recorded}
    np.savez_compressed(HERE / "torch.npz", **arrays)
    versions = {"torch": torch.__version__, "numpy": np.__version__, "python": platform.python_version()}
    lines = ",\n".join(map(json.dumps, recorded))
    text = '{\n"versions": ' + json.dumps(versions) + ',\n"layers": [\n' + lines + "\n]\n}\n"
    (HERE / "torch.json").write_text(text)
    print(len(recorded), "layers")
