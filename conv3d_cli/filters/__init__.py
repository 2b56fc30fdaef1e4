"""Named kernels in physical units: what ``--filter`` and ``kernel_initializer`` name, one row each in ``FILTERS``.

``table`` has the rows, ``gaussians`` (of ``gaussian``), ``stencils``, ``windows`` and ``custom`` compute them, ``grid``
says how voxels lie, ``kernel`` what all of them return. Kernels are those of a cross-correlation,
``y(x) = sum over i of k(i) f(x+i)``, which is what layers compute: a true convolution turns the kernel around first. So
a derivative has its positive weights after the centre, as those of scipy.ndimage have.
"""

from conv3d_cli.filters.filter import Filter
from conv3d_cli.filters.grid import Grid, Loaded
from conv3d_cli.filters.kernel import Kernel
from conv3d_cli.filters.table import FILTERS, FilterRow

__all__ = ["FILTERS", "Filter", "FilterRow", "Grid", "Kernel", "Loaded"]
