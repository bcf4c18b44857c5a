"""Pictures and tables from plain numpy arrays and plain dicts; knows nothing of the game."""

from jaxmem.render.curves import draw_learning_curve
from jaxmem.render.memory_map import draw_memory_map
from jaxmem.render.report import markdown_table, rich_table

__all__ = ["draw_learning_curve", "draw_memory_map", "markdown_table", "rich_table"]
