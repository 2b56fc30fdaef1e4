"""One convolution inside a mask: what is outside takes no part, and what is missing is filled.

**rules** say what a filter makes of missing voxels, **regions** where a mask has voxels and in which pieces they are
convolved. **layer** computes a layer piece by piece, with the correlations of its mask from **weighing** and the voxels
chosen by **bits**; **needs** says beforehand what that takes. Which layers of a network can be masked, and what becomes
of a mask from one to the next, is the pipeline's.
"""

from conv3d_cli.masking.bits import add, in_blocks, only
from conv3d_cli.masking.layer import Inside, MaskedLayer
from conv3d_cli.masking.needs import BYTES, Masking, Needs, needs, steady
from conv3d_cli.masking.regions import regions_of

__all__ = [
    "BYTES",
    "Inside",
    "MaskedLayer",
    "Masking",
    "Needs",
    "add",
    "in_blocks",
    "needs",
    "only",
    "regions_of",
    "steady",
]
