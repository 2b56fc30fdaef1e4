"""How a convolution is computed: problems, the plans that serve them, and the methods behind the plans.

The engine knows arrays; it knows no file, no YAML and no Keras.
"""

from conv3d_cli.engine.arrays import convolve_array
from conv3d_cli.engine.candidate import ACCURACIES, Candidate
from conv3d_cli.engine.methods import METHODS
from conv3d_cli.engine.plan import Plan, alike, choose, execute, seen, settle
from conv3d_cli.engine.problem import Problem
from conv3d_cli.limits import Limits

__all__ = [
    "ACCURACIES",
    "METHODS",
    "Candidate",
    "Limits",
    "Plan",
    "Problem",
    "alike",
    "choose",
    "convolve_array",
    "execute",
    "seen",
    "settle",
]
