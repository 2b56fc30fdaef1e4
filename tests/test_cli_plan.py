"""``conv3d plan``: everything about a run but the run."""

from __future__ import annotations

import re

import numpy as np
import pytest
from schemas import validator
from support import ROOT

from conv3d_cli.engine import METHODS, isa
from conv3d_cli.report import report_schema
from conv3d_cli.volumes import source

MRI = ROOT / "sample_data" / "mni152_t1_2mm.nii.gz"


FORCED = "reference" if isa.native() is None else "direct"


@pytest.mark.parametrize("choice", [("edges.yaml",), ("downsample.yaml", "--method", FORCED)], ids=lambda c: c[0])
def test_plan_and_run_agree(conv3d, tmp_path, choice):
    # The second's kernels are outer products, which only a run can see.
    words = [MRI, "--spec", ROOT / "configs" / choice[0], "--json", *choice[1:]]
    plan = conv3d("plan", *words).document
    run = conv3d("apply", MRI, tmp_path / "o.nii", *words[1:]).document
    validator(report_schema()).validate(plan)
    told = {"seconds", "predicted_seconds"}
    for planned, done in zip(plan["layers"], run["layers"], strict=True):
        assert {k: v for k, v in planned.items() if k not in told} == {k: v for k, v in done.items() if k not in told}
    for part in ("affine", "shape", "axes", "spacing"):
        assert plan["output"][part] == run["output"][part]
    assert run["memory"]["predicted_bytes"] == plan["memory"]["predicted_bytes"] > 0


def test_plan_reads_no_voxel(conv3d, monkeypatch):
    monkeypatch.setattr(source.Source, "read", lambda *args, **more: pytest.fail("voxels were read"))
    told = conv3d("plan", MRI, "--spec", ROOT / "configs" / "features.yaml")
    assert told.code == 0
    assert "99x117x95x3 xyzc" in told.out
    assert "predicted" in told.out


def test_plan_of_a_shape(conv3d, spec):
    told = conv3d("plan", "--shape", "2x28x28x28x1", "--spec", spec("filters: 2\nkernel_size: 3\n"), "--json")
    assert told.document["output"]["shape"] == [2, 26, 26, 26, 2]
    assert told.document["output"]["spacing"] is None


def test_plan_shows_every_candidate_with_its_cost(conv3d, spec):
    text = "filters: 1\nkernel_size: 25\npadding: same\n"
    [layer] = conv3d("plan", "--shape", "100x100x100", "--spec", spec(text), "--json").document["layers"]
    assert layer["method"] == "fft"
    assert {c["method"] for c in layer["candidates"]} == set(METHODS)
    assert all(c["predicted_seconds"] > 0 for c in layer["candidates"] if c["refused"] is None)


def test_the_table_of_a_plan_names_every_method_once(conv3d, spec):
    text = "filters: 1\nkernel_size: 25\npadding: same\nname: blur\n"
    lines = conv3d("plan", "--shape", "100x100x100", "--spec", spec(text)).out.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("blur: fft"))
    others, closed = re.fullmatch(r" {4}others: (.*); closed: (.*)", lines[at + 1]).groups()
    taken = re.findall(r"(\w+) [\d.]+ m?s", others)
    assert sorted(["fft", *taken, *closed.split(", ")]) == sorted(METHODS)
    seconds = [float(n) * {"ms": 1e-3, "s": 1}[unit] for n, unit in re.findall(r"([\d.]+) (m?s)", others)]
    assert seconds == sorted(seconds)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ([], "plan: needs either a volume or --shape"),
        ([MRI, "--shape", "3x3x3"], "plan: needs either a volume or --shape"),
        (["--shape", "3x3"], "--shape: not a shape: got '3x3'"),
        (["--shape", "3x3x-1"], "--shape: not a shape"),
        (["--shape", "3x²x3"], "--shape: not a shape"),
        (["--shape", f"3x3x{10**400}"], "--shape: not a shape"),
    ],
)
def test_words_that_contradict(conv3d, spec, words, text):
    told = conv3d("plan", *words, "--spec", spec())
    assert told.code == 2
    assert text in told.err


def test_a_plan_over_the_memory_limit(conv3d, spec):
    told = conv3d("plan", "--shape", "512x512x512", "--spec", spec(), "--max-memory", "512M")
    assert told.code == 5
    assert "layer 'conv3d': memory: not enough for this run: got 512 MiB (--max-memory), expected at least" in told.err


TWO_LAYERS = "layers: [{filters: 6, kernel_size: 7, padding: same}, {filters: 2, kernel_size: 3}]\n"


