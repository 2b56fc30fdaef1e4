"""The report: the document field by field, its schema, the table, and numbers as people read them."""

from __future__ import annotations

import copy
import io
import json
import platform
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from schemas import validator

import conv3d_cli
from conv3d_cli import limits
from conv3d_cli.engine import METHODS, Limits, isa
from conv3d_cli.layers import Conv3D, Network, make_layer
from conv3d_cli.limits import peak_bytes
from conv3d_cli.paths import exists
from conv3d_cli.pipeline import Options, plan_run, run
from conv3d_cli.report import Context, plan_document, render, report_schema, run_document, words
from conv3d_cli.report.table import render_rows
from conv3d_cli.volumes.geometry import Geometry

AFFINE = np.array([[2.0, 0, 0, 10], [0, 3, 1, 20], [0, 0, 4, 30], [0, 0, 0, 1]])
CONTEXT = Context(
    command="conv3d apply in.npy out.npy",
    input={"path": "in.npy", "format": "npy", "dtype": "int16", "sha256": "ab", "notes": ["big-endian"]},
    spec={"path": "two.yaml", "sha256": "cd", "keras": 2},
    weights={"path": None, "sha256": None, "seed": 7, "notes": ["one is left over"]},
    output={"path": "out.npy", "dtype": "uint8", "bytes": 9, "clipped": 2, "nan_to_zero": 1, "notes": []},
    warnings=("no weights",),
)
SECONDS = {"read": 0.5, "compute": 1.5, "write": 2.5}


class Header:
    """The header of a .npy of (z, y, x) with a place in the world."""

    shape, format, order = (8, 9, 10), "npy", "C"

    def geometry_for(self, axes):
        return Geometry(AFFINE, "um")

    def extra_bytes(self, dtype):
        return 0


def planned():
    first = Conv3D(
        4,
        (3, 2, 1),
        strides=(1, 2, 1),
        padding="same",
        activation="relu",
        name="a",
        data_format="channels_first",
        kernel_initializer="ones",
        kernel_regularizer="l2",
        activity_regularizer="l1",
        kernel_constraint="unit_norm",
        bias_constraint="non_neg",
    )
    second = Conv3D(
        6, (1, 2, 3), dilation_rate=(1, 1, 2), groups=2, use_bias=False, name="b", data_format="channels_first"
    )
    network = Network([first, second])
    network.build(1)
    limits = Limits(3, 1 << 32, "cgroup limit")
    return plan_run(Header(), network, Options(limits, accuracy="strict", compute_dtype="float64"))


@pytest.fixture(scope="module")
def plan():
    return planned()


@pytest.fixture(scope="module")
def done(plan):
    """A run over an array with two voxels that are not finite: its outcome and its document as JSON holds it."""
    array = np.arange(720.0).reshape(8, 9, 10) + 1
    array[0, 0, 5], array[7, 8, 9] = np.nan, np.inf
    outcome = run(plan, lambda: array)
    document = run_document(plan, outcome, CONTEXT, SECONDS)
    return outcome, json.loads(json.dumps(document, allow_nan=False))


