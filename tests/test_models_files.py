"""Files that are no models, or mean harm: each is refused in one line that names the file, and nothing in it is run."""

from __future__ import annotations

import io
import json
import os
import zipfile

import h5py
import numpy as np
import pytest

from conv3d_cli.errors import SpecError
from conv3d_cli.models import is_model_json, read_model
from conv3d_cli.models.text import MOST_BYTES, MOST_DEPTH

LAYER = {"class_name": "Conv3D", "config": {"name": "a", "filters": 1, "kernel_size": 1}}
MODEL = {"class_name": "Sequential", "config": {"name": "m", "layers": [LAYER]}}
TEXT = json.dumps(MODEL)


def zipped(members, compression=zipfile.ZIP_DEFLATED):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", compression) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return data.getvalue()


def hdf5(attributes, groups=()):
    data = io.BytesIO()
    with h5py.File(data, "w") as file:
        for name, value in attributes.items():
            file.attrs[name] = value
        for name in groups:
            file.create_group(name)
    return data.getvalue()


def encrypted():
    data = bytearray(zipped([("config.json", TEXT)], zipfile.ZIP_STORED))
    for magic, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(magic) + offset] |= 1
    return bytes(data)


def twice():
    with pytest.warns(UserWarning, match="Duplicate name"):
        return zipped([("config.json", TEXT), ("config.json", "{}")])


def damaged():
    data = bytearray(zipped([("config.json", TEXT * 20)]))
    data[60] ^= 0xFF
    return bytes(data)


def endless():
    """A text whose heap says that it takes no room: the HDF5 library walks on the spot."""
    data = hdf5({"model_config": TEXT})
    place = data.index(b"GCOL") + 16 + 8
    return data[:place] + (2**64 - 16).to_bytes(8, "little") + data[place + 8 :]


HOSTILE = {
    "bomb.keras": (lambda: zipped([("config.json", b" " * (MOST_BYTES + 10))]), "too large"),
    "no_config.keras": (lambda: zipped([("metadata.json", "{}")]), "no config.json"),
    "twice.keras": (twice, "2 config.json"),
    "encrypted.keras": (encrypted, "encrypted"),
    "lzma.keras": (lambda: zipped([("config.json", TEXT)], zipfile.ZIP_LZMA), "method 14"),
    "cut.keras": (lambda: zipped([("config.json", TEXT)])[:-30], "cannot be read"),
    "damaged.keras": (damaged, "cannot be read"),
    "metadata.keras": (
        lambda: zipped([("config.json", TEXT), ("metadata.json", "{")]),
        "metadata.json in it is not JSON",
    ),
    "version.keras": (
        lambda: zipped([("config.json", TEXT), ("metadata.json", '{"keras_version": "4.0.0"}')]),
        "Keras '4.0.0'",
    ),
    "pickle.keras": (lambda: zipped([("config.json", b"\x80\x04cos\nsystem\n(S'true'\ntR.")]), "not UTF-8"),
    "text.h5": (lambda: b"hello", "neither a zip nor HDF5"),
    "empty.h5": (lambda: b"", "neither a zip nor HDF5"),
    "cut.h5": (lambda: hdf5({"model_config": TEXT})[:200], "cannot be read"),
    "weights.h5": (lambda: hdf5({"layer_names": [b"a"]}), "weights only"),
    "new.weights.h5": (lambda: hdf5({}, ["layers/conv3d/vars"]), "weights only"),
    "other.h5": (lambda: hdf5({}, ["scan"]), "no Keras model"),
    "number.h5": (lambda: hdf5({"model_config": 3.5}), "is no text"),
    "array.h5": (lambda: hdf5({"model_config": np.array([b"a", b"b"])}), "is no text"),
    "latin1.h5": (lambda: hdf5({"model_config": np.bytes_(b'{"a": "\xe9"}')}), "not UTF-8"),
    "latin1_variable.h5": (lambda: hdf5({"model_config": b'{"a": "\xe9"}'}), "got byte 0xe9"),
    "endless.h5": (endless, "a heap of it is damaged"),
    "empty.json": (lambda: b"", "not JSON"),
    "cut.json": (lambda: TEXT[:-5].encode(), "not JSON"),
    "nul.json": (lambda: b"\0" * 100, "not JSON"),
    "utf16.json": (lambda: TEXT.encode("utf-16"), "not UTF-8"),
    "large.json": (lambda: b'{"a": "' + b"x" * MOST_BYTES + b'"}', "too large"),
    "twice.json": (lambda: b'{"class_name": "Sequential", "class_name": "Model"}', "repeated key 'class_name'"),
    "deep.json": (lambda: b"[" * 100_000 + b"]" * 100_000, "nested too deeply"),
    "deeper.json": (lambda: b"[" * (MOST_DEPTH + 1) + b"]" * (MOST_DEPTH + 1), "nested too deeply"),
    "digits.json": (lambda: b'{"a": ' + b"1" * 100_000 + b"}", "100000 digits"),
    "list.json": (lambda: b"[1, 2]", "no Keras model"),
    "old.json": (lambda: json.dumps({**MODEL, "keras_version": "1.2.2"}).encode(), "Keras '1.2.2'"),
}


