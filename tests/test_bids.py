"""Datasets as BIDS arranges them: names, images, what is inherited, what lies beside a derivative."""

from __future__ import annotations

import json
import os
from pathlib import Path

import datasets
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conv3d_cli.bids import Dataset, Derivative, Selection, masks_of, select
from conv3d_cli.bids.files import json_bytes
from conv3d_cli.bids.inherit import Inheritance
from conv3d_cli.bids.names import ORDER, Name
from conv3d_cli.bids.sidecar import description, keeps_units, sidecar
from conv3d_cli.errors import InputError, OutputError, UsageError
from conv3d_cli.filters import Filter

WORDS = {
    "spec_path": None,
    "weights_path": None,
    "mask_path": None,
    "labels_path": None,
    "like_path": None,
    "outside": None,
}
HASH = "a1" * 32
MADE_FROM = {"version": "1", "option --filter": '["box:size=3vox"]', "--mask": HASH, "data format": "x"}


@pytest.fixture
def root(tmp_path):
    return datasets.dataset(tmp_path / "ds")


def places(root: Path, **words) -> list[str]:
    return [image.place.name for image in select(Dataset(str(root)), Selection(**words))]


def image_of(root: Path, name: str):
    return next(image for image in select(Dataset(str(root)), Selection()) if image.place.name == name)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sub-01_T1w.nii.gz", "sub-01_desc-a_T1w.nii.gz"),
        ("sub-01_ses-1_run-02_bold.nii", "sub-01_ses-1_run-02_desc-a_bold.nii"),
        ("sub-01_desc-preproc_T1w.nii", "sub-01_desc-a_T1w.nii"),
        ("sub-01_space-MNI_desc-x_res-2_T1w.nii", "sub-01_space-MNI_res-2_desc-a_T1w.nii"),
        ("sub-01_run-1_task-rest_bold.nii", "sub-01_task-rest_run-1_desc-a_bold.nii"),
        ("sub-01_new-1_T1w.nii", "sub-01_new-1_desc-a_T1w.nii"),
    ],
)
def test_a_derivative_keeps_its_name_in_the_order_of_bids(text, expected):
    assert str(Name.parse(text).described("a")) == expected


@pytest.mark.parametrize(
    "text", ["sub-01.nii", "sub-01_T1w", "sub-01__T1w.nii", "sub-01_sub-02_T1w.nii", "brain scan.nii"]
)
def test_a_name_that_is_none(text):
    assert Name.parse(text) is None


@given(
    st.lists(st.sampled_from(ORDER[:-1]), unique=True, min_size=1).flatmap(st.permutations),
    st.sampled_from(["", "desc-x_"]),
)
def test_any_name_is_taken_apart_and_put_in_order(keys, before):
    text = "".join(f"{key}-{number}_" for number, key in enumerate(keys)) + f"{before}bold.nii"
    name = Name.parse(text)
    assert str(name) == text
    made = name.described("y")
    assert [key for key, _ in made.entities] == [key for key in ORDER if key in {*keys, "desc"}]
    assert set(made.entities) - {("desc", "y")} == set(name.entities) - {("desc", "x")}
    assert made.described("y") == made
    assert name.described(None).applies_to(made)


def test_the_order_of_entities_has_each_once():
    assert len(set(ORDER)) == len(ORDER)
    assert ORDER[-1] == "desc"


def test_all_images_are_found_and_nothing_else(root):
    found = places(root)
    assert len(found) == 8
    assert all("desc" not in name for name in found)
    assert found[0] == "sub-01_ses-post_T1w.nii.gz"


def test_a_dataset_without_sessions_beside_one_with(root):
    datasets.volume(root / "sub-03" / "anat" / "sub-03_T1w.nii")
    assert places(root, participants=["03"]) == ["sub-03_T1w.nii"]