def test_each_layer_is_told_as_it_is(plan):
    first, second = plan_document(plan, CONTEXT)["layers"]
    geometry = {
        "spacing": pytest.approx([2, 6, 17**0.5]),
        "origin": [10, 21.5, 30],
        "unit": "um",
        "affine": [[2, 0, 0, 10], [0, 6, 1, 21.5], [0, 0, 4, 30], [0, 0, 0, 1]],
    }
    told = {
        "name": "a",
        "class_name": "Conv3D",
        "input_shape": [8, 9, 10],
        "input_axes": "zyx",
        "output_shape": [4, 8, 5, 10],
        "output_axes": "czyx",
        "filters": 4,
        "channels": 1,
        "groups": 1,
        "flip": False,
        "boundary": {"text": "zero", "value": 0.0, "scipy": "constant", "numpy": "constant"},
        "filter": None,
        "kernel_size": [3, 2, 1],
        "strides": [1, 2, 1],
        "dilation_rate": [1, 1, 1],
        "padding": "same",
        "padding_before": [1, 0, 0],
        "padding_after": [1, 1, 0],
        "activation": "relu",
        "parameters": 6 * 4 + 4,
        "multiply_adds": 8 * 5 * 10 * 4 * 6,
        "receptive_field": [3, 2, 1],
        "losses": {"kernel": pytest.approx(0.24)},
        "constraints": {
            "kernel": {
                "constraint": "UnitNorm",
                "meaning": first["constraints"]["kernel"]["meaning"],
                "violation": pytest.approx(3**0.5 - 1),
                "satisfied": False,
            },
            "bias": {
                "constraint": "NonNeg",
                "meaning": first["constraints"]["bias"]["meaning"],
                "violation": 0.0,
                "satisfied": True,
            },
        },
        **geometry,
    }
    assert {key: first[key] for key in told} == told
    told = {
        "name": "b",
        "input_shape": [4, 8, 5, 10],
        "input_axes": "czyx",
        "output_shape": [6, 8, 4, 6],
        "output_axes": "czyx",
        "filters": 6,
        "channels": 4,
        "groups": 2,
        "flip": False,
        "boundary": {"text": "zero", "value": 0.0, "scipy": "constant", "numpy": "constant"},
        "filter": None,
        "kernel_size": [1, 2, 3],
        "strides": [1, 1, 1],
        "dilation_rate": [1, 1, 2],
        "padding": "valid",
        "padding_before": [0, 0, 0],
        "padding_after": [0, 0, 0],
        "activation": "linear",
        "parameters": 6 * 6 * 2,
        "multiply_adds": 8 * 4 * 6 * 6 * 6 * 2,
        "receptive_field": [3, 4, 5],
        "losses": {},
        "constraints": {},
        **geometry,
        "origin": [14, 24.5, 30],
        "affine": [[2, 0, 0, 14], [0, 6, 1, 24.5], [0, 0, 4, 30], [0, 0, 0, 1]],
    }
    assert {key: second[key] for key in told} == told


def test_each_layer_tells_how_it_was_planned(plan):
    for layer, step in zip(plan_document(plan, CONTEXT)["layers"], plan.steps, strict=True):
        best = step.plan.candidate
        assert (layer["method"], layer["method_detail"]) == (best.method, best.detail)
        assert (layer["predicted_seconds"], layer["scratch_bytes"]) == (best.seconds, best.scratch_bytes)
        assert layer["why"] == step.plan.why != best.detail
        fields = ("method", "detail", "scratch_bytes", "refused")
        rows = [tuple(candidate[field] for field in fields) for candidate in layer["candidates"]]
        assert rows == [tuple(getattr(c, field) for field in fields) for c in step.plan.candidates]
        assert [c["predicted_seconds"] for c in layer["candidates"]] == [c.seconds for c in step.plan.candidates]
        assert best.detail
        assert best.scratch_bytes > 0
        assert layer["predicted_seconds"] > 0


def test_a_refused_candidate_says_why():
    network = Network([Conv3D(1, 3)])
    plan = plan_run(Header(), network, Options(Limits(1, 1 << 32), method="fft"))
    [layer] = plan_document(plan, CONTEXT)["layers"]
    refused = {c["method"]: c["refused"] for c in layer["candidates"] if c["refused"]}
    assert refused["reference"] == "another method was asked for"
    assert None in [c["refused"] for c in layer["candidates"]]


def test_the_plan_as_a_whole(plan):
    document = plan_document(plan, CONTEXT)
    assert document["report"] == "conv3d-plan"
    assert document["version"] == 3
    assert document["data_format"] == "channels_first"
    assert document["command"] == "conv3d apply in.npy out.npy"
    assert (document["spec"], document["weights"]) == (CONTEXT.spec, CONTEXT.weights)
    assert document["input"] == {
        **CONTEXT.input,
        "shape": [8, 9, 10],
        "axes": "zyx",
        "spacing": pytest.approx([2, 3, 17**0.5]),
        "origin": [10, 20, 30],
        "unit": "um",
        "affine": AFFINE.tolist(),
    }
    output = document["output"]
    assert {key: output[key] for key in CONTEXT.output} == CONTEXT.output
    assert (output["shape"], output["axes"], output["origin"]) == ([6, 8, 4, 6], "czyx", [14, 24.5, 30])
    assert (document["compute_dtype"], document["accuracy"], document["threads"]) == ("float64", "strict", 3)
    assert document["instruction_set"] == isa.active()
    assert document["seconds"] == {"predicted": sum(layer["predicted_seconds"] for layer in document["layers"])}
    assert document["memory"] == {
        "predicted_bytes": plan.peak_bytes,
        "limit_bytes": 1 << 32,
        "limit_source": "cgroup limit",
    }
    assert document["warnings"] == ["no weights"]


