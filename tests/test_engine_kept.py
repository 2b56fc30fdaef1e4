"""What was made of a kernel is made once, and never taken for what another kernel would give."""

import numpy as np
import pytest

from conv3d_cli.engine.kept import MOST, Kept


@pytest.fixture
def made():
    return []


def get(kept, made, kernel, key="a"):
    def make():
        made.append(key)
        return kernel * 2

    return kept.get(key, kernel, make, size=lambda result: result.nbytes)


def test_an_equal_kernel_is_not_transformed_again(made):
    kept, kernel = Kept(1 << 20), np.arange(27.0).reshape(3, 3, 3, 1, 1)
    first = get(kept, made, kernel)
    assert get(kept, made, kernel.copy()) is first
    assert made == ["a"]


@pytest.mark.parametrize(
    "other",
    [
        lambda k: k.astype("f4"),
        lambda k: k.reshape(1, 9, 3, 1, 1),
        lambda k: np.where(k == 0, -0.0, k),
        lambda k: k.astype(k.dtype.newbyteorder()),
    ],
)
def test_another_type_shape_or_bit_is_another_kernel(made, other):
    kept, kernel = Kept(1 << 20), np.arange(27.0).reshape(3, 3, 3, 1, 1)
    get(kept, made, kernel)
    get(kept, made, other(kernel))
    assert len(made) == 2


def test_a_kernel_that_is_changed_in_place_is_another(made):
    kept, kernel = Kept(1 << 20), np.arange(27.0).reshape(3, 3, 3, 1, 1)
    get(kept, made, kernel)
    kernel[0, 0, 0] = 5
    np.testing.assert_array_equal(get(kept, made, kernel), kernel * 2)


def test_a_key_of_its_own_has_a_result_of_its_own(made):
    kept, kernel = Kept(1 << 20), np.ones((3, 3, 3, 1, 1))
    get(kept, made, kernel, "a")
    get(kept, made, kernel, "b")
    assert made == ["a", "b"]


def test_the_oldest_goes_where_room_ends(made):
    kernels = [np.full((4, 4, 4, 1, 1), float(i)) for i in range(3)]
    kept = Kept(2 * 2 * kernels[0].nbytes)
    for i in (0, 1, 0, 2, 0, 1):
        get(kept, made, kernels[i])
    assert len(made) == 4  # 0, 1 and 2 once, and 1 again: 0 was used between
    assert kept.bytes <= kept.room


def test_what_exceeds_the_room_is_not_kept(made):
    kept, kernel = Kept(100), np.ones((3, 3, 3, 1, 1))
    get(kept, made, kernel)
    get(kept, made, kernel)
    assert len(made) == 2
    assert kept.bytes == 0


def test_many_small_ones_are_not_looked_through_forever(made):
    kept = Kept(1 << 20)
    for i in range(MOST + 1):
        get(kept, made, np.full((1, 1, 1, 1, 1), float(i)))
    get(kept, made, np.zeros((1, 1, 1, 1, 1)))
    assert len(made) == MOST + 2


def test_forgotten_is_made_anew(made):
    kept, kernel = Kept(1 << 20), np.ones((3, 3, 3, 1, 1))
    get(kept, made, kernel)
    kept.clear()
    get(kept, made, kernel)
    assert len(made) == 2
