"""Specs to networks: every form, every bad spec of the table with its places, all problems at once."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from pathlib import Path

import pytest
import yaml
from badspecs import BAD_SPECS, GOOD
from schemas import validator

from conv3d_cli.errors import SpecError
from conv3d_cli.spec import json_schema, load_spec
from conv3d_cli.spec.problems import MOST_SHOWN

SCHEMA = validator(json_schema())
BOTH = "{filters: 2, kernel_size: 3}"


@pytest.fixture
def spec(tmp_path):
    """Load a text as a spec; the name of the file is edges.yaml."""

    def load(text):
        path = tmp_path / "edges.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return load_spec(str(path))

    return load


def refusals(spec, text):
    with pytest.raises(SpecError) as caught:
        spec(text)
    assert str(caught.value) == "\n".join(caught.value.problems)
    return [line.partition("edges.yaml:")[2] for line in caught.value.problems]


@pytest.mark.parametrize("case", BAD_SPECS, ids=lambda case: case.name)
def test_bad_specs_are_refused_where_they_are_wrong(spec, case):
    found = refusals(spec, case.data)
    assert [":".join(line.split(":")[:2]) for line in found] == [place for place, _ in case.at]
    for line, (_, words) in zip(found, case.at, strict=True):
        assert "\n" not in line
        assert len(line) < 600
        for word in words:
            assert word in line


@pytest.mark.parametrize("case", [c for c in BAD_SPECS if c.schema], ids=lambda case: case.name)
def test_the_schema_refuses_what_is_built_wrongly(case):
    assert not SCHEMA.is_valid(yaml.safe_load(case.data))


FORMS = {
    "keys of one layer": "filters: 2\nkernel_size: 3\n",
    "with file keys": "keras: 2\nfilters: 2\nkernel_size: [3, 3, 3]\n",
    "class_name and config": f"class_name: Conv3D\nconfig: {BOTH}\n",
    "a list": f"layers: [{BOTH}]\n",
    "class_name in a list": f"layers:\n- class_name: Convolution3D\n  config: {BOTH}\n",
    "JSON": '{"keras": 2, "layers": [{"class_name": "Conv3D", "config": {"filters": 2, "kernel_size": 3}}]}',
    "with a byte order mark": b"\xef\xbb\xbf" + GOOD.encode(),
    "with CRLF": GOOD.replace("\n", "\r\n"),
    "with markers": f"---\n{GOOD}...\n",
}


@pytest.mark.parametrize("text", FORMS.values(), ids=FORMS)
def test_every_form_gives_the_same_layer(spec, text):
    loaded = spec(text)
    [layer] = loaded.network
    assert (layer.filters, layer.kernel_size, layer.built) == (2, (3, 3, 3), False)
    assert (loaded.weights, loaded.keras) == (None, 2)
    data = text if isinstance(text, bytes) else text.encode()
    assert loaded.sha256 == hashlib.sha256(data).hexdigest()
    SCHEMA.validate(yaml.safe_load(data))


def test_words_that_yaml_reads_differently_pass_where_their_value_belongs(spec):
    [layer] = spec(GOOD + "use_bias: no\nname: 1e3\nactivation:\npadding: SAME\n").network
    assert (layer.use_bias, layer.name, layer.padding) == (False, "1e3", "same")


def test_a_word_inside_a_list_is_placed_and_named(spec):
    [line] = refusals(spec, "filters: 2\nkernel_size: [3, 1e1, 3]\n")
    assert line.startswith("2:18: kernel_size: not a whole number")
    assert line.endswith("(YAML reads 1e1 as the text '1e1': write 10)")


def test_quoted_words_are_text(spec):
    [layer] = spec(GOOD + "name: '010'\n").network
    assert layer.name == "010"


def test_a_layer_written_by_keras_is_read(spec):
    [layer] = spec(GOOD + "name: a\nactivation: relu\n").network
    text = json.dumps({"class_name": "Conv3D", "config": layer.get_config()})
    [again] = spec(text).network
    assert again.get_config() == layer.get_config()
    SCHEMA.validate(json.loads(text))


def test_weights_lie_beside_the_spec(tmp_path, monkeypatch):
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "a.yaml").write_text(GOOD + "weights: w/a.npz\n")
    assert load_spec(str(tmp_path / "specs" / "a.yaml")).weights == str(tmp_path / "specs" / "w" / "a.npz")
    monkeypatch.chdir(tmp_path / "specs")
    assert load_spec("a.yaml").weights == str(Path("w", "a.npz"))
    (tmp_path / "specs" / "a.yaml").write_text(GOOD + "weights: /data/a.npz\n")
    assert load_spec("a.yaml").weights == "/data/a.npz"


def test_files_that_are_no_files(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for name, words in {
        "absent\n.yaml": "No such file",
        "": "not a regular file",
        "fifo": "not a regular",
        "a\0b": "null",
    }.items():
        with pytest.raises(SpecError, match=words) as caught:
            load_spec(str(tmp_path / name))
        assert "\n" not in str(caught.value)


def test_control_characters_of_a_name_do_not_reach_the_terminal(tmp_path):
    path = tmp_path / "a\n\x1b[31m.yaml"
    path.write_text("- 1\n")
    with pytest.raises(SpecError) as caught:
        load_spec(str(path))
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_many_problems_are_cut(spec):
    found = refusals(spec, GOOD + "".join(f"zz{i}: 1\n" for i in range(100)))
    assert len(found) == MOST_SHOWN + 1
    with pytest.raises(SpecError, match="80 more problems"):
        spec(GOOD + "".join(f"zz{i}: 1\n" for i in range(100)))


def test_parameters_of_initializers_have_their_own_place(spec):
    text = GOOD + "kernel_initializer:\n  class_name: HeNormal\n  config:\n    seed: x\n"
    assert refusals(spec, text)[0].startswith("6:11: kernel_initializer: HeNormal: seed")
    text = GOOD + "kernel_initializer:\n  class_name: HeNormal\n  config:\n    sed: 1\n"
    [line] = refusals(spec, text)
    assert line.startswith("6:5: kernel_initializer")
    assert "did you mean 'seed'" in line


def test_one_refused_layer_does_not_hide_the_others(spec):
    text = "layers:\n" + "".join(
        f"  - filters: {n}\n    kernel_size: {k}\n" for n, k in itertools.product((0, 2), (0, 3))
    )
    assert [line.split(": ")[0] for line in refusals(spec, text)] == ["2:14", "3:18", "4:14", "7:18"]


def test_the_schema_is_a_schema():
    schema = json_schema()
    assert not validator(schema).is_valid({})
    assert json.loads(json.dumps(schema)) == schema
    for entry in schema["$defs"]["arguments_Conv3D"]["properties"].values():
        named = entry.get("$ref", "").rpartition("/")[2]
        assert (schema["$defs"][named] if named else entry)["description"]


def test_what_repeats_in_the_schema_stands_once():
    """Unfolded, the tables of both dialects stand in it for every argument and class: six times as long."""
    assert len(json.dumps(json_schema())) < 200_000


def test_the_schema_places_errors_in_the_layer_that_is_wrong():
    [error] = SCHEMA.iter_errors({"layers": [{"filters": 2, "kernel_size": 3, "pading": "same"}]})
    assert "pading" in error.message
