"""The published schema of the report: JSON Schema, draft 2020-12."""

from __future__ import annotations

from typing import Any

from conv3d_cli.engine.methods import METHODS
from conv3d_cli.layers import LAYERS
from conv3d_cli.layers.signature import DIALECTS
from conv3d_cli.report.document import REPORT_VERSION

Schema = dict[str, Any]

STRING: Schema = {"type": "string"}
OPTIONAL_STRING: Schema = {"type": ["string", "null"]}
COUNT: Schema = {"type": "integer", "minimum": 0}
OPTIONAL_COUNT: Schema = {"type": ["integer", "null"], "minimum": 0}
NUMBER: Schema = {"type": "number"}
OPTIONAL_NUMBER: Schema = {"type": ["number", "null"]}
SECONDS: Schema = {"type": "number", "minimum": 0}


def _list(of: Schema, length: int | None = None) -> Schema:
    return {"type": "array", "items": of, **({"minItems": length, "maxItems": length} if length else {})}


def _record(required: Schema, optional: Schema | None = None) -> Schema:
    return {
        "type": "object",
        "properties": {**required, **(optional or {})},
        "required": list(required),
        "additionalProperties": False,
    }


TRIPLE = _list(COUNT, 3)

GEOMETRY: Schema = {
    "spacing": {
        "anyOf": [_list(NUMBER, 3), {"type": "null"}],
        "description": "voxel spacing along x, y, z, in `unit`",
    },
    "origin": {
        "anyOf": [_list(NUMBER, 3), {"type": "null"}],
        "description": "world position of voxel (0, 0, 0)",
    },
    "unit": {"enum": ["mm", "um", "m", "unknown", None]},
    "affine": {
        "anyOf": [_list(_list(NUMBER, 4), 4), {"type": "null"}],
        "description": "voxel index to world",
    },
}

PLACE: Schema = {"shape": _list(COUNT), "axes": {"type": "string", "pattern": "^[xyzctb]+$"}, **GEOMETRY}

VALUES = _record(
    {
        "min": OPTIONAL_NUMBER,
        "max": OPTIONAL_NUMBER,
        "mean": OPTIONAL_NUMBER,
        "nonfinite": COUNT,
        "first_nonfinite": {"anyOf": [_list(COUNT), {"type": "null"}]},
    }
)

METHOD: Schema = {"enum": sorted(METHODS)}

CANDIDATE = _record(
    {
        "method": METHOD,
        "detail": STRING,
        "predicted_seconds": SECONDS,
        "scratch_bytes": COUNT,
        "refused": OPTIONAL_STRING,
    }
)

CONSTRAINT = _record(
    {"constraint": STRING, "meaning": STRING, "violation": OPTIONAL_NUMBER, "satisfied": {"type": "boolean"}}
)

LAYER = _record(
    {
        "name": STRING,
        "class_name": {"enum": sorted(LAYERS)},
        "input_shape": _list(COUNT),
        "input_axes": STRING,
        "output_shape": _list(COUNT),
        "output_axes": STRING,
        "filters": COUNT,
        "channels": COUNT,
        "groups": COUNT,
        "kernel_size": TRIPLE,
        "strides": TRIPLE,
        "dilation_rate": TRIPLE,
        "padding": {"enum": ["valid", "same", "explicit", None]},
        "padding_before": TRIPLE,
        "padding_after": TRIPLE,
        "activation": STRING,
        "parameters": COUNT,
        "multiply_adds": COUNT,
        "receptive_field": TRIPLE,
        **GEOMETRY,
        "method": {"enum": [*METHOD["enum"], None], "description": "null for a layer that does not convolve"},
        "method_detail": STRING,
        "why": STRING,
        "predicted_seconds": SECONDS,
        "scratch_bytes": COUNT,
        "candidates": _list(CANDIDATE),
        "losses": {
            "type": "object",
            "additionalProperties": OPTIONAL_NUMBER,
            "description": "of the regularizers, by weight, and of the output as `activity`",
        },
        "constraints": {"type": "object", "additionalProperties": CONSTRAINT},
    },
    {"seconds": SECONDS},
)

INPUT = _record(
    {**PLACE},
    {
        "path": OPTIONAL_STRING,
        "format": STRING,
        "dtype": STRING,
        "sha256": OPTIONAL_STRING,
        "notes": _list(STRING),
        "values": VALUES,
    },
)

OUTPUT = _record(
    {**PLACE},
    {
        "path": OPTIONAL_STRING,
        "dtype": STRING,
        "bytes": COUNT,
        "clipped": COUNT,
        "nan_to_zero": COUNT,
        "notes": _list(STRING),
        "values": VALUES,
    },
)


def report_schema() -> Schema:
    """Return the JSON Schema of the documents that ``apply --report`` and ``plan --json`` write.

    >>> report_schema()["properties"]["version"]
    {'const': 2}
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "conv3d report",
        **_record(
            {
                "report": {"enum": ["conv3d-plan", "conv3d-run"]},
                "version": {"const": REPORT_VERSION},
                "command": STRING,
                "input": INPUT,
                "output": OUTPUT,
                "spec": _record({"path": STRING, "sha256": STRING, "keras": {"enum": list(DIALECTS)}}),
                "data_format": {"enum": ["channels_last", "channels_first"]},
                "weights": _record(
                    {
                        "path": OPTIONAL_STRING,
                        "sha256": OPTIONAL_STRING,
                        "seed": OPTIONAL_COUNT,
                        "notes": _list(STRING),
                    }
                ),
                "layers": _list(LAYER),
                "compute_dtype": {"enum": ["float32", "float64"]},
                "accuracy": {"enum": ["strict", "default", "fast"]},
                "threads": COUNT,
                "instruction_set": STRING,
                "seconds": _record({"predicted": SECONDS}, {"read": SECONDS, "compute": SECONDS, "write": SECONDS}),
                "memory": _record(
                    {"predicted_bytes": COUNT, "limit_bytes": COUNT, "limit_source": STRING},
                    {"peak_bytes": OPTIONAL_COUNT},
                ),
                "warnings": _list(STRING),
            },
            {"versions": {"type": "object", "additionalProperties": STRING}, "platform": STRING},
        ),
    }
