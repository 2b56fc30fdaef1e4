"""The two ways in which Keras lays weights out in HDF5, as lists of what is stored where.

Legacy (Keras 1 and 2, and 3's ``.h5``): the attribute ``layer_names`` of the root or of ``/model_weights``, and
``weight_names`` of each layer's group. Keras 3 (and 2.12's ``.keras``): ``layers/<class>_<n>/vars/<i>``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from conv3d_cli.errors import WeightsError, quoted
from conv3d_cli.frozen import frozen, replace
from conv3d_cli.weights.hdf5_groups import DEEPEST, MOST_NAMES, child, group_of, natural, text, texts

if TYPE_CHECKING:
    from collections.abc import Iterator

    import h5py

#: Lists of layers, in Keras 3 and in 2.12; their members are numbered by class.
CONTAINERS = ("layers", "_layer_checkpoint_dependencies")
#: What else a Keras 3 file holds at its root.
NOT_LAYERS = ("optimizer", "_optimizer", "metrics", "_metrics", "loss_tracker", "compile_metrics")
#: Classes by their names in a Keras 3 file, with their variables in order.
VARIABLES = {
    "conv3d": ("Conv3D", ("kernel", "bias")),
    "p_re_lu": ("PReLU", ("alpha",)),
    "batch_normalization": ("BatchNormalization", ("gamma", "beta", "moving_mean", "moving_variance")),
    "conv3d_transpose": ("Conv3DTranspose", ("kernel", "bias")),
    "dense": ("Dense", ("kernel", "bias")),
}


@frozen
class Stored:
    """One array: the layer and the weight it is, and the dataset; with the class and the group of a Keras 3 file."""

    layer: str
    weight: str
    dataset: h5py.Dataset
    class_name: str | None = None
    place: str | None = None


@frozen
class Layout:
    """Everything that a file stores, whether its layers have names, and whether their order is the model's."""

    stored: list[Stored]
    named: bool
    ordered: bool


def layout(where: str, file: h5py.File) -> Layout:
    """Return what a weights file holds; WeightsError if it is neither layout, or damaged."""
    root = group_of(where, file, "model_weights") if "model_weights" in file else file
    if texts(where, root, "layer_names") is not None:
        return Layout(_with_activations(list(_legacy(where, root))), named=True, ordered=True)
    if any(name in file for name in (*CONTAINERS, "vars")):
        return _keras3(where, file)
    raise WeightsError(
        f"{where}: holds no weights of Keras: expected the attribute layer_names, or a group model_weights or layers"
    )


def _legacy(where: str, root: h5py.Group) -> Iterator[Stored]:
    for name in texts(where, root, "layer_names") or ():
        group = group_of(where, root, name)
        names = texts(where, group, "weight_names")
        if names is None:
            raise WeightsError(f"{where}: group {quoted(name)} has no attribute weight_names")
        split = [re.sub(r":\d+$", "", full).rpartition("/") for full in names]
        alone = len({outer for outer, _, _ in split}) == 1
        for full, (outer, _, weight) in zip(names, split, strict=True):
            yield Stored(_layer(name, outer, alone), weight, child(where, group, full))


def _layer(group: str, outer: str, alone: bool) -> str:
    """Return the path of a layer from its group and what its weights' names have before the last slash.

    What stands before the group's own name is a scope; what stands after it is a layer of a model inside.
    """
    if not outer or outer == group or (alone and outer.endswith(f"/{group}")):
        return group
    scope = f"/{outer}/"
    inside = scope.partition(f"/{group}/")[2] if f"/{group}/" in scope else scope[1:]
    return f"{group}/{inside}".rstrip("/")


def _keras3(where: str, file: h5py.File) -> Layout:
    found = list(_walk(where, file, [], []))
    named = all(None not in names for names, _ in found)
    if named:
        paths = ["/".join(str(n) for n in names) for names, _ in found]
        # A layer's name is its own: two groups with one name tell nothing.
        named = len({(path, one.weight) for path, (_, one) in zip(paths, found, strict=True)}) == len(found)
        stored = [
            Stored(path, o.weight, o.dataset, o.class_name, o.place) for path, (_, o) in zip(paths, found, strict=True)
        ]
    return Layout(_with_activations(stored if named else [one for _, one in found]), named, ordered=False)


def _with_activations(stored: list[Stored]) -> list[Stored]:
    """Return the arrays with a PReLU that is the activation of a layer as that layer's weight ``alpha``.

    It is stored as a layer inside the layer, under the name of the attribute (Keras 3) or its own.
    """
    owners = {one.layer: one for one in stored if one.weight == "kernel"}
    result = []
    for one in stored:
        owner = owners.get(one.layer.rpartition("/")[0])
        is_activation = one.weight == "alpha" or str(one.place).endswith("/activation")
        if owner is not None and is_activation:
            one = replace(one, layer=owner.layer, weight="alpha", class_name=owner.class_name, place=owner.place)
        result.append(one)
    return result


def _walk(
    where: str, file: h5py.File, names: list[str | None], path: list[str]
) -> Iterator[tuple[list[str | None], Stored]]:
    """Go through the groups; with each array come the names of the layers around it, None for one that has none."""
    import h5py

    waiting: list[tuple[h5py.Group, list[str | None], list[str], bool]] = [(file, names, path, False)]
    seen: set[int] = set()
    while waiting:
        group, names, path, listed = waiting.pop(0)
        address = h5py.h5o.get_info(group.id).addr
        if address in seen:
            raise WeightsError(f"{where}: group {quoted(group.name)} stands in the file twice, expected each once")
        seen.add(address)
        if len(seen) + len(waiting) > MOST_NAMES or len(path) > DEEPEST:
            raise WeightsError(f"{where}: too many groups, expected at most {MOST_NAMES}, {DEEPEST} deep")
        kind = class_of(path[-1]) if path else ""
        if "vars" in group:
            own = group_of(where, group, "vars")
            if path:
                names = [*names[:-1], text(where, own, "name") or names[-1]]
            for number, key in enumerate(sorted(own, key=natural)):
                thing = child(where, own, key)
                if isinstance(thing, h5py.Dataset):
                    class_name, known = VARIABLES.get(kind, (None, ())) if listed else (None, ())
                    known = known or (("kernel", "bias") if len(own) < 3 and _rank(own) == 5 else ())
                    weight = known[number] if number < len(known) else key
                    # Outside a list of layers a group is an attribute of somebody's class, and its name no class.
                    class_name = class_name or (kind if listed else None)
                    yield names, Stored("/".join(path), weight, thing, class_name, str(group.name).strip("/"))
        for key in sorted(group, key=natural):
            if key == "vars" or (not path and key in NOT_LAYERS):
                continue
            if not isinstance(group.get(key, getlink=True), h5py.HardLink):
                raise WeightsError(f"{where}: {quoted(key)} of {quoted(group.name)} is a link, which is not followed")
            thing = group[key]
            if not isinstance(thing, h5py.Group):
                continue
            if key in CONTAINERS:
                waiting += [
                    (group_of(where, thing, k), [*names, None], [*path, k], True) for k in sorted(thing, key=natural)
                ]
            else:
                waiting.append((thing, [*names, key], [*path, key], False))


def _rank(group: h5py.Group) -> int:
    first = group.get("0", getlink=False) if "0" in group else None
    return len(getattr(first, "shape", None) or ())


def class_of(name: str) -> str:
    """Return the class that a numbered name has: ``conv3d`` of ``conv3d_2``."""
    return re.sub(r"_\d+$", "", name)
