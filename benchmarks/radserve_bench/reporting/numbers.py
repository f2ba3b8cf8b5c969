"""Figures in words: as many digits as a reader can use, and ranges beside medians."""

from collections.abc import Mapping
from typing import Any

from radserve_bench.reporting.table import NONE

_ENOUGH = (1, 2, 3)


def number(value: float | None, digits: int = 3) -> str:
    """At least that many digits that count, thousands apart, no exponent; `–` for None."""
    if value is None:
        return NONE
    if value == 0:
        return "0"
    rounded = float(f"{value:.{digits}g}") if abs(value) < 10**digits else round(value)
    places = max(0, digits - 1 - _exponent(rounded))
    return f"{rounded:,.{places}f}".replace("-", "−")


def percent(share: float | None) -> str:
    """A share as per cent; one that is not nothing is never shown as nothing."""
    if share is None or share == 0:
        return NONE if share is None else "0 %"
    return f"{100 * share:.3g} %" if share < 0.1 else f"{100 * share:.1f} %"


def median(spread: Mapping[str, Any] | None, digits: int = 3) -> str:
    """The median over rounds alone."""
    return number(spread["median"], digits) if spread else NONE


def count(spread: Mapping[str, Any] | None) -> str:
    """The median of what is mostly a whole number."""
    return f"{spread['median']:.4g}" if spread else NONE


def ranged(spread: Mapping[str, Any] | None, digits: int = 3) -> str:
    """The median, and in brackets the least and the most of several rounds."""
    if not spread:
        return NONE
    if len(spread["values"]) < 2:
        return number(spread["median"], digits)
    return f"{number(spread['median'], digits)} ({between(spread['min'], spread['max'], digits)})"


def estimated(estimate: Mapping[str, Any] | None) -> str:
    """The mean, and in brackets its 95 % interval; that of two rounds is so wide that it says nothing."""
    if not estimate:
        return NONE
    if estimate["low"] is None or len(estimate.get("values", _ENOUGH)) < len(_ENOUGH):
        return number(estimate["value"])
    return f"{number(estimate['value'])} ({between(estimate['low'], estimate['high'])})"


def between(low: float, high: float, digits: int = 3) -> str:
    """A range."""
    return f"{number(low, digits)}–{number(high, digits)}"


def _exponent(value: float) -> int:
    return int(f"{value:e}".partition("e")[2])
