"""When an output is made again, and when it is not: what the records say, and what the files themselves do."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest
from batches import NOBODY, locally, nifti
from support import compiled

from conv3d_cli.batch import decide, ingredients, records
from conv3d_cli.batch.records import Damaged, Record, read_record, record_path, write_record
from conv3d_cli.cli import batching, prepare
from conv3d_cli.engine import isa
from conv3d_cli.outfile import names

LONG_AGO = 1_700_000_000_123_456_789
FILTER = ("--filter", "gaussian:sigma=1vox", "--threads", "1")


@pytest.fixture
def folder(tmp_path):
    for number, name in enumerate("ab"):
        path = nifti(tmp_path / "in" / f"{name}.nii", number)
        os.utime(path, ns=(LONG_AGO, LONG_AGO))
    return tmp_path


@pytest.fixture
def batch(conv3d, folder):
    """Return a function that runs a batch in this process and returns what became of each item, and why."""

    def call(*words, options=FILTER, code=0, source="in"):
        with locally():
            told = conv3d("batch", folder / source, "--out-dir", folder / "out", "--json", *options, *words)
        assert told.code == code, told.err
        if code not in (0, 6):
            return told
        return {Path(item["source"]).name: (item["state"], item["why"]) for item in told.document["items"]}

    return call


DONE = ("skipped", "done already")


def test_what_is_done_is_not_done_again(batch):
    assert batch() == {"a.nii": ("done", "new"), "b.nii": ("done", "new")}
    assert batch() == batch("--verify") == {"a.nii": DONE, "b.nii": DONE}


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ((*FILTER, "--dtype", "int16"), "changed: option --dtype"),
        ((*FILTER, "--flip"), "changed: option --flip"),
        ((*FILTER, "--boundary", "reflect", "--nan", "missing"), "changed: option --boundary, option --nan"),
        ((*FILTER, "--filter", "sobel"), "changed: option --filter"),
        (("--filter", "gaussian:sigma=1.5vox"), "changed: option --filter"),
        ((*FILTER, "--no-provenance"), "changed: option --provenance"),
        ((*FILTER, "--seed", "2", "--method", "fft"), "changed: option --method, option --seed"),
    ],
)
def test_other_options_make_it_anew(batch, options, why):
    batch()
    assert batch(options=options) == {"a.nii": ("done", why), "b.nii": ("done", why)}


def test_what_changes_no_voxel_makes_nothing_anew(batch, folder):
    batch()
    more = ("--max-memory", "1G", "-v", "--log-file", folder / "log.txt", "--jobs", "2", "--retries", "0")
    assert batch(*more, options=("--filter", "gaussian:sigma=1vox", "--threads", "2")) == {"a.nii": DONE, "b.nii": DONE}


def test_another_version_makes_it_anew(batch, monkeypatch):
    batch()
    monkeypatch.setattr(ingredients, "__version__", "99")
    assert batch()["a.nii"] == ("done", "changed: version")


@compiled
def test_the_instruction_set_that_the_environment_asks_for_counts(batch, monkeypatch):
    batch()
    monkeypatch.setenv("CONV3D_ISA", isa.available()[-1])
    assert batch()["a.nii"] == ("done", "changed: CONV3D_ISA")
    assert batch()["a.nii"] == DONE


def test_the_data_format_of_the_users_settings_counts(batch, folder, spec, monkeypatch):
    options = ("--spec", spec(), "--axes", "xyz")
    batch(options=options)
    monkeypatch.setenv("KERAS_HOME", str(folder))
    assert batch(options=options)["a.nii"] == DONE
    (folder / "keras.json").write_text('{"image_data_format": "channels_first"}')
    assert batch(options=options)["a.nii"] == ("done", "changed: data format")


def test_an_input_counts_by_what_it_holds(batch, folder):
    batch()
    a = folder / "in" / "a.nii"
    a.write_bytes(a.read_bytes())
    (folder / "in" / "b.nii").rename(folder / "in" / "c.nii")
    assert batch() == {"a.nii": DONE, "c.nii": ("done", "new")}
    nifti(a, 5)
    assert batch()["a.nii"] == ("done", "changed: input")


def test_the_spec_and_its_weights_count_by_what_they_hold(batch, folder, spec):
    import numpy as np

    path = spec("filters: 1\nkernel_size: 3\npadding: same\nuse_bias: false\nweights: w.npz\n")
    np.savez(folder / "w.npz", kernel=np.ones((3, 3, 3, 1, 1), np.float32))
    options = ("--spec", path)
    assert batch(options=options)["a.nii"] == ("done", "new")
    path.write_bytes(path.read_bytes())
    assert batch(options=("--spec", path.rename(folder / "other.yaml")))["a.nii"] == DONE
    np.savez(folder / "w.npz", kernel=np.zeros((3, 3, 3, 1, 1), np.float32))
    assert batch(options=("--spec", folder / "other.yaml"))["a.nii"] == ("done", "changed: weights")
    (folder / "other.yaml").write_text((folder / "other.yaml").read_text() + "# a word\n")
    assert batch(options=("--spec", folder / "other.yaml"))["a.nii"] == ("done", "changed: spec")


def test_the_kernel_of_a_custom_filter_counts_by_what_it_holds(batch, folder):
    import numpy as np

    np.save(folder / "k.npy", np.ones((3, 3, 3)))
    options = ("--filter", f"custom:file={folder}/k.npy")
    assert batch(options=options)["a.nii"] == ("done", "new")
    assert batch(options=options)["a.nii"] == DONE
    np.save(folder / "k.npy", np.zeros((3, 3, 3)))
    assert batch(options=options)["a.nii"] == ("done", "changed: kernel k.npy")


def test_a_mask_counts_by_what_it_holds(batch, folder):
    mask = nifti(folder / "mask.nii", 1)
    options = (*FILTER, "--mask", mask)
    assert batch()["a.nii"] == ("done", "new")
    assert batch(options=options)["a.nii"] == ("done", "changed: --mask")
    assert batch(options=(*FILTER, "--mask", mask.rename(folder / "moved.nii")))["a.nii"] == DONE
    nifti(folder / "mask.nii", 2)
    assert batch(options=options)["a.nii"] == ("done", "changed: --mask")


def test_an_output_that_is_gone_or_damaged_is_made_anew(batch, folder):
    batch()
    a, b = (folder / "out" / f"{name}.nii" for name in "ab")
    right = a.read_bytes()
    a.unlink()
    b.write_bytes(b.read_bytes()[:-1] + b"x")
    assert batch() == {"a.nii": ("done", "output is missing"), "b.nii": ("done", "output is damaged")}
    assert a.read_bytes() == right


def damaged_behind_its_dates(path: Path, monkeypatch, batch) -> None:
    """Flip a bit of an output, and let nothing tell of it: as a disk does that rots."""
    marks = decide.marks_of
    before = marks([str(path)])
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    monkeypatch.setattr(decide, "marks_of", lambda names: before if names == [str(path)] else marks(names))


def test_dates_are_believed_unless_asked_to_verify(batch, folder, monkeypatch):
    monkeypatch.setattr(decide, "FINE_CLOCK", 0)
    batch()
    damaged_behind_its_dates(folder / "out" / "a.nii", monkeypatch, batch)
    assert batch()["a.nii"] == DONE
    assert batch("--dry-run", "--verify")["a.nii"] == ("planned", "output is damaged")


def test_dates_as_young_as_the_record_are_not_believed(batch, folder, monkeypatch):
    monkeypatch.setattr(decide, "FINE_CLOCK", 10**12)
    batch()
    damaged_behind_its_dates(folder / "out" / "a.nii", monkeypatch, batch)
    assert batch("--dry-run")["a.nii"] == ("planned", "output is damaged")


@pytest.mark.parametrize(("step", "believed"), [(1_000_000_000, False), (1, True)])
def test_a_coarse_clock_is_believed_later(step, believed):
    noted = 50_000_000_000
    changed = noted - 1_000_000_000 + (0 if step > 1 else 1)
    assert decide._settled([5, changed, changed, 1], noted) is believed


def test_a_look_that_had_to_read_is_cheap_the_next_time(batch, folder, monkeypatch):
    batch()
    a = folder / "in" / "a.nii"
    os.utime(a, ns=(LONG_AGO, LONG_AGO + 1))
    batch()
    monkeypatch.setattr(decide, "FINE_CLOCK", 0)
    read = []
    monkeypatch.setattr(decide, "sha256_of_files", lambda *names: read.append(names))
    assert batch() == {"a.nii": DONE, "b.nii": DONE}
    assert read == []


def test_moving_everything_elsewhere_makes_nothing_anew(batch, folder, monkeypatch):
    batch()
    (folder / "x").mkdir()
    (folder / "in").rename(folder / "x" / "in")
    assert batch(source="x/in") == {"a.nii": DONE, "b.nii": DONE}
    monkeypatch.chdir(folder)
    assert batch(source="x/in") == {"a.nii": DONE, "b.nii": DONE}


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"[]",
        b"{",
        b"\xff",
        b"null",
        b'{"record": "conv3d-item"}',
        b'{"record": "conv3d-item", "version": 2}',
        b"[" * 100_000,
    ],
)
def test_a_damaged_record_is_told_and_its_output_made_anew(batch, folder, damage, capsys):
    batch()
    record_path(str(folder / "out"), "a.nii").write_bytes(damage)
    assert batch()["a.nii"] == ("done", "its record is damaged")
    assert batch()["a.nii"] == DONE


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("state", "perhaps"),
        ("source", 3),
        ("made_from", {"a": 1}),
        ("made_from", [1]),
        ("input", None),
        ("output", 3),
        ("input", {"names": ["a"], "sha256": "", "marks": []}),
        ("input", {"names": ["a"], "sha256": 3, "marks": [[1, 2, 3, 4]]}),
        ("input", {"names": [3], "sha256": "", "marks": [[1, 2, 3, 4]]}),
        ("input", {"names": ["a"], "sha256": "", "marks": [[1, 2, 3, "x"]]}),
        ("input", {"names": ["a"], "sha256": "", "marks": [[1, 2]]}),
        ("more", 1),
    ],
)
def test_no_value_of_a_record_is_taken_on_trust(batch, folder, key, value):
    batch()
    path = record_path(str(folder / "out"), "a.nii")
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    with pytest.raises(Damaged):
        read_record(str(folder / "out"), "a.nii")


def test_records_come_back_as_they_were_written(tmp_path):
    record = Record("failed", "in/x\udcff.nii", {"version": "1"}, None, None, "no\nsuch", 3, True)
    write_record(str(tmp_path), "sub/x\udcff.nii", record)
    assert read_record(str(tmp_path), "sub/x\udcff.nii") == record
    assert list(records.known_outputs(str(tmp_path))) == ["sub/x\udcff.nii"]


def test_files_that_no_batch_made_are_not_touched_unasked(batch, folder):
    (folder / "out").mkdir()
    (folder / "out" / "a.nii").write_bytes(b"mine")
    (folder / "out" / "b.nii.json").write_bytes(b"mine too")
    told = batch(code=4)
    assert told.err.count("exists already, and no record says that a batch made it") == 2
    assert set(batch("--if-exists", "skip").values()) == {("skipped", "exists already")}
    assert (folder / "out" / "a.nii").read_bytes() == b"mine"
    assert batch("--if-exists", "overwrite")["a.nii"] == ("done", "is to be overwritten")
    assert batch() == {"a.nii": DONE, "b.nii": DONE}


def test_a_failure_gives_no_claim_to_what_somebody_puts_there(batch, folder):
    (folder / "in" / "a.nii").write_bytes(b"no volume")
    assert batch(code=6)["a.nii"][0] == "failed"
    (folder / "out" / "a.nii").write_bytes(b"mine")
    assert "exists already" in batch(code=4).err


def test_what_appears_meanwhile_is_somebody_else_s(batch, folder, monkeypatch):
    output = folder / "out" / "a.nii"

    def meanwhile(*given):
        output.write_bytes(b"mine")
        return carry_out(*given)

    carry_out = batching.carry_out
    monkeypatch.setattr(batching, "carry_out", meanwhile)
    assert "exists already" in batch(code=4).err
    monkeypatch.setattr(batching, "carry_out", carry_out)
    assert "exists already, and no record" in batch(code=4).err
    assert output.read_bytes() == b"mine"


def test_an_output_whose_report_could_not_be_written_is_the_batch_s_own(batch, folder, monkeypatch):
    text = prepare.json_text

    def full(document):
        if document.get("input", {}).get("path", "").endswith("a.nii"):
            raise OSError(errno.ENOSPC, "No space left on device", "a.nii.json")
        return text(document)

    monkeypatch.setattr(prepare, "json_text", full)
    assert "No space left" in batch(code=4).err
    assert (folder / "out" / "a.nii").exists()
    monkeypatch.setattr(prepare, "json_text", text)
    assert batch() == {"a.nii": ("done", "failed before"), "b.nii": DONE}


def test_what_batches_that_were_killed_have_left_is_removed(batch, folder, monkeypatch):
    (folder / "out").mkdir()
    with monkeypatch.context() as context:
        context.setattr(os, "getpid", lambda: NOBODY)
        stale = Path(names.hidden(str(folder / "out"), "gone.nii", 0))
    other = Path(names.hidden(str(folder / "out"), "gone.nii", 1))
    stale.touch()
    other.touch()
    batch()
    assert (stale.exists(), other.exists()) == (False, True)


def test_a_failure_leaves_the_older_output_and_the_claim_to_it(batch, folder):
    batch()
    before = (folder / "out" / "a.nii").read_bytes()
    (folder / "in" / "a.nii").write_bytes(b"no volume")
    assert batch(code=6)["a.nii"] == ("failed", "changed: input")
    assert (folder / "out" / "a.nii").read_bytes() == before
    nifti(folder / "in" / "a.nii", 0)
    assert batch()["a.nii"] == ("done", "failed before")


def test_a_dry_run_writes_nothing(batch, folder):
    assert batch("--dry-run") == {"a.nii": ("planned", "new"), "b.nii": ("planned", "new")}
    assert not (folder / "out").exists()


def test_outputs_beside_inputs_are_not_taken_for_inputs(conv3d, folder):
    words = ("batch", folder / "in", "--out-dir", folder / "in", "--name", "{stem}_s{suffix}", *FILTER, "--json")
    with locally():
        assert conv3d(*words).document["counts"]["done"] == 2
        assert conv3d(*words).document["counts"] == {
            "items": 2, "done": 0, "skipped": 2, "failed": 0, "left": 0, "planned": 0,
        }  # fmt: skip


def test_an_input_that_changes_while_it_is_read_is_not_called_done(batch, folder, monkeypatch):
    from conv3d_cli.cli import apply

    run = apply._run

    def meanwhile(plan, context, volume, *more):
        document = run(plan, context, volume, *more)
        if volume.ref.endswith("a.nii"):
            nifti(folder / "in" / "a.nii", 7)
        return document

    monkeypatch.setattr(apply, "_run", meanwhile)
    assert batch(code=6) == {"a.nii": ("failed", "new"), "b.nii": ("done", "new")}
    assert not (folder / "out" / "a.nii").exists()
    monkeypatch.setattr(apply, "_run", run)
    assert batch()["a.nii"] == ("done", "failed before")
