"""Weights files: what is read, what is refused before it is read, and what is written."""

from __future__ import annotations

import io
import os
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conv3d_cli.errors import LayerError, OutputError, OverLimit, ShapeError, UsageError, WeightsError
from conv3d_cli.layers import Conv3D, Network
from conv3d_cli.weights import assign, check, describe, expected_shapes, read_weights, write_weights
from conv3d_cli.weights.npz import HEADER_BYTES, write_npz

KERNEL = np.arange(27 * 2, dtype=np.float32).reshape(3, 3, 3, 1, 2)
BIAS = np.array([1, -1], np.float32)


def one(**kwargs):
    return Network([Conv3D(2, 3, name="edges", **kwargs)])


def two():
    return Network([Conv3D(2, 3, name="a"), Conv3D(4, 1, name="b", groups=2)])


@pytest.fixture
def npz(tmp_path):
    """Write arrays, or bytes as they are, as members of an npz."""

    def write(members, compression=zipfile.ZIP_DEFLATED, name="w.npz"):
        path = tmp_path / name
        with zipfile.ZipFile(path, "w", compression) as archive:
            for key, value in members.items():
                archive.writestr(key if isinstance(value, bytes) else f"{key}.npy", npy(value))
        return str(path)

    return write


def npy(value) -> bytes:
    if isinstance(value, bytes):
        return value
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asarray(value), allow_pickle=True)
    return buffer.getvalue()


def header(shape, descr="<f4", fortran=False) -> bytes:
    text = repr({"descr": descr, "fortran_order": fortran, "shape": shape}).encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def refusal(path, network=None, channels=1) -> str:
    with pytest.raises(WeightsError) as caught:
        assign(network or one(), read_weights(path), channels)
    assert all(line.startswith(f"{path!r}: ") for line in str(caught.value).split("\n"))
    return str(caught.value).replace(f"{path!r}: ", "")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("prefix", ["", "edges/"])
def test_one_layer_takes_bare_and_prefixed_names(tmp_path, save, prefix):
    save(tmp_path / "w.npz", **{f"{prefix}kernel": KERNEL, f"{prefix}bias": BIAS})
    network = one()
    assert assign(network, read_weights(str(tmp_path / "w.npz")), 1) == []
    [layer] = network
    assert (layer.built, layer.channels) == (True, 1)
    assert np.array_equal(layer.kernel, KERNEL)
    assert np.array_equal(layer.bias, BIAS)


def test_channels_run_through_the_network(npz):
    kernel = np.ones((1, 1, 1, 1, 4), np.float32)
    path = npz({"a/kernel": KERNEL, "a/bias": BIAS, "b/kernel": kernel, "b/bias": np.zeros(4, np.float32)})
    network = two()
    assert check(network, read_weights(path), 1)["b"] == {"kernel": "b/kernel", "bias": "b/bias"}
    assign(network, read_weights(path), 1)
    assert np.array_equal(network["b"].kernel, kernel)


