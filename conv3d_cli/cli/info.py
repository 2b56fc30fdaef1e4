"""``conv3d info``: a volume, a weights file, a spec, a run file, or this machine and build."""

from __future__ import annotations

from importlib import import_module
from pathlib import PurePath
from typing import Any

import click

from conv3d_cli.cli import options
from conv3d_cli.errors import UsageError, quoted

RUN_FILES = (".yaml", ".yml", ".json")
SPECS, WEIGHTS = (*RUN_FILES, ".keras"), (".npz", ".safetensors")
SCHEMAS = {
    "spec": "conv3d_cli.spec:json_schema",
    "run": "conv3d_cli.cli.runkeys:schema",
    "report": "conv3d_cli.report:report_schema",
    "batch": "conv3d_cli.report:batch_schema",
    "bench": "conv3d_cli.bench:bench_schema",
    "compare": "conv3d_cli.report:comparison_schema",
}


@click.command()
@click.argument("path", metavar="[FILE]", required=False)
@click.option(
    "--schema",
    type=click.Choice(SCHEMAS),
    is_flag=False,
    flag_value="spec",
    help="Print the JSON Schema of a spec, of a run file, or of what a command tells.  [spec if no name is given]",
)
@options.JSON
def info(path: str | None, schema: str | None, as_json: bool) -> None:
    """Show what FILE holds: a volume, a spec, a run file, a Keras model or weights. Without FILE: this machine.

    Of a volume that conv3d made it tells how, and whether the files that it was made from are what they were.

    \b
    Example:
      conv3d info brain.nii.gz
      conv3d info model.keras
      conv3d info --schema > conv3d-spec.schema.json
    """
    from conv3d_cli.cli.prepare import print_json
    from conv3d_cli.report.layer_rows import layer_document, layer_row
    from conv3d_cli.report.table import render_rows
    from conv3d_cli.report.words import printable

    if schema is not None:
        if path is not None:
            raise UsageError(f"--schema: goes without a file: got {quoted(path)}, expected none")
        print_json(_schema(schema))
        return
    facts = _facts(path)
    layers = facts.pop("layers", [])
    if as_json:
        print_json({**facts, "layers": [layer_document(layer) for layer in layers]} if layers else facts)
        return
    facts.pop("provenance", None)  # of which "made by" and the like are what a person reads
    for name, value in facts.items():
        for i, line in enumerate(_lines(name, value)):
            click.echo(printable(f"{name if i == 0 else '':<18}{line}"))
    if layers:
        render_rows("", [layer_row(layer) for layer in layers])


def _schema(name: str) -> dict[str, Any]:
    module, function = SCHEMAS[name].split(":")
    schema: dict[str, Any] = getattr(import_module(module), function)()
    return schema


def _facts(path: str | None) -> dict[str, Any]:
    """Return what there is to tell, by the kind of file."""
    if path is None:
        return _machine()
    suffix = PurePath(path).suffix.lower()
    if suffix in RUN_FILES:
        from conv3d_cli.runfile import holds_run

        if holds_run(path):
            return _run_file(path)
    if suffix in SPECS:
        return _spec(path)
    if suffix in WEIGHTS:
        return _weights(path)
    if suffix in (".h5", ".hdf5"):
        from conv3d_cli.weights import hdf5_holds

        return {"model": _spec, "weights": _weights, "volume": _volume}[hdf5_holds(path)](path)
    return _volume(path)


def _run_file(path: str) -> dict[str, Any]:
    """Return what a run file says, or a report of how it can be repeated; raises SpecError for one that is wrong."""
    from conv3d_cli.cli.run import read

    run = read(path)
    keys = {key.dotted: key for key in run.keys.owned(run.command).values()}
    says = {name: _said(run.words[keys[name].word]) for name in run.places if name in keys}
    layers = run.words["layers"]
    facts = {
        "run file": path,
        "runs": run.command,
        "says": {key: value for key, value in says.items() if value is not None},
    }
    return facts if layers is None else {**facts, "layers": list(layers.load().network)}


