"""The options of ``conv3d batch`` for a dataset as BIDS arranges it, and what they do to a batch."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from conv3d_cli.cli.talk import log
from conv3d_cli.errors import UsageError, listed, quoted

if TYPE_CHECKING:
    from conv3d_cli.batch import Found, Item, Listener, Outcome
    from conv3d_cli.bids import Image

F = TypeVar("F", bound=Callable[..., Any])

LABELS = ("--participant-label", "--session-label")
"""Options behind which several labels may stand, as those who run BIDS apps are used to."""

_OPTIONS = (
    click.option(
        "--bids",
        is_flag=True,
        help="IN is a dataset in BIDS, and D becomes one of derivatives: names, sidecars and a description to match.",
    ),
    click.option(
        "--participant-label",
        "participants",
        multiple=True,
        metavar="LABEL...",
        help="With --bids: only these participants, such as 01 or sub-01.",
    ),
    click.option(
        "--session-label", "sessions", multiple=True, metavar="LABEL...", help="With --bids: only these sessions."
    ),
    click.option(
        "--datatype",
        "datatypes",
        multiple=True,
        metavar="NAME",
        help="With --bids: only images in folders of this name, such as anat or func.",
    ),
    click.option(
        "--suffix",
        "suffixes",
        multiple=True,
        metavar="NAME",
        help="With --bids: only images of this suffix, such as T1w.  [default: all but masks and segmentations]",
    ),
    click.option(
        "--entity",
        "entities",
        multiple=True,
        metavar="KEY-LABEL",
        help="With --bids: only images with this in their names, such as task-rest or desc-preproc.",
    ),
    click.option(
        "--mask-desc",
        metavar="LABEL",
        help="With --bids: stay inside the mask beside each image that has this behind desc-, such as brain.",
    ),
    click.option(
        "--desc",
        metavar="LABEL",
        help="With --bids: what the names of outputs have behind desc-, such as smooth.  [default: conv3d]",
    ),
)
OF_BIDS = {"participants", "sessions", "datatypes", "suffixes", "entities", "mask_desc", "desc"}


def bids_options(function: F) -> F:
    """Give a command the options for a dataset in BIDS."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


class WithLabels(click.Command):
    """A command whose options of LABELS take every word behind them that does not begin with a hyphen."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the words of the command line."""
        return super().parse_args(ctx, list(_repeated(args)))


def _repeated(args: Iterable[str]) -> Iterable[str]:
    """Yield words with the option before each of its values: ``--participant-label 01 02`` has two."""
    option, taken, plain = "", False, False
    for word in args:
        plain = plain or word == "--"
        if plain or word.startswith("-"):
            option, taken = (word, False) if word in LABELS and not plain else ("", False)
        elif option and taken:
            yield option
        else:
            taken = True
        yield word


def check_bids(words: Mapping[str, Any]) -> None:
    """Raise UsageError for options that mean nothing together."""
    from conv3d_cli.batch.naming import DEFAULT

    if not words["bids"]:
        params = {str(option.name): option for option in bids_options(click.Command("")).params}
        given = [params[word].opts[0] for word in params if word in OF_BIDS and words[word]]
        if given:
            raise UsageError(listed([f"{option}: is for a dataset: got it without --bids" for option in given]))
        return
    others = {"--name": words["name"] != DEFAULT, "--pattern": words["pattern"], "--manifest": words["manifest"]}
    if wrong := [option for option, given in others.items() if given]:
        raise UsageError(listed([f"{option}: got it beside --bids, which finds and names by BIDS" for option in wrong]))
    if words["mask_desc"] is not None and (words["mask_path"] or words["labels_path"]):
        raise UsageError("--mask-desc: got it beside --mask or --labels, expected one of them")
    if len(words["sources"]) != 1 or not words["sources"][0]:
        got = ", ".join(map(quoted, words["sources"])) or "none"
        raise UsageError(f"IN: got {got} with --bids, expected one dataset, in front of --participant-label")


def check_masking(words: Mapping[str, Any]) -> None:
    """Raise UsageError for words about masks that contradict, unless each volume has a mask of its own."""
    from conv3d_cli.cli.masks import masking_of

    if words["manifest"] is None and words["mask_desc"] is None:
        masking_of(dict(words))


