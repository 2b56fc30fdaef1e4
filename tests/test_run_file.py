"""Reading run files: what is accepted, and every refusal with its place."""

from __future__ import annotations

import json

import numpy as np
import pytest

GOOD = """\
input: in.npy
output: out.npy
layers:
  - name: first
    filters: 2
    kernel_size: 3
  - {filters: 1, kernel_size: 1}
"""
MANY = """\
inputs: in.npy
filters: box
batch:
  out_dir: out
"""


@pytest.fixture
def run(conv3d, volume, tmp_path, monkeypatch):
    """Return a function that runs a file of a text, beside a volume in.npy, with further words."""
    volume(name="in.npy")
    monkeypatch.chdir(tmp_path)

    def call(text, *words, name="run.yaml"):
        (tmp_path / name).write_text(text)
        return conv3d("run", name, *words)

    return call


def refused(told, *lines):
    assert (told.code, told.out) == (3, "")
    assert told.err.splitlines() == [f"Error: {line}" for line in lines]


@pytest.mark.parametrize(
    ("more", "lines"),
    [
        ("boundry: reflect", ["8:1: unknown key 'boundry'; did you mean 'boundary'?"]),
        ("boundary: reflec", ["8:11: boundary: unknown: got 'reflec', expected one of zero, reflect, mirror, nearest, "
                              "wrap, constant:V; did you mean 'reflect'?"]),
        ("nan: mising", ["8:6: nan: unknown: got 'mising', expected 'local' or 'missing'; did you mean 'missing'?"]),
        ("threads: 0", ["8:10: threads: below 1: got 0, expected a whole number of at least 1"]),
        ("threads: two", ["8:10: threads: not a whole number: got 'two', expected a whole number of at least 1"]),
        ("threads: 010", ["8:10: threads: YAML reads 010 as the number 8: write 8, or 10, or '010' in quotes for "
                          "the text"]),
        ("flip: 1", ["8:7: flip: not a truth value: got 1, expected true or false"]),
        ("min_coverage: 1e-3", ["8:15: min_coverage: not a number: got '1e-3', expected a finite number "
                                "(YAML reads 1e-3 as the text '1e-3': write 0.001)"]),
        ("min_coverage: 2\nnan: missing", ["8:15: min_coverage: got 2, expected a share from 1e-06 to 1"]),
        ("max_memory: 4Q", ["8:13: max_memory: not a size: got '4Q', expected for example '4G' or '512M'"]),
        ("max_memory: 4000", ["8:13: max_memory: a number or a truth value, and no text unless in quotes: got 4000, "
                              "expected a text"]),
        ("mask:", ["8:6: mask: not a text: got None, expected a text (YAML reads nothing as null: write a value after "
                   "the colon)"]),
        ("mask: [a, b]", ["8:7: mask: not a text: got ['a', 'b'], expected a text"]),
        ("outside: zero", ["8:10: outside: got zero without a mask, expected mask, labels or nan missing"]),
        ("mask: m.npy\nlabels: l.npy", ["9:9: labels: got 'l.npy' beside mask, expected one of them"]),
        ("filters: box", ["8:1: filters: got it beside `layers:`, expected one of them"]),
        ("spec: s.yaml", ["8:1: spec: got it beside `layers:`, expected one of them"]),
        ("kernel_size: 3", ["8:1: kernel_size: is of a layer: expected it below `layers:`"]),
        ("jobs: 3", ["8:1: jobs: stands alone: expected it below `batch:`"]),
        ("inputs: [a]", ["8:1: inputs: is for many volumes: got it without `batch:`"]),
        ("input: b.npy", ["8:1: repeated key 'input': expected it once, the first is at 1:1"]),
        ("report: '-'", ["8:9: report: got '-', expected the name of a file; json prints the report"]),
        ("keras: 4", ["8:8: keras: unknown dialect: got 4, expected 2 or 3"]),
        ("verbose: -1", ["8:10: verbose: below 0: got -1, expected a whole number of at least 0"]),
        ("batch: 3", ["8:8: batch: must be a mapping: got 3, expected `out_dir:` in it"]),
    ],
)  # fmt: skip
def test_a_key_that_is_refused(run, more, lines):
    told = run(GOOD + more + "\n")
    if more == "batch: 3":  # as a run of many it lacks more
        assert f"Error: run.yaml:{lines[0]}" in told.err.splitlines()
        return
    refused(told, *(f"run.yaml:{line}" for line in lines))


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", ["1:1: the run file is empty: expected `input:`, `output:` and one of `layers:`, `spec:` and `filters:`"]),
        ("- 1", ["1:1: the run file must be a mapping: got a list at the top, expected `input:`, `output:` and one of "
                 "`layers:`, `spec:` and `filters:`"]),
        ("flip: true", ["1:1: no `input:`: expected the volume to read",
                        "1:1: no `output:`: expected the volume to write",
                        "1:1: no layers: expected one of `layers:`, `spec:` and `filters:`"]),
        ("input: a\noutput: b\nfilters: bux", ["3:10: filters: unknown filter: got 'bux', expected one of gaussian, "]),
        ("input: a\noutput: b\nfilters: [box, 'box:size=3vox,size=2vox']",
         ["3:16: filters: box: 'size=2vox' is given twice: got 'box:size=3vox,size=2vox', expected such as gaussian:"]),
        ("input: a\noutput: b\nfilters: [box, 3]", ["3:16: filters: a number or a truth value, and no text unless in "
                                                   "quotes: got 3, expected a text"]),
        ("input: a\noutput: b\nfilters: box\nweights: w.npz",
         ["4:10: weights: got 'w.npz' beside filters, expected none: a filter has its weights"]),
        ("input: a\noutput: b\nspec: w.npz", ["3:7: spec: a file of weights: got 'w.npz', expected a YAML spec or "
                                              "a Keras model; weights belong to weights"]),
        ("input: a\noutput: b\nspec: s.yaml\nkeras: 3", ["4:1: keras: is of layers: got it without `layers:`, "
                                                         "expected it in the spec"]),
        (MANY.replace("out_dir: out", "jobs: 2"), ["1:1: no `batch.out_dir:`: expected Folder of the outputs; "]),
        (MANY + "  jobz: 3", ["5:3: unknown key 'jobz'; did you mean 'jobs'?"]),
        (MANY + "  jobs: 0", ["5:9: jobs: below 1: got 0, expected a whole number of at least 1"]),
        (MANY + "  flip: true", ["5:3: flip: stands below `batch:`: expected it at the top"]),
        (MANY + "  shard: 5/2", ["5:10: batch.shard: got '5/2', expected such as 1/8, the first of eight parts"]),
        (MANY + "  if_exists: skipp", ["5:14: if_exists: unknown: got 'skipp', expected 'error' or 'skip' or "
                                       "'overwrite'; did you mean 'skip'?"]),
        (MANY + "overwrite: true", ["5:1: overwrite: is for one volume: got it beside `batch:`"]),
        (MANY + "  name: '{stm}.npy'", ["5:9: batch.name: 'in.npy' has no {stm}: expected one of {stem}, "]),
    ],
)  # fmt: skip
def test_a_file_that_is_refused(run, text, lines):
    told = run(text)
    assert (told.code, told.out) == (3, "")
    got = told.err.splitlines()
    assert len(got) == len(lines)
    for line, expected in zip(got, lines, strict=True):
        assert line.startswith(f"Error: run.yaml:{expected}")


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file(run):
    text = """\
input: in.npy
dtype: flot32
threads: no
layers:
  - filters: 2
    kernel_sise: 3
  - {filters: 1, kernel_size: 1, padding: sane}
axis: xyz
"""
    told = run(text, "--set", "layers.0.filters=many", "--set", "layers.5.x=1", "--set", "flip=2")
    places = [line.removeprefix("Error: ").split(" ")[0] for line in told.err.splitlines()]
    assert places == [
        *("run.yaml:1:1:", "run.yaml:2:8:", "run.yaml:3:10:", "run.yaml:5:5:", "run.yaml:6:5:", "run.yaml:7:43:"),
        *("run.yaml:8:1:", "--set", "--set", "--set"),
    ]
    assert (told.code, told.out) == (3, "")


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ("layers.0.padding=smae", "--set layers.0.padding: padding: unknown: got 'smae', expected 'valid' or 'same'"),
        ("layers.0.paddin=same", "--set layers.0.paddin: unknown key 'paddin'; did you mean 'padding'?"),
        ("layers.2.padding=same", "--set layers.2.padding: no such path: layers has no '2', expected one of 0, 1"),
        ("layer.0.padding=same", "--set layer.0.padding: no such path: the file has no 'layer', expected one of input, "
                                 "output, layers; did you mean 'layers'?"),
        ("layers.0.name.x=1", "--set layers.0.name.x: no such path: layers.0.name is 'first', which has nothing "
                              "inside"),
        ("threads=two", "--set threads: threads: not a whole number: got 'two', expected a whole number of at least 1"),
        ("threads=010", "--set threads: threads: YAML reads 010 as the number 8: write 8, or 10"),
        ("threds=2", "--set threds: unknown key 'threds'; did you mean 'threads'?"),
        ("layers.1.kernel_size=[1, 2]", "--set layers.1.kernel_size: kernel_size: has 2 values: got [1, 2], expected"),
        ("layers.1.kernel_size=[1, 2", "--set layers.1.kernel_size: kernel_size: "),
        ("outside=keep", "--set outside: outside: got keep without a mask, expected mask, labels or nan missing"),
        ("layers.1.name=first", "--set layers.1.name: name: 'first' is taken by the layer at 4:11: expected another"),
    ],
)  # fmt: skip
def test_a_change_that_is_refused_names_its_path(run, change, line):
    told = run(GOOD, "--set", change)
    assert (told.code, told.out) == (3, "")
    assert len(told.err.splitlines()) == 1
    assert told.err.startswith(f"Error: {line}")


