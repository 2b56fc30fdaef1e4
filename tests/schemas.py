"""Validators of JSON Schemas: a schema is itself checked once, which takes longer than all that it judges."""

from __future__ import annotations

import json
from functools import cache

import jsonschema


def validator(schema) -> jsonschema.Draft202012Validator:
    """Return the validator of a schema that is valid itself, or raise jsonschema.SchemaError."""
    return _of(json.dumps(schema))


@cache
def _of(text: str) -> jsonschema.Draft202012Validator:
    schema = json.loads(text)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)
