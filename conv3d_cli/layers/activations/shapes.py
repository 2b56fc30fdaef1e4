"""What shapes an activation makes of a shape, and which shapes it refuses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from conv3d_cli.errors import ShapeError

Shape: TypeAlias = tuple[int | None, ...]


def check_axes(name: str, axes: Sequence[int], rank: int) -> None:
    """Raise ShapeError if an array of so many axes lacks one that is mixed, or if one is there twice."""
    for axis in axes:
        if not -rank <= axis < rank:
            raise refusal(name, "axis: not an axis of the output", axis, f"{-rank} to {rank - 1}")
    if len({axis % rank for axis in axes}) < len(axes):
        raise refusal(name, "axis: has an axis twice", list(axes), "different axes")


def check_shared(name: str, axes: Sequence[int], rank: int) -> None:
    """Raise ShapeError if an array of so many axes lacks one along which weights are shared."""
    for axis in axes:
        if axis >= rank:
            raise refusal(name, "shared_axes: not an axis of the output", axis, f"1 to {rank - 1}")


def shared_shape(name: str, shape: Sequence[int | None], shared: Sequence[int]) -> tuple[int, ...]:
    """Return the shape of weights for each place but the batch, 1 along shared axes.

    Raises ShapeError for a size that is not known and not shared.

    >>> shared_shape("PReLU", (None, None, 9, 9, 4), [1])
    (1, 9, 9, 4)
    """
    sizes = [1 if axis in shared else size for axis, size in enumerate(shape) if axis]
    known = tuple(size for size in sizes if size is not None)
    if len(known) < len(sizes):
        raise refusal(name, "alpha: sizes are not known", tuple(shape), "known sizes along axes that are not shared")
    return known


def halved(name: str, shape: Sequence[int | None], axis: int) -> Shape:
    """Return a shape half as long along an axis; raises ShapeError for an odd size.

    >>> halved("glu", (1, 5, 5, 5, 8), -1)
    (1, 5, 5, 5, 4)
    """
    at = axis % len(shape)
    size = shape[at]
    if size is not None and size % 2:
        raise refusal(name, f"axis {axis} has an odd size", size, "an even one to halve")
    return (*shape[:at], None if size is None else size // 2, *shape[at + 1 :])


def refusal(name: str, what: str, got: Any, expected: str) -> ShapeError:
    """Return the error that names the function, what is wrong, and what would be right."""
    return ShapeError(f"activation: {name}: {what}: got {got}, expected {expected}", "activation")
