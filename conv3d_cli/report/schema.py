"""The published schema of the report: JSON Schema, draft 2020-12."""

from __future__ import annotations

from typing import Any

from conv3d_cli import provenance
from conv3d_cli.engine.boundary import MODES, PATTERN
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


def list_of(of: Schema, length: int | None = None) -> Schema:
    """Return the schema of a list, of so many items if a length is given."""
    return {"type": "array", "items": of, **({"minItems": length, "maxItems": length} if length else {})}


def record(required: Schema, optional: Schema | None = None) -> Schema:
    """Return the schema of an object with these properties and no other."""
    return {
        "type": "object",
        "properties": {**required, **(optional or {})},
        "required": list(required),
        "additionalProperties": False,
    }


TRIPLE = list_of(COUNT, 3)

GEOMETRY: Schema = {
    "spacing": {
        "anyOf": [list_of(NUMBER, 3), {"type": "null"}],
        "description": "voxel spacing along x, y, z, in `unit`",
    },
    "origin": {
        "anyOf": [list_of(NUMBER, 3), {"type": "null"}],
        "description": "world position of voxel (0, 0, 0)",
    },
    "unit": {"enum": ["mm", "um", "m", "unknown", None]},
    "affine": {
        "anyOf": [list_of(list_of(NUMBER, 4), 4), {"type": "null"}],
        "description": "voxel index to world",
    },
}

PLACE: Schema = {"shape": list_of(COUNT), "axes": {"type": "string", "pattern": "^[xyzctb]+$"}, **GEOMETRY}

VALUES = record(
    {
        "min": OPTIONAL_NUMBER,
        "max": OPTIONAL_NUMBER,
        "mean": OPTIONAL_NUMBER,
        "nonfinite": COUNT,
        "first_nonfinite": {"anyOf": [list_of(COUNT), {"type": "null"}]},
    }
)

METHOD: Schema = {"enum": sorted(METHODS)}

CANDIDATE = record(
    {
        "method": METHOD,
        "detail": STRING,
        "predicted_seconds": SECONDS,
        "scratch_bytes": COUNT,
        "refused": OPTIONAL_STRING,
    }
)

CONSTRAINT = record(
    {"constraint": STRING, "meaning": STRING, "violation": OPTIONAL_NUMBER, "satisfied": {"type": "boolean"}}
)

FILTER = record(
    {
        "text": {**STRING, "description": "as --filter takes it"},
        "size": TRIPLE,
        "parts": list_of(STRING),
        "lost": {**NUMBER, "description": "share of the kernel's magnitude that its cut loses"},
        "per": {**STRING, "description": "unit that the result is per, such as mm^2; 1 for none"},
    }
)

MASK = record(
    {
        "by": {"enum": ["mask", "labels", "missing"], "description": "what says which voxels are inside"},
        "path": OPTIONAL_STRING,
        "outside": {"enum": ["zero", "keep", "nan"]},
        "min_coverage": NUMBER,
        "nan": {"enum": ["local", "missing"]},
    },
    {
        "sha256": STRING,
        "inside": {**COUNT, "description": "voxels"},
        "labels": OPTIONAL_COUNT,
        "missing": {**COUNT, "description": "NaN of the input inside, counted in each volume"},
        "filled": {**COUNT, "description": "of the missing, those that have a value in the output"},
        "uncovered": {**COUNT, "description": "voxels inside, of all channels and volumes, without a value"},
    },
)

MASKED_LAYER = record(
    {
        "normalised": {**COUNT, "description": "filters that are divided by their weight inside"},
        "filled": {**COUNT, "description": "filters without a sum: what is missing is the mean of the window"},
        "uncovered": {**COUNT, "description": "voxels inside, of all channels and volumes, with too little coverage"},
        "dtype": STRING,
    }
)

BOUNDARY = record(
    {
        "text": {"type": "string", "pattern": PATTERN, "description": "as --boundary takes it"},
        "value": {**OPTIONAL_NUMBER, "description": "of a constant; null for other modes"},
        "scipy": {"enum": sorted({mode.scipy for mode in MODES.values()}), "description": "mode of scipy.ndimage"},
        "numpy": {"enum": sorted({mode.numpy for mode in MODES.values()}), "description": "mode of numpy.pad"},
    }
)

