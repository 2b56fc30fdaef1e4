"""``conv3d batch --bids`` from the words of the command line to a dataset of derivatives."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import datasets
import nibabel
import numpy as np
import pytest
from batches import Killed, killed_after, leftovers, locally
from schemas import validator

from conv3d_cli.report import batch_schema

FILTER = ("--filter", "box:size=3vox")
T1W = "sub-01/ses-pre/anat/sub-01_ses-pre_{}T1w{}"
BOLD = "sub-01/ses-pre/func/sub-01_ses-pre_task-rest_{}bold{}"


@pytest.fixture
def root(tmp_path):
    return datasets.dataset(tmp_path / "ds")


@pytest.fixture
def out(root):
    return root / "derivatives" / "conv3d"


@pytest.fixture
def ran(conv3d, root, out):
    """Return a function that runs a batch over the dataset without processes of its own."""

    def call(*words, into=out):
        with locally():
            return conv3d("batch", root, "--bids", "--out-dir", into, *FILTER, *words)

    return call


def read(path: Path):
    return json.loads(path.read_text())


def outputs(out: Path) -> list[str]:
    return sorted(path.name for path in out.rglob("*.nii.gz"))


def test_the_result_passes_the_validator_of_bids(ran, root, out):
    pytest.importorskip("bids_validator_deno")
    assert datasets.complaints(root) == []
    assert ran("--desc", "smooth").code == 0
    assert len(outputs(out)) == 8
    assert datasets.complaints(out) == []
    assert datasets.complaints(root) == []
    # The validator is one that finds what is wrong.
    (out / ".bidsignore").unlink()
    (out / T1W.format("desc-smooth_", ".json")).unlink()
    told = datasets.complaints(out)
    assert any(line.startswith("NOT_INCLUDED") and line.endswith("/summary.json") for line in told)
    assert any("SkullStripped" in line for line in told)


def test_diffusion_keeps_its_tables(ran, root, out):
    dwi = root / "sub-02" / "ses-pre" / "dwi"
    datasets.volume(dwi / "sub-02_ses-pre_dwi.nii.gz", 1, (7, 8, 9, 2), 1.0)
    datasets.text(root / "dwi.bval", "0 1000\n")
    datasets.text(dwi / "sub-02_ses-pre_dwi.bvec", "0 1\n0 0\n0 0\n")
    assert ran("--datatype", "dwi").code == 0
    made = out / "sub-02" / "ses-pre" / "dwi"
    assert (made / "sub-02_ses-pre_dwi.bval").read_text() == "0 1000\n"
    assert (made / "sub-02_ses-pre_dwi.bvec").read_text() == "0 1\n0 0\n0 0\n"
    pytest.importorskip("bids_validator_deno")
    assert datasets.complaints(out) == []


def test_what_a_derivative_says_of_itself(ran, root, out):
    assert ran("--desc", "desc-smooth", "--participant-label", "01", "--session-label", "pre").code == 0
    assert outputs(out) == [Path(name.format("desc-smooth_", ".nii.gz")).name for name in (T1W, BOLD)]
    told = read(out / BOLD.format("desc-smooth_", ".json"))
    how = told.pop("Conv3d")
    assert told == {
        "Description": "Filtered with box",
        "Sources": [f"bids:raw:{BOLD.format('', '.nii.gz')}"],
        "TaskName": "rest",
        "RepetitionTime": datasets.TR,
        "SkullStripped": False,
    }
    assert ["box"] in how["Options"].values()
    assert read(out / T1W.format("desc-smooth_", ".json"))["EchoTime"] == 0.003
    assert nibabel.load(out / BOLD.format("desc-smooth_", ".nii.gz")).header["pixdim"][4] == datasets.TR
    document = read(out / "dataset_description.json")
    assert document["GeneratedBy"][0].keys() == {"Name", "Version", "Command"}
    assert document["GeneratedBy"][0]["Command"].startswith("conv3d batch ")
    assert (document["DatasetType"], document["DatasetLinks"]) == ("derivative", {"raw": "../.."})
    assert document["SourceDatasets"] == [{"URL": "../..", "DOI": "doi:10.18112/tiny.v1"}]


def test_several_labels_behind_one_option(ran, out):
    assert ran("--participant-label", "01", "sub-02", "--session-label", "pre", "post", "--suffix", "T1w").code == 0
    assert len(outputs(out)) == 4
    assert ran("--participant-label", "01", "--participant-label", "02", "--suffix", "T1w", "--dry-run").code == 0
    told = ran("--participant-label", "01", "05")
    assert told.code == 2
    assert "--participant-label: 05: no participant of" in told.err
    assert "expected some of 01, 02" in told.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--desc", "a"), "--desc: is for a dataset: got it without --bids"),
        (("--participant-label", "01"), "--participant-label: is for a dataset: got it without --bids"),
        (("--suffix", "T1w", "--entity", "run-1"), "--entity: is for a dataset: got it without --bids"),
        (("--bids", "--name", "{stem}.nii"), "--name: got it beside --bids, which finds and names by BIDS"),
        (("--bids", "--pattern", "*"), "--pattern: got it beside --bids"),
        (("--bids", "more"), "'more' with --bids, expected one dataset"),
    ],
)
def test_options_are_refused_where_they_mean_nothing(conv3d, root, tmp_path, words, told):
    result = conv3d("batch", root, "--out-dir", tmp_path / "out", *FILTER, *words)
    assert result.code == 2
    assert told in result.err


def test_a_dataset_without_the_option_is_told_of_it(conv3d, root, tmp_path):
    result = conv3d("batch", root, "--out-dir", tmp_path / "out", *FILTER)
    assert (result.code, "--bids takes it for a dataset" in result.err) == (2, True)


def test_what_is_left_out_is_told(ran, root):
    strange = datasets.volume(root / "sub-01" / "ses-pre" / "anat" / "T1w.nii")
    told = ran("--dry-run", "--suffix", "T1w")
    assert f"Warning: '{strange}': left out: the name is none of BIDS" in told.err


def test_a_dataset_that_is_taken_for_a_label_is_told(conv3d, root, out):
    told = conv3d("batch", "--bids", "--out-dir", out, *FILTER, "--participant-label", "01", root)
    assert told.code == 2
    assert "IN: got none with --bids, expected one dataset, in front of --participant-label" in told.err


def test_an_image_of_channels_is_warned_of(conv3d, root, out):
    words = ("--suffix", "T1w", "--filter", "gradient:axis=all")
    with locally():
        told = conv3d("batch", root, "--bids", "--out-dir", out, *words)
    assert told.code == 0
    assert told.err.count("has channels, which no image of BIDS has: its validator may refuse it") == 1


def test_nothing_of_bids_is_loaded_for_another_batch(tmp_path):
    datasets.volume(tmp_path / "in" / "a.nii")
    code = "import sys; from conv3d_cli.cli.main import run; run(sys.argv[1:]); print([*sys.modules])"
    words = ["batch", str(tmp_path / "in"), "--out-dir", str(tmp_path / "out"), *FILTER, "--dry-run", "-q"]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
    loaded = ast.literal_eval(done.stdout)
    assert "conv3d_cli.batch" in loaded
    assert not {"conv3d_cli.bids", "pathspec"} & {*loaded}


def test_a_dry_run_writes_nothing(ran, out):
    told = ran("--dry-run", "--json")
    validator(batch_schema()).validate(told.document)
    assert told.document["counts"]["planned"] == 8
    assert not out.exists()


def test_what_is_done_is_not_done_again_and_its_sidecar_is_mended(ran, root, out):
    assert ran().code == 0
    before = datasets.tree(out)
    beside = out / T1W.format("desc-conv3d_", ".json")
    beside.unlink()
    datasets.text(root / "T1w.json", {"EchoTime": 0.004})
    assert ran("--json").document["counts"]["skipped"] == 8
    assert read(beside)["EchoTime"] == 0.004
    datasets.text(root / "T1w.json", {"EchoTime": 0.003})
    assert ran("--json").document["counts"]["skipped"] == 8
    after = datasets.tree(out)
    assert {name for name in before if before[name] != after[name]} == {"dataset_description.json"}  # its command


def test_an_output_that_is_lost_and_cannot_be_made_leaves_no_sidecar(ran, root, out):
    assert ran("--suffix", "T1w").code == 0
    (out / T1W.format("desc-conv3d_", ".nii.gz")).unlink()
    (root / T1W.format("", ".nii.gz")).write_bytes(b"no volume")
    assert ran("--suffix", "T1w").code == 6
    assert not (out / T1W.format("desc-conv3d_", ".json")).exists()
    assert (out / T1W.format("desc-conv3d_", ".json").replace("sub-01", "sub-02")).exists()


def test_a_damaged_record_leaves_the_sidecar_of_an_output_that_is_not_made_again(ran, root, out):
    assert ran("--suffix", "T1w", "--participant-label", "01", "--session-label", "pre").code == 0
    beside, record = out / T1W.format("desc-conv3d_", ".json"), next((out / ".conv3d").rglob("*T1w.nii.gz.json"))
    before = beside.read_bytes()
    record.write_text("{")
    (root / T1W.format("", ".nii.gz")).write_bytes(b"no volume")
    assert ran("--suffix", "T1w", "--participant-label", "01", "--session-label", "pre").code == 6
    assert beside.read_bytes() == before


def test_a_sidecar_that_is_not_ours_is_not_replaced(ran, out):
    beside = datasets.text(out / T1W.format("desc-conv3d_", ".json"), {"Mine": 1})
    told = ran()
    assert told.code == 4
    assert (
        "T1w.json': exists already, and is not by conv3d: expected another --desc, or --if-exists overwrite" in told.err
    )
    assert ran("--if-exists", "skip").code == 4
    datasets.volume(out / T1W.format("desc-conv3d_", ".nii.gz"))
    assert ran("--if-exists", "skip").code == 0
    assert read(beside) == {"Mine": 1}
    assert ran("--if-exists", "overwrite").code == 0
    assert "Conv3d" in read(beside)
    datasets.text(beside, {"Mine": 2})
    assert ran().code == 4
    assert read(beside) == {"Mine": 2}


def test_parts_make_the_same_dataset_as_one(ran, root, out, tmp_path):
    assert ran("--shard", "2/3").code == 0
    assert len(outputs(out)) == 3
    assert ran("--shard=1/3").code == 0
    assert ran("--shard", "3/3").code == 0
    parts = datasets.tree(out)
    shutil.rmtree(out)
    assert ran().code == 0
    assert datasets.tree(out) == parts


@pytest.mark.parametrize("steps", range(5, 300, 31))
def test_a_batch_that_is_killed_and_run_again_makes_the_same_dataset(ran, root, out, steps):
    words = ("--participant-label", "01", "--session-label", "pre")
    with killed_after(steps) as is_killed:
        with suppress(Killed):
            ran(*words)
        killed = is_killed()
    assert killed or steps > 60
    assert ran(*words).code == 0
    again = datasets.tree(out)
    assert not leftovers(out)
    shutil.rmtree(out)
    assert ran(*words).code == 0
    assert datasets.tree(out) == again


def test_each_image_stays_inside_its_own_mask(conv3d, ran, root, out, tmp_path):
    for session in ("pre", "post"):
        name = T1W.replace("pre", session)
        mask = datasets.volume(root / name.format("desc-brain_", "").replace("T1w", "mask.nii"))
        image = nibabel.load(mask)
        inside = np.zeros(image.shape, np.uint8)
        inside[2:5, 2:5, : 4 if session == "pre" else 6] = 1
        nibabel.save(nibabel.Nifti1Image(inside, image.affine), mask)
    words = ("--participant-label", "01", "--suffix", "T1w", "--mask-desc", "brain", "--outside", "nan")
    assert ran(*words).code == 0
    for session, depth in (("pre", 4), ("post", 6)):
        name = T1W.replace("pre", session)
        array = nibabel.load(out / name.format("desc-conv3d_", ".nii.gz")).get_fdata()
        assert np.isfinite(array).sum() == 9 * depth
        told = read(out / name.format("desc-conv3d_", ".json"))
        assert told["Sources"][1] == "bids:raw:" + name.format("desc-brain_", "").replace("T1w", "mask.nii")
        assert told["Conv3d"]["SHA256"].keys() == {"--mask"}
    shutil.move(out / "summary.json", tmp_path / "summary.json")
    with locally():
        told = conv3d("run", tmp_path / "summary.json", "--json")
    assert (told.code, told.document["counts"]["skipped"]) == (0, 2)
    told = ran("--mask-desc", "brain")
    assert (told.code, told.err.count("has no mask of desc-brain beside it")) == (2, 6)
    told = ran("--mask-desc", "brain", "--mask", root / "m.nii")
    assert (told.code, "--mask-desc: got it beside --mask or --labels" in told.err) == (2, True)


RUN = """\
inputs: ds
filters: [box]
batch:
  out_dir: {out}
  bids: true
  participant_labels: ['01']
  suffixes: [T1w]
  desc: mean
