"""A batch with bad volumes among the good, killed at random moments and run again, against one that nobody disturbs.

    python tests/fuzz_batch.py --volumes 200 --bad 10 --kills 20

It ends with an error if an output differs from what ``conv3d apply`` makes, if an error is missing from the summary,
if something that was done is done again, or if anything is left behind.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from batches import bad, leftovers, nifti

OPTIONS = ("--filter", "gaussian:sigma=1.5vox", "--filter", "laplacian")
CONV3D = (sys.executable, "-m", "conv3d_cli")
FAILED = 6


@dataclass(frozen=True)
class Case:
    """A folder of volumes, of which so many are bad, and where the outputs go."""

    source: Path
    volumes: int
    bad: int

    @property
    def good(self) -> list[str]:
        return [f"{number:03d}.nii" for number in range(self.volumes) if number not in self.bad_numbers]

    @property
    def bad_numbers(self) -> set[int]:
        return {number * self.volumes // self.bad for number in range(self.bad)}


def make(folder: Path, volumes: int, bad_ones: int, size: int) -> Case:
    """Write the volumes."""
    case = Case(folder / "in", volumes, bad_ones)
    case.source.mkdir()
    for number in range(volumes):
        path = case.source / f"{number:03d}.nii"
        if number in case.bad_numbers:
            bad(path, number)
        else:
            nifti(path, number, (size, size + 1, size - 1))
    return case


def command(case: Case, out: Path, jobs: int) -> list[str]:
    return [*CONV3D, "batch", str(case.source), "--out-dir", str(out), *OPTIONS, "--jobs", str(jobs), "--threads", "1"]


def to_the_end(case: Case, out: Path, jobs: int) -> dict:
    """Run a batch, and check all that it promises; return its summary."""
    ran = subprocess.run([*command(case, out, jobs), "--json", "-q"], capture_output=True, text=True)
    assert ran.returncode == (FAILED if case.bad else 0), ran.stderr
    document = json.loads(ran.stdout)
    failed = {Path(item["source"]).name for item in document["items"] if item["state"] == "failed"}
    assert failed == {f"{number:03d}.nii" for number in case.bad_numbers}, failed
    assert all(item["error"] and item["code"] == 3 for item in document["items"] if item["state"] == "failed")
    assert sorted(path.name for path in out.glob("*.nii")) == case.good
    assert sorted(path.name for path in out.glob("*.nii.json")) == [f"{name}.json" for name in case.good]
    assert not leftovers(out), leftovers(out)
    return document


def check_against_apply(case: Case, out: Path) -> None:
    """Compare every output with that of apply, which is asked in this process."""
    from conv3d_cli.cli.main import run

    with tempfile.TemporaryDirectory() as folder:
        alone = Path(folder, "alone.nii")
        for name in case.good:
            words = ["apply", str(case.source / name), str(alone), *OPTIONS, "--threads", "1", "-q", "--overwrite"]
            assert run(words) == 0
            assert alone.read_bytes() == (out / name).read_bytes(), name


def done_in(out: Path) -> dict[str, tuple[int, int]]:
    """Return, by name, the outputs that the records call done, with what would differ if one was made again."""
    done = {}
    for path in (out / ".conv3d" / "records").glob("*.json"):
        if json.loads(path.read_text())["state"] == "done":
            status = (out / path.stem).stat()
            done[path.stem] = (status.st_ino, status.st_mtime_ns)
    return done


def _wait_for(process: subprocess.Popen, out: Path, outputs: int) -> None:
    """Wait until a batch has so many outputs, or has ended."""
    while process.poll() is None and len(list(out.glob("*.nii"))) < outputs:
        time.sleep(0.003)


def kill_and_run_again(case: Case, out: Path, jobs: int, kills: int, chance: random.Random) -> int:
    """Kill a batch so often, and let it end; return how often it was killed.

    The moments are random: now in the beginning, mostly when it has come a random part of what is left further. Nothing
    may have been made twice of what a record called done.
    """
    killed = 0
    for number in range(kills):
        before = done_in(out)
        with tempfile.TemporaryFile("w+") as said:
            process = subprocess.Popen(command(case, out, jobs), stderr=said, stdout=subprocess.DEVNULL)
            if number % 4:
                share = 2 * (len(case.good) - len(before)) / (kills - number)
                _wait_for(process, out, len(before) + round(chance.uniform(0, share)))
                time.sleep(chance.uniform(0, 0.1))
            else:
                time.sleep(chance.uniform(0, 1.5))
            process.send_signal(signal.SIGKILL)
            killed += process.wait() == -signal.SIGKILL
            said.seek(0)
            assert process.returncode in (-signal.SIGKILL, FAILED), said.read()
        after = done_in(out)
        assert before == {name: after.get(name) for name in before}, "something done was made again"
        print(f"  kill {number + 1}: {len(after)} of {len(case.good)} done", flush=True)
    before = done_in(out)
    to_the_end(case, out, jobs)
    after = done_in(out)
    assert before == {name: after[name] for name in before}, "something done was made again"
    return killed


def fuzz(volumes: int, bad_ones: int, kills: int, seed: int, jobs: int, size: int) -> str:
    """Do all of it, and return what there is to say."""
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        case = make(folder, volumes, bad_ones, size)
        start = time.monotonic()
        to_the_end(case, folder / "calm", jobs)
        seconds = time.monotonic() - start
        check_against_apply(case, folder / "calm")
        killed = kill_and_run_again(case, folder / "killed", jobs, kills, chance)
        for name in case.good:
            assert (folder / "calm" / name).read_bytes() == (folder / "killed" / name).read_bytes(), name
        return (
            f"{volumes} volumes, {bad_ones} bad: {len(case.good)} right outputs, {bad_ones} errors recorded; "
            f"killed {killed} times of {kills}: the same, and nothing twice; undisturbed {seconds:.1f} s"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--volumes", type=int, default=200)
    parser.add_argument("--bad", type=int, default=10, help="volumes that cannot be read")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--size", type=int, default=40, help="of a volume, along an axis")
    given = parser.parse_args()
    os.environ.setdefault("CONV3D_CACHE", tempfile.gettempdir() + "/no-such-cache")
    print(fuzz(given.volumes, given.bad, given.kills, given.seed, given.jobs, given.size))


if __name__ == "__main__":
    main()
