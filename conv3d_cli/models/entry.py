"""What a Keras model file says about its layers: the tree as written, and the layers of it in a flat list."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from conv3d_cli.frozen import field, frozen


@frozen
class Call:
    """One use of a layer: the names of the layers whose outputs it takes, and the options it was called with.

    Each input is (name of a layer in the same model, number of its call, number of its output). Options that are None
    are left out.
    """

    inputs: tuple[tuple[str, int, int], ...]
    options: Mapping[str, Any] = field(default_factory=dict)


@frozen
class Entry:
    """One layer of a model, as its file describes it, and where files keep its weights.

    ``path`` is the names of the models around it and its own, as ``encoder/conv_a``; ``config`` is the file's.
    ``group`` is its group in a legacy ``.h5``: the name of the layer, or of the nested model, in the outermost model.
    ``storage`` holds the places that it may have in a ``.weights.h5``, the likeliest first; each ends with ``/vars``.
    ``calls`` are the uses of it, empty in a Sequential. ``own`` is false for a class that is not of Keras itself.
    ``extra`` names what stands beside class_name and config and is not known to be any saver's.
    """

    class_name: str
    name: str
    path: str
    config: Mapping[str, Any]
    keras: int
    calls: tuple[Call, ...] = ()
    group: str = ""
    storage: tuple[str, ...] = ()
    own: bool = True
    extra: tuple[str, ...] = ()


@frozen
class Branch:
    """A model, the outermost or one nested in another: its layers and models in the file's order.

    ``row`` is true for a Sequential; otherwise ``inputs`` and ``outputs`` are the ends, as in ``Call.inputs``.
    ``path`` is empty for the outermost model. ``storage`` holds its places in a ``.weights.h5``, without ``/vars``.
    ``wrapper`` is true for a layer around a single other one, such as TimeDistributed.
    """

    class_name: str
    name: str
    path: str
    row: bool
    members: tuple[Entry | Branch, ...]
    inputs: tuple[tuple[str, int, int], ...] = ()
    outputs: tuple[tuple[str, int, int], ...] = ()
    calls: tuple[Call, ...] = ()
    storage: tuple[str, ...] = ()
    wrapper: bool = False

    def entries(self) -> Iterator[Entry]:
        """Yield every layer, those of nested models in their place."""
        for member in self.members:
            if isinstance(member, Branch):
                yield from member.entries()
            else:
                yield member


@frozen
class Model:
    """A model file: its tree, the dialect and version of the Keras that wrote it, and the hash of the file's bytes.

    ``version`` is empty where the file does not tell it. ``form`` is ``keras``, ``hdf5`` or ``json``: what the file is,
    whatever its name. ``notes`` say what is read in another way than it is written.
    """

    path: str
    form: str
    keras: int
    version: str
    sha256: str
    root: Branch
    notes: list[str] = field(default_factory=list)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Every layer in the file's order, which is one in which they can be run; nested models are opened."""
        return tuple(self.root.entries())

    @property
    def has_weights(self) -> bool:
        """Whether the file can hold weights."""
        return self.form != "json"
