"""Where files keep the weights of a layer: the names that savers of Keras give, found again from the configuration.

``.weights.h5`` names a layer by its class in snake case with a counter, in the order of the layers of its model. Keras
3 counts layers. TensorFlow 2.12 counts the entries of a table in which a layer with weights stands twice, so that its
numbers have gaps. Measured on Keras 3.15.1 and TensorFlow 2.12.0.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from conv3d_cli.frozen import frozen
from conv3d_cli.named import default_name

if TYPE_CHECKING:
    from conv3d_cli.models.entry import Entry

#: The folder of a model's layers, one row for each way of counting; the likeliest first.
FOLDERS = ("layers", "_layer_checkpoint_dependencies")
#: The attribute of a wrapper, such as TimeDistributed, in which savers find its layer.
WRAPPED = "layer"

_WEIGHTLESS = re.compile(
    r"""InputLayer|Activation|.*Dropout.*|Gaussian.*|Zero.*|Cropping.*|UpSampling.*|.*Pooling.*|.*Pool\dD|
        Add|Subtract|Multiply|Average|Maximum|Minimum|Concatenate|Dot|Flatten|Reshape|Permute|RepeatVector|Masking|Lambda|
        ReLU|LeakyReLU|ELU|ThresholdedReLU|Softmax|ActivityRegularization|UnitNormalization|Rescaling|Identity|
        TFOpLambda|SlicingOpLambda|ClassMethod|TensorFlowOpLayer""",
    re.VERBOSE,
)


@frozen
class Counted:
    """What counting needs to know of a layer: its class, whether it has weights, and whether it counts at all."""

    class_name: str
    weights: bool
    counts: bool = True


def has_weights(class_name: str) -> bool:
    """Return whether a layer of a class has weights, as far as the name tells; unknown ones have.

    >>> has_weights("Conv3D"), has_weights("MaxPooling3D"), has_weights("TFOpLambda")
    (True, False, False)
    """
    return _WEIGHTLESS.fullmatch(class_name) is None


def snake_case(class_name: str) -> str:
    """Return the name that savers make of a class.

    >>> [snake_case(name) for name in ("Conv3D", "PReLU", "Conv3DTranspose", "BatchNormalization", "TFOpLambda")]
    ['conv3d', 'p_re_lu', 'conv3d_transpose', 'batch_normalization', 'tf_op_lambda']
    """
    return default_name(re.sub(r"\W+", "", class_name.rpartition(">")[2]))


def segments(members: Sequence[Counted]) -> list[tuple[str, ...]]:
    """Return, for each layer of a model, its name below the model's place, for each way of counting.

    >>> segments([Counted("Conv3D", True), Counted("Conv3D", True)])[1]
    ('layers/conv3d_1', '_layer_checkpoint_dependencies/conv3d_2')
    """
    used: tuple[Counter[str], ...] = (Counter(), Counter())
    names: list[tuple[str, ...]] = []
    for member in members:
        if not member.counts:
            names.append(())
            continue
        name = snake_case(member.class_name)
        found = []
        for folder, counter, step in zip(FOLDERS, used, (1, 1 + member.weights), strict=True):
            found.append(f"{folder}/{name}_{counter[name]}" if counter[name] else f"{folder}/{name}")
            counter[name] += step
        names.append(tuple(found))
    return names


def below(places: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """Return the places of a layer in a model that has places itself, one for each way of counting.

    There are none for what is not stored.

    >>> below(("layers/sequential", "x/sequential"), ("layers/conv3d", "x/conv3d_2"))
    ('layers/sequential/layers/conv3d', 'x/sequential/x/conv3d_2')
    """
    if not names:
        return ()
    return tuple(f"{place}/{name}" if place else name for place, name in zip(places, names, strict=True))


def legacy_owners(entries: Sequence[Entry], group: str, weight_names: Sequence[str]) -> Mapping[str, list[str]]:
    """Return the weight names of a group of a legacy ``.h5`` by the path of the layer that they belong to.

    A group is a layer of the outermost model, or a whole nested model. Names end with the layer's and the weight's, as
    ``conv_a/kernel:0``; Keras 3 writes the names of models before them. A layer alone in its group owns every name of
    it. Otherwise a name that fits no layer, or several equally, stands under an empty path.
    """
    mine = [entry for entry in entries if entry.group == group]
    weighted = [entry.path for entry in mine if has_weights(entry.class_name)]
    if len(weighted or mine) == 1:
        return {(weighted or [mine[0].path])[0]: list(weight_names)}
    found: dict[str, list[str]] = {}
    for name in weight_names:
        scopes = name.split("/")[:-1]
        fits = {entry.path: _common_tail(scopes, entry.path.split("/")) for entry in mine}
        best = max(fits.values(), default=0)
        owners = [path for path, length in fits.items() if length == best]
        found.setdefault(owners[0] if best and len(owners) == 1 else "", []).append(name)
    return found


def _common_tail(one: Sequence[str], other: Sequence[str]) -> int:
    pairs = list(zip(reversed(one), reversed(other), strict=False))
    return next((i for i, (a, b) in enumerate(pairs) if a != b), len(pairs))