@pytest.mark.parametrize("text", ["threads", "=3", "layers..x=3", "."])
def test_a_change_without_a_path_or_a_value_is_wrong_usage(run, text):
    told = run(GOOD, "--set", text)
    assert (told.code, told.out) == (2, "")
    assert told.err == f"Error: --set: got {text!r}, expected PATH=VALUE, such as layers.0.padding=same\n"


def test_changes_go_before_the_file_and_the_command_line_before_both(run, tmp_path):
    changes = [
        "layers.0.padding=same",
        "layers.1.kernel_size=[3, 1, 1]",
        "threads=1",
        "output=b.npy",
        "layers.0.name='10'",
    ]
    words = [word for change in changes for word in ("--set", change)]
    document = run(GOOD + "threads: 2\n", *words, "--json").document
    assert [layer["name"] for layer in document["layers"]] == ["10", "conv3d"]
    assert document["layers"][0]["padding"] == "same"
    assert document["layers"][1]["kernel_size"] == [3, 1, 1]
    assert (document["threads"], document["output"]["path"]) == (1, "b.npy")
    told = run(
        GOOD + "overwrite: false\nreport: r1.json\n", *words, "-o", "c.npy", "--report", "r2.json", "--overwrite", "-q"
    )
    assert (told.code, told.err) == (0, "")
    assert (tmp_path / "c.npy").exists()
    assert (tmp_path / "r2.json").exists()
    assert not (tmp_path / "r1.json").exists()