def _said(value: Any) -> Any:
    if isinstance(value, list):
        return [getattr(item, "text", item) for item in value]
    return "/".join(map(str, value)) if isinstance(value, tuple) else value


def _machine() -> dict[str, Any]:
    from conv3d_cli.engine import METHODS, isa, pace
    from conv3d_cli.limits import Limits
    from conv3d_cli.report.document import versions

    limits = Limits.detect()
    return {
        "engine": isa.active() if isa.native() else f"NumPy reference path ({isa.why_missing()})",
        "instruction sets": list(isa.available()),
        "methods": [f"{method.name}: {method.summary}" for method in METHODS.values()],
        "threads": limits.threads,
        "costs": _costs(pace.active(limits.threads).measured),
        "memory": limits.memory,
        "memory source": limits.memory_source,
        "versions": versions(),
    }


def _costs(measured: str | None) -> str:
    return (
        "as shipped; 'conv3d bench --calibrate' measures this machine" if measured is None else f"measured {measured}"
    )


def _spec(path: str) -> dict[str, Any]:
    from conv3d_cli.spec import is_model, load_spec

    if is_model(path):
        return _model(path)
    spec = load_spec(path)
    facts = {"spec": path, "sha256": spec.sha256, "keras": spec.keras, "weights": spec.weights}
    return {**facts, "layers": list(spec.network)}


def _model(path: str) -> dict[str, Any]:
    from conv3d_cli.errors import SpecError
    from conv3d_cli.models import build_network, read_model

    model = read_model(path)
    facts = {"model": path, "sha256": model.sha256, "keras": model.version or str(model.keras), "notes": model.notes}
    try:
        return {**facts, "runs": "whole", "layers": list(build_network(model))}
    except SpecError as error:
        return {**facts, "runs": list(error.problems), "layers": list(model.entries)}


def _weights(path: str) -> dict[str, Any]:
    from conv3d_cli.weights import read_weights

    weights = read_weights(path)
    return {
        "weights": path,
        "sha256": weights.sha256,
        "arrays": {name: f"{list(header.shape)} {header.dtype}" for name, header in weights.headers.items()},
    }


def _volume(path: str) -> dict[str, Any]:
    from conv3d_cli.cli.made_by import made_by
    from conv3d_cli.volumes import open_volume
    from conv3d_cli.volumes.axes import resolve_axes

    with open_volume(path) as volume:
        try:
            axes: str | None = resolve_axes(volume.format, len(volume.shape), None, "channels_last")
        except UsageError:
            axes = None
        geometry = None if axes is None else volume.geometry_for(axes)
        return {
            "volume": path,
            "format": volume.format,
            "shape": list(volume.shape),
            "axes": axes,
            "dtype": str(volume.dtype),
            "bytes": volume.nbytes_stored,
            "spacing": None if geometry is None else list(geometry.spacing),
            "unit": None if geometry is None else geometry.unit,
            "affine": None if geometry is None else geometry.affine.tolist(),
            **made_by(path, volume),
            "notes": list(volume.notes),
        }


def _lines(name: str, value: Any) -> list[str]:
    """Return a value as the lines that a person reads: bytes with their unit, lengths in space with their axes."""
    from conv3d_cli.report.words import size

    if name == "made from":
        from conv3d_cli.cli.made_by import file_line

        return [file_line(file) for file in value]
    if value is not None and name in ("bytes", "memory"):
        return [size(value)]
    if value is not None and name == "spacing":
        return [", ".join(f"{axis} {length:.6g}" for axis, length in zip("xyz", value, strict=True))]
    if isinstance(value, dict):
        plain = {key: ", ".join(map(str, item)) if isinstance(item, list) else item for key, item in value.items()}
        return [f"{key}: {item}" for key, item in plain.items()] or ["none"]
    if isinstance(value, list) and value and isinstance(value[0], (str, list, dict)):
        return [" ".join(map(str, item)) if isinstance(item, list) else str(item) for item in value]
    if isinstance(value, list):
        return [" x ".join(map(str, value)) or "none"]
    return ["none" if value is None else str(value)]
