"""Memory of outputs is used again, never while somebody holds it, and never in great excess."""

import threading

import numpy as np
import pytest

from conv3d_cli.engine import Limits, Problem, choose, execute
from conv3d_cli.engine.recycled import LEAST, MOST, OUTPUTS, PAGE, START, Loan, Pool

SHAPE = (64, 64, 128)


def place(array):
    return array.ctypes.data


def test_what_is_let_go_is_used_again():
    pool = Pool()
    array = pool.empty(SHAPE, "float32")
    where = place(array)
    del array
    assert pool.bytes == np.prod(SHAPE) * 4 + PAGE
    assert place(pool.empty(SHAPE, "float32")) == where


@pytest.mark.parametrize("view", [lambda a: a[3:, ::2], lambda a: a.T, lambda a: a.view("u1"), np.asarray, memoryview])
def test_a_view_holds_the_memory(view):
    pool = Pool()
    array = pool.empty(SHAPE, "float32")
    where, held = place(array), view(array)
    del array
    other = pool.empty(SHAPE, "float32")
    assert place(other) != where
    del held
    assert pool.bytes


def test_a_view_of_the_loan_itself_holds_the_memory_and_gives_it_back_once():
    pool = Pool()
    array = pool.empty(SHAPE, "float32")
    view = array.base[3:]
    assert isinstance(view, Loan)
    del array
    assert pool.bytes == 0
    del view
    assert pool.bytes


def test_an_array_is_writeable_whole_and_begins_away_from_where_others_do():
    array = Pool().empty(SHAPE, "float64")
    array[...] = 7
    assert array.shape == SHAPE
    assert array.dtype == np.float64
    assert array.flags.c_contiguous
    assert place(array) % PAGE == START


def block_bytes(array):
    while not isinstance(array, Loan):
        array = array.base
    return array.block.nbytes


@pytest.mark.parametrize(("shape", "kept"), [((60, 64, 128), True), ((48, 64, 128), False), ((65, 64, 128), False)])
def test_only_what_nearly_fits_is_used_again(shape, kept):
    pool = Pool()
    array = pool.empty(SHAPE, "float32")
    first = block_bytes(array)
    del array
    other = pool.empty(shape, "float32")
    assert block_bytes(other) == (first if kept else other.nbytes + PAGE)
    assert pool.bytes == 0


def test_one_block_is_kept_and_none_after_clearing():
    pool = Pool()
    arrays = [pool.empty(SHAPE, "float32") for _ in range(3)]
    del arrays
    assert pool.bytes == np.prod(SHAPE) * 4 + PAGE
    pool.clear()
    assert pool.bytes == 0


@pytest.mark.parametrize("size", [LEAST - 1, MOST + 1])
def test_what_is_small_or_huge_is_not_kept(size):
    pool = Pool()
    del_me = pool.empty((size,), "uint8")
    assert del_me.base is None
    del del_me
    assert pool.bytes == 0


def test_threads_never_share_a_block():
    pool, wrong = Pool(), []

    def work(number):
        for _ in range(200):
            array = pool.empty((LEAST,), "uint8")
            array[::4096] = number
            if (array[::4096] != number).any():
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_outputs_do_not_change_when_the_next_is_made():
    problem = Problem((64, 64, 80), (3, 3, 3), padding=((1, 1),) * 3)
    x = np.random.default_rng(0).standard_normal(problem.input_shape).astype("f4")
    kernel = np.ones(problem.kernel_shape, "f4")
    plan = choose(problem, Limits(2, 1 << 32))
    first = execute(plan, x, kernel, None)
    copy = first.copy()
    second = execute(plan, -x, kernel, None)
    np.testing.assert_array_equal(first, copy)
    np.testing.assert_array_equal(second, -copy)
    where = place(first)
    del first
    assert place(execute(plan, x, kernel, None)) == where
    OUTPUTS.clear()
