"""Pictures and tables from plain numpy arrays and plain dicts; knows nothing of the game."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jaxmem.render.curves import draw_learning_curve
    from jaxmem.render.memory_map import draw_memory_map
    from jaxmem.render.report import markdown_table, rich_table

__all__ = ["draw_learning_curve", "draw_memory_map", "markdown_table", "rich_table"]

_HOME = {
    "draw_learning_curve": "jaxmem.render.curves",
    "draw_memory_map": "jaxmem.render.memory_map",
    "markdown_table": "jaxmem.render.report",
    "rich_table": "jaxmem.render.report",
}


def __getattr__(name: str) -> object:
    # Loaded when first used: what draws without matplotlib should not wait for it.
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'jaxmem.render' has no attribute {name!r}")