@pytest.mark.parametrize("dtype", ["<f2", ">f4", "<f8", ">i2", "u1", "<i8", "?"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_real_numbers_of_any_kind_are_cast(npz, dtype, order):
    kernel = np.asarray(KERNEL.astype(dtype), order=order)
    network = one(use_bias=False, dtype="float64")
    notes = assign(network, read_weights(npz({"kernel": kernel})), 1)
    [layer] = network
    assert layer.kernel.dtype == np.float64
    assert layer.kernel.flags.c_contiguous
    assert np.array_equal(layer.kernel, kernel.astype(np.float64))
    assert notes == ([] if dtype == "<f8" else [f"kernel: cast from {np.dtype(dtype).newbyteorder('=')} to float64"])


def test_what_float32_cannot_hold_is_refused_and_nothing_is_assigned(npz):
    network = one()
    with pytest.raises(WeightsError, match=r"bias: 1 values are too large for float32: expected at most 3\.4e"):
        assign(network, read_weights(npz({"kernel": KERNEL, "bias": np.array([0, 1e39])})), 1)
    assert not network.built


def test_weights_that_are_not_finite_are_noted(npz):
    kernel = KERNEL.copy()
    kernel[0, 0, 0] = np.nan, np.inf
    network = one(use_bias=False)
    assert assign(network, read_weights(npz({"kernel": kernel})), 1) == ["kernel: 2 of 54 weights are not finite"]
    assert np.isnan(network["edges"].kernel[0, 0, 0, 0, 0])


def test_everything_that_does_not_fit_is_told_at_once(npz):
    path = npz({"a/kernel": KERNEL[:2], "b/kernal": BIAS, "b/bias": np.zeros(4), "extra": BIAS})
    assert refusal(path, two()).split("\n") == [
        "layer 'a': a/kernel has the wrong shape: got (2, 3, 3, 1, 2), expected (3, 3, 3, 1, 2)",
        "layer 'a': a/bias is missing: expected shape (2,)",
        "layer 'b': b/kernel is missing: expected shape (1, 1, 1, 1, 4)",
        "'b/kernal' is left over: no layer has it; did you mean 'b/kernel'?",
        "'extra' is left over: no layer has it, expected a/kernel, a/bias, b/kernel, b/bias",
    ]


def test_bare_names_do_not_fit_several_layers(npz):
    assert "a/kernel is missing" in refusal(npz({"kernel": KERNEL, "bias": BIAS}), two())


def test_a_bias_that_the_layer_does_not_have_is_left_over(npz):
    assert "'bias' is left over" in refusal(npz({"kernel": KERNEL, "bias": BIAS}), one(use_bias=False))


def test_a_wrong_shape_says_what_it_may_be(npz):
    torch = np.zeros((8, 1, 3, 2, 3))
    assert "PyTorch's layout" in refusal(npz({"kernel": torch}), Network([Conv3D(8, (3, 2, 3), use_bias=False)]))
    path = npz({"kernel": np.zeros((3, 3, 3, 2, 2)), "bias": BIAS})
    assert refusal(path).endswith("; it is for 2 input channels, the input has 1")


def test_channels_that_the_groups_refuse(npz):
    with pytest.raises(ShapeError):
        assign(one(groups=2), read_weights(npz({"kernel": KERNEL, "bias": BIAS})), 3)


NOT_REAL = {
    "objects": (np.array([None]), "no real numbers: got dtype object"),
    "complex": (np.zeros(2, complex), "no real numbers: got dtype complex128"),
    "text": (np.array(["a"]), "no real numbers"),
    "dates": (np.array(["2001"], "M8[D]"), "no real numbers"),
    "structured": (np.zeros(2, "f4,f4"), "no real numbers"),
    "long double": (np.zeros(2, np.longdouble), "no real numbers"),
    "empty": (np.zeros((0, 3)), r"holds no values: got shape \(0, 3\)"),
    "negative": (header((-1, 3)), "holds no values"),
    "not an npy": (b"kernel", "not an npy array"),
    "no header": (b"", "not an npy array"),
    "cut header": (header((2,))[:20], "not an npy array"),
    "npy version 3": (b"\x93NUMPY\x03\x00" + header((2,))[8:], "version 3.0"),
    "unbalanced header": (header((2,)).replace(b"}", b"("), "not an npy array"),
    "announces more": (
        header((2**20, 2**20)) + bytes(8),
        "got 8 bytes of values, expected 4398046511104 for shape",
    ),
    "announces absurdly much": (header((2**62, 2**62)) + bytes(8), "size differs from its header"),
    "announces less": (header((2,)) + bytes(9), "got 9 bytes of values, expected 8 for shape"),
}


@pytest.mark.parametrize(("value", "message"), NOT_REAL.values(), ids=NOT_REAL)
def test_members_that_are_no_weights(npz, value, message):
    path = npz({"kernel.npy" if isinstance(value, bytes) else "kernel": value})
    with pytest.raises(WeightsError, match=message) as caught:
        read_weights(path)
    assert "\n" not in str(caught.value)
    assert "'kernel.npy'" in str(caught.value)


def test_a_bomb_is_refused_unread(npz, monkeypatch):
    size = 64 << 20
    path = npz({"kernel.npy": header((size,), "|u1") + bytes(size), "bias": BIAS})
    assert Path(path).stat().st_size < 1 << 20
    most = []
    read = zipfile.ZipExtFile.read
    monkeypatch.setattr(zipfile.ZipExtFile, "read", lambda self, n=-1: most.append(n) or read(self, n))
    assert "expected (3, 3, 3, 1, 2)" in refusal(path)
    assert all(0 <= n <= HEADER_BYTES for n in most)


def test_a_header_that_is_a_bomb_is_read_to_a_bound(npz):
    path = npz({"kernel.npy": b"\x93NUMPY\x02\x00" + struct.pack("<I", 1 << 28) + b" " * (1 << 24)})
    with pytest.raises(WeightsError, match="not an npy array"):
        read_weights(path)


def test_more_than_memory_holds_is_over_the_limit(npz, monkeypatch):
    path = npz({"kernel": np.zeros(1 << 16, np.uint8)})
    monkeypatch.setenv("CONV3D_MAX_MEMORY", "32K")
    with pytest.raises(OverLimit, match="got 65536 bytes, expected at most 32768"):
        describe(read_weights(path))


def test_encrypted_repeated_and_otherwise_compressed_members(npz, tmp_path):
    path = npz({"kernel": KERNEL}, zipfile.ZIP_BZIP2)
    with pytest.raises(WeightsError, match="compression 12: expected stored"):
        read_weights(path)
    data = bytearray(Path(npz({"kernel": KERNEL})).read_bytes())
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "e.npz").write_bytes(data)
    with pytest.raises(WeightsError, match="encrypted"):
        read_weights(str(tmp_path / "e.npz"))
    with zipfile.ZipFile(tmp_path / "d.npz", "w") as archive:
        archive.writestr("kernel.npy", npy(KERNEL))
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("kernel.npy", npy(KERNEL))
    with pytest.raises(WeightsError, match="repeated"):
        read_weights(str(tmp_path / "d.npz"))
    with pytest.raises(WeightsError, match=r"'kernel\.txt': not an array"):
        read_weights(npz({"kernel.txt": b"1"}))


def test_files_that_are_no_npz(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"not a zip")
    (tmp_path / "folder.npz").mkdir()
    os.mkfifo(tmp_path / "fifo.npz")
    for name, message in {
        "a.npz": "not a sound npz file",
        "absent.npz": "No such file",
        "folder.npz": "not a regular file",
        "fifo.npz": "not a regular file",
        "w.pth": r"got '\.pth', expected \.npz or \.h5 or .* or \.safetensors; PyTorch's own files can run code",
    }.items():
        with pytest.raises(WeightsError, match=message):
            read_weights(str(tmp_path / name))


def test_a_file_that_changes_underneath_is_refused(npz):
    weights = read_weights(npz({"kernel": KERNEL, "bias": BIAS}))
    npz({"kernel": KERNEL + 1, "bias": np.array([1.0, 2, 3])})
    with pytest.raises(WeightsError, match="changed while it was being read"):
        weights["kernel"]
    with pytest.raises(KeyError):
        weights["absent"]


def test_a_wrong_checksum_is_refused(npz):
    path = npz({"kernel": KERNEL, "bias": BIAS}, zipfile.ZIP_STORED)
    data = bytearray(Path(path).read_bytes())
    data[data.index(KERNEL.tobytes())] ^= 1
    Path(path).write_bytes(data)
    assert "Bad CRC-32" in refusal(path)


def test_a_stream_that_ends_early_is_refused(npz, tmp_path):
    """The directory promises all bytes and the right CRC of none of them; the stream holds fewer."""
    raw = npy(KERNEL)
    path = npz({"kernel.npy": raw[:-40], "bias": BIAS})
    data = bytearray(Path(path).read_bytes())
    at = data.index(b"PK\x01\x02")
    data[at + 24 : at + 28] = struct.pack("<I", len(raw))
    data[at + 16 : at + 20] = struct.pack("<I", zlib.crc32(raw[:-40]))
    Path(path).write_bytes(data)
    assert "'kernel.npy': data is truncated: got 176 bytes, expected 216" in refusal(path)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 10_000), bit=st.integers(0, 7), cut=st.booleans())
