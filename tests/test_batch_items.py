"""Which volumes a batch is about, what their outputs are called, and what a manifest says of each."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conv3d_cli.batch import Found, Option, Template, gather, name_all, read_manifest
from conv3d_cli.batch.naming import FIELDS, split_suffix
from conv3d_cli.errors import InputError, OutputError, UsageError


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A folder of names; what they hold does not matter here."""
    monkeypatch.chdir(tmp_path)
    names = ["b.nii.gz", "a.nii", "c.npy", "notes.txt", ".hidden.nii", "pair.hdr", "pair.img", "lone.img", "deep/d.h5"]
    for name in names:
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def sources(*words: str, pattern=None, own=lambda name: False) -> list[str]:
    return [found.source for found in gather(words, pattern, own)]


def test_a_folder_stands_for_its_volumes(tree):
    assert sources("in") == ["in/a.nii", "in/b.nii.gz", "in/c.npy", "in/lone.img", "in/pair.hdr"]


def test_a_pattern_chooses_below_a_folder(tree):
    assert sources("in", pattern="**/*.h5") == ["in/deep/d.h5"]
    assert sources("in", pattern="*.n*") == ["in/a.nii", "in/b.nii.gz", "in/c.npy"]


def test_a_glob_is_the_shell_s(tree):
    assert sources("in/[ab]*", "in/*/*.h5") == ["in/a.nii", "in/b.nii.gz", "in/deep/d.h5"]


def test_a_file_with_a_bracket_in_its_name_is_no_glob(tree):
    Path("in/x[1].nii").touch()
    assert sources("in/x[1].nii") == ["in/x[1].nii"]
    Path("odd[2]").mkdir()
    Path("odd[2]/y.nii").touch()
    assert sources("odd[2]") == ["odd[2]/y.nii"]


def test_a_name_stands_for_itself_even_if_nothing_is_there(tree):
    assert sources("in/none.nii", "in/deep/d.h5:/t0", "in/notes.txt") == [
        "in/none.nii",
        "in/deep/d.h5:/t0",
        "in/notes.txt",
    ]


def test_each_once_in_the_order_given(tree):
    assert sources("in/c.npy", "in", "./in/a.nii", "in/deep/d.h5:/a", "in/deep/d.h5:/b")[:2] == ["in/c.npy", "in/a.nii"]
    assert len(sources("in", "in", "in/*")) == 5
    assert len(sources("in/deep/d.h5:/a", "in/deep/d.h5:/b")) == 2


def test_outputs_of_an_earlier_batch_are_no_inputs_unless_named(tree):
    def own(name):
        return Path(name).name == "a.nii"

    assert "in/a.nii" not in sources("in", own=own) + sources("in/*", own=own)
    assert sources("in/a.nii", own=own) == ["in/a.nii"]


@pytest.mark.parametrize(("text", "names"), [("a\nb c\n\n", ["a", "b c"]), ("a\nb\0c\0", ["a\nb", "c"])])
def test_a_list_on_standard_input(monkeypatch, text, names):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert sources("-") == names


def test_every_word_that_means_nothing_is_told(tree):
    Path("empty").mkdir()
    with pytest.raises(UsageError) as caught:
        sources("empty", "in/*.zip", "", "in/a.nii")
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert "'empty': no volumes" in lines[0]
    assert "'in/*.zip': the pattern matches no volume" in lines[1]
    assert "got ''" in lines[2]


