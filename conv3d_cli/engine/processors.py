"""Where a thread begins that is woken: on a processor on which the one that woke it does not stay.

On a virtual machine a processor that idles may look taken, for its host has given it away meanwhile: Linux then wakes a
thread on the processor of the one that wakes it (``available_idle_cpu`` asks ``vcpu_is_preempted``), where it waits
until that has nothing to do. So a thread is confined while it is woken, and sets itself free once it runs. Where its
work is over soon it stays confined, since the next call is likely to come from the same processor: to confine a thread
and then wake it takes 0.1 ms more than to wake one that is confined already.
"""

from __future__ import annotations

import os
from contextlib import suppress

from conv3d_cli.engine import isa

NOWHERE: frozenset[int] = frozenset()


def confine(thread: int, *, here: bool, now: frozenset[int] = NOWHERE) -> tuple[frozenset[int], frozenset[int]]:
    """Let a thread, by the system's number for it, wake only on this processor, or only on another.

    ``now`` is what it is confined to since the last time, if it is: then it may be right already. Returns the
    processors of the calling thread, to be given to ``free`` by that thread, and those that it is confined to; none
    where the system does not tell or take them, or there is only this one, and then nothing is changed.

    >>> import threading
    >>> allowed, where = confine(threading.get_native_id(), here=True)
    >>> free(allowed)
    """
    module = isa.native()
    if module is None or not hasattr(os, "sched_setaffinity"):
        return NOWHERE, NOWHERE
    mine = module.processor()
    try:
        allowed = frozenset(os.sched_getaffinity(0))
        where = allowed & {mine} if here else allowed - {mine}
        if len(allowed) < 2 or not where:
            free(allowed if now else NOWHERE, thread)  # it may have to leave where it is confined to
            return NOWHERE, NOWHERE
        if where != now:
            os.sched_setaffinity(thread, where)
    except OSError:  # a thread that is gone, or a system that forbids it
        return NOWHERE, NOWHERE
    return allowed, where


def free(allowed: frozenset[int], thread: int = 0) -> None:
    """Let a thread, else the calling one, run on any of these processors; on those that it has where none is given."""
    if allowed:
        with suppress(OSError):  # one of them was taken away
            os.sched_setaffinity(thread, allowed)
