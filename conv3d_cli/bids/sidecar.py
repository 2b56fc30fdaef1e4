"""The sidecar of a derivative: what it was made from and how, and what still holds of what its source's says."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from conv3d_cli.bids.dataset import Image
from conv3d_cli.bids.names import Name

OURS = "Conv3d"
"""The key that says how conv3d made an image, and that its sidecar is conv3d's to replace."""

NOT_PASSED_ON = frozenset(
    {
        # of the source's own making
        "Description",
        "GeneratedBy",
        "RawSources",
        "Sources",
        OURS,
        # paths in the source's dataset, and ties between its files
        "B0FieldIdentifier",
        "B0FieldSource",
        "IntendedFor",
        # a convolved slice holds its neighbours, which were recorded at other times
        "SliceTiming",
    }
)
"""Metadata that do not hold any more once an image is convolved."""

UNITS = "Units"
RAW, SOURCE = "raw", "source"
"""What a dataset is called by its derivatives: one in which nothing was computed before, and one of derivatives."""

_OPTION = "option --"
_SHA256 = re.compile("[0-9a-f]{64}")

OF_FILES = ("spec_path", "weights_path", "mask_path", "labels_path", "like_path")


def sidecar(
    image: Image, metadata: Mapping[str, Any], link: str, words: Mapping[str, Any], made_from: Mapping[str, str]
) -> dict[str, Any]:
    """Return what lies beside the derivative of an image.

    ``metadata`` are those of the image, ``link`` is what its dataset is called from here; ``words`` are those of
    ``apply``, and ``made_from`` is what they depend on.
    """
    kept = {key: _seen_from_outside(value, link) for key, value in metadata.items() if key not in NOT_PASSED_ON}
    if not keeps_units(words):
        kept.pop(UNITS, None)
    stripped = _blanked(words) or _stripped(image, metadata, link == RAW)
    if stripped is not None:
        kept["SkullStripped"] = stripped
    return {**kept, OURS: _how(words, made_from)}


def _seen_from_outside(value: Any, link: str) -> Any:
    """Return metadata with the links to its own dataset, ``bids::sub-01/...``, as other datasets have them."""
    if isinstance(value, str):
        return re.sub(r"^bids::", f"bids:{link}:", value)
    if isinstance(value, list):
        return [_seen_from_outside(item, link) for item in value]
    if isinstance(value, dict):
        return {key: _seen_from_outside(item, link) for key, item in value.items()}
    return value


def _blanked(words: Mapping[str, Any]) -> bool:
    """Return whether this run has set everything outside a mask of the brain to zero."""
    if words["mask_path"] is None or words["outside"] not in (None, "zero"):
        return False
    name = Name.parse(PurePath(words["mask_path"]).name)
    return name is not None and name.suffix == "mask" and name.get("desc") == "brain"


def _stripped(image: Image, metadata: Mapping[str, Any], raw: bool) -> bool | None:
    """Return whether all is zero outside the brain, None if nobody knows.

    A recording has everything that was in the scanner. An image that was called "brain" is one without a head.
    """
    said = metadata.get("SkullStripped")
    if isinstance(said, bool):
        return said
    if raw:
        return False
    return True if image.name.get("desc") == "brain" else None


MEANS = ("gaussian", "box", "ball", "unsharp")
"""Filters whose weights have the sum 1, so that what comes out is in the units of what goes in."""


def keeps_units(words: Mapping[str, Any]) -> bool:
    """Return whether the output is in the units of the input, as far as the words of ``apply`` tell."""
    filters = words["filters"]
    return bool(filters) and all(one.name in MEANS and not any(one.config.get("order", ())) for one in filters)


def description(words: Mapping[str, Any]) -> str:
    """Return in words what was done to an image."""
    if words["filters"]:
        what = "Filtered with " + ", then ".join(one.text for one in words["filters"])
    else:
        path = words["spec_path"]
        what = (
            f"Convolved with the layers of {PurePath(path).name}" if path else "Convolved with the layers of a run file"
        )
    inside = next((PurePath(words[word]).name for word in ("mask_path", "labels_path") if words[word]), None)
    return f"{what}, inside {inside}" if inside else what


def _how(words: Mapping[str, Any], made_from: Mapping[str, str]) -> dict[str, Any]:
    """Return what an image was made from beside its source, as the record of the batch has it."""
    hashes = {key: text for key, text in made_from.items() if _SHA256.fullmatch(text)}
    others = {key: text for key, text in made_from.items() if key not in {"version", *hashes}}
    options = {key.removeprefix(_OPTION): json.loads(text) for key, text in others.items() if key.startswith(_OPTION)}
    options |= {key: text for key, text in others.items() if not key.startswith(_OPTION)}
    names = {word.removesuffix("_path"): PurePath(words[word]).name for word in OF_FILES if words[word]}
    return {"Version": made_from["version"], "Options": options, "Files": names, "SHA256": hashes}
