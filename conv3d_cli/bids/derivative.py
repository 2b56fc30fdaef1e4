"""The dataset in which derivatives stand: its description, what its validator passes over, and their sidecars."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urljoin

from conv3d_cli import __version__
from conv3d_cli.bids.dataset import IGNORED, Dataset, Image
from conv3d_cli.bids.files import DESCRIPTION, json_bytes, keep, read_object
from conv3d_cli.bids.inherit import Inheritance
from conv3d_cli.bids.names import LABEL
from conv3d_cli.bids.sidecar import OURS, RAW, SOURCE, description, sidecar
from conv3d_cli.errors import Conv3dError, OutputError, UsageError, listed, quoted
from conv3d_cli.frozen import replace

DESC = "--desc"
DEFAULT_DESC = "conv3d"
BIDS_VERSION = "1.10.0"
US = "conv3d"
DERIVATIVES = "derivatives"
PASSED_OVER = ("*.nii.json", "*.nii.gz.json", "summary*.json")
"""What a batch leaves that is no part of the dataset: its reports and its summaries. It has .conv3d hidden as it is."""

README = """\
# {title}

Volumes of the dataset "{source}", each convolved by conv3d. Every image keeps its name and has `desc-` in it; the JSON
file beside it says what it was made from and how (`Sources`, `Description`, `{ours}`), beside what still holds of the
metadata of its source. `*.nii.gz.json` are reports: `conv3d run REPORT` makes the image again, with the same bits.
`summary.json` tells of the whole batch. Run the same command again to make what is missing or out of date.
"""


class Derivative:
    """A dataset in ``folder`` of derivatives of another, which have this ``desc``.

    Raises UsageError for a ``desc`` that is no label and for a folder in which a derivative cannot lie, OutputError for
    a dataset that is there already and is not conv3d's, or is one of another source.
    """

    def __init__(self, folder: str, source: Dataset, desc: str | None) -> None:
        self.folder, self.source = folder, source
        self.desc = DEFAULT_DESC if desc is None else desc.removeprefix("desc-")
        self.link = RAW if source.raw else SOURCE
        self._inherited = Inheritance(source)
        if LABEL.fullmatch(self.desc) is None:
            raise UsageError(f"{DESC}: got {desc!r}, expected letters and digits, such as smooth")
        self._refuse_folder()
        self._before = self._known()

    def _refuse_folder(self) -> None:
        """Raise UsageError unless what is computed is to lie below derivatives/ of the dataset, or outside."""
        own, root = Path(self.folder).resolve(), Path(self.source.root).resolve()
        if own == root or (own.is_relative_to(root) and own.relative_to(root).parts[0] != DERIVATIVES):
            expected = os.path.join(self.source.root, DERIVATIVES, US)  # noqa: PTH118 - keeps what was typed
            raise UsageError(
                f"--out-dir: {quoted(self.folder)} lies in the dataset itself: expected such as {quoted(expected)}"
            )

    def _known(self) -> dict[str, Any]:
        """Return the description that is there already, {} if none is."""
        path = Path(self.folder, DESCRIPTION)
        if not path.exists():
            return {}
        found = read_object(path)
        by, links = found.get("GeneratedBy"), _mapping(found.get("DatasetLinks"))
        if not (isinstance(by, list) and any(_is_us(one) for one in by)):
            raise OutputError(f"{quoted(path)}: is there already, and not by conv3d: expected another --out-dir")
        other = links.get(self.link)
        if other is not None and other != self._place_of_source():
            raise OutputError(
                f"{quoted(path)}: holds derivatives of {other!r}: got {self._place_of_source()!r}, expected another "
                "--out-dir, or the link in that file set right, if it is the same dataset elsewhere"
            )
        return found

    def _place_of_source(self) -> str:
        """Return where the source is: seen from here, if this lies in it or beside it, so that both can be moved."""
        own, root = Path(self.folder).resolve(), Path(self.source.root).resolve()
        near = own.is_relative_to(root) or own.parent == root.parent
        return PurePosixPath(os.path.relpath(root, own)).as_posix() if near else root.as_uri()

    def output(self, image: Image) -> str:
        """Return the derivative of an image, below the folder."""
        return str(image.place.with_name(str(image.name.described(self.desc))))

    def sidecar_of(self, image: Image) -> Path:
        """Return the file that tells of the derivative of an image."""
        return self._beside(image, self.desc, ".json")

    def _beside(self, image: Image, desc: str | None, extension: str) -> Path:
        name = replace(image.name.described(desc), extension=extension)
        return Path(self.folder, image.place.with_name(str(name)))

    def check(self, images: Sequence[Image], if_exists: str) -> None:
        """Find what can be known to fail before any work.

        Raises UsageError, a line for each two images of one name, InputError for metadata that cannot be read, and
        OutputError, a line for each sidecar that is there and not conv3d's, if that would have to be replaced.
        """
        owners: dict[Path, Image] = {}
        mistakes: list[str] = []
        for image in images:
            other = owners.setdefault(self.sidecar_of(image), image)
            if other is not image:
                mistakes.append(
                    f"{quoted(other.path)} and {quoted(image.path)} would both become {quoted(self.output(image))}: "
                    "expected one of them, by --entity or --suffix"
                )
        if mistakes:
            raise UsageError(listed(mistakes))
        for image in images:
            self._inherited.metadata(image)
        foreign = [path for path, image in owners.items() if self._in_the_way(path, image, if_exists)]
        if foreign:
            words = "exists already, and is not by conv3d: expected another --desc, or --if-exists overwrite"
            raise OutputError(listed([f"{quoted(path)}: {words}" for path in foreign]))

    def _in_the_way(self, path: Path, image: Image, if_exists: str) -> bool:
        if if_exists == "overwrite" or not path.exists() or _ours(path):
            return False
        return if_exists == "error" or not Path(self.folder, self.output(image)).exists()

    def describe(self, command: str) -> None:
        """Write what the dataset says of itself, keeping what others have said in it."""
        now = {"Name": US, "Version": __version__, "Command": command}
        others = [one for one in self._before.get("GeneratedBy", ()) if not _is_us(one)]
        title = f"{self.source.title}: convolved"
        document = {
            "Name": title,
            "BIDSVersion": BIDS_VERSION,
            "DatasetType": "derivative",
            **self._before,
            "GeneratedBy": [*others, now],
            "SourceDatasets": self._sources(),
            "DatasetLinks": {**_mapping(self._before.get("DatasetLinks")), **self._links()},
        }
        keep(Path(self.folder, DESCRIPTION), json_bytes(document))
        if not any(Path(self.folder).glob("README*")):
            text = README.format(title=title, source=self.source.title, ours=OURS)
            keep(Path(self.folder, "README.md"), text.encode())
        self._pass_over()

    def _links(self) -> dict[str, str]:
        """Return the names of other datasets in what is passed on, those that the source knows too."""
        place, theirs = self._place_of_source(), _mapping(self.source.description.get("DatasetLinks"))
        return {name: _joined(place, link) for name, link in theirs.items()} | {self.link: place}

    def _sources(self) -> list[Any]:
        """Return the datasets that all derivatives here are made from: those known before, and this one."""
        place, doi = self._place_of_source(), self.source.description.get("DatasetDOI")
        said = self._before.get("SourceDatasets")
        known = said if isinstance(said, list) else []
        if any(isinstance(one, dict) and one.get("URL") == place for one in known):
            return list(known)
        return [*known, {"URL": place, **({"DOI": doi} if isinstance(doi, str) else {})}]

    def _pass_over(self) -> None:
        """Have a validator pass over what a batch leaves beside the dataset."""
        path = Path(self.folder, IGNORED)
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        missing = [line for line in PASSED_OVER if line not in lines]
        if missing:
            keep(path, "".join(f"{line}\n" for line in [*lines, *missing]).encode())

    def tell(self, image: Image, words: Mapping[str, Any], made_from: Mapping[str, str]) -> None:
        """Write what lies beside the derivative of an image, which was made by these words of ``apply``."""
        metadata = self._inherited.metadata(image)
        document = {
            "Description": description(words),
            "Sources": [f"bids:{self.link}:{place}" for place in (image.place, *self._mask_in(words))],
            **sidecar(image, metadata, self.link, words, made_from),
        }
        for extension, path in self._inherited.tables(image).items():
            # Tables take no ``desc``: they are those of every image here that is made from this one.
            keep(self._beside(image, None, extension), path.read_bytes())
        keep(self.sidecar_of(image), json_bytes(document))

    def _mask_in(self, words: Mapping[str, Any]) -> list[PurePosixPath]:
        """Return where in the source the mask lies, if it does."""
        mask = words["mask_path"] or words["labels_path"]
        if mask is None or not Path(mask).is_relative_to(self.source.root):
            return []
        return [PurePosixPath(Path(mask).relative_to(self.source.root))]

    def forget(self, image: Image) -> None:
        """Remove what would tell of a derivative that is not there."""
        path = self.sidecar_of(image)
        if _ours(path):
            with suppress(OSError):
                path.unlink()


def _joined(place: str, link: str) -> str:
    """Return where a link of a dataset leads, seen from where the dataset is at ``place``."""
    if ":" in link:
        return link
    return urljoin(f"{place}/", link) if ":" in place else posixpath.normpath(f"{place}/{link}")


def _is_us(generator: Any) -> bool:
    return isinstance(generator, dict) and generator.get("Name") == US


def _mapping(links: Any) -> dict[str, str]:
    """Return the links of a description, without what is none."""
    return {name: link for name, link in links.items() if isinstance(link, str)} if isinstance(links, dict) else {}


def _ours(path: Path) -> bool:
    try:
        return OURS in read_object(path)
    except Conv3dError:
        return False
