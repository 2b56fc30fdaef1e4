"""What constraints make of weights: Keras applies them after each step of training, and here a person asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from conv3d_cli.frozen import frozen

if TYPE_CHECKING:
    from conv3d_cli.layers import Network


@frozen
class Projected:
    """One constrained weight: its constraint, and how far it was from it and is now, by ``Constraint.violation``."""

    layer: str
    name: str
    constraint: str
    before: float
    after: float


def project(network: Network) -> list[Projected]:
    """Apply the constraints of every layer of a built network to its weights; returns what that changed, in order.

    Raises LayerError for a constraint that cannot take its weight.
    """
    found: list[Projected] = []
    for layer in network:
        before = layer.violations()
        layer.project()
        after = layer.violations()
        found += [
            Projected(layer.name, name, constraint.name, failed, after[name][1])
            for name, (constraint, failed) in before.items()
        ]
    return found
