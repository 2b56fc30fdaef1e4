"""What a run tells, on standard error and in its log file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest


def test_quiet_and_the_log_file(conv3d, spec, volume, tmp_path):
    told = conv3d("apply", volume(), tmp_path / "o.npy", "--spec", spec(), "-q", "--log-file", tmp_path / "log")
    assert (told.code, told.out, told.err) == (0, "", "")
    assert "WARNING" in (tmp_path / "log").read_text()


def test_the_log_file_tells_errors_too_and_once(conv3d, spec, volume, tmp_path):
    words = ["apply", volume(), volume(name="o.npy"), "--spec", spec(), "--log-file", tmp_path / "log"]
    told = conv3d(*words)
    assert told.err.count("exists already") == 1
    assert (tmp_path / "log").read_text().count("ERROR") == 1
    assert "o.npy': exists already" in (tmp_path / "log").read_text()


@pytest.mark.parametrize("name", ["in.npy", "o.npy", "spec.yaml", "w.npz", "report.json"])
def test_the_log_never_goes_into_another_file_of_the_run(conv3d, spec, volume, tmp_path, name):
    words = ["apply", volume(), tmp_path / "o.npy", "--spec", spec(), "--report", tmp_path / "report.json"]
    assert conv3d("weights", "init", tmp_path / "w.npz", "--spec", spec()).code == 0
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    told = conv3d(*words, "--weights", tmp_path / "w.npz", "--log-file", tmp_path / "." / name)
    assert told.code == 4
    assert "is the same file, which this run needs" in told.err
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full device on this system")
def test_a_log_that_cannot_be_written_takes_nothing_with_it(conv3d, spec, volume, tmp_path):
    told = conv3d("apply", volume(), tmp_path / "o.npy", "--spec", spec(), "-q", "--log-file", "/dev/full")
    assert told.code == 4
    assert told.err == "Error: '/dev/full': the log cannot be written: No space left on device\n"
    assert np.load(tmp_path / "o.npy").shape == (8, 9, 10)


@pytest.mark.parametrize("option", ["--report", "--log-file"])
def test_what_is_no_stream(conv3d, spec, volume, tmp_path, monkeypatch, option):
    monkeypatch.chdir(tmp_path)
    told = conv3d("apply", volume(), "o.npy", "--spec", spec(), option, "-")
    assert told.code == 2
    assert f"{option}: got '-', expected the name of a file" in told.err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.npy", "spec.yaml"]


def test_twice_verbose_tells_what_each_method_would_cost(conv3d, spec, volume, tmp_path):
    words = ["apply", volume(), tmp_path / "o.npy", "--spec", spec()]
    assert "reference" not in conv3d(*words, "-v").err
    told = conv3d(*words, "-vv", "--overwrite").err
    assert "layer 'conv3d': reference (shifted sums in float64): predicted " in told
