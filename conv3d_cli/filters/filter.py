"""A filter with its parameters, read from the command line or from a spec."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from conv3d_cli.errors import LayerError
from conv3d_cli.filters.grid import Grid
from conv3d_cli.filters.kernel import Kernel
from conv3d_cli.filters.table import FILTERS, ROWS, FilterRow
from conv3d_cli.frozen import frozen
from conv3d_cli.lengths import Length, digits

_NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[-+]?[0-9]+)?")
_FLAGS = {"true": True, "false": False}


@frozen
class Filter:
    """A row of the table with the canonical value of every parameter.

    >>> Filter.parse("gaussian:fwhm=6mm").text
    'gaussian:fwhm=6mm'
    """

    name: str
    config: Mapping[str, Any]

    @classmethod
    def of(cls, value: Any, argument: str = "filter") -> Filter:
        """Return the filter that a name, or a mapping with class_name and config, means.

        Raises LayerError or UnknownArgument, naming ``argument``.
        """
        return value if isinstance(value, cls) else cls(*FILTERS.read(argument, value))

    @classmethod
    def parse(cls, text: str, argument: str = "filter") -> Filter:
        """Return the filter that ``name:key=value,key=value`` means; raises as ``of`` does.

        >>> Filter.parse("gaussian:fwhm=6mm,order=1x0x0").config["order"]
        (1, 0, 0)
        """
        name, colon, rest = text.partition(":")
        config: dict[str, Any] = {}
        for word in rest.split(",") if colon else ():
            key, equals, value = word.partition("=")
            if not equals or key in config:
                what = "is given twice" if equals else "is no key=value"
                raise LayerError(
                    f"{argument}: {name}: {word!r} {what}: got {text!r}, expected such as gaussian:fwhm=6mm", argument
                )
            config[key] = _scalar(value)
        return cls.of({"class_name": name, "config": config}, argument)

    @property
    def row(self) -> FilterRow:
        """The row of the table."""
        return ROWS[self.name]

    @property
    def file(self) -> str | None:
        """The file that the kernel comes from, or None for a kernel that is computed."""
        return self.config.get("file")

    def with_file(self, change: Callable[[str], str]) -> Filter:
        """Return the filter with the name of its file changed; one that is computed stays as it is."""
        if self.file is None:
            return self
        return Filter.of({"class_name": self.name, "config": {**self.plain(), "file": change(self.file)}})

    @property
    def magnitude(self) -> bool:
        """Whether the length of the vector of the kernels' results is what is asked for, and not they themselves."""
        return self.config.get("axis") == "magnitude"

    @property
    def text(self) -> str:
        """The filter as the command line has it, with the parameters that are not the defaults."""
        words = [f"{key}={written(value)}" for key, value in self.plain().items() if value != self._default(key)]
        return self.name + (":" if words else "") + ",".join(words)

    def plain(self) -> dict[str, Any]:
        """Return the parameters as a spec has them."""
        return {key: _plain(value) for key, value in self.config.items()}

    def _default(self, key: str) -> Any:
        parameter = self.row.parameters[key]
        return _plain(parameter.kind.parse(parameter.default)) if parameter.default is not None else None

    def kernel(self, grid: Grid) -> Kernel:
        """Return the kernels for the voxels of a grid; LayerError where a parameter does not fit them."""
        made: Kernel = self.row.compute(grid, **self.config)
        return made


def written(value: Any) -> str:
    """Return a parameter as a word of the command line."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "x".join(digits(item) for item in value)
    return digits(value) if isinstance(value, (int, float)) else str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, Length):
        return str(value)
    return list(value) if isinstance(value, tuple) else value


def _scalar(text: str) -> Any:
    """Return a word as the number or the truth value that it is, or as itself."""
    if _NUMBER.fullmatch(text):
        return float(text) if re.search("[.e]", text) else int(text)
    return _FLAGS.get(text, text)
