"""Spec files: strict YAML with line and column in, a network out."""

from conv3d_cli.spec.inline import InlineSpec, spec_in, with_files
from conv3d_cli.spec.load import Spec, is_model, load_spec
from conv3d_cli.spec.schema import json_schema

__all__ = ["InlineSpec", "Spec", "is_model", "json_schema", "load_spec", "spec_in", "with_files"]
