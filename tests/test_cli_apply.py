"""``conv3d apply`` from the words of the command line to the files it leaves."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import shlex
import stat
import subprocess
import sys
from pathlib import Path

import badfiles
import badspecs
import nibabel
import numpy as np
import pytest
from oracle import oracle_layer
from schemas import validator
from support import ROOT, beside_the_kernels
from tolerances import assert_close

from conv3d_cli import load_volume
from conv3d_cli.cli.words import command_line
from conv3d_cli.engine import METHODS, isa
from conv3d_cli.report import report_schema

MRI = ROOT / "sample_data" / "mni152_t1_2mm.nii.gz"
EDGES = ROOT / "configs" / "edges.yaml"


def read_report(path: Path):
    document = json.loads(path.read_text())
    validator(report_schema()).validate(document)
    return document


def test_the_main_job_on_the_sample_mri(conv3d, tmp_path):
    out, report = tmp_path / "edges.nii.gz", tmp_path / "edges.json"
    told = conv3d("apply", MRI, out, "--spec", EDGES, "--report", report)
    assert (told.code, beside_the_kernels(told.err)) == (0, "")
    for word in (
        "99x117x95x4 xyzc",
        "3x3x3",
        "1+1",
        "direct" if isa.native() else "fft",
        "spacing 2x2x2 mm",
        "peak memory",
    ):
        assert word in told.out
    made, source = nibabel.load(out), nibabel.load(MRI)
    assert made.shape == (*source.shape, 4)
    np.testing.assert_array_equal(made.affine, source.affine)
    assert int(made.header["sform_code"]) == int(source.header["sform_code"])
    document = read_report(report)
    assert document["layers"][0]["parameters"] == 3**3 * 4
    weights = np.load(ROOT / "configs" / "edges.npz")
    x = np.asarray(source.dataobj, np.float32)[None, ..., None]
    want, magnitude = oracle_layer(x, weights["kernel"], padding="same")
    assert_close("fft", "float32", np.asarray(made.dataobj)[None], want, magnitude, 27)


def test_the_report_tells_the_run(conv3d, spec, volume, tmp_path):
    text = """
layers:
  - {filters: 4, kernel_size: [3, 2, 3], strides: [1, 2, 1], padding: same, activation: relu}
  - {filters: 2, kernel_size: 3, dilation_rate: 2, groups: 2, use_bias: false}
"""
    report, source = tmp_path / "r.json", volume(12, 13, 14)
    words = ["apply", source, tmp_path / "o.npy", "--spec", spec(text), "--report", report, "--seed", 3, "--threads", 2]
    assert conv3d(*words).code == 0
    document = read_report(report)
    first, second = document["layers"]
    assert first["input_shape"] == [12, 13, 14]
    assert first["output_shape"] == [12, 7, 14, 4]
    assert (first["padding_before"], first["padding_after"]) == ([1, 0, 1], [1, 1, 1])
    assert first["parameters"] == 3 * 2 * 3 * 4 + 4
    assert first["multiply_adds"] == 12 * 7 * 14 * 4 * 18
    assert first["receptive_field"] == [3, 2, 3]
    assert second["output_shape"] == [8, 3, 10, 2]
    assert second["receptive_field"] == [7, 10, 7]
    assert second["groups"] == 2
    assert {c["method"] for c in second["candidates"]} == set(METHODS)
    assert document["weights"]["seed"] == 3
    assert document["threads"] == 2
    assert document["instruction_set"] == isa.active()
    assert document["command"].startswith("conv3d apply ")
    assert document["versions"]["numpy"] == np.__version__
    array = np.load(source)
    assert document["input"]["values"]["min"] == float(array.min())
    assert document["memory"]["peak_bytes"] > 1 << 20
    assert len(document["input"]["sha256"]) == len(document["spec"]["sha256"]) == 64


def test_the_hash_is_that_of_the_file(conv3d, spec, volume, tmp_path):
    source, report = volume(), tmp_path / "r.json"
    conv3d("apply", source, tmp_path / "o.npy", "--spec", spec(), "--report", report)
    assert read_report(report)["input"]["sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()


def test_the_same_run_twice_gives_the_same_bytes(conv3d, spec, tmp_path):
    for name in ("a.nii.gz", "b.nii.gz"):
        assert conv3d("apply", MRI, tmp_path / name, "--spec", spec(), "-q").code == 0
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


def test_chains_keep_voxel_centres_on_an_oblique_volume(conv3d, spec, tmp_path):
    """A blurred point is found at the same place in the world after a stride, a crop and asymmetric padding."""
    turn = np.array([[0.9, -0.3, 0.1], [0.3, 0.8, -0.4], [0.1, 0.4, 0.9]]) @ np.diag([1.0, 2.0, 3.0])
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = turn, (5, -7, 11)
    grid = np.stack(np.meshgrid(*map(np.arange, (40, 30, 20)), indexing="ij"), -1)
    centre = np.array([19.0, 15.0, 9.5])
    blob = np.exp(-(((grid - centre) / 4) ** 2).sum(-1)).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(blob, affine), tmp_path / "blob.nii")
    mean = "kernel_initializer: ones, use_bias: false"
    text = f"""
