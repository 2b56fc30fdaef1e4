"""Spec files: strict YAML with line and column in, a network out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from conv3d_cli.lazily import exports

if TYPE_CHECKING:
    from conv3d_cli.spec.inline import InlineSpec as InlineSpec
    from conv3d_cli.spec.inline import spec_in as spec_in
    from conv3d_cli.spec.inline import with_files as with_files
    from conv3d_cli.spec.load import is_model as is_model
    from conv3d_cli.spec.load import load_spec as load_spec
    from conv3d_cli.spec.schema import json_schema as json_schema
    from conv3d_cli.spec.spec import Spec as Spec

__getattr__, __dir__, __all__ = exports(
    __name__,
    {
        "inline": "InlineSpec spec_in with_files",
        "load": "is_model load_spec",
        "spec": "Spec",
        "schema": "json_schema",
    },
)
