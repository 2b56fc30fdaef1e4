"""The pace of a machine: measured, kept, applied by the planner, and done without where it cannot be used."""

from __future__ import annotations

import json
import logging

import pytest
from support import compiled

from conv3d_cli import userfiles
from conv3d_cli.engine import Limits, Problem, choose, isa, pace
from conv3d_cli.engine.calibration import calibrate
from conv3d_cli.engine.pace import SHIPPED, Pace
from conv3d_cli.errors import OutputError

CUBE = Problem((32, 32, 32), (3, 3, 3), padding=((1, 1),) * 3, channels=16, filters=16)
ROOM = Limits(threads=2, memory=1 << 33)
MEASURED = Pace((("direct many", 0.5), ("fft compiled many", 8.0), ("reference many", 2.0)), "2026-01-31")


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    folder = tmp_path / "cache"
    monkeypatch.setenv("CONV3D_CACHE", str(folder))
    return folder


def seconds(method: str) -> float:
    return min(c.seconds for c in choose(CUBE, ROOM).candidates if c.method == method)


def test_without_a_calibration_the_shipped_costs_hold():
    assert pace.active(2) == SHIPPED
    assert pace.active(2).of("direct many") == 1.0


def test_what_is_kept_multiplies_the_predictions_of_its_kind():
    before = seconds("reference")
    pace.keep(MEASURED, threads=2)
    assert pace.active(2) == MEASURED
    assert seconds("reference") == pytest.approx(2 * before)


def test_it_holds_for_its_number_of_threads_alone():
    pace.keep(MEASURED, threads=3)
    assert pace.active(2) == SHIPPED
    pace.keep(SHIPPED_TODAY := Pace((), "2026-02-01"), threads=2)
    assert (pace.active(2), pace.active(3)) == (SHIPPED_TODAY, MEASURED)


@compiled
def test_the_planner_takes_what_is_faster_here():
    shipped = choose(CUBE, ROOM)
    slow = Pace(tuple((f"{way} many", 16.0) for way in {c.way for c in shipped.candidates} - {"direct"}), "2026-01-31")
    pace.keep(slow, threads=2)
    assert shipped.method != "direct"
    assert choose(CUBE, ROOM).method == "direct"


def test_another_build_of_the_kernels_is_another_machine(monkeypatch):
    pace.keep(MEASURED, threads=2)
    monkeypatch.setattr(userfiles, "stamp", lambda path: "another build")
    monkeypatch.setattr(pace, "__version__", "another version")
    pace._kept.cache_clear()
    assert pace.active(2) == SHIPPED


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"version": 2, "machines": {}}',
        '{"version": 1, "machines": []}',
        '{"version": 1, "machines": {"a 2": {"measured": "2026-01-31", "multiples": {"direct one": 1e9}}}}',
        '{"version": 1, "machines": {"a 2": {"measured": "2026-01-31", "multiples": {"direct one": "2"}}}}',
        '{"version": 1, "machines": {"a 2": {"measured": "2026-01-31", "multiples": {"direct one": NaN}}}}',
        '{"version": 1, "machines": {"a 2": {"multiples": {}}}}',
        "[" * 100_000,
    ],
)
def test_a_damaged_file_is_told_of_and_done_without(cache, caplog, text):
    cache.mkdir()
    (cache / pace.FILE).write_text(text)
    caplog.set_level(logging.WARNING, "conv3d")
    assert pace.active(2) == SHIPPED
    assert "pace.json': is damaged" in caplog.text
    assert "the shipped costs are used" in caplog.text
    pace.keep(MEASURED, threads=2)
    assert pace.active(2) == MEASURED


def test_a_file_that_cannot_be_read_is_told_of(cache, caplog):
    (cache / pace.FILE).mkdir(parents=True)
    caplog.set_level(logging.WARNING, "conv3d")
    assert pace.active(2) == SHIPPED
    assert "pace.json': cannot be read: Is a directory" in caplog.text


def test_a_folder_that_cannot_be_made_is_an_error(cache):
    cache.write_text("a file")
    with pytest.raises(OutputError, match="cannot be created: File exists"):
        pace.keep(MEASURED, threads=2)


def test_the_file_names_its_version(cache):
    assert pace.keep(MEASURED, threads=2) == str(cache / "pace.json")
    document = json.loads((cache / "pace.json").read_text())
    assert document["version"] == 1
    assert [entry["multiples"]["direct many"] for entry in document["machines"].values()] == [0.5]


def test_a_calibration_measures_the_ways_that_there_are():
    measured = calibrate(1, seconds=60.0)
    assert measured.measured
    kinds = {kind for kind, _ in measured.multiples}
    ways = {"direct", "pointwise", "separable", "winograd", "fft compiled"} if isa.native() else {"reference"}
    assert ways <= {kind.rpartition(" ")[0] for kind in kinds}
    assert all(1 / pace.SLOWEST <= multiple <= pace.SLOWEST for _, multiple in measured.multiples)


def test_a_calibration_without_time_keeps_the_shipped_costs():
    assert calibrate(1, seconds=0.0).multiples == ()
