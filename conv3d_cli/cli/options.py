"""The options that commands share, each described once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from conv3d_cli.cli.filetype import FILE
from conv3d_cli.errors import UsageError, quoted

F = TypeVar("F", bound=Callable[..., Any])

METHOD_NAMES = ("auto", "direct", "pointwise", "separable", "winograd", "toom", "fft", "reference")
ACCURACY_NAMES = ("strict", "default", "fast")
COMPUTE_DTYPES = ("float32", "float64")

#: What holds weights and never a spec; .h5 and .keras may hold both.
WEIGHTS_ALONE = (".npz", ".safetensors", ".weights.h5")


def _not_weights(context: click.Context, option: click.Parameter, path: str | None) -> str | None:
    if path is not None and path.lower().endswith(WEIGHTS_ALONE):
        raise UsageError(
            f"--spec: a file of weights: got {quoted(path)}, expected a YAML spec or a Keras model; weights belong to "
            "--weights"
        )
    return path


def _filters(context: click.Context, option: click.Parameter, texts: tuple[str, ...]) -> Any:
    if not texts:
        return []
    from conv3d_cli.errors import InputError
    from conv3d_cli.filters import Filter

    try:
        return [Filter.parse(text, "--filter") for text in texts]
    except InputError as error:
        raise UsageError(str(error)) from None


def _boundary(context: click.Context, option: click.Parameter, text: str | None) -> str | None:
    if text is None:
        return None
    from conv3d_cli.engine.boundary import Boundary
    from conv3d_cli.errors import LayerError

    try:
        return str(Boundary.parse(text))
    except LayerError as error:
        raise UsageError(f"--{error}") from None


def _size(context: click.Context, option: click.Parameter, text: str | None) -> str | None:
    from conv3d_cli.limits import parse_bytes

    if text is not None:
        parse_bytes(text, "--max-memory")
    return text


def _spec(required: bool) -> Callable[[F], F]:
    return click.option(
        "--spec",
        "spec_path",
        required=required,
        metavar="SPEC",
        type=FILE,
        callback=_not_weights,
        help="The layers: a YAML spec, or a Keras model (.keras, .h5, .json).",
    )


SPEC = _spec(required=True)
FILTER = click.option(
    "--filter",
    "filters",
    multiple=True,
    metavar="NAME:KEY=VALUE,...",
    callback=_filters,
    help="A filter in place of a spec, such as gaussian:fwhm=6mm; several make a chain. `conv3d filters` lists them.",
)
FLIP = click.option(
    "--flip", is_flag=True, help="Turn every kernel around along each axis: true convolution, as for a PSF or from ITK."
)
BOUNDARY = click.option(
    "--boundary",
    metavar="MODE",
    callback=_boundary,
    help="What each layer reads around its volume, as scipy.ndimage names it: zero, reflect, mirror, nearest, wrap or "
    "constant:V.  [default: the spec's, else zero]",
)
WEIGHTS = click.option(
    "--weights",
    "weights_path",
    metavar="W",
    type=FILE,
    help="Weights (.npz, .h5, .weights.h5, .keras, .safetensors); go before those that the spec names or holds.",
)
METHOD = click.option(
    "--method",
    type=click.Choice(METHOD_NAMES),
    default="auto",
    show_default=True,
    help="Force a method of the engine.",
)
ACCURACY = click.option(
    "--accuracy",
    type=click.Choice(ACCURACY_NAMES),
    default="default",
    show_default=True,
    help="Error accepted: strict as a direct sum at every voxel, default 1e-5, fast 1e-4 of the largest value nearby.",
)
AXES = click.option(
    "--axes",
    metavar="AXES",
    help="Name every axis of the file: x y z space, c channels, t b separate volumes. [e.g. xyzc]",
)
COMPUTE_DTYPE = click.option(
    "--compute-dtype",
    type=click.Choice(COMPUTE_DTYPES),
    help="Precision of the arithmetic.  [default: the layers' dtype]",
)
MAX_MEMORY = click.option(
    "--max-memory",
    metavar="SIZE",
    callback=_size,
    help="Memory that arrays may take, e.g. 4G.  [default: $CONV3D_MAX_MEMORY, else the machine's]",
)
THREADS = click.option(
    "--threads",
    type=click.IntRange(min=1),
    metavar="N",
    help="Threads to compute with.  [default: $CONV3D_THREADS, else the processors this process may use]",
)
SEED = click.option(
    "--seed",
    type=click.IntRange(min=0),
    metavar="N",
    default=0,
    show_default=True,
    envvar="CONV3D_SEED",
    show_envvar=True,
    help="Seed of weights that no file gives and no initializer seeds.",
)
REPORT = click.option("--report", "report_path", metavar="R", type=FILE, help="Write the shape report to a JSON file.")
DRY_RUN = click.option("--dry-run", is_flag=True, help="Check everything, show the plan and write nothing.")
PROVENANCE = click.option(
    "--provenance/--no-provenance",
    default=True,
    show_default=True,
    help="Whether OUT holds how it was made, for `conv3d info`: the command, names and SHA-256 of what was read.",
)
OVERWRITE = click.option("--overwrite", is_flag=True, help="Replace files that exist.")
JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output.")
QUIET = click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
VERBOSE = click.option(
    "-v", "--verbose", count=True, help="Tell how the input was understood; twice: what each method would cost."
)
LOG_FILE = click.option(
    "--log-file", metavar="FILE", type=FILE, help="Append everything that is told to a file, with times."
)


def _file(context: click.Context, option: click.Parameter, path: str | None) -> str | None:
    if path in ("", "-"):
        raise UsageError(f"{option.opts[0]}: got {path!r}, expected the name of a file")
    return path


def _coverage(context: click.Context, option: click.Parameter, share: float | None) -> float | None:
    if share is not None and not LEAST_COVERAGE <= share <= 1:
        raise UsageError(f"--min-coverage: got {share:g}, expected a share from {LEAST_COVERAGE:g} to 1")
    return share


#: What lies below is the rounding error of a sum.
LEAST_COVERAGE = 1e-6

MASK = click.option(
    "--mask",
    "mask_path",
    metavar="M",
    type=FILE,
    callback=_file,
    help="Convolve inside a mask, divided by the kernel's weight there: a volume on IN's grid, not 0 inside.",
)
LABELS = click.option(
    "--labels",
    "labels_path",
    metavar="L",
    type=FILE,
    callback=_file,
    help="Keep labels apart, each whole number above 0 a mask of its own.",
)
OUTSIDE = click.option(
    "--outside",
    type=click.Choice(["zero", "keep", "nan"]),
    help="What voxels outside get, and those with too little coverage: 0, IN's voxel, NaN.  [default: zero]",
)
MIN_COVERAGE = click.option(
    "--min-coverage",
    type=float,
    metavar="X",
    callback=_coverage,
    help="Share of the kernel's weight that must be inside, else a voxel is outside.  [default: 0.001]",
)
NAN = click.option(
    "--nan",
    type=click.Choice(["local", "missing"]),
    default="local",
    show_default=True,
    help="NaN in IN spreads as far as the kernel reaches, or is missing: filled from its neighbours.",
)
LIKE = click.option(
    "--like",
    "like_path",
    metavar="REF",
    type=FILE,
    callback=_file,
    help="Take place and spacing of the voxels from another file, where IN says none; refuse another grid.",
)


def options(*decorators: Callable[[F], F]) -> Callable[[F], F]:
    """Return one decorator that adds several options, in the order they are to be shown."""

    def add(command: F) -> F:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return add


PLANNING = options(
    _spec(required=False),
    FILTER,
    FLIP,
    BOUNDARY,
    WEIGHTS,
    MASK,
    LABELS,
    OUTSIDE,
    MIN_COVERAGE,
    NAN,
    LIKE,
    METHOD,
    ACCURACY,
    AXES,
    COMPUTE_DTYPE,
    MAX_MEMORY,
    THREADS,
    SEED,
)
TALKING = options(JSON, QUIET, VERBOSE, LOG_FILE)
