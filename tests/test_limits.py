from __future__ import annotations

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conv3d_cli import limits
from conv3d_cli.errors import UsageError
from conv3d_cli.limits import Limits, parse_bytes, processors, size_words


@pytest.mark.parametrize(
    ("text", "size"),
    [("4G", 4 << 30), ("512MiB", 512 << 20), ("1.5k", 1536), ("100", 100), (" 2 tb ", 2 << 40), (7, 7)],
)
def test_sizes(text, size):
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "G", "-1G", "4X", "1e9", "0", "0.0001", "nan", "9" * 400 + "T"])
def test_sizes_that_are_none(text):
    with pytest.raises(UsageError, match="max_memory: not a size: got"):
        parse_bytes(text)


def test_what_is_asked_for_goes_first():
    environ = {"CONV3D_THREADS": "5", "CONV3D_MAX_MEMORY": "1G"}
    asked = Limits.detect(3, "2G", environ)
    assert (asked.threads, asked.memory, asked.memory_source) == (3, 2 << 30, "--max-memory")
    assert Limits.detect(environ=environ).threads == 5
    assert Limits.detect(environ=environ).memory == 1 << 30


def test_a_variable_is_named_where_it_sets_or_spoils_the_limit():
    assert Limits.detect(2, environ={"CONV3D_MAX_MEMORY": "1G"}).memory_source == "CONV3D_MAX_MEMORY"
    with pytest.raises(UsageError, match=r"^CONV3D_MAX_MEMORY: not a size: got 'lots'"):
        Limits.detect(2, environ={"CONV3D_MAX_MEMORY": "lots"})


@given(st.integers(1, 1 << 50))
def test_a_size_in_words_is_enough_and_little_more(size):
    assert size <= parse_bytes(size_words(size)) <= 1.01 * size + 11


def test_slurm_names_the_processors():
    assert Limits.detect(environ={"SLURM_CPUS_PER_TASK": "7"}).threads == 7
    assert Limits.detect(environ={"SLURM_CPUS_PER_TASK": "7", "CONV3D_THREADS": "2"}).threads == 2


def test_a_count_that_is_no_number():
    with pytest.raises(UsageError, match="CONV3D_THREADS: must be a whole number, got 'many'"):
        Limits.detect(environ={"CONV3D_THREADS": "many"})
    with pytest.raises(UsageError, match="CONV3D_THREADS: must be a whole number, got '²'"):
        Limits.detect(environ={"CONV3D_THREADS": "²"})
    with pytest.raises(UsageError, match="threads: must be at least 1, got 0"):
        Limits.detect(environ={"CONV3D_THREADS": "0"})


def test_the_quota_of_a_cgroup_bounds_the_processors(tmp_path, monkeypatch):
    (tmp_path / "cpu.max").write_text("150000 100000\n")
    (tmp_path / "memory.max").write_text("1048576\n")
    monkeypatch.setattr(limits, "CGROUP", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)), raising=False)
    assert processors() == 2
    assert Limits.detect(environ={}) == Limits(2, 1048576, "cgroup limit")


@pytest.mark.parametrize(
    ("line", "folder", "name"),
    [("0::/slurm/job_7/step_0", "slurm/job_7", "memory.max"), ("9:memory:/job", "memory/job", "memory.limit_in_bytes")],
)
def test_the_limit_of_a_job_below_the_root_bounds_it_too(tmp_path, monkeypatch, line, folder, name):
    (tmp_path / folder / "step_0").mkdir(parents=True)
    (tmp_path / folder / name).write_text("2097152\n")
    (tmp_path / folder / "cpu.max").write_text("300000 100000\n")
    (tmp_path / "membership").write_text(f"12:cpuset:/other\n{line}\n")
    (tmp_path / "memory.max").write_text("max\n")
    monkeypatch.setattr(limits, "CGROUP", tmp_path)
    monkeypatch.setattr(limits, "MEMBERSHIP", tmp_path / "membership")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)), raising=False)
    assert Limits.detect(environ={}) == Limits(3, 2097152, "cgroup limit")


def test_no_quota_is_no_bound(tmp_path, monkeypatch):
    (tmp_path / "cpu.max").write_text("max 100000\n")
    monkeypatch.setattr(limits, "CGROUP", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(6)), raising=False)
    assert processors() == 6


def test_the_address_space_limit_bounds_memory():
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30));"
        "from conv3d_cli.limits import Limits; print(Limits.detect(environ={}))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "memory=1073741824, memory_source='address-space limit'" in told


def test_what_is_empty_is_not_set():
    bounds = Limits.detect(1, environ={})
    assert Limits.detect(1, environ={"CONV3D_MAX_MEMORY": ""}) == bounds
    assert Limits.detect(environ={"CONV3D_THREADS": "", "SLURM_CPUS_PER_TASK": "3"}).threads == 3


def test_a_count_below_one():
    for environ in ({}, {"CONV3D_THREADS": "4"}):
        with pytest.raises(UsageError, match="threads: must be at least 1, got 0"):
            Limits.detect(0, environ=environ)


def test_a_quota_beyond_the_processors_adds_none(tmp_path, monkeypatch):
    (tmp_path / "cpu.max").write_text("6400000 100000\n")
    monkeypatch.setattr(limits, "CGROUP", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(6)), raising=False)
    assert processors() == 6
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 5)
    assert processors() == 5
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert processors() == 1


def test_the_memory_limit_of_an_older_cgroup(tmp_path, monkeypatch):
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text("1048576\n")
    monkeypatch.setattr(limits, "CGROUP", tmp_path)
    assert limits.memory_bounds()["cgroup limit"] == 1 << 20
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory" / "memory.limit_in_bytes").unlink()
    assert "cgroup limit" not in limits.memory_bounds()


def test_physical_memory_is_in_bytes(monkeypatch):
    told = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 1000}
    monkeypatch.setattr(os, "sysconf", told.__getitem__)
    assert limits.memory_bounds()["physical memory"] == 4096 * 1000


def test_without_any_bound_memory_is_unlimited(monkeypatch):
    monkeypatch.setattr(limits, "memory_bounds", dict)
    found = Limits.detect(1, environ={})
    assert found.memory_source == "unlimited"
    assert found.memory > 1 << 60


def test_the_second_level_cache(tmp_path, monkeypatch):
    (tmp_path / "size").write_text("512K\n")
    monkeypatch.setattr(limits, "CACHE", tmp_path / "size")
    limits.second_level_cache.cache_clear()
    assert limits.second_level_cache() == 512 << 10
    monkeypatch.setattr(limits, "CACHE", tmp_path / "none")
    limits.second_level_cache.cache_clear()
    assert limits.second_level_cache() == 1 << 20
    limits.second_level_cache.cache_clear()
