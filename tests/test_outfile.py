"""Outputs appear whole or not at all, whatever fails and wherever; and naive writers fail the same harness."""

# System calls stand here by their os names, and blocks that are cut short are what is tested.
# ruff: noqa: PT012, PTH116, PTH118, PTH123

from __future__ import annotations

import contextlib
import errno
import gc
import io
import os
import resource
import signal
import stat
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from pathlib import Path

# Their import calls the system too, and is not what the sweep is about.
import h5py
import nibabel  # noqa: F401
import numpy as np
import pytest

from conv3d_cli import outfile
from conv3d_cli.errors import OutputError, UsageError
from conv3d_cli.outfile import names, pending
from conv3d_cli.volumes import Volume, load_volume, save_volume
from conv3d_cli.volumes.hdf5_out import CalmFile
from conv3d_cli.volumes.signals import deferred

ROOT = Path(__file__).parent.parent
OLD, NEW = b"the old content", bytes(range(256)) * 9000
CALLS = ("open", "write", "fstat", "fsync", "close", "link", "replace", "unlink", "ftruncate", "lseek")
VOXELS = np.random.default_rng(3).normal(size=(40, 41, 42)).astype("f4")


def write_whole(path, overwrite):
    with outfile.replacing(path, overwrite) as file:
        for start in range(0, len(NEW), 100_000):
            file.write(NEW[start : start + 100_000])


def volume_writer(suffix):
    def write(path, overwrite):
        save_volume(Volume(VOXELS, "xyz", format="nifti"), f"{path}{suffix}", overwrite=overwrite)

    return write


def naive(path, overwrite):
    """What a writer does that thinks of no fault: it writes to the name itself. Its errors are in good order."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        for start in range(0, len(NEW), 100_000):
            os.write(descriptor, NEW[start : start + 100_000])
        os.close(descriptor)
    except OSError as error:
        raise OutputError(error.strerror) from error


class Faults:
    """Counts the calls of every os function of CALLS, and lets the one that is chosen fail."""

    def __init__(self, monkeypatch, folder, number):
        self.count = 0
        self.done = []
        self.folder = os.fspath(folder)
        for name in CALLS:
            monkeypatch.setattr(os, name, self.wrap(name, getattr(os, name), number))

    def wrap(self, name, real, number):
        def call(*args, **kwargs):
            if any(str(arg).startswith("/dev") for arg in args) or (name == "open" and "site-packages" in str(args[0])):
                return real(*args, **kwargs)
            self.count += 1
            if self.count == number:
                self.done.append(name)
                if name == "close":
                    real(*args, **kwargs)  # the system frees a descriptor even where its close fails
                if name == "write":
                    real(args[0], bytes(args[1])[: len(args[1]) // 2])
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return real(*args, **kwargs)

        return call


def sweep(write, target_name, folder, overwrite, read):
    """Strike every call in turn; return (struck, survived, the calls struck)."""
    struck = survived = 0
    calls = []
    while True:
        place = folder / f"{struck}"
        place.mkdir()
        target = place / target_name
        if overwrite:
            target.write_bytes(OLD)
        with pytest.MonkeyPatch.context() as patch:
            faults = Faults(patch, place, struck + 1)
            error = None
            try:
                write(place / "out", overwrite)
            except OutputError as caught:
                error = caught
            except OSError:
                error = "bare"
        if not faults.done:
            return struck, survived, calls
        struck += 1
        calls += faults.done
        content = target.read_bytes() if target.exists() else None
        nothing = content == (OLD if overwrite else None)
        whole = content is not None and not nothing and read(target)
        quiet = isinstance(error, OutputError) and "Input/output error" in str(error) and "\n" not in str(error)
        # Where an unlink itself fails there may be a leftover, which the next run removes.
        clean = {p.name for p in place.iterdir()} <= {target_name} or faults.done == ["unlink"]
        survived += bool((nothing or whole) and (quiet or (whole and error is None)) and clean)


def whole_bytes(target):
    return target.read_bytes() == NEW


def whole_volume(target):
    return np.array_equal(np.sort(load_volume(str(target)).array, axis=None), np.sort(VOXELS, axis=None))


WRITERS = {
    "bytes": (write_whole, "out", whole_bytes),
    ".npy": (volume_writer(".npy"), "out.npy", whole_volume),
    ".nii": (volume_writer(".nii"), "out.nii", whole_volume),
    ".nii.gz": (volume_writer(".nii.gz"), "out.nii.gz", whole_volume),
    ".h5": (volume_writer(".h5"), "out.h5", whole_volume),
}


@pytest.mark.parametrize("overwrite", [False, True], ids=["new", "overwrite"])
@pytest.mark.parametrize("kind", WRITERS)
def test_every_fault_at_every_call(kind, overwrite, tmp_path):
    write, name, read = WRITERS[kind]
    struck, survived, calls = sweep(write, name, tmp_path, overwrite, read)
    assert {"open", "write", "fstat", "fsync", "close"} <= set(calls)
    assert ("replace" if overwrite else "link") in calls
    assert survived == struck
    print(f"faults survived, {kind}, {'overwrite' if overwrite else 'new'}: {survived}/{struck}")


def test_the_harness_catches_a_naive_writer(tmp_path):
    struck, survived, _ = sweep(naive, "out", tmp_path, True, whole_bytes)
    assert struck > 20
    assert survived < struck / 4
    print(f"naive control: {struck - survived}/{struck} corrupted")


PAIR_CALLS = 60


@pytest.mark.parametrize("overwrite", [False, True], ids=["new", "overwrite"])
def test_pairs_are_both_new_or_both_old(overwrite, tmp_path):
    struck = 0
    for number in range(1, PAIR_CALLS):
        place = tmp_path / str(number)
        place.mkdir()
        if overwrite:
            save_volume(Volume(np.zeros((2, 2, 2)), "xyz", format="nifti"), str(place / "a.hdr"))
        before = {p.name: p.read_bytes() for p in place.iterdir()}
        with pytest.MonkeyPatch.context() as patch:
            faults = Faults(patch, place, number)
            with contextlib.suppress(OutputError):
                save_volume(Volume(VOXELS, "xyz", format="nifti"), str(place / "a.img"), overwrite=overwrite)
        if not faults.done:
            break
        struck += 1
        after = {p.name: p.read_bytes() for p in place.iterdir() if not p.name.endswith(".part")}
        assert after == before or np.array_equal(load_volume(str(place / "a.hdr")).array, VOXELS), faults.done
        if faults.done != ["unlink"]:
            assert len(list(place.iterdir())) == len(after)
    assert struck > 20


def run(code, *args, **kwargs):
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, args)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **kwargs,
    )


WRITE_VOLUME = """
import sys, numpy as np
from conv3d_cli.errors import Conv3dError
from conv3d_cli.volumes import Volume, save_volume
x = np.random.default_rng(0).normal(size=(96, 96, 96)).astype("f4")
try:
    save_volume(Volume(x, "xyz", format="nifti"), sys.argv[1], overwrite=True)
