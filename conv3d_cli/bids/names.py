"""Names of files in a dataset: entities, a suffix and an extension, such as sub-01_task-rest_bold.nii.gz."""

from __future__ import annotations

import re

from conv3d_cli.frozen import frozen, replace

ORDER = (
    "sub", "ses", "sample", "task", "tracksys", "acq", "nuc", "voi", "ce", "trc", "stain", "rec", "dir", "run", "mod",
    "echo", "flip", "inv", "mt", "part", "proc", "hemi", "space", "split", "recording", "chunk", "atlas", "seg",
    "scale", "res", "den", "label", "desc",
)  # fmt: skip
"""Entities in the order in which a name has them: Appendix "Entity table" of BIDS 1.10."""

LABEL = re.compile(r"[A-Za-z0-9]+")
"""What may stand behind the hyphen of an entity that takes a label."""

VOLUMES = (".nii", ".nii.gz")

_NAME = re.compile(r"((?:[A-Za-z]+-[A-Za-z0-9+]+_)*)([A-Za-z0-9]+)(\.[A-Za-z0-9.]+)")


@frozen
class Name:
    """A file's name, taken apart.

    >>> name = Name.parse("sub-01_task-rest_bold.nii.gz")
    >>> name.get("task"), name.suffix, name.extension
    ('rest', 'bold', '.nii.gz')
    >>> str(name.described("smooth"))
    'sub-01_task-rest_desc-smooth_bold.nii.gz'
    """

    entities: tuple[tuple[str, str], ...]
    suffix: str
    extension: str

    @classmethod
    def parse(cls, text: str) -> Name | None:
        """Return the parts of a name, or None for one that is not built so."""
        match = _NAME.fullmatch(text)
        if match is None:
            return None
        entities = tuple((key, label) for key, _, label in (part.partition("-") for part in match[1].split("_")[:-1]))
        if len(dict(entities)) < len(entities):
            return None
        return cls(entities, match[2], match[3])

    def __str__(self) -> str:
        return "".join(f"{key}-{label}_" for key, label in self.entities) + self.suffix + self.extension

    def get(self, entity: str) -> str | None:
        """Return the label or index of an entity, None if the name has none."""
        return dict(self.entities).get(entity)

    def described(self, description: str | None) -> Name:
        """Return the name of what is made from this: the same, in BIDS's order, with this ``desc``, or without any."""
        labels = {**dict(self.entities), "desc": description or ""}
        if description is None:
            del labels["desc"]
        known = {key: place for place, key in enumerate(ORDER)}
        # An entity of a later version of BIDS stays in front of ``desc``, which has been the last of them ever since.
        return replace(
            self, entities=tuple(sorted(labels.items(), key=lambda pair: known.get(pair[0], len(ORDER) - 2)))
        )

    def applies_to(self, other: Name) -> bool:
        """Return whether a file of this name may tell of another one: same suffix, and no entity that it lacks."""
        return self.suffix == other.suffix and set(self.entities) <= set(other.entities)
