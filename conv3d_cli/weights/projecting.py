"""What constraints make of weights: Keras applies them after each step of training, and here a person asks for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from conv3d_cli.weights.variables import set_variables, variables

if TYPE_CHECKING:
    from conv3d_cli.layers import Network


@dataclass(frozen=True)
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
        arrays = variables(layer)
        for name, old in arrays.items():
            constraint = getattr(layer, f"{name}_constraint", None)
            if constraint is not None:
                arrays[name] = new = constraint(old)
                before, after = constraint.violation(old), constraint.violation(new)
                found.append(Projected(layer.name, name, constraint.name, before, after))
        set_variables(layer, arrays)
    return found