LAYER = record(
    {
        "name": STRING,
        "class_name": {"enum": sorted(LAYERS)},
        "input_shape": list_of(COUNT),
        "input_axes": STRING,
        "output_shape": list_of(COUNT),
        "output_axes": STRING,
        "filters": COUNT,
        "channels": COUNT,
        "groups": COUNT,
        "flip": {"type": "boolean", "description": "whether the kernel is turned around: a true convolution"},
        "kernel_size": TRIPLE,
        "strides": TRIPLE,
        "dilation_rate": TRIPLE,
        "padding": {"enum": ["valid", "same", "explicit", None]},
        "boundary": {
            "anyOf": [BOUNDARY, {"type": "null"}],
            "description": "what is read around the volume; null for a layer that does not convolve",
        },
        "padding_before": TRIPLE,
        "padding_after": TRIPLE,
        "activation": STRING,
        "parameters": COUNT,
        "filter": {
            "anyOf": [FILTER, {"type": "null"}],
            "description": "what made the kernel, where a filter did and no file",
        },
        "multiply_adds": COUNT,
        "receptive_field": TRIPLE,
        **GEOMETRY,
        "method": {"enum": [*METHOD["enum"], None], "description": "null for a layer that does not convolve"},
        "method_detail": STRING,
        "why": STRING,
        "predicted_seconds": SECONDS,
        "scratch_bytes": COUNT,
        "candidates": list_of(CANDIDATE),
        "losses": {
            "type": "object",
            "additionalProperties": OPTIONAL_NUMBER,
            "description": "of the regularizers, by weight, and of the output as `activity`",
        },
        "constraints": {"type": "object", "additionalProperties": CONSTRAINT},
    },
    {"seconds": SECONDS, "masked": MASKED_LAYER},
)

INPUT = record(
    {**PLACE},
    {
        "path": OPTIONAL_STRING,
        "format": STRING,
        "dtype": STRING,
        "sha256": OPTIONAL_STRING,
        "notes": list_of(STRING),
        "values": VALUES,
    },
)

OUTPUT = record(
    {**PLACE},
    {
        "path": OPTIONAL_STRING,
        "dtype": STRING,
        "bytes": COUNT,
        "clipped": COUNT,
        "nan_to_zero": COUNT,
        "notes": list_of(STRING),
        "values": VALUES,
    },
)


RUN: Schema = {
    "type": ["object", "null"],
    "description": "the run file that repeats it, as `conv3d info --schema run` has it; null without a volume",
}


def report_schema() -> Schema:
    """Return the JSON Schema of the documents that ``apply --report`` and ``plan --json`` write.

    >>> report_schema()["properties"]["version"]
    {'const': 3}
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "conv3d report",
        **record(
            {
                "report": {"enum": ["conv3d-plan", "conv3d-run"]},
                "version": {"const": REPORT_VERSION},
                "command": STRING,
                "run": RUN,
                "input": INPUT,
                "output": OUTPUT,
                "spec": {
                    "anyOf": [
                        record({"path": STRING, "sha256": STRING, "keras": {"enum": list(DIALECTS)}}),
                        {"type": "null"},
                    ],
                    "description": "null where filters make the layers",
                },
                "mask": {"anyOf": [MASK, {"type": "null"}], "description": "null where all voxels take part"},
                "data_format": {"enum": ["channels_last", "channels_first"]},
                "weights": record(
                    {
                        "path": OPTIONAL_STRING,
                        "sha256": OPTIONAL_STRING,
                        "seed": OPTIONAL_COUNT,
                        "notes": list_of(STRING),
                    }
                ),
                "layers": list_of(LAYER),
                "compute_dtype": {"enum": ["float32", "float64"]},
                "accuracy": {"enum": ["strict", "default", "fast"]},
                "threads": COUNT,
                "instruction_set": STRING,
                "seconds": record({"predicted": SECONDS}, {"read": SECONDS, "compute": SECONDS, "write": SECONDS}),
                "memory": record(
                    {"predicted_bytes": COUNT, "limit_bytes": COUNT, "limit_source": STRING},
                    {"peak_bytes": OPTIONAL_COUNT},
                ),
                "warnings": list_of(STRING),
            },
            {
                "versions": {"type": "object", "additionalProperties": STRING},
                "platform": STRING,
                "provenance": {**provenance.schema(), "description": "how the output was made, as it holds it itself"},
            },
        ),
    }
