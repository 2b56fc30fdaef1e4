"""``conv3d run``: what a file asks for is what the command line would do, and a report does it again."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shlex
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from schemas import validator
from support import ROOT, beside_the_kernels

from conv3d_cli.cli.runkeys import run_keys
from conv3d_cli.engine import isa
from conv3d_cli.report import report_schema
from conv3d_cli.runfile import run_schema

LAYERS = """layers:
  - {filters: 2, kernel_size: 3, padding: same}
  - {filters: 1, kernel_size: [1, 3, 3], dilation_rate: 2}
"""
RUNS = sorted((ROOT / "configs" / "runs").glob("*.yaml"))


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def bits(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write(path, text):
    path.write_text(text)
    return path


def test_a_run_is_what_apply_does(conv3d, volume, here):
    volume(name="in.npy")
    write(here / "s.yaml", "keras: 3\n" + LAYERS)
    method = "direct" if isa.native() else "reference"
    words = shlex.split(f"--flip --seed 7 --dtype float64 --method {method} --threads 1")
    assert conv3d("apply", "in.npy", "a.npy", "--spec", "s.yaml", *words, "-q").code == 0
    options = f"flip: true\nseed: 7\ndtype: float64\nmethod: {method}\nthreads: 1\n"
    write(here / "one.yaml", f"input: in.npy\noutput: b.npy\nspec: s.yaml\n{options}")
    write(here / "two.yaml", f"input: in.npy\noutput: c.npy\nkeras: 3\n{LAYERS}{options}")
    assert conv3d("run", "one.yaml", "-q").code == conv3d("run", "two.yaml", "-q").code == 0
    assert bits(here / "a.npy") == bits(here / "b.npy") == bits(here / "c.npy")
    conv3d("apply", "in.npy", "d.npy", "--spec", "s.yaml", "-q")
    assert bits(here / "a.npy") != bits(here / "d.npy")


def test_the_environment_says_what_the_file_does_not(conv3d, volume, here, monkeypatch):
    volume(name="in.npy")
    write(here / "r.yaml", f"input: in.npy\noutput: o.npy\noverwrite: true\n{LAYERS}")
    monkeypatch.setenv("CONV3D_SEED", "5")
    assert conv3d("run", "r.yaml", "--json").document["weights"]["seed"] == 5
    assert conv3d("run", "r.yaml", "--set", "seed=3", "--json").document["weights"]["seed"] == 3
    monkeypatch.setenv("CONV3D_SEED", "x")
    assert conv3d("run", "r.yaml").code == 2


@pytest.mark.parametrize(
    "words",
    [
        ["--spec", "s.yaml", "--seed", "3"],
        ["--spec", "s.yaml", "--weights", "w.npz", "--flip", "--compute-dtype", "float64", "--dtype", "same"],
        [
            "--filter",
            "custom:file=psf.npy",
            "--filter",
            "gaussian:sigma=0.123456789vox",
            "--boundary",
            "constant:1e-07",
        ],
        ["--filter", "box", "--mask", "m.npy", "--min-coverage", "1e-06", "--outside", "keep"],
        ["--filter", "box", "--nan", "missing", "--axes", "yxz", "--like", "m.npy"],
    ],
    ids=lambda words: words[0] + words[1],
)
def test_the_report_of_a_run_repeats_it_from_any_folder(conv3d, here, monkeypatch, words):
    rng = np.random.default_rng(1)
    name = "vol \U0001f9e0 \u00e9 'q\".npy"
    np.save(here / name, (100 * rng.random((8, 9, 10))).astype("int16"))
    np.save(here / "m.npy", (rng.random((8, 9, 10)) > 0.3).astype("uint8"))
    np.save(here / "psf.npy", rng.random((3, 3, 3)))
    write(here / "s.yaml", LAYERS)
    kernels = {"conv3d/kernel": (3, 3, 3, 1, 2), "conv3d/bias": (2,), "conv3d_1/kernel": (1, 3, 3, 2, 1)}
    np.savez(here / "w.npz", **{key: rng.random(shape) for key, shape in kernels.items()}, **{"conv3d_1/bias": [0.5]})
    if "--like" in words:
        words = words[:-2]  # which an .npy has nothing for
    assert conv3d("apply", name, "o.npy", *words, "--report", "report.json", "-q").code == 0
    first = bits(here / "o.npy")
    document = json.loads((here / "report.json").read_text())
    validator(report_schema()).validate(document)
    validator(run_schema(run_keys())).validate(document["run"])
    monkeypatch.chdir("/")
    report = here / "report.json"
    told = conv3d("run", report)
    assert (told.code, told.out) == (4, "")
    assert "exists already" in told.err
    assert conv3d("run", report, "--overwrite", "-q").code == 0
    assert bits(here / "o.npy") == first
    again = conv3d("run", report, "-o", here / "again.npy", "--report", here / "again.json", "-q")
    assert (again.code, bits(here / "again.npy")) == (0, first)
    second = json.loads((here / "again.json").read_text())
    assert second["run"] == {**document["run"], "output": str(here / "again.npy")}
    assert conv3d("run", report, "-o", here / "other.npy", "-q", "--set", "dtype=float16").code == 0
    assert bits(here / "other.npy") != first


def test_a_name_that_is_no_text_comes_back(conv3d, volume, here):
    if sys.platform == "darwin":
        pytest.skip("names are UTF-8 there")
    volume(name="in\udcff.npy")
    assert conv3d("apply", "in\udcff.npy", "o.npy", "--filter", "box", "--report", "r.json", "-q").code == 0
    assert conv3d("run", "r.json", "-o", "p.npy", "-q").code == 0
    assert bits(here / "o.npy") == bits(here / "p.npy")


def test_a_plan_can_be_run(conv3d, volume, here):
    volume(name="in.npy")
    write(here / "plan.json", conv3d("plan", "in.npy", "--filter", "box", "--json").out)
    assert conv3d("run", "plan.json", "-o", "o.npy", "-q").code == 0
    conv3d("apply", "in.npy", "p.npy", "--filter", "box", "-q")
    assert bits(here / "o.npy") == bits(here / "p.npy")
    told = conv3d("run", "plan.json")
    assert (told.code, told.err) == (3, "Error: plan.json:5:10: no `output:`: expected the volume to write\n")
    assert conv3d("plan", "--shape", "5x6x7", "--filter", "box:size=3vox", "--json").document["run"] is None


def test_a_dry_run_writes_nothing_and_can_be_run(conv3d, volume, here):
    volume(name="in.npy")
    write(here / "r.yaml", f"input: in.npy\noutput: o.npy\n{LAYERS}")
    told = conv3d("run", "r.yaml", "--dry-run", "--json")
    assert (told.code, told.document["report"]) == (0, "conv3d-plan")
    assert not (here / "o.npy").exists()
    write(here / "dry.json", told.out)
    assert conv3d("run", "dry.json", "-q").code == 0
    assert (here / "o.npy").exists()


def test_loudness_and_streams_are_those_of_apply(conv3d, volume, here):
    volume(name="in.npy", dtype="int16")
    write(here / "r.yaml", "input: in.npy\noutput: o.npy\noverwrite: true\nfilters: box\n")
    told = conv3d("run", "r.yaml")
    assert "box" in told.out
    assert beside_the_kernels(told.err) == ""
    assert conv3d("run", "r.yaml", "-q").out == ""
    assert "are cast to float32" in conv3d("run", "r.yaml", "-v").err
    assert "predicted" in conv3d("run", "r.yaml", "--set", "verbose=2").err
    assert conv3d("run", "r.yaml", "--set", "json=true").document["report"] == "conv3d-run"
    told = conv3d("run", "r.yaml", "--set", "json=true", "--set", "output='-'")
    assert told.code == 3
    assert told.err == "Error: --set output: output: '-' and json both write to standard output, expected one of them\n"
    conv3d("run", "r.yaml", "--log-file", "run.log", "-q")
    assert "int16 voxels" in (here / "run.log").read_text()


def test_the_run_file_is_not_written_over(conv3d, volume, here):
    volume(name="in.npy")
    text = "input: in.npy\noutput: o.npy\nfilters: box\n"
    for words in (["-o", "r.npy"], ["--report", "r.npy"], ["--log-file", "r.npy"]):
        write(here / "r.npy", text)
        told = conv3d("run", "r.npy", *words, "--overwrite")
        assert (told.code, told.out) == (4, "")
        assert "r.npy" in told.err
        assert (here / "r.npy").read_text() == text
    conv3d("apply", "in.npy", "o.npy", "--filter", "box", "--report", "report.json", "-q")
    assert conv3d("run", "report.json", "--report", "report.json", "--overwrite").code == 4


def test_what_is_missing_is_wrong_usage(conv3d):
    assert conv3d("run").err == "Error: run: got no file, expected a run file; --init makes one to begin with\n"
    assert conv3d("run").code == 2
    assert conv3d("run", "--init", "--set", "a=3").code == 2


def test_exit_codes_are_those_of_the_command(conv3d, volume, here):
    volume(name="in.npy")
    text = "input: in.npy\noutput: o.npy\nfilters: box\n"
    for more, code in (
        ("max_memory: 1k", 5),
        ("output: none/o.npy", 4),
        ("input: none.npy", 3),
        ("method: winograd", 3),
    ):
        lines = [line for line in text.splitlines() if line.split(":")[0] != more.split(":")[0]]
        write(here / "r.yaml", "\n".join([*lines, more, ""]))
        told = conv3d("run", "r.yaml")
        assert (told.code, told.out) == (code, ""), told
        assert len(beside_the_kernels(told.err).splitlines()) == 1


def test_many_volumes_and_their_reports(conv3d, volume, here, monkeypatch):
    for number in range(3):
        volume(6, 7, 8 + number, name=f"in{number}.npy")
    (here / "runs").mkdir()
    text = f"inputs: ['../in*.npy']\n{LAYERS}seed: 4\nbatch:\n  out_dir: ../out\n  name: '{{stem}}_x.npy'\n  jobs: 1\n"
    write(here / "runs" / "many.yaml", text)
    planned = conv3d("run", "runs/many.yaml", "--dry-run", "--json").document
    assert planned["counts"]["planned"] == 3
    told = conv3d("run", "runs/many.yaml", "--json")
    assert (told.code, told.document["counts"]["done"]) == (0, 3)
    validator(run_schema(run_keys())).validate(told.document["run"])
    made = {path.name: bits(path) for path in (here / "out").glob("*.npy")}
    assert sorted(made) == ["in0_x.npy", "in1_x.npy", "in2_x.npy"]
    write(here / "one.yaml", f"input: in1.npy\noutput: one.npy\n{LAYERS}seed: 4\n")
    assert conv3d("run", "one.yaml", "-q").code == 0
    assert bits(here / "one.npy") == made["in1_x.npy"]
    assert conv3d("run", "runs/many.yaml", "--json").document["counts"]["skipped"] == 3
    monkeypatch.chdir("/")
    again = conv3d("run", here / "out" / "summary.json", "--set", "batch.out_dir=again", "--json")
    assert again.document["counts"]["done"] == 3
    assert {path.name: bits(path) for path in (here / "out" / "again").glob("*.npy")} == made
    assert conv3d("run", here / "out" / "in2_x.npy.json", "-o", here / "two.npy", "-q").code == 0
    assert bits(here / "two.npy") == made["in2_x.npy"]
    write(here / "runs" / "many.yaml", text.replace("kernel_size: 3,", "kernel_size: 5,"))
    assert conv3d("run", here / "runs" / "many.yaml", "--dry-run", "--json").document["counts"]["planned"] == 3


def test_a_list_from_a_pipe_can_be_run_again(conv3d, volume, here, monkeypatch):
    for number in range(3):
        volume(6, 7, 8 + number, name=f"in{number}.npy")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"in0.npy\nin2.npy\n")))
    words = ("--out-dir", "out", "--filter", "box:size=3vox", "--shard", "1/2", "--json")
    summary = conv3d("batch", "-", *words).document
    assert summary["run"]["inputs"] == [str(here / "in0.npy"), str(here / "in2.npy")]
    (here / "out" / "in0.npy").unlink()
    again = conv3d("run", here / "out" / "summary-1-of-2.json", "--json").document
    assert [(Path(item["source"]).name, item["why"]) for item in again["items"]] == [("in0.npy", "output is missing")]


def test_a_start_runs_as_it_is_and_is_never_replaced_unasked(conv3d, here):
    (here / "sample_data").mkdir()
    shutil.copy(ROOT / "sample_data" / "mni152_t1_2mm.nii.gz", here / "sample_data")
    told = conv3d("run", "--init", "start.yaml")
    assert (told.code, told.out) == (0, "")
    assert "start.yaml" in told.err
    text = (here / "start.yaml").read_text()
    assert conv3d("run", "--init").out == text.replace("start.yaml", "run.yaml")
    told = conv3d("run", "--init", "start.yaml")
    assert (told.code, told.out) == (4, "")
    assert conv3d("run", "start.yaml", "--json").document["output"]["shape"][-1] == 3
    (here / "deeper").mkdir()
    assert conv3d("run", "--init", "deeper/start.yaml", "-q").err == ""
    assert conv3d("run", "deeper/start.yaml", "--dry-run", "-q").code == 0
    write(here / "start.yaml", "mine")
    assert conv3d("run", "--init", "start.yaml", "--overwrite").code == 0
    assert (here / "start.yaml").read_text() == text


def test_a_start_names_every_key_with_a_value_that_it_takes(conv3d):
    text = conv3d("run", "--init").out
    assert max(map(len, text.splitlines())) <= 120
    given = yaml.safe_load(text)
    lines = [line[1:] for line in re.findall(r"^#(?:  )?[a-z_]+: .*$", text, re.MULTILINE)]
    at_top = dict(given)
    for line in lines:
        at_top |= yaml.safe_load(line.strip()) if not line.startswith("  ") else {}
    below = {}
    for line in lines:
        below |= yaml.safe_load(line.strip()) if line.startswith("  ") else {}
    keys = run_keys()
    assert at_top.keys() == {*keys.of(""), "layers"}
    assert below.keys() == keys.of("batch").keys()
    for name, value in (at_top | below).items():
        key = (keys.of("") | keys.of("batch")).get(name)
        for one in (value if key and key.several else [value]) if key else ():
            key.convert(key.kind.read(name, one))


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.stem)
def test_a_file_that_comes_along_runs(conv3d, here, path):
    for folder in ("configs", "sample_data"):
        shutil.copytree(ROOT / folder, here / folder)
    commands = re.findall(r"^# +conv3d (run .*?)(?: +#.*)?$", path.read_text(), re.MULTILINE)
    assert len(commands) == 3
    validator(run_schema(run_keys())).validate(yaml.safe_load(path.read_bytes()))
    for command in commands:
        words = shlex.split(command)
        assert words[1] == f"configs/runs/{path.name}"
        told = conv3d(*words, "-q")
        assert told.code == 0, told.err
