"""The keys of run files: one for every option of ``apply`` and ``batch``, and a way from words to a file and back."""

from __future__ import annotations

import json

import click
import pytest
import yaml
from schemas import validator

from conv3d_cli.cli.apply import apply
from conv3d_cli.cli.batch import batch
from conv3d_cli.cli.runkeys import key_name, run_keys
from conv3d_cli.filters import Filter
from conv3d_cli.kinds import FLAG
from conv3d_cli.runfile import read_run, run_schema, run_section
from conv3d_cli.runfile.section import LEFT_OUT
from conv3d_cli.spec import InlineSpec

COMMANDS = {"apply": apply, "batch": batch}
LAYERS = {"layers": [{"filters": 2, "kernel_size": 3}]}
NO_RULES = {"apply": (), "batch": ()}
TEXTS = {"boundary": "constant:0.5", "max_memory": "3G", "axes": "zyx", "shard": "2/5", "filters": "gaussian:fwhm=6mm"}
TEXTS |= {"executor": "dask://node:8786", "slurm_options": "time=2:00:00"}


@pytest.fixture
def fresh():
    run_keys.cache_clear()
    yield
    run_keys.cache_clear()


def some(key):
    """Return a value for a key that is not its default."""
    if key.choices:
        return key.choices[-1]
    if key.kind is FLAG:
        return key.name not in ("keep_going", "provenance")
    if "integer" in str(key.kind.schema):
        return 3
    if "number" in str(key.kind.schema):
        return 0.25
    return TEXTS.get(key.name, f"some/{key.name}")


def read(path, overrides=(), given=None):
    return read_run(str(path), overrides, given or {}, run_keys(), NO_RULES)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_its_key_and_every_key_its_option(name):
    params = {param.name: param for param in COMMANDS[name].params if param.name != "output"}  # -o is OUT again
    owned = run_keys().owned(name)
    assert owned.keys() == params.keys()
    for word, key in owned.items():
        param = params[word]
        if isinstance(param, click.Argument):
            assert key.option == ""
        else:
            assert key.option in param.opts
            name = key.option.strip("-")
            several = {"suffix": "suffixes", "entity": "entities"}.get(name, name + "s")
            assert key.name.replace("_", "-") == (several if param.multiple else name)
        assert key.meaning


def test_only_a_batch_has_a_section_of_its_own():
    own = {param.name for param in batch.params if isinstance(param, click.Option)}
    own -= {param.name for param in apply.params}
    assert {key.word for key in run_keys().of("batch").values()} == own
    assert not run_keys().of("").keys() & run_keys().of("batch").keys()


def test_files_are_known_for_such():
    paths = {key.name for key in run_keys().all if key.path}
    assert paths == {
        *("input", "output", "inputs", "spec", "weights", "mask", "labels", "like", "report", "log_file"),
        *("out_dir", "manifest"),
    }


def test_an_option_that_is_added_has_a_key_at_once(fresh, monkeypatch, tmp_path):
    monkeypatch.setattr(apply, "params", [*apply.params, click.Option(["--brand-new"], type=click.IntRange(2))])
    path = tmp_path / "run.yaml"
    path.write_text("input: a.npy\noutput: b.npy\nfilters: box\nbrand_new: 5\n")
    assert read(path).words["brand_new"] == 5
    path.write_text("input: a.npy\noutput: b.npy\nfilters: box\nbrand_new: 1\n")
    with pytest.raises(ValueError, match=r"run\.yaml:4:12: brand_new: below 2: got 1"):
        read(path)
    assert key_name(apply.params[-1]) in run_schema(run_keys())["properties"]


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("layers", ["spec", "filters", "layers"])
def test_words_become_a_file_and_words_again(name, layers, tmp_path):
    keys = run_keys()
    plain: dict[str, object] = dict(LAYERS) if layers == "layers" else {}
    for key in keys.owned(name).values():
        if key.name not in ("spec", "filters") or key.name == layers:
            where = plain.setdefault("batch", {}) if key.section else plain
            where[key.name] = [some(key)] if key.several else some(key)
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(plain))
    first = read(path)
    assert first.command == name
    section = run_section(first.words, keys, name)
    validator(run_schema(keys)).validate(section)
    again = tmp_path / "elsewhere" / "run.json"
    again.parent.mkdir()
    again.write_text(json.dumps(section))
    second = read(again)
    told = {key.word for key in keys.all if key.name in LEFT_OUT} | {"run_path", "layers"}
    assert {word: value for word, value in second.words.items() if word not in told} == {
        word: value for word, value in first.words.items() if word not in told
    }
    for key in keys.owned(name).values():
        if key.name in LEFT_OUT:
            assert second.words[key.word] in (None, False, 0)
        elif key.name not in ("spec", "filters") or key.name == layers:
            assert first.words[key.word] not in (None, keys.defaults(name)[key.word])
    if layers == "layers":
        assert second.words["layers"].plain == LAYERS


@pytest.mark.parametrize(
    "text",
    [
        "gaussian:sigma=0.12345678901234567vox",
        "gaussian:fwhm=1e-07x2.0000001x3mm",
        "unsharp:sigma=1vox,amount=0.123456789",
    ],
)
def test_a_filter_in_a_report_is_exactly_the_filter(text):
    assert Filter.parse(Filter.parse(text).text) == Filter.parse(text)


def test_the_schema_is_printed_and_closed(conv3d):
    schema = conv3d("info", "--schema", "run").document
    check = validator(schema)
    check.validate({"input": "a.npy", "output": "b.npy", **LAYERS, "threads": 2, "mask": None})
    check.validate({"inputs": ["a", "b"], "filters": "box", "batch": {"out_dir": "o", "jobs": 2}})
    for wrong in (
        {"inptu": "a"},
        {"threads": 0},
        {"threads": True},
        {"batch": {"jobz": 1}},
        {"layers": []},
        {"flip": 1},
    ):
        assert not check.is_valid(wrong)


def test_layers_of_a_run_make_a_network_each_time():
    inline = InlineSpec(json.dumps({"keras": 3, **LAYERS}), "run.yaml")
    first, second = inline.load(), inline.load()
    assert first.network is not second.network
    assert (first.keras, first.path, first.weights, len(first.network)) == (3, "run.yaml", None, 1)
    assert first.sha256 == second.sha256 != InlineSpec(json.dumps(LAYERS), "run.yaml").load().sha256
