"""Many volumes through one command: which they are, what their outputs are called, what is done already, who does it.

The way of a batch: **items** finds the inputs, **manifest** reads a table of them, **naming** gives each its output and
refuses two of one name. **lock** keeps others out of the folder. **records** tell of each output what it was made from,
**ingredients** what it would be made from now, and **decide** compares the two. **crew** are the processes that do the
work, **schedule** hands it to them as memory allows, and **serve** is what such a process does all day.

A **team** is all that the schedule knows of a crew. **dask_crew** is another one: workers of a **cluster**, each of
which keeps such a process at its **outpost**.
"""

from conv3d_cli.batch.crew import Crew
from conv3d_cli.batch.decide import Decision, Manner, decide_all, keep_refreshed
from conv3d_cli.batch.ingredients import Kitchen
from conv3d_cli.batch.items import Found, gather
from conv3d_cli.batch.lock import locked
from conv3d_cli.batch.manifest import Option, read_manifest
from conv3d_cli.batch.naming import Item, Template, name_all
from conv3d_cli.batch.perform import Job, Talk
from conv3d_cli.batch.records import known_outputs, record_path
from conv3d_cli.batch.schedule import Listener, Outcome, Rules, carry_out
from conv3d_cli.batch.team import Team

__all__ = [
    "Crew",
    "Decision",
    "Found",
    "Item",
    "Job",
    "Kitchen",
    "Listener",
    "Manner",
    "Option",
    "Outcome",
    "Rules",
    "Talk",
    "Team",
    "Template",
    "carry_out",
    "decide_all",
    "gather",
    "keep_refreshed",
    "known_outputs",
    "locked",
    "name_all",
    "read_manifest",
    "record_path",
]
