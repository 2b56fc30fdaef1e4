"""Convolutions by the frameworks for networks: the call that each is fastest with, weights and buffers made before.

``x`` is (N, C, D, H, W), for channels that lie last in memory a view of such an array; ``kernel`` is in Keras's layout.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from conv3d_cli.bench.cases import Case
from conv3d_cli.engine.blocks import Array

Call = Callable[[], Array]


def _weights(kernel: Array) -> Array:
    """Return the kernel as (F, C / groups, kd, kh, kw)."""
    return np.ascontiguousarray(kernel.transpose(4, 3, 0, 1, 2))


def _ends(case: Case) -> tuple[list[int], list[int]]:
    """Return the zeros before and after each axis."""
    return [before for before, _ in case.problem.padding], [after for _, after in case.problem.padding]


def torch(case: Case, x: Array, kernel: Array, threads: int) -> Call:
    """Return PyTorch's conv3d, channels_last_3d where the channels lie last."""
    import torch

    before, after = _ends(case)
    pads = [pad for axis in (2, 1, 0) for pad in (before[axis], after[axis])]
    weight, source = torch.from_numpy(_weights(kernel)), torch.from_numpy(x)
    if case.last:
        weight = weight.to(memory_format=torch.channels_last_3d)
    conv3d, pad = torch.nn.functional.conv3d, torch.nn.functional.pad

    def call() -> Array:
        torch.set_num_threads(threads)
        with torch.inference_mode():
            if before == after:
                result = conv3d(source, weight, None, case.stride, before, case.dilation, case.groups)
            else:
                result = conv3d(pad(source, pads), weight, None, case.stride, 0, case.dilation, case.groups)
        values: Array = result.numpy()
        return values

    return call


def torch_pool(case: Case, x: Array, kernel: Array, threads: int) -> Call | None:
    """Return PyTorch's mean over a box."""
    if case.values is None or case.values[0] != "box" or case.stride * case.dilation > 1 or case.kernel[0] % 2 == 0:
        return None
    import torch

    source, pool = torch.from_numpy(x), torch.nn.functional.avg_pool3d

    def call() -> Array:
        torch.set_num_threads(threads)
        with torch.inference_mode():
            values: Array = pool(source, case.kernel, 1, case.kernel[0] // 2).numpy()
        return values

    return call


def onnxruntime(case: Case, x: Array, kernel: Array, threads: int) -> Call:
    """Return a session of ONNX Runtime that holds one Conv; it takes channels first only, others are copied."""
    import onnx
    import onnxruntime

    before, after = _ends(case)
    node = onnx.helper.make_node(
        "Conv",
        ["x", "w"],
        ["y"],
        pads=before + after,
        strides=[case.stride] * 3,
        dilations=[case.dilation] * 3,
        group=case.groups,
    )
    real = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [node],
        "conv",
        [onnx.helper.make_tensor_value_info("x", real, case.problem.input_shape)],
        [onnx.helper.make_tensor_value_info("y", real, case.problem.output_shape)],
        [onnx.numpy_helper.from_array(_weights(kernel), "w")],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"x": np.ascontiguousarray(x)})[0]


def openvino(case: Case, x: Array, kernel: Array, threads: int) -> Call:
    """Return OpenVINO's convolution in float32; it takes channels first only, others are copied."""
    import openvino
    from openvino import opset13 as ops

    before, after = _ends(case)
    source = ops.parameter(case.problem.input_shape, np.float32)
    weights = _weights(kernel)
    how: tuple[Any, ...] = ([case.stride] * 3, before, after, [case.dilation] * 3)
    if case.groups == 1:
        result = ops.convolution(source, ops.constant(weights), *how)
    else:
        grouped = weights.reshape(case.groups, -1, *weights.shape[1:])
        result = ops.group_convolution(source, ops.constant(grouped), *how)
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
    }
    compiled = openvino.Core().compile_model(openvino.Model([result], [source]), "CPU", settings)
    request = compiled.create_infer_request()

    def call() -> Array:
        given = {0: np.ascontiguousarray(x)}
        values: Array = request.infer(given, share_inputs=True, share_outputs=True)[0]
        return values

    return call


def tensorflow(case: Case, x: Array, kernel: Array, threads: int) -> Call | None:
    """Return TensorFlow's convolution, which gets the channels last in memory however the case has them.

    It knows no groups, and its threads are those of its first convolution in a process.
    """
    if case.groups > 1:
        return None
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow

    threading = tensorflow.config.threading
    if threading.get_intra_op_parallelism_threads() != threads:
        threading.set_intra_op_parallelism_threads(threads)  # RuntimeError once it has computed something
        threading.set_inter_op_parallelism_threads(1)
    source = tensorflow.constant(np.ascontiguousarray(np.moveaxis(x, 1, -1)))
    weight = tensorflow.constant(kernel)
    pads = [(0, 0), *case.problem.padding, (0, 0)]
    same = case.stride == 1

    def once(source: Any) -> Any:
        given = source if same else tensorflow.pad(source, pads)
        return tensorflow.nn.convolution(
            given, weight, [case.stride] * 3, "SAME" if same else "VALID", dilations=[case.dilation] * 3
        )

    convolve = tensorflow.function(once)
    return lambda: np.moveaxis(convolve(source).numpy(), -1, 1)
