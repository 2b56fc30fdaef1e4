"""What methods made of a kernel, kept for the next volume, or the next slab, of the same layer.

Weights are compared byte by byte with those that were transformed: an array that has been changed since counts as new.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from conv3d_cli.engine.blocks import Array
from conv3d_cli.frozen import frozen

T = TypeVar("T")

ROOM = 64 << 20
"""Bytes that are kept at most, kernels and what was made of them together."""

MOST = 64
"""Results that are kept at most: so many are looked through at each call."""


@frozen
class Entry:
    """A result, what it depends on, and the bytes of both."""

    key: Hashable
    kernel: bytes
    made: Any
    size: int


class Kept:
    """The results that were last asked for, of ``room`` bytes at most; threads may share it.

    >>> import numpy as np
    >>> kept, ones = Kept(1 << 20), np.ones((3, 3, 3, 1, 1), "f4")
    >>> first = kept.get("doubled", ones, lambda: 2 * ones, size=lambda made: made.nbytes)
    >>> kept.get("doubled", ones.copy(), lambda: 2 * ones, size=lambda made: made.nbytes) is first
    True
    """

    def __init__(self, room: int) -> None:
        self.room = room
        self._entries: list[Entry] = []  # the one used last is the last
        self._lock = threading.Lock()

    @property
    def bytes(self) -> int:
        """Bytes kept now."""
        return sum(entry.size for entry in self._entries)

    def get(self, key: Hashable, kernel: Array, make: Callable[[], T], size: Callable[[T], int]) -> T:
        """Return what ``make()`` returned for the same ``key`` and an equal ``kernel``, or what it returns now.

        ``key`` names everything beside the kernel that the result depends on; ``size`` tells the bytes of a result,
        which nobody may change from here on.
        """
        whole, values = (key, kernel.dtype.str, kernel.shape), kernel.tobytes()
        with self._lock:
            for i, entry in enumerate(self._entries):
                if entry.key == whole and entry.kernel == values:
                    self._entries.append(self._entries.pop(i))
                    found: T = entry.made
                    return found
        made = make()
        entry = Entry(whole, values, made, size(made) + len(values))
        if entry.size <= self.room:
            with self._lock:
                self._entries.append(entry)
                while self.bytes > self.room or len(self._entries) > MOST:
                    self._entries.pop(0)
        return made

    def unlock(self) -> None:
        """Take a lock of one's own: in a child process nobody is left to release the one that a thread held."""
        self._lock = threading.Lock()

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()


KERNELS = Kept(ROOM)
"""What this process keeps."""
atexit.register(KERNELS.clear)  # what compiled code made must go before that code does
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=KERNELS.unlock)
