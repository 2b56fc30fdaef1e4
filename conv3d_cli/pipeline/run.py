"""Carry out a plan: the volume through every layer, counting and timing on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np

from conv3d_cli import engine
from conv3d_cli.engine.blocks import Array
from conv3d_cli.engine.threads import Pieces, share
from conv3d_cli.errors import MethodError
from conv3d_cli.pipeline.arrange import paired_blocks
from conv3d_cli.pipeline.plan import RunPlan, Step
from conv3d_cli.volumes.values import Values, scan

ACTIVATION_BLOCK_VOXELS = 1 << 18

Tick = Callable[[float], None]


@dataclass(frozen=True)
class StepOutcome:
    """What a layer did: the plan that was carried out in the end, and its time in seconds."""

    step: Step
    plan: engine.Plan
    seconds: float


@dataclass(frozen=True)
class Outcome:
    """The output in the file's order of axes, the values going in and coming out, and what each layer did."""

    array: Array
    steps: tuple[StepOutcome, ...]
    input_values: Values
    output_values: Values
    warnings: tuple[str, ...] = field(default=())


def run(plan: RunPlan, read: Callable[[], Array], tick: Tick | None = None) -> Outcome:
    """Run the network over the array that ``read`` returns, which has the plan's input shape and dtype.

    It is read here and let go after the first layer, so that at most two arrays are held at once. ``tick`` hears the
    share of the predicted work that is done. Raises MethodError where a forced method cannot take the values.
    """
    array = read()
    values = scan(array)
    warnings = []
    if values.nonfinite:
        warnings.append(
            f"the input has {values.nonfinite} non-finite voxels, the first at index {values.first_nonfinite}: "
            "they spread as far as the kernel reaches"
        )
    whole, done, outcomes = max(plan.seconds, 1e-9), 0.0, []
    for step in plan.steps:
        start, share_of = perf_counter(), step.plan.seconds / whole
        known = values if step is plan.steps[0] else None
        array, used = _convolve(step, array, known, tick and _part(tick, done, share_of))
        _activate(step, array)
        done += share_of
        outcomes.append(StepOutcome(step, used, perf_counter() - start))
    return Outcome(array, tuple(outcomes), values, scan(array), tuple(warnings))


def _part(tick: Tick, start: float, length: float) -> Tick:
    return lambda fraction: tick(start + length * fraction)


def _convolve(step: Step, array: Array, known: Values | None, tick: Tick | None) -> tuple[Array, engine.Plan]:
    """Return the layer's output before its activation, and the plan that the values allowed.

    ``known`` holds the values of the file, if this is what the layer takes: a refusal then names the file's own index.
    """
    problem = step.plan.asked
    kernel, *rest = (array.astype(problem.dtype, copy=False) for array in step.layer.weights)
    bias = rest[0] if rest else None
    out = step.target.empty(problem.dtype)
    pairs = list(paired_blocks(step.source.planar(array), step.target.planar(out)))
    try:
        plan = engine.settle(step.plan, step.source.planar(array), kernel)
    except MethodError as error:
        if known is None or not known.nonfinite:
            raise MethodError(f"layer {step.layer.name!r}: {error}") from None
        raise MethodError(
            f"layer {step.layer.name!r}: method {step.plan.method!r} would spread non-finite voxels: got "
            f"{known.nonfinite}, the first at index {known.first_nonfinite}, expected none, or another method"
        ) from None
    for i, (x, y) in enumerate(pairs):
        engine.execute(plan, x, kernel, bias, y, tick and _part(tick, i / len(pairs), 1 / len(pairs)), settled=True)
    return out, plan


def _activate(step: Step, array: Array) -> None:
    """Apply the layer's activation in place, in blocks that stay in cache, shared by threads."""
    activation = step.layer.activation
    if activation.name == "linear":
        return
    planar = step.target.planar(array)
    planar = planar if planar.ndim > 4 else planar[np.newaxis]
    first = step.layer.data_format == "channels_first"
    view = planar if first else np.moveaxis(planar, -4, -1)
    mixed = None if activation.axis is None else activation.axis % view.ndim
    space = [view.ndim - (3 if first else 4) + dimension for dimension in step.target.memory_order]
    axis = next(a for a in space if a != mixed)
    rows = view.shape[axis]
    length = max(1, ACTIVATION_BLOCK_VOXELS * rows // max(view.size, 1))
    pieces = Pieces([slice(start, start + length) for start in range(0, rows, length)])

    def work() -> None:
        for piece in pieces:
            part = view[(slice(None),) * axis + (piece,)]
            activation(part, out=part)

    share(work, step.plan.threads, stop=pieces.close)
