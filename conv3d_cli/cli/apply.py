"""``conv3d apply``: a volume through the layers of a spec."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any

import click

from conv3d_cli.cli import options
from conv3d_cli.cli.filetype import FILE
from conv3d_cli.errors import UsageError, quoted

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from conv3d_cli.cli.making import Making
    from conv3d_cli.pipeline import Outcome, RunPlan
    from conv3d_cli.provenance import Hashes, History
    from conv3d_cli.report import Context
    from conv3d_cli.volumes import Source

OUTPUT_DTYPES = (
    "float32", "float64", "float16",
    "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "same",
)  # fmt: skip


@click.command()
@click.argument("source", metavar="IN", type=FILE)
@click.argument("target", metavar="[OUT]", required=False, type=FILE)
@click.option("-o", "--output", metavar="OUT", type=FILE, help="The same as OUT.")
@options.PLANNING
@click.option(
    "--dtype",
    type=click.Choice(OUTPUT_DTYPES),
    default="float32",
    show_default=True,
    help="Type of the voxels written, or that of IN; integers are rounded and clipped, and the clipped are counted.",
)
@options.PROVENANCE
@options.REPORT
@options.OVERWRITE
@options.DRY_RUN
@options.TALKING
def apply(**words: Any) -> None:
    """Apply the layers of SPEC, or filters, to the volume IN and write OUT.

    IN and OUT are .nii, .nii.gz, .hdr/.img, .npy or HDF5 files (`scan.h5:/path/to/dataset`); `-` is a stream. The
    kernel is not flipped: this is correlation, as in every neural network; --flip makes it a true convolution.

    \b
    Example:
      conv3d apply brain.nii.gz edges.nii.gz --spec edges.yaml --report edges.json
      conv3d apply brain.nii.gz slopes.nii.gz --filter gaussian:fwhm=6mm --filter gradient:per=mm
    """
    given = [word for word in (words["target"], words.pop("output")) if word is not None]
    if len(given) != 1:
        raise UsageError(f"output: got {len(given)} names, expected one, as OUT or after -o")
    perform({**words, "target": given[0]})


def perform(words: dict[str, Any]) -> None:
    """Do what the words of the command ask, and tell of it."""
    from conv3d_cli.cli.talk import talking

    check_streams(words)
    with talking(words):
        document = applied(words)
    from conv3d_cli.cli.prepare import show

    show(document, words, stream_output=words["target"] == "-")


def applied(words: dict[str, Any], watch: Watch | None = None) -> dict[str, Any]:
    """Do what the words of the command ask, and return the document of the run, or of its plan if that is all.

    ``watch`` hears of the plan before a voxel is read, and of the progress.
    """
    _refuse_outputs(words)
    hashes = _hashes(words)  # which are found while what follows is imported, and volumes are read
    from conv3d_cli.cli.making import Making
    from conv3d_cli.cli.masks import opened_mask
    from conv3d_cli.cli.prepare import prepare
    from conv3d_cli.report import plan_document
    from conv3d_cli.volumes import open_volume

    with open_volume(words["source"]) as volume, opened_mask(words) as mask:
        words["dtype"] = _dtype(volume, words)
        plan, context = prepare(volume, words, {"path": words["target"], "dtype": words["dtype"]}, mask, weigh=True)
        _refuse_losing_weights(words, plan, context)
        if words["dry_run"]:
            return plan_document(plan, context)
        making = None if hashes is None else Making(words, apply.params, plan, context, hashes)
        return _run(plan, context, volume, mask, words, watch or Watch(), making)


def _hashes(words: dict[str, Any]) -> Hashes | None:
    """Return the hashes of what will be read, or None where nobody is told of them."""
    from conv3d_cli.cli.talk import volumes_in
    from conv3d_cli.provenance import Hashes
    from conv3d_cli.volumes import files_of

    if words["dry_run"] or not (words["provenance"] or words["as_json"] or words["report_path"] is not None):
        return None
    return Hashes({role: files_of(name) for role, name in volumes_in(words).items()})


class Watch:
    """Who follows a run: told of its plan, and asked how its progress is to be shown."""

    def planned(self, plan: RunPlan) -> None:
        """Hear of the plan; the run goes on when this returns."""

    def progress(self, seconds: float, quiet: bool) -> AbstractContextManager[Callable[[float], None] | None]:
        """Return what shows the progress of work that is to take so many seconds."""
        from conv3d_cli.cli.talk import progress

        return progress("convolving", seconds, quiet)


def check_streams(words: dict[str, Any]) -> None:
    """Raise UsageError unless each thing that is written goes to a place of its own kind."""
    if words["target"] == "-" and words["as_json"]:
        raise UsageError("output: '-' and --json both write to standard output, expected one of them")
    if words["report_path"] == "":
        raise UsageError("--report: got '', expected the name of a file")
    if words["report_path"] == "-":
        raise UsageError("--report: got '-', expected the name of a file; --json prints the report")


def _refuse_outputs(words: dict[str, Any]) -> None:
    """Find what can be known to fail before any work: outputs that exist, are inputs, or cannot be written."""
    from conv3d_cli.cli.talk import READ
    from conv3d_cli.outfile import check_apart, check_target
    from conv3d_cli.volumes import check_output, files_of

    inputs = [words[key] for key in (*READ, "run_path") if words.get(key) is not None]
    if not (words["dry_run"] and words["target"] == "-"):  # a plan shown on a terminal writes no voxels to it
        check_output(words["target"], words["overwrite"], inputs, None if words["dtype"] == "same" else words["dtype"])
    if words["report_path"] is not None:
        check_apart(words["report_path"], files_of(*inputs, words["target"]))
        check_target(words["report_path"], words["overwrite"])


def _refuse_losing_weights(words: dict[str, Any], plan: RunPlan, context: Context) -> None:
    """Keep the outputs apart from the weights and kernels that the spec names, which are known only now."""
    from conv3d_cli.outfile import check_apart
    from conv3d_cli.pipeline import kernel_files
    from conv3d_cli.volumes import files_of

    outputs = [name for name in (words["target"], words["report_path"]) if name is not None]
    kernels = kernel_files([step.layer for step in plan.steps], plan.options.folder)
    read = [context.weights["path"]] if context.weights["path"] is not None else []
    for path in files_of(*outputs):
        check_apart(path, [*read, *files_of(*kernels)])


def _dtype(volume: Source, words: dict[str, Any]) -> str:
    """Return the type to write, that of the input for "same"; UsageError where the output cannot be of it."""
    from conv3d_cli.volumes import check_dtype, same_dtype

    name: str = words["dtype"]
    if name == "same":
        name = same_dtype(volume)
        check_dtype(words["target"], name, volume.format)
    if words["outside"] == "nan" and "int" in name:
        raise UsageError(f"--outside: 'nan' cannot be written as {name}: expected zero or keep, or --dtype float32")
    return name


def _run(
    plan: RunPlan,
    context: Context,
    volume: Source,
    mask: Source | None,
    words: dict[str, Any],
    watch: Watch,
    making: Making | None,
) -> dict[str, Any]:
    """Read, convolve, write; return the report."""
    from conv3d_cli.cli.masks import read_inside
    from conv3d_cli.cli.prepare import is_json, json_text
    from conv3d_cli.cli.talk import log
    from conv3d_cli.outfile import replacing
    from conv3d_cli.pipeline import run
    from conv3d_cli.report import unwritten, with_history, with_output

    seconds: dict[str, float] = {}

    def read() -> Any:
        start = perf_counter()
        array = volume.read(plan.dtype, plan.options.limits.memory)
        seconds["read"] = perf_counter() - start
        return array

    watch.planned(plan)
    labels, reading = None, 0.0
    if mask is not None:
        start = perf_counter()
        labels = read_inside(mask, volume, plan, words)
        reading = perf_counter() - start
    start = perf_counter()
    with watch.progress(plan.seconds, words["quiet"]) as tick:
        outcome = run(plan, read, tick, labels)
    seconds["compute"] = perf_counter() - start - seconds["read"]
    seconds["read"] += reading
    for warning in outcome.warnings:
        log.warning(warning)
    document = unwritten(plan, outcome, context, seconds, is_json(words))  # or fail, before OUT is there
    start = perf_counter()
    history = None if making is None else making.history({"input": volume, "mask": mask, "labels": mask})
    written = _save(plan, outcome, volume, words, history)
    document = with_output(document, outcome, written, {"write": perf_counter() - start})
    if history is not None:
        document = with_history(document, history)
    if words["report_path"] is not None:
        with replacing(words["report_path"], overwrite=words["overwrite"]) as file:
            file.write(json_text(document).encode())
    return document


def _save(
    plan: RunPlan, outcome: Outcome, volume: Source, words: dict[str, Any], history: History | None
) -> dict[str, Any]:
    """Write the output volume and return what the report says of it."""
    from conv3d_cli.cli.talk import log
    from conv3d_cli.volumes import Volume, save_volume

    text = history.text() if history is not None and words["provenance"] else None
    if words["provenance"] and text is None:
        log.warning("%s: does not hold how it was made, which is too long for it", quoted(words["target"]))
    place = plan.target.axes, plan.output_geometry, volume.format, volume.meta
    result = Volume(outcome.array, *place, provenance=text)
    saved = save_volume(result, words["target"], words["dtype"], overwrite=words["overwrite"])
    if saved.clipped:
        log.warning("%s: %d voxels clipped to the range of %s", quoted(words["target"]), saved.clipped, words["dtype"])
    if saved.nans:
        log.warning("%s: %d NaN voxels became 0", quoted(words["target"]), saved.nans)
    return {
        "axes": saved.axes,
        "shape": list(saved.shape),
        "bytes": saved.bytes,
        "clipped": saved.clipped,
        "nan_to_zero": saved.nans,
        "notes": list(saved.notes),
    }
