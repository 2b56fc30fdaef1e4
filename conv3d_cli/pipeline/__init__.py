"""A volume through a network: what will happen as data first, then the doing of it."""

from conv3d_cli.pipeline.filtering import filter_network, grid_of, kernels_in
from conv3d_cli.pipeline.inside import Counts, Labels
from conv3d_cli.pipeline.plan import RunPlan, kernel_files, plan_run
from conv3d_cli.pipeline.planner import Options
from conv3d_cli.pipeline.run import Outcome, StepOutcome, run
from conv3d_cli.pipeline.step import Step

__all__ = [
    "Counts",
    "Labels",
    "Options",
    "Outcome",
    "RunPlan",
    "Step",
    "StepOutcome",
    "filter_network",
    "grid_of",
    "kernel_files",
    "kernels_in",
    "plan_run",
    "run",
]