def refusal(path):
    with pytest.raises(SpecError) as error:
        read_model(str(path))
    [line] = error.value.problems
    assert line.isprintable()
    assert path.name in line
    return line


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_in_one_line(tmp_path, name):
    make, words = HOSTILE[name]
    path = tmp_path / name
    path.write_bytes(make())
    assert words in refusal(path)


def test_a_bomb_is_not_unpacked(tmp_path, monkeypatch):
    asked = []
    read = zipfile.ZipExtFile.read
    monkeypatch.setattr(zipfile.ZipExtFile, "read", lambda self, n=-1: asked.append(n) or read(self, n))
    path = tmp_path / "bomb.keras"
    path.write_bytes(HOSTILE["bomb.keras"][0]())
    assert "too large" in refusal(path)
    assert asked == [MOST_BYTES + 1]


def test_depth_is_allowed_up_to_the_limit(tmp_path):
    path = tmp_path / "model.json"
    path.write_bytes(b"[" * MOST_DEPTH + b"]" * MOST_DEPTH)
    assert "no Keras model" in refusal(path)


def test_models_in_models_beyond_reason_are_refused(tmp_path):
    model = MODEL
    for i in range(80):
        model = {"class_name": "Sequential", "config": {"name": f"m{i}", "layers": [model]}}
    path = tmp_path / "model.json"
    path.write_text(json.dumps(model))
    assert "nested too deeply" in refusal(path)


@pytest.mark.parametrize("name", ["missing.keras", "missing.h5", "missing.json", "", "folder"])
def test_files_that_are_not_there(tmp_path, name):
    (tmp_path / "folder").mkdir()
    path = tmp_path / name
    with pytest.raises(SpecError) as error:
        read_model(str(path))
    assert str(error.value).startswith(repr(str(path)))
    assert "\n" not in str(error.value)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs")
def test_a_fifo_is_refused_without_waiting(tmp_path):
    path = tmp_path / "model.keras"
    os.mkfifo(path)
    assert "not a regular file" in refusal(path)


def test_no_link_out_of_a_file_is_followed(tmp_path):
    other = tmp_path / "other.h5"
    other.write_bytes(hdf5({"model_config": TEXT}))
    path = tmp_path / "model.h5"
    with h5py.File(path, "w") as file:
        file["model_config"] = h5py.ExternalLink("other.h5", "/")
        file["model_weights"] = h5py.ExternalLink("other.h5", "/")
    assert "no Keras model" in refusal(path)


def test_a_name_with_a_newline_stays_in_one_line(tmp_path):
    path = tmp_path / "mo\ndel.json"
    path.write_bytes(b"[]")
    with pytest.raises(SpecError) as error:
        read_model(str(path))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["model.h5", "model.keras", "model.json", "model"])
def test_a_file_is_what_its_bytes_say(tmp_path, name):
    path = tmp_path / name
    for data, form in (
        (hdf5({"model_config": TEXT, "keras_version": "2.4.0"}), "hdf5"),
        (zipped([("config.json", TEXT), ("metadata.json", '{"keras_version": "2.12.0"}')]), "keras"),
    ):
        path.write_bytes(data)
        model = read_model(str(path))
        assert (model.form, model.keras, [entry.path for entry in model.entries]) == (form, 2, ["a"])


@pytest.mark.parametrize("text", [TEXT, np.bytes_(TEXT.encode()), np.array([TEXT], dtype=object)])
def test_all_kinds_of_text_attributes(tmp_path, text):
    path = tmp_path / "model.h5"
    with h5py.File(path, "w") as file:
        value = np.array([TEXT], dtype=h5py.string_dtype()) if isinstance(text, np.ndarray) else text
        file.attrs["model_config"] = value
    assert [entry.path for entry in read_model(str(path)).entries] == ["a"]


def test_a_lambda_is_a_layer_like_others(tmp_path):
    code = {"class_name": "__lambda__", "config": {"code": "4wEAAAA=", "defaults": None, "closure": None}}
    layers = [LAYER, {"class_name": "Lambda", "config": {"name": "evil", "function": code}}]
    path = tmp_path / "model.json"
    path.write_text(json.dumps({"class_name": "Sequential", "config": {"name": "m", "layers": layers}}))
    assert [entry.class_name for entry in read_model(str(path)).entries] == ["Conv3D", "Lambda"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (TEXT, True),
        (json.dumps({**MODEL, "class_name": "Functional"}), True),
        (json.dumps({"module": "keras", **MODEL}), True),
        (json.dumps({"config": MODEL["config"], "class_name": "MyNet"}), True),
        (TEXT[:-3], True),
        ("\ufeff" + TEXT, True),
        (json.dumps(LAYER), False),
        (json.dumps({"layers": [LAYER]}), False),
        (json.dumps({"filters": 1, "kernel_size": 3}), False),
        ("filters: 1", False),
        ("[]", False),
        ("", False),
    ],
)
def test_models_and_specs_are_told_apart(text, expected):
    assert is_model_json(text.encode()) is expected


def test_dialect_by_form_where_no_version_is_told(tmp_path):
    path = tmp_path / "model.json"
    for written, keras in (
        (MODEL, 2),
        ({"module": "keras", **MODEL}, 3),
        ({**MODEL, "config": {"name": "m", "layers": [{**LAYER, "module": "keras.layers"}]}}, 3),
        ({"module": "keras", **MODEL, "keras_version": "2.15.0"}, 2),
    ):
        path.write_text(json.dumps(written))
        assert read_model(str(path)).keras == keras
