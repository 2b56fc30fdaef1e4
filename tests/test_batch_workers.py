"""Jobs and the processes that do them: errors, deaths, retries, memory, and the end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from batches import leftovers

from conv3d_cli.batch import Crew, Item, Job, Rules, carry_out, crew, locked, schedule
from conv3d_cli.batch import lock as lock_module
from conv3d_cli.batch.records import STARTED, Record, read_record, write_record
from conv3d_cli.errors import Conv3dError, OutputError

PLENTY = Rules(1 << 40)


class Heard:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.notes: list[str] = []
        self.retries: list[str] = []
        self.over: list[str] = []
        self.ticks: list[float] = []

    def started(self, worker, job):
        self.begun.append(job.item.name)

    def planned(self, worker, seconds):
        pass

    def ticked(self, worker, share):
        self.ticks.append(share)

    def noted(self, job, level, text):
        self.notes.append(text)

    def retried(self, job, error):
        self.retries.append(error)

    def finished(self, worker, outcome):
        self.over.append(outcome.job.item.name)


@pytest.fixture
def lock(tmp_path):
    with locked(str(tmp_path / "out")) as descriptor:
        yield descriptor


@pytest.fixture
def carried_out(tmp_path, lock, monkeypatch):
    """Return a function that does jobs by their names, and returns what became of them and what was heard."""
    monkeypatch.setattr(schedule, "PAUSE", 0.01)

    def call(*names, size=1, rules=PLENTY, entry="batchworkers"):
        heard = Heard()
        with Crew(entry, lock, size, 1) as workers:
            outcomes = carry_out(jobs(tmp_path, names), workers, rules, heard)
        assert not leftovers(tmp_path)
        return {outcome.job.item.name.removesuffix(".npy"): outcome for outcome in outcomes}, heard

    return call


def jobs(folder: Path, names) -> list[Job]:
    made = []
    for number, name in enumerate(names, 1):
        source, output = folder / f"{name}.npy", folder / "out" / f"{name}.npy"
        source.touch()
        words = {"verbose": 0}
        made.append(
            Job(number, Item(str(source), str(output), output.name, words), str(folder / "out"), {}, False, "", ())
        )
    return made


def times(folder: Path, name: str) -> tuple[int, float, float]:
    process, begun, ended = (folder / "out" / f"{name}.npy").read_text().split()
    return int(process), float(begun), float(ended)


def test_a_worker_does_one_job_after_the_other(carried_out, tmp_path):
    outcomes, heard = carried_out("ok-1", "ok-2", "ok-3")
    assert [outcome.error for outcome in outcomes.values()] == [None] * 3
    assert outcomes["ok-1"].figures["voxels"] == 24
    assert len({times(tmp_path, name)[0] for name in outcomes}) == 1
    assert heard.notes == ["warns of ok-1", "warns of ok-2", "warns of ok-3"]
    assert heard.ticks == [1.0]  # the others come too soon after it
    assert heard.begun == heard.over == ["ok-1.npy", "ok-2.npy", "ok-3.npy"]


def test_several_work_at_once(carried_out, tmp_path):
    carried_out("meet-2-a", "meet-2-b", size=2)
    (a, begun_a, ended_a), (b, begun_b, ended_b) = (times(tmp_path, f"meet-2-{n}") for n in "ab")
    assert a != b
    assert max(begun_a, begun_b) < min(ended_a, ended_b)


ENDS = {
    "die-9": (137, "its worker was ended by SIGKILL, perhaps for want of memory"),
    "half-9": (137, "its worker was ended by SIGKILL"),
    "die-11": (139, "its worker was ended by SIGSEGV"),
    "exit-5": (128, "its worker exited with code 5"),
    "bug-1": (1, "internal error: ZeroDivisionError: a bug"),
    "full-1": (4, "'out': No space left on device"),
}


def test_what_ends_one_job_leaves_the_others_alone(carried_out, tmp_path):
    outcomes, _ = carried_out("ok-1", *ENDS, "ok-2")
    assert [outcomes[f"ok-{n}"].error for n in (1, 2)] == [None] * 2
    for name, (code, words) in ENDS.items():
        assert outcomes[name].code == code
        assert words in outcomes[name].error
        record = read_record(str(tmp_path / "out"), f"{name}.npy")
        assert (record.state, record.code, record.left) == ("failed", code, False)
        assert words in record.error


def test_errors_that_may_pass_are_tried_again(carried_out):
    outcomes, heard = carried_out("stale-2", "ok-1", "stale-3")
    assert outcomes["stale-2"].error is None
    assert outcomes["stale-2"].job.attempt == 3
    assert "Stale file handle" in outcomes["stale-3"].error
    assert len(heard.retries) == 4
    assert heard.over[0] == "ok-1.npy"


def test_no_retries_are_none(carried_out):
    outcomes, heard = carried_out("stale-1", rules=Rules(1 << 40, retries=0))
    assert outcomes["stale-1"].code == 3
    assert heard.retries == []


def test_with_fail_fast_nothing_begins_after_a_failure(carried_out):
    outcomes, heard = carried_out("ok-1", "bug-1", "ok-2", "stale-1", rules=Rules(1 << 40, fail_fast=True))
    assert list(outcomes) == ["ok-1", "bug-1"]
    assert heard.begun == ["ok-1.npy", "bug-1.npy"]


def test_with_fail_fast_what_has_begun_is_finished_and_no_more(carried_out):
    outcomes, _ = carried_out("meet-2-a", "meet-2-bug", "ok-1", size=2, rules=Rules(1 << 40, fail_fast=True))
    assert outcomes["meet-2-bug"].error is not None
    assert outcomes["meet-2-a"].error is None
    assert "ok-1" not in outcomes


def test_jobs_wait_for_memory(carried_out, tmp_path):
    carried_out("big-6", "big-5", "big-4", size=3, rules=Rules(10))
    spans = sorted((*times(tmp_path, f"big-{n}")[1:], n) for n in (6, 5, 4))
    for begun, _, _ in spans:
        assert sum(need for start, end, need in spans if start <= begun < end) <= 10


def test_one_that_fits_only_alone_runs_alone(carried_out, tmp_path):
    outcomes, _ = carried_out("big-99", "big-3", size=2, rules=Rules(10))
    assert [outcome.error for outcome in outcomes.values()] == [None, None]
    (_, begun_a, ended_a), (_, begun_b, ended_b) = (times(tmp_path, f"big-{n}") for n in (99, 3))
    assert ended_a <= begun_b or ended_b <= begun_a


def test_workers_that_cannot_start_end_the_batch(lock, tmp_path):
    with (
        pytest.raises(Conv3dError, match="a worker cannot start: it exited with code 1"),
        Crew("no_such", lock, 1, 1) as a,
    ):
        carry_out(jobs(tmp_path, ["ok-1"]), a, PLENTY, Heard())


class Enough(BaseException):
    """As a signal that stops the batch."""


def stopped(folder: Path, workers: Crew) -> list[int]:
    """Leave a batch in the midst of a job; return the numbers of its processes."""

    class Stopping(Heard):
        def noted(self, job, level, text):
            while not Path(f"{job.item.source}.begun").exists():
                time.sleep(0.01)
            raise Enough

    with pytest.raises(Enough), workers:
        carry_out(jobs(folder, ["stay-1"]), workers, PLENTY, Stopping())
    return [worker.process.pid for worker in workers.workers]


def test_a_batch_that_is_stopped_leaves_nothing(lock, tmp_path):
    numbers = stopped(tmp_path, Crew("batchworkers", lock, 2, 1))
    assert not leftovers(tmp_path)
    for number in numbers:
        with pytest.raises(ProcessLookupError):
            os.kill(number, 0)
    assert read_record(str(tmp_path / "out"), "stay-1.npy").state == "started"


def test_a_worker_that_does_not_go_is_ended(lock, tmp_path, monkeypatch):
    monkeypatch.setattr(crew, "PATIENCE", 0.3)
    deaf = Crew("batchworkers", lock, 1, 1)
    monkeypatch.setattr(deaf, "_start", lambda number: crew.Worker(number, "batchdeaf", lock, 1, None))
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "batchdeaf.py").write_text("from batchworkers import deaf as main\n")
    stopped(tmp_path, deaf)
    assert not leftovers(tmp_path)


# The lock


def test_a_folder_takes_one_batch(lock, tmp_path):
    words = rf"is in use by another batch: process {os.getpid()} on .*, since"
    with pytest.raises(OutputError, match=words), locked(str(tmp_path / "out")):
        pass


def test_a_lock_is_free_when_its_batch_is_over(tmp_path):
    for _ in range(2):
        with locked(str(tmp_path)):
            pass


HOLDER = """
import os, subprocess, sys, time
from conv3d_cli.batch import locked
with locked(sys.argv[1]) as lock:
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(0.5)"], pass_fds=lock)
    os._exit(0)
