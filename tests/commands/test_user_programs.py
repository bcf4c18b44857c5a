"""Programs of the user's: none is left behind, whenever jaxmem is asked to end."""

import os
import signal
import subprocess
import sys

import pytest

from jaxmem.commands.programs import running, terminated_as_interrupted
from jaxmem.configuration import UsageError

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


@pytest.mark.parametrize(
    ("number", "left"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)]
)
def test_who_is_interrupted_while_a_program_starts_leaves_none(signals, monkeypatch, number, left):
    started = []

    def asked_meanwhile(*arguments, **options):
        started.append(popen(*arguments, **options))
        os.kill(os.getpid(), number)
        return started[-1]

    popen = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", asked_meanwhile)
    with pytest.raises(left), terminated_as_interrupted(), running(SLEEP):
        pytest.fail("it is to end before anything is done with the program")
    assert started[0].returncode == -signal.SIGTERM


def test_what_is_ignored_is_ignored_by_the_program_too(signals):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    tell = "import signal, sys; sys.exit(signal.getsignal(signal.SIGINT) == signal.SIG_IGN)"
    with running([sys.executable, "-c", tell]) as process:
        assert process.wait() == 1
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_a_program_that_cannot_start_is_said(tmp_path):
    with (
        pytest.raises(UsageError, match="nothing cannot be run: No such file"),
        running([str(tmp_path / "nothing")]),
    ):
        pytest.fail("there is no program")