@pytest.mark.parametrize(
    ("words", "count"),
    [
        ({"participants": ["01"]}, 4),
        ({"participants": ["sub-01", "02"]}, 8),
        ({"sessions": ["pre"]}, 4),
        ({"sessions": ["ses-pre"], "datatypes": ["anat"]}, 2),
        ({"suffixes": ["T1w"]}, 4),
        ({"suffixes": ["T1w", "bold"]}, 8),
        ({"entities": ["task-rest"]}, 4),
        ({"entities": ["sub-01", "sub-02", "ses-pre"]}, 4),
    ],
)
def test_what_is_selected(root, words, count):
    assert len(places(root, **words)) == count


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            {"participants": ["03", "01"]},
            r"--participant-label: 03: no participant of '.*' has it: expected some of 01, 02",
        ),
        (
            {"participants": ["a/b"]},
            "--participant-label: got 'a/b', expected letters and digits, such as sub-01 or 01",
        ),
        ({"sessions": ["mid"]}, "--session-label: mid: no image has it: expected some of post, pre"),
        ({"datatypes": ["dwi"]}, "--datatype: dwi: no image has it: expected some of anat, func"),
        ({"suffixes": ["T1"]}, "--suffix: T1: no image has it: expected some of T1w, bold; did you mean 'T1w'"),
        ({"entities": ["task-nback"]}, "--entity: task-nback: no image has it: expected some of task-rest"),
        ({"entities": ["acq-x"]}, "--entity: acq-x: no image has it: expected some of none"),
        ({"entities": ["task"]}, "--entity: got 'task', expected one with its label, such as task-rest"),
        (
            {"participants": ["01"], "datatypes": ["anat"], "suffixes": ["bold"]},
            "--suffix: bold: .* expected some of T1w",
        ),
    ],
)
def test_what_no_image_has_is_told_with_what_there_is(root, words, told):
    with pytest.raises(UsageError, match=told):
        places(root, **words)


def test_masks_and_segmentations_only_by_their_suffix(root):
    anat = root / "sub-01" / "ses-pre" / "anat"
    for name in ("desc-brain_mask", "dseg", "label-GM_probseg"):
        datasets.volume(anat / f"sub-01_ses-pre_{name}.nii.gz")
    assert len(places(root)) == 8
    assert places(root, suffixes=["dseg"]) == ["sub-01_ses-pre_dseg.nii.gz"]


def test_what_bidsignore_names_is_left_out(root):
    datasets.text(root / ".bidsignore", "# not these\nsub-02/\n*_bold.nii.gz\n!sub-01_ses-pre_task-rest_bold.nii.gz\n")
    kept = ["sub-01_ses-post_T1w.nii.gz", "sub-01_ses-pre_T1w.nii.gz", "sub-01_ses-pre_task-rest_bold.nii.gz"]
    assert places(root) == kept
    with pytest.raises(UsageError, match="expected some of 01"):
        places(root, participants=["02"])


def test_a_volume_that_is_misnamed_or_misplaced_is_told(root):
    anat = root / "sub-01" / "ses-pre" / "anat"
    strange = [
        datasets.volume(anat / name) for name in ("sub-02_ses-pre_T1w.nii", "T1.v2.nii", "sub-01_T1w.nii", "T1w.nii")
    ]
    datasets.volume(anat / "sub-01_ses-pre_space-fsLR_bold.dtseries.nii")
    data = Dataset(str(root))
    assert len(select(data, Selection())) == 8
    assert sorted(data.misnamed) == sorted(map(str, strange))


def test_a_link_to_what_is_not_fetched_is_an_image(root):
    (root / "sub-01" / "ses-pre" / "anat" / "sub-01_ses-pre_T2w.nii.gz").symlink_to(".git/annex/none")
    assert places(root, suffixes=["T2w"]) == ["sub-01_ses-pre_T2w.nii.gz"]


def test_what_is_no_dataset(root, tmp_path):
    with pytest.raises(
        UsageError, match=r"no dataset: expected a folder with a dataset_description.json; '.*ds' is one"
    ):
        Dataset(str(root / "sub-01"))
    with pytest.raises(UsageError, match=r"dataset_description.json$"):
        Dataset(str(tmp_path))
    datasets.described(tmp_path / "empty")
    with pytest.raises(InputError, match="no images"):
        select(Dataset(str(tmp_path / "empty")), Selection())
    for bad in ("[1]", "{", "\xff"):
        (root / "dataset_description.json").write_bytes(bad.encode("latin-1"))
        with pytest.raises(InputError, match="dataset_description"):
            Dataset(str(root))