@pytest.mark.parametrize("text", ["filters: 2\nkernel_size: 3\n", TWO_LAYERS])
def test_what_a_plan_says_is_enough_memory_is_enough(conv3d, spec, volume, tmp_path, text):
    words = [volume(24, 25, 26), "--spec", spec(text)]
    told = conv3d("plan", *words, "--max-memory", "9k")
    while told.code == 5:
        needed = told.err.strip().split("expected at least ")[1].replace(" ", "")
        assert conv3d("apply", *words, tmp_path / "o.npy", "--max-memory", "9k").code == 5
        last, told = told, conv3d("plan", *words, "--max-memory", needed)
        assert told.err != last.err
    assert conv3d("apply", *words, tmp_path / "o.npy", "--max-memory", needed).code == 0


def test_memory_that_the_environment_allows_is_told_as_that(conv3d, spec, monkeypatch):
    monkeypatch.setenv("CONV3D_MAX_MEMORY", "2k")
    told = conv3d("plan", "--shape", "8x8x8", "--spec", spec())
    assert "got 2 KiB (CONV3D_MAX_MEMORY), expected at least" in told.err
    monkeypatch.setenv("CONV3D_THREADS", "many")
    told = conv3d("plan", "--shape", "8x8x8", "--spec", spec())
    assert (told.code, told.err) == (2, "Error: CONV3D_THREADS: must be a whole number, got 'many'\n")


def test_weights_beyond_all_memory_are_refused_at_once(conv3d, spec):
    told = conv3d("plan", "--shape", "8x8x8", "--spec", spec("filters: 1\nkernel_size: 100000000\npadding: same\n"))
    assert told.code == 5
    assert told.err.splitlines()[-1].startswith("Error: memory: not enough for this run: got ")


def test_a_softmax_over_space_is_told_of(conv3d, spec):
    text = "filters: 2\nkernel_size: 1\ndata_format: channels_first\nactivation: softmax\n"
    assert "the last spatial axis" in conv3d("plan", "--shape", "8x8x8", "--spec", spec(text)).err


def test_an_activation_along_an_axis_that_there_is_not(conv3d, spec):
    text = "filters: 2\nkernel_size: 1\nactivation: {class_name: softmax, config: {axis: 5}}\n"
    told = conv3d("plan", "--shape", "8x8x8", "--spec", spec(text))
    assert told.code == 3
    assert "axis: not an axis of the output: got 5, expected -5 to 4" in told.err


def test_a_plan_of_a_large_file_needs_only_its_header(conv3d, spec, tmp_path):
    path = tmp_path / "huge.npy"
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (900, 900, 900)})
        file.truncate(file.tell() + 900**3 * 4)
    told = conv3d("plan", path, "--spec", spec(), "--json", "--max-memory", "64G")
    assert told.document["input"]["shape"] == [900, 900, 900]


def test_a_plan_tells_of_its_input(conv3d, spec, tmp_path):
    np.save(tmp_path / "in.npy", np.ones((5, 6, 7), ">i2"))
    told = conv3d("plan", tmp_path / "in.npy", "--spec", spec(), "--json").document["input"]
    assert (told["path"], told["format"], told["dtype"]) == (str(tmp_path / "in.npy"), "npy", ">i2")
    assert told["notes"] == ["the byte order is big-endian", "int16 voxels are cast to float32"]


def test_a_plan_checks_the_weights(conv3d, spec, tmp_path):
    np.savez(tmp_path / "w.npz", kernel=np.zeros((3, 3, 3, 2, 1), np.float32), bias=np.zeros(1))
    words = ["plan", "--spec", spec(), "--weights", tmp_path / "w.npz"]
    told = conv3d(*words, "--shape", "8x8x8")
    assert told.code == 3
    assert "kernel has the wrong shape: got (3, 3, 3, 2, 1), expected (3, 3, 3, 1, 1)" in told.err
    told = conv3d(*words, "--shape", "8,8,8,2", "--json").document
    assert told["weights"]["path"] == str(tmp_path / "w.npz")
    assert told["layers"][0]["channels"] == 2


def test_a_quiet_plan_says_nothing(conv3d, spec):
    told = conv3d("plan", "--shape", "8x8x8", "--spec", spec(), "-q")
    assert (told.code, told.out, told.err) == (0, "", "")


@pytest.mark.parametrize("shape", ["0x8x8", "8x8x", "8 x 8", "axbxc", "", "1.5x8x8"])
def test_shapes_that_are_none(conv3d, spec, shape):
    assert conv3d("plan", "--shape", shape, "--spec", spec()).code == 2
