"""Where a thread begins that is woken: on a processor on which the one that woke it does not stay.

On a virtual machine a processor that idles may look taken, for its host has given it away meanwhile: Linux then wakes a
thread on the processor of the one that wakes it (``available_idle_cpu`` asks ``vcpu_is_preempted``), where it waits
until that has nothing to do. So a thread is confined while it is woken, and sets itself free once it runs. (Threads of
compiled code, whose work is over soon, stay where they are: see native/places.hpp.)
"""

from __future__ import annotations

import os
from contextlib import suppress

from conv3d_cli.engine import isa

NOWHERE: frozenset[int] = frozenset()


def confine(thread: int, *, here: bool) -> frozenset[int]:
    """Let a thread, by the system's number for it, wake only on this processor, or only on another.

    Returns the processors of the calling thread, to be given to ``free`` by that thread; none where the system does
    not tell or take them, or there is only this one, and then nothing is changed.

    >>> import threading
    >>> allowed = confine(threading.get_native_id(), here=True)
    >>> free(allowed)
    """
    module = isa.native()
    if module is None or not hasattr(os, "sched_setaffinity"):
        return NOWHERE
    mine = module.processor()
    try:
        allowed = frozenset(os.sched_getaffinity(0))
        where = allowed & {mine} if here else allowed - {mine}
        if len(allowed) < 2 or not where:
            return NOWHERE
        os.sched_setaffinity(thread, where)
    except OSError:  # a thread that is gone, or a system that forbids it
        return NOWHERE
    return allowed


def free(allowed: frozenset[int]) -> None:
    """Let the calling thread run on any of these processors; on those that it has where none is given."""
    if allowed:
        with suppress(OSError):  # one of them was taken away
            os.sched_setaffinity(0, allowed)
