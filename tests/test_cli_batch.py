"""``conv3d batch`` from the words of the command line to what it leaves and tells."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import fuzz_batch
import numpy as np
import pytest
from batches import leftovers, locally, nifti
from schemas import validator
from support import ROOT, SLOW

from conv3d_cli.cli.apply import apply
from conv3d_cli.cli.batch import OF_APPLY, batch
from conv3d_cli.cli.batching import Batch
from conv3d_cli.cli.summary import exit_code
from conv3d_cli.cli.talk import READ
from conv3d_cli.cli.words import apply_command
from conv3d_cli.limits import Limits
from conv3d_cli.report import batch_schema, report_schema

FILTER = ("--filter", "gaussian:sigma=1vox")


@pytest.fixture
def folder(tmp_path):
    for number, name in enumerate(("sub-01_T1w", "sub-02_T1w")):
        nifti(tmp_path / "in" / f"{name}.nii", number)
    (tmp_path / "in" / "bad.nii").write_bytes(b"no volume")
    return tmp_path


@pytest.fixture
def ran(conv3d):
    """Return a function that runs a batch without processes of its own."""

    def call(*words):
        with locally():
            return conv3d("batch", *words)

    return call


def said(told):
    """Return the lines that a batch told, less the warnings that every volume gives in this process."""
    return [line for line in told.err.splitlines() if line.removeprefix("Warning: ") not in SLOW]


def read_summary(folder: Path):
    document = json.loads((folder / "summary.json").read_text())
    validator(batch_schema()).validate(document)
    return document


def test_bad_volumes_among_good_ones_and_a_batch_that_is_killed():
    """A small part of what tests/fuzz_batch.py does, by real processes."""
    told = fuzz_batch.fuzz(volumes=12, bad_ones=2, kills=1, seed=1, jobs=2, size=16)
    assert told.startswith("12 volumes, 2 bad: 10 right outputs, 2 errors recorded; killed")


def test_the_summary_tells_of_every_item(ran, folder):
    told = ran(folder / "in", "--out-dir", folder / "out", *FILTER, "--jobs", 2, "--max-memory", "1G", "--json")
    assert told.code == 6
    document = told.document
    assert document == read_summary(folder / "out")
    assert document["counts"] == {"items": 3, "done": 2, "skipped": 0, "failed": 1, "left": 0, "planned": 0}
    assert document["memory"] == {"limit_bytes": 1 << 30, "limit_source": "--max-memory"}
    assert document["jobs"] == 2
    assert document["voxels"] == 2 * 7 * 8 * 9
    assert document["read_bytes"] == 2 * (352 + 4 * 7 * 8 * 9)
    failed = next(item for item in document["items"] if item["state"] == "failed")
    assert (Path(failed["source"]).name, failed["code"], failed["attempts"]) == ("bad.nii", 3, 1)
    assert "bad.nii': " in failed["error"]
    assert len(document["slowest"]) == 2
    assert told.err.count("Error: ") == 1


def test_each_output_has_its_report_and_the_command_that_repeats_it(ran, conv3d, folder):
    options = (*FILTER, "--filter", "laplacian:per=mm", "--dtype", "int16", "--flip", "--method", "fft", "--seed", 3)
    assert ran(folder / "in", "--out-dir", folder / "out", *options, "--threads", 1).code == 6
    sidecar = folder / "out" / "sub-01_T1w.nii.json"
    document = json.loads(sidecar.read_text())
    validator(report_schema()).validate(document)
    output = folder / "out" / "sub-01_T1w.nii"
    before = output.read_bytes()
    import shlex

    words = shlex.split(document["command"])
    assert words[:2] == ["conv3d", "apply"]
    output.unlink()
    sidecar.unlink()
    assert conv3d(*words[1:]).code == 0
    assert output.read_bytes() == before


def test_a_line_for_each_item_and_a_table_at_the_end(ran, folder):
    told = ran(folder / "in", "--out-dir", folder / "out", *FILTER)
    lines = said(told)
    assert lines[0].startswith("[1/3] failed '")
    assert lines[1].startswith("Error: '")
    assert lines[2].startswith("[2/3] done '")
    assert lines[2].split(" in ")[1].split()[1] in ("ms", "s")
    for word in ("done", "skipped", "failed", "voxels", "MB/s", "slowest: ", "failed: '"):
        assert word in told.out
    assert len(lines) == 4
    again = ran(folder / "in", "--out-dir", folder / "out", *FILTER)
    assert len(said(again)) == 2


def test_quiet_tells_errors_only(ran, folder):
    told = ran(folder / "in", "--out-dir", folder / "out", *FILTER, "-q")
    assert told.out == ""
    assert [line[:7] for line in told.err.splitlines()] == ["Error: "]


def test_a_warning_of_every_item_is_told_once(conv3d, folder, spec):
    log = folder / "log.txt"
    told = conv3d("batch", folder / "in", "--out-dir", folder / "out", "--spec", spec(), "--log-file", log, "--jobs", 1)
    assert told.code == 6
    assert told.err.count("no weights are given") == 1
    assert log.read_text().count("no weights are given") == 2
    assert log.read_text().count(" ERROR ") == 1


def test_a_dry_run_shows_why(ran, folder):
    words = (folder / "in", "--out-dir", folder / "out", *FILTER)
    ran(*words)
    (folder / "out" / "sub-02_T1w.nii").unlink()
    told = ran(*words, "--dry-run")
    assert (told.code, told.err) == (0, "")
    rows = [line.split() for line in told.out.splitlines() if "nii" in line]
    assert [row[1:] for row in rows] == [
        ["run", "failed", "before"],
        ["skip", "done", "already"],
        ["run", "output", "is", "missing"],
    ]
    document = ran(*words, "--dry-run", "--json").document
    validator(batch_schema()).validate(document)
    assert document["counts"]["planned"] == 2


def test_a_manifest_gives_each_volume_its_own_options(ran, folder):
    table = folder / "m.csv"
    table.write_text("input,output,filter,dtype\nin/sub-01_T1w.nii,x/one.npy,laplacian,float64\nin/sub-02_T1w.nii,,,\n")
    assert ran("--manifest", table, "--out-dir", folder / "out", *FILTER).code == 0
    assert np.load(folder / "out" / "x" / "one.npy").dtype == np.float64
    assert (folder / "out" / "sub-02_T1w.nii").exists()
    document = json.loads((folder / "out" / "x" / "one.npy.json").read_text())
    assert document["layers"][0]["filter"]["text"] == "laplacian"


def test_a_manifest_s_mistakes_are_those_of_the_options(ran, folder):
    table = folder / "m.tsv"
    table.write_text("input\tfilter\tdtype\taxes\nx.nii\tgauss\tint3\t\n")
    told = ran("--manifest", table, "--out-dir", folder / "out")
    assert told.code == 3
    lines = told.err.splitlines()
    assert "m.tsv:2: --filter: unknown filter: got 'gauss'" in lines[0]
    assert "m.tsv:2: " in lines[1]
    assert "'int3' is not one of" in lines[1]
    assert not (folder / "out").exists()


def test_a_row_without_layers_is_told_by_its_line(ran, folder):
    (folder / "m.csv").write_text("input,filter\na.nii,laplacian\nb.nii,\n")
    told = ran("--manifest", folder / "m.csv", "--out-dir", folder / "out")
    assert told.code == 3
    assert "m.csv:3: --spec: needs either a spec or --filter: got neither" in told.err


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ((), 2, "needs either IN or --manifest: got neither"),
        (("in", "--manifest", "m.csv"), 2, "got both"),
        (("in",), 2, "needs either a spec or --filter: got neither"),
        (("in", *FILTER, "--spec", "s.yaml"), 2, "got both"),
        (("in", "--spec", "none.yaml"), 3, "none.yaml"),
        (("in", *FILTER, "--name", "{stem"), 2, "--name"),
        (("in", *FILTER, "--name", "x.nii"), 2, "would be the output of"),
        (("in", *FILTER, "--out-dir", "in"), 4, "which this batch needs"),
        (("in", *FILTER, "--out-dir", ""), 2, "--out-dir: got ''"),
        (("in", *FILTER, "--jobs", "0"), 2, "--jobs"),
        (("none*.nii", *FILTER), 2, "the pattern matches no volume"),
        (("in", *FILTER, "--outside", "keep"), 2, "--outside: got keep without a mask"),
        (("in", *FILTER, "--mask", "none.nii"), 3, "none.nii"),
        (
            ("in/bad.nii", *FILTER, "--mask", "in/sub-01_T1w.nii", "--name", "sub-01_T1w.nii", "--out-dir", "in"),
            4,
            "needs",
        ),
    ],
)
def test_mistakes_are_found_before_any_work(ran, folder, monkeypatch, words, code, says):
    monkeypatch.chdir(folder)
    told = ran("--out-dir", "out", *words)
    assert (told.code, told.out) == (code, "")
    assert says in told.err
    assert not Path("out").exists()


def test_files_of_the_batch_itself_are_not_replaced(ran, folder):
    (folder / "out").mkdir()
    (folder / "out" / "summary.json").write_text("{}")
    told = ran(folder / "in", "--out-dir", folder / "out", *FILTER)
    assert (told.code, "is no summary of a batch" in told.err) == (4, True)
    told = ran(folder / "in", "--out-dir", folder / "other", *FILTER, "--log-file", folder / "in" / "bad.nii")
    assert (told.code, "is the same file" in told.err) == (4, True)


def test_a_volume_that_needs_too_much_memory_costs_itself_alone(ran, folder):
    nifti(folder / "in" / "large.nii", 3, (80, 80, 80))
    told = ran(folder / "in", "--out-dir", folder / "out", *FILTER, "--max-memory", "4M")
    assert re.search(r"large\.nii': .*memory: not enough", told.err)
    assert told.code == 5
    states = {Path(item["source"]).stem: item["code"] for item in read_summary(folder / "out")["items"]}
    assert states == {"bad": 3, "large": 5, "sub-01_T1w": 0, "sub-02_T1w": 0}


class Failure:
    error = "x"

    def __init__(self, code):
        self.code = code


@pytest.mark.parametrize(
    ("codes", "code"), [((), 0), ((3,), 6), ((2, 137), 6), ((3, 5), 5), ((5, 4, 3), 4), ((4, 1, 5), 1)]
)
def test_the_gravest_error_gives_the_exit_code(codes, code):
    assert exit_code([Failure(one) for one in codes]) == code


@pytest.mark.parametrize(
    ("jobs", "threads", "count", "want"),
    [
        (None, None, 100, (8, 1)),
        (None, None, 3, (3, 2)),
        (None, None, 0, (1, 8)),
        (2, None, 100, (2, 4)),
        (None, 3, 100, (2, 3)),
        (5, 4, 100, (5, 4)),
        (None, 100, 5, (1, 100)),
    ],
)
def test_volumes_at_once_fill_the_machine_and_no_more(monkeypatch, tmp_path, jobs, threads, count, want):
    monkeypatch.setattr(Limits, "detect", lambda *given: Limits(8, 1))
    words = {str(param.name): None for param in OF_APPLY}
    words |= {"folder": str(tmp_path), "shard": None, "jobs": jobs, "threads": threads, "executor": "local"}
    assert Batch(words, OF_APPLY, [])._crew(count) == want


def test_the_options_are_those_of_apply():
    own = {param.name for param in apply.params} - {"source", "target", "output", "report_path", "overwrite", "help"}
    assert own <= {param.name for param in batch.params}
    # What a file holds is what counts, wherever an option names one.
    assert {name for name in own if name.endswith("_path")} <= set(READ)


def test_the_command_of_an_item_holds_what_is_not_the_default():
    class Some:
        source, output, sidecar = "-a.nii", "o.nii", "o.nii.json"
        words = {str(param.name): param.default for param in OF_APPLY} | {"axes": "xyz", "filters": [], "seed": 0}

    assert apply_command(Some, OF_APPLY, True) == (
        "apply", "--axes", "xyz", "--report", "o.nii.json", "--overwrite", "--", "-a.nii", "o.nii",
    )  # fmt: skip


def test_names_may_hold_anything(ran, tmp_path):
    names = ["a b.nii", "é.nii", "new\nline.nii", os.fsdecode(b"x\xff.nii"), "-dash.nii", "[1].nii"]
    for number, name in enumerate(names):
        nifti(tmp_path / "in" / name, number)
    told = ran(tmp_path / "in", "--out-dir", tmp_path / "out", *FILTER)
    assert told.code == 0, told.err
    assert sorted(path.name for path in (tmp_path / "out").glob("*.nii")) == sorted(names)
    assert "new\\nline.nii" in told.err
    assert ran(tmp_path / "in", "--out-dir", tmp_path / "out", *FILTER, "--json").document["counts"]["skipped"] == 6


def test_bars_on_a_terminal(ran, folder, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    told = ran(folder / "in", "--out-dir", folder / "out", *FILTER)
    assert told.code == 6
    assert "Error: " in told.err
    assert "[1/3]" not in told.err
    assert "3 of 3" in told.err


def test_a_signal_stops_all_and_leaves_nothing(tmp_path):
    number = signal.SIGINT
    for n in range(4):
        nifti(tmp_path / "in" / f"{n}.nii", n, (160, 160, 160))
    words = ["batch", tmp_path / "in", "--out-dir", tmp_path / "out", "--filter", "gaussian:sigma=3vox", "--jobs", "2"]
    process = subprocess.Popen(
        [sys.executable, "-m", "conv3d_cli", *map(str, words), "--method", "reference"],
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    records = tmp_path / "out" / ".conv3d" / "records"
    until = time.monotonic() + 30
    while time.monotonic() < until and len(list(records.glob("*.json"))) < 2:
        time.sleep(0.02)
    os.killpg(process.pid, number)  # as the terminal does it: every process hears of it
    _, err = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert err.splitlines()[-1] == f"Error: stopped by {number.name}"
    assert not leftovers(tmp_path)
    with (tmp_path / "out" / ".conv3d" / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # no process is left that holds it


def test_parts_make_the_whole(ran, folder):
    for number in range(4):
        nifti(folder / "in" / f"{number}.nii", number)
    parts = [
        ran(folder / "in", "--out-dir", folder / "out", *FILTER, "--shard", f"{part}/3", "--json").document
        for part in (1, 2, 3)
    ]
    names = [Path(item["source"]).name for document in parts for item in document["items"]]
    assert sorted(names) == sorted(path.name for path in (folder / "in").iterdir())
    assert [len(document["items"]) for document in parts] == [3, 2, 2]
    assert len(list((folder / "out").glob("summary-*-of-3.json"))) == 3
    whole = ran(folder / "in", "--out-dir", folder / "out", *FILTER, "--json").document
    assert whole["counts"]["skipped"] == 6


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "1/0", "a/b", "-1/3", "1/3/5"])
def test_what_is_no_part(ran, folder, text):
    told = ran(folder / "in", "--out-dir", folder / "out", *FILTER, "--shard", text)
    assert (told.code, "--shard: got" in told.err) == (2, True)


def test_info_tells_how_an_output_was_made(ran, conv3d, folder):
    np.save(folder / "in" / "plain.npy", np.ones((9, 9, 9), "f4"))
    ran(folder / "in", "--out-dir", folder / "out", *FILTER)
    for name in ("sub-01_T1w.nii", "plain.npy"):
        output = folder / "out" / name
        told = conv3d("info", output, "--json").document
        assert told["made by"] == f"conv3d apply --filter gaussian:sigma=1vox {name} OUT"
        assert (told["made from"][0]["state"], told["made from"][0]["path"]) == ("unchanged", str(folder / "in" / name))
        assert "made by           conv3d apply" in conv3d("info", output).out
        assert "made by" not in conv3d("info", folder / "in" / name).out
    output.write_bytes(output.read_bytes())
    assert "made by" not in conv3d("info", output).out


def test_the_schema_is_told(conv3d):
    assert conv3d("info", "--schema", "batch").document == batch_schema()


def test_the_sample_mri_as_a_batch(ran, conv3d, tmp_path):
    options = ("--spec", ROOT / "configs" / "edges.yaml", "--threads", 1)
    told = ran(ROOT / "sample_data", "--pattern", "mni*.nii.gz", "--out-dir", tmp_path / "o", *options)
    assert told.code == 0
    alone = tmp_path / "alone.nii.gz"
    assert conv3d("apply", ROOT / "sample_data" / "mni152_t1_2mm.nii.gz", alone, *options, "-q").code == 0
    assert (tmp_path / "o" / "mni152_t1_2mm.nii.gz").read_bytes() == alone.read_bytes()
