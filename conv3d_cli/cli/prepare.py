"""From the words of a command to a plan: what ``apply`` and ``plan`` have in common, before a voxel is read."""

from __future__ import annotations

import sys
from types import NoneType
from typing import TYPE_CHECKING, Any

from conv3d_cli.cli.masks import check_mask, masking_of, placed
from conv3d_cli.cli.talk import log
from conv3d_cli.cli.words import command_line
from conv3d_cli.errors import UsageError, quoted
from conv3d_cli.layers import Conv3D
from conv3d_cli.layers.initializers import Filtered
from conv3d_cli.limits import Limits
from conv3d_cli.paths import folder_of
from conv3d_cli.pipeline import Options, RunPlan, filter_network, plan_run
from conv3d_cli.report import Context
from conv3d_cli.spec import Spec

if TYPE_CHECKING:
    from conv3d_cli.cli.grids import BareShape
    from conv3d_cli.layers import Network
    from conv3d_cli.pipeline.plan import Header
    from conv3d_cli.volumes import Source

Words = dict[str, Any]


def prepare(
    header: Source | BareShape, words: Words, output: Words, mask: Source | None, *, weigh: bool
) -> tuple[RunPlan, Context]:
    """Return the plan of a run and what its report says around it; no voxel is read.

    ``mask`` is the opened file of the mask or labels that the words name. With ``weigh`` the layers get their weights,
    otherwise a weights file is only checked against them.

    Raises SpecError, WeightsError, LayerError, UsageError, MethodError or OverLimit, each with its exit code.
    """
    check_layers(words)
    masking = masking_of(words)
    spec, grid = _spec(header, words)
    for layer in spec.network if words["flip"] else ():
        if isinstance(layer, Conv3D):
            layer.flip = True
    if words["boundary"] is not None:
        _surround(spec.network, words["boundary"])
    options = Options(
        Limits.detect(words["threads"], words["max_memory"]),
        words["axes"],
        words["method"],
        words["accuracy"],
        words["compute_dtype"],
        folder_of(spec.path),
        masking,
    )
    plan = plan_run(grid, spec.network, options)
    if mask is not None:
        check_mask(mask, header, plan, words)
    facts, warnings = _weights(spec, words, plan, weigh)
    context = Context(
        command=command_line(),
        input=_input(header, words, plan),
        spec={"path": spec.path, "sha256": spec.sha256, "keras": spec.keras} if spec.path else None,
        weights=facts,
        output=output,
        mask=None if masking is None else {"path": words["mask_path"] or words["labels_path"]},
        run=_repeated(words),
        warnings=(*_missing_kernels(), *plan.warnings, *spec.notes, *warnings),
    )
    for warning in context.warnings:
        log.warning(warning)
    for step in plan.steps:
        for way in step.plan.candidates if step.plan else ():
            state = way.refused or f"predicted {way.seconds:.3g} s, {way.scratch_bytes} bytes beside input and output"
            log.debug("layer %r: %s (%s): %s", step.layer.name, way.method, way.detail, state)
    return plan, context


def _surround(network: Network, boundary: str) -> None:
    """Have every convolution read a boundary around its volume; UsageError for one that reads nothing there."""
    from conv3d_cli.layers.arguments import nothing_around

    convolutions = [layer for layer in network if isinstance(layer, Conv3D)]
    if not convolutions:
        raise UsageError(f"--boundary: no layer convolves: got {boundary!r}, expected a Conv3D to give it to")
    for layer in convolutions:
        if refusal := nothing_around(boundary, layer.padding):
            raise UsageError(f"--{refusal}, for layer {layer.name!r}")
        layer.boundary = boundary


def check_layers(words: Words) -> None:
    """Raise UsageError unless the words name one source of layers: a spec, or filters."""
    named = [words["spec_path"] is not None, words.get("layers") is not None, bool(words["filters"])]
    if sum(named) != 1:
        got = "both" if any(named) else "neither"
        raise UsageError(f"--spec: needs either a spec or --filter: got {got}, expected one of them")
    if words["filters"] and words["weights_path"] is not None:
        raise UsageError(
            f"--weights: got {quoted(words['weights_path'])} beside --filter, expected none: a filter has its weights"
        )