def test_the_run_as_a_whole(plan, done):
    outcome, document = done
    assert document["report"] == "conv3d-run"
    before = plan_document(plan, CONTEXT)
    for part in (
        "version",
        "command",
        "data_format",
        "spec",
        "weights",
        "compute_dtype",
        "accuracy",
        "threads",
        "instruction_set",
    ):
        assert document[part] == before[part]
    finite = np.setdiff1d(np.arange(1.0, 721), [6, 720])
    assert document["input"]["values"] == {
        "min": 1,
        "max": 719,
        "mean": pytest.approx(finite.mean()),
        "nonfinite": 2,
        "first_nonfinite": [0, 0, 5],
    }
    kept = outcome.array[np.isfinite(outcome.array)]
    assert document["output"]["values"] == {
        "min": kept.min(),
        "max": kept.max(),
        "mean": pytest.approx(kept.mean()),
        "nonfinite": outcome.array.size - kept.size,
        "first_nonfinite": list(next(zip(*np.nonzero(~np.isfinite(outcome.array)), strict=True))),
    }
    assert document["input"]["path"] == "in.npy"
    assert document["output"]["clipped"] == 2
    assert document["seconds"] == {**before["seconds"], **SECONDS}
    assert [layer["seconds"] for layer in document["layers"]] == [step.seconds for step in outcome.steps]
    assert {layer["method"] for layer in document["layers"]} <= {"direct", "reference"}
    assert document["warnings"] == ["no weights", *outcome.warnings]
    assert "2 non-finite voxels, the first at index (0, 0, 5)" in document["warnings"][1]
    assert document["memory"].items() > before["memory"].items()
    assert document["memory"]["peak_bytes"] == pytest.approx(peak_bytes(), rel=0.5)
    assert document["versions"]["conv3d"] == conv3d_cli.__version__
    assert document["versions"]["python"] == platform.python_version()
    assert {"numpy", "scipy", "nibabel", "h5py", "pyyaml", "click"} <= set(document["versions"])
    assert document["platform"] == platform.platform()


def test_what_was_settled_on_is_reported_and_not_what_was_planned():
    network = Network([Conv3D(1, 9, padding="same")])
    network.build(1)
    header = Header()
    header.shape = (40, 40, 40)
    planned = plan_run(header, network, Options(Limits(1, 1 << 32)))
    forced = plan_run(header, network, Options(Limits(1, 1 << 32), method="reference"))
    outcome = run(planned, lambda: np.ones((40, 40, 40), "f4"))
    [step] = outcome.steps
    other = type(outcome)(
        outcome.array,
        (replace(step, plan=forced.steps[0].plan),),
        outcome.input_values,
        outcome.output_values,
    )
    [layer] = run_document(planned, other, CONTEXT, SECONDS)["layers"]
    assert planned.steps[0].plan.method != "reference"
    assert layer["method"] == "reference"
    assert layer["why"].startswith("reference was asked for")


def test_values_of_which_none_is_finite_are_null(plan):
    outcome = run(plan, lambda: np.full((8, 9, 10), np.nan))
    values = run_document(plan, outcome, CONTEXT, SECONDS)["output"]["values"]
    assert (values["min"], values["max"], values["mean"]) == (None, None, None)


def test_the_peak_is_in_bytes(monkeypatch, tmp_path):
    import resource

    monkeypatch.setattr(limits, "STATUS", tmp_path / "status")
    (tmp_path / "status").write_text("VmPeak:  9000 kB\nVmHWM:   7000 kB\n")
    assert peak_bytes() == 7000 * 1024
    (tmp_path / "status").write_text("VmPeak:  9000 kB\n")

    class Used:
        ru_maxrss = 5000

    monkeypatch.setattr(resource, "getrusage", lambda who: Used)
    monkeypatch.setattr(sys, "platform", "linux")
    assert peak_bytes() == 5000 * 1024
    monkeypatch.setattr(sys, "platform", "darwin")
    assert peak_bytes() == 5000


