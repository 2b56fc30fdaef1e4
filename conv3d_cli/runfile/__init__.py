"""Run files: one strict file, in YAML or in a report, that says everything that a command line can say."""

from conv3d_cli.runfile.keys import BATCH, Key, Keys
from conv3d_cli.runfile.read import Run, read_run
from conv3d_cli.runfile.schema import run_schema
from conv3d_cli.runfile.section import run_section
from conv3d_cli.runfile.starter import starter
from conv3d_cli.runfile.tree import holds_run

__all__ = ["BATCH", "Key", "Keys", "Run", "holds_run", "read_run", "run_schema", "run_section", "starter"]
