"""What all tests share."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent

sys.path.insert(0, str(Path(__file__).parent))


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
