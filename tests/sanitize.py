"""The engine's tests with its native code under a sanitizer, in a build and an environment of their own.

    python tests/sanitize.py address,undefined
    python tests/sanitize.py thread
    python tests/sanitize.py address,undefined --wide            # vectors of 64 bytes, whatever the machine has
    python tests/sanitize.py thread tests/test_threads.py -k fork  # pytest's arguments, instead of all the tests

It needs GCC's runtimes (libasan, libtsan) and what builds the package: a C++ compiler, CMake, Ninja. What the sanitizer
finds ends the tests with its report. CPython itself is not instrumented, and needs no suppressions: it is told to take
its memory from malloc, so that its arrays are watched too.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

RUNTIMES = {"address,undefined": "libasan.so", "thread": "libtsan.so"}

TESTS = {
    "address,undefined": [str(path) for path in sorted((ROOT / "tests").glob("test_engine_*.py"))],
    "thread": [
        str(ROOT / "tests" / f"test_{name}.py")
        for name in ("threads", "engine_team", "engine_threads", "engine_properties")
    ],
}

SETTINGS = {
    # Python keeps what it imported until it ends, which would all be leaks. Tests ask for more memory than there is.
    "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    # A test forks a process that has threads, and starts threads in it: what the runtime would rather end.
    "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1:die_after_fork=0:allocator_may_return_null=1",
    "PYTHONMALLOC": "malloc",
    "PYTHONUNBUFFERED": "1",
    # OpenBLAS's threads wait for one another by means that no sanitizer sees.
    "OPENBLAS_NUM_THREADS": "1",
}


def build(folder: Path, sanitizers: str, wide: bool) -> Path:
    """Install the package with its sanitizers into an environment below ``folder``; return its interpreter."""
    environment = folder / "environment"
    venv.create(environment, with_pip=False)
    python = environment / "bin" / "python"
    sites = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    [site] = environment.glob("lib/python*/site-packages")
    (site / "tests.pth").write_text("\n".join(sites) + "\n")  # what is in there last: the package comes from here
    alone = ["--no-build-isolation"] if importlib.util.find_spec("scikit_build_core") else []
    defines = {"CONV3D_SANITIZE": sanitizers, "CONV3D_WIDE_VECTORS": "ON" if wide else "OFF"}
    options = ["-Cinstall.strip=false", *(f"-Ccmake.define.{name}={value}" for name, value in defines.items())]
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", *alone]
    subprocess.run([*pip, "--force-reinstall", f"-Cbuild-dir={folder / 'cmake'}", *options, str(ROOT)], check=True)
    return python


def runtime(name: str) -> str:
    """Return the path of a library of the compiler's."""
    asked = [os.environ.get("CXX", "c++"), f"-print-file-name={name}"]
    path = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    if not Path(path).is_absolute():
        raise SystemExit(f"{name}: the compiler has none")
    return path


def run(python: Path, sanitizers: str, arguments: list[str], folder: Path) -> int:
    """Run pytest with the sanitizer's runtime, whose report is shown, loaded before all else; return its exit code."""
    # The runtime replaces what throws exceptions in libstdc++, which Python alone would not load in time.
    loaded = " ".join(runtime(name) for name in (RUNTIMES[sanitizers], "libstdc++.so"))
    # ThreadSanitizer knows a few layouts of memory; some kernels place programs outside of them.
    fixed = ["setarch", "-R"] if sanitizers == "thread" and shutil.which("setarch") else []
    environment = {**os.environ, **SETTINGS}
    inside = ["env", f"LD_PRELOAD={loaded}", str(python), "-m", "pytest", "-c", str(ROOT / "pyproject.toml")]
    # From elsewhere: in the root the sources would be imported, which have no kernels.
    return subprocess.run(
        [*fixed, *inside, "-q", "-x", "-s", *arguments], cwd=folder, env=environment, check=False
    ).returncode


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sanitizers", choices=list(RUNTIMES))
    parser.add_argument("--wide", action="store_true", help="build the vectors of x86-64-v4 from those of v3")
    parser.add_argument("--no-build", action="store_true", help="use what was built before")
    given, arguments = parser.parse_known_args()
    folder = ROOT / "build" / f"sanitize-{given.sanitizers.replace(',', '-')}{'-wide' if given.wide else ''}"
    python = folder / "environment" / "bin" / "python"
    if not given.no_build:
        python = build(folder, given.sanitizers, given.wide)
    chosen = [str(ROOT / word) if (ROOT / word).exists() else word for word in arguments]
    return run(python, given.sanitizers, chosen or TESTS[given.sanitizers], folder)


if __name__ == "__main__":
    sys.exit(main())