def test_null_is_the_same_as_no_key(run):
    told = run(GOOD + "mask: m.npy\nthreads: ~\nbatch: null\n", "--set", "mask=null", "--json", "--dry-run")
    assert (told.code, told.document["mask"]) == (0, None)


def test_paths_are_relative_to_the_file(run, conv3d, tmp_path, monkeypatch):
    psf = np.random.default_rng(3).random((3, 3, 3))
    np.save(tmp_path / "psf.npy", psf)
    (tmp_path / "s.yaml").write_text("filters: 1\nkernel_size: 3\npadding: same\nuse_bias: false\nweights: w.npz\n")
    np.savez(tmp_path / "w.npz", kernel=psf[..., None, None])
    inline = "layers: [{filters: 1, kernel_size: 3, padding: same, use_bias: false, "
    inline += "kernel_initializer: {class_name: custom, config: {file: psf.npy}}}]"
    made = []
    for number, layers in enumerate(("filters: custom:file=psf.npy", "spec: s.yaml", inline)):
        assert run(f"input: in.npy\noutput: o{number}.npy\n{layers}\nreport: r{number}.json", "-q").code == 0
        monkeypatch.chdir("/")
        assert conv3d("run", tmp_path / "run.yaml", "--overwrite", "-q").code == 0
        monkeypatch.chdir(tmp_path)
        made.append(np.load(f"o{number}.npy"))
        (tmp_path / "deeper").mkdir(exist_ok=True)
        report = (tmp_path / f"r{number}.json").rename(tmp_path / "deeper" / "moved.json")
        assert conv3d("run", report, "-o", "again.npy", "--overwrite", "-q").code == 0
        np.testing.assert_array_equal(np.load("again.npy"), made[-1])
    np.testing.assert_allclose(made[0], made[2], rtol=1e-6)
    np.testing.assert_allclose(made[1], made[2], rtol=1e-6)


