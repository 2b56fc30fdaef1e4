"""The report as a document of plain values. Lengths are in the volume's unit, times in seconds."""

from __future__ import annotations

import platform
from functools import cache
from math import isfinite
from typing import TYPE_CHECKING, Any

from conv3d_cli import __version__
from conv3d_cli.engine import Candidate, Plan, isa
from conv3d_cli.frozen import field, frozen
from conv3d_cli.layers import Conv3D
from conv3d_cli.layers.initializers import Filtered
from conv3d_cli.limits import peak_bytes
from conv3d_cli.report.masked import counted_document, masked_document, rules_document

if TYPE_CHECKING:
    from collections.abc import Sequence

    from conv3d_cli.engine.boundary import Boundary
    from conv3d_cli.layers import Layer
    from conv3d_cli.pipeline import Outcome, RunPlan, Step, StepOutcome
    from conv3d_cli.pipeline.arrange import Arrangement
    from conv3d_cli.provenance import History
    from conv3d_cli.volumes import Geometry
    from conv3d_cli.volumes.values import Values

REPORT_VERSION = 3

LIBRARIES = ("numpy", "scipy", "nibabel", "h5py", "pyyaml", "click")

Document = dict[str, Any]


@frozen
class Context:
    """What surrounds a run: the files, the command line, the notes; each part becomes a part of the document."""

    command: str
    input: Document
    spec: Document | None
    weights: Document
    output: Document = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    mask: Document | None = None
    run: Document | None = None


def plan_document(plan: RunPlan, context: Context) -> Document:
    """Return the document of a plan: everything that is known before a voxel is read."""
    return {
        "report": "conv3d-plan",
        "version": REPORT_VERSION,
        "command": context.command,
        "run": context.run,
        "input": {**_place(plan.source, plan.geometry), **context.input},
        "output": {**_place(plan.target, plan.output_geometry), **context.output},
        "spec": context.spec,
        "mask": masked_document(plan.options.masking, context.mask),
        "data_format": "channels_first" if plan.channels_first else "channels_last",
        "weights": context.weights,
        "layers": [_layer(step, step.plan, _made(context)) for step in plan.steps],
        "compute_dtype": plan.dtype,
        "accuracy": plan.options.accuracy,
        "threads": plan.options.limits.threads,
        "instruction_set": isa.active(),
        "seconds": {"predicted": plan.seconds},
        "memory": {
            "predicted_bytes": plan.peak_bytes,
            "limit_bytes": plan.options.limits.memory,
            "limit_source": plan.options.limits.memory_source,
        },
        "warnings": list(context.warnings),
    }


def run_document(
    plan: RunPlan, outcome: Outcome, context: Context, seconds: dict[str, float], whole: bool = True
) -> Document:
    """Return the document of a run that has happened; ``seconds`` holds the time of each stage by name.

    Unless it is to be ``whole`` it lacks what no table shows and what takes time to find: what the run was made with.
    """
    return with_output(unwritten(plan, outcome, context, seconds, whole), outcome, {}, {})


def unwritten(
    plan: RunPlan, outcome: Outcome, context: Context, seconds: dict[str, float], whole: bool = True
) -> Document:
    """Return the document of a run as it is known before its output is written; ``with_output`` adds the rest."""
    document = plan_document(plan, context)
    layers = [_run_layer(done, _made(context)) for done in outcome.steps]
    return {
        **document,
        "report": "conv3d-run",
        "input": {**document["input"], "values": _values(outcome.input_values)},
        "mask": counted_document(document["mask"], outcome.counts),
        "layers": layers,
        "seconds": {**document["seconds"], **seconds},
        **({"versions": versions(), "platform": platform.platform()} if whole else {}),
        "warnings": [*document["warnings"], *outcome.warnings],
    }


def with_output(document: Document, outcome: Outcome, facts: Document, seconds: dict[str, float]) -> Document:
    """Return the document of a run with its output's values, what more is known of it, and the time that it took."""
    return {
        **document,
        "output": {**document["output"], **facts, "values": _values(outcome.output_values)},
        "seconds": {**document["seconds"], **seconds},
        "memory": {**document["memory"], "peak_bytes": peak_bytes()},
    }


def with_history(document: Document, history: History) -> Document:
    """Return the document of a run with the steps that led to its output, and the hashes of what was read."""
    files = history.steps[-1].files
    told = {**document, "input": {**document["input"], "sha256": files["input"].sha256}}
    mask = files.get("mask", files.get("labels"))
    if mask is not None:
        told["mask"] = {**document["mask"], "sha256": mask.sha256}
    return {**told, "provenance": history.document()}


def _made(context: Context) -> bool:
    return context.weights["path"] is None


def _run_layer(done: StepOutcome, made: bool) -> Document:
    document = {**_layer(done.step, done.plan, made), "seconds": done.seconds}
    if done.counts is not None:
        document["masked"] = rules_document(done.counts)
    if done.activity_loss is not None:
        document["losses"] = {"activity": _finite(done.activity_loss), **document["losses"]}
    return document


