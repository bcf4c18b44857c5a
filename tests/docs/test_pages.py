"""The pages as a whole: links lead somewhere, figures are the stored ones, and no page is lost."""

import functools
import importlib.util
import json
import re

import pages
import pytest
import yaml

import jaxmem

LINK = re.compile(r"\]\(([^)\s]+)\)")
FIGURE = re.compile(r"(?<![\d.])\d+\.(\d{2,4})(?![\d.])")
README = (pages.ROOT / "README.md").read_text(encoding="utf-8")
STUDY = pages.ROOT / "experiments/results/placement_study/results.json"


def hook(name):
    """Loads a hook of the site, which needs no mkdocs for what it makes."""
    spec = importlib.util.spec_from_file_location(name, pages.DOCS / "hooks" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def anchors_of(page):
    """The anchors of a page's headings, as they are made of their words."""
    heads = re.findall(r"^#+ (.*)$", pages.text_of(page), re.M)
    return {re.sub(r"[^\w -]", "", head).strip().lower().replace(" ", "-") for head in heads}


def test_readme_is_short_and_has_the_two_commands():
    assert len(README.splitlines()) <= 200
    assert "\npip install uv && uv run jaxmem train\n" in README
    assert "\npip install uv && uv run --extra test pytest -n 2 --dist loadfile\n" in README


@pytest.mark.parametrize("page", pages.pages(), ids=pages.name_of)
def test_links_lead_to_what_is_there(page):
    for link in LINK.findall(pages.text_of(page)):
        if re.match("[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor and target.name != "python.md":  # whose headings are made when it is built
            assert anchor in anchors_of(target), link


def test_every_page_is_in_the_navigation_once():
    def files(entry):
        if isinstance(entry, str):
            return [entry]
        inner = entry.values() if isinstance(entry, dict) else entry
        return [file for each in inner for file in files(each)]

    text = (pages.ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    listed = files(yaml.safe_load(text)["nav"])
    there = [page.relative_to(pages.DOCS).with_suffix(".md") for page in pages.pages()[1:]]
    assert sorted(listed) == sorted(page.as_posix() for page in there)


def test_figures_of_readme_are_those_of_the_files_it_names():
    """Each row of figures is, rounded, among those of one row that is stored."""
    files = [pages.ROOT / link for link in LINK.findall(README) if link.endswith("table.md")]
    rows = [row for file in set(files) for row in file.read_text(encoding="utf-8").splitlines()]
    stored = [[float(figure[0]) for figure in FIGURE.finditer(row)] for row in rows]
    shown = [line for line in README.splitlines() if line[:1] == "|" and FIGURE.search(line)]
    assert len(shown) > 5
    for line in shown:
        assert any(
            all(map(functools.partial(is_in, of), FIGURE.finditer(line))) for of in stored
        ), line


def is_in(stored, figure):
    """Tells whether a figure is one of those stored, which may have more digits."""
    half = 0.5 * 10.0 ** -len(figure[1]) + 1e-9
    return any(abs(float(figure[0]) - exact) <= half for exact in stored)


def test_every_task_has_a_card_with_its_stored_scores():
    cards = hook("cards").cards()
    assert re.findall(r"^### (.*)$", cards, re.M) == list(jaxmem.tasks())
    rows = json.loads(STUDY.read_text(encoding="utf-8"))["rows"]
    assert f"| {rows['large-short-lived']['rules']['first']['failed_requests']:.2f} |" in cards
    assert all(f"| {name} |" in cards for name in rows)
    assert "terminated by the first request that fails" in cards
    assert "| arena | 112 cells |" in cards


def test_a_notebook_becomes_a_page_and_keeps_no_outputs():
    for page in pages.DOCS.rglob("*.ipynb"):
        cells = json.loads(page.read_text(encoding="utf-8"))["cells"]
        assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)
        for block in pages.blocks_of(page):
            compile(block.text, str(page), "exec")
