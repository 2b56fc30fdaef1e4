"""Faults put into the engine, one at a time, and the problem of the fuzz that finds each: proof that it can fail.

    python tests/mutants.py                # all of them, one compile each: some minutes
    python tests/mutants.py fft winograd   # those whose file has such a word in its name

A copy of the sources is built, for the plain instruction set alone.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build" / "mutants"
ENGINE = FOLDER / "tree" / "conv3d_cli" / "engine"
PROBLEMS = 2000

MUTANTS = [
    ("a pad off by one", "native/slab.hpp", "- axis.before +", "- axis.before + (axis.before > 2) +"),
    ("a row taken for another", "native/slab.hpp", "+ at_y * task.x_strides[3]", "+ (at_y & ~8) * task.x_strides[3]"),
    ("no bias", "native/tile.hpp", "if (a.bias && !a.add)", "if (a.bias && a.add)"),
    ("a tap dropped", "native/tile.hpp", "t < a.columns; ++t, w", "t < a.columns - (a.columns > 9); ++t, w"),
    ("columns lost that share weights", "native/kernel_taps.cpp", "Index ways : {4, 2, 1}", "Index ways : {4, 2}"),
    ("columns of another pass", "native/tap_lists.cpp", "part.columns * pass.ways;", "part.columns;"),
    ("a mirror off by one", "native/boundary.hpp", "- edge.size + edge", "- edge.size + (position > 9) + edge"),
    ("strides exchanged", "direct_slab.py", "problem.strides[index], ", "problem.strides[(1, 0, 2)[index]], "),
    ("a wrong twiddle factor", "native/fft_lines.hpp", "N : k) / N;", "N : k) / N * (k == 5 ? 1.001 : 1);"),
    ("an output lost", "native/fft_pack.hpp", "(left + steps - 1) / steps)", "(left + steps - 1 - (at > 8)) / steps)"),
    ("a strided row begun too early", "native/fft_long_rows.hpp", "(stride - n % stride) % stride", "0"),
    ("a first output too early", "tiles.py", "first = [-(-lo // s)", "first = [lo // s"),
    ("no bias", "native/winograd_kernel.cpp", "bias ? bias[f + i] : T(0), w", "T(0), w"),
    ("too little reach", "native/winograd_work.hpp", "(a.points - 1) / a.step *", "(a.points - 2) / a.step *"),
    ("before a row", "native/winograd_gather.hpp", "(most(-c.begin, 0) + run - 1)", "(most(-c.begin, 0) - 1)"),
    ("channels twice", "native/winograd_job.cpp", "(part + 1) * run.count / parts", "(part + 1) * run.count"),
    ("planes of no output left as they were", "native/direct_toom.hpp", "z < used + whole - count", "z < used"),
    ("NaN let in", "winograd.py", "    bright, heavy = brightest", "    return None\n    bright, heavy = brightest"),
    ("a plane taken for another", "native/separable_kernel.cpp", "axes[0], top + p)", "axes[0], top + (p & ~8))"),
    ("dilations exchanged", "native/separable_kernel.cpp", "step = task.dilation[2];", "step = task.dilation[1];"),
    ("any kernel a product", "factors.py", "ROUNDINGS = 8.0", "ROUNDINGS = 8e7"),
    ("a tail too long", "native/pointwise_tile.hpp", "x == X - 1 ? a.tail : lanes", "lanes"),
    ("rows joined that lie apart", "native/pointwise_job.cpp", "!follows && rows > 1", "!follows && rows > 2"),
]  # fmt: skip


def refresh() -> None:
    """Make the copy, or bring it up to date; a run that was killed leaves its fault in there."""
    for path in [ROOT / "CMakeLists.txt", *(ROOT / "conv3d_cli").rglob("*.*")]:
        copy = FOLDER / "tree" / path.relative_to(ROOT)
        if path.is_file() and path.suffix != ".so" and not (copy.exists() and copy.read_bytes() == path.read_bytes()):
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())


def build() -> None:
    """Bring the library of the copy up to date."""
    sites = ":".join(path for path in sys.path if path.endswith("site-packages"))
    nanobind = importlib.util.find_spec("nanobind")
    assert nanobind is not None, "nanobind is needed, as for every build of the package"
    options = {
        "CMAKE_BUILD_TYPE": "Release",
        "CONV3D_KNOWS_LEVELS": "OFF",
        "Python_EXECUTABLE": sys.executable,
        "nanobind_DIR": Path(nanobind.origin).parent / "cmake",
    }
    cmake = FOLDER / "cmake"
    if not (cmake / "CMakeCache.txt").exists():
        defines = [f"-D{name}={value}" for name, value in options.items()]
        subprocess.run(
            ["cmake", "-G", "Ninja", "-S", FOLDER / "tree", "-B", cmake, *defines],
            check=True,
            stdout=subprocess.DEVNULL,
        )
    environment = {**os.environ, "PYTHONPATH": sites}
    subprocess.run(["cmake", "--build", cmake, "-j2"], check=True, stdout=subprocess.DEVNULL, env=environment)
    for library in cmake.glob("_native*.so"):
        shutil.copy2(library, ENGINE)


def fuzz() -> str:
    """Return the first line that the fuzz tells of the copy."""
    sites = [path for path in sys.path if path.endswith("site-packages")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(FOLDER / "tree"), *sites])}
    command = [sys.executable, "-S", str(ROOT / "tests" / "fuzz.py"), "--first", "--count", str(PROBLEMS)]
    ran = subprocess.run(command, env=environment, cwd=FOLDER, capture_output=True, text=True, check=False)
    if ran.returncode == 0:
        return ""
    return next(iter(ran.stdout.splitlines()), f"died with {ran.returncode}: {ran.stderr[:200]}")


def main(words: list[str]) -> int:
    chosen = [row for row in MUTANTS if not words or any(word in row[1] for word in words)]
    refresh()
    survivors = 0
    for what, name, right, wrong in chosen:
        path = ENGINE / name
        source = (ROOT / "conv3d_cli" / "engine" / name).read_text()
        assert right in source, f"{name}: the line to change is gone: {right}"
        path.write_text(source.replace(right, wrong, 1))
        try:
            build()
            found = fuzz()
        finally:
            path.write_text(source)
        survivors += not found
        print(f"{name}, {what}: {found[:160] or 'NOT FOUND'}", flush=True)
    return survivors


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
