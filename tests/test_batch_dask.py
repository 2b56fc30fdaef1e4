"""Batches on Dask clusters: real schedulers and workers, some of which are killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from batches import leftovers, locally, nifti, volumes_in
from clusters import cluster, kill, no_slurm, of_parent
from test_batch_workers import Heard, jobs

from conv3d_cli.batch import Rules, carry_out, greeting, lock, locked, schedule
from conv3d_cli.batch import cluster as clusters
from conv3d_cli.batch.dask_crew import DaskCrew
from conv3d_cli.batch.greeting import setting_of
from conv3d_cli.batch.records import read_record
from conv3d_cli.errors import UsageError

CONV3D = (sys.executable, "-m", "conv3d_cli")
FILTER = ("--filter", "gaussian:sigma=1vox")
SLOW = ("--filter", "gaussian:sigma=3vox", "--method", "reference")
PLENTY = Rules(1 << 40)
PATIENCE = 60


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A cluster of two workers, each of which is started again when it is killed."""
    with cluster(tmp_path_factory.mktemp("cluster")) as one:
        for _ in range(2):
            one.add("--nanny")
        yield one


@pytest.fixture
def crew(shared, tmp_path):
    """Return a function that gives the crew of a batch on that cluster."""

    @contextmanager
    def call(size=2, patience=30.0, entry="batchworkers", told=None, **other):
        folder = str(tmp_path / "out")
        with locked(folder) as locks:
            setting = setting_of(folder, None, locks[-1], entry, other.get("max_memory"))
            for name, value in other.items():
                object.__setattr__(setting, name, value)
            tell = [].append if told is None else told.append
            with DaskCrew(clusters.cluster_at(shared.address), setting, size, 1, patience, tell) as workers:
                yield workers

    return call


@pytest.fixture
def carried_out(crew, tmp_path, monkeypatch):
    monkeypatch.setattr(schedule, "PAUSE", 0.01)

    def call(*names, rules=PLENTY, **words):
        heard = Heard()
        with crew(**words) as workers:
            outcomes = carry_out(jobs(tmp_path, names), workers, rules, heard)
        assert not leftovers(tmp_path)
        return {outcome.job.item.name.removesuffix(".npy"): outcome for outcome in outcomes}, heard

    return call


def test_jobs_are_done_and_told_of_as_on_one_machine(carried_out, tmp_path):
    outcomes, heard = carried_out("ok-1", "bug-1", "die-11", "exit-5", "full-1", "stale-2", "ok-2")
    codes = {name: outcome.code for name, outcome in outcomes.items()}
    assert codes == {"ok-1": 0, "bug-1": 1, "die-11": 139, "exit-5": 128, "full-1": 4, "stale-2": 0, "ok-2": 0}
    assert "its worker was ended by SIGSEGV" in outcomes["die-11"].error
    assert outcomes["stale-2"].job.attempt == 3
    assert outcomes["ok-1"].figures["voxels"] == 24
    assert {"warns of ok-1", "warns of ok-2"} <= set(heard.notes)
    assert 1.0 in heard.ticks
    assert read_record(str(tmp_path / "out"), "die-11.npy").code == 139


def test_workers_of_one_host_share_its_memory(carried_out, tmp_path):
    carried_out("big-600", "big-500", "big-400", max_memory="1000", rules=Rules(1))
    spans = []
    for number in (600, 500, 400):
        _, begun, ended = (tmp_path / "out" / f"big-{number}.npy").read_text().split()
        spans.append((float(begun), float(ended), number))
    for begun, _, _ in spans:
        assert sum(need for start, end, need in spans if start <= begun < end) <= 1000


def test_a_job_whose_worker_is_lost_is_done_by_another(carried_out):
    outcomes, heard = carried_out("lose-1", "ok-1", "ok-2")
    assert [outcome.error for outcome in outcomes.values()] == [None] * 3
    assert outcomes["lose-1"].job.attempt == 2
    assert len(heard.retries) == 1
    assert "its worker was lost" in heard.retries[0]


def test_a_job_that_loses_every_worker_fails(carried_out, tmp_path):
    outcomes, _ = carried_out("lose-9", "ok-1", rules=Rules(1 << 40, retries=1))
    assert (outcomes["lose-9"].code, outcomes["lose-9"].job.attempt) == (128, 2)
    assert outcomes["lose-9"].error.endswith("lose-9.npy': its worker was lost")
    assert outcomes["ok-1"].error is None
    assert read_record(str(tmp_path / "out"), "lose-9.npy").state == "failed"


def test_a_worker_that_only_has_the_address_of_another_is_asked_again(crew, tmp_path, monkeypatch):
    monkeypatch.setattr(schedule, "PAUSE", 0.01)
    heard = Heard()
    with crew() as workers:
        for worker in workers.workers:
            object.__setattr__(worker.welcome, "process", "another")
        outcomes = carry_out(jobs(tmp_path, ["ok-1"]), workers, PLENTY, heard)
    assert outcomes[0].error is None
    assert "its worker gave up its job" in heard.retries[0]


