"""Time whole commands that smooth a volume, start to end: ``python -m benchmarks.processes SCAN.nii``.

Each command reads the volume from a file, smooths it by a Gaussian of 6 mm (full width at half maximum) and writes a
new file, plain and in gzip. Those of this machine's programs take turns; what is not installed is left out, and named.
conv3d is the command of the environment that runs this.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from conv3d_cli import __version__
from conv3d_cli.limits import processor, processors

FWHM = 6.0
SIGMA = FWHM / 2.3548200450309493
ITK = f"""\
import sys
import SimpleITK as itk
itk.WriteImage(itk.SmoothingRecursiveGaussian(itk.ReadImage(sys.argv[1]), {SIGMA:.6f}), sys.argv[2])
"""

CONV3D = str(Path(sysconfig.get_path("scripts"), "conv3d"))

STORE = """\
import sys
import nibabel
import numpy
image = nibabel.load(sys.argv[1])
nibabel.save(nibabel.Nifti1Image(numpy.asarray(image.dataobj, dtype=numpy.float32), image.affine), sys.argv[2])
"""
"""What stores the scan as float32, in a process of its own: this one stays small, since others start as its copies."""

USE_MEMORY = "bytearray(b'x') * (1 << 29)"
"""Goes before each call, so that all find memory that was in use just now. A host may take from a virtual machine what
nobody uses there, and to get it back takes longer than the work: the first to ask would pay for those that follow."""

COMMANDS = {
    "conv3d": (CONV3D, "apply", "IN", "OUT", "--filter", f"gaussian:fwhm={FWHM:g}mm", "--quiet"),
    "niimath": ("niimath", "IN", "-s", f"{SIGMA:.6f}", "OUT"),
    "mrfilter": ("mrfilter", "IN", "smooth", "OUT", "-fwhm", f"{FWHM:g}", "-quiet"),
    "SimpleITK": (sys.executable, "-c", ITK, "IN", "OUT"),
    "Python's start": (sys.executable, "-c", "import click, numpy"),
}
"""The words of each program, with IN and OUT where the files stand. The last is what conv3d cannot do without."""

SUFFIXES = {".nii": "NIFTI", ".nii.gz": "NIFTI_GZ"}
"""How files are stored, and the word that niimath takes for it from its environment."""


class Run(NamedTuple):
    """One call: its seconds, those until its output was on the disk, and the most memory that it held, in bytes."""

    seconds: float
    safe: float
    peak: int


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.processes", description=__doc__)
    parser.add_argument("scan", type=Path, help="a NIfTI volume")
    parser.add_argument("--rounds", type=int, default=9, help="calls of each program for each kind of file")
    options = parser.parse_args()
    programs = found()
    machine = f"{processor()}, {processors()} processors, {platform.platform()}"
    print(f"{machine}; conv3d {__version__}, Python {platform.python_version()}.\n")
    print(
        "| file | program | median, s | least, s | on the disk, median, s | peak, MiB |\n|---|---|---:|---:|---:|---:|"
    )
    with tempfile.TemporaryDirectory() as folder:
        for suffix in SUFFIXES:
            source = stored(options.scan, Path(folder, f"in{suffix}"))
            for name, runs in measured(programs, source, options.rounds).items():
                seconds, safe, peaks = (list(column) for column in zip(*runs, strict=True))
                ends, peak = f"{statistics.median(seconds):.3f} | {min(seconds):.3f}", max(peaks) / 2**20
                print(f"| {suffix} | {name} | {ends} | {statistics.median(safe):.3f} | {peak:.0f} |")


def found() -> dict[str, tuple[str, ...]]:
    """Return the commands whose programs are here; the others are named on standard error."""
    here = {name: words for name, words in COMMANDS.items() if is_here(name, words[0])}
    if missing := [name for name in COMMANDS if name not in here]:
        print(f"not installed: {', '.join(missing)}", file=sys.stderr)
    return here


def is_here(name: str, program: str) -> bool:
    """Say whether a program, or the library that Python runs in its place, is installed."""
    return bool(importlib.util.find_spec(name) if name == "SimpleITK" else shutil.which(program))


def stored(scan: Path, path: Path) -> Path:
    """Write the volume as float32 in the kind of file that ``path`` names."""
    subprocess.run([sys.executable, "-c", STORE, str(scan), str(path)], check=True)
    return path


def measured(programs: dict[str, tuple[str, ...]], source: Path, rounds: int) -> dict[str, list[Run]]:
    """Run the programs in turns, so that what slows the machine down for a while slows all of them."""
    suffix = "".join(source.suffixes)
    runs: dict[str, list[Run]] = {name: [] for name in programs}
    for _ in range(rounds + 1):
        for name, words in programs.items():
            target = source.with_name(f"{name}{suffix}")
            target.unlink(missing_ok=True)  # to free the blocks of an earlier file is no part of the work
            files = {"IN": str(source), "OUT": str(target)}
            os.sync()  # nor is it to wait until the disk has what others wrote
            subprocess.run([sys.executable, "-c", USE_MEMORY], check=True)
            environment = {**os.environ, "FSLOUTPUTTYPE": SUFFIXES[suffix]}
            runs[name].append(timed([files.get(word, word) for word in words], environment, target))
    return {name: those[1:] for name, those in runs.items()}  # the first warms the caches up


def timed(words: list[str], environment: dict[str, str], target: Path) -> Run:
    """Run a command that writes ``target``, and wait until that is on the disk: for one that did so it is at once."""
    start = time.perf_counter()
    with subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - start
    if process.returncode:
        sys.exit(f"{words[0]}: ended with {process.returncode}")
    if target.exists():
        with target.open("rb+") as file:
            os.fsync(file.fileno())
    return Run(seconds, time.perf_counter() - start, used.ru_maxrss * 1024)


if __name__ == "__main__":
    main()
