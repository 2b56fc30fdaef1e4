"""How fast this machine, this engine and the installed peers are: cases, peers, and the document of a measurement.

No peer is imported before it is measured, and none is a dependency of the package.
"""

from conv3d_cli.bench.cases import Case, parse_case
from conv3d_cli.bench.document import BENCH_VERSION, bench_document, bench_schema
from conv3d_cli.bench.grid import DEFAULT, GRID, REGIONS
from conv3d_cli.bench.machine import measure_machine
from conv3d_cli.bench.peers import PEERS, installed
from conv3d_cli.bench.run import Settings, measure_case

__all__ = [
    "BENCH_VERSION",
    "DEFAULT",
    "GRID",
    "PEERS",
    "REGIONS",
    "Case",
    "Settings",
    "bench_document",
    "bench_schema",
    "installed",
    "measure_case",
    "measure_machine",
    "parse_case",
]
