"""``conv3d bench``."""

from __future__ import annotations

import pytest
from schemas import validator

from conv3d_cli.bench import DEFAULT, GRID, PEERS, bench_schema
from conv3d_cli.bench.peers import Peer
from conv3d_cli.cli.bench import _cases
from conv3d_cli.engine import isa, pace

TINY = ("--case", "1->1 8^3 k3", "--rounds", 1, "--threads", 2)


def test_a_case_as_a_table(conv3d):
    told = conv3d("bench", *TINY, "--case", "4->4 6^3 k1 last", "--no-peers")
    assert (told.code, told.err) == (0, "")
    assert "1->1 8^3 k3, 2 threads: " in told.out
    assert "4->4 6^3 k1 last, 2 threads: " in told.out
    assert "conv3d reference" in told.out
    assert told.out.count(" *  ") == 2
    assert "within 15 % of the engine's fastest: " in told.out
    if isa.native() is not None:
        assert "GFLOP/s" in told.out.splitlines()[1]
        assert "% of the peak" in told.out


def test_a_case_as_json(conv3d):
    document = conv3d("bench", *TINY, "--no-peers", "--json").document
    validator(bench_schema()).validate(document)
    assert [row["case"] for row in document["rows"]] == ["1->1 8^3 k3"]
    assert document["limits"][0]["threads"] == 2
    assert list(document["versions"]) == ["conv3d"]


def test_the_schema_is_published(conv3d):
    schema = conv3d("info", "--schema", "bench").document
    assert not validator(schema).is_valid({})
    assert schema == bench_schema()


def test_a_loss_is_named(conv3d, monkeypatch):
    for name in list(PEERS):
        monkeypatch.delitem(PEERS, name)
    quick = Peer("Quick", "Other", "numpy", lambda case, x, kernel, threads: lambda: x, approximate="a test")
    odd = Peer("Odd", "Other", "numpy", lambda case, x, kernel, threads: lambda: x[..., 1:])
    monkeypatch.setitem(PEERS, "Quick", quick)
    monkeypatch.setitem(PEERS, "Odd", odd)
    monkeypatch.setitem(__import__("conv3d_cli.bench.peers").bench.peers.DISTRIBUTIONS, "numpy", ("numpy",))
    told = conv3d("bench", "--case", "1->1 32^3 box1", "--rounds", 2, "--threads", 1)
    assert told.code == 0
    lines = told.out.splitlines()
    assert any(line.startswith(" Quick ~ ") for line in lines)
    assert any(line.startswith("slower than Quick: 1->1 32^3 box1, 0.0") for line in lines)
    assert "slower than a peer by more than 5 %: 1 of 1 cases" in lines
    left = "left out: Odd of 1->1 32^3 box1: ValueError: shape (1, 1, 32, 32, 31), expected (1, 1, 32, 32, 32)"
    assert left in lines


def test_what_is_measured():
    assert _cases((), False) == DEFAULT
    assert _cases((), True) == GRID
    assert [case.name for case in _cases(("1->1 8^3 k3", "1->1  8^3 k3"), False)] == ["1->1 8^3 k3"]


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        (["--case", "1->1 8^3"], 2, "Error: --case: not a case: got '1->1 8^3' with this, expected for example "),
        (["--case", "1->1 8^3 k3", "--grid"], 2, "Error: --grid: goes without --case: got both, expected one of them"),
        (["--rounds", "0"], 2, "Error: Invalid value for '--rounds': 0 is not in the range x>=1."),
        (["--threads", "0"], 2, "Error: Invalid value for '--threads': 0 is not in the range x>=1."),
        (["more"], 2, "Error: Got unexpected extra argument (more)"),
    ],
)
def test_errors(conv3d, words, code, error):
    told = conv3d("bench", *words)
    assert (told.code, told.out) == (code, "")
    assert told.err.startswith(error)


def test_a_case_that_does_not_fit_into_memory(conv3d, monkeypatch):
    monkeypatch.setenv("CONV3D_MAX_MEMORY", "1K")
    told = conv3d("bench", *TINY, "--no-peers")
    assert (told.code, told.out) == (5, "")
    assert told.err.startswith("Error: memory: not enough for this convolution: got 1 KiB (CONV3D_MAX_MEMORY), ")


def test_a_calibration_is_kept_for_the_planner(conv3d, monkeypatch, tmp_path):
    monkeypatch.setenv("CONV3D_CACHE", str(tmp_path))
    told = conv3d("bench", "--calibrate", "--threads", 1)
    assert (told.code, told.err) == (0, "")
    assert told.out.startswith(f"{tmp_path / 'pace.json'}: {isa.active()}, 1 thread\n")
    assert pace.active(1).measured
    assert all(f" {kind} " in told.out for kind, _ in pace.active(1).multiples)
    document = conv3d("bench", "--calibrate", "--threads", 2, "--json").document
    assert (document["threads"], document["instruction_set"]) == (2, isa.active())
    assert document["multiples"] == dict(pace.active(2).multiples)
    assert "costs             measured " in conv3d("info").out


@pytest.mark.parametrize("more", [("--grid",), ("--case", "1->1 8^3 k3")])
def test_a_calibration_measures_no_case(conv3d, more):
    told = conv3d("bench", "--calibrate", *more)
    assert told.code == 2
    assert "--calibrate: goes without --grid and --case" in told.err
