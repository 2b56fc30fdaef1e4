"""One layer of a run, as planned."""

from __future__ import annotations

from typing import TYPE_CHECKING

from conv3d_cli.engine.problem import ITEMSIZE, Real
from conv3d_cli.frozen import frozen
from conv3d_cli.shapes import NO_PADS, Pads, ReceptiveField, voxels

if TYPE_CHECKING:
    from conv3d_cli import engine
    from conv3d_cli.layers import Layer
    from conv3d_cli.masking import Needs
    from conv3d_cli.pipeline.arrange import Arrangement
    from conv3d_cli.volumes import Geometry


@frozen
class Step:
    """One layer of a run as planned; shapes are in the order of the file's axes.

    ``plan`` is how the engine convolves, for a layer that does; ``middle`` is what the activation is applied
    to, which has the shape of ``target`` unless the activation changes it. ``pads`` are the zeros around the
    input, negative where voxels are cut off.
    """

    layer: Layer
    source: Arrangement
    middle: Arrangement
    target: Arrangement
    pads: Pads
    plan: engine.Plan | None
    receptive_field: ReceptiveField
    geometry: Geometry | None
    parameters: int
    needs: Needs | None = None
    """What the layer takes inside a mask; None without one."""

    @property
    def seconds(self) -> float:
        """Predicted time of the convolution; what another layer takes is not predicted."""
        effort = 1.0 if self.needs is None else self.needs.effort
        return 0.0 if self.plan is None else self.plan.seconds * effort

    @property
    def idle(self) -> bool:
        """Whether the layer has no activation to apply."""
        return self.layer.activation is None or self.layer.activation.core.name == "linear"

    @property
    def copies(self) -> bool:
        """Whether the layer's output is an array of its own, and not its input or changed in place."""
        return self.plan is not None or self.pads != NO_PADS or self.middle != self.target

    def working_bytes(self, dtype: Real) -> int:
        """Return the memory that the layer's arrays take at most at a time."""
        source, middle, target = (voxels(p.shape) * ITEMSIZE[dtype] for p in (self.source, self.middle, self.target))
        convolving = source + (middle if self.plan is not None or self.pads != NO_PADS else 0)
        activating = middle + (target if self.middle != self.target else 0)
        beside = self.needs.bytes if self.needs else self.plan.scratch_bytes if self.plan else 0
        return max(convolving + beside, activating)
