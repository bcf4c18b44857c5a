"""`jaxmem demo` serves this machine only, asks nobody outside, and says what it cannot do."""

import importlib.util
import socket

import pytest

from jaxmem.cli import main
from jaxmem.commands import demo
from jaxmem.configuration import configure


def arguments(*overrides) -> list[str]:
    return demo.server_arguments(configure("demo", overrides))


def test_the_server_is_for_this_machine_unless_told_otherwise():
    assert "--server.address=localhost" in arguments()
    assert "--server.address=0.0.0.0" in arguments("address=0.0.0.0")


def test_nobody_is_counted_or_asked_and_no_window_is_opened():
    told = arguments()
    assert "--browser.gatherUsageStats=false" in told
    assert "--server.headless=true" in told
    assert "--browser.serverAddress=localhost" in told
    assert "--browser.serverAddress=localhost" in arguments("address=0.0.0.0")


def test_no_search_for_garbage_after_every_run_holds_up_the_answers():
    assert "--runner.postScriptGC=false" in arguments()


def test_uploads_are_bounded():
    assert "--server.maxUploadSize=16" in arguments()
    assert "--server.maxUploadSize=3" in arguments("upload=3")


def test_without_streamlit_it_is_said_how_to_get_it(monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert main(["demo"]) == 2
    assert "uv run --extra demo jaxmem demo" in capsys.readouterr().err


@pytest.mark.skipif(importlib.util.find_spec("streamlit") is None, reason="no streamlit here")
def test_a_port_that_is_taken_is_named(capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["demo", "address=127.0.0.1", f"port={port}"]) == 2
    said = capsys.readouterr().err
    assert f"nothing can listen on 127.0.0.1 port {port}" in said
    assert "take another port=N" in said