def test_an_empty_list_is_refused(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\n")))
    with pytest.raises(UsageError, match="the list is empty"):
        sources("-")


# Names


def test_fields_of_a_template():
    found = Found("data/x/sub-01_ses-b_T1w.nii.gz", "data")
    assert Template("{below}/{parent}-{sub}-{ses}-{stem}{suffix}").fill(found) == "x/x-01-b-sub-01_ses-b_T1w.nii.gz"
    assert Template("{stem}_{dataset}.npy").fill(Found("scan.h5:/a/b")) == "scan_a_b.npy"
    assert Template("{{{stem}}}.npy").fill(Found("x.npy")) == "{x}.npy"


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_has_a_value_for_a_plain_file(name):
    assert Template(f"{{{name}}}").fill(Found("data/brain.nii.gz", "data")) in {
        "brain", ".nii.gz", "data", ".", "",
    }  # fmt: skip


@pytest.mark.parametrize("text", ["{stem", "{}", "{0}", "{stem!r}", "{stem:>9}", "{stem.x}", "{stem[0]}", "stem}"])
def test_what_is_no_template(text):
    with pytest.raises(UsageError, match="--name"):
        Template(text)


def test_an_unknown_field_names_those_there_are():
    with pytest.raises(UsageError, match=r"has no \{stme\}: expected one of \{stem\}.*did you mean 'stem'"):
        Template("{stme}").fill(Found("a.nii"))


@given(st.sampled_from([".nii", ".nii.gz", ".NII.GZ", ".npy", ".h5", ".img.gz"]), st.text("ab.-_ ", min_size=1))
def test_stem_and_suffix_are_the_name(suffix, stem):
    assert split_suffix(f"x/{stem}{suffix}") in {(stem, suffix), (stem.removesuffix(".img"), f".img{suffix}")}


def named(*found: Found, template="{below}/{stem}{suffix}", read=(), folder="out"):
    return name_all(found, Template(template), folder, {}, read)


def test_outputs_keep_the_folders_below_the_one_given(tree):
    items = named(*gather(["in"], "**/*.n*", lambda name: False), Found("in/deep/d.h5", "in"))
    assert [item.output for item in items] == ["out/a.nii", "out/b.nii.gz", "out/c.npy", "out/deep/d.h5"]
    assert items[3].sidecar == "out/deep/d.h5.json"


def test_two_inputs_of_one_output_are_refused_before_any_work(tree):
    with pytest.raises(UsageError) as caught:
        named(Found("x/a.nii"), Found("y/a.nii"), Found("b.npy"), Found("z/b.npy"), template="{stem}{suffix}")
    lines = str(caught.value).splitlines()
    assert len(lines) == 2
    assert "'x/a.nii' and 'y/a.nii'" in lines[0]


def test_a_pair_collides_by_either_file(tree):
    with pytest.raises(UsageError, match="would be the output of"):
        named(Found("a.hdr"), Found("b/a.img"), template="{stem}{suffix}")


def test_datasets_of_one_file_need_files_of_their_own():
    with pytest.raises(UsageError, match="would be the output of"):
        named(Found("s.h5:/a"), Found("s.h5:/b"), template="{stem}.h5:/{dataset}")
    assert len(named(Found("s.h5:/a"), Found("s.h5:/b"), template="{stem}_{dataset}.npy")) == 2


@pytest.mark.parametrize("template", ["../{stem}.npy", "/tmp/{stem}.npy", "x/../../{stem}.npy", ".", "{dataset}"])
def test_outputs_stay_in_their_folder(template):
    with pytest.raises(UsageError, match="below 'out'"):
        named(Found("a.npy"), template=template)


def test_what_the_batch_keeps_is_not_for_outputs():
    with pytest.raises(UsageError, match=r"\.conv3d keeps"):
        named(Found("a.npy"), template=".conv3d/{stem}.npy")


def test_an_output_of_no_format_is_refused_where_the_input_has_one():
    with pytest.raises(UsageError, match="means no format"):
        named(Found("a.npy"), template="{stem}.nii.gzz")
    assert named(Found("a.txt"), template="{stem}{suffix}")


@pytest.mark.parametrize("link", [None, "symlink", "hardlink"])
def test_an_output_that_is_an_input_is_refused(tree, link):
    source = "in/a.nii"
    if link:
        Path("out").mkdir()
        (os.symlink if link == "symlink" else os.link)(Path(source).resolve(), "out/a.nii")
    with pytest.raises(OutputError, match="is the same file, which this batch needs"):
        named(Found("in/c.npy", "in"), Found(source, "in"), folder="out" if link else "in")


def test_an_output_that_the_layers_need_is_refused(tree):
    with pytest.raises(OutputError, match=r"'in/c\.npy' is the same file"):
        named(Found("other/c.npy", "other"), read=["in/c.npy"], folder="in")


# Manifests

DTYPE = Option("dtype", lambda text: {"int16": "int16", "float32": "float32"}[text])
OPTIONS = {
    "dtype": DTYPE,
    "spec": Option("spec_path", str, path=True),
    "filter": Option("filters", list, several=True),
    "flip": Option("flip", lambda text: text == "true", flag=True),
    "seed": Option("seed", int),
}


def manifest(folder: Path, text: str, name: str = "m.csv") -> list[Found]:
    (folder / name).write_text(text, encoding="utf-8")
    return read_manifest(str(folder / name), OPTIONS)


def test_a_table(tmp_path):
    text = 'input,output,filter,flip,spec\na.nii,x/b.nii,sobel | median,true,\n\n"b, c.nii",n/a,,,s.yaml\n'
    first, second = manifest(tmp_path, "\ufeff" + text)
    assert (first.source, first.output) == (str(tmp_path / "a.nii"), "x/b.nii")
    assert first.words == {"filters": ["sobel", "median"], "flip": True}
    assert (second.source, second.output) == (str(tmp_path / "b, c.nii"), None)
    assert second.words == {"spec_path": str(tmp_path / "s.yaml")}
    assert (first.place, second.place) == (f"{tmp_path}/m.csv:2: ", f"{tmp_path}/m.csv:4: ")


def test_tabs_and_json_say_the_same(tmp_path):
    rows = [{"input": "a.nii", "seed": 3, "filter": ["sobel", "median"], "flip": True}, {"input": "b.nii"}]
    tabs = "input\tseed\tfilter\tflip\na.nii\t3\tsobel|median\ttrue\nb.nii\t\tn/a\t\n"
    of_json, of_tabs = manifest(tmp_path, json.dumps(rows, indent=1), "m.json"), manifest(tmp_path, tabs, "m.tsv")
    assert [(f.source, f.words) for f in of_json] == [(f.source, f.words) for f in of_tabs]
    assert of_json[0].words == {"seed": 3, "filters": ["sobel", "median"], "flip": True}
    assert of_json[1].place.endswith("m.json:11: ")


def test_all_mistakes_at_once_with_their_lines(tmp_path):
    def refuse(text):
        raise UsageError(f"seed: got {text!r}, expected a number")

    text = "input,seed,flip\na.nii,2,true\n,x,maybe\n"
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(InputError) as caught:
        read_manifest(str(tmp_path / "m.csv"), {**OPTIONS, "seed": Option("seed", refuse)})
    lines = [line.removeprefix(str(tmp_path)) for line in str(caught.value).splitlines()]
    assert lines == [
        "/m.csv:2: seed: got '2', expected a number",
        "/m.csv:3: seed: got 'x', expected a number",
        "/m.csv:3: flip: got 'maybe', expected true or false",
        "/m.csv:3: input: missing: expected the name of a volume",
    ]


@pytest.mark.parametrize(("name", "text"), [("m.csv", "input,sed\na,\n"), ("m.json", '[{"input": "a", "sed": 1}]')])
def test_an_unknown_column_is_told_with_the_nearest(tmp_path, name, text):
    with pytest.raises(InputError, match=rf"{name}:1: unknown column: got 'sed'.*did you mean 'seed'") as caught:
        manifest(tmp_path, text, name)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("m.csv", "", "is empty"),
        ("m.csv", "input\n", "is empty"),
        ("m.csv", "name\na.nii\n", "m.csv:1: no column 'input'"),
        ("m.csv", "input,input\na,b\n", "m.csv:1: repeated column 'input'"),
        ("m.csv", "input,seed\na.nii\n", "m.csv:2: got 1 cells, expected 2"),
        ("m.csv", 'input\n"a\n', "m.csv:2: not a table"),
        ("m.txt", "input\na\n", "the suffix is none of .csv, .tsv, .json"),
        ("m.json", "", "m.json:1:1: not JSON: expected '['"),
        ("m.json", "[]", "is empty"),
        ("m.json", '[{"input": "a.nii"}\n}', "m.json:2:1: not JSON: expected ']'"),
        ("m.json", '[{"input": "a.nii"}] 1', "something follows"),
        ("m.json", '[{"input": "a.nii",\n}]', "m.json:2:1: not JSON"),
        ("m.json", "[\n3]", "m.json:2: got 3, expected an object"),
        ("m.json", '[{"input": "a", "input": "b"}]', "m.json:1: a repeated key"),
        ("m.json", '[{"input": "a", "seed": NaN}]', "m.json:1: got NaN"),
        ("m.json", '[{"input": 3}]', "m.json:1: input: got 3"),
        ("m.json", '[{"input": "a", "seed": {}}]', "m.json:1: seed: got {}"),
        ("m.json", '[{"input": "a", "seed": [1]}]', "m.json:1: seed: got a list"),
        ("m.json", '[{"input": "a", "flip": 1}]', "m.json:1: flip: got 1"),
        ("m.json", '[{"input": "a", "output": ""}]', "m.json:1: output: got ''"),
    ],
)
def test_what_is_no_manifest(tmp_path, name, text, words):
    with pytest.raises(InputError) as caught:
        manifest(tmp_path, text, name)
    assert words in str(caught.value)


def test_a_manifest_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_manifest(str(tmp_path / "m.csv"), OPTIONS)
    (tmp_path / "m.csv").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="cannot be read"):
        read_manifest(str(tmp_path / "m.csv"), OPTIONS)
