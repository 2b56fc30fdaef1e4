"""How an output was made: what it holds of it, what other readers make of that, and what `conv3d info` tells."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shlex
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import badfiles
import h5py
import nibabel
import numpy as np
import pytest
from schemas import validator
from support import beside_the_kernels

from conv3d_cli.provenance import File, Hashes, History, Step, decode, look, read, schema
from conv3d_cli.report import report_schema
from conv3d_cli.volumes import load_volume, open_volume
from conv3d_cli.volumes.making import MARK, MOST_BYTES, MOST_LOOKED_AT, extension

FILTER = ("--filter", "gaussian:sigma=1vox")
HOLDING = ("out.nii", "out.nii.gz", "out.hdr", "out.img.gz", "out.h5")
SCAN = badfiles.nifti(sform=np.diag([2, 2, 3, 1]))
STEP = Step("conv3d apply --filter box a.npy OUT", "0.1.0", "generic", {"input": File("a.npy", "0" * 64)})


@pytest.fixture
def scan(tmp_path):
    """Return a NIfTI volume in a folder of its own."""
    path = tmp_path / "in" / "scan.nii"
    path.parent.mkdir()
    path.write_bytes(SCAN)
    return path


def sha256(path) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def held(path) -> str | None:
    with open_volume(str(path)) as volume:
        return volume.provenance


@pytest.mark.parametrize("name", HOLDING)
def test_an_output_holds_how_it_was_made(name, conv3d, scan, tmp_path):
    out = tmp_path / name
    assert conv3d("apply", scan, out, *FILTER).code == 0
    (step,) = decode(held(out)).steps
    assert step.command == "conv3d apply --filter gaussian:sigma=1vox scan.nii OUT"
    assert dict(step.files) == {"input": File("scan.nii", sha256(scan))}
    validator(schema()).validate(json.loads(held(out)))
    assert not load_volume(str(out)).notes


@pytest.mark.parametrize("name", HOLDING)
def test_other_readers_see_the_same_voxels(name, conv3d, scan, tmp_path):
    out, bare = tmp_path / name, tmp_path / f"bare.{name.partition('.')[2]}"
    conv3d("apply", scan, out, *FILTER)
    conv3d("apply", scan, bare, *FILTER, "--no-provenance")
    wanted = load_volume(str(bare)).array
    assert np.array_equal(load_volume(str(out)).array, wanted)
    if name.endswith(".h5"):
        with h5py.File(out) as file:
            assert np.array_equal(file["data"][:], wanted)
            assert decode(file["data"].attrs["conv3d_provenance"].decode()).steps
        return
    image = nibabel.load(out)
    (found,) = image.header.extensions
    assert (found.get_code(), found.text) == (6, held(out))
    assert np.array_equal(image.get_fdata(), wanted)
    assert np.array_equal(image.affine, nibabel.load(bare).affine)
    if not name.endswith(".img.gz"):  # which ITK does not read, whoever wrote it
        SimpleITK = pytest.importorskip("SimpleITK")
        itk = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(out)))
        assert np.array_equal(itk.transpose(), wanted)


def test_what_nibabel_writes_again_still_tells(conv3d, scan, tmp_path):
    conv3d("apply", scan, tmp_path / "out.nii", *FILTER)
    nibabel.save(nibabel.load(tmp_path / "out.nii"), tmp_path / "again.nii.gz")
    assert held(tmp_path / "again.nii.gz") == held(tmp_path / "out.nii")


@pytest.mark.parametrize("name", HOLDING)
def test_the_same_run_gives_the_same_bytes_wherever_it_is_done(name, conv3d, scan, tmp_path, monkeypatch):
    conv3d("apply", scan, tmp_path / name, *FILTER, "--threads", 1)
    there = tmp_path / "far" / "away"
    there.mkdir(parents=True)
    monkeypatch.chdir(there)
    shutil.copy(scan, "scan.nii")
    words = ("--threads", 2, "--max-memory", "1G", "--report", "r.json", "-vv", "--log-file", "log")
    conv3d("apply", "scan.nii", f"other-{name}", *FILTER, *words)
    assert Path(f"other-{name}").read_bytes() == (tmp_path / name).read_bytes()


@pytest.mark.parametrize("name", HOLDING)
def test_nothing_is_told_if_so_asked(name, conv3d, scan, tmp_path):
    conv3d("apply", scan, tmp_path / f"first-{name}", *FILTER)
    secret = tmp_path / f"first-{name}"
    out = tmp_path / name
    assert conv3d("apply", secret, out, *FILTER, "--no-provenance").code == 0
    assert held(out) is None
    content = out.read_bytes()
    content = gzip.decompress(content) if name.endswith(".gz") else content
    for word in (b"first", b"scan", b"conv3d", b"gaussian"):
        assert word not in content
    assert "made by" not in conv3d("info", out).out


def test_a_run_file_can_ask_for_nothing_too(conv3d, scan, tmp_path):
    (tmp_path / "run.yaml").write_text(
        "input: in/scan.nii\noutput: out.nii\nfilters: box:size=3vox\nprovenance: false\n"
    )
    assert conv3d("run", tmp_path / "run.yaml", "--report", tmp_path / "r.json").code == 0
    assert held(tmp_path / "out.nii") is None
    assert json.loads((tmp_path / "r.json").read_text())["run"]["provenance"] is False
    assert (tmp_path / "out.nii").stat().st_size == 352 + 4 * badfiles.VOXELS.size


def test_info_tells_what_became_of_the_inputs(conv3d, scan, tmp_path, monkeypatch):
    out = tmp_path / "out.nii"
    conv3d("apply", scan, out, *FILTER)
    told = conv3d("info", out, "--json").document
    assert told["made by"] == "conv3d apply --filter gaussian:sigma=1vox scan.nii OUT"
    assert told["made with"].startswith("conv3d ")
    assert told["provenance"] == json.loads(held(out))
    (file,) = told["made from"]
    assert file == {"is": "input", "name": "scan.nii", "sha256": sha256(scan), "state": "not found", "path": None}
    monkeypatch.chdir(scan.parent)
    assert "made from         input scan.nii: unchanged (scan.nii)" in conv3d("info", out).out
    scan.write_bytes(SCAN[:-1] + b"x")
    assert "made from         input scan.nii: differs (scan.nii)" in conv3d("info", out).out
    shutil.move(scan, "gone.nii")
    assert "made from         input scan.nii: not found" in conv3d("info", out).out
    beside = tmp_path / "scan.nii"
    beside.write_bytes(SCAN)
    assert f"made from         input scan.nii: unchanged ({beside})" in conv3d("info", out).out


def test_a_report_says_where_the_inputs_are(conv3d, scan, tmp_path, spec):
    out = tmp_path / "out" / "scan.nii"  # named as its input, which it is not
    out.parent.mkdir()
    np.savez(tmp_path / "w.npz", kernel=np.ones((3, 3, 3, 1, 1), "f4"), bias=np.zeros(1, "f4"))
    words = ("--spec", spec(), "--weights", tmp_path / "w.npz", "--report", f"{out}.json")
    assert conv3d("apply", scan, out, *words).code == 0
    files = conv3d("info", out, "--json").document["made from"]
    assert [(file["is"], file["state"], Path(file["path"])) for file in files] == [
        ("input", "unchanged", scan),
        ("spec", "unchanged", spec()),
        ("weights", "unchanged", tmp_path / "w.npz"),
    ]
    Path(f"{out}.json").unlink()
    states = [file["state"] for file in conv3d("info", out, "--json").document["made from"]]
    assert states == ["not found", "not found", "not found"]


def test_an_npy_volume_is_told_of_by_its_report(conv3d, volume, tmp_path):
    out, report = tmp_path / "out.npy", tmp_path / "out.npy.json"
    assert conv3d("apply", volume(), out, *FILTER, "--report", report).code == 0
    document = json.loads(report.read_text())
    validator(report_schema()).validate(document)
    assert read(document["provenance"]).steps[0].files["input"].sha256 == sha256(volume())
    assert f"made from         input in.npy: unchanged ({volume()})" in conv3d("info", out).out
    os.utime(out, ns=(report.stat().st_mtime_ns + 1,) * 2)
    assert "made by" not in conv3d("info", out).out
    os.utime(report, ns=(out.stat().st_mtime_ns + 1,) * 2)
    for text in (
        "{",
        "[]",
        "{}",
        "null",
        '{"report": "conv3d-run"}',
        '{"report": "conv3d-run", "provenance": 3}',
        "[" * 10**5,
    ):
        report.write_text(text)
        told = conv3d("info", out)
        assert (told.code, "made by" in told.out, told.err) == (0, False, "")
    for steps in ("[]", "[3]", '{"a": 1}', "null"):
        report.write_text(f'{{"report": "conv3d-run", "provenance": {{"conv3d_provenance": 1, "steps": {steps}}}}}')
        told = conv3d("info", out)
        assert (told.code, "made by" in told.out, told.err) == (0, False, "")


def test_a_chain_tells_all_its_steps(conv3d, scan, tmp_path):
    runs = (
        (scan, tmp_path / "1.nii.gz", *FILTER),
        (tmp_path / "1.nii.gz", tmp_path / "2.h5", "--filter", "laplacian:per=mm"),
        (tmp_path / "2.h5", tmp_path / "3.hdr", "--filter", "box:size=6mm", "--dtype", "int16"),
    )
    for words in runs:
        told = conv3d("apply", *words)
        assert told.code == 0, told.err
    steps = decode(held(tmp_path / "3.hdr")).steps
    assert [step.command for step in steps] == [
        "conv3d apply --filter gaussian:sigma=1vox scan.nii OUT",
        "conv3d apply --filter laplacian:per=mm 1.nii.gz OUT",
        "conv3d apply --filter box:size=6mm --dtype int16 2.h5 OUT",
    ]
    told = conv3d("info", tmp_path / "3.img", "--json").document
    assert told["made before"] == [step.command for step in steps[:2]]
    assert told["made from"][0]["state"] == "unchanged"


def test_a_pipe_tells_what_came_through_it(scan, tmp_path):
    words = [sys.executable, "-m", "conv3d_cli", "apply", "-q", *FILTER, "--no-provenance"]
    first = subprocess.run([*words[:-1], scan, "-"], capture_output=True, check=True).stdout
    subprocess.run([*words[:-1], "-", tmp_path / "out.nii"], input=first, check=True)
    history = decode(held(tmp_path / "out.nii"))
    assert [step.files["input"].name for step in history.steps] == ["scan.nii", "-"]
    assert history.steps[1].files["input"].sha256 == hashlib.sha256(first).hexdigest()


def test_a_named_pipe_is_read_once(conv3d, scan, tmp_path):
    pipe = tmp_path / "pipe.nii"
    os.mkfifo(pipe)
    child = subprocess.Popen(["cp", scan, pipe])
    assert conv3d("apply", pipe, tmp_path / "out.nii", *FILTER).code == 0
    child.wait(30)
    assert decode(held(tmp_path / "out.nii")).steps[0].files["input"] == File("pipe.nii", sha256(scan))


def test_what_is_no_regular_file_has_no_hash(scan):
    found = Hashes({"device": ("/dev/null",), "stream": (), "pair": (str(scan), str(scan))}).found()
    assert found == {"device": None, "stream": None, "pair": hashlib.sha256(2 * SCAN).hexdigest()}


def test_every_file_that_is_read_is_told(conv3d, scan, tmp_path, monkeypatch):
    np.save(tmp_path / "psf.npy", np.ones((3, 3, 3)))
    shutil.copy(scan, tmp_path / "mask.nii")
    shutil.copy(scan, tmp_path / "like.nii")
    words = ("--mask", tmp_path / "mask.nii", "--like", tmp_path / "like.nii")
    told = conv3d("apply", scan, tmp_path / "o.nii", "--filter", f"custom:file={tmp_path / 'psf.npy'}", *words)
    assert told.code == 0
    (step,) = decode(held(tmp_path / "o.nii")).steps
    assert step.command == "conv3d apply --filter custom:file=psf.npy --mask mask.nii --like like.nii scan.nii OUT"
    assert {role: file.name for role, file in step.files.items()} == {
        "input": "scan.nii", "mask": "mask.nii", "like": "like.nii", "kernel": "psf.npy",
    }  # fmt: skip
    assert all(file.sha256 == sha256(next(tmp_path.rglob(file.name))) for file in step.files.values())
    monkeypatch.chdir(tmp_path)
    shutil.copy(scan, ".")
    assert conv3d(*shlex.split(step.command)[1:-1], "again.nii").code == 0
    assert Path("again.nii").read_bytes() == Path("o.nii").read_bytes()


def test_layers_of_a_run_file_are_told_without_folders(conv3d, scan, tmp_path):
    np.save(tmp_path / "in" / "psf.npy", np.ones((3, 3, 3)))
    (tmp_path / "run.yaml").write_text(
        "input: in/scan.nii\noutput: out.nii\nlayers:\n- filters: 1\n  kernel_size: 3\n  use_bias: false\n"
        "  kernel_initializer: {class_name: custom, config: {file: in/psf.npy}}\n"
    )
    assert conv3d("run", tmp_path / "run.yaml").code == 0
    (step,) = decode(held(tmp_path / "out.nii")).steps
    assert step.layers["layers"][0]["kernel_initializer"]["config"]["file"] == "psf.npy"
    assert step.files["kernel"] == File("psf.npy", sha256(tmp_path / "in" / "psf.npy"))
    assert str(tmp_path) not in held(tmp_path / "out.nii")


def test_an_option_that_changes_the_output_is_told_and_no_other(conv3d, scan, tmp_path, monkeypatch):
    monkeypatch.setenv("CONV3D_SEED", "7")
    words = ("--threads", 1, "--max-memory", "1G", "--overwrite", "-q", "--nan", "missing", "--flip", "--axes", "xyz")
    conv3d("apply", *FILTER, *words, scan, tmp_path / "-o.nii")
    (step,) = decode(held(tmp_path / "-o.nii")).steps
    command = "conv3d apply --filter gaussian:sigma=1vox --flip --nan missing --axes xyz --seed 7 scan.nii OUT"
    assert step.command == command
    shutil.copy(scan, tmp_path / "-scan.nii")
    monkeypatch.chdir(tmp_path)
    conv3d("apply", *FILTER, "--", "-scan.nii", "o.nii")
    assert decode(held("o.nii")).steps[0].command.endswith("1vox --seed 7 -- -scan.nii OUT")


def test_a_history_has_a_bound():
    history = History()
    for i in range(40):
        files = {"input": File(f"{i}.npy", "0" * 64)}
        history = history.then(Step(f"conv3d apply --filter box {i}.npy OUT", "0.1.0", "generic", files))
    assert (len(history.steps), history.left_out) == (16, 24)
    assert decode(history.text()) == history
    long = History().then(STEP)
    for size in (MOST_BYTES // 2, 1000, MOST_BYTES // 2, MOST_BYTES - 2000, MOST_BYTES):
        long = long.then(Step("x" * 100, "0.1.0", "generic", {}, {"layers": ["y" * size]}))
        text = long.text()
        assert len(text) <= MOST_BYTES
        assert decode(text).steps[-1].command == "x" * 100
        assert decode(text).left_out + len(decode(text).steps) == long.left_out + len(long.steps)
        assert (decode(text).steps[-1].layers is None) == (size == MOST_BYTES)
    assert long.then(Step("x" * MOST_BYTES, "", "", {})).text() is None


def test_what_finds_no_room_is_told_of(conv3d, scan, tmp_path, monkeypatch):
    monkeypatch.setattr("conv3d_cli.provenance.steps.MOST_BYTES", 100)
    told = conv3d("apply", scan, tmp_path / "out.nii", *FILTER)
    assert (told.code, told.err.count("does not hold how it was made")) == (0, 1)
    assert held(tmp_path / "out.nii") is None


TEXT = History((STEP,)).text()
DAMAGED = {
    "cut": TEXT[:-1],
    "another version": TEXT.replace(":1,", ":2,", 1),
    "no steps": MARK + "1}",
    "no step": MARK + '1,"steps":[]}',
    "steps of nothing": MARK + '1,"steps":[null]}',
    "a number for a name": TEXT.replace('"a.npy"', "3"),
    "a list for files": TEXT.replace('"files":{', '"files":[{', 1).replace("}}}", "}}]}"),
    "a text for layers": TEXT.replace('"files"', '"layers":"x","files"'),
    "left out of nothing": MARK + '1,"left_out":-1,"steps":[]}',
    "too deep": MARK + "[" * 30_000,
    "a long number": MARK + "9" * 30_000 + "}",
    "nothing but a mark": MARK,
}  # fmt: skip


def extended(content: bytes, *, end: int | None = None, order: str = "<") -> bytes:
    """Return a good volume with these bytes between header and voxels."""
    header = bytearray(SCAN[:348])
    header[108:112] = struct.pack("<f", 352 + len(content) if end is None else end)
    return bytes(header) + b"\1\0\0\0" + content + SCAN[352:]


FOREIGN = {
    "a comment of somebody": struct.pack("<ii", 32, 6) + b"just a comment\0\0\0\0\0\0\0\0\0\0",
    "of AFNI": struct.pack("<ii", 32, 4) + MARK.encode().ljust(24),
    "size 0": struct.pack("<ii", 0, 6) + bytes(8),
    "size 8": struct.pack("<ii", 8, 6) + bytes(8),
    "a negative size": struct.pack("<ii", -16, 6) + bytes(8),
    "an odd size": struct.pack("<ii", 17, 6) + bytes(24),
    "a size beyond the voxels": struct.pack("<ii", 1 << 30, 6) + bytes(8),
    "a size beyond its end": struct.pack("<ii", 48, 6) + bytes(24),
    "half a head": bytes(4),
    "no extension": b"",
    "too long": extension(MARK + " " * MOST_BYTES),
    "not ASCII": struct.pack("<ii", 32, 6) + MARK.encode().ljust(24, b"\xff"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_what_is_none_of_ours_is_left_out_and_told_so(name, conv3d, tmp_path):
    path = tmp_path / "a.nii"
    path.write_bytes(extended(FOREIGN[name]))
    told = conv3d("info", path, "--json").document
    assert "made by" not in told
    assert told["notes"] == ["the header's extensions are not carried to an output"]
    assert np.array_equal(load_volume(str(path)).array, badfiles.VOXELS)
    assert conv3d("apply", path, tmp_path / "o.nii", *FILTER).code == 0
    assert len(decode(held(tmp_path / "o.nii")).steps) == 1


@pytest.mark.parametrize("name", DAMAGED)
def test_what_is_damaged_breaks_nothing(name, conv3d, tmp_path):
    path, other = tmp_path / "a.nii", tmp_path / "a.h5"
    path.write_bytes(extended(extension(DAMAGED[name])))
    with h5py.File(other, "w") as file:
        file["data"] = badfiles.VOXELS
        file["data"].attrs["conv3d_provenance"] = np.bytes_(DAMAGED[name])
    for volume in (path, other):
        told = conv3d("info", volume, "--json").document
        assert "made by" not in told
        assert [note for note in told["notes"] if note.startswith("how it was made cannot be told")]
        assert np.array_equal(load_volume(str(volume)).array, badfiles.VOXELS)
        ran = conv3d("apply", volume, tmp_path / "o.nii", *FILTER, "--overwrite")
        assert (ran.code, ran.err.count("how it was made is not told on")) == (0, 1)
        assert len(decode(held(tmp_path / "o.nii")).steps) == 1


def test_ours_is_found_among_others_in_either_byte_order(conv3d, tmp_path):
    path = tmp_path / "a.nii"
    path.write_bytes(extended(FOREIGN["of AFNI"] + extension(TEXT) + FOREIGN["a comment of somebody"]))
    told = conv3d("info", path, "--json").document
    assert told["made by"] == STEP.command
    assert told["notes"] == ["the header's extensions are not carried to an output"]
    image = nibabel.Nifti1Image(badfiles.VOXELS, np.eye(4), nibabel.Nifti1Header(endianness=">"))
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", TEXT.encode()))
    nibabel.save(image, path)
    assert path.read_bytes()[:4] == b"\0\0\1\x5c"
    assert held(path) == TEXT


def test_only_so_much_is_looked_at(tmp_path):
    path = tmp_path / "a.nii"
    big = struct.pack("<ii", MOST_LOOKED_AT, 4).ljust(MOST_LOOKED_AT, b"\0")
    path.write_bytes(extended(big + extension(TEXT)))
    assert held(path) is None
    assert np.array_equal(load_volume(str(path)).array, badfiles.VOXELS)


def test_a_header_of_a_pair_may_end_anywhere(tmp_path):
    made = b"\1\0\0\0" + extension(TEXT)
    (tmp_path / "a.img").write_bytes(badfiles.GOOD[352:])
    for cut in (*range(12), 20, len(made) - 1):
        (tmp_path / "a.hdr").write_bytes(badfiles.GOOD_PAIR[:348] + made[:cut])
        assert held(tmp_path / "a.hdr") is None
    (tmp_path / "a.hdr").write_bytes(badfiles.GOOD_PAIR[:348] + made)
    assert held(tmp_path / "a.hdr") == TEXT
    assert np.array_equal(load_volume(str(tmp_path / "a.img")).array, badfiles.VOXELS)


@pytest.mark.parametrize(
    "value",
    [TEXT, 3, np.bytes_([TEXT, TEXT]), np.bytes_("another text"), np.bytes_(MARK + " " * MOST_BYTES), h5py.Empty("S4")],
    ids=["of any length", "a number", "several", "another", "too long", "empty"],
)
def test_an_attribute_of_another_kind_is_none(value, conv3d, tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["data"] = badfiles.VOXELS
        file["data"].attrs["conv3d_provenance"] = value
    assert held(path) is None
    assert conv3d("apply", path, tmp_path / "o.h5", *FILTER).code == 0
    assert len(decode(held(tmp_path / "o.h5")).steps) == 1
    conv3d("apply", path, tmp_path / "bare.h5", *FILTER, "--no-provenance")
    with h5py.File(tmp_path / "bare.h5") as file:
        assert not file["data"].attrs.keys()


def test_names_from_a_file_lead_nowhere_else(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    (tmp_path / "secret").write_bytes(b"x")
    digest = sha256(tmp_path / "secret")
    made = str(tmp_path / "sub" / "out.nii")
    assert look(File("secret", digest), "input", made, {}).state == "unchanged"
    os.mkfifo(tmp_path / "pipe.nii")
    for name in (str(tmp_path / "secret"), "../secret", "sub/../secret", "-", "", "pipe.nii", "a\0b", "sub"):
        assert look(File(name, digest), "input", made, {}) == ("not found", None), name


def test_a_name_that_is_no_text_is_told_in_ascii(conv3d, scan, tmp_path):
    odd = tmp_path / os.fsdecode(b"\xff odd\n.nii")
    shutil.copy(scan, odd)
    assert conv3d("apply", odd, tmp_path / "out.nii", *FILTER).code == 0
    assert decode(held(tmp_path / "out.nii")).steps[0].files["input"].name == odd.name
    assert "input \\udcff odd\\n.nii: unchanged" in conv3d("info", tmp_path / "out.nii").out


def test_a_file_that_goes_away_is_an_error_of_one_line(conv3d, scan, tmp_path, monkeypatch):
    from conv3d_cli.provenance import hashes

    monkeypatch.setattr(hashes, "sha256_of_files", lambda *names: open_volume(str(tmp_path / "gone.nii")))
    told = conv3d("apply", scan, tmp_path / "out.nii", *FILTER)
    assert (told.code, beside_the_kernels(told.err).count("\n")) == (3, 1)
    assert not (tmp_path / "out.nii").exists()
