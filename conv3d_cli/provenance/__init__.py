"""How an output was made: a text that lies inside it, and whether its inputs still are what they were.

**steps** are the form: what made a volume, and what had made its input. **hashes** finds the SHA-256 of the inputs
while they are convolved. **beside** compares them with the files that are there now.

The text depends on the contents of files, on their names and on what was asked, and on nothing else: not on folders,
dates, threads or memory. So the same run gives the same bytes wherever it is done.
"""

from conv3d_cli.provenance.beside import Seen, look
from conv3d_cli.provenance.hashes import Hashes
from conv3d_cli.provenance.steps import WITHOUT_EFFECT, File, History, Step, decode, name_only, read, schema

__all__ = [
    "WITHOUT_EFFECT",
    "File",
    "Hashes",
    "History",
    "Seen",
    "Step",
    "decode",
    "look",
    "name_only",
    "read",
    "schema",
]