OPTIONAL = {
    ("input",): {"path", "format", "dtype", "sha256", "notes", "values"},
    ("output",): {"path", "dtype", "bytes", "clipped", "nan_to_zero", "notes", "values"},
    ("layers", 0): {"seconds"},
    ("layers", 1): {"seconds"},
    ("seconds",): {"read", "compute", "write"},
    ("memory",): {"peak_bytes"},
    (): {"versions", "platform"},
}
OPEN = {("versions",)}
MAPPINGS = OPEN | {("layers", i, name) for i in (0, 1) for name in ("losses", "constraints")}
FIXED_LENGTH = {"kernel_size", "strides", "dilation_rate", "padding_before", "padding_after", "receptive_field"}
FIXED_LENGTH |= {"spacing", "origin", "affine"}
WORDS = {"axes", "unit", "method", "data_format", "padding", "compute_dtype", "accuracy", "report"}
COUNTS = {"nonfinite", "scratch_bytes", "filters", "parameters", "threads", "predicted_bytes", "bytes", "seed"}


def nodes(value, path=()):
    """Yield every part of a document with the way to it."""
    yield path, value
    if isinstance(value, dict | list):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from nodes(part, (*path, key))


@pytest.fixture(scope="module")
def accepts():
    return validator(report_schema()).is_valid


def changed(document, path, change):
    """Return a copy of a document with one part of it changed."""
    document = copy.deepcopy(document)
    *way, last = (None, *path)
    owner = {None: document}
    for key in way:
        owner = owner[key]
    owner[last] = change(owner[last])
    return document if path else owner[None]


def test_the_schema_takes_plans_and_runs(plan, done, accepts):
    assert accepts(json.loads(json.dumps(plan_document(plan, CONTEXT))))
    assert accepts(done[1])


def test_the_schema_wants_every_field_and_no_other(done, accepts):
    document = done[1]
    records = [(path, value) for path, value in nodes(document) if isinstance(value, dict)]
    assert len(records) > 10
    for path, value in records:
        assert accepts(changed(document, path, lambda v: {**v, "extra": "1"})) == (path in OPEN), path
        for key in value:
            without = changed(document, path, lambda v, key=key: {k: w for k, w in v.items() if k != key})
            assert accepts(without) == (path in MAPPINGS or key in OPTIONAL.get(path, ())), (*path, key)


def test_the_schema_refuses_values_of_another_kind(done, accepts):
    document = done[1]
    for path, value in nodes(document):
        if path:
            wrong = 1 if isinstance(value, dict | list | str) else [{}]
            assert not accepts(changed(document, path, lambda _, wrong=wrong: wrong)), path
        name = path[-1] if path else ""
        if name in FIXED_LENGTH:
            assert not accepts(changed(document, path, lambda v: v[:-1])), path
            assert not accepts(changed(document, path, lambda v: [*v, v[0]])), path
        if name in WORDS:
            assert not accepts(changed(document, path, lambda v: f"no {v}")), path
        if name in COUNTS and value is not None:
            assert not accepts(changed(document, path, lambda v: -1)), path
            assert not accepts(changed(document, path, lambda v: 1.5)), path


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        (("report",), ["conv3d-plan", "conv3d-run"]),
        (("accuracy",), ["strict", "default", "fast"]),
        (("compute_dtype",), ["float32", "float64"]),
        (("input", "unit"), ["mm", "um", "m", "unknown", None]),
        (("input", "axes"), ["xyz", "bzyxc", "tzyx"]),
        (("layers", 0, "method"), [*METHODS, None]),
        (("layers", 0, "padding"), ["valid", "same", "explicit", None]),
        (("layers", 0, "losses"), [{}, {"bias": 1.5, "activity": None}]),
        (("layers", 0, "constraints"), [{}]),
        (("layers", 0, "class_name"), ["Conv3D", "ReLU", "ZeroPadding3D"]),
        (("data_format",), ["channels_last", "channels_first"]),
        (("layers", 0, "candidates", 0, "refused"), [None, "too slow"]),
        (("weights", "seed"), [None, 0]),
        (("weights", "path"), [None, "w.npz"]),
        (("memory", "peak_bytes"), [None, 1]),
        (("input", "values", "min"), [None, -1.5]),
        (("input", "values", "first_nonfinite"), [None, [0, 1, 2]]),
        (("input", "spacing"), [None, [0.5, 1, 2]]),
        (("input", "path"), [None, "a.nii"]),
    ],
    ids=lambda v: "-".join(map(str, v)) if isinstance(v, tuple) else "",
)
def test_the_schema_takes_what_may_stand_there(done, accepts, path, allowed):
    for value in allowed:
        assert accepts(changed(done[1], path, lambda _, value=value: value)), value