@cache
def versions() -> dict[str, str]:
    """Return the versions of this package, Python and the libraries that are installed."""
    from importlib.metadata import PackageNotFoundError, version

    found = {"conv3d": __version__, "python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _layer(step: Step, plan: Plan | None, made: bool) -> Document:
    """Return what there is to say of a layer; one that does not convolve has a kernel of one voxel.

    ``made`` says whether weights are those of the layers' initializers, and not a file's.
    """
    layer = step.layer
    return {
        "name": layer.name,
        "class_name": layer.class_name,
        "input_shape": list(step.source.shape),
        "input_axes": step.source.axes,
        "output_shape": list(step.target.shape),
        "output_axes": step.target.axes,
        "padding_before": [before for before, _ in step.pads],
        "padding_after": [after for _, after in step.pads],
        "activation": "linear" if layer.activation is None else layer.activation.name,
        "parameters": step.parameters,
        "filter": _filter(layer) if made else None,
        "receptive_field": list(step.receptive_field.size),
        **_geometry(step.geometry),
        **_convolution(step, plan),
        "losses": {name: _finite(loss) for name, loss in layer.weight_losses().items()},
        "constraints": _constraints(layer),
    }


def _filter(layer: Layer) -> Document | None:
    """Return what a filter made of a layer's kernel, or None where none did."""
    initializer = layer.initializers.get("kernel")
    if not isinstance(initializer, Filtered):
        return None
    kernel = initializer.on(layer.grid).kernel
    return {
        "text": initializer.filter.text,
        "size": list(kernel.size),
        "parts": [part for part in kernel.parts if part],
        "lost": kernel.lost,
        "per": kernel.per,
    }


def _convolution(step: Step, plan: Plan | None) -> Document:
    if plan is None:
        channels, ones = step.source.channels, [1, 1, 1]
        shape = {"channels": channels, "filters": step.target.channels, "groups": 1, "multiply_adds": 0, "flip": False}
        windows = {"kernel_size": ones, "strides": ones, "dilation_rate": ones, "padding": None, "boundary": None}
        method = {"method": None, "method_detail": "", "why": "", "predicted_seconds": 0.0, "scratch_bytes": 0}
        return {**shape, **windows, **method, "candidates": []}
    problem, padding = plan.asked, step.layer.get_config()["padding"]
    return {
        "channels": problem.channels,
        "filters": problem.filters,
        "groups": problem.groups,
        "flip": isinstance(step.layer, Conv3D) and step.layer.flip,
        "multiply_adds": problem.multiply_adds,
        "kernel_size": list(problem.kernel),
        "strides": list(problem.strides),
        "dilation_rate": list(problem.dilation),
        "padding": padding if isinstance(padding, str) else "explicit",
        "boundary": _boundary(problem.boundary),
        "method": plan.method,
        "method_detail": plan.candidate.detail,
        "why": plan.why,
        "predicted_seconds": plan.seconds,
        "scratch_bytes": plan.scratch_bytes,
        "candidates": [_candidate(candidate) for candidate in plan.candidates],
    }


def _boundary(boundary: Boundary) -> Document:
    """Return what a layer reads around its volume, with the words that others have for it."""
    return {
        "text": str(boundary),
        "value": boundary.value if boundary.is_constant else None,
        "scipy": boundary.scipy,
        "numpy": boundary.numpy,
    }


def _constraints(layer: Layer) -> Document:
    """Return, by weight, the constraint on it and by how much it fails it; nothing before there are weights."""
    return {
        name: {
            "constraint": constraint.name,
            "meaning": constraint.meaning,
            "violation": _finite(violation),
            "satisfied": violation == 0,
        }
        for name, (constraint, violation) in layer.violations().items()
    }


def _candidate(candidate: Candidate) -> Document:
    return {
        "method": candidate.method,
        "detail": candidate.detail,
        "predicted_seconds": candidate.seconds,
        "scratch_bytes": candidate.scratch_bytes,
        "refused": candidate.refused,
    }


def place_document(shape: Sequence[int], axes: str, geometry: Geometry | None) -> Document:
    """Return shape, axes and place in the world of a volume."""
    return {"shape": list(shape), "axes": axes, **_geometry(geometry)}


def _place(place: Arrangement, geometry: Geometry | None) -> Document:
    return place_document(place.shape, place.axes, geometry)


def _geometry(geometry: Geometry | None) -> Document:
    if geometry is None:
        return {"spacing": None, "origin": None, "unit": None, "affine": None}
    return {
        "spacing": [float(v) for v in geometry.spacing],
        "origin": [float(v) for v in geometry.origin],
        "unit": geometry.unit,
        "affine": [[float(v) for v in row] for row in geometry.affine],
    }


def _values(values: Values) -> Document:
    return {
        "min": _finite(values.min),
        "max": _finite(values.max),
        "mean": _finite(values.mean),
        "nonfinite": values.nonfinite,
        "first_nonfinite": None if values.first_nonfinite is None else list(values.first_nonfinite),
    }


def _finite(value: float) -> float | None:
    """Return a number that JSON can hold: None where no voxel is finite."""
    return value if isfinite(value) else None