class Enough(BaseException):
    """As a signal that stops the batch."""


def test_a_batch_that_is_stopped_leaves_nothing(crew, tmp_path):
    class Stopping(Heard):
        def noted(self, job, level, text):
            while not Path(f"{job.item.source}.begun").exists():
                time.sleep(0.01)
            raise Enough

    with pytest.raises(Enough), crew() as workers:
        carry_out(jobs(tmp_path, ["stay-1"]), workers, PLENTY, Stopping())
    assert not leftovers(tmp_path)
    assert lock.vacated(lock.guests(str(tmp_path / "out")), 0)


def test_workers_that_cannot_be_used_are_an_error_that_says_why(crew, monkeypatch, tmp_path):
    monkeypatch.setattr(greeting, "__version__", "9.9")
    with pytest.raises(
        UsageError, match=r"the worker at tcp://\S+ has another version of conv3d: got 0.*, expected 9.9"
    ):
        crew().__enter__()
    monkeypatch.undo()
    monkeypatch.setattr(greeting, "VERSION", "__import__('no_such_conv3d')")
    with pytest.raises(UsageError, match="cannot import conv3d_cli: No module named 'no_such_conv3d'"):
        crew().__enter__()
    monkeypatch.undo()
    with pytest.raises(UsageError, match="has no folder '/no/such'"):
        crew(here="/no/such").__enter__()
    with pytest.raises(UsageError, match=r"does not see the folder '.*out' as this machine does"):
        crew(lock=b"another text").__enter__()


def test_a_late_worker_that_cannot_be_used_is_left_out(crew, tmp_path, monkeypatch):
    told = []
    with crew(told=told) as workers:
        first, second = workers.workers
        workers.workers.remove(second)
        monkeypatch.setattr(greeting, "__version__", "9.9")
        outcomes = carry_out(jobs(tmp_path, ["ok-1", "ok-2"]), workers, PLENTY, Heard())
        assert workers.workers == [first]
    assert [outcome.error for outcome in outcomes] == [None, None]
    assert len(told) == 1
    assert told[0].endswith("expected 9.9; it gets no work")


def test_no_more_workers_than_jobs_that_were_asked_for(crew):
    with crew(size=1) as workers:
        assert len(workers.workers) == 1
        assert not list(workers.messages(0.0))
        assert len(workers.workers) == 1
        assert workers.memory == workers.workers[0].memory > 1 << 20


def test_a_scheduler_without_workers_and_none_at_all(tmp_path, monkeypatch):
    folder, told = str(tmp_path / "out"), []
    with cluster(tmp_path / "cluster") as lonely, locked(folder) as locks:
        setting = setting_of(folder, None, locks[-1], "batchworkers", None)
        with (
            pytest.raises(UsageError, match="--executor: the cluster has no workers: got none in 0 s"),
            DaskCrew(clusters.cluster_at(lonely.address), setting, 2, 1, 0.2, told.append),
        ):
            pass
        assert told == ["waits for workers of the cluster: there are none"]
        worker = lonely.add("--no-nanny")
        with DaskCrew(clusters.cluster_at(lonely.address), setting, 2, 1, 0.5, told.append) as workers:
            kill(worker.pid)
            outcomes = carry_out(jobs(tmp_path, ["ok-1", "ok-2"]), workers, Rules(1 << 40, retries=0), Heard())
    assert [outcome.code for outcome in outcomes] == [128, 128]
    assert any("the cluster has no workers" in outcome.error for outcome in outcomes)
    monkeypatch.setattr(clusters, "CONNECT_SECONDS", 0.5)
    address = lonely.address
    with pytest.raises(UsageError, match=f"there is no Dask scheduler: got 'dask://{address}'"):
        clusters.cluster_at(address).__enter__()


def test_when_the_scheduler_is_lost_the_rest_fails(tmp_path, monkeypatch):
    heard, folder = Heard(), str(tmp_path / "out")
    with cluster(tmp_path / "cluster") as lonely, locked(folder) as locks:
        lonely.add("--no-nanny")
        setting = setting_of(folder, None, locks[-1], "batchworkers", None)
        with DaskCrew(clusters.cluster_at(lonely.address), setting, None, None, 30, print) as workers:
            assert (workers.size, workers.threads) == (1, 1)
            monkeypatch.setattr(heard, "started", lambda worker, job: kill(lonely.scheduler.pid))
            outcomes = carry_out(jobs(tmp_path, ["ok-1", "ok-2"]), workers, PLENTY, heard)
    assert [outcome.code for outcome in outcomes] == [128, 128]
    assert all("the Dask scheduler is gone" in outcome.error for outcome in outcomes)


# The command line


@pytest.fixture
def batched(scans):
    """Return a function that starts a batch in the folder of the scans; none outlives the test."""
    begun = []

    def call(*words, **options):
        process = subprocess.Popen(
            [*CONV3D, "batch", "in", "--out-dir", "out", *map(str, words)],
            cwd=scans, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options,
        )  # fmt: skip
        begun.append(process)
        return process

    yield call
    for process in begun:
        process.kill()
        process.communicate()


