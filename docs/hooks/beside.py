"""What pages link to beside docs/, as stored results and sources, becomes a part of the site.

So that one link works on a git host, in a checkout and on the site, which needs no address of a
repository: a table of Markdown is a page there, everything else a file.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
LINK = re.compile(r"(\]\()([^)#\s]+)")
FOLDER = "docs/"


def beside(text: str, page: str) -> dict[str, str]:
    """Finds the links of a page that lead out of docs/.

    Args:
        text: the Markdown of the page.
        page: where it lies, from the top of the checkout, as docs/results.md.

    Returns:
        What each leads to, from the top of the checkout, by the link.

    Raises:
        PluginError: there is no such file.
    """
    found = {}
    for _, link in LINK.findall(text):
        if re.match(r"[a-z]+:", link):
            continue
        target = posixpath.normpath(posixpath.join(posixpath.dirname(page), link))
        if target.startswith(FOLDER):
            continue
        if not (ROOT / target).is_file():
            raise PluginError(f"{page}: {link} is no file; a link leads to a file, not to a folder")
        found[link] = target
    return found


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Takes what is linked to, and what that links to, into the site."""
    waiting = [(f"{FOLDER}{file.src_uri}", file.content_string) for file in _pages(files)]
    seen = set()
    while waiting:
        page, text = waiting.pop()
        for target in set(beside(text, page).values()) - seen:
            seen.add(target)
            path, hidden = ROOT / target, InclusionLevel.NOT_IN_NAV
            files.append(File.generated(config, target, abs_src_path=str(path), inclusion=hidden))
            if path.suffix == ".md":
                waiting.append((target, path.read_text(encoding="utf-8")))
    return files


def _pages(files: Files) -> list[File]:
    """Lists the pages of docs/."""
    return [file for file in files if file.is_documentation_page()]


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Leads the links to where these files lie on the site."""
    where = page.file.src_uri
    links = beside(markdown, where if (ROOT / where).is_file() else f"{FOLDER}{where}")

    def led(match: re.Match) -> str:
        target = links.get(match[2])
        if target is None:
            return match[0]
        return match[1] + posixpath.relpath(target, posixpath.dirname(where) or ".")

    return LINK.sub(led, markdown)
