"""From the words about masks, labels, missing voxels and another file's grid to what a plan and a run take."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from conv3d_cli.cli.talk import log
from conv3d_cli.errors import UsageError, VolumeError, quoted
from conv3d_cli.frozen import replace

if TYPE_CHECKING:
    from conv3d_cli.masking import Masking
    from conv3d_cli.pipeline import Labels, RunPlan
    from conv3d_cli.pipeline.plan import Header
    from conv3d_cli.volumes import Source

Words = dict[str, Any]


def masking_of(words: Words) -> Masking | None:
    """Return how a run is to be masked, or None; UsageError for words that contradict or would be ignored."""
    mask, labels, missing = words["mask_path"], words["labels_path"], words["nan"] == "missing"
    if mask is not None and labels is not None:
        raise UsageError(f"--labels: got {quoted(labels)} beside --mask, expected one of them")
    if mask is None and labels is None and not missing:
        for option, value in (("--outside", words["outside"]), ("--min-coverage", words["min_coverage"])):
            if value is not None:
                raise UsageError(f"{option}: got {value} without a mask, expected --mask, --labels or --nan missing")
        return None
    from conv3d_cli.masking import Masking

    by = "mask" if mask is not None else "labels" if labels is not None else "missing"
    given = {name: words[name] for name in ("outside", "min_coverage") if words[name] is not None}
    return replace(Masking(by, missing=missing), **given)


@contextmanager
def opened_mask(words: Words) -> Iterator[Source | None]:
    """Open the file of the mask or of the labels, if there is one."""
    path = words["mask_path"] or words["labels_path"]
    if path is None:
        yield None
        return
    from conv3d_cli.volumes import open_volume

    with open_volume(path) as mask:
        for note in mask.notes:
            log.info("%s: %s", quoted(path), note)
        yield mask


def placed(header: Header, words: Words, data_format: str) -> Header:
    """Return the header of the input, with the grid of the file that --like names."""
    if words["like_path"] is None:
        return header
    from conv3d_cli.cli.grids import Placed
    from conv3d_cli.volumes import on_grid, open_volume, resolve_axes

    axes = resolve_axes(header.format, len(header.shape), words["axes"], data_format)
    with open_volume(words["like_path"]) as other:
        on_grid(other, header, axes, name_of(words))
        geometry = other.geometry_for(resolve_axes(other.format, len(other.shape)))
        if geometry is None:
            raise VolumeError(f"{quoted(words['like_path'])}: says nothing of its voxels' place, which --like takes")
        own = header.geometry_for(axes)
        # Where both agree HDF5's is but a spacing, and the other may be more.
        return header if own is not None and getattr(header, "oriented", True) else Placed(header, geometry)


def read_inside(mask: Source, header: Header, plan: RunPlan, words: Words) -> Labels:
    """Return what is inside, read from the file that was opened for it."""
    from conv3d_cli.pipeline import Labels
    from conv3d_cli.volumes import read_labels, read_mask

    order = check_mask(mask, header, plan, words)
    fortran = plan.source.storage == "F"
    if words["labels_path"] is not None:
        return Labels(*read_labels(mask, order, fortran))
    return Labels(read_mask(mask, order, fortran))


def check_mask(mask: Source, header: Header, plan: RunPlan, words: Words) -> tuple[int, ...]:
    """Return which axes of a mask are those of space of the input; VolumeError where it lies on another grid."""
    from conv3d_cli.cli.grids import PlanGrid
    from conv3d_cli.volumes import on_grid

    oriented = words["like_path"] is not None or getattr(header, "oriented", True)
    return on_grid(mask, PlanGrid(plan, oriented), plan.source.axes, name_of(words))


def name_of(words: Words) -> str:
    """Return what an error calls the input."""
    return "the volume of --shape" if words["source"] is None else quoted(words["source"])
