"""The README's commands run as they stand, and what it shows of their output is what they print."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from support import ROOT

from conv3d_cli.engine import isa

README = (ROOT / "README.md").read_text(encoding="utf-8")
FENCES = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
SHELL = [line for kind, text in FENCES if kind == "sh" for line in text.splitlines()]
BLOCKS = [text for kind, text in FENCES if kind == "sh" and text.startswith("conv3d")]
SHOWN = [text for kind, text in FENCES if kind == "" and text.startswith("$ ")]
[TYPO] = [text for kind, text in FENCES if kind == "yaml" and "kernal_size" in text]

# Times, memory and what follows from them differ from machine to machine, and so does the instruction set.
UNSTEADY = re.compile(r"\d+(\.\d+)? (ms|s|[KMG]iB)\b|\d+(\.\d+)?x as fast|\d+ threads|x86-64-v\d|generic| {2,}|─+")
# Which method is the fastest may differ as well; in a row of the table and in a reason its time is all that follows.
METHOD = re.compile(r"\b(direct|pointwise|separable|winograd|toom|fft|reference)\b.*")


@pytest.fixture
def copy(tmp_path, monkeypatch):
    for folder in ("sample_data", "configs"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    (tmp_path / "typo.yaml").write_text(TYPO)
    launcher = tmp_path / "bin" / "conv3d"
    launcher.parent.mkdir()
    launcher.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m conv3d_cli "$@"\n')
    launcher.chmod(0o755)
    monkeypatch.setenv("PATH", str(launcher.parent), prepend=":")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def shell(line: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False)


def steady(text: str) -> list[str]:
    return [" ".join(UNSTEADY.sub(" ", METHOD.sub("", line)).split()) for line in text.strip().splitlines()]


def test_the_first_command_prints_what_is_shown(copy):
    line = next(line for line in SHELL if "edges.json" in line)
    done = shell(line.removeprefix("pip install . && "))
    assert done.returncode == 0, done.stderr
    assert (copy / "edges.nii.gz").exists()
    assert (copy / "edges.json").exists()
    if isa.native() is not None:
        shown = next(text for kind, text in FENCES if kind == "" and text.startswith("input"))
        assert steady(done.stdout) == steady(shown)


@pytest.mark.parametrize("commands", BLOCKS, ids=lambda text: text.splitlines()[0])
def test_commands_run_one_after_the_other(copy, commands):
    for line in commands.splitlines():
        done = shell(line)
        assert done.returncode == 0, (line, done.stderr)


@pytest.mark.skipif(isa.native() is None, reason="the README shows the compiled engine")
@pytest.mark.parametrize("shown", SHOWN, ids=lambda text: text.splitlines()[0])
def test_what_is_shown_is_what_is_printed(copy, shown):
    line, _, expected = shown.partition("\n")
    done = shell(line.removeprefix("$ "))
    assert steady(done.stdout + done.stderr) == steady(expected)


def test_the_python_example(monkeypatch):
    monkeypatch.chdir(ROOT)
    [text] = [text for kind, text in FENCES if kind == "python"]
    lines = [
        re.sub(r"^(layer\(.*?\)\.shape) +# (\([\d, ]+\)).*$", r"assert \1 == \2", line) for line in text.splitlines()
    ]
    assert sum(line.startswith("assert") for line in lines) == 2
    namespace: dict[str, object] = {}
    with redirect_stdout(io.StringIO()):
        exec(compile("\n".join(lines), "README.md", "exec"), namespace)
    assert namespace["y"].shape == namespace["clean"].shape == (1, 99, 117, 95, 1)


def test_every_file_that_is_named_is_there():
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert links
    for link in links:
        assert (ROOT / link).exists(), link
    for name in set(re.findall(r"\b(?:configs|sample_data)/[\w.]+", README)):
        assert (ROOT / name).exists(), name


def test_every_option_and_variable_that_is_named_is_there():
    from conv3d_cli.cli.apply import apply
    from conv3d_cli.cli.batch import batch
    from conv3d_cli.cli.run import run

    options = {
        name for command in (apply, batch, run) for one in command.params for name in (*one.opts, *one.secondary_opts)
    }
    named = set(re.findall(r"`(--[a-z-]+)", README)) - {"--help", "--schema", "--shape", "--debug"}
    assert named
    assert named <= options
    source = "".join(path.read_text(encoding="utf-8") for path in Path(ROOT / "conv3d_cli").rglob("*.py"))
    for variable in set(re.findall(r"(?<!_)CONV3D_[A-Z_]+", README)):
        assert variable in source