def test_damage_is_refused_or_harmless(tmp_path, place, bit, cut):
    path = tmp_path / "w.npz"
    np.savez_compressed(path, kernel=KERNEL, bias=BIAS)
    data = bytearray(path.read_bytes())
    if cut:
        del data[place % len(data) :]
    else:
        data[place % len(data)] ^= 1 << bit
    path.write_bytes(data)
    network = one()
    try:
        assign(network, read_weights(str(path)), 1)
    except (WeightsError, OverLimit) as error:
        assert path.name in str(error)  # noqa: PT017
    else:
        assert np.array_equal(network["edges"].kernel, KERNEL)
        assert np.array_equal(network["edges"].bias, BIAS)


def test_written_weights_come_back_and_are_the_same_bytes(tmp_path, monkeypatch):
    network = two()
    network.build(1, seed=3)
    first, second = tmp_path / "1.npz", tmp_path / "2.npz"
    write_weights(str(first), network)
    monkeypatch.setattr("time.time", lambda: 2e9)
    monkeypatch.setattr("time.localtime", lambda *_: (2033, 5, 18, 0, 0, 0, 0, 0, 0))
    write_weights(str(second), network)
    assert first.read_bytes() == second.read_bytes()
    again = two()
    assert assign(again, read_weights(str(first)), 1) == []
    assert all(np.array_equal(a.kernel, b.kernel) for a, b in zip(network, again, strict=True))
    with np.load(first) as plain:
        assert sorted(plain) == ["a/bias", "a/kernel", "b/bias", "b/kernel"]


