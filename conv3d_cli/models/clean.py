"""A layer's configuration as its class takes it: without what only a saver needs, lists for tuples, a named dtype."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from conv3d_cli.errors import LayerError, quoted

#: Keys for training, for quantizing and for other kinds of tensors: each is left out while it has this value.
UNSET: Mapping[str, Any] = {
    "lora_rank": None,
    "lora_alpha": None,
    "quantization_config": None,
    "quantization_mode": None,
    "autocast": True,
    "dynamic": False,
    "sparse": False,
    "ragged": False,
    "optional": False,
}
DTYPES = ("float16", "float32", "float64")
MIXED = {"mixed_float16": "float32", "mixed_bfloat16": "float32"}
POLICIES = ("Policy", "PolicyV1", "DTypePolicy", "FloatDTypePolicy")


def plain(value: Any) -> Any:
    """Return a value without numbers of shared objects, and with tuples, shapes and arrays as lists.

    >>> plain({"class_name": "Constant", "config": {"value": 1.0}, "shared_object_id": 7})
    {'class_name': 'Constant', 'config': {'value': 1.0}}
    >>> plain({"class_name": "__tuple__", "items": [1, 2]})
    [1, 2]
    """
    if isinstance(value, list):
        return [plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    config = value.get("config")
    match value.get("class_name"):
        case "__tuple__" | "TensorShape" if isinstance(value.get("items"), list):
            return [plain(item) for item in value["items"]]
        case "__numpy__" | "__tensor__" if isinstance(config, dict) and "value" in config:
            return plain(config["value"])
    return {key: plain(item) for key, item in value.items() if key != "shared_object_id" or "class_name" not in value}


def dtype_of(value: Any) -> tuple[Any, str]:
    """Return the dtype that a layer computes in, and a note about a mixed policy or nothing.

    Raises LayerError, naming it, for a policy that this program does not compute in.

    >>> dtype_of({"class_name": "Policy", "config": {"name": "mixed_float16"}})
    ('float32', "policy 'mixed_float16' is computed in float32")
    >>> dtype_of("float64")
    ('float64', '')
    """
    name = value
    if isinstance(value, dict):
        config = value.get("config")
        name = config.get("name") if value.get("class_name") in POLICIES and isinstance(config, dict) else None
    if value is None:
        return None, ""
    if isinstance(name, str) and name in MIXED:
        return MIXED[name], f"policy {name!r} is computed in {MIXED[name]}"
    if name not in DTYPES:
        raise LayerError(f"dtype: not supported: got {_shown(value)}, expected {' or '.join(DTYPES)}", "dtype")
    return name, ""


def cleaned(class_name: str, config: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Return the arguments of a layer that a configuration of either dialect holds, and a note or nothing.

    The dtype of an InputLayer is left out: inputs are cast to that of the layer which takes them. Raises LayerError for
    a dtype, or a use of the keys in ``UNSET``, that would change what the layer computes.

    >>> cleaned("Conv3D", {"filters": 2, "dtype": "float32", "lora_rank": None})
    ({'filters': 2, 'dtype': 'float32'}, '')
    """
    found: dict[str, Any] = {}
    note = ""
    for key, value in config.items():
        if key in UNSET:
            if value != UNSET[key]:
                raise LayerError(f"{key}: not supported: got {_shown(value)}, expected {UNSET[key]}", key)
        elif key != "dtype":
            found[key] = plain(value)
        elif class_name != "InputLayer":
            found[key], note = dtype_of(value)
    return found, note


def _shown(value: Any) -> str:
    text = quoted(repr(value))[1:-1] if not isinstance(value, str) else quoted(value)
    return text if len(text) <= 120 else text[:117] + "..."
