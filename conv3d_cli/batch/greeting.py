"""Which workers of a cluster can work for a batch: they have this version of conv3d, and see its folders."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING
from uuid import uuid4

from conv3d_cli import __version__
from conv3d_cli.batch import outpost
from conv3d_cli.batch.lock import guests, lock_file
from conv3d_cli.batch.outpost import Setting, Welcome

if TYPE_CHECKING:
    from distributed import Client

VERSION = "__import__('conv3d_cli').__version__"
"""What a worker can be asked that knows nothing of conv3d."""


def setting_of(folder: str, shard: tuple[int, int] | None, lock: int, entry: str, max_memory: str | None) -> Setting:
    """Return the setting of a batch that holds the lock of a folder, or of its part."""
    here = os.getcwd()  # noqa: PTH109 - joined to what was typed
    whole = os.path.join(here, folder)  # noqa: PTH118
    with suppress(OSError):
        os.fsync(lock)  # so that other machines can read it
    return Setting(
        uuid4().hex[:12], here, whole, lock_file(whole, shard), os.pread(lock, 4096, 0), guests(whole, shard), entry,
        max_memory,
    )  # fmt: skip


def greeted(client: Client, setting: Setting, addresses: list[str]) -> Iterator[tuple[str, Welcome | str]]:
    """Ask workers who they are; yield what they say, or what is wrong with one."""
    versions = client.run(eval, VERSION, workers=addresses, on_error="return")
    fit = [address for address, version in versions.items() if version == __version__]
    said = client.run(outpost.greet, setting, workers=fit, on_error="return") if fit else {}
    for address, version in versions.items():
        if isinstance(version, Exception):
            if not isinstance(version, OSError):  # it has gone meanwhile
                yield address, f"cannot import conv3d_cli: {version}: expected conv3d {__version__} there"
        elif version != __version__:
            yield address, f"has another version of conv3d: got {version}, expected {__version__}"
        elif isinstance(said.get(address), Welcome):
            yield address, said[address].refusal or said[address]
        elif not isinstance(said.get(address), (OSError, type(None))):
            yield address, f"cannot work: {said[address]}"
