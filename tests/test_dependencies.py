"""Where a package is used by parts that it does not promise, its next version is not taken."""

import ast
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# By the name that is imported, where a distribution is called otherwise.
CALLED = {"hydra": "hydra-core"}
# Private attributes of their objects, which no import shows.
BEYOND_IMPORTS = {"optuna"}


def private_imports() -> set[str]:
    """Packages of which some module imports a name that begins with an underscore."""
    found = set()
    for file in (ROOT / "jaxmem").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                paths = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                paths = [f"{node.module}.{alias.name}" for alias in node.names]
            else:
                continue
            for path in paths:
                first, *parts = path.split(".")
                private = any(re.match(r"_[^_]", part) for part in parts)
                if private and first != "jaxmem" and first not in sys.stdlib_module_names:
                    found.add(CALLED.get(first, first))
    return found


def test_what_is_used_in_private_has_an_upper_bound():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    asked = [*project["dependencies"], *(line for extra in extras for line in extra)]
    bounded = {re.split(r"[<>=;\[ ]", line)[0] for line in asked if "<" in line}
    private = private_imports()
    assert "hydra-core" in private
    assert private | BEYOND_IMPORTS <= bounded