def test_one_layer_is_written_with_bare_names(tmp_path):
    network = one(use_bias=False)
    network.build(1)
    write_weights(str(tmp_path / "w.npz"), network)
    assert read_weights(str(tmp_path / "w.npz")).headers["kernel"].shape == (3, 3, 3, 1, 2)
    assert len(read_weights(str(tmp_path / "w.npz"))) == 1


def test_writing_refuses_what_it_must(tmp_path):
    network = one()
    with pytest.raises(LayerError, match="'edges': has no weights"):
        write_weights(str(tmp_path / "w.npz"), network)
    network.build(1)
    with pytest.raises(UsageError, match=r"got '\.pth', expected \.npz or \.weights\.h5"):
        write_weights(str(tmp_path / "w.pth"), network)
    with pytest.raises(UsageError, match=r"a \.keras file holds a whole model"):
        write_weights(str(tmp_path / "w.keras"), network)
    write_weights(str(tmp_path / "w.npz"), network)
    with pytest.raises(OutputError):
        write_weights(str(tmp_path / "w.npz"), network)
    write_weights(str(tmp_path / "w.npz"), network, overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["w.npz"]


def test_written_bytes_do_not_depend_on_order_or_byte_order():
    def written(array):
        buffer = io.BytesIO()
        write_npz(buffer, {"kernel": array})
        return buffer.getvalue()

    assert written(KERNEL) == written(np.asfortranarray(KERNEL)) == written(KERNEL.astype(">f4"))


def test_rows_sum_up_finite_values(npz):
    path = npz({"kernel": np.array([1.0, np.nan, 3.0], ">f4"), "a/b/bias": np.array([np.inf])})
    first, second = describe(read_weights(path))
    assert (first.layer, first.name, first.shape, first.dtype) == (None, "kernel", (3,), "float32")
    assert (first.min, first.max, first.mean, first.std, first.nonfinite) == (1, 3, 2, 1, 1)
    assert (second.layer, second.name, second.min, second.std, second.nonfinite) == (
        "a/b",
        "bias",
        None,
        None,
        1,
    )


def test_shapes_are_known_before_anything_is_read():
    assert expected_shapes(two(), 3) == {
        "a": {"kernel": (3, 3, 3, 3, 2), "bias": (2,)},
        "b": {"kernel": (1, 1, 1, 1, 4), "bias": (4,)},
    }