def test_the_deeper_sidecar_is_right_and_the_one_with_more_entities(root):
    image = image_of(root, "sub-01_ses-pre_task-rest_bold.nii.gz")
    inherited = Inheritance(Dataset(str(root))).metadata(image)
    assert inherited == {"TaskName": "rest", "RepetitionTime": datasets.TR, "SliceTiming": [0, 1]}
    datasets.text(root / "bold.json", {"TaskName": "any", "Manufacturer": "X"})
    datasets.text(root / "task-rest_acq-y_bold.json", {"TaskName": "no"})
    datasets.text(root / "task-rest_T1w.json", {"TaskName": "no"})
    datasets.text(image_path(image).with_name("sub-01_ses-pre_task-rest_bold.json"), {"EchoTime": 1})
    inherited = Inheritance(Dataset(str(root))).metadata(image)
    assert inherited["TaskName"] == "rest"
    assert (inherited["Manufacturer"], inherited["EchoTime"]) == ("X", 1)


def image_path(image) -> Path:
    return Path(image.path)


def test_a_sidecar_that_cannot_be_read_is_told_before_any_work(root, tmp_path):
    datasets.text(root / "bold.json", "{]")
    data = Dataset(str(root))
    with pytest.raises(InputError, match=r"bold.json': not JSON"):
        Derivative(str(tmp_path / "out"), data, None).check(select(data, Selection()), "error")


@pytest.mark.parametrize(
    ("filters", "kept"),
    [
        (["gaussian:fwhm=6mm", "box:size=3vox"], True),
        (["gaussian:fwhm=6mm,order=1x0x0"], False),
        (["sobel"], False),
        ([], False),
    ],
)
def test_units_are_passed_on_where_they_stay_what_they_were(root, filters, kept):
    words = {**WORDS, "filters": [Filter.parse(text) for text in filters], "spec_path": None if filters else "a/b.yaml"}
    assert keeps_units(words) == kept
    image = image_of(root, "sub-01_ses-pre_T1w.nii.gz")
    made = sidecar(image, {"Units": "Hz", "SliceTiming": [1], "IntendedFor": "x"}, "raw", words, MADE_FROM)
    assert made == {
        **({"Units": "Hz"} if kept else {}),
        "SkullStripped": False,
        "Conv3d": {
            "Version": "1",
            "Options": {"filter": ["box:size=3vox"], "data format": "x"},
            "Files": {} if filters else {"spec": "b.yaml"},
            "SHA256": {"--mask": HASH},
        },
    }


@pytest.mark.parametrize(
    ("name", "said", "link", "expected"),
    [
        ("sub-01_T1w.nii", None, "raw", False),
        ("sub-01_T1w.nii", True, "raw", True),
        ("sub-01_desc-brain_T1w.nii", None, "source", True),
        ("sub-01_desc-preproc_T1w.nii", None, "source", None),
        ("sub-01_desc-preproc_T1w.nii", False, "source", False),
    ],
)
def test_a_skull_is_called_stripped_only_where_that_is_known(tmp_path, name, said, link, expected):
    datasets.described(tmp_path, DatasetType="raw" if link == "raw" else "derivative")
    datasets.volume(tmp_path / "sub-01" / "anat" / name)
    words = {**WORDS, "filters": [Filter.parse("sobel")]}
    metadata = {} if said is None else {"SkullStripped": said}
    made = sidecar(image_of(tmp_path, name), metadata, link, words, MADE_FROM)
    assert made.get("SkullStripped") is expected