except Conv3dError as error:
    print(error)
    sys.exit(error.exit_code)
"""


@pytest.mark.parametrize("name", ["a.npy", "a.nii", "a.nii.gz", "a.hdr", "a.h5"])
@pytest.mark.parametrize("room", [0, 3000, (1 << 20) + 12_345, 2_500_000])
def test_a_file_size_limit(name, room, tmp_path):
    """A limit on file size strikes like a full disk, in the middle of HDF5's own writes too."""
    target = tmp_path / ("a.img" if name == "a.hdr" else name)
    target.write_bytes(OLD)

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))

    done = run(WRITE_VOLUME, tmp_path / name, preexec_fn=limit, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
    assert done.returncode == 4, (done.returncode, done.stderr)
    assert done.stderr == ""
    assert name.partition(".")[0] in done.stdout
    assert "File too large" in done.stdout
    assert target.read_bytes() == OLD
    assert [p.name for p in tmp_path.iterdir()] == [target.name]


@pytest.mark.parametrize("name", ["a.npy", "a.nii.gz", "a.hdr", "a.h5"])
def test_a_full_disk(name, tmp_path):
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(tmp_path)], capture_output=True, check=False
    )
    if mount.returncode:
        pytest.skip("a tmpfs cannot be mounted here")
    try:
        done = run(WRITE_VOLUME, tmp_path / name)
        assert done.returncode == 4, (done.returncode, done.stderr)
        assert "No space left" in done.stdout
        assert list(tmp_path.iterdir()) == []
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