FIRST = {
    "name": "first",
    "class_name": "Conv3D",
    "input_shape": [8, 9, 10],
    "input_axes": "zyx",
    "output_shape": [4, 8, 5, 10],
    "output_axes": "czyx",
    "groups": 1,
    "flip": False,
    "boundary": {"text": "nearest", "value": None, "scipy": "nearest", "numpy": "edge"},
    "filter": None,
    "kernel_size": [3, 2, 1],
    "strides": [1, 2, 1],
    "dilation_rate": [1, 1, 1],
    "padding_before": [1, 0, 0],
    "padding_after": [1, 1, 0],
    "activation": "relu",
    "parameters": 28,
    "multiply_adds": 96_000,
    "receptive_field": [5, 6, 7],
    "method": "direct",
    "why": "faster by far",
    "candidates": [
        {"method": "direct", "predicted_seconds": 0.5, "refused": None},
        {"method": "winograd", "predicted_seconds": 0.1, "refused": "strides other than 1"},
        {"method": "reference", "predicted_seconds": 3.0, "refused": None},
        {"method": "fft", "predicted_seconds": 2.0, "refused": None},
        {"method": "fft", "predicted_seconds": 1.0, "refused": None},
        {"method": "fft", "predicted_seconds": 0.2, "refused": "needs 3.0 GiB"},
        {"method": "pointwise", "predicted_seconds": 0.0, "refused": "the kernel has more than one voxel"},
    ],
    "predicted_seconds": 0.5,
    "seconds": 0.25,
    "losses": {"activity": None, "kernel": 0.125},
    "constraints": {
        "kernel": {"constraint": "UnitNorm", "violation": 0.5, "satisfied": False},
        "bias": {"constraint": "NonNeg", "violation": 0.0, "satisfied": True},
    },
}
SECOND = {
    **FIRST,
    "name": "[red]second",
    "output_shape": [6, 8, 4, 6],
    "kernel_size": [3, 3, 3],
    "boundary": {"text": "zero", "value": 0.0, "scipy": "constant", "numpy": "constant"},
    "strides": [1, 1, 1],
    "padding_before": [0, 0, 0],
    "padding_after": [0, 0, 0],
    "activation": "linear",
    "method": "fft",
    "why": "it was asked for",
    "candidates": [{"method": "fft", "predicted_seconds": 2.0, "refused": None}],
    "seconds": 0.0025,
    "losses": {},
    "constraints": {},
}
PLACE = {"shape": [8, 9, 10], "axes": "zyx", "dtype": "int16", "path": "in.nii"}
IN = {**PLACE, "spacing": [2.0, 3.0, 4.123456], "origin": [10.0, -20.0, 30.25], "unit": "um"}
OUT = {**PLACE, "path": "out.npy", "dtype": "uint8", "shape": [6, 8, 4, 6], "axes": "czyx", "spacing": None}
PLAN = {
    "report": "conv3d-plan",
    "input": IN,
    "output": {**OUT, "path": None},
    "layers": [FIRST, SECOND],
    "threads": 2,
    "instruction_set": "x86-64-v3",
    "compute_dtype": "float64",
    "seconds": {"predicted": 1.26},
    "memory": {"predicted_bytes": 3 << 20, "limit_bytes": 5 << 30},
}
RUN = {
    **PLAN,
    "report": "conv3d-run",
    "input": {**IN, "unit": "unknown", "values": {"min": -1.5, "max": 250.0, "nonfinite": 3}},
    "output": {**OUT, "values": {"min": None, "max": 4.0, "nonfinite": 0}, "clipped": 7, "notes": ["axes moved"]},
    "seconds": {"predicted": 1.26, "read": 0.001, "compute": 1.5, "write": 0.02},
    "memory": {"predicted_bytes": 3 << 20, "limit_bytes": 5 << 30, "peak_bytes": 7 << 20},
}


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


