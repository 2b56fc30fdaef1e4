"""The command as a process: help, exit codes, signals, broken streams, imports."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import numpy as np
import pytest
from support import beside_the_kernels, compiled

import conv3d_cli
from conv3d_cli import __version__
from conv3d_cli.cli.main import COMMANDS, cli, main, run
from conv3d_cli.cli.prepare import json_text
from conv3d_cli.cli.stopping import SIGNALS, Stopped
from conv3d_cli.errors import InputError, OutputError, OverLimit, SpecError, UsageError
from conv3d_cli.volumes import Volume, save_volume

CONV3D = [sys.executable, "-m", "conv3d_cli"]
HEAVY = ("numpy", "scipy", "nibabel", "h5py", "yaml", "rich")
#: What a run of a filter over a NIfTI file has no use for, by what it is for.
IDLE = {
    "other libraries": (
        "nibabel",
        "h5py",
        "scipy",
        "yaml",
        "numpy.polynomial",
        "numpy.fft",
        "numpy.random",
        "numpy.ma",
    ),
    "classes": ("dataclasses", "copy"),
    "names of files": ("pathlib", "urllib", "ipaddress"),
    "lines that nobody hears": ("logging", "traceback", "conv3d_cli.cli.loglines"),
    "functions of a table": (
        "conv3d_cli.layers.activations.tables",
        "conv3d_cli.layers.constraints",
        "conv3d_cli.layers.regularizers",
    ),
    "figures of a report": ("importlib.metadata", "email", "tempfile", "conv3d_cli.report.schema"),
    "tables": ("rich", "conv3d_cli.report.table", "conv3d_cli.report.batch", "conv3d_cli.report.comparison"),
    "specs": ("conv3d_cli.spec.reader", "conv3d_cli.spec.check", "conv3d_cli.models", "conv3d_cli.weights"),
    "run files": ("conv3d_cli.runfile", "conv3d_cli.batch"),
    "other layers": (
        "conv3d_cli.layers.catalogue",
        "conv3d_cli.layers.activation_layers",
        "conv3d_cli.layers.magnitude",
    ),
    "what others made": ("conv3d_cli.provenance.beside",),
    "gradients": ("conv3d_cli.layers.gradients", "conv3d_cli.layers.activations.slopes", "conv3d_cli.engine.adjoint"),
    "masks": ("conv3d_cli.masking", "conv3d_cli.pipeline.inside", "conv3d_cli.volumes.masks"),
    "comparisons": ("conv3d_cli.volumes.comparison", "conv3d_cli.volumes.deviation"),
    "other formats": ("conv3d_cli.volumes.hdf5", "conv3d_cli.volumes.hdf5_out", "conv3d_cli.volumes.hdf5_attributes"),
    "Winograd's matrices": ("conv3d_cli.engine.cook_toom", "fractions", "decimal"),
}


def process(*words: object, **more) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*CONV3D, *map(str, words)], capture_output=True, check=False, **more)


def modules(*words: object) -> set[str]:
    """Return the names of the modules that a command has imported in the end."""
    code = "import sys; from conv3d_cli.cli.main import run; run(sys.argv[1:]); print(); print(*sys.modules)"
    call = [sys.executable, "-c", code, *map(str, words)]
    done = subprocess.run(call, capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


def imported(*words: object) -> set[str]:
    """Return the names of the packages that a command has imported in the end."""
    return {name.split(".")[0] for name in modules(*words)}


def commands() -> dict[str, click.Command]:
    context = click.Context(cli)
    found = {name: cli.get_command(context, name) for name in cli.list_commands(context)}
    nested = {
        f"{name} {sub}": command
        for name, group in found.items()
        if isinstance(group, click.Group)
        for sub, command in group.commands.items()
    }
    return {**found, **nested}


def test_version(conv3d):
    assert conv3d("--version").out == f"conv3d, version {__version__}\n"


@pytest.mark.parametrize("name", sorted(commands()))
def test_every_command_has_help_with_an_example(conv3d, name):
    told = conv3d(*name.split(), "--help")
    assert told.code == 0
    assert "Example:\n" in told.out
    assert f"conv3d {name}" in told.out or name == "weights"
    assert "INTEGER" not in told.out


@pytest.mark.parametrize("name", ["apply", "plan"])
def test_help_names_the_formats_of_specs_and_weights(conv3d, name):
    told = " ".join(conv3d(name, "--help").out.split())
    assert "a YAML spec, or a Keras model (.keras, .h5, .json)" in told
    assert "Weights (.npz, .h5, .weights.h5, .keras, .safetensors)" in told


def test_help_names_the_variables_of_the_environment(conv3d):
    told = conv3d("--help").out
    root = Path(conv3d_cli.__file__).parent
    named = {word for path in root.rglob("*.py") for word in re.findall(r"CONV3D_[A-Z_]+", path.read_text())}
    assert len(named) == 5
    assert all(f"  {name} " in told for name in named)


def test_help_tells_the_options_in_their_order(conv3d):
    told = conv3d("apply", "--help").out
    places = [told.index(f"  {name} ") for name in ("--spec", "--weights", "--method", "--seed", "--dtype")]
    assert places == sorted(places)


def test_json_holds_numbers_alone():
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_text({"mean": float("nan")})


def test_help_names_every_command_and_exit_code(conv3d):
    told = conv3d("--help")
    assert all(f"  {name}" in told.out for name in COMMANDS)
    assert all(str(code) in told.out for code in (0, 1, 2, 3, 4, 5, 7, 129, 130, 143))


def test_no_words_at_all_show_the_help(conv3d):
    told = conv3d()
    assert told.code == 2
    assert "Usage: conv3d" in told.err


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["aply"], "No such command 'aply'"),
        (["apply", "--spek", "a"], "No such option"),
        (["weights", "shwo"], "No such command 'shwo'"),
    ],
)
def test_usage_errors_are_one_line(conv3d, words, text):
    told = conv3d(*words)
    assert told.code == 2
    assert text in told.err
    assert told.err.count("\n") == 1
    assert told.out == ""


def test_help_imports_nothing_heavy():
    assert not set(HEAVY) & imported("--help")


def test_a_plan_of_an_npy_imports_no_other_format(volume, spec):
    assert not {"nibabel", "h5py", "scipy"} & imported("plan", volume(), "--spec", spec(), "-q")


@compiled
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_filter_imports_nothing_that_it_has_no_use_for(tmp_path, suffix):
    source, target = (str(tmp_path / f"{name}{suffix}") for name in ("in", "out"))
    save_volume(Volume(np.zeros((9, 8, 7), np.float32), "xyz"), source)
    found = modules("apply", source, target, "--filter", "gaussian:sigma=1vox", "-q")
    assert not {name: what for what, names in IDLE.items() for name in names if name in found}
    assert "conv3d_cli.engine.separable" in found


def test_the_modules_that_a_filter_must_not_import_are_there():
    for name in {name for names in IDLE.values() for name in names}:
        assert importlib.util.find_spec(name) is not None, name


def test_the_process_ends_with_its_last_line(tmp_path):
    """Nothing is taken apart at the end, and yet what was printed and registered is done."""
    code = (
        "import atexit, sys; from conv3d_cli.cli import main; atexit.register(print, 'registered');"
        "sys.argv[1:] = {words}; sys.unraisablehook = print; main.main()"
    )
    for words, code_wanted, out in ((["--version"], 0, b"0.1.0"), (["aply"], 2, b"")):
        call = [sys.executable, "-c", code.format(words=words)]
        done = subprocess.run(call, capture_output=True, check=False)
        assert done.returncode == code_wanted
        assert out in done.stdout
        assert done.stdout.endswith(b"registered\n")


@pytest.mark.parametrize(("name", "usual"), [("OPENBLAS_NUM_THREADS", "1"), ("NUMPY_MADVISE_HUGEPAGE", "0")])
def test_the_process_has_one_thread_of_blas_and_no_huge_pages_unless_told_otherwise(name, usual):
    code = (
        "import os, sys; from conv3d_cli.cli import main; sys.argv[1:] = ['--version'];"
        f"main._end = lambda code: print(os.environ['{name}']); main.main()"
    )
    for given, found in ((None, usual), ("3", "3")):
        env = {key: value for key, value in os.environ.items() if key != name}
        env |= {} if given is None else {name: given}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
        assert done.stdout.splitlines()[-1] == found


def test_the_process_looks_for_no_garbage_among_what_it_imports():
    code = (
        "import gc, os, sys; from conv3d_cli.__main__ import main; sys.argv[1:] = ['--version'];"
        "looks = []; gc.callbacks.append(lambda phase, _: looks.append(phase)); end = os._exit;"
        "os._exit = lambda code: (print(len(looks), flush=True), end(code)); main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0"


def test_an_internal_error_is_told_as_one(conv3d, monkeypatch):
    from conv3d_cli.engine import isa

    def fail() -> None:
        raise ZeroDivisionError("nothing to divide")

    monkeypatch.setattr(isa, "available", fail)
    told = conv3d("info")
    assert told.code == 1
    assert told.err == (
        "Error: internal error: ZeroDivisionError: nothing to divide; run again with 'conv3d --debug' to see where\n"
    )
    assert "Traceback" in conv3d("--debug", "info").err


def test_memory_that_the_system_does_not_give(conv3d, monkeypatch):
    from conv3d_cli.engine import isa

    monkeypatch.setattr(isa, "available", lambda: (_ for _ in ()).throw(MemoryError()))
    assert conv3d("info").code == 5


def test_a_closed_standard_output_is_no_success():
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([*CONV3D, "info"], stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert done.returncode == 4
    assert b"Traceback" not in done.stderr
    assert b"Exception" not in done.stderr


@pytest.mark.parametrize("words", [["info"], ["info", "--json"], ["info", "--schema"]])
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full device on this system")
def test_a_full_standard_output_is_no_success(words):
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([*CONV3D, *words], stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 4
    assert done.stderr == b"Error: standard output: No space left on device\n"


def shell(words: str, *more: object, **options) -> subprocess.CompletedProcess[str]:
    """Run the command with streams redirected as a shell does it."""
    call = ["sh", "-c", f'"$0" -m conv3d_cli "$@" {words}', sys.executable, *map(str, more)]
    return subprocess.run(call, capture_output=True, text=True, check=False, **options)


def test_without_a_standard_output_only_silence_is_a_success(volume, spec, tmp_path):
    words = ["apply", volume(), "--spec", spec()]
    told = shell(">&-", *words, tmp_path / "a.npy")
    assert told.returncode == 4
    assert told.stderr.splitlines()[-1] == "Error: standard output: not writable"
    assert shell(">&- 2>&- <&-", *words, tmp_path / "b.npy", "-q").returncode == 0
    assert np.load(tmp_path / "b.npy").shape == (8, 9, 10)


def test_what_the_encoding_of_standard_output_lacks_is_escaped(volume, spec, tmp_path):
    words = ["apply", volume(), tmp_path / "m\xe4rz.npy", "--spec", spec()]
    told = process(*words, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert told.returncode == 0
    assert b"m\\xe4rz.npy" in told.stdout


def test_progress_needs_no_standard_error(volume, spec, tmp_path):
    code = (
        "import sys; from conv3d_cli.cli import main, talk; talk.LONG_SECONDS = 0.0; sys.exit(main.run(sys.argv[1:]))"
    )
    words = ["apply", volume(), tmp_path / "a.npy", "--spec", spec()]
    call = ["sh", "-c", '"$0" "$@" 2>&-', sys.executable, "-c", code, *map(str, words)]
    assert subprocess.run(call, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("times", [1, 4])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_run_and_leaves_nothing(tmp_path, number, times):
    np.save(tmp_path / "in.npy", np.zeros((160, 160, 160), np.float32))
    (tmp_path / "spec.yaml").write_text("filters: 8\nkernel_size: 11\npadding: same\n")
    words = ["apply", "in.npy", "out.npy", "--spec", "spec.yaml", "--method", "reference", "--log-file", "log"]
    started = subprocess.Popen([*CONV3D, *words], cwd=tmp_path, stderr=subprocess.PIPE)
    while not (tmp_path / "log").exists() or not (tmp_path / "log").read_text():
        time.sleep(0.02)
    time.sleep(0.3)
    for _ in range(times):
        started.send_signal(number)
        time.sleep(0.02)
    err = started.communicate(timeout=30)[1].decode()
    assert started.returncode == 128 + number
    assert beside_the_kernels(err).splitlines()[1:] == [f"Error: stopped by {number.name}"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.npy", "log", "spec.yaml"]


def test_a_signal_that_the_caller_ignores_stays_ignored(tmp_path, volume, spec):
    code = (
        "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); from conv3d_cli import pipeline;"
        "run = pipeline.run; pipeline.run = lambda *words: os.kill(os.getpid(), signal.SIGHUP) or run(*words);"
        "from conv3d_cli.cli import main; sys.exit(main.run(sys.argv[1:]))"
    )
    words = ["apply", volume(), tmp_path / "out.npy", "--spec", spec(), "-q"]
    done = subprocess.run([sys.executable, "-c", code, *map(str, words)], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert (tmp_path / "out.npy").exists()


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path, volume, spec):
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000));"
        "from conv3d_cli.cli.main import run; sys.exit(run(sys.argv[1:]))"
    )
    words = ["apply", volume(16, 16, 16), tmp_path / "out.npy", "--spec", spec(), "-q"]
    done = subprocess.run(
        [sys.executable, "-B", "-c", code, *map(str, words)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 4, done.stderr
    assert "out.npy" in done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.npy", "spec.yaml"]


def test_an_address_space_too_small_is_over_the_limit(tmp_path, spec):
    np.save(tmp_path / "in.npy", np.zeros((300, 300, 300), np.float32))
    code = (
        "import resource, sys; import numpy, conv3d_cli.pipeline, conv3d_cli.volumes;"
        "size = int(open('/proc/self/statm').read().split()[0]) * 4096 + (150 << 20);"
        "resource.setrlimit(resource.RLIMIT_AS, (size, size));"
        "from conv3d_cli.cli.main import run; sys.exit(run(sys.argv[1:]))"
    )
    words = ["apply", tmp_path / "in.npy", tmp_path / "out.npy", "--spec", spec(), "-q"]
    done = subprocess.run([sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 5, done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out.npy").exists()


def test_shell_completion(conv3d, monkeypatch):
    monkeypatch.setenv("_CONV3D_COMPLETE", "bash_source")
    assert conv3d().code == 0
    monkeypatch.setenv("_CONV3D_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "conv3d ap")
    monkeypatch.setenv("COMP_CWORD", "1")
    told = conv3d()
    assert (told.code, told.out) == (0, "plain,apply\n")


def test_run_returns_and_does_not_leave_the_process():
    assert run(["info", "--json"]) == 0


def test_the_handlers_of_signals_come_back():
    before = {number: signal.getsignal(number) for number in SIGNALS}
    assert len(before) == 3
    assert run(["--version"]) == 0
    assert run(["aply"]) == 2
    assert {number: signal.getsignal(number) for number in SIGNALS} == before


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (KeyboardInterrupt(), 130, "Error: interrupted\n"),
        (click.Abort(), 130, "Error: interrupted\n"),
        (MemoryError(), 5, "Error: memory: the system gave no more: try --max-memory, "),
        (FileNotFoundError(2, "No such file", "a\nb"), 4, "Error: 'a\\nb': No such file\n"),
        (OSError("odd"), 4, "Error: standard output: odd\n"),
        (OutputError("'a': exists already"), 4, "Error: 'a': exists already\n"),
        (OverLimit("too much"), 5, "Error: too much\n"),
        (SpecError(["one", "two"]), 3, "Error: one\nError: two\n"),
        (InputError(), 3, "Error: InputError\n"),
        (UsageError("no"), 2, "Error: no\n"),
    ],
    ids=lambda v: type(v).__name__ if isinstance(v, BaseException) else "",
)
def test_what_an_error_is_told_as(conv3d, monkeypatch, error, code, text):
    def fail() -> None:
        raise error

    monkeypatch.setattr("conv3d_cli.engine.isa.available", fail)
    monkeypatch.setattr("conv3d_cli.cli.main._silence_stdout", lambda: None)
    told = conv3d("info")
    assert (told.code, told.out) == (code, "")
    assert told.err.lstrip("\n").startswith(text)  # Click ends the line that an interrupt has broken
    assert "Traceback" not in told.err


def test_a_traceback_is_shown_only_for_the_asking_and_never_for_help(conv3d):
    assert "Traceback" in conv3d("--debug", "info", "none.nii").err
    assert "Traceback" not in conv3d("info", "none.nii").err
    assert "Traceback" not in conv3d("--debug", "--help").err


def test_a_signal_while_the_end_is_told_is_heeded(monkeypatch):
    def told(words: list[str]) -> int:
        raise Stopped(signal.SIGTERM)

    monkeypatch.setattr("conv3d_cli.cli.main._told", told)
    assert run([]) == 143


def test_an_error_that_cannot_be_told_keeps_its_exit_code(monkeypatch):
    def fail(*words: object, **more: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(click, "echo", fail)
    assert run(["info", "none.nii"]) == 3


def test_a_usage_error_says_where_help_is(conv3d):
    assert conv3d("apply", "--spek", "a").err.endswith("(see 'conv3d apply --help')\n")
    assert conv3d("apply", "-h").out == conv3d("apply", "--help").out


def test_main_leaves_with_the_exit_code(capsys):
    for words, code in ((["aply"], 2), (["--version"], 0), (["info", "none.nii"], 3)):
        with pytest.raises(SystemExit) as left:
            main(words)
        assert left.value.code == code