class DatasetBatch:
    """A batch from a dataset to one of derivatives, from the words of the command."""

    def __init__(self, words: Mapping[str, Any]) -> None:
        from conv3d_cli.bids import Dataset, Derivative, Selection, masks_of, select

        self.folder: str = words["folder"]
        dataset = Dataset(words["sources"][0])
        wanted = Selection(**{key: words[key] for key in Selection.__dataclass_fields__})
        self.derivative = Derivative(self.folder, dataset, words["desc"])
        images = select(dataset, wanted)
        self.derivative.check(images, words["if_exists"])
        self.images = {self.derivative.output(image): image for image in images}
        self.masks: dict[str, Image | None] = dict.fromkeys(self.images)
        if words["mask_desc"] is not None:
            masks = masks_of(dataset, images, words["mask_desc"].removeprefix("desc-"))
            self.masks = dict(zip(self.images, masks, strict=True))
        self.misnamed = dataset.misnamed

    def warn(self) -> None:
        """Tell of volumes that are left out unasked."""
        if self.misnamed:
            more = f", and {len(self.misnamed) - 1} more" if len(self.misnamed) > 1 else ""
            words = "left out: the name is none of BIDS, or of another folder"
            log.warning("%s%s: %s", quoted(self.misnamed[0]), more, words)

    def found(self) -> list[Found]:
        """Return the inputs, with their outputs."""
        from conv3d_cli.batch import Found

        return [
            Found(image.path, output=output, words={"mask_path": mask.path} if mask else {})
            for (output, image), mask in zip(self.images.items(), self.masks.values(), strict=True)
        ]

    def begin(self) -> None:
        """Write the description of the dataset, which is the same for every part of the batch."""
        shard = re.compile(r"--shard=.*")
        words = [word for word in sys.argv[1:] if not shard.fullmatch(word)]
        while "--shard" in words:
            at = words.index("--shard")
            del words[at : at + 2]
        self.derivative.describe(shlex.join(["conv3d", *words]))

    def heard(self, listener: Listener) -> Listener:
        """Return who hears of each item what the listener does, and tells of it in the dataset."""
        return _Told(listener, self)

    def told(self, item: Item, made_from: Mapping[str, str]) -> None:
        """Write what lies beside an output that was made."""
        self.derivative.tell(self.images[item.name], item.words, made_from)

    def end(self, items: Sequence[Item], made_from: Sequence[Mapping[str, str]]) -> None:
        """Set right what lies beside outputs that were made before, and beside those that are no more."""
        from conv3d_cli.batch.records import DONE, Damaged, read_record

        for item, ingredients in zip(items, made_from, strict=True):
            try:
                record = read_record(self.folder, item.name)
            except Damaged:
                continue
            if record is not None and record.state == DONE and record.made_from == ingredients:
                self.told(item, ingredients)
            elif not any(os.path.lexists(file) for file in item.files):
                self.derivative.forget(self.images[item.name])


class _Told:
    """Passes on what a listener hears."""

    def __init__(self, listener: Listener, batch: DatasetBatch) -> None:
        self.started, self.planned, self.ticked = listener.started, listener.planned, listener.ticked
        self.noted, self.retried = listener.noted, listener.retried
        self._finished, self._batch = listener.finished, batch
        self._warned = False

    def finished(self, worker: int, outcome: Outcome) -> None:
        """Write what lies beside the output, and pass on what became of it."""
        if outcome.error is None:
            self._batch.told(outcome.job.item, outcome.job.made_from)
            self._warn(outcome.job.item)
        self._finished(worker, outcome)

    def _warn(self, item: Item) -> None:
        """Say once that BIDS has no name for an image of channels."""
        from conv3d_cli.bids.files import read_object

        axes = read_object(Path(item.sidecar))["output"]["axes"]
        if "c" in axes and not self._warned:
            self._warned = True
            log.warning(
                "%s: has channels, which no image of BIDS has: its validator may refuse it", quoted(item.output)
            )