def rendered(document, stream=None):
    stream = stream or io.StringIO()
    render(document, stream)
    return stream.getvalue().splitlines()


def cells(lines):
    """Return the words of each row of the one table among the lines."""
    rule = next(i for i, line in enumerate(lines) if set(line.strip()) == {"─"})
    rows = [lines[rule - 1], *lines[rule + 1 :]]
    end = next(i for i, line in enumerate(rows) if not line.strip())
    return [re.split(r" {2,}", row.strip()) for row in rows[:end]]


def test_the_table_of_a_run():
    lines = rendered(RUN)
    volume = "input  in.nii: 8x9x10 zyx, int16, spacing 2x3x4.1235, origin (10, -20, 30.25)"
    assert lines[0] == f"{volume}, values -1.5 to 250, 3 non-finite"
    heading = ["layer", "output", "kernel", "stride", "padding", "params", "mult-adds", "sees", "activation", "method"]
    first = ["first", "4x8x5x10 czyx", "3x2x1", "1x2x1", "1+1, 0+1, 0", "28", "96.0 k", "5x6x7", "relu", "direct"]
    second = ["[red]second", "6x8x4x6 czyx", "3x3x3", "1", "0", "28", "96.0 k", "5x6x7", "linear", "fft"]
    assert cells(lines) == [[*heading, "time"], [*first, "250 ms"], [*second, "2.5 ms"]]
    assert lines[-9:] == [
        "output out.npy: 6x8x4x6 czyx, uint8, values none to 4, 7 clipped",
        "note: axes moved",
        "first: boundary nearest, scipy's 'nearest', numpy's 'edge'",
        "first: direct, faster by far",
        "first: loss activity none, kernel 0.125",
        "first: kernel constraint UnitNorm not satisfied, by 0.5",
        "first: bias constraint NonNeg satisfied",
        "[red]second: fft, it was asked for",
        "read 1.0 ms, compute 1.5 s, write 20 ms; 2 threads, x86-64-v3, float64, peak memory 7.0 MiB",
    ]
    assert lines == [line.rstrip() for line in lines]


def test_the_table_of_a_plan():
    lines = rendered(PLAN)
    assert lines[0] == "input  in.nii: 8x9x10 zyx, int16, spacing 2x3x4.1235 um, origin (10, -20, 30.25)"
    assert [row[-1] for row in cells(lines)] == ["predicted", "500 ms", "500 ms"]
    assert lines[-9:-5] + lines[-4:] == [
        "output (no file): 6x8x4x6 czyx, uint8",
        "first: boundary nearest, scipy's 'nearest', numpy's 'edge'",
        "first: direct, faster by far",
        "first: loss activity none, kernel 0.125",
        "first: bias constraint NonNeg satisfied",
        "    others: fft 1.0 s, reference 3.0 s; closed: winograd, pointwise",
        "[red]second: fft, it was asked for",
        "predicted: compute 1.3 s, arrays 3.0 MiB; 2 threads, x86-64-v3, float64",
    ]


def test_numbers_stand_on_the_right_and_words_on_the_left():
    lines = rendered(RUN)
    heading, first, second = (next(line for line in lines if name in line) for name in ("params", "4x8x5", "[red]"))
    assert heading.index("params") + len("params") == first.index("28") + 2 == second.index("28") + 2
    assert heading.rindex("time") + len("time") == len(first) == len(second)
    assert heading.index("kernel") == first.index("3x2x1")


