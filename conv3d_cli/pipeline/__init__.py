"""A volume through a network: what will happen as data first, then the doing of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from conv3d_cli.lazily import exports
from conv3d_cli.pipeline.run import run as run

if TYPE_CHECKING:
    from conv3d_cli.pipeline.filtering import filter_network as filter_network
    from conv3d_cli.pipeline.filtering import grid_of as grid_of
    from conv3d_cli.pipeline.filtering import kernels_in as kernels_in
    from conv3d_cli.pipeline.inside import Counts as Counts
    from conv3d_cli.pipeline.inside import Labels as Labels
    from conv3d_cli.pipeline.plan import RunPlan as RunPlan
    from conv3d_cli.pipeline.plan import kernel_files as kernel_files
    from conv3d_cli.pipeline.plan import plan_run as plan_run
    from conv3d_cli.pipeline.planner import Options as Options
    from conv3d_cli.pipeline.run import Outcome as Outcome
    from conv3d_cli.pipeline.run import StepOutcome as StepOutcome
    from conv3d_cli.pipeline.step import Step as Step

__getattr__, __dir__, __all__ = exports(
    __name__,
    {
        "filtering": "filter_network grid_of kernels_in",
        "inside": "Counts Labels",
        "plan": "RunPlan kernel_files plan_run",
        "planner": "Options",
        "run": "Outcome StepOutcome",
        "step": "Step",
    },
)
# The module of this name would take its place.
__all__.append("run")
