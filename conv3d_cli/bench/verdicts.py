"""What the figures of a row say: lost or won, target and moonshot, and whether the method was well chosen."""

from __future__ import annotations

from typing import Any

from conv3d_cli.bench.grid import REGIONS

Row = dict[str, Any]

NOISE = 1.05
"""How much slower than a peer the engine must be for it to count as a loss."""

NEAR = 1.15
"""How much slower than the best method the chosen one may be, to count as well chosen."""

BY_NAME = {region.name: region for region in REGIONS}


def losses(rows: list[Row]) -> list[Row]:
    """Return the rows in which a peer is faster by more than the noise, the worst first."""
    lost = [row for row in rows if row["ratio"] is not None and row["ratio"] * NOISE < 1]
    return sorted(lost, key=lambda row: float(row["ratio"]))


def fastest_method(row: Row) -> str:
    """Return the name of the engine's method that was the fastest."""
    return str(min(row["methods"], key=lambda name: float(row["methods"][name]["best_ms"])))


def well_chosen(row: Row) -> bool:
    """Return whether the chosen method is about as fast as the fastest of the engine's."""
    chosen, best = (float(row["methods"][name]["best_ms"]) for name in (row["method"], fastest_method(row)))
    return chosen <= NEAR * best


def at_target(row: Row) -> bool | None:
    """Return whether a row has the ratio that its region is to reach; None without a region or a peer."""
    if row["region"] is None or row["ratio"] is None:
        return None
    return bool(row["ratio"] >= BY_NAME[row["region"]].target)


def at_moonshot(row: Row) -> bool | None:
    """Return whether a row is where its region can hardly be beaten; None where that was not measured."""
    if row["region"] is None:
        return None
    region = BY_NAME[row["region"]]
    if region.moonshot is not None:
        return None if row["ratio"] is None else bool(row["ratio"] >= region.moonshot)
    shares = [row["bandwidth_share"]] + [row["peak_share"]] * (region.limit == "machine")
    if region.within is None or None in shares:
        return None
    return bool(max(shares) * region.within >= 1)