@pytest.mark.parametrize(
    ("heading", "change", "shown"),
    [
        ("dilation", {"dilation_rate": [1, 2, 3]}, "1x2x3"),
        ("groups", {"groups": 3}, "3"),
        ("stride", {"strides": [2, 2, 2]}, "2"),
        ("activation", {"activation": "softmax"}, "softmax"),
    ],
)
def test_a_column_that_says_nothing_is_left_out(heading, change, shown):
    dull = {**SECOND, "name": "x"}
    assert heading not in cells(rendered({**PLAN, "layers": [dull, dull]}))[0]
    rows = cells(rendered({**PLAN, "layers": [dull, {**dull, **change}]}))
    assert rows[2][rows[0].index(heading)] == shown


def mixed():
    """A run through layers of which only one convolves."""
    config = {"name": "edge", "padding": ((1, 2), (0, 0), (0, 1))}
    layers = [make_layer("InputLayer", {"name": "in"}), make_layer("ZeroPadding3D", config), make_layer("ReLU", {})]
    network = Network([*layers, Conv3D(1, 2, dialect="torch", padding=1)])
    network.build(1)
    plan = plan_run(Header(), network, Options(Limits(1, 1 << 32)))
    outcome = run(plan, lambda: np.ones((8, 9, 10), np.float32))
    return json.loads(json.dumps(run_document(plan, outcome, CONTEXT, SECONDS)))


def test_layers_that_do_not_convolve_have_no_method(accepts):
    document = mixed()
    assert accepts(document)
    entrance, border, relu, conv = document["layers"]
    assert [layer["class_name"] for layer in document["layers"]] == ["InputLayer", "ZeroPadding3D", "ReLU", "Conv3D"]
    assert (border["padding_before"], border["padding_after"]) == ([1, 0, 0], [2, 0, 1])
    assert (border["padding"], conv["padding"], conv["padding_after"]) == (None, "explicit", [1, 1, 1])
    assert border["output_shape"] == relu["input_shape"] == [11, 9, 11]
    assert (border["origin"], entrance["origin"]) == ([10, 19, 26], [10, 20, 30])
    for layer in (entrance, border, relu):
        assert (layer["method"], layer["candidates"], layer["parameters"], layer["multiply_adds"]) == (None, [], 0, 0)
    assert conv["method"]
    rows = cells(rendered({**document, "weights": CONTEXT.weights}))
    assert [row[:2] for row in rows] == [
        ["layer", "class"],
        ["edge", "ZeroPadding3D"],
        ["re_lu", "ReLU"],
        ["conv3d", "Conv3D"],
    ]


def test_padding_is_told_for_each_axis_where_it_differs():
    def shown(before, after):
        rows = cells(rendered({**PLAN, "layers": [{**SECOND, "padding_before": before, "padding_after": after}]}))
        return rows[1][rows[0].index("padding")]

    assert shown([0, 1, 2], [0, 1, 3]) == "0, 1+1, 2+3"
    assert shown([0, 0, 0], [1, 1, 1]) == "0+1"
    assert shown([1, 0, 0], [0, 0, 0]) == "1+0, 0, 0"


def test_a_terminal_too_narrow_for_the_table_gets_sentences(monkeypatch):
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.setenv("COLUMNS", "70")
    lines = rendered(RUN, Terminal())
    assert lines[1] == (
        "layer first, output 4x8x5x10 czyx, kernel 3x2x1, stride 1x2x1, padding 1+1, 0+1, 0, params 28, "
        "mult-adds 96.0 k, sees 5x6x7, activation relu, method direct, time 250 ms"
    )
    assert lines[2].startswith("layer [red]second, ")
    assert lines[3].startswith("output out.npy")
    monkeypatch.setenv("COLUMNS", "200")
    wide = rendered(RUN, Terminal())
    assert len(wide) == len(rendered(RUN))
    assert not any(line.startswith("layer first, ") for line in wide)


def test_names_stay_on_their_lines():
    named = {**PLAN, "layers": [{**SECOND, "name": "a\nb"}], "input": {**IN, "path": "c\rd.nii"}}
    lines = rendered(named)
    assert lines[0].startswith("input  c\\rd.nii: ")
    assert cells(lines)[1][0] == "a\\nb"
    assert "a\\nb: fft, it was asked for" in lines
    assert len(lines) == len(rendered({**named, "layers": [SECOND]}))