def test_a_description_says_what_was_done():
    box = [Filter.parse("box:size=5vox"), Filter.parse("laplacian")]
    assert description({**WORDS, "filters": box}) == "Filtered with box:size=5vox, then laplacian"
    masked = {**WORDS, "filters": box[:1], "mask_path": "a/m.nii"}
    assert description(masked) == "Filtered with box:size=5vox, inside m.nii"
    assert description({**WORDS, "filters": [], "spec_path": "a/b.yaml"}) == "Convolved with the layers of b.yaml"
    assert description({**WORDS, "filters": []}) == "Convolved with the layers of a run file"


@pytest.mark.parametrize("desc", ["a b", "a-b", "", "a_b", "ä", "../x"])
def test_a_desc_has_letters_and_digits(root, tmp_path, desc):
    with pytest.raises(UsageError, match=r"--desc: got .*, expected letters and digits, such as smooth"):
        Derivative(str(tmp_path / "out"), Dataset(str(root)), desc)


@pytest.mark.parametrize("folder", ["", "sub-01", "out", "code/conv3d"])
def test_derivatives_lie_apart_from_what_was_recorded(root, folder):
    with pytest.raises(UsageError, match=r"lies in the dataset itself: expected such as '.*ds/derivatives/conv3d'"):
        Derivative(str(root / folder), Dataset(str(root)), None)


def test_two_images_of_one_name_are_told(tmp_path):
    datasets.described(tmp_path / "ds", DatasetType="derivative")
    for desc in ("a", "b"):
        datasets.volume(tmp_path / "ds" / "sub-01" / "anat" / f"sub-01_desc-{desc}_T1w.nii.gz")
    data = Dataset(str(tmp_path / "ds"))
    made = Derivative(str(tmp_path / "out"), data, None)
    with pytest.raises(
        UsageError, match=r"would both become 'sub-01/anat/sub-01_desc-conv3d_T1w.nii.gz': expected one"
    ):
        made.check(select(data, Selection()), "error")
    made.check(select(data, Selection(entities=["desc-a"])), "error")


def test_links_of_the_source_are_passed_on(tmp_path):
    links = {"raw": "../raw", "atlas": "https://a.org/x"}
    datasets.described(tmp_path / "ds", DatasetType="derivative", DatasetLinks=links)
    datasets.volume(tmp_path / "ds" / "sub-01" / "anat" / "sub-01_desc-preproc_T1w.nii.gz")
    beside = tmp_path / "ds" / "sub-01" / "anat" / "sub-01_desc-preproc_T1w.json"
    datasets.text(beside, {"SpatialReference": {"A": ["bids::sub-01/x.nii"], "B": "bids:raw:y.nii"}})
    data = Dataset(str(tmp_path / "ds"))
    out = tmp_path / "ds" / "derivatives" / "conv3d"
    (out / "sub-01" / "anat").mkdir(parents=True)
    made = Derivative(str(out), data, "s")
    (image,) = select(data, Selection())
    made.describe("conv3d")
    document = json.loads((out / "dataset_description.json").read_text())
    assert document["DatasetLinks"] == {"raw": "../../../raw", "atlas": "https://a.org/x", "source": "../.."}
    made.tell(image, {**WORDS, "filters": [Filter.parse("sobel")]}, MADE_FROM)
    told = json.loads((out / "sub-01" / "anat" / "sub-01_desc-s_T1w.json").read_text())
    assert told["SpatialReference"] == {"A": ["bids:source:sub-01/x.nii"], "B": "bids:raw:y.nii"}
    assert told["Sources"] == ["bids:source:sub-01/anat/sub-01_desc-preproc_T1w.nii.gz"]


@pytest.mark.parametrize(
    ("folder", "link"),
    [("ds/derivatives/a", "../.."), ("ds/derivatives/a/b", "../../.."), ("a", "../ds"), ("a/b", "file://{}/ds")],
)
def test_where_the_source_is_seen_from_a_derivative(root, tmp_path, folder, link):
    out = tmp_path / folder
    out.mkdir(parents=True)
    Derivative(str(out), Dataset(str(root)), None).describe("conv3d")
    links = json.loads((out / "dataset_description.json").read_text())["DatasetLinks"]
    assert links == {"raw": link.format(tmp_path)}


