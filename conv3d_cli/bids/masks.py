"""The mask that belongs to an image: beside it, with suffix ``mask`` and a ``desc`` such as brain."""

from __future__ import annotations

from collections.abc import Sequence

from conv3d_cli.bids.dataset import Dataset, Image
from conv3d_cli.errors import UsageError, listed, nearest, quoted

MASK_DESC = "--mask-desc"
MASK = "mask"
GRID = ("space", "res")
"""Entities that say on which grid an image lies: a mask has the same, or lies on another one."""


def masks_of(dataset: Dataset, images: Sequence[Image], desc: str) -> list[Image]:
    """Return the mask of each image. Raises UsageError, with a line for each image that has none, or several.

    A mask belongs to an image if it lies in the same folder and its name has no entity that the image's lacks, ``desc``
    apart; of several the one with the most entities is meant.
    """
    participants = sorted({label for image in images if (label := image.name.get("sub")) is not None})
    known = [image for image in dataset.images(participants) if image.name.suffix == MASK]
    masks = [mask for mask in known if mask.name.get("desc") == desc]
    mistakes: list[str] = []
    found: list[Image] = []
    for image in images:
        fitting = [mask for mask in masks if _fits(mask, image)]
        most = max((len(mask.name.entities) for mask in fitting), default=0)
        best = [mask for mask in fitting if len(mask.name.entities) == most]
        if len(best) == 1:
            found += best
        elif best:
            names = " and ".join(quoted(mask.place.name) for mask in best)
            mistakes.append(f"{MASK_DESC}: {quoted(image.path)} has several masks: got {names}, expected one")
        else:
            there = sorted({label for mask in known if (label := mask.name.get("desc")) is not None})
            mistakes.append(
                f"{MASK_DESC}: {quoted(image.path)} has no mask of desc-{desc} beside it: expected one for each image; "
                f"{quoted(dataset.root)} has masks of {', '.join(there) or 'no desc'}{nearest(desc, there)}"
            )
    if mistakes:
        raise UsageError(listed(mistakes))
    return found


def _fits(mask: Image, image: Image) -> bool:
    own = dict(mask.name.entities).items() - {("desc", mask.name.get("desc"))}
    return (
        mask.place.parent == image.place.parent
        and own <= set(image.name.entities)
        and all(mask.name.get(entity) == image.name.get(entity) for entity in GRID)
    )
