"""Convolve arrays as people hold them: any batch axes, channels first or last, any real dtype."""

from __future__ import annotations

import numpy as np

from conv3d_cli.engine.blocks import Array
from conv3d_cli.engine.plan import choose, execute
from conv3d_cli.engine.problem import ITEMSIZE, Problem
from conv3d_cli.engine.recycled import OUTPUTS
from conv3d_cli.engine.threads import summon
from conv3d_cli.limits import Limits

DTYPES = {name: np.dtype(name) for name in ITEMSIZE}
"""The dtypes as NumPy has them, one object each: to ask whether an array has one takes a comparison of two places."""


def convolve_array(
    problem: Problem,
    x: Array,
    kernel: Array,
    bias: Array | None,
    *,
    channels_last: bool,
    limits: Limits,
    method: str = "auto",
    accuracy: str = "default",
) -> Array:
    """Return the convolution of ``x``, C-contiguous, in the problem's dtype; ``x`` is not modified.

    ``x`` is ``batch_shape + (d1, d2, d3, C)``, or ``batch_shape + (C, d1, d2, d3)`` unless ``channels_last``;
    ``problem.batch`` counts all its batch axes together. Raises what ``choose`` and ``settle`` raise.

    >>> import numpy as np
    >>> from conv3d_cli.engine import Limits, Problem
    >>> ones = np.ones((2, 3, 4, 4, 4, 1), np.float32)
    >>> problem = Problem(size=(4, 4, 4), kernel=(2, 2, 2), batch=6)
    >>> kernel = np.ones((2, 2, 2, 1, 1), np.float32)
    >>> y = convolve_array(problem, ones, kernel, None, channels_last=True, limits=Limits(1, 2**30))
    >>> y.shape, float(y.max())
    ((2, 3, 3, 3, 3, 1), 8.0)
    """
    plan = choose(problem, limits, method, accuracy)  # first: it refuses what no memory could hold
    summon(plan.threads, plan.seconds)
    batch_shape, merged, shape, dtype = x.shape[:-4], x, problem.output_shape, DTYPES[problem.dtype]
    if x.dtype is not dtype or batch_shape != shape[:1]:
        merged = x.astype(dtype, copy=False).reshape(problem.batch, *x.shape[-4:])
    if channels_last:
        shape = (*shape[:1], *shape[2:], shape[1])
    result = OUTPUTS.empty(shape, dtype)
    execute(plan, _planar(merged, channels_last), kernel, bias, _planar(result, channels_last))
    return result if batch_shape == shape[:1] else result.reshape(*batch_shape, *shape[1:])


def _planar(block: Array, channels_last: bool) -> Array:
    return block.transpose(0, 4, 1, 2, 3) if channels_last else block