def started_records(folder: Path, count: int, process: subprocess.Popen) -> None:
    """Wait until so many items have begun."""
    until = time.monotonic() + PATIENCE
    while len(list((folder / "out" / ".conv3d" / "records").glob("*.json"))) < count:
        assert time.monotonic() < until, "nothing begins"
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


@pytest.fixture
def scans(tmp_path):
    for number in range(4):
        nifti(tmp_path / "in" / f"{number}.nii", number, (20, 20, 20))
    (tmp_path / "in" / "bad.nii").write_bytes(b"no volume")
    return tmp_path


def test_a_local_cluster_one_worker_of_which_is_killed_leaves_the_same(scans, batched, conv3d):
    process = batched(*SLOW, "--executor", "dask", "--jobs", "2", "--threads", "1", "--json")
    started_records(scans, 2, process)
    mine = [n for n in of_parent(process.pid) if any(map(of_parent, [n]))]
    kill(mine[0])
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 6, err
    assert "its worker was lost; it is tried again" in err
    document = json.loads(out)
    assert sorted(item["attempts"] for item in document["items"]) == [1, 1, 1, 1, 2]
    assert (document["jobs"], document["threads"]) == (2, 1)
    assert not leftovers(scans)
    found = volumes_in(scans / "out")
    (scans / "out").rename(scans / "dask")
    with locally():
        conv3d("batch", scans / "in", "--out-dir", scans / "out", *SLOW, "-q")
    assert volumes_in(scans / "out") == found
    assert len(found) == 4


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_batch_that_is_ended_ends_its_cluster(scans, batched, number):
    process = batched(*SLOW, "--executor", "dask", "--jobs", "1", start_new_session=True)
    started_records(scans, 1, process)
    family = [process.pid, *of_parent(process.pid)]
    family += [child for one in family for child in of_parent(one)]
    (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)  # a key reaches every process there
    _, err = process.communicate(timeout=PATIENCE)
    if number == signal.SIGINT:
        assert process.returncode == 128 + number
        assert err.splitlines()[-1] == "Error: stopped by SIGINT"
    with locked(str(scans / "out")):  # which waits for who still works
        assert not leftovers(scans)
    until = time.monotonic() + PATIENCE
    while any(Path(f"/proc/{one}").exists() for one in family) and time.monotonic() < until:
        time.sleep(0.05)
    assert not [one for one in family if Path(f"/proc/{one}").exists()]


def test_workers_elsewhere_stop_when_their_batch_is_killed(scans, batched, shared):
    process = batched(*SLOW, "--executor", f"dask://{shared.address}")
    started_records(scans, 2, process)
    kill(process.pid)
    process.communicate()
    with locked(str(scans / "out")):
        assert not leftovers(scans)
    states = [json.loads(path.read_text())["state"] for path in (scans / "out" / ".conv3d" / "records").iterdir()]
    assert "started" in states
    again = batched(*FILTER, "--executor", f"dask://{shared.address}", "--json")
    out, err = again.communicate(timeout=PATIENCE)
    assert again.returncode == 6, err
    assert json.loads(out)["counts"]["done"] == 4
    assert json.loads(out)["memory"]["limit_source"] == "the cluster's machines"


def test_jobs_of_slurm(batched, tmp_path):
    environment = no_slurm(tmp_path / "slurm")
    process = batched(
        *FILTER, "--executor", "slurm", "--jobs", 2, "--slurm-option", "time=2:00:00", "--json", env=environment
    )
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 6, err
    assert json.loads(out)["counts"]["done"] == 4
    scripts = [path.read_text() for path in (tmp_path / "slurm").glob("job-*.sh")]
    assert len(scripts) == 2
    assert all("#SBATCH --time=2:00:00\n" in script for script in scripts)


def test_a_sbatch_that_refuses(batched, tmp_path):
    environment = no_slurm(tmp_path / "slurm")
    (tmp_path / "slurm" / "bin" / "sbatch").write_text("#!/bin/bash\necho 'invalid partition' >&2; exit 1\n")
    process = batched(*FILTER, "--executor", "slurm", "--jobs", 1, env=environment)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 2, err
    assert "Error: --executor: sbatch refuses the jobs: " in err
    assert "invalid partition" in err


def test_the_script_of_a_job_of_slurm():
    with clusters.slurm_jobs(3, ["partition=short", "comment='two words'"]) as found:
        lines = found.job_script().splitlines()
    assert {"#SBATCH --cpus-per-task=3", "#SBATCH --partition=short", "#SBATCH --comment='two words'"} <= set(lines)
    assert not [line for line in lines if "--mem=" in line or " -t " in line]
    assert sys.executable in lines[-1]
    assert "--nthreads 3" in lines[-1]
    assert lines[-1].endswith("--memory-limit 0")


def test_without_slurm_and_without_dask(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UsageError, match="expected a machine that has the command sbatch"):
        clusters.slurm_cluster(1, 1, []).__enter__()
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UsageError, match=r"Dask is not installed .*: expected .* pip install 'conv3d-cli\[dask\]'"):
        clusters.local_cluster(1).__enter__()
