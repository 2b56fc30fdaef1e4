"""Weights files that are damaged, or made to harm: each is refused in one line that names it."""

from __future__ import annotations

import json
import os
import struct
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import ROOT

from conv3d_cli.errors import OverLimit, WeightsError
from conv3d_cli.weights import describe, read_weights

RECORDED = ROOT / "tests" / "recorded" / "weights"
ONES = np.ones((1, 1, 1, 1, 1), np.float32)


@pytest.fixture
def h5(tmp_path):
    """Return a function that makes a legacy file of one layer, hands its open file to a change, and gives its path."""

    def make(change=lambda file: None, kernel="a/a/kernel:0"):
        path = tmp_path / "w.h5"
        with h5py.File(path, "w") as file:
            file.attrs["layer_names"] = [b"a"]
            file.create_group("a").attrs["weight_names"] = [b"a/kernel:0"]
            if kernel:
                file[kernel] = ONES
            change(file)
        return str(path)

    return make


def refusal(path):
    with pytest.raises(WeightsError) as caught:
        describe(read_weights(path))
    message = str(caught.value)
    assert message.startswith(f"{path!r}: ")
    assert "\n" not in message
    return message


def other(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = ONES
    return str(tmp_path / "other.h5")


def replaced(make):
    """Return a change that puts something else in the place of the kernel."""

    def change(file):
        del file["a/a/kernel:0"]
        make(file["a/a"])

    return change


def virtual(group):
    layout = h5py.VirtualLayout((1, 1, 1, 1, 1), "f4")
    layout[...] = h5py.VirtualSource("absent.h5", "x", (1, 1, 1, 1, 1))
    group.create_virtual_dataset("kernel:0", layout)


def sparse(group):
    group.create_dataset("kernel:0", (1 << 12, 1 << 12, 1 << 12), "f4", chunks=(64, 64, 64))


def never_written(group):
    group.create_dataset("kernel:0", (1 << 10, 1 << 10, 1 << 10), "f8")


def a_filter(group):
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_chunk((4,))
    plist.set_filter(32999, h5py.h5z.FLAG_OPTIONAL)
    space = h5py.h5s.create_simple((4,))
    h5py.h5d.create(group.id, b"kernel:0", h5py.h5t.IEEE_F32LE, space, plist)


def soft(group):
    group["kernel:0"] = h5py.SoftLink("/a/elsewhere")


def external_storage(group):
    group.create_dataset("kernel:0", (4,), "f4", external=[("/etc/passwd", 0, 16)])


BAD_KERNELS = {
    "missing": (lambda group: None, "'a/kernel:0' is missing in '/a'"),
    "a soft link": (soft, "'a/kernel:0' is a soft link, which is not followed"),
    "a group": (lambda group: group.create_group("kernel:0"), "'a/kernel': no array: expected a dataset"),
    "external storage": (external_storage, "is stored in other files (external storage), which is not followed"),
    "virtual": (virtual, "is virtual: its voxels are in other files"),
    "sparse": (sparse, "claims 274877906944 bytes in a file of"),
    "never written": (never_written, "was never written or is cut"),
    "an unknown filter": (a_filter, "32999"),
    "text": (lambda g: g.create_dataset("kernel:0", data=["x"], dtype=h5py.string_dtype()), "no real numbers"),
    "lists": (lambda g: g.create_dataset("kernel:0", (1,), h5py.vlen_dtype(np.float32)), "no real numbers"),
    "references": (lambda g: g.create_dataset("kernel:0", (1,), h5py.ref_dtype), "no real numbers"),
    "complex": (lambda g: g.create_dataset("kernel:0", data=np.ones(2, complex)), "no real numbers"),
    "nothing": (lambda g: g.create_dataset("kernel:0", data=h5py.Empty("f4")), "holds no values: it has no dataspace"),
    "no values": (lambda g: g.create_dataset("kernel:0", (0, 3), "f4"), "holds no values: got shape (0, 3)"),
}


@pytest.mark.parametrize(("make", "message"), BAD_KERNELS.values(), ids=BAD_KERNELS)
def test_kernels_that_are_none(h5, make, message):
    assert message in refusal(h5(replaced(make)))


def test_external_links_are_not_followed(h5, tmp_path):
    target = other(tmp_path)
    link = replaced(lambda group: group.__setitem__("kernel:0", h5py.ExternalLink(target, "x")))
    assert "is an external link, which is not followed" in refusal(h5(link))

    def outside(file):
        del file["a"]
        file["a"] = h5py.ExternalLink(target, "/")

    assert "'a' is an external link" in refusal(h5(outside))

    def numbered(file):
        del file.attrs["layer_names"], file["a"]
        file.create_group("layers")["conv3d"] = h5py.ExternalLink(target, "/")

    assert "is an external link" in refusal(h5(numbered))

    def attribute(file):
        numbered(file)
        del file["layers/conv3d"]
        file["stem"] = h5py.ExternalLink(target, "/")

    assert "'stem' of '/' is a link, which is not followed" in refusal(h5(attribute))


NAMES = {
    "numbers": (np.arange(3), "holds no text: got int64, expected names"),
    "a missing layer": ([b"b"], "'b' is missing in '/'"),
    "an escape": ([b"../a"], "'../a' is missing"),
    "the group itself": ([b"."], "'.' is missing"),
    "twice": ([b"a", b"a"], "'a/kernel': repeated: expected each array once"),
    "not UTF-8": ([b"\xff\xfe"], "the weights cannot be read"),
    "very long": ([b"x" * 20_000], "too long"),
}


@pytest.mark.parametrize(("names", "message"), NAMES.values(), ids=NAMES)
def test_names_of_layers_that_are_none(h5, names, message):
    assert message in refusal(h5(lambda file: file.attrs.__setitem__("layer_names", names)))


def test_a_layer_without_weight_names(h5):
    assert "has no attribute weight_names" in refusal(h5(lambda file: file["a"].attrs.__delitem__("weight_names")))


def test_a_heap_that_never_ends(h5):
    """Names of varying length lie in a heap; an object in it that takes no room keeps the HDF5 library for ever."""
    path = h5(lambda file: file.attrs.__setitem__("layer_names", np.array(["a"], dtype=h5py.string_dtype())))
    data = bytearray(Path(path).read_bytes())
    place = data.index(b"GCOL") + 16 + 8
    data[place : place + 8] = (2**64 - 16).to_bytes(8, "little")
    Path(path).write_bytes(data)
    assert "a heap of the HDF5 file is damaged" in refusal(path)


def test_hdf5_that_holds_no_weights(tmp_path):
    assert "holds no weights of Keras: expected the attribute layer_names" in refusal(other(tmp_path))


def test_groups_that_hold_themselves_end(tmp_path):
    with h5py.File(tmp_path / "w.h5", "w") as file:
        group = file.create_group("layers/conv3d")
        group["again"] = group
        group["twice"] = group
    assert "'/layers/conv3d/again' stands in the file twice" in refusal(str(tmp_path / "w.h5"))


def test_groups_have_a_depth(tmp_path):
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["/".join(["layers", *"x" * 40, "vars", "0"])] = ONES
    assert "expected at most 100000, 32 deep" in refusal(str(tmp_path / "w.h5"))


def test_more_than_memory_holds_is_over_the_limit(tmp_path, monkeypatch):
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file.create_dataset("layers/dense/vars/0", data=np.zeros(1 << 20, np.float32), compression="gzip")
    weights = read_weights(str(tmp_path / "w.h5"))
    monkeypatch.setenv("CONV3D_MAX_MEMORY", "1M")
    with pytest.raises(OverLimit, match="got 4194304 bytes, expected at most 1048576"):
        weights["dense/kernel"]


def test_a_member_that_memory_does_not_hold(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "m.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.weights.h5", bytes(1 << 22))
    monkeypatch.setenv("CONV3D_MAX_MEMORY", "1M")
    with pytest.raises(OverLimit, match=r"'model\.weights\.h5': too large to read: got 4194304 bytes"):
        read_weights(str(tmp_path / "m.keras"))


def keras_zip(path, members, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return str(path)


def test_keras_files_that_are_none(tmp_path):
    path = tmp_path / "m.keras"
    assert "found 0 times: expected once" in refusal(keras_zip(path, [("config.json", "{}")]))
    assert "the weights cannot be read" in refusal(keras_zip(path, [("model.weights.h5", b"no HDF5")]))
    with pytest.warns(UserWarning, match="Duplicate"):
        twice = keras_zip(path, [("model.weights.h5", b"")] * 2)
    assert "found 2 times" in refusal(twice)
    assert "compression 12" in refusal(keras_zip(path, [("model.weights.h5", b"")], zipfile.ZIP_BZIP2))
    path.write_bytes(b"no zip")
    assert "not a sound .keras file" in refusal(str(path))


def test_a_configuration_that_nobody_can_read_does_not_hide_the_weights(tmp_path):
    with zipfile.ZipFile(RECORDED / "nested_3.keras") as archive:
        members = [("config.json", "{"), ("model.weights.h5", archive.read("model.weights.h5"))]
    assert "block/in_a/kernel" in read_weights(keras_zip(tmp_path / "m.keras", members))


def test_code_in_a_configuration_is_not_run(tmp_path):
    code = {"class_name": "Lambda", "config": {"name": "x", "function": {"class_name": "__lambda__", "config": {}}}}
    config = {"class_name": "Sequential", "config": {"name": "s", "layers": [code]}}
    with zipfile.ZipFile(RECORDED / "nested_3.keras") as archive:
        members = [("config.json", json.dumps(config)), ("model.weights.h5", archive.read("model.weights.h5"))]
    assert len(read_weights(keras_zip(tmp_path / "m.keras", members))) == 12


@pytest.mark.parametrize("name", ["w.h5", "w.keras", "w.safetensors"])
def test_what_is_no_file_of_weights(tmp_path, name):
    path = tmp_path / name
    assert "No such file" in refusal(str(path))
    path.mkdir()
    assert "not a regular file" in refusal(str(path))
    path.rmdir()
    os.mkfifo(path)
    assert "not a regular file" in refusal(str(path))


@pytest.mark.parametrize("name", ["nested_2.4.h5", "nested_3.keras"])
def test_a_file_that_changes_underneath_is_refused(tmp_path, name):
    path = tmp_path / name
    path.write_bytes((RECORDED / name).read_bytes())
    weights = read_weights(str(path))
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(WeightsError, match="changed while it was being read"):
        weights["first/kernel"]


def tensors(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


TENSORS = {
    "empty": (b"", "not a sound safetensors file"),
    "no header": (b"\xff" * 8, "not a sound safetensors file"),
    "no JSON": (tensors(b"pickle"), "not a sound safetensors file"),
    "cut": (tensors({"w": entry()}, bytes(4)), "not a sound safetensors file"),
    "too much": (tensors({"w": entry()}, bytes(12)), "not a sound safetensors file"),
    "another shape": (tensors({"w": entry(shape=(3,))}, bytes(8)), "not a sound safetensors file"),
    "absurd shape": (tensors({"w": entry(shape=(2**62, 2**62))}, bytes(8)), "not a sound safetensors file"),
    "overlapping": (tensors({"w": entry(), "v": entry()}, bytes(8)), "not a sound safetensors file"),
    "no values": (tensors({"w": entry(shape=(0,), offsets=(0, 0))}), "holds no values"),
    "eight bits": (tensors({"w": entry("F8_E4M3", (8,))}, bytes(8)), "'w': no numbers that NumPy has: got F8_E4M3"),
}


@pytest.mark.parametrize(("data", "message"), TENSORS.values(), ids=TENSORS)
def test_tensors_that_are_none(tmp_path, data, message):
    (tmp_path / "w.safetensors").write_bytes(data)
    assert message in refusal(str(tmp_path / "w.safetensors"))


@pytest.mark.parametrize("name", ["nested_2.4.h5", "nested_3.weights.h5", "nested_3.keras", "w.safetensors"])
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(place=st.integers(0, 1 << 20), bit=st.integers(0, 7), cut=st.booleans())
def test_damage_is_refused_or_harmless(tmp_path, name, place, bit, cut):
    """A file with a flipped bit, or cut, is read or refused, never with another error."""
    path = tmp_path / name
    source = RECORDED / name
    data = bytearray(source.read_bytes() if source.exists() else tensors({"w": entry()}, bytes(8)))
    if cut:
        del data[place % len(data) :]
    else:
        data[place % len(data)] ^= 1 << bit
    path.write_bytes(data)
    try:
        weights = read_weights(str(path))
        for key in weights:
            assert weights[key].shape == weights.headers[key].shape
    except (WeightsError, OverLimit) as error:
        assert Path(path).name in str(error)  # noqa: PT017
        assert "\n" not in str(error)  # noqa: PT017
