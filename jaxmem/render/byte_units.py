"""Bytes as people read them, in text and along axes."""

from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter, LogLocator, MultipleLocator, NullLocator

UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def short_bytes(amount: float) -> str:
    """Writes bytes in three digits at most: "16 B", "1.5 KiB", "726 MiB"."""
    number = 0
    while amount >= 999.5 and number < len(UNITS) - 1:
        amount, number = amount / 1024, number + 1
    digits = 0 if amount >= 99.5 or number == 0 else 1 if amount >= 9.95 else 2
    text = f"{amount:.{digits}f}"
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text} {UNITS[number]}"


def label_bytes(axis: Axis, low: float, high: float) -> None:
    """Ticks at powers of two along a logarithmic axis of bytes from `low` to `high`."""
    powers = max(1.0, high / max(low, 1.0))
    step = next(s for s in (1, 2, 4, 6, 8, 10, 12, 16) if powers <= 2 ** (6 * s) or s == 16)
    axis.set_major_locator(LogLocator(base=2.0**step, numticks=20))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda amount, _: short_bytes(amount)))


def label_addresses(axis: Axis, arena: int) -> None:
    """Ticks at a power of two and its multiples along an axis of the bytes of an arena."""
    axis.set_major_locator(MultipleLocator(2 ** max(arena.bit_length() - 3, 0)))
    axis.set_major_formatter(FuncFormatter(lambda amount, _: short_bytes(amount)))
