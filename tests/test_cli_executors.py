"""``--executor`` and ``--print-slurm``: which options go together, and the script of a job array."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from batches import locally, nifti, volumes_in

from conv3d_cli.cli import sbatch

FILTER = ("--filter", "gaussian:sigma=1vox")


@pytest.fixture
def odd(tmp_path, monkeypatch):
    """A folder whose name, and those of its volumes, a shell could misread; the working directory."""
    folder = tmp_path / "it's $HOME & more"
    names = ("a b.nii", "-dash.nii", "quo'te\".nii", "new\nline.nii", os.fsdecode(b"x\xff.nii"))
    for number, name in enumerate(names):
        nifti(folder / "in" / name, number, (4, 5, 6))
    monkeypatch.chdir(folder)
    return folder


def printed(*words) -> bytes:
    """Return the script that a command prints; check that it does nothing else."""
    before = sorted(Path().rglob("*"))
    ran = subprocess.run([sys.executable, "-m", "conv3d_cli", *words], capture_output=True)
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert sorted(Path().rglob("*")) == before
    return ran.stdout


def carried_out(script: bytes, parts: int) -> list[subprocess.CompletedProcess]:
    """Run the jobs of an array as SLURM would: from another folder, with its number in the environment."""
    return [
        subprocess.run(
            ["bash", "-s"],
            input=script,
            capture_output=True,
            cwd="/",
            env={**os.environ, "SLURM_ARRAY_TASK_ID": str(part), "SLURM_CPUS_PER_TASK": "1"},
        )
        for part in range(1, parts + 1)
    ]


def directives(script: bytes) -> list[str]:
    return [line[len("#SBATCH --") :] for line in os.fsdecode(script).splitlines() if line.startswith("#SBATCH --")]


def test_the_parts_of_a_script_make_the_whole(odd, conv3d):
    words = ["batch", *(f"./in/{path.name}" for path in sorted((odd / "in").iterdir())), "--out-dir", "o'ut", *FILTER]
    options = ("--name", "{stem} & $x{suffix}", "--retries", "0", "--fail-fast", "-q", "--boundary", "constant:2")
    script = printed(*words, *options, "--jobs", "2", "--print-slurm")
    assert directives(script) == ["job-name=conv3d", "array=1-2", "cpus-per-task=1"]
    ran = carried_out(script, 2)
    assert [one.returncode for one in ran] == [0, 0], [one.stderr for one in ran]
    found = volumes_in(odd / "o'ut")
    assert len(found) == 5
    assert "a b & $x.nii" in found
    summary = json.loads((odd / "o'ut" / "summary-1-of-2.json").read_text())
    assert (summary["jobs"], summary["run"]["batch"]["keep_going"], summary["run"]["batch"]["retries"]) == (1, False, 0)
    assert summary["run"]["boundary"] == "constant:2"
    with locally():
        assert conv3d(*words[:-4], "--out-dir", "here", *FILTER, *options).code == 0
    assert volumes_in(odd / "here") == found


def test_a_run_file_is_named_again(odd):
    (odd / "run.yaml").write_text(
        "inputs: [in]\nlayers: [{filters: 1, kernel_size: 3, padding: same, kernel_initializer: ones}]\n"
        "batch: {out_dir: out, jobs: 3, print_slurm: true, slurm_options: [time=10]}\n"
    )
    script = printed("run", "run.yaml", "--set", "batch.slurm_options=[partition=short, comment=it's odd]")
    assert directives(script) == [
        "job-name=conv3d", "array=1-3", "cpus-per-task=1", "partition=short", "comment='it'\"'\"'s odd'",
    ]  # fmt: skip
    ran = carried_out(script, 3)
    assert [one.returncode for one in ran] == [0, 0, 0], [one.stderr for one in ran]
    assert len(volumes_in(odd / "out")) == 5


def test_no_more_jobs_than_volumes_and_threads_for_each(odd):
    script = printed("batch", "in", "--out-dir", "out", *FILTER, "--jobs", "50", "--threads", "4", "--print-slurm")
    assert directives(script)[1:] == ["array=1-5", "cpus-per-task=4"]
    assert b"--threads 4" in script
    words = ("--slurm-option", "job-name=mine", "--slurm-option", "exclusive", "--jobs", "1", "--print-slurm")
    script = printed("batch", "in", "--out-dir", "out", *FILTER, *words)
    assert directives(script) == ["array=1-1", "cpus-per-task=1", "job-name=mine", "exclusive"]


def test_without_the_command_the_module_is_run(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert sbatch._conv3d() == [str(tmp_path / "python"), "-m", "conv3d_cli"]
    (tmp_path / "conv3d").touch()
    assert sbatch._conv3d() == [str(tmp_path / "conv3d")]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--executor", "cloud"), "--executor: got 'cloud', expected local, dask, dask://HOST:PORT or slurm"),
        (("--executor", "dask://host"), "--executor: got 'dask://host', expected local"),
        (("--executor", "slurm"), "--jobs: got none, expected how many jobs SLURM is to run at once"),
        (("--print-slurm",), "--jobs: got none"),
        (("--slurm-option", "time=1"), "--slurm-option: got 'time=1', expected --executor slurm or --print-slurm"),
        (("--executor", "dask", "--slurm-option", "time=1"), "expected --executor slurm or --print-slurm with it"),
        (("--print-slurm", "--jobs", "2", "--slurm-option", "array=1-9"), "expected none of array, cpus-per-task"),
        (("--print-slurm", "--jobs", "2", "--slurm-option", "--time=1"), "a long option of sbatch without its dashes"),
        (("--print-slurm", "--jobs", "2", "--slurm-option", "time="), "--slurm-option: got 'time=', expected a long"),
        (("--print-slurm", "--jobs", "2", "--slurm-option", "comment=a\nb"), "--slurm-option: got 'comment=a\\nb'"),
        (("--print-slurm", "--jobs", "2", "--shard", "1/2"), "--print-slurm: got it beside --shard, expected one"),
        (("--print-slurm", "--jobs", "2", "--dry-run"), "--print-slurm: got it beside --dry-run"),
        (("--print-slurm", "--jobs", "2", "--executor", "dask"), "--print-slurm: got it beside --executor dask"),
        (("--print-slurm", "--jobs", "2", "-"), "--print-slurm: got it beside a list on standard input"),
        (("--print-slurm", "--jobs", "2", "none*.nii"), "the pattern matches no volume"),
    ],
)
def test_options_that_say_nothing_are_mistakes(conv3d, odd, words, says):
    told = conv3d("batch", "in", "--out-dir", "out", *FILTER, *words)
    assert (told.code, told.out) == (2, "")
    assert says in told.err
    assert not Path("out").exists()


def test_a_mistake_in_a_run_file_has_its_place(conv3d, odd):
    Path("run.yaml").write_text("inputs: [in]\nfilters: box\nbatch:\n  out_dir: out\n  slurm_options: [time=1]\n")
    told = conv3d("run", "run.yaml")
    assert told.code == 3
    assert "run.yaml:5:" in told.err
    assert "batch.slurm_options: got 'time=1', expected batch.executor slurm or batch.print_slurm with it" in told.err


def test_a_dry_run_starts_no_cluster(conv3d, odd):
    for executor, more in (("dask", ()), ("dask://nowhere:1", ()), ("slurm", ("--jobs", "3"))):
        told = conv3d("batch", "in", "--out-dir", "out", *FILTER, "--executor", executor, *more, "--dry-run", "--json")
        assert told.code == 0
        assert told.document["counts"]["planned"] == 5
        assert told.document["run"]["batch"]["executor"] == executor
    assert told.document["jobs"] == 3
