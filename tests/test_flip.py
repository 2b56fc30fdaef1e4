"""``flip``: a true convolution, from Python, in a spec, on the command line."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from conv3d_cli.layers import Conv3D

RANDOM = np.random.default_rng(4)


@pytest.mark.parametrize("size", [(3, 5, 1), (2, 4, 3), (6, 1, 2)])
def test_a_flipped_layer_is_scipys_convolution(size):
    x, kernel = RANDOM.standard_normal((9, 10, 11)), RANDOM.standard_normal(size)
    layer = Conv3D(1, size, padding="same", use_bias=False, flip=True, dtype="float64")
    layer.build(1)
    layer.set_weights([kernel[..., None, None]])
    expected = ndimage.convolve(x, kernel, mode="constant")
    np.testing.assert_allclose(layer(x[None, ..., None])[0, ..., 0], expected, atol=1e-12)
    np.testing.assert_array_equal(layer.get_weights()[0][..., 0, 0], kernel)


def test_a_configuration_says_flip_only_where_it_is_set():
    assert "flip" not in Conv3D(1, 3).get_config()
    assert Conv3D.from_config(Conv3D(1, 3, flip=True).get_config()).flip
    with pytest.raises(ValueError, match="flip: not a truth value"):
        Conv3D(1, 3, flip="yes")


def test_gradients_are_those_of_the_flipped_layer():
    layer = Conv3D(2, (2, 3, 1), activation="tanh", flip=True, dtype="float64")
    x, up = RANDOM.standard_normal((1, 4, 5, 3, 2)), RANDOM.standard_normal((1, 3, 3, 3, 2))
    layer.build(2)
    found, kernel, step = layer.gradients(x, up), layer.kernel.copy(), 1e-6
    for place in ((0, 0, 0, 0, 0), (1, 2, 0, 1, 1), (0, 1, 0, 1, 0)):
        sides = []
        for sign in (1, -1):
            changed = kernel.copy()
            changed[place] += sign * step
            layer.set_weights([changed, layer.bias])
            sides.append(float((layer(x) * up).sum()))
        layer.set_weights([kernel, layer.bias])
        assert found.kernel[place] == pytest.approx((sides[0] - sides[1]) / (2 * step), rel=1e-5)


@pytest.mark.parametrize("way", ["--flip", "flip: true\n"])
def test_from_the_shell(conv3d, spec, volume, tmp_path, way):
    kernel = RANDOM.standard_normal((3, 5, 3)).astype("float32")
    np.savez(tmp_path / "w.npz", kernel=kernel[..., None, None])
    words = [way] if way == "--flip" else []
    text = "filters: 1\nkernel_size: [3, 5, 3]\npadding: same\nuse_bias: false\n" + ("" if words else way)
    path, words = volume(9, 10, 11), ["--spec", spec(text), *words]
    told = conv3d("apply", path, tmp_path / "o.npy", "--weights", tmp_path / "w.npz", *words, "--json")
    assert told.code == 0
    assert told.document["layers"][0]["flip"] is True
    expected = ndimage.convolve(np.load(path).astype(float), kernel.astype(float), mode="constant")
    np.testing.assert_allclose(np.load(tmp_path / "o.npy"), expected, atol=1e-5 * np.abs(expected).max())
    assert "the kernel is turned around: a true convolution" in conv3d("plan", path, *words).out


def test_a_point_spread_function(conv3d, volume, tmp_path):
    psf = RANDOM.random((3, 5, 3))
    np.save(tmp_path / "psf.npy", psf)
    path = volume(9, 10, 11)
    words = ["--filter", f"custom:file={tmp_path / 'psf.npy'}", "--flip"]
    assert conv3d("apply", path, tmp_path / "o.npy", *words).code == 0
    expected = ndimage.convolve(np.load(path).astype(float), psf, mode="constant")
    np.testing.assert_allclose(np.load(tmp_path / "o.npy"), expected, atol=1e-5 * np.abs(expected).max())
