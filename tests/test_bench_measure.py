"""How the benchmark measures: turns, the machine, memory, and rows that fit the schema."""

from __future__ import annotations

import re
import time

import numpy as np
import pytest
from schemas import validator
from support import compiled

from conv3d_cli.bench import Settings, bench_document, bench_schema, measure_case, parse_case
from conv3d_cli.bench import run as running
from conv3d_cli.bench.machine import Machine, measure_machine
from conv3d_cli.bench.memory import peak_beside
from conv3d_cli.bench.peers import PEERS, Peer
from conv3d_cli.bench.turns import Wrong, take_turns
from conv3d_cli.bench.verdicts import at_moonshot, at_target, fastest_method, losses, well_chosen
from conv3d_cli.engine import Limits, isa
from conv3d_cli.errors import Conv3dError, OverLimit

LIMITS = Limits(2, 1 << 32)
UNKNOWN = Machine(2, "numpy")
NO_PAUSE = lambda name: 0.0  # noqa: E731


def judged(name, result):
    if result == "bad":
        raise Wrong("bad")
    return 0.5 if result == "off" else 0.1


def test_ways_take_turns_and_each_result_is_judged():
    order = []
    results = iter(["good", "off", "good", "good"])
    calls = {"a": lambda: order.append("a") or next(results), "b": lambda: order.append("b") or "good"}
    times, failed = take_turns(calls, judged, 3, 10.0, NO_PAUSE)
    assert order[:2] == ["a", "b"]
    assert all(sorted(order[i : i + 2]) == ["a", "b"] for i in range(2, 8, 2))
    assert not failed
    assert [len(times[name].seconds) for name in "ab"] == [3, 3]  # the first call only warms up
    assert [times[name].error for name in "ab"] == [0.5, 0.1]
    document = times["a"].document()
    assert document["calls"] == 3
    assert document["best_ms"] <= document["median_ms"]


def test_no_way_always_follows_the_same():
    order = []
    take_turns({name: lambda name=name: order.append(name) for name in "abc"}, judged, 8, 10.0, NO_PAUSE)
    assert {order[i - 1] for i in range(4, len(order)) if order[i] == "a"} >= {"b", "c"}
    again = order.copy()
    order.clear()
    take_turns({name: lambda name=name: order.append(name) for name in "abc"}, judged, 8, 10.0, NO_PAUSE)
    assert order == again


def test_a_failure_costs_only_its_own_way():
    def broken():
        raise RuntimeError("no memory")

    times, failed = take_turns({"a": broken, "b": lambda: "bad", "c": lambda: "good"}, judged, 2, 1.0, NO_PAUSE)
    assert set(times) == {"c"}
    assert {name: type(error) for name, error in failed.items()} == {"a": RuntimeError, "b": Wrong}


def test_slow_ways_are_called_less_often():
    calls = {"fast": lambda: time.sleep(0.001), "slow": lambda: time.sleep(0.02), "slowest": lambda: time.sleep(0.4)}
    times, _ = take_turns(calls, judged, 6, 0.05, NO_PAUSE)
    assert [len(times[name].seconds) for name in calls] == [6, 2, 1]


@compiled
@pytest.mark.parametrize("name", isa.available() or ["none"])
def test_the_kernels_do_what_they_say(name):
    native = isa.native()
    one = native.machine_multiply_adds(name, 1)
    assert one > 0
    assert native.machine_multiply_adds(name, 7) == 7 * one
    for count in (0, 1, 15, 16, 129, 1000):
        source, target = np.arange(1, count + 1, dtype=np.float32), np.full(count + 32, -1, np.float32)
        assert native.machine_read(name, source) == source.sum(dtype=np.float64)
        start = (-target.ctypes.data % 64) // 4
        native.machine_copy(name, source, target[start : start + count])
        np.testing.assert_array_equal(target[start : start + count], source)
        assert (np.delete(target, slice(start, start + count)) == -1).all()
    with pytest.raises(ValueError, match="must begin a line of cache"):
        native.machine_copy(name, source, target[start + 1 : start + 1001])
    with pytest.raises(ValueError, match="must have the same size"):
        native.machine_copy(name, source[1:], target[start : start + 1000])


@compiled
def test_the_machine_is_measured():
    machine = measure_machine(2)
    assert machine.instructions == isa.active()
    assert machine.flops > 0.5 * machine.flops_of_one > 1e8
    assert machine.bandwidth == max(machine.read, machine.copy) > 1e8


def test_a_build_without_kernels_leaves_the_machine_unknown(monkeypatch):
    monkeypatch.setattr(isa, "_load", lambda: (None, "no C++ compiler was found"))
    assert measure_machine(1) == Machine(1, "numpy")
    row = measure_case(parse_case("1->1 6^3 k3"), measure_machine(1), Settings(LIMITS, rounds=1))
    assert row["method"] in ("fft", "reference")
    assert (row["peak_share"], row["bandwidth_share"], row["ratio"]) == (None, None, None)
    assert at_moonshot(row) is None


