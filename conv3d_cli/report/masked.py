"""What a report says of a mask: the file, what was inside, what had no value, and what each layer made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from conv3d_cli.report import words

if TYPE_CHECKING:
    from conv3d_cli.masking import Masking
    from conv3d_cli.pipeline import Counts
    from conv3d_cli.pipeline.inside import LayerCounts

Document = dict[str, Any]


def masked_document(masking: Masking | None, facts: Document | None) -> Document | None:
    """Return what is known of a mask beforehand; ``facts`` has the path of its file."""
    if masking is None:
        return None
    return {
        "by": masking.by,
        "outside": masking.outside,
        "min_coverage": masking.min_coverage,
        "nan": "missing" if masking.missing else "local",
        **(facts or {"path": None}),
    }


def counted_document(document: Document | None, counts: Counts | None) -> Document | None:
    """Return the same with what a run has counted."""
    if document is None or counts is None:
        return document
    return {
        **document,
        "inside": counts.inside,
        "labels": counts.labels,
        "missing": counts.missing,
        "filled": counts.filled,
        "uncovered": counts.uncovered,
    }


def rules_document(counts: LayerCounts) -> Document:
    """Return what a layer did inside a mask."""
    return {
        "normalised": counts.normalised,
        "filled": counts.filled,
        "uncovered": counts.uncovered,
        "dtype": counts.dtype,
    }


def mask_lines(mask: Document | None) -> list[str]:
    """Return the line of a table about a mask."""
    if mask is None:
        return []
    parts = []
    if mask.get("labels") is not None:
        parts.append(f"{mask['labels']} label{'s' * (mask['labels'] != 1)}")
    if "inside" in mask and mask["by"] != "missing":
        parts.append(f"{mask['inside']} voxels inside")
    if mask["nan"] == "missing":
        parts.append(f"{mask['missing']} NaN missing, {mask['filled']} filled" if "missing" in mask else "NaN missing")
    if mask.get("uncovered"):
        parts.append(f"{mask['uncovered']} with too little coverage")
    outside = {"zero": "0", "keep": "as in the input", "nan": "NaN"}[mask["outside"]]
    name = words.printable(mask["path"] or "(no file)")
    return [f"{mask['by'] if mask['path'] else 'mask':<7}{name}: {', '.join([*parts, f'outside {outside}'])}"]


def rule_lines(layer: Document | None) -> list[str]:
    """Return what there is to say of a layer inside a mask."""
    if layer is None:
        return []
    parts = []
    if layer["normalised"]:
        parts.append("divided by the weight inside")
    if layer["filled"]:
        parts.append("missing voxels taken for the mean of the window")
    if layer["uncovered"]:
        parts.append(f"{layer['uncovered']} voxels with too little coverage")
    return [f"mask: {', '.join(parts)}"] if parts else []