layers:
  - {{filters: 1, kernel_size: [3, 2, 3], strides: [2, 1, 1], padding: same, {mean}}}
  - {{filters: 1, kernel_size: [2, 3, 2], dilation_rate: [1, 2, 1], {mean}}}
"""
    assert conv3d("apply", tmp_path / "blob.nii", tmp_path / "out.nii", "--spec", spec(text)).code == 0
    out = nibabel.load(tmp_path / "out.nii")
    values = np.asarray(out.dataobj, np.float64)
    index = np.stack(np.meshgrid(*map(np.arange, out.shape), indexing="ij"), -1)
    found = (index * values[..., None]).sum((0, 1, 2)) / values.sum()
    np.testing.assert_allclose(out.affine[:3, :3] @ found + out.affine[:3, 3], turn @ centre + affine[:3, 3], atol=0.02)
    np.testing.assert_allclose(out.affine[:3, 0], 2 * affine[:3, 0])


def test_every_volume_of_a_series_is_convolved_on_its_own(conv3d, spec, tmp_path):
    series = load_volume(str(ROOT / "sample_data" / "series_4d.nii.gz"))
    assert conv3d("apply", ROOT / "sample_data" / "series_4d.nii.gz", tmp_path / "s.nii", "--spec", spec()).code == 0
    out = nibabel.load(tmp_path / "s.nii")
    assert out.shape == series.array.shape
    assert out.header.get_zooms()[3] == 2.0
    one = tmp_path / "one.nii"
    nibabel.save(nibabel.Nifti1Image(series.array[..., 2], out.affine), one)
    assert conv3d("apply", one, tmp_path / "o.nii", "--spec", spec()).code == 0
    np.testing.assert_array_equal(np.asarray(out.dataobj)[..., 2], np.asarray(nibabel.load(tmp_path / "o.nii").dataobj))


def test_channels_of_a_file_are_named_by_axes(conv3d, spec, tmp_path):
    text = "filters: 2\nkernel_size: 3\npadding: same\n"
    source = ROOT / "sample_data" / "series_4d.nii.gz"
    told = conv3d("apply", source, tmp_path / "c.nii", "--spec", spec(text), "--axes", "xyzc", "--json")
    assert told.code == 0
    assert told.document["layers"][0]["channels"] == 6
    assert told.document["output"]["shape"] == [16, 16, 12, 2]


def test_channels_first_puts_the_new_axis_in_front(conv3d, spec, volume, tmp_path):
    text = "filters: 2\nkernel_size: 3\ndata_format: channels_first\n"
    assert conv3d("apply", volume(), tmp_path / "o.npy", "--spec", spec(text)).code == 0
    assert np.load(tmp_path / "o.npy").shape == (2, 6, 7, 8)


def test_several_batch_axes(conv3d, spec, volume, tmp_path):
    x = volume(2, 3, 5, 6, 7, 2)
    # Which method is the fastest depends on the batch; with one, the same sums give the same bits.
    words = ["--spec", spec("filters: 3\nkernel_size: 2\n"), "--method", "reference"]
    assert conv3d("apply", x, tmp_path / "o.npy", *words).code == 0
    out = np.load(tmp_path / "o.npy")
    assert out.shape == (2, 3, 4, 5, 6, 3)
    np.save(tmp_path / "one.npy", np.load(x)[1, 2])
    conv3d("apply", tmp_path / "one.npy", tmp_path / "p.npy", *words)
    np.testing.assert_array_equal(np.load(tmp_path / "p.npy"), out[1, 2])


def test_batch_axes_that_do_not_lie_together(conv3d, spec, volume, tmp_path):
    x = volume(2, 5, 3, 6, 7)
    words = ["--spec", spec("filters: 1\nkernel_size: 2\n"), "--method", "reference", "--axes"]
    assert conv3d("apply", x, tmp_path / "o.npy", *words, "bztyx").code == 0
    np.save(tmp_path / "one.npy", np.load(x)[1, :, 2])
    conv3d("apply", tmp_path / "one.npy", tmp_path / "p.npy", *words, "zyx")
    np.testing.assert_array_equal(np.load(tmp_path / "p.npy"), np.load(tmp_path / "o.npy")[1, :, 2])


def test_integers_are_rounded_clipped_and_counted(conv3d, spec, volume, tmp_path):
    text = "{filters: 1, kernel_size: 1, kernel_initializer: ones}"
    told = conv3d("apply", volume(), tmp_path / "o.npy", "--spec", spec(text), "--dtype", "uint8", "--json")
    x, out = np.load(tmp_path / "in.npy"), np.load(tmp_path / "o.npy")
    np.testing.assert_array_equal(out, np.clip(np.rint(x), 0, 255).astype("u1"))
    assert told.document["output"]["clipped"] == np.count_nonzero((np.rint(x) < 0) | (np.rint(x) > 255))
    assert "voxels clipped to the range of uint8" in told.err


def test_compute_dtype_and_method_are_followed(conv3d, spec, volume, tmp_path):
    words = ["apply", volume(), tmp_path / "o.npy", "--spec", spec(), "--json"]
    told = conv3d(*words, "--compute-dtype", "float64", "--method", "reference", "--dtype", "float64")
    assert told.document["compute_dtype"] == "float64"
    assert told.document["layers"][0]["method"] == "reference"
    assert np.load(tmp_path / "o.npy").dtype == np.float64


def test_another_format_may_order_the_axes_in_its_own_way(conv3d, spec, volume, tmp_path):
    told = conv3d("apply", volume(8, 9, 10), tmp_path / "o.nii", "--spec", spec(), "--json").document["output"]
    assert (told["axes"], told["shape"]) == ("xyz", [10, 9, 8])
    assert nibabel.load(tmp_path / "o.nii").shape == (10, 9, 8)


def test_streams_go_through_pipes(spec, tmp_path):
    source, report = ROOT / "sample_data" / "ct_phantom.npy", tmp_path / "r.json"
    words = [sys.executable, "-m", "conv3d_cli", "apply", "-", "-", "--spec", str(spec()), "--report", str(report)]
    done = subprocess.run(words, input=source.read_bytes(), capture_output=True, check=True)
    (tmp_path / "o.npy").write_bytes(done.stdout)
    assert np.load(tmp_path / "o.npy").shape == np.load(source).shape
    stream = io.BytesIO()
    np.save(stream, np.load(tmp_path / "o.npy"))
    assert done.stdout == stream.getvalue()
    assert "mult-adds" in done.stderr.decode()
    assert read_report(report)["input"]["sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()


def test_a_dry_run_writes_nothing(conv3d, spec, volume, tmp_path):
    told = conv3d("apply", volume(), tmp_path / "o.npy", "--spec", spec(), "--report", tmp_path / "r.json", "--dry-run")
    assert told.code == 0
    assert "predicted" in told.out
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.npy", "spec.yaml"]


def test_a_dry_run_refuses_what_the_run_would_refuse(conv3d, spec, volume, tmp_path):
    source, target = volume(), tmp_path / "o.npy"
    target.touch()
    words = ["apply", source, "--spec", spec(), "--dry-run"]
    for output, code in ((target, 4), (source, 4), (tmp_path / "none" / "o.npy", 4), (tmp_path / "o.xyz", 2)):
        assert conv3d(*words, output).code == code
    assert conv3d(*words, tmp_path / "p.npy", "--report", target).code == 4
    assert conv3d(*words, target, "--overwrite").code == 0
    assert target.stat().st_size == 0


def test_initial_weights_are_told_of(conv3d, spec, volume, tmp_path):
    told = conv3d("apply", volume(), tmp_path / "o.npy", "--spec", spec(), "--seed", 5)
    assert beside_the_kernels(told.err).startswith("Warning: ")
    assert "no weights are given: they come from the layers' initializers, with seed 5" in told.err
    other = conv3d("apply", volume(), tmp_path / "p.npy", "--spec", spec(), "--seed", 6)
    assert other.code == 0
    assert not np.array_equal(np.load(tmp_path / "o.npy"), np.load(tmp_path / "p.npy"))


@pytest.mark.parametrize("words", [["o.npy", "--report", "w.h5"], ["o.npy", "--log-file", "w.h5"], ["w.h5"]], ids=str)
def test_nothing_is_written_into_the_weights_that_the_spec_names(conv3d, spec, volume, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    volume()
    path = spec("filters: 1\nkernel_size: 3\nuse_bias: false\n")
    assert conv3d("weights", "init", "w.h5", "--spec", path).code == 0
    path.write_text(f"weights: w.h5\n{path.read_text()}")
    before = (tmp_path / "w.h5").read_bytes()
    told = conv3d("apply", "in.npy", *words, "--spec", "spec.yaml", "--overwrite")
    assert told.code == 4
    assert "w.h5' is the same file, which this run needs" in told.err
    assert (tmp_path / "w.h5").read_bytes() == before
    assert not (tmp_path / "o.npy").exists()


def test_the_log_tells_of_a_spec_that_cannot_be_read(conv3d, spec, volume, tmp_path):
    words = ["apply", volume(), tmp_path / "o.npy", "--spec", spec("filters: none\n"), "--log-file", tmp_path / "log"]
    assert conv3d(*words).code == 3
    assert "ERROR" in (tmp_path / "log").read_text()


def test_non_finite_voxels_stay_local_and_are_told_of(conv3d, spec, volume, tmp_path):
    x = np.load(volume(32, 32, 32))
    x[3, 4, 5] = np.nan
    np.save(tmp_path / "in.npy", x)
    text = "filters: 1\nkernel_size: 21\npadding: same\n"
    told = conv3d("apply", tmp_path / "in.npy", tmp_path / "o.npy", "--spec", spec(text), "--json")
    assert "the input has 1 non-finite voxels, the first at index (3, 4, 5)" in told.err
    assert told.document["layers"][0]["method"] != "fft"
    assert np.count_nonzero(np.isnan(np.load(tmp_path / "o.npy"))) == 14 * 15 * 16
    forced = conv3d("apply", tmp_path / "in.npy", tmp_path / "p.npy", "--spec", spec(text), "--method", "fft")
    assert forced.code == 3
    assert "method 'fft' would spread non-finite voxels: got 1, the first at index (3, 4, 5), expected" in forced.err
    assert not (tmp_path / "p.npy").exists()


REFUSED = [
    (["--spec", "SPEC"], 2, "output: got 0 names, expected one"),
    (["OUT", "-o", "OUT", "--spec", "SPEC"], 2, "output: got 2 names, expected one"),
    (["OUT"], 2, "--spec: needs either a spec or --filter: got neither"),
    (["OUT", "--spec", "SPEC", "--axes", "xy"], 2, "axes: 'z' stands 0 times"),
    (["OUT", "--spec", "SPEC", "--method", "wingrad"], 2, "'wingrad' is not one of"),
    (["OUT", "--spec", "SPEC", "--threads", "0"], 2, "0 is not in the range x>=1"),
    (
        ["OUT", "--spec", "SPEC", "--max-memory", "much"],
        2,
        "--max-memory: not a size: got 'much', expected",
    ),
    (["OUT", "--spec", "edges.npz"], 2, "--spec: a file of weights: got 'edges.npz', expected a YAML spec or a Keras"),
    (["OUT", "--spec", "W.SafeTensors"], 2, "model; weights belong to --weights"),
    (["OUT", "--spec", "w.weights.h5"], 2, "model; weights belong to --weights"),
    (["OUT", "--spec", "SPEC", "--report", ""], 2, "--report: got '', expected the name of a file"),
    (["OUT", "--spec", "SPEC", "--log-file", ""], 2, "--log-file: got '', expected the name of a file"),
    (["OUT", "--spec", "SPEC", "--max-memory", "1K"], 5, "expected at least"),
    (["OUT", "--spec", "none.yaml"], 3, "none.yaml"),
    (["OUT.xyz", "--spec", "SPEC"], 2, "means no format, expected one of .nii"),
    (["IN", "--spec", "SPEC", "--overwrite"], 4, "'in.npy' is the same file, which this run needs"),
    (["none/OUT", "--spec", "SPEC"], 4, "none"),
    (["SPEC", "--spec", "SPEC"], 2, "means no format"),
    (["OUT", "--spec", "SPEC", "--report", "SPEC", "--overwrite"], 4, "is the same file, which this run needs"),
    (["OUT", "--spec", "SPEC", "--report", "OUT"], 4, "is the same file, which this run needs"),
    (["-", "--spec", "SPEC", "--json"], 2, "both write to standard output"),
    (["OUT", "--spec", "SPEC", "--weights", "none.npz"], 3, "none.npz"),
    (["OUT", "--spec", "HUGE"], 3, "the output would be empty: got input 8x9x10, expected at least 9x9x9"),
    (["OUT.nii", "--spec", "SPEC", "--dtype", "float16"], 2, "float16"),
]


@pytest.mark.parametrize(("words", "code", "text"), REFUSED, ids=lambda value: value if isinstance(value, str) else "")
def test_what_is_refused(conv3d, spec, volume, tmp_path, monkeypatch, words, code, text):
    monkeypatch.chdir(tmp_path)
    volume()
    spec("filters: 1\nkernel_size: 9\n", "huge.yaml")
    spec()
    names = {
        "SPEC": "spec.yaml",
        "HUGE": "huge.yaml",
        "IN": "in.npy",
        "OUT": "o.npy",
        "OUT.nii": "o.nii",
        "none/OUT": "none/o.npy",
    }
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    told = conv3d("apply", "in.npy", *(names.get(word, word) for word in words))
    assert told.code == code
    assert told.err.startswith("Error: ")
    assert told.err.count("\n") == 1
    assert text in told.err
    assert told.out == ""
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


@pytest.mark.parametrize("bad", badfiles.BAD_FILES, ids=lambda bad: bad.name)
def test_bad_volumes(conv3d, spec, tmp_path, bad):
    try:
        source = bad.make(tmp_path)
        before = sorted(p.name for p in tmp_path.iterdir())
        limit = [] if bad.max_memory is None else ["--max-memory", bad.max_memory]
        told = conv3d("apply", source, tmp_path / "out.npy", "--spec", ROOT / "configs" / "smooth.yaml", *limit)
        after = sorted(p.name for p in tmp_path.iterdir())
    finally:
        badfiles.release()
    err = beside_the_kernels(told.err)
    assert told.code == bad.code, err
    assert err.startswith("Error: ")
    assert err.count("\n") == 1
    if bad.max_memory is None:
        assert all(word in err for word in bad.words), err
    assert (told.out, after) == ("", before)


@pytest.mark.parametrize("bad", badspecs.BAD_SPECS, ids=lambda bad: bad.name)
def test_bad_specs(conv3d, volume, tmp_path, bad):
    path = tmp_path / "bad.yaml"
    path.write_bytes(bad.data)
    told = conv3d("apply", volume(), tmp_path / "o.npy", "--spec", path)
    assert told.code == 3
    lines = told.err.splitlines()
    assert len(lines) == len(bad.at)
    for line, (place, words) in zip(lines, bad.at, strict=True):
        assert line.startswith("Error: ")
        assert f"bad.yaml:{place}: " in line
        assert all(word in line for word in words)
    assert not (tmp_path / "o.npy").exists()


def test_an_output_that_exists_is_kept_unless_asked(conv3d, spec, volume, tmp_path):
    out = tmp_path / "o.npy"
    out.write_bytes(b"precious")
    out.chmod(0o640)
    told = conv3d("apply", volume(), out, "--spec", spec())
    assert told.code == 4
    assert "exists already: expected another name, or --overwrite" in told.err
    assert out.read_bytes() == b"precious"
    assert conv3d("apply", volume(), out, "--spec", spec(), "--overwrite").code == 0
    assert np.load(out).shape == (8, 9, 10)
    assert stat.S_IMODE(out.stat().st_mode) == 0o640


@pytest.mark.parametrize(
    "name", ["with space.npy", "ümläut.npy", "line\nbreak.npy", "-dash.npy", os.fsdecode(b"\xff.npy")]
)
def test_odd_names_work_and_are_shown_escaped(conv3d, spec, volume, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    volume()
    spec()
    target = f"./{name}" if name.startswith("-") else name
    assert conv3d("apply", "in.npy", target, "--spec", "spec.yaml", "-q").code == 0
    assert Path(name).exists()
    told = conv3d("apply", "in.npy", target, "--spec", "spec.yaml", "-q")
    assert told.code == 4
    assert told.err.count("\n") == 1


def test_a_report_of_an_odd_name_is_json(conv3d, spec, volume, tmp_path):
    out = tmp_path / os.fsdecode(b"\xff.npy")
    assert conv3d("apply", volume(), out, "--spec", spec(), "--json").document["output"]["path"]


def test_a_bit_flip_in_a_gzip_is_caught(conv3d, tmp_path):
    data = bytearray(MRI.read_bytes())
    data[len(data) // 2] ^= 4
    (tmp_path / "flip.nii.gz").write_bytes(data)
    told = conv3d("apply", tmp_path / "flip.nii.gz", tmp_path / "o.nii.gz", "--spec", EDGES)
    assert told.code == 3
    assert not (tmp_path / "o.nii.gz").exists()
    (tmp_path / "junk.nii.gz").write_bytes(MRI.read_bytes() + b"junk")
    assert conv3d("apply", tmp_path / "junk.nii.gz", tmp_path / "o.nii.gz", "--spec", EDGES).code == 3
    plain = gzip.decompress(MRI.read_bytes())
    (tmp_path / "good.nii").write_bytes(plain)
    assert conv3d("apply", tmp_path / "good.nii", tmp_path / "o.nii.gz", "--spec", EDGES).code == 0


def test_peak_memory_of_a_large_volume(tmp_path):
    """Input and output of 64 MiB each, and less than 96 MiB beyond an empty run."""
    np.save(tmp_path / "in.npy", np.zeros((256, 256, 256), np.float32))
    (tmp_path / "spec.yaml").write_text("filters: 1\nkernel_size: 3\npadding: same\n")
    words = [str(tmp_path / name) for name in ("in.npy", "out.npy")]
    full = [*words, "--spec", str(tmp_path / "spec.yaml"), "--json"]
    np.save(tmp_path / "tiny.npy", np.zeros((4, 4, 4), np.float32))
    tiny = [str(tmp_path / "tiny.npy"), str(tmp_path / "o.npy"), *full[2:]]
    peaks = []
    for call in (full, tiny):
        done = subprocess.run(
            [sys.executable, "-m", "conv3d_cli", "apply", *call], capture_output=True, text=True, check=True
        )
        peaks.append(json.loads(done.stdout)["memory"]["peak_bytes"])
    assert peaks[0] - peaks[1] <= (64 + 64 + 96) << 20


def test_the_report_replaces_a_file_only_when_asked(conv3d, spec, volume, tmp_path):
    report = tmp_path / "r.json"
    report.write_text("precious")
    words = ["apply", volume(), tmp_path / "o.npy", "--spec", spec(), "--report", report]
    assert conv3d(*words).code == 4
    assert report.read_text() == "precious"
    assert not (tmp_path / "o.npy").exists()
    assert conv3d(*words, "--overwrite").code == 0
    assert read_report(report)["report"] == "conv3d-run"


def test_the_report_is_no_input(conv3d, spec, volume, tmp_path):
    assert conv3d("weights", "init", tmp_path / "w.npz", "--spec", spec()).code == 0
    words = ["apply", volume(), tmp_path / "o.npy", "--spec", spec(), "--weights", tmp_path / "w.npz", "--overwrite"]
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    for name in ("in.npy", "spec.yaml", "w.npz", "o.npy"):
        told = conv3d(*words, "--report", tmp_path / name)
        assert told.code == 4
        assert f"{name}' is the same file, which this run needs" in told.err
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


@pytest.mark.parametrize("name", ["in.npy", "spec.yaml", "w.npz"])
def test_the_output_is_no_other_file_under_a_new_name(conv3d, spec, volume, tmp_path, name):
    assert conv3d("weights", "init", tmp_path / "w.npz", "--spec", spec()).code == 0
    words = ["apply", volume(), "--spec", spec(), "--weights", tmp_path / "w.npz", "--overwrite"]
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    (tmp_path / "soft.npy").symlink_to(tmp_path / name)
    (tmp_path / "hard.npy").hardlink_to(tmp_path / name)
    for target in ("soft.npy", "hard.npy"):
        told = conv3d(*words, tmp_path / target)
        assert told.code == 4
        assert "is the same file, which this run needs" in told.err
    assert {p: (tmp_path / p).read_bytes() for p in before} == before


def test_the_report_tells_of_the_files(conv3d, spec, tmp_path):
    """Input type and notes, weights and their hash, what was written."""
    x = np.ones((5, 6, 7), ">f4")
    x[0, 0, 0] = np.nan
    np.save(tmp_path / "in.npy", x)
    np.savez(tmp_path / "w.npz", kernel=np.full((3, 3, 3, 1, 1), 100.1), bias=np.zeros(1))
    text = spec()
    words = [tmp_path / "in.npy", tmp_path / "o.npy", "--spec", text, "--weights", tmp_path / "w.npz", "--json"]
    told = conv3d("apply", *words, "--dtype", "uint8")
    document = told.document
    assert document["input"]["dtype"] == ">f4"
    assert document["input"]["format"] == "npy"
    assert document["input"]["path"] == str(tmp_path / "in.npy")
    assert document["input"]["notes"] == ["the byte order is big-endian"]
    assert document["input"]["sha256"] == hashlib.sha256((tmp_path / "in.npy").read_bytes()).hexdigest()
    assert document["spec"]["path"] == str(text)
    assert document["spec"]["sha256"] == hashlib.sha256(text.read_bytes()).hexdigest()
    weights = document["weights"]
    assert weights["path"] == str(tmp_path / "w.npz")
    assert weights["sha256"] == hashlib.sha256((tmp_path / "w.npz").read_bytes()).hexdigest()
    assert weights["seed"] is None
    assert "kernel: cast from float64 to float32" in weights["notes"]
    output = document["output"]
    assert (output["dtype"], output["bytes"]) == ("uint8", 5 * 6 * 7)
    assert (output["nan_to_zero"], output["clipped"]) == (2 * 2 * 2, 5 * 6 * 7 - 8)
    assert "8 NaN voxels became 0" in told.err
    want = np.full(x.shape, 255)
    want[:2, :2, :2] = 0
    np.testing.assert_array_equal(np.load(tmp_path / "o.npy"), want)


def test_what_the_output_cannot_hold_is_noted(conv3d, spec, tmp_path):
    words = [MRI, tmp_path / "o.npy", "--spec", spec()]
    told = conv3d("apply", *words)
    assert "note: npy does not hold geometry" in told.out
    assert conv3d("apply", *words, "--json", "--overwrite").document["output"]["notes"] == [
        "npy does not hold geometry",
        "the meaning of the axes is not stored: reading it needs --axes xyz",
    ]


def test_the_stages_of_a_run_are_timed_apart(conv3d, spec, volume, tmp_path, monkeypatch):
    clock = iter([0, 1, 3, 10, 20, 27])
    monkeypatch.setattr("conv3d_cli.cli.apply.perf_counter", lambda: float(next(clock)))
    told = conv3d("apply", volume(), tmp_path / "o.npy", "--spec", spec(), "--json").document["seconds"]
    assert (told["read"], told["compute"], told["write"]) == (2, 8, 7)


def test_arithmetic_in_float64_begins_with_the_reading(conv3d, spec, tmp_path):
    x = np.full((3, 3, 3), 2**24 + 1, np.int32)
    np.save(tmp_path / "in.npy", x)
    text = spec("{filters: 1, kernel_size: 1, kernel_initializer: ones, use_bias: false}")
    words = ["apply", tmp_path / "in.npy", tmp_path / "o.npy", "--spec", text, "--overwrite"]
    assert conv3d(*words, "--compute-dtype", "float64", "--dtype", "int32").code == 0
    np.testing.assert_array_equal(np.load(tmp_path / "o.npy"), x)
    assert conv3d(*words, "--compute-dtype", "float32", "--dtype", "int32").code == 0
    np.testing.assert_array_equal(np.load(tmp_path / "o.npy"), x - 1)


def test_every_planning_option_is_followed(conv3d, spec, volume, tmp_path):
    words = ["apply", volume(6, 7, 8), tmp_path / "o.npy", "--spec", spec(), "--json", "--overwrite"]
    options = ["--accuracy", "strict", "--threads", 3, "--max-memory", "1G", "--axes", "xyz", "--method", "reference"]
    document = conv3d(*words, *options).document
    assert (document["accuracy"], document["threads"]) == ("strict", 3)
    assert (document["memory"]["limit_bytes"], document["memory"]["limit_source"]) == (1 << 30, "--max-memory")
    assert document["input"]["axes"] == "xyz"
    assert document["layers"][0]["method"] == "reference"
    assert conv3d(*words).document["accuracy"] == "default"
    assert conv3d(*words, "--accuracy", "fast").document["accuracy"] == "fast"


def test_the_weights_that_are_named_go_before_those_of_the_spec(conv3d, spec, volume, tmp_path):
    np.savez(tmp_path / "own.npz", kernel=np.ones((1, 1, 1, 1, 1)))
    np.savez(tmp_path / "named.npz", kernel=np.full((1, 1, 1, 1, 1), 2.0))
    text = spec("{filters: 1, kernel_size: 1, use_bias: false, weights: own.npz}")
    for more, factor in (([], 1), (["--weights", tmp_path / "named.npz"], 2)):
        words = ["apply", volume(), tmp_path / "o.npy", "--spec", text, "--overwrite", "-q"]
        assert conv3d(*words, *more).code == 0
        np.testing.assert_array_equal(np.load(tmp_path / "o.npy"), factor * np.load(tmp_path / "in.npy"))


def test_the_command_line_in_the_report_can_be_run_again(conv3d, spec, volume, tmp_path, monkeypatch):
    words = ["apply", volume(name="a b.npy"), tmp_path / "it's.npy", "--spec", spec(), "--json"]
    assert shlex.split(conv3d(*words).document["command"]) == ["conv3d", *map(str, words)]
    monkeypatch.setattr(sys, "argv", ["/usr/lib/conv3d_cli/__main__.py", "info"])
    assert command_line() == "conv3d info"


def test_the_seed_may_come_from_the_environment(conv3d, spec, volume, tmp_path, monkeypatch):
    words = ["apply", volume(), tmp_path / "o.npy", "--spec", spec(), "--json", "--overwrite"]
    assert conv3d(*words).document["weights"]["seed"] == 0
    monkeypatch.setenv("CONV3D_SEED", "9")
    assert conv3d(*words).document["weights"]["seed"] == 9
    assert conv3d(*words, "--seed", 8).document["weights"]["seed"] == 8
    assert conv3d(*words, "--seed", -1).code == 2


def test_integers_are_cast_and_the_report_says_so(conv3d, tmp_path):
    told = conv3d("apply", MRI, tmp_path / "o.nii", "--spec", EDGES, "--json", "-v")
    assert "uint8 voxels are cast to float32" in told.document["input"]["notes"]
    assert "uint8 voxels are cast to float32" in told.err


def test_a_loss_that_is_not_finite_is_told_as_null(conv3d, spec, volume, tmp_path):
    np.savez(tmp_path / "w.npz", kernel=np.array([np.nan, 1], "f4").reshape(2, 1, 1, 1, 1))
    text = "filters: 1\nkernel_size: [2, 1, 1]\nuse_bias: false\nkernel_regularizer: l2\n"
    told = conv3d(
        "apply", volume(), tmp_path / "o.npy", "--spec", spec(text), "--weights", tmp_path / "w.npz", "--json"
    )
    assert told.code == 0, told.err
    assert told.document["layers"][0]["losses"] == {"kernel": None}


def test_nothing_is_written_that_the_report_cannot_tell(conv3d, spec, volume, tmp_path, monkeypatch):
    from conv3d_cli.report import document

    def fails(values):
        raise ValueError("cannot be told")

    monkeypatch.setattr(document, "_values", fails)
    told = conv3d("apply", volume(), tmp_path / "o.npy", "--spec", spec())
    assert told.code == 1
    assert not (tmp_path / "o.npy").exists()
