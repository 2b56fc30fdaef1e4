"""What an output is made from beside its input: layers, weights, filters, masks, options, and this version."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from conv3d_cli import __version__
from conv3d_cli.engine import isa
from conv3d_cli.filters import Filter
from conv3d_cli.pipeline import kernel_files
from conv3d_cli.provenance import WITHOUT_EFFECT
from conv3d_cli.spec import spec_in
from conv3d_cli.volumes import files_of, sha256_of_files

if TYPE_CHECKING:
    from conv3d_cli.spec import Spec


class Kitchen:
    """Ingredients of items by name, as texts that can be compared; each file is read once for the whole batch.

    ``reads`` are those words that name files beside the input and the spec; their contents count, and not their names.
    ``options`` are what the command line has for each word.
    """

    def __init__(self, reads: Iterable[str], options: Mapping[str, str]) -> None:
        self.options = options
        self.reads = [word for word in reads if word not in ("source", "spec_path", "weights_path")]
        self._hashes: dict[tuple[str, ...], str] = {}
        self._specs: dict[Any, _SpecFile] = {}
        self.files: set[str] = set()

    def of(self, words: Mapping[str, Any]) -> dict[str, str]:
        """Return what an item with these words depends on.

        Raises UsageError, SpecError or another InputError for what no volume could be convolved with.
        """
        named = {"spec_path", "layers", "weights_path", *self.reads}
        options = {key: value for key, value in words.items() if key not in WITHOUT_EFFECT | named and value}
        made_from = {"version": __version__}
        made_from |= {f"option {self.options[key]}": _text(value) for key, value in options.items()}
        if kernels_of := os.environ.get(isa.VARIABLE):  # asked for; which ones a machine has is not asked
            made_from[isa.VARIABLE] = kernels_of
        weights, kernels = words["weights_path"], _kernels(words["filters"])
        spec = self._spec(words)
        if spec is not None:
            made_from |= {"spec": spec.sha256, "data format": spec.data_format}
            weights, kernels = weights or spec.weights, kernels + spec.kernels
        if weights is not None:
            made_from["weights"] = self._sha256(weights)
        for kernel in kernels:
            made_from[f"kernel {PurePath(kernel).name}"] = self._sha256(*files_of(kernel))
        for word in self.reads:
            if words[word] is not None:
                made_from[self.options[word]] = self._sha256(*files_of(words[word]))
        return made_from

    def _spec(self, words: Mapping[str, Any]) -> _SpecFile | None:
        """Return what the layers say that the words name or hold, or None where filters make them."""
        said = words["spec_path"], words.get("layers")
        if said not in self._specs:
            spec = spec_in(words)
            if spec is None:
                return None
            self._specs[said] = _SpecFile(spec)
            self.files.add(spec.path)
        return self._specs[said]

    def _sha256(self, *names: str) -> str:
        self.files.update(names)
        if names not in self._hashes:
            self._hashes[names] = sha256_of_files(*names)
        return self._hashes[names]


class _SpecFile:
    """What a spec says of other files, and its hash."""

    def __init__(self, spec: Spec) -> None:
        self.sha256, self.weights = spec.sha256, spec.weights
        self.data_format = spec.network.data_format  # where a layer says none, that of keras.json
        self.kernels = kernel_files(spec.network, str(PurePath(spec.path).parent))


def _kernels(filters: Iterable[Filter]) -> list[str]:
    return [one.file for one in filters if one.file is not None]


def _text(value: Any) -> str:
    """Return a value as a text that is the same whenever the value is."""
    return json.dumps(value, sort_keys=True, default=lambda other: getattr(other, "text", None) or str(other))
