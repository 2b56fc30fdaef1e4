"""The scripts that write the results of the whole grid."""

from __future__ import annotations

import importlib.util
import os
import sys

import nibabel as nib
import numpy as np
import pytest
from support import ROOT, compiled

from conv3d_cli.bench import GRID, Settings, bench_document, measure_case, parse_case
from conv3d_cli.bench.machine import Machine
from conv3d_cli.cli import main
from conv3d_cli.engine import Limits

MACHINE = Machine(1, "x86-64-v3", 1e11, 1e11, 2e10, 3e10)


def script(name, monkeypatch):
    """Import a module of the folder, which is not installed."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(ROOT)])
    found = importlib.util.find_spec(f"benchmarks.{name}")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def document():
    """A document with a row for each case of the grid, all with the figures of one small case, some changed."""
    small = measure_case(parse_case("4->4 8^3 k3"), MACHINE, Settings(Limits(1, 1 << 32), rounds=1))
    peer = {"best_ms": 9.0, "median_ms": 9.5, "calls": 2, "error": 1e-7, "approximate": None}
    rows = []
    for i, case in enumerate(GRID):
        from conv3d_cli.bench.grid import region_of

        changed = {"case": case.name, "region": region_of(case).name, "flops": case.flops, "bytes": case.bytes}
        peers = {"Some": {**peer, "library": "Some"}, "Many thing": {**peer, "library": "Many", "approximate": "a bit"}}
        row = {**small, **changed, "peers": peers, "fastest_peer": "Some", "ratio": 0.5 + i / 8, "peak_bytes": i << 20}
        rows.append({**row, "gflops": 1.0 + i})
    rows[0]["left_out"] = {"Some": "expected to take 9 s a call"}
    return bench_document([MACHINE], {"Some": "1.0", "Many": "2.0"}, rows)


def test_the_text_names_what_was_lost_and_has_every_case(document, monkeypatch):
    text = script("markdown", monkeypatch).markdown(document, ("ratios.svg",))
    assert "- Slower than a peer by more than 5 %: 4 of " in text
    assert f"  - **Lost**: {GRID[0].name} on 1 thread (" in text
    assert ") to Some: 0.50 of its speed." in text
    assert "![ratios](ratios.svg)" in text
    assert "9.00 (9.50) thing ~" in text
    assert f"- {GRID[0].name}, 1 thread: Some: expected to take 9 s a call" in text
    for case in GRID:
        assert text.count(f"| {case.name} | 1 |") == 2
    widths = {}
    for line in text.splitlines():
        if line.startswith("|"):
            widths.setdefault(line.count("|"), []).append(line)
    assert all(len(lines) > 2 for lines in widths.values()), "a row has another number of cells than its head"


@compiled
def test_the_pictures_are_drawn(document, monkeypatch, tmp_path):
    pytest.importorskip("matplotlib")
    plots = script("plots", monkeypatch)
    plots.draw(document, tmp_path)
    for name in plots.PLOTS:
        assert "<svg" in (tmp_path / name).read_text()[:600]


def test_an_interrupted_run_goes_on(document, monkeypatch, tmp_path):
    main = script("__main__", monkeypatch)
    path = tmp_path / "results.json"
    monkeypatch.setattr(main, "installed", dict)
    monkeypatch.setattr(main, "measure_machine", lambda threads: MACHINE)
    measured = []

    def measure(case, machine, settings):
        measured.append(case.name)
        if len(measured) == 3:
            raise KeyboardInterrupt
        return {**document["rows"][0], "case": case.name, "ratio": 2.0}

    monkeypatch.setattr(main, "measure_case", measure)
    pace = {"rounds": 1, "budget": 0.1, "longest": 1.0}
    cases = list(GRID[:5])
    with pytest.raises(KeyboardInterrupt):
        main.measured(cases, [1], pace, path, resume=False)
    done = main.measured(cases, [1], pace, path, resume=True)
    assert [row["case"] for row in done["rows"]] == [case.name for case in cases]
    assert measured == [case.name for case in (*cases[:3], *cases[2:])]
    monkeypatch.setattr(main, "installed", lambda: {"Other": "1"})
    with pytest.raises(SystemExit, match="was measured on another machine, with other versions"):
        main.measured(cases, [1], pace, path, resume=True)


def test_a_close_case_is_measured_again_for_longer(document, monkeypatch):
    main = script("__main__", monkeypatch)
    monkeypatch.setattr(main, "installed", dict)
    monkeypatch.setattr(main, "measure_machine", lambda threads: MACHINE)
    ratios, asked = iter([1.5, 1.1, 0.9, None]), []

    def measure(case, machine, settings):
        asked.append((case.name, settings.rounds, settings.budget))
        return {**document["rows"][0], "case": case.name, "ratio": next(ratios)}

    monkeypatch.setattr(main, "measure_case", measure)
    first, second, third = GRID[:3]
    pace = {"rounds": 3, "budget": 0.25, "longest": 1.0}
    done = main.measured([first, second, third], [1], pace, None, resume=False)
    once, again = (3, 0.25), (12, 1.0)
    assert asked == [(first.name, *once), (second.name, *once), (second.name, *again), (third.name, *once)]
    assert [row["ratio"] for row in done["rows"]] == [1.5, 0.9, None]


def test_whole_commands_are_timed_and_leave_their_outputs(monkeypatch, capsys, tmp_path):
    processes = script("processes", monkeypatch)
    kept = {}

    def timed(words, environment, target):
        assert main.run(words[1:]) == 0
        kept[environment["FSLOUTPUTTYPE"]] = nib.load(words[3]).get_fdata()
        assert str(target) == words[3]
        return processes.Run(0.25 * len(kept), 0.75 * len(kept), 3 << 20)

    monkeypatch.setattr(processes, "timed", timed)
    monkeypatch.setattr(processes, "is_here", lambda name, program: name == "conv3d")
    monkeypatch.setattr(sys, "argv", ["processes", str(ROOT / "sample_data" / "mni152_t1_2mm.nii.gz"), "--rounds", "1"])
    processes.main()
    told = capsys.readouterr()
    rows = [line for line in told.out.splitlines() if "conv3d |" in line]
    assert rows == ["| .nii | conv3d | 0.250 | 0.250 | 0.750 | 3 |", "| .nii.gz | conv3d | 0.500 | 0.500 | 1.500 | 3 |"]
    assert told.err == "not installed: niimath, mrfilter, SimpleITK, Python's start\n"
    assert np.array_equal(kept["NIFTI"], kept["NIFTI_GZ"])
    assert kept["NIFTI"].std() > 0


def test_a_command_is_timed_with_its_memory(monkeypatch, tmp_path):
    processes = script("processes", monkeypatch)
    program = "import time; held = bytes(64 << 20); time.sleep(0.2)"
    run = processes.timed([sys.executable, "-c", program], dict(os.environ), tmp_path / "none")
    assert run.safe >= run.seconds > 0.2
    assert run.peak > 64 << 20
    with pytest.raises(SystemExit, match="ended with 3"):
        processes.timed([sys.executable, "-c", "raise SystemExit(3)"], dict(os.environ), tmp_path / "none")