"""


def test_a_run_file_does_the_same_and_so_does_the_summary(conv3d, ran, root, tmp_path):
    run = datasets.text(tmp_path / "run.yaml", RUN.format(out="out"))
    with locally():
        assert conv3d("run", run).code == 0
    made = outputs(tmp_path / "out")
    assert made == [f"sub-01_ses-{name}_desc-mean_T1w.nii.gz" for name in ("post", "pre")]
    array = np.asarray(nibabel.load(tmp_path / "out" / T1W.format("desc-mean_", ".nii.gz")).dataobj)
    summary = tmp_path / "summary.json"
    shutil.move(tmp_path / "out" / "summary.json", summary)
    shutil.rmtree(tmp_path / "out")
    with locally():
        assert conv3d("run", summary).code == 0
    assert outputs(tmp_path / "out") == made
    again = np.asarray(nibabel.load(tmp_path / "out" / T1W.format("desc-mean_", ".nii.gz")).dataobj)
    np.testing.assert_array_equal(again, array)


def test_a_run_file_tells_the_place_of_what_is_wrong(conv3d, root, tmp_path):
    run = datasets.text(tmp_path / "run.yaml", RUN.format(out="out").replace("'01'", "'07'"))
    told = conv3d("run", run)
    assert told.code == 3
    assert "run.yaml:6:23: batch.participant_labels: 07: no participant" in told.err
    run = datasets.text(tmp_path / "run.yaml", RUN.format(out="out").replace("  bids: true\n", ""))
    told = conv3d("run", run)
    assert "batch.desc: is for a dataset: got it without batch.bids" in told.err