def test_what_is_refused_as_it_runs_has_its_place_too(run):
    told = run(GOOD + "nan: missing\noutside: nan\ndtype: int16\n")
    refused(told, "run.yaml:9:10: outside: 'nan' cannot be written as int16: expected zero or keep, or dtype float32")
    told = run(GOOD + "axes: xy\n")
    assert told.code == 3
    assert told.err.startswith("Error: run.yaml:8:7: axes: ")


def test_what_the_command_line_says_wrong_is_wrong_usage(run):
    told = run(GOOD, "--report", "-")
    assert (told.code, told.err) == (
        2,
        "Error: --report: got '-', expected the name of a file; --json prints the report\n",
    )
    told = run(MANY, "-o", "x.npy")
    assert (told.code, told.err) == (2, "Error: --output: is for one volume: got a run file of many\n")


def test_a_run_file_may_be_json(run, tmp_path):
    document = {"input": "in.npy", "output": "o.npy", "layers": [{"filters": 1, "kernel_size": 1}]}
    document |= {"nan": "missing", "min_coverage": 1e-5}
    assert run(json.dumps(document), "-q", name="run.json").code == 0
    assert (tmp_path / "o.npy").exists()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            '{\n "input": "a",\n "input": "b"}',
            "run.json:3:2: repeated key 'input': expected it once, the first is at 2:2",
        ),
        ('{\n "input": 3}', "run.json:2:11: input: a number or a truth value, and no text unless in quotes: got 3"),
        (
            '{"layers": [\n {"filters": 0, "kernel_size": 1}]}',
            "run.json:2:14: filters: below 1: got 0, expected a whole",
        ),
        ('{"input" "a"}', "run.json:1:10: not JSON: Expecting ':' delimiter"),
        ("[1]", "run.json:1:1: the run file must be a mapping: got a list"),
        ("", "run.json:1:1: the run file is empty"),
        ("[" * 100_000, "run.json:1:1: nested too deeply"),
        ("[" * 20 + "]" * 20, "run.json:1:17: nested too deeply: got 17 levels, expected at most 16"),
        ('{"report": "conv3d-run", "version": 2}', "run.json:1:1: the report has no `run`"),
        ('{"report": "conv3d-plan", "run": null}', "run.json:1:34: run: the report is of no volume"),
        (
            '{"report": "conv3d-run",\n "x": [1, {}],\n "run": {"inptu": "a"}}',
            "run.json:3:10: unknown key 'inptu'; did you",
        ),
    ],
)
def test_json_that_is_refused(run, text, line):
    told = run(text, name="run.json")
    assert (told.code, told.out) == (3, "")
    assert f"Error: {line}" in told.err
    assert all(line.startswith("Error: run.json:") for line in told.err.splitlines())


def test_a_file_that_cannot_be_read(conv3d, tmp_path):
    for path, why in ((tmp_path / "none.yaml", "the run file cannot be read: "), (tmp_path, "not a regular file")):
        told = conv3d("run", path)
        assert (told.code, told.out, len(told.err.splitlines())) == (3, "", 1)
        assert why in told.err
    (tmp_path / "large.yaml").write_text("# " + "x" * 70_000)
    assert (
        "too large for a run file: got 70002 bytes, expected at most 65536"
        in conv3d("run", tmp_path / "large.yaml").err
    )
