"""How an output was made: a text that lies inside it, and whether its inputs still are what they were.

**steps** are the form: what made a volume, and what had made its input. **hashes** finds the SHA-256 of the inputs
while they are convolved. **beside** compares them with the files that are there now.

The text depends on the contents of files, on their names and on what was asked, and on nothing else: not on folders,
dates, threads or memory. So the same run gives the same bytes wherever it is done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from conv3d_cli.lazily import exports

if TYPE_CHECKING:
    from conv3d_cli.provenance.beside import Seen as Seen
    from conv3d_cli.provenance.beside import look as look
    from conv3d_cli.provenance.hashes import Hashes as Hashes
    from conv3d_cli.provenance.steps import WITHOUT_EFFECT as WITHOUT_EFFECT
    from conv3d_cli.provenance.steps import File as File
    from conv3d_cli.provenance.steps import History as History
    from conv3d_cli.provenance.steps import Step as Step
    from conv3d_cli.provenance.steps import decode as decode
    from conv3d_cli.provenance.steps import name_only as name_only
    from conv3d_cli.provenance.steps import read as read
    from conv3d_cli.provenance.steps import schema as schema

__getattr__, __dir__, __all__ = exports(
    __name__,
    {
        "beside": "Seen look",
        "hashes": "Hashes",
        "steps": "WITHOUT_EFFECT File History Step decode name_only read schema",
    },
)