@pytest.mark.parametrize("text", ["1->1 8^3 k3", "4->4 8^3 k3 last", "1->1 12^3 gaussian1", "4->4 6^3 k1"])
def test_a_row_has_every_method_and_fits_the_schema(text):
    row = measure_case(parse_case(text), UNKNOWN, Settings(LIMITS, rounds=1))
    validator(bench_schema()).validate(bench_document([UNKNOWN], {}, [row]))
    assert row["method"] in row["methods"]
    assert "reference" in row["methods"]
    assert row["peers"] == {}
    assert all(method["error"] < 2e-5 for method in row["methods"].values())


def peer_named(monkeypatch, name, **changes):
    peer = Peer(name, "Other", "numpy", **changes)
    monkeypatch.setitem(PEERS, name, peer)
    return Settings(LIMITS, rounds=1, libraries=frozenset({"Other"}))


def test_a_peer_is_compared(monkeypatch):
    settings = peer_named(monkeypatch, "slow", prepare=lambda case, x, kernel, threads: lambda: time.sleep(0.05) or x)
    row = measure_case(parse_case("1->1 6^3 box1"), UNKNOWN, settings)
    assert row["fastest_peer"] == "slow"
    assert row["ratio"] == pytest.approx(
        row["peers"]["slow"]["best_ms"] / row["methods"][row["method"]]["best_ms"], 1e-2
    )
    assert row["ratio"] > 1
    assert losses([row]) == []


def fails(case, x, kernel, threads):
    raise RuntimeError("cannot\nat all")


@pytest.mark.parametrize(
    ("prepare", "direct", "reason"),
    [
        (fails, False, "RuntimeError: cannot"),
        (lambda case, x, kernel, threads: lambda: x + 1, False, "Wrong: its result is off by"),
        (lambda case, x, kernel, threads: lambda: x[..., 1:], False, r"ValueError: shape \(1, 1, 6, 6, 5\), expected"),
        (lambda case, x, kernel, threads: lambda: time.sleep(0.3) or x, True, "expected to take"),
    ],
)
def test_a_peer_is_left_out_and_it_is_said_why(monkeypatch, prepare, direct, reason):
    monkeypatch.setattr(running, "MANY", 0)
    monkeypatch.setattr(running, "SMALL", (2, 2))
    settings = peer_named(monkeypatch, "other", prepare=prepare, direct=direct)
    row = measure_case(parse_case("1->1 6^3 box1"), UNKNOWN, settings)
    assert row["peers"] == {}
    assert row["ratio"] is None
    assert re.match(reason, row["left_out"]["other"])
    assert "\n" not in row["left_out"]["other"]


def test_a_peer_that_has_no_such_case_is_not_spoken_of(monkeypatch):
    settings = peer_named(monkeypatch, "other", prepare=lambda case, x, kernel, threads: None, direct=True)
    monkeypatch.setattr(running, "MANY", 0)
    row = measure_case(parse_case("1->1 6^3 k3"), UNKNOWN, settings)
    assert "other" not in row["left_out"]


def test_a_wrong_result_of_the_engine_ends_the_measurement(monkeypatch):
    monkeypatch.setattr(running, "ACCURACIES", {"default": type("Accuracy", (), {"error": 1e-12})})
    with pytest.raises(
        Conv3dError, match=r"^1->1 8\^3 k3: method '\w+' is wrong: error \d\.\d+e-\d+, expected at most"
    ):
        measure_case(parse_case("1->1 8^3 k3"), UNKNOWN, Settings(LIMITS, rounds=1))


def test_a_case_that_does_not_fit_is_an_error():
    with pytest.raises(OverLimit):
        measure_case(parse_case("1->1 8^3 k3"), UNKNOWN, Settings(Limits(1, 100), rounds=1))


@pytest.mark.parametrize("text", ["1->1 40^3 k3", "4->4 16^3 k3 last"])
def test_memory_is_measured_in_another_process(text):
    peak = peak_beside(text, 2)
    assert 0 <= peak < 64 << 20


def test_a_process_that_fails_is_told_of():
    with pytest.raises(Conv3dError, match=r"^memory: 'no case' could not be measured: .*not a case"):
        peak_beside("no case", 1)


def test_verdicts():
    def row(region, ratio, fft=10.0, peak=0.2, bandwidth=0.5):
        methods = {"direct": {"best_ms": 10.0}, "fft": {"best_ms": fft}}
        shares = {"peak_share": peak, "bandwidth_share": bandwidth}
        return {"region": region, "ratio": ratio, "method": "direct", "methods": methods, **shares}

    first, second, separable = "1->1, 3^3 to 7^3", "1->1, 9^3 to 31^3", "separable"
    assert losses([row(first, 0.96), row(first, 0.9), row(first, 0.5), row(None, None)]) == [
        row(first, 0.5),
        row(first, 0.9),
    ]
    assert (fastest_method(row(first, 1, fft=8.0)), well_chosen(row(first, 1, fft=8.0))) == ("fft", False)
    assert well_chosen(row(first, 1, fft=9.0))
    assert [at_target(row(*args)) for args in ((first, 4), (first, 3.9), (None, 9), (first, None))] == [
        True,
        False,
        None,
        None,
    ]
    assert [at_moonshot(row(second, ratio)) for ratio in (6, 5.9, None)] == [True, False, None]
    assert at_moonshot(row(first, 1, peak=0.8))
    assert not at_moonshot(row(first, 9, peak=0.7))
    assert not at_moonshot(row(separable, 9, peak=0.8))
    assert at_moonshot(row(separable, 1, bandwidth=0.7))