"""


def test_the_workers_of_a_batch_that_was_killed_are_waited_for(tmp_path):
    subprocess.run([sys.executable, "-c", HOLDER, str(tmp_path)], check=True)
    start = time.monotonic()
    with locked(str(tmp_path)):
        assert time.monotonic() - start > 0.1


def test_a_lock_whose_holder_says_nothing_is_a_lock(tmp_path, lock):
    os.ftruncate(lock[0], 0)
    with pytest.raises(OutputError, match="is in use by another batch"), locked(str(tmp_path / "out")):
        pass


def test_parts_of_a_batch_share_a_folder_and_nothing_else_does(tmp_path):
    folder = str(tmp_path)
    with locked(folder, (1, 3)):
        with locked(folder, (3, 3)) as locks:
            assert len(locks) == 2
        for other in ((1, 3), (1, 2), None):
            with pytest.raises(OutputError, match="is in use by another batch"), locked(folder, other):
                pass
    with locked(folder), pytest.raises(OutputError, match="is in use by another batch"), locked(folder, (1, 3)):
        pass
    with locked(folder, (1, 2)):
        pass


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"), locked(str(tmp_path / "file")):
        pass


def test_a_worker_ends_when_its_batch_is_killed(tmp_path):
    code = (
        "import sys, os, signal\n"
        "from conv3d_cli.batch import Crew, locked\n"
        f"with locked({str(tmp_path)!r}) as lock, Crew('batchworkers', lock, 1, 1) as crew:\n"
        "    while not crew.workers[0].ready:\n"
        "        list(crew.messages(None))\n"
        "    print(crew.workers[0].process.pid, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    # What a worker says on standard error would keep a pipe open for as long as it lives.
    ran = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert ran.returncode == -signal.SIGKILL
    number = int(ran.stdout)
    until = time.monotonic() + 10
    while time.monotonic() < until and Path(f"/proc/{number}/stat").exists():
        if Path(f"/proc/{number}/stat").read_text().split(")")[1].split()[0] == "Z":
            break
        time.sleep(0.02)
    assert time.monotonic() < until


def test_a_batch_waits_for_those_who_still_work_for_one_that_has_ended(tmp_path, monkeypatch):
    folder = str(tmp_path)
    monkeypatch.setattr(lock_module, "PATIENCE", 0.2)
    with locked(folder):
        path = lock_module.guests(folder)
    with lock_module.visiting(path):
        with pytest.raises(OutputError, match="it has ended, and its workers elsewhere still work"), locked(folder):
            pass
        with pytest.raises(OutputError, match="still work"), locked(folder, (1, 2)):
            pass
    with locked(folder), lock_module.visiting(path), lock_module.visiting(path):
        assert not lock_module.vacated(path, 0)
    with locked(folder, (2, 2)), lock_module.visiting(lock_module.guests(folder, (2, 2))), locked(folder, (1, 2)):
        pass
    assert lock_module.vacated(path, 0)


def test_what_was_left_is_replaced_when_a_job_is_tried_again(tmp_path):
    (job,) = jobs(tmp_path, ["ok-1"])
    assert not schedule._again(job).overwrite
    write_record(job.folder, job.item.name, Record(STARTED, job.item.source, {}))
    assert schedule._again(job).overwrite
    assert schedule._again(job).attempt == 2
