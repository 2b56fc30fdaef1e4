"""Cases of the benchmark: what they are written as, and what they mean."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import oracle, same_pads

from conv3d_cli.bench import DEFAULT, GRID, REGIONS, Case, parse_case
from conv3d_cli.bench.truth import truth_of
from conv3d_cli.errors import UsageError

SMALL = (
    "1->1 5^3 k3",
    "2->3 6x5x7 k1x2x3",
    "4->6 6^3 k3 g2",
    "2->3 7^3 k3 s2",
    "2->2 9^3 k3 d2",
    "3->2 5^3 k2 last",
    "1->1 9^3 gaussian1",
    "2->2 6^3 box3 g2",
    "1->1 6^3 sobel",
    "1->1 6^3 laplacian",
)


@pytest.mark.parametrize("case", [*GRID, *DEFAULT, *map(parse_case, SMALL)], ids=lambda case: case.name)
def test_a_case_prints_as_it_is_read(case):
    assert parse_case(case.name) == case
    assert case.problem.padding == same_pads(case.size, case.kernel, case.problem.strides, case.problem.dilation)


def test_the_grid_has_every_case_once_and_every_region_a_goal():
    assert len(set(GRID)) == len(GRID)
    for region in REGIONS:
        assert region.target >= 1
        assert (region.moonshot is None) != (region.within is None)


def test_the_words_may_stand_in_any_order():
    assert parse_case("16->32  64^3 s2 last k3") == Case(16, 32, (64,) * 3, (3,) * 3, stride=2, last=True)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "this"),
        ("16->16", "this"),
        ("16-16 64^3 k3", "this"),
        ("16->16 64 k3", "this"),
        ("0->16 64^3 k3", "this"),
        ("16->16 64^3 s2", "no kernel"),
        ("16->16 64^3 k3 k5", "a second kernel"),
        ("1->1 64^3 k3 box3", "a second kernel"),
        ("16->16 64^3 k0", "'k0'"),
        ("16->16 64^3 k3 s0", "'s0'"),
        ("16->16 64^3 k3 z2", "'z2'"),
        ("1->1 64^3 gaussian", "'gaussian'"),
        ("1->1 64^3 sobel3", "'sobel3'"),
        ("16->16 64^3 k3 g5", "5 groups, which do not divide channels and filters"),
        ("16->16 64^3 box3", "the kernel box between several channels, which has only one each"),
    ],
)
def test_another_text_is_refused_with_what_is_wrong(text, why):
    with pytest.raises(UsageError) as error:
        parse_case(text)
    assert str(error.value).startswith(f"--case: not a case: got {text!r} with {why}, expected for example '16->16 ")


@pytest.mark.parametrize("text", SMALL)
def test_the_truth_is_the_oracles(text):
    case = parse_case(text)
    x, kernel = case.arrays()
    assert (x.strides[1] == x.itemsize) == (case.last or case.problem.size == (1, 1, 1))
    assert x.shape == case.problem.input_shape
    assert case.output().shape == case.problem.output_shape
    problem = case.problem
    want, _ = oracle(x, kernel, None, problem.strides, problem.padding, problem.dilation, case.groups)
    truth = truth_of(case, x, kernel)
    assert truth.error(want) < 1e-14
    if truth.inside.any():
        assert truth.error(want, edges=False) < 1e-14
    assert truth.error(np.full_like(want, np.nan)) == np.inf
    wrong = want.copy()
    wrong[0, 0, 0, 0, 0] += 0.01 * np.abs(want).max()
    assert truth.error(wrong) > 0.009
    with pytest.raises(ValueError, match=r"^shape \(1, "):
        truth.error(want[..., :-1])


def test_outputs_at_the_border_may_be_left_out():
    case = parse_case("1->1 9^3 k3")
    x, kernel = case.arrays()
    want, _ = oracle(x, kernel, padding=case.problem.padding)
    bordered = want.copy()
    for axis in (2, 3, 4):
        bordered[tuple(slice(None) if i != axis else [0, -1] for i in range(5))] = 0
    truth = truth_of(case, x, kernel)
    assert truth.error(bordered, edges=False) < 1e-14 < 0.1 < truth.error(bordered)
    small = parse_case("1->1 4^3 k5")
    with pytest.raises(ValueError, match="the kernel reaches beyond the volume everywhere"):
        truth_of(small, *small.arrays()).error(small.output(), edges=False)


def test_named_kernels_are_those_of_scipy():
    ndimage = pytest.importorskip("scipy.ndimage")
    impulse = np.zeros((21, 21, 21))
    impulse[10, 10, 10] = 1
    for text, want in (
        ("1->1 21^3 gaussian2", ndimage.gaussian_filter(impulse, 2, mode="constant")),
        ("1->1 21^3 box5", ndimage.uniform_filter(impulse, 5, mode="constant")),
        ("1->1 21^3 laplacian", ndimage.laplace(impulse, mode="constant")),
    ):
        case = parse_case(text)
        got, _ = oracle(impulse[None, None], case.arrays()[1], padding=case.problem.padding)
        np.testing.assert_allclose(got[0, 0], want, atol=1e-7)
