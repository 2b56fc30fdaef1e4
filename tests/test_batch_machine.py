"""A batch that is added to, damaged, killed, changed and run again, against a model of what must be there."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from functools import cache
from pathlib import Path

import pytest
from batches import bad, killed_after, leftovers, locally, nifti
from hypothesis import HealthCheck, Phase, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from conv3d_cli.cli.main import run

SOME = 40
EXAMPLES = int(os.environ.get("CONV3D_TEST_EXAMPLES", SOME))
"""More than some take their time: then they are others each time."""

FILTERS = ("gaussian:sigma=1vox", "laplacian", "gaussian:sigma=2vox")
NAMES = st.sampled_from(["a", "b", "c"])
SEEDS = st.integers(0, 2)


@cache
def right(name: str, seed: int, text: str) -> bytes:
    """The output of apply itself, which holds the name of its input."""
    folder = Path(tempfile.mkdtemp())
    try:
        source = nifti(folder / f"{name}.nii", seed)
        words = ["apply", str(source), str(folder / "out.nii"), "--filter", text, "-q", "--threads", "1"]
        assert run(words) == 0
        return (folder / "out.nii").read_bytes()
    finally:
        shutil.rmtree(folder)


class Batches(RuleBasedStateMachine):
    """``inputs`` are the seeds of the volumes, None for one that is none; ``made`` is what an output was made from,
    and what is not in it has to be made; ``damaged`` are outputs that somebody has written to.
    """

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.source, self.out = self.folder / "in", self.folder / "out"
        self.source.mkdir()
        self.filter = FILTERS[0]
        self.inputs: dict[str, int | None] = {}
        self.made: dict[str, tuple[int, str]] = {}
        self.damaged: set[str] = set()

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    @initialize(seeds=st.tuples(SEEDS, SEEDS))
    def begin(self, seeds):
        for name, seed in zip("ab", seeds, strict=True):
            self.add(name, seed)

    @rule(name=NAMES, seed=SEEDS)
    def add(self, name, seed):
        nifti(self.source / f"{name}.nii", seed)
        self.inputs[name] = seed

    @rule(name=NAMES, kind=st.integers(0, 2))
    def add_what_is_no_volume(self, name, kind):
        bad(self.source / f"{name}.nii", kind)
        self.inputs[name] = None

    @precondition(lambda self: self.inputs)
    @rule(data=st.data())
    def take_an_input_away(self, data):
        name = data.draw(st.sampled_from(sorted(self.inputs)))
        (self.source / f"{name}.nii").unlink()
        del self.inputs[name]

    @rule(text=st.sampled_from(FILTERS))
    def change_the_filter(self, text):
        self.filter = text

    @precondition(lambda self: self.outputs())
    @rule(data=st.data(), at=st.integers(0, 10_000))
    def damage_an_output(self, data, at):
        name = data.draw(st.sampled_from(self.outputs()))
        path = self.out / f"{name}.nii"
        content = bytearray(path.read_bytes())
        at %= len(content)
        content[at] = (content[at] + 1) % 256  # done twice it is still another one
        path.write_bytes(content)
        self.damaged.add(name)
        self.made.pop(name, None)

    @precondition(lambda self: self.outputs())
    @rule(data=st.data())
    def delete_an_output(self, data):
        name = data.draw(st.sampled_from(self.outputs()))
        (self.out / f"{name}.nii").unlink()
        self.damaged.discard(name)
        self.made.pop(name, None)

    @precondition(lambda self: self.records())
    @rule(data=st.data(), cut=st.integers(0, 200))
    def damage_a_record(self, data, cut):
        path = data.draw(st.sampled_from(self.records()))
        path.write_bytes(path.read_bytes()[:cut])
        self.made.pop(path.name.split(".")[0], None)

    @rule(name=NAMES)
    def touch_an_input(self, name):
        path = self.source / f"{name}.nii"
        if path.exists():
            path.write_bytes(path.read_bytes())

    @precondition(lambda self: self.inputs)
    @rule(steps=st.integers(0, 120))
    def kill(self, steps):
        with killed_after(steps) as killed:
            self.batch()
            event("killed" if killed() else "ended before")
        self.after_a_kill()

    @precondition(lambda self: self.inputs)
    @rule(verify=st.booleans())
    def run_again(self, verify):
        code = self.batch(*(["--verify"] if verify else []))
        document = json.loads((self.out / "summary.json").read_text())
        wanted = {name: (seed, self.filter) for name, seed in self.inputs.items() if seed is not None}
        failed = {name for name, seed in self.inputs.items() if seed is None}
        assert code == (6 if failed else 0)
        states = {Path(item["source"]).stem: item["state"] for item in document["items"]}
        for name, made in wanted.items():
            assert states[name] == ("skipped" if self.made.get(name) == made else "done"), name
            assert (self.out / f"{name}.nii").read_bytes() == right(name, *made)
        assert {name for name, state in states.items() if state == "failed"} == failed
        assert not leftovers(self.folder)
        self.made.update(wanted)
        self.damaged -= set(wanted)
        for name in failed:
            self.made.pop(name, None)

    @invariant()
    def every_output_is_a_whole_one(self):
        for name in self.outputs():
            if name not in self.damaged:
                content = (self.out / f"{name}.nii").read_bytes()
                assert content in {right(name, seed, text) for seed in range(3) for text in FILTERS}

    @invariant()
    def what_a_record_calls_done_is(self):
        for name in self.made:
            assert (self.out / f"{name}.nii").read_bytes() == right(name, *self.made[name])

    def after_a_kill(self) -> None:
        """Take from the records what is done: that must be right, and must not be done again."""
        self.made.clear()
        for path in self.records():
            name = path.name.split(".")[0]
            try:
                record = json.loads(path.read_text())
            except ValueError:
                continue
            output = self.out / f"{name}.nii"
            if record["state"] == "done" and name not in self.damaged and output.exists():
                text = json.loads(record["made_from"]["option --filter"])[0]
                seeds = [seed for seed in range(3) if right(name, seed, text) == output.read_bytes()]
                assert seeds, name
                self.made[name] = (seeds[0], text)

    def outputs(self) -> list[str]:
        return sorted(path.stem for path in self.out.glob("*.nii"))

    def records(self) -> list[Path]:
        return sorted((self.out / ".conv3d" / "records").glob("*.json"))

    def batch(self, *more: str):
        kept = {
            name: (self.out / f"{name}.nii").stat() for name, made in self.made.items() if self.wanted(name) == made
        }
        words = ["batch", str(self.source), "--out-dir", str(self.out), "--filter", self.filter, "-q", *more]
        with locally():
            sys.argv[:] = ["conv3d", *words]
            code = run([*words, "--threads", "1"])
        for name, before in kept.items():
            now = (self.out / f"{name}.nii").stat()
            assert (now.st_ino, now.st_mtime_ns) == (before.st_ino, before.st_mtime_ns), name
        return code

    def wanted(self, name: str) -> tuple[int, str] | None:
        seed = self.inputs.get(name)
        return None if seed is None else (seed, self.filter)


@pytest.fixture(autouse=True)
def as_before(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["conv3d"])


TestBatches = Batches.TestCase
QUICK = (Phase.explicit, Phase.generate)
"""To make a failure small takes minutes; whoever looks into one asks for more examples than some."""
TestBatches.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=15,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=EXAMPLES == SOME,
    phases=QUICK if EXAMPLES == SOME else tuple(Phase),
)
