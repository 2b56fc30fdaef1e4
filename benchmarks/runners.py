"""Who runs: the engine, its direct method, and every installed peer. A row of RUNNERS is all that a new one needs."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from conv3d_cli.engine import Limits, Plan, choose, direct, execute

Call = Callable[[], np.ndarray]

ENGINE = "conv3d"
"""The runner that ratios are about: the engine with the method that it picks."""


@dataclass(frozen=True)
class Runner:
    """``prepare(case, x, kernel, threads)`` returns the call to be timed, or None where the case is not its own."""

    name: str
    module: str
    prepare: Callable[..., Call | None]
    ours: bool = False


def chosen(case, threads) -> Plan:
    """Return the plan of the engine for a case, as a run has it before it sees a voxel."""
    return choose(case.problem, Limits.detect(threads))


def _engine(case, x, kernel, threads):
    plan = chosen(case, threads)
    return lambda: execute(plan, x, kernel, None)


def _direct(case, x, kernel, threads):
    problem = case.problem

    def call():
        out = np.empty(problem.output_shape, np.float32)
        direct.run(problem, x, kernel, None, out, threads=threads)
        return out

    return call


def _torch(case, x, kernel, threads):
    import torch

    torch.set_num_threads(threads)
    weight = torch.from_numpy(np.ascontiguousarray(kernel.transpose(4, 3, 0, 1, 2)))
    (before, after), *_ = case.problem.padding
    padded = torch.nn.functional.pad if before != after else None
    source = torch.from_numpy(x)

    def call():
        torch.set_num_threads(threads)
        with torch.inference_mode():
            given = padded(source, (before, after) * 3) if padded else source
            border = 0 if padded else before
            result = torch.nn.functional.conv3d(given, weight, None, case.stride, border, case.dilation, case.groups)
        return result.numpy()

    return call


def _onnxruntime(case, x, kernel, threads):
    import onnx
    import onnxruntime

    (before, after), *_ = case.problem.padding
    node = onnx.helper.make_node(
        "Conv",
        ["x", "w"],
        ["y"],
        pads=[before] * 3 + [after] * 3,
        strides=[case.stride] * 3,
        dilations=[case.dilation] * 3,
        group=case.groups,
    )
    real = onnx.TensorProto.FLOAT
    weight = onnx.numpy_helper.from_array(np.ascontiguousarray(kernel.transpose(4, 3, 0, 1, 2)), "w")
    graph = onnx.helper.make_graph(
        [node],
        "conv",
        [onnx.helper.make_tensor_value_info("x", real, x.shape)],
        [onnx.helper.make_tensor_value_info("y", real, case.problem.output_shape)],
        [weight],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"x": x})[0]


def _ndimage(case, x, kernel, threads):
    from scipy import ndimage

    if (case.channels, case.filters, case.stride, case.dilation) != (1, 1, 1, 1) or case.kernel > 7:
        return None
    weights = kernel[..., 0, 0]
    return lambda: ndimage.correlate(x[0, 0], weights, mode="constant")[None, None]


RUNNERS = (
    Runner(ENGINE, "conv3d_cli", _engine, ours=True),
    Runner("direct", "conv3d_cli", _direct, ours=True),
    Runner("PyTorch", "torch", _torch),
    Runner("ONNX Runtime", "onnxruntime", _onnxruntime),
    Runner("scipy.ndimage", "scipy", _ndimage),
)


def installed() -> dict[str, str]:
    """Return the version of each runner's library that can be imported."""
    versions = {}
    for runner in RUNNERS:
        try:
            versions[runner.name] = str(getattr(importlib.import_module(runner.module), "__version__", ""))
        except ImportError:
            continue
    return versions
