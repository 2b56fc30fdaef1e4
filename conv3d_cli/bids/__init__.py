"""Datasets as BIDS arranges them (https://bids-specification.readthedocs.io): their images, and derivatives of them.

**dataset** finds the images of a dataset, **select** those that are asked for, **masks** the mask that belongs to each,
and **inherit** what the dataset's sidecars say of each. **names** takes a file's name apart and makes that of its
derivative, **sidecar** says what lies beside a derivative, and **derivative** keeps the dataset in which they stand.
"""

from conv3d_cli.bids.dataset import Dataset, Image
from conv3d_cli.bids.derivative import Derivative
from conv3d_cli.bids.masks import masks_of
from conv3d_cli.bids.select import Selection, select

__all__ = ["Dataset", "Derivative", "Image", "Selection", "masks_of", "select"]