def test_links_of_a_source_elsewhere(tmp_path):
    datasets.described(tmp_path / "a" / "ds", DatasetType="derivative", DatasetLinks={"raw": "../raw"})
    out = tmp_path / "b" / "out"
    out.mkdir(parents=True)
    Derivative(str(out), Dataset(str(tmp_path / "a" / "ds")), None).describe("conv3d")
    links = json.loads((out / "dataset_description.json").read_text())["DatasetLinks"]
    assert links == {"raw": f"file://{tmp_path}/a/raw", "source": f"file://{tmp_path}/a/ds"}


def test_a_dataset_of_two_sources_names_both(root, tmp_path):
    one, two = root / "derivatives" / "one", root / "derivatives" / "two"
    for folder, source in ((one, root), (two, one), (two, root), (two, one)):
        folder.mkdir(exist_ok=True)
        Derivative(str(folder), Dataset(str(source)), None).describe("conv3d")
    document = json.loads((two / "dataset_description.json").read_text())
    assert document["DatasetLinks"] == {"raw": "../..", "source": "../one"}
    assert document["SourceDatasets"] == [{"URL": "../one"}, {"URL": "../..", "DOI": "doi:10.18112/tiny.v1"}]


def test_a_dataset_that_is_not_ours_is_left_alone(root, tmp_path):
    out = tmp_path / "out"
    datasets.described(out, DatasetType="derivative", GeneratedBy=[{"Name": "other"}])
    with pytest.raises(OutputError, match="is there already, and not by conv3d: expected another --out-dir"):
        Derivative(str(out), Dataset(str(root)), None)
    links = {"raw": "file:///elsewhere"}
    datasets.described(out, GeneratedBy=[{"Name": "conv3d"}], DatasetLinks=links)
    with pytest.raises(OutputError, match=r"holds derivatives of 'file:///elsewhere': got '../ds', expected another"):
        Derivative(str(out), Dataset(str(root)), None)


