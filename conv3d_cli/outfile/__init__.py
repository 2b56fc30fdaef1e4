"""The only code that creates output files: each appears whole, or not at all, and never over a file unasked.

A file is written under a hidden name beside its target, checked, flushed to the disk, and only then takes the
target's name. Whatever ends a run before that, be it an error, a signal or a full disk, leaves the target as it was.
"""

from conv3d_cli.outfile.names import check_apart, check_target, remove_leftovers, remove_stale
from conv3d_cli.outfile.whole import check_not_a_terminal, replacing, replacing_all, standard_output

__all__ = [
    "check_apart",
    "check_not_a_terminal",
    "check_target",
    "remove_leftovers",
    "remove_stale",
    "replacing",
    "replacing_all",
    "standard_output",
]
