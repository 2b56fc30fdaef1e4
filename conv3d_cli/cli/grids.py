"""Headers that no file has as they are: of a bare shape, of a volume put where another is, of a plan's input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from conv3d_cli.frozen import frozen

if TYPE_CHECKING:
    from conv3d_cli.pipeline import RunPlan
    from conv3d_cli.pipeline.plan import Header
    from conv3d_cli.volumes import Geometry


@frozen
class BareShape:
    """A shape without a file, for ``plan --shape``."""

    shape: tuple[int, ...]
    format: str = "npy"
    order: str = "C"

    def geometry_for(self, axes: str) -> Geometry | None:
        """Return None: a bare shape lies nowhere in the world."""
        return None

    def extra_bytes(self, dtype: object) -> int:
        """Return 0: nothing is read."""
        return 0


@frozen
class Placed:
    """A header whose voxels lie where another file says."""

    header: Header
    geometry: Geometry

    @property
    def format(self) -> str:
        """Name of the format."""
        return self.header.format

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes."""
        return self.header.shape

    @property
    def order(self) -> str:
        """Storage order."""
        return self.header.order

    def geometry_for(self, axes: str) -> Geometry | None:
        """Return the other file's geometry."""
        return self.geometry

    def extra_bytes(self, dtype: Any) -> int:
        """Return what reading takes beside the result."""
        return self.header.extra_bytes(dtype)


@frozen
class PlanGrid:
    """The grid of a plan's input."""

    plan: RunPlan
    oriented: bool

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes."""
        return self.plan.source.shape

    def geometry_for(self, axes: str) -> Geometry | None:
        """Return where the plan has them."""
        return self.plan.geometry