def test_what_others_say_of_our_dataset_stays(root, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    Derivative(str(out), Dataset(str(root)), None).describe("conv3d one")
    path = out / "dataset_description.json"
    document = json.loads(path.read_text())
    assert document["SourceDatasets"] == [{"URL": "../ds", "DOI": "doi:10.18112/tiny.v1"}]
    document |= {"Name": "Mine", "Authors": ["A", "B"]}
    document["GeneratedBy"].insert(0, {"Name": "curated"})
    path.write_text(json.dumps(document))
    (out / ".bidsignore").write_text("mine.txt")
    (out / "README.md").write_text("mine")
    Derivative(str(out), Dataset(str(root)), None).describe("conv3d two")
    again = json.loads(path.read_text())
    document["GeneratedBy"][-1]["Command"] = "conv3d two"
    assert again == document
    assert (out / "README.md").read_text() == "mine"
    assert (out / ".bidsignore").read_text().splitlines()[:2] == ["mine.txt", "*.nii.json"]


@pytest.fixture
def masked(tmp_path):
    """A dataset of derivatives as preprocessing leaves it: images on two grids, and masks."""
    root = tmp_path / "prep"
    datasets.described(root, DatasetType="derivative")
    func = root / "sub-01" / "func"
    for name in ("task-a_run-1", "task-a_run-2", "task-a_run-1_space-MNI"):
        datasets.volume(func / f"sub-01_{name}_desc-preproc_bold.nii.gz")
    for name in ("task-a", "task-a_run-2", "task-a_run-1_space-MNI"):
        datasets.volume(func / f"sub-01_{name}_desc-brain_mask.nii.gz")
    return root


def test_each_image_has_the_mask_that_fits_it_best(masked):
    data = Dataset(str(masked))
    images = select(data, Selection())
    found = {
        image.place.name: mask.place.name for image, mask in zip(images, masks_of(data, images, "brain"), strict=True)
    }
    expected = {"run-1_": "", "run-2_": "run-2_", "run-1_space-MNI_": "run-1_space-MNI_"}
    assert found == {
        f"sub-01_task-a_{image}desc-preproc_bold.nii.gz": f"sub-01_task-a_{mask}desc-brain_mask.nii.gz"
        for image, mask in expected.items()
    }


def test_an_image_without_a_mask_or_with_two_is_told(masked):
    func = masked / "sub-01" / "func"
    (func / "sub-01_task-a_desc-brain_mask.nii.gz").unlink()
    data = Dataset(str(masked))
    images = select(data, Selection())
    with pytest.raises(
        UsageError, match=r"run-1_desc-preproc_bold.nii.gz' has no mask of desc-brain beside it"
    ) as caught:
        masks_of(data, images, "brain")
    assert len(str(caught.value).splitlines()) == 1
    (func / "sub-01_task-a_run-1_space-MNI_desc-brain_mask.nii.gz").unlink()
    datasets.volume(func / "sub-01_task-a_run-1_desc-brain_mask.nii.gz")  # of another grid
    with pytest.raises(UsageError, match=r"run-1_space-MNI_desc-preproc_bold.nii.gz' has no mask"):
        masks_of(data, images, "brain")
    (func / "sub-01_task-a_run-1_desc-brain_mask.nii.gz").unlink()
    with pytest.raises(UsageError, match=r"has masks of brain; did you mean 'brain'"):
        masks_of(data, images, "brian")
    for entity in ("task-a", "run-1"):
        datasets.volume(func / f"sub-01_{entity}_desc-brain_mask.nii.gz")
    told = r"has several masks: got 'sub-01_run-1_desc-brain_mask.nii.gz' and 'sub-01_task-a_desc-brain_mask.nii.gz'"
    with pytest.raises(UsageError, match=told):
        masks_of(data, images, "brain")


@pytest.mark.parametrize(
    ("mask", "outside", "expected"),
    [
        ("a/sub-01_desc-brain_mask.nii", None, True),
        ("a/sub-01_desc-brain_mask.nii", "keep", False),
        ("m.nii", None, False),
    ],
)
def test_what_lies_outside_a_brain_that_was_made_zero(root, mask, outside, expected):
    words = {**WORDS, "filters": [Filter.parse("sobel")], "mask_path": mask, "outside": outside}
    made = sidecar(image_of(root, "sub-01_ses-pre_T1w.nii.gz"), {}, "raw", words, MADE_FROM)
    assert made["SkullStripped"] == expected


def test_a_name_that_is_no_text_is_json_nevertheless():
    assert json.loads(json_bytes({"a": os.fsdecode(b"\xffx")})) == {"a": "\udcffx"}


def test_links_and_makers_that_are_none_do_no_harm(root, tmp_path):
    out = tmp_path / "out"
    datasets.described(out, GeneratedBy=["x", {"Name": "conv3d"}], DatasetLinks=["y"])
    Derivative(str(out), Dataset(str(root)), None).describe("conv3d")
    document = json.loads((out / "dataset_description.json").read_text())
    assert document["GeneratedBy"][0] == "x"
    assert document["DatasetLinks"] == {"raw": "../ds"}


def test_files_that_cannot_be_read_are_told(root, tmp_path):
    (root / ".bidsignore").mkdir()
    with pytest.raises(InputError, match=r"bidsignore': cannot be read"):
        places(root)
    (root / ".bidsignore").rmdir()
    (root / "bold.json").mkdir()
    image = image_of(root, "sub-01_ses-pre_task-rest_bold.nii.gz")
    with pytest.raises(InputError, match=r"bold.json': cannot be read: Is a directory"):
        Inheritance(Dataset(str(root))).metadata(image)


def test_a_sidecar_that_is_no_json_is_not_ours(root, tmp_path):
    data = Dataset(str(root))
    made, images = Derivative(str(tmp_path / "out"), data, None), select(data, Selection(suffixes=["T1w"]))
    beside = datasets.text(made.sidecar_of(images[0]), "{]")
    with pytest.raises(OutputError, match="exists already, and is not by conv3d"):
        made.check(images, "error")
    made.forget(images[0])
    assert beside.exists()
