"""The choice of an instruction set."""

from __future__ import annotations

import subprocess
import sys

import pytest
from support import compiled

from conv3d_cli.engine import isa
from conv3d_cli.errors import UsageError


@compiled
def test_the_best_instruction_set_is_active_and_the_plain_one_always_available():
    assert isa.available() == tuple(name for name in isa.KNOWN if name in isa.available())
    assert isa.available()[-1] == "generic"
    assert isa.active({}) == isa.active({"CONV3D_ISA": ""}) == isa.available()[0]
    assert isa.why_missing() == ""


@compiled
def test_the_variable_forces_each_that_runs():
    assert [isa.active({"CONV3D_ISA": name}) for name in isa.available()] == list(isa.available())


def test_an_unknown_name_is_refused_with_the_nearest_one():
    with pytest.raises(UsageError, match=r"^CONV3D_ISA: unknown instruction set: got 'x86-64-v33', expected") as error:
        isa.active({"CONV3D_ISA": "x86-64-v33"})
    assert str(error.value).endswith("did you mean 'x86-64-v3'?")


def test_a_known_name_that_cannot_run_is_refused(monkeypatch):
    monkeypatch.setattr(isa, "available", lambda: ("generic",))
    with pytest.raises(UsageError, match=r"cannot run it: got 'x86-64-v4', expected one of generic$"):
        isa.active({"CONV3D_ISA": "x86-64-v4"})


BLOCKED = """
import sys
sys.modules["conv3d_cli.engine._native"] = None
import numpy as np
from conv3d_cli.engine import direct, isa
from conv3d_cli.engine.problem import Problem
from conv3d_cli.errors import MethodError, UsageError
assert isa.native() is None and isa.available() == () and isa.active({}) == isa.NUMPY
problem, x = Problem((3, 3, 3), (1, 1, 1)), np.zeros((1, 1, 3, 3, 3), "f")
assert direct.seconds(problem, 1) == float("inf") and direct.scratch_bytes(problem, 1) == 0
try:
    isa.active({"CONV3D_ISA": "generic"})
except UsageError as error:
    print(error)
try:
    direct.run(problem, x, np.zeros((1, 1, 1, 1, 1), "f"), None, x.copy(), threads=1)
except MethodError as error:
    print(error)
"""


def test_without_kernels_everything_says_so():
    done = subprocess.run([sys.executable, "-W", "error", "-c", BLOCKED], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    usage, method = done.stdout.splitlines()
    assert usage.startswith("CONV3D_ISA: this machine or build cannot run it: got 'generic', expected one of none (")
    assert method.startswith("method: 'direct' cannot run: the native kernels were not built")
