"""Notebooks as pages: their text, and their code as blocks."""

import json
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files


def markdown_of(notebook: Path) -> str:
    """Returns the cells of a notebook as Markdown, and a link to the notebook itself."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    parts = []
    for cell in cells:
        text = "".join(cell["source"])
        parts.append(text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```")
    parts.append(f"[The notebook]({notebook.name}), to be run.")
    return "\n\n".join(parts) + "\n"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds a page for each notebook."""
    for notebook in sorted(Path(config.docs_dir).rglob("*.ipynb")):
        page = notebook.relative_to(config.docs_dir).with_suffix(".md").as_posix()
        files.append(File.generated(config, page, content=markdown_of(notebook)))
    return files
