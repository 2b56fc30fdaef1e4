"""Small datasets as BIDS arranges them, and BIDS's own validator."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np

TR = 2.5


def volume(path: Path, seed: int = 0, shape=(7, 8, 9), tr: float | None = None) -> Path:
    """Write an image whose voxels are the seed's own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.random.default_rng(seed).integers(1, 99, shape).astype(np.int16)
    image = nibabel.Nifti1Image(array, np.diag([2.0, 2.0, 2.0, 1.0]))
    image.header.set_xyzt_units("mm", "sec")
    image.set_sform(image.affine, 1)
    image.set_qform(image.affine, 1)
    if tr is not None:
        image.header["pixdim"][4] = tr
    nibabel.save(image, path)
    return path


def text(path: Path, content) -> Path:
    """Write a text, or JSON of what is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def described(root: Path, **more) -> None:
    """Write what a dataset says of itself."""
    text(root / "dataset_description.json", {"Name": "Tiny", "BIDSVersion": "1.9.0", "DatasetType": "raw", **more})


def dataset(root: Path) -> Path:
    """Write a dataset of two participants and two sessions, with T1w and resting bold, and much that is not for us."""
    described(root, DatasetDOI="doi:10.18112/tiny.v1")
    text(root / "README", "A tiny dataset. " * 20)
    text(root / "participants.tsv", "participant_id\nsub-01\nsub-02\n")
    text(root / "task-rest_bold.json", {"TaskName": "rest", "RepetitionTime": 9.0, "SliceTiming": [0, 1]})
    text(root / "T1w.json", {"EchoTime": 0.003})
    for seed, participant in enumerate(("01", "02")):
        for session in ("pre", "post"):
            folder, name = root / f"sub-{participant}" / f"ses-{session}", f"sub-{participant}_ses-{session}"
            volume(folder / "anat" / f"{name}_T1w.nii.gz", seed)
            volume(folder / "func" / f"{name}_task-rest_bold.nii.gz", seed, (7, 8, 9, 3), TR)
            text(folder / f"{name}_task-rest_bold.json", {"RepetitionTime": TR})
    volume(root / "derivatives" / "other" / "sub-01" / "anat" / "sub-01_desc-x_T1w.nii.gz")
    volume(root / "sourcedata" / "sub-01" / "anat" / "sub-01_T1w.nii.gz")
    volume(root / "code" / "sub-01_T1w.nii.gz")
    return root


def tree(root: Path) -> dict[str, bytes]:
    """Return what the files of a dataset hold, without those that tell of times."""
    of_times = [*root.rglob("*.nii.gz.json"), *root.glob("summary*.json"), *root.glob(".conv3d/**/*")]
    kept = sorted({path for path in root.rglob("*") if path.is_file()} - {*of_times})
    return {str(path.relative_to(root)): path.read_bytes() for path in kept}


def complaints(root: Path) -> list[str]:
    """Return the errors that BIDS's validator finds in a dataset."""
    words = [sys.executable, "-c", "from bids_validator_deno import cli; cli()", "--json", str(root)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, env={**os.environ, "NO_COLOR": "1"})
    issues = json.loads(done.stdout)["issues"]["issues"]
    return [f"{one['code']} {one.get('subCode', '')} {one['location']}" for one in issues if one["severity"] == "error"]
