"""What a stranger installs: the wheel alone, far from the checkout."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The `jaxmem` program of an empty environment into which the built wheel was installed."""
    place = tmp_path_factory.mktemp("elsewhere")
    uv = os.environ.get("UV") or shutil.which("uv")
    if uv:
        build = [uv, "build", "--wheel", "--quiet", "--out-dir", str(place), str(ROOT)]
        make = [uv, "venv", "--quiet", "--python", sys.executable, str(place / "venv")]
        install = [uv, "pip", "install", "--quiet", "--python", str(place / "venv")]
    else:
        build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "-qw", str(place), str(ROOT)]
        make = [sys.executable, "-m", "venv", str(place / "venv")]
        install = [str(place / "venv" / "bin" / "pip"), "install", "-q"]
    subprocess.run(build, check=True)
    (wheel,) = place.glob("*.whl")
    subprocess.run(make, check=True)
    subprocess.run([*install, str(wheel)], check=True)
    return place / "venv" / "bin" / "jaxmem"


def test_the_wheel_compares_policies_without_the_checkout(installed, tmp_path):
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    out = tmp_path / "run"
    command = [str(installed), "compare", "workload=scenario", "policies=[first]"]
    command.append(f"out={out}")
    subprocess.run(command, check=True, cwd=tmp_path, env=environment, capture_output=True)
    results = json.loads((out / "results.json").read_text(encoding="utf-8"))
    assert results["policies"]["first"]["holes_per_cell"]["mean"] == 0.04


def test_the_wheel_brings_the_trace_library(installed, tmp_path):
    code = (
        "from jaxmem.recordings import load_library;"
        "print(load_library('xla_cpu_jax_convnet_infer').requests)"
    )
    command = [str(installed.with_name("python")), "-c", code]
    found = subprocess.run(command, check=True, cwd=tmp_path, capture_output=True, text=True)
    assert found.stdout.split() == ["68"]


def test_the_wheel_is_typed_and_licensed(installed):
    python = installed.with_name("python")
    code = (
        "import importlib.metadata as m; f = {str(p) for p in m.files('jaxmem')};"
        "print('jaxmem/py.typed' in f, any(p.endswith('licenses/LICENSE') for p in f))"
    )
    found = subprocess.run([str(python), "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout.split() == ["True", "True"]


def test_the_wheel_brings_the_example_for_slurm(installed):
    (file,) = installed.parents[1].glob("lib/*/site-packages/jaxmem/conf/hydra/launcher/*.yaml")
    assert file.name == "slurm_gpu.yaml"
