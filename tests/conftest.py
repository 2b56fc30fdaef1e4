"""What all tests share."""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import conv3d_cli
from conv3d_cli.cli.stopping import SIGNALS
from conv3d_cli.engine.kept import KERNELS

# Processes that tests start use the same package as the tests do: the installed one, not the folder they start in.
os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(conv3d_cli.__file__).parent.parent), str(Path(__file__).parent)])
os.environ["PYTHONSAFEPATH"] = "1"
for variable in (
    "CONV3D_ISA",
    "CONV3D_MAX_MEMORY",
    "CONV3D_SEED",
    "CONV3D_THREADS",
    "SLURM_CPUS_PER_TASK",
    "PYTHONUNBUFFERED",
):
    os.environ.pop(variable, None)


@pytest.fixture(autouse=True)
def away_from_the_sources(monkeypatch, tmp_path_factory):
    """Run elsewhere: before Python 3.11 a process that a test starts would import what lies in its folder."""
    monkeypatch.chdir(tmp_path_factory.getbasetemp())


@pytest.fixture(autouse=True)
def no_keras_json(monkeypatch, tmp_path_factory):
    """Keep the settings of the person who runs the tests out of them."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path_factory.getbasetemp()))


@pytest.fixture(autouse=True)
def no_calibration(monkeypatch, tmp_path_factory):
    """Plan with the shipped costs, whatever was measured on this machine before."""
    monkeypatch.setenv("CONV3D_CACHE", str(tmp_path_factory.getbasetemp() / "no-cache"))


@pytest.fixture(autouse=True)
def nothing_kept():
    """Let every test make its own of a kernel, whatever the one before it left."""
    KERNELS.clear()


@pytest.fixture(autouse=True)
def handlers_come_back():
    """Hear the signals even where whoever runs the tests ignores them, and undo what a command's end leaves."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number in SIGNALS:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@dataclass(frozen=True)
class Told:
    """What a command left: its exit code, and what it said on both streams."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def conv3d(capsys, monkeypatch):
    """Return a function that runs the command line in this process."""
    from conv3d_cli.cli.main import run

    def call(*words: object) -> Told:
        texts = [str(word) for word in words]
        monkeypatch.setattr(sys, "argv", ["conv3d", *texts])
        capsys.readouterr()
        code = run(texts)
        told = capsys.readouterr()
        return Told(code, told.out, told.err)

    return call


@pytest.fixture
def spec(tmp_path):
    """Return a function that writes a spec and returns its path; by default one 3^3 layer with its own seed."""

    def write(text: str = "filters: 1\nkernel_size: 3\npadding: same\n", name: str = "spec.yaml") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


@pytest.fixture
def volume(tmp_path):
    """Return a function that writes a random .npy volume and returns its path."""

    def write(*shape: int, name: str = "in.npy", dtype: str = "float32") -> Path:
        path = tmp_path / name
        np.save(path, (100 * np.random.default_rng(0).standard_normal(shape or (8, 9, 10))).astype(dtype))
        return path

    return write
