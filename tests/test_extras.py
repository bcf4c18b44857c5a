"""What to type for a package that is missing, in each of the ways that jaxmem is installed."""

import re
import sys
import tomllib
from pathlib import Path

import pytest

from jaxmem import extras
from jaxmem.cli import main

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def wheel(monkeypatch, tmp_path):
    """As if the package were in the folder that pip installs into."""
    monkeypatch.setattr(extras, "PACKAGE", tmp_path / "site-packages" / "jaxmem")


def test_a_clone_says_both_what_uv_and_what_pip_are_told():
    assert extras.how_to_get("demo", "jaxmem demo") == (
        "uv run --extra demo jaxmem demo, or pip install '.[demo]', in the clone"
    )


@pytest.mark.usefixtures("wheel")
@pytest.mark.parametrize(("there", "pip"), [(True, "pip"), (False, "uv pip")])
def test_what_was_installed_from_a_wheel_is_completed_by_its_name(there, pip, monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda name: there or None)
    assert extras.how_to_get("demo") == (
        f"{pip} install 'jaxmem[demo]', or in a clone {pip} install '.[demo]'"
    )


@pytest.mark.parametrize(
    ("words", "missing", "name"),
    [
        (["train", "loggers=[wandb]"], "wandb", "wandb"),
        (["train", "loggers=[tensorboard]"], "tensorboardX", "tensorboard"),
        (["search"], "optuna", "search"),
        (["export", "best", "to=stablehlo"], "flatbuffers", "export"),
        (["trace", "record", "--", "nothing.py"], "memray", "traces"),
    ],
)
def test_a_verb_whose_package_is_missing_says_how_to_get_it(
    words, missing, name, monkeypatch, capsys, tmp_path
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, missing, None)
    assert main(words) == 2
    said = capsys.readouterr().err
    assert f"needs {missing}: uv run --extra {name} jaxmem ..., or pip install '.[{name}]'" in said
    assert said.count("\n") == 1


def test_a_launcher_that_is_missing_is_named_with_its_extra(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "-m", "seed=0,1", "hydra/launcher=sge"]) == 2
    assert "uv run --extra launchers jaxmem ..." in capsys.readouterr().err


def test_a_package_that_is_there_but_broken_says_why(monkeypatch, tmp_path):
    (tmp_path / "breaks_on_import.py").write_text("import no_such_part\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(extras.MissingExtraError, match=r"\(No module named 'no_such_part'\)"):
        extras.extra("breaks_on_import", "demo", "it")


def test_every_extra_that_is_named_anywhere_is_one_of_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    known = set(project["optional-dependencies"])
    named = set()
    for file in (*(ROOT / "jaxmem").rglob("*.py"), *(ROOT / "conf").rglob("*.yaml")):
        text = file.read_text(encoding="utf-8")
        named |= set(re.findall(r"""how_to_get\("([a-z]+)"|how_to_get\('([a-z]+)'""", text))
        named |= {(name, "") for name in re.findall(r"--extra ([a-z]+)", text)}
        assert not re.search(r"pip install 'jaxmem\[[a-z]", text), f"{file}: ask extras.py"
    assert {one or other for one, other in named} <= known
