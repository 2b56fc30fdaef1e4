"""What a run tells, on standard error and in its log file."""

from __future__ import annotations

import io
import logging
import re
from pathlib import Path

import numpy as np
import pytest

from conv3d_cli import telling
from conv3d_cli.cli import talk


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


def test_loudness(conv3d, spec, tmp_path):
    np.save(tmp_path / "in.npy", np.ones((5, 6, 7), ">i2"))
    note, warning = "the byte order is big-endian", "Warning: "
    words = ["apply", tmp_path / "in.npy", tmp_path / "o.npy", "--overwrite", "--spec", spec()]
    for options, noted, warned in (([], False, True), (["-v"], True, True), (["-q"], False, False)):
        told = conv3d(*words, *options, "--log-file", tmp_path / "log").err
        assert (note in told, warning in told) == (noted, warned)
    assert not re.search(f"^Info.*{note}", told)
    log = (tmp_path / "log").read_text().splitlines()
    assert sum(note in line for line in log) == 3
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", line) for line in log)


def test_very_loud_is_no_more_than_twice_loud(conv3d, spec, volume, tmp_path):
    assert conv3d("apply", volume(), tmp_path / "o.npy", "--spec", spec(), "-vvvvv").code == 0


def test_a_plan_talks_as_a_run_does(conv3d, spec, volume, tmp_path):
    words = ["plan", volume(), "--spec", spec(), "--log-file", tmp_path / "log"]
    assert "no weights are given" in conv3d(*words).err
    assert conv3d(*words, "-q").err == ""
    assert (tmp_path / "log").read_text().count("no weights are given") == 2


def test_a_log_that_cannot_be_opened_is_an_output_that_cannot(conv3d, spec, volume, tmp_path):
    told = conv3d("plan", volume(), "--spec", spec(), "--log-file", tmp_path / "none" / "log")
    assert (told.code, told.out) == (4, "")
    assert "cannot be opened: No such file or directory" in told.err


def test_nothing_listens_once_the_command_has_ended(conv3d, spec, volume, tmp_path):
    logger = logging.getLogger("conv3d")
    before = list(logger.handlers)
    conv3d("apply", volume(), tmp_path / "o.npy", "--spec", spec(), "--log-file", tmp_path / "log")
    assert logger.handlers == before
    assert conv3d("apply", "none.npy", tmp_path / "p.npy", "--spec", spec()).code == 3
    assert logger.handlers == before


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(("seconds", "quiet"), [(0.5, False), (100, True)])
@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_short_or_quiet_work_shows_no_progress(monkeypatch, stream, seconds, quiet):
    monkeypatch.setattr("sys.stderr", stream())
    with talk.progress("convolving", seconds, quiet) as tick:
        assert tick is None


def test_progress_without_a_terminal_is_a_rare_line(monkeypatch, capsys):
    clock = iter([0, 29, 30, 59, 60, 61])
    monkeypatch.setattr(talk, "monotonic", lambda: next(clock))
    with talk.progress("convolving", 100, False) as tick:
        tick(0.1)  # at 29 s
        tick(0.25)  # at 30 s, told at 59 s
        tick(0.5)  # at 60 s: a second after
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "convolving: 25%\n")


def test_progress_on_a_terminal_is_a_bar(monkeypatch):
    from rich.progress import Progress

    stream, heard = Terminal(), []
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setattr(Progress, "update", lambda self, task, **more: heard.append(more))
    with talk.progress("convolving", 100, False) as tick:
        tick(0.25)
    assert heard == [{"completed": 0.25}]
    assert "convolving" in stream.getvalue()


def test_a_run_tells_its_progress(conv3d, spec, volume, tmp_path, monkeypatch):
    monkeypatch.setattr(talk, "LONG_SECONDS", 0.0)
    monkeypatch.setattr(talk, "PERCENT_LINE_SECONDS", 0.0)
    words = ["apply", volume(), tmp_path / "o.npy", "--spec", spec()]
    assert "convolving: 100%\n" in conv3d(*words).err
    assert "convolving" not in conv3d(*words, "--overwrite", "-q").err


def test_what_listens_is_set_up_for_the_first_line_that_it_hears_and_no_sooner():
    happened = []

    def start():
        happened.append("start")
        return lambda: happened.append("end")

    log = telling.Log("conv3d.test")
    with telling.heard(telling.WARNING, start):
        log.info("not heard")
        assert happened == []
        log.warning("heard")
        log.warning("heard too")
        assert happened == ["start"]
    assert happened == ["start", "end"]
    with telling.heard(telling.NOTHING, start):
        log.error("not heard")
    assert happened == ["start", "end"]


def test_the_levels_are_those_of_the_library():
    for name in ("DEBUG", "INFO", "WARNING", "ERROR"):
        assert getattr(telling, name) == getattr(logging, name)