def _spec(header: Source | BareShape, words: Words) -> tuple[Spec, Header]:
    """Return the layers, those of the spec or those that the filters make for the volume, and the volume's grid."""
    if words["filters"]:
        grid, dtype = placed(header, words, "channels_last"), words["compute_dtype"] or "float32"
        return Spec(filter_network(words["filters"], grid, words["axes"], dtype), None, 2, "", ""), grid
    from conv3d_cli.spec import spec_in

    spec = spec_in(words)
    assert spec is not None
    return spec, placed(header, words, spec.network.data_format)


def _input(header: Source | BareShape, words: Words, plan: RunPlan) -> Words:
    """Return what the report says of the input, and tell its notes."""
    from conv3d_cli.volumes import Source

    if not isinstance(header, Source):
        return {"path": None}
    notes = list(header.notes)
    if header.dtype.kind in "iub":
        notes.append(f"{header.dtype.name} voxels are cast to {plan.dtype}")
    for note in notes:
        log.info("%s: %s", quoted(words["source"]), note)
    return {"path": words["source"], "format": header.format, "dtype": str(header.dtype), "notes": notes}


def _weights(spec: Spec, words: Words, plan: RunPlan, weigh: bool) -> tuple[Words, list[str]]:
    """Give the layers their weights, from a file or from their initializers, and return what the report says of it."""
    path, shape = words["weights_path"] or spec.weights, plan.input_shape
    if path is None:
        if weigh:
            spec.network.build(shape, seed=words["seed"])
        drawn = any(not isinstance(layer.initializers.get("kernel"), (Filtered, NoneType)) for layer in spec.network)
        facts: Words = {"path": None, "sha256": None, "seed": words["seed"] if drawn else None, "notes": []}
        if not drawn:
            return facts, []
        return facts, [
            f"{quoted(spec.path)}: no weights are given: they come from the layers' initializers, "
            f"with seed {words['seed']} where a layer sets none"
        ]
    from conv3d_cli.weights import assign, check, read_weights

    weights = read_weights(path)
    notes: list[str] = []
    if weigh:
        notes = assign(spec.network, weights, shape, spec.entries)
    else:
        check(spec.network, weights, shape, spec.entries)
    return {"path": path, "sha256": weights.sha256, "seed": None, "notes": notes}, []


def is_json(words: Words) -> bool:
    """Return whether the document is printed or written as JSON, and not only shown as a table."""
    return bool(words["as_json"]) or words.get("report_path") is not None


def _repeated(words: Words) -> Words | None:
    """Return the run file that does the same again, or None where there is no volume to do it to.

    A table does not show it, and does not wait for what it takes to make one.
    """
    if words["source"] is None or not is_json(words):
        return None
    from conv3d_cli.cli.runkeys import run_keys
    from conv3d_cli.runfile import run_section

    return run_section(words, run_keys(), "apply")


def _missing_kernels() -> list[str]:
    from conv3d_cli.engine import isa

    if isa.active() != isa.NUMPY:
        return []
    return [f"the slow NumPy path runs: {isa.why_missing()}"]


def show(document: Words, words: Words, stream_output: bool = False) -> None:
    """Print a document: as JSON if asked, else as a table; on standard error where standard output is data."""
    if words["as_json"]:
        print_json(document)
    elif not words["quiet"]:
        from conv3d_cli.report import render

        render(document, sys.stderr if stream_output else sys.stdout)


def print_json(document: Any) -> None:
    """Print one JSON document on standard output."""
    sys.stdout.write(json_text(document))


def json_text(document: Any) -> str:
    """Return a document as strict JSON."""
    import json

    return json.dumps(document, indent=2, allow_nan=False, ensure_ascii=True) + "\n"
