"""Layers out of any file, and PyTorch's layout: what is taken, what is left out, and that it convolves the same."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from support import ROOT

from conv3d_cli.errors import UsageError, WeightsError
from conv3d_cli.layers import Conv3D, Network
from conv3d_cli.weights import assign, check, read_weights, take, to_torch, write_arrays

RECORDED = ROOT / "tests" / "recorded" / "weights"
RNG = np.random.default_rng(2)
#: A PyTorch network: a grouped Conv3d, batch norm, PReLU, a transposed convolution, a Conv3d without bias, a Linear.
STATE = {
    "net.0.weight": RNG.standard_normal((6, 2, 3, 2, 1)).astype(np.float32),
    "net.0.bias": RNG.standard_normal(6).astype(np.float32),
    "net.1.weight": np.ones(6, np.float32),
    "net.1.bias": np.ones(6, np.float32),
    "net.1.running_mean": np.ones(6, np.float32),
    "net.2.weight": np.arange(6, dtype=np.float32),
    "up.weight": np.ones((6, 3, 2, 2, 2), np.float32),
    "up.bias": np.ones(3, np.float32),
    "last.weight": RNG.standard_normal((2, 3, 1, 1, 1)).astype(np.float32),
    "fc.weight": np.ones((2, 3), np.float32),
}


@pytest.fixture(params=[".npz", ".safetensors"])
def state(request, tmp_path):
    path = str(tmp_path / f"state{request.param}")
    write_arrays(path, STATE, layout="torch")
    return path


def test_pytorch_s_layers_are_taken_and_turned(state):
    weights = read_weights(state)
    assert weights.layout == "torch"
    taken = take(weights)
    assert {name: array.shape for name, array in taken.flat().items()} == {
        "net.0/kernel": (3, 2, 1, 2, 6),
        "net.0/bias": (6,),
        "net.2/alpha": (1, 1, 1, 6),
        "last/kernel": (1, 1, 1, 3, 2),
    }
    assert taken.arrays["net.0"]["kernel"][2, 1, 0, 1, 5] == STATE["net.0.weight"][5, 1, 2, 1, 0]
    [note] = taken.notes
    assert note.startswith("left out, neither Conv3D nor PReLU:")
    assert all(name in note for name in ("net.1", "up", "fc"))


def test_there_and_back(state):
    back = to_torch(take(read_weights(state)).arrays)
    assert set(back) == {"net.0.weight", "net.0.bias", "net.2.weight", "last.weight"}
    for name, array in back.items():
        np.testing.assert_array_equal(array, STATE[name])
        assert array.flags.c_contiguous


def test_a_turned_kernel_correlates_as_pytorch_does():
    """By the definition: y[f, p] = sum of w[f, c, q] x[c, p + q], with the channels of each group for itself."""
    w, x = STATE["net.0.weight"], RNG.standard_normal((4, 4, 3, 2))
    layer = Conv3D(6, (3, 2, 1), groups=2, use_bias=False, dtype="float64")
    layer.build(4)
    [kernel] = take_one(w)
    layer.set_weights([kernel])
    y = layer(x.transpose(1, 2, 3, 0)[None])[0]
    for f in range(6):
        part = x[2 * (f // 3) : 2 * (f // 3) + 2]
        expected = (w[f] * part[:, 1:4, 0:2, 1:2]).sum()
        np.testing.assert_allclose(y[1, 0, 1, f], expected, rtol=1e-6)


def take_one(w):
    from conv3d_cli.weights import Header, Weights

    weights = Weights("w", "", {"weight": Header(w.shape, w.dtype)}, lambda name: w)
    return list(take(weights).flat(bare=True).values())


def test_a_single_layer_has_no_name(state, tmp_path):
    taken = take(read_weights(state), "net.0")
    assert list(taken.flat(bare=True)) == ["kernel", "bias"]
    assert list(to_torch(taken.arrays, bare=True)) == ["weight", "bias"]
    path = str(tmp_path / "one.npz")
    write_arrays(path, taken.flat(bare=True))
    network = Network([Conv3D(6, (3, 2, 1), groups=2, name="any")])
    assert assign(network, read_weights(path), 4) == []
    np.testing.assert_array_equal(network["any"].kernel[..., 0], STATE["net.0.weight"][0].transpose(1, 2, 3, 0))


@pytest.mark.parametrize("name", ["nested_3.keras", "nested_2.12.keras", "nested_2.4.h5", "nested_3.weights.h5"])
def test_one_layer_out_of_a_model(name):
    weights = read_weights(str(RECORDED / name))
    for layer in ("in_b", "block/in_b"):
        taken = take(weights, layer)
        assert list(taken.flat()) == ["block/in_b/kernel"]
        assert taken.arrays["block/in_b"]["kernel"].ravel().tolist() == [9.0, 9.0625, 9.125, 9.1875]
    assert take(weights, "act").arrays["act"]["alpha"].shape == (1, 1, 1, 3)


def test_a_layer_that_is_not_there_or_no_convolution():
    weights = read_weights(str(RECORDED / "nested_3.keras"))
    with pytest.raises(WeightsError) as caught:
        take(weights, "frist")
    assert str(caught.value).endswith(
        "there is no layer 'frist': expected one of 'first', 'act', 'block/in_a', 'block/in_b', 'last'"
        "; did you mean 'first'?"
    )
    with pytest.raises(
        WeightsError, match=r"layer 'norm' is no Conv3D: got BatchNormalization with gamma \(3,\), beta"
    ):
        take(weights, "norm")


def test_a_name_that_several_layers_have(tmp_path):
    kernel = np.ones((1, 1, 1, 1, 1))
    write_arrays(str(tmp_path / "w.npz"), {"a/x/kernel": kernel, "b/x/kernel": kernel})
    with pytest.raises(WeightsError, match="'x' is the name of several layers: expected one of 'a/x', 'b/x'"):
        take(read_weights(str(tmp_path / "w.npz")), "x")


def test_a_file_of_other_layers(tmp_path):
    np.savez(
        tmp_path / "w.npz", **{"d/kernel": np.ones((2, 3)), "t/kernel": np.ones((1, 1, 1, 3, 2)), "t/bias": np.ones(3)}
    )
    with pytest.raises(WeightsError, match=r"holds no Conv3D layer: got 'd', 't'$"):
        take(read_weights(str(tmp_path / "w.npz")))
    np.savez(tmp_path / "s.npz", weight=np.ones((2, 1, 1, 1, 1)))
    with pytest.raises(WeightsError, match="in torch's layout there would be some: try --from torch"):
        take(read_weights(str(tmp_path / "s.npz")), layout="keras")


def test_a_class_that_the_file_tells_is_believed(tmp_path):
    with h5py.File(tmp_path / "w.weights.h5", "w") as file:
        for group, name in (("conv3d", "down"), ("conv3d_transpose", "up")):
            file[f"layers/{group}/vars/0"] = np.ones((1, 1, 1, 2, 2))
            file[f"layers/{group}/vars"].attrs["name"] = name
    taken = take(read_weights(str(tmp_path / "w.weights.h5")))
    assert list(taken.flat()) == ["down/kernel"]
    assert taken.notes == ["left out, neither Conv3D nor PReLU: 'up'"]


def test_the_layout_of_safetensors_is_in_its_header(tmp_path):
    path = str(tmp_path / "w.safetensors")
    write_arrays(path, {"a/odd": np.ones(2)}, layout="keras")
    assert read_weights(path).layout == "keras"
    write_arrays(path, {"a.odd": np.ones(2)}, overwrite=True, layout="torch")
    assert read_weights(path).layout == "torch"


def test_pytorch_s_layout_is_no_format_of_keras(tmp_path):
    for suffix in (".h5", ".weights.h5"):
        with pytest.raises(UsageError, match=r"expected \.npz or \.safetensors for PyTorch's"):
            write_arrays(str(tmp_path / f"w{suffix}"), STATE, layout="torch")


def test_slopes_of_each_voxel_are_not_pytorch_s():
    with pytest.raises(WeightsError, match=r"alpha has a value for each voxel: got shape \(4, 4, 4, 2\)"):
        to_torch({"p": {"alpha": np.ones((4, 4, 4, 2))}})
    assert to_torch({"p": {"alpha": np.ones((3, 1, 1, 1))}})["p.weight"].shape == (3,)


def test_a_network_refuses_pytorch_s_names_and_says_what_to_do(state):
    with pytest.raises(WeightsError, match="PyTorch's: 'conv3d weights convert --from torch' turns it"):
        check(Network([Conv3D(6, (3, 2, 1), groups=2, name="net.0")]), read_weights(state), 4)