def test_a_peak_that_the_system_does_not_tell_is_left_out():
    last = rendered({**RUN, "memory": {**RUN["memory"], "peak_bytes": None}})[-1]
    assert last.endswith("2 threads, x86-64-v3, float64")


def test_rows_of_weights(capsys):
    one = {"layer": "a", "name": "kernel", "shape": [3, 3, 1], "dtype": "float32", "min": -1.23456, "max": 2.0}
    two = {"layer": None, "name": "b", "shape": [12], "dtype": "float64", "min": None, "max": 34567.0}
    render_rows("some [red]file.npz", [{**one, "nonfinite": 0}, {**two, "nonfinite": 11}])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "some [red]file.npz"
    heading, first, second = (next(line for line in lines if text in line) for text in ("dtype", "kernel", "float64"))
    assert heading.split() == ["layer", "name", "shape", "dtype", "min", "max", "nonfinite"]
    assert first.split() == ["a", "kernel", "3x3x1", "float32", "-1.235", "2", "0"]
    assert second.split() == ["b", "12", "float64", "3.457e+04", "11"]
    assert heading.index("shape") == first.index("3x3x1") == second.index("12")
    assert heading.index("max") + 3 == first.index(" 2 ") + 2 == second.index("3.457e+04") + len("3.457e+04")


def test_no_rows_of_weights(capsys):
    render_rows("none.npz", [])
    assert capsys.readouterr().out.startswith("none.npz\n")


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (9_999, "9999"),
        (10_000, "10.0 k"),
        (999_949, "999.9 k"),
        (1_000_000, "1.0 M"),
        (2_500_000_000, "2.5 G"),
        (1_000_000_000_000, "1.0 T"),
    ],
)
def test_counts(number, text):
    assert words.count(number) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1 << 20, "1.0 MiB"),
        (3 << 29, "1.5 GiB"),
        (1 << 40, "1.0 TiB"),
    ],
)
def test_sizes(number, text):
    assert words.size(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0.0 ms"),
        (0.0099, "9.9 ms"),
        (0.01, "10 ms"),
        (0.9, "900 ms"),
        (1.0, "1.0 s"),
        (99.0, "99.0 s"),
        (100.0, "1 min 40 s"),
        (3605.0, "60 min 5 s"),
    ],
)
def test_durations(seconds, text):
    assert words.duration(seconds) == text


def test_lengths():
    assert words.lengths((2.0, 0.5, 4)) == "2x0.5x4"
    assert words.times((2.0, 2, 2.0)) == "2"
    assert words.times((2.5, 2, 1)) == "2.5x2x1"


def test_values():
    assert [words.number(v) for v in (0.123456, 12345.678, -0.0001, None)] == ["0.1235", "1.235e+04", "-0.0001", "none"]


def test_names_are_shown_as_they_are_and_on_one_line():
    plan, context = planned(), replace(CONTEXT, input={**CONTEXT.input, "path": "a\nb:bug:[red]\x1b.npy"})
    document = plan_document(plan, context)
    document["layers"][0]["name"] = "[/x]:cat:[bold]"
    stream = io.StringIO()
    render(document, stream)
    lines = stream.getvalue().splitlines()
    assert lines[0].startswith("input  a\\nb:bug:[red]\\x1b.npy: ")
    assert [line.strip().split("  ")[0] for line in lines if ":cat:" in line] == [
        "[/x]:cat:[bold]",
        f"[/x]:cat:[bold]: {document['layers'][0]['method']}, {document['layers'][0]['why']}",
        "[/x]:cat:[bold]: loss kernel 0.24",
        "[/x]:cat:[bold]: kernel constraint UnitNorm not satisfied, by 0.7321",
        "[/x]:cat:[bold]: bias constraint NonNeg satisfied",
    ]


@pytest.mark.skipif(not exists(limits.STATUS), reason="this system tells it in another way")
def test_the_peak_is_that_of_this_process_and_not_of_its_parent():
    code = "from conv3d_cli.limits import peak_bytes; print(peak_bytes())"
    ballast = np.ones(400 << 20, np.uint8)
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert int(told) < ballast.nbytes < peak_bytes()