SLOW_WRITE = """
import signal, sys, time
from conv3d_cli.outfile import replacing
if sys.argv[2] != "KILL":
    signal.signal(getattr(signal, "SIG" + sys.argv[2]), lambda number, frame: sys.exit(128 + number))
with replacing(sys.argv[1], overwrite=True) as file:
    for i in range(600):
        file.write(bytes(3 << 20) if i == 0 else b"x")
        if i == 0:
            print("writing", flush=True)
        time.sleep(0.05)
"""


@pytest.mark.parametrize("name", ["INT", "TERM", "HUP", "KILL"])
def test_a_signal_leaves_the_old_file(name, tmp_path):
    target = tmp_path / "out.bin"
    target.write_bytes(OLD)
    with subprocess.Popen(
        [sys.executable, "-c", SLOW_WRITE, str(target), name],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as child:
        assert child.stdout.readline() == b"writing\n"
        number = getattr(signal, f"SIG{name}")
        child.send_signal(number)
        child.communicate(timeout=30)
    assert target.read_bytes() == OLD
    left = [p.name for p in tmp_path.iterdir() if p != target]
    if name == "KILL":
        assert child.returncode == -number
        assert len(left) == 1
        assert left[0].startswith(".out.bin.")
        assert str(child.pid) in left[0]
        other = tmp_path / ".other.bin.00000000-1-0.part"
        other.write_bytes(b"")
        write_whole(target, True)
        assert sorted(p.name for p in tmp_path.iterdir()) == [other.name, "out.bin"]
        assert target.read_bytes() == NEW
    else:
        assert child.returncode == 128 + number
        assert left == []


SLOW_HDF5 = """
import signal, sys
import numpy as np
from conv3d_cli.volumes import Volume, save_volume
for name in ("SIGTERM", "SIGHUP"):
    signal.signal(getattr(signal, name), lambda number, frame: sys.exit(128 + number))
x = np.random.default_rng(0).normal(size=(512, 128, 128)).astype("f4")
print("writing", flush=True)
try:
    while True:
        save_volume(Volume(x, "zyx", format="hdf5"), sys.argv[1], overwrite=True)
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.parametrize("name", ["INT", "TERM", "HUP"])
@pytest.mark.parametrize("delay", [0.2, 0.6])
def test_a_signal_in_the_middle_of_hdf5(name, delay, tmp_path):
    """HDF5 calls back into Python, where a handler's exception would reach a library that cannot take it."""
    target = tmp_path / "out.h5"
    target.write_bytes(OLD)
    with subprocess.Popen(
        [sys.executable, "-c", SLOW_HDF5, str(target)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        assert child.stdout.readline() == b"writing\n"
        time.sleep(delay)
        child.send_signal(getattr(signal, f"SIG{name}"))
        _, said = child.communicate(timeout=30)
    assert child.returncode == 128 + getattr(signal, f"SIG{name}"), said
    assert said == b""
    assert [p.name for p in tmp_path.iterdir()] == ["out.h5"]
    assert target.read_bytes() == OLD or load_volume(str(target)).array.shape == (512, 128, 128)


class Full(io.BytesIO):
    """A file that takes 10 bytes."""

    def write(self, data):
        if self.tell() + len(data) > 10:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data)


def test_hdf5_reads_back_what_a_full_disk_did_not_take():
    calm = CalmFile(Full())
    expected = bytearray(40)
    for at, data in ((0, b"01234567"), (6, b"abcdef"), (20, b"late"), (22, b"later"), (2, b"XY")):
        calm.seek(at)
        assert calm.write(data) == len(data)
        expected[at : at + len(data)] = data
    assert calm.error.errno == errno.ENOSPC
    for at, count in ((0, 40), (5, 10), (21, 3), (30, 4)):
        calm.seek(at)
        assert calm.read(count) == expected[at : at + count]
        assert calm.tell() == at + count
    assert calm.seek(-3, 2) == 27 - 3
    assert calm.truncate(50) == 50


def test_a_signal_while_hdf5_opens_its_file(tmp_path, monkeypatch):
    real = h5py.File

    def interrupted(*args, **kwargs):
        file = real(*args, **kwargs)
        signal.raise_signal(signal.SIGINT)
        return file

    monkeypatch.setattr(h5py, "File", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save_volume(Volume(VOXELS, "zyx", format="hdf5"), str(tmp_path / "a.h5"))
    gc.collect()  # an HDF5 file that was left open would complain here
    assert list(tmp_path.iterdir()) == []


def test_deferred_signals_come_after_the_block():
    done = []
    with pytest.raises(KeyboardInterrupt):
        with deferred():
            signal.raise_signal(signal.SIGINT)
            done.append("the block went on")
        done.append("not reached")
    assert done == ["the block went on"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("locks", [True, False])
def test_a_living_writer_keeps_its_temporary_file(locks, tmp_path, monkeypatch):
    if not locks:
        for module in (names, pending):
            monkeypatch.setattr(module, "fcntl", None)
    target = tmp_path / "out"
    with outfile.replacing(target, True) as first:
        first.write(b"first")
        write_whole(target, True)
    assert target.read_bytes() == b"first"


def test_a_locked_file_of_a_process_that_looks_dead_stays(tmp_path, monkeypatch):
    target = tmp_path / "out"
    with outfile.replacing(target, True) as first:
        first.write(b"first")
        (mine,) = tmp_path.iterdir()
        foreign = mine.with_name(mine.name.replace(f"-{os.getpid()}-", "-4999999-"))
        mine.rename(foreign)
        write_whole(target, True)
        assert foreign.exists()
        foreign.rename(mine)


def test_the_writer_that_comes_second_does_not_overwrite(tmp_path):
    target = tmp_path / "out"
    with pytest.raises(OutputError, match="exists already"), outfile.replacing(target) as file:
        file.write(b"mine")
        target.write_bytes(OLD)
    assert target.read_bytes() == OLD
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP])
def test_a_file_system_without_hard_links(number, tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", refuse)
    write_whole(tmp_path / "out", False)
    assert (tmp_path / "out").read_bytes() == NEW
    with pytest.raises(OutputError, match="exists already"):
        write_whole(tmp_path / "out", False)
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_a_folder_that_cannot_be_synced_is_tolerated(tmp_path, monkeypatch):
    real = os.fsync

    def fsync(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    write_whole(tmp_path / "out", False)
    assert (tmp_path / "out").read_bytes() == NEW


def test_a_file_shorter_on_the_disk_than_written_is_refused(tmp_path):
    with (
        pytest.raises(OutputError, match="got 3 bytes, expected 9"),
        outfile.replacing(tmp_path / "out") as file,
    ):
        file.write(b"123456789")
        file.flush()
        os.truncate(file.fileno(), 3)
    assert list(tmp_path.iterdir()) == []


def test_the_order_of_the_calls(tmp_path, monkeypatch):
    """Data reaches the disk before the name does, and the name before the call returns."""
    done = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(
            os,
            name,
            lambda *args, real=real, name=name: (done.append((name, _is_folder(args[0]))), real(*args))[1],
        )
    write_whole(tmp_path / "out", True)
    assert done == [("fsync", False), ("replace", False), ("fsync", True)]


def _is_folder(handle):
    return stat.S_ISDIR(os.stat(handle).st_mode)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, RuntimeError, MemoryError])
def test_any_end_of_the_block_leaves_nothing(error, tmp_path):
    with pytest.raises(error), outfile.replacing(tmp_path / "out") as file:
        file.write(b"half")
        raise error
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_the_block_keeps_its_type(tmp_path):
    with pytest.raises(FileNotFoundError), outfile.replacing(tmp_path / "out"):
        (tmp_path / "input").read_bytes()


# Names


def test_an_existing_file_needs_overwrite_and_keeps_its_permissions(tmp_path):
    target = tmp_path / "out"
    target.write_bytes(OLD)
    target.chmod(0o640)
    with pytest.raises(OutputError, match="exists already"):
        write_whole(target, False)
    assert target.read_bytes() == OLD
    write_whole(target, True)
    assert target.read_bytes() == NEW
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_the_mode_of_a_plain_open(umask, tmp_path):
    old = os.umask(umask)
    try:
        write_whole(tmp_path / "out", False)
        with (tmp_path / "plain").open("wb"):
            pass
    finally:
        os.umask(old)
    assert (tmp_path / "out").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_symlink_stays_and_its_target_is_replaced(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "links").mkdir()
    target, link = tmp_path / "real" / "a", tmp_path / "links" / "b"
    target.write_bytes(OLD)
    link.symlink_to("../real/a")
    with pytest.raises(OutputError, match="exists already"):
        write_whole(link, False)
    write_whole(link, True)
    assert link.is_symlink()
    assert target.read_bytes() == NEW
    assert not target.is_symlink()


def refused_names(folder):
    (folder / "folder").mkdir()
    os.mkfifo(folder / "fifo")
    (folder / "dangling").symlink_to("nowhere")
    (folder / "loop").symlink_to("loop")
    return {
        "folder": "it is a folder, expected a regular file",
        "fifo": "it is a FIFO",
        "dangling": "symlink to a file that does not exist",
        "loop": "symbolic links",
        "none/out": "there is no folder",
        "folder/": "it is a folder",
        "x" * 300: "File name too long",
        "a\0b": "null",
    }


def test_names_that_cannot_be_outputs(tmp_path):
    for name, words in {**refused_names(tmp_path), "/dev/null": "it is a device"}.items():
        for act in (outfile.check_target, write_whole):
            with pytest.raises(OutputError) as caught:
                act(os.path.join(tmp_path, name), True)
            assert words in str(caught.value)
            assert "\n" not in str(caught.value)
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.parametrize("name", ["with space", "äöü", "new\nline", "-dash", "x" * 255, "ä" * 127, b"\xff\xfe"])
def test_odd_names_work(name, tmp_path):
    target = os.path.join(tmp_path, os.fsdecode(name))
    write_whole(target, False)
    assert Path(target).read_bytes() == NEW
    with pytest.raises(OutputError) as caught:
        write_whole(target, False)
    assert "\n" not in str(caught.value)
    str(caught.value).encode()
    assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_without_permission(tmp_path):
    """In a child process under another user where this one is root, whom nothing stops."""
    folder = tmp_path / "locked"
    folder.mkdir()
    folder.chmod(0o555)
    code = """
        import os, sys
        from conv3d_cli.errors import OutputError
        from conv3d_cli.outfile import check_target, replacing
        if os.geteuid() == 0:
            os.setuid(65534)
        def write(path):
            with replacing(path):
                pass
        for act in (check_target, write):
            try:
                act(sys.argv[1] + "/out")
            except OutputError as error:
                print(error)
        """
    if os.geteuid() == 0:
        with tempfile.TemporaryDirectory() as place:
            Path(place).chmod(0o555)
            done = run(code, place)
    else:
        done = run(code, folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("no permission to create files") == 2


# The standard output


def test_a_stream_is_written_whole():
    code = """
        from conv3d_cli.outfile import standard_output
        with standard_output() as file:
            file.write(b"abc" * 1000)
        """
    assert run(code).stdout == "abc" * 1000


@pytest.mark.parametrize("where", ["/dev/full", "closed", "a pipe that nobody reads"])
def test_a_standard_output_that_takes_nothing(where):
    code = """
        import sys
        from conv3d_cli.errors import OutputError
        from conv3d_cli.outfile import standard_output
        try:
            with standard_output() as file:
                for _ in range(100):
                    file.write(bytes(100_000))
        except OutputError as error:
            print(error, file=sys.stderr)
            sys.exit(error.exit_code)
        """
    kwargs = {"stderr": subprocess.PIPE, "cwd": ROOT, "text": True}
    command = [sys.executable, "-c", textwrap.dedent(code)]
    if where == "/dev/full":
        with open(where, "wb") as full:
            done = subprocess.run(command, stdout=full, check=False, **kwargs)
    elif where == "closed":
        done = subprocess.run(command, preexec_fn=lambda: os.close(1), check=False, **kwargs)
    else:
        readable, writable = os.pipe()
        os.close(readable)
        done = subprocess.run(command, stdout=writable, check=False, **kwargs)
        os.close(writable)
    assert done.returncode == 4, done.stderr
    assert done.stderr.startswith("'standard output': cannot be written")
    assert done.stderr.count("\n") == 1


def test_a_terminal_is_refused():
    import pty

    code = """
        import sys
        from conv3d_cli.errors import UsageError
        from conv3d_cli.outfile import standard_output
        try:
            with standard_output():
                pass
        except UsageError as error:
            sys.exit(error.exit_code)
        """
    ours, theirs = pty.openpty()
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], stdout=theirs, check=False)
    os.close(theirs)
    os.close(ours)
    assert done.returncode == UsageError.exit_code == 2


def test_two_threads_do_not_share_a_temporary_file(tmp_path):
    threads = [threading.Thread(target=write_whole, args=(tmp_path / "out", True)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "out").read_bytes() == NEW
    assert len(list(tmp_path.iterdir())) == 1
