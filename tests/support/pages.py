"""The pages of the documentation, and the blocks of code in them."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
FENCE = re.compile(r"^(?P<indent> *)```(?P<info>.*)$")


@dataclass(frozen=True)
class Block:
    """A block of code, as a page has it."""

    language: str  # of the fence; "" where it says none
    title: str  # the rest of what the fence says
    text: str
    line: int  # of the page, from 1, at which the text begins


def pages() -> list[Path]:
    """Lists all pages and notebooks, README first."""
    return [ROOT / "README.md", *sorted(DOCS.rglob("*.md")), *sorted(DOCS.rglob("*.ipynb"))]


def name_of(page: Path) -> str:
    """Returns where a page lies, from the top of the checkout."""
    return page.relative_to(ROOT).as_posix()


def text_of(page: Path) -> str:
    """Returns the Markdown of a page or notebook, without the code of a notebook."""
    text = page.read_text(encoding="utf-8")
    if page.suffix != ".ipynb":
        return text
    cells = json.loads(text)["cells"]
    return "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] != "code")


def blocks_of(page: Path) -> list[Block]:
    """Lists the blocks of a page, or the cells of a notebook, in their order."""
    if page.suffix == ".ipynb":
        cells = json.loads(page.read_text(encoding="utf-8"))["cells"]
        code = [cell for cell in cells if cell["cell_type"] == "code"]
        return [Block("python", "", "".join(cell["source"]), 1) for cell in code]
    found, opened = [], None
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        fence = FENCE.match(line)
        if fence and opened is None:
            opened = (*fence["info"].partition(" "), number, [])
        elif fence:
            language, _, title, at, lines = opened
            found.append(Block(language, title, "\n".join(lines), at + 1))
            opened = None
        elif opened:
            opened[-1].append(line)
    assert opened is None, f"{page}: the last block has no end"
    return found
