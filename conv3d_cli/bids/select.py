"""Which images of a dataset are wanted. A label that no image has is an error which names those there are."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from conv3d_cli.bids.dataset import SES, SUB, Dataset, Image
from conv3d_cli.errors import InputError, UsageError, listed, nearest, quoted
from conv3d_cli.frozen import frozen

PARTICIPANT, SESSION = "--participant-label", "--session-label"
DATATYPE, SUFFIX, ENTITY = "--datatype", "--suffix", "--entity"

NO_INTENSITIES = ("mask", "dseg", "probseg", "defacemask")
"""Suffixes of volumes of labels and shares: there is a point in convolving them only for who asks for it."""

MOST_SHOWN = 20


@frozen
class Selection:
    """What is wanted; where nothing is said, everything is. Labels may have their ``sub-`` or ``ses-`` in front."""

    participants: Sequence[str] = ()
    sessions: Sequence[str] = ()
    datatypes: Sequence[str] = ()
    suffixes: Sequence[str] = ()
    entities: Sequence[str] = ()


def select(dataset: Dataset, wanted: Selection) -> list[Image]:
    """Return the images that are wanted, sorted. Raises UsageError, with a line for each word that finds nothing."""
    labels = _labels(PARTICIPANT, wanted.participants, SUB)
    participants = [label for label in dataset.participants if not labels or label in labels]
    _refuse_unknown(PARTICIPANT, labels, dataset.participants, f"participant of {quoted(dataset.root)}")
    images = dataset.images(participants)
    if not wanted.suffixes:
        images = [image for image in images if image.name.suffix not in NO_INTENSITIES]
    if not images:
        raise InputError(f"{quoted(dataset.root)}: no images: expected volumes such as sub-01/anat/sub-01_T1w.nii.gz")
    for option, words, value in _stages(wanted):
        there = {found for image in images if (found := value(image)) is not None}
        _refuse_unknown(option, words, there, "image")
        images = [image for image in images if not words or value(image) in words]
    return images


def _stages(wanted: Selection) -> Iterable[tuple[str, Sequence[str], Callable[[Image], str | None]]]:
    """Yield each option, its words, and what of an image they are about."""
    yield SESSION, _labels(SESSION, wanted.sessions, SES), lambda image: image.name.get("ses")
    yield DATATYPE, wanted.datatypes, lambda image: image.datatype
    yield SUFFIX, wanted.suffixes, lambda image: image.name.suffix
    for entity, words in _by_entity(wanted.entities).items():
        yield ENTITY, words, _entity(entity)


def _entity(key: str) -> Callable[[Image], str | None]:
    def value(image: Image) -> str | None:
        label = image.name.get(key)
        return None if label is None else f"{key}-{label}"

    return value


def _labels(option: str, words: Iterable[str], prefix: str) -> list[str]:
    labels = [word.removeprefix(prefix) for word in words]
    mistakes = [
        f"{option}: got {word!r}, expected letters and digits, such as {prefix}01 or 01"
        for word, label in zip(words, labels, strict=True)
        if re.fullmatch(r"[A-Za-z0-9+]+", label) is None
    ]
    if mistakes:
        raise UsageError(listed(mistakes))
    return labels


def _by_entity(words: Iterable[str]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for word in words:
        key, hyphen, label = word.partition("-")
        if not (hyphen and key.isalpha() and label):
            raise UsageError(f"{ENTITY}: got {word!r}, expected one with its label, such as task-rest")
        grouped.setdefault(key, []).append(word)
    return grouped


def _refuse_unknown(option: str, words: Iterable[str], there: Iterable[str], what: str) -> None:
    known = sorted(there)
    shown = ", ".join(known[:MOST_SHOWN]) + (f" and {len(known) - MOST_SHOWN} more" if len(known) > MOST_SHOWN else "")
    mistakes = [
        f"{option}: {word}: no {what} has it: expected some of {shown or 'none'}{nearest(word, known)}"
        for word in words
        if word not in known
    ]
    if mistakes:
        raise UsageError(listed(mistakes))
