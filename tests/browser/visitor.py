"""A server of the page, and somebody with a browser window who visits it."""

import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TALL = {"width": 1280, "height": 2200}  # Streamlit scrolls inside: what is below would not be seen
PATIENCE = 600_000  # milliseconds: a busy machine compiles for long
UPLOAD = 2  # MB
AT_REST = '[data-test-script-state="notRunning"]'  # what is shown is not that of the step before


@contextmanager
def served(log: Path, **environment: str) -> Iterator[str]:
    """The address of a page served by `jaxmem demo`, which must still be there in the end.

    Args:
        log: what the server says.
        environment: variables that it has besides those of this process.
    """
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-c", "from jaxmem.cli import main; raise SystemExit(main())"]
    began = time.monotonic()
    with log.open("w") as file:
        process = subprocess.Popen(
            [*command, "demo", f"port={port}", f"upload={UPLOAD}"],
            stdout=file,
            stderr=file,
            env={**os.environ, **environment},
        )
    address = f"http://localhost:{port}"
    try:
        while not _answers(f"{address}/_stcore/health"):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() - began < 120
            time.sleep(0.05)
        yield address
        assert process.poll() is None, "the server died"
    finally:
        process.terminate()
        process.wait(30)
    assert "Traceback" not in log.read_text()


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=1) as answer:
            return answer.status == 200
    except OSError:
        return False


class Visitor:
    """Somebody with a browser window of their own, who notes what it asks for."""

    def __init__(self, chromium, address: str, **window):
        self.context = chromium.new_context(**{"viewport": TALL, **window})
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.asked: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(address)

    def open(self, tab: str) -> None:
        self.page.get_by_role("tab", name=tab, exact=True).click()

    def press(self, button: str) -> None:
        self.page.get_by_role("button", name=button, exact=True).click()

    def choose(self, preset: str) -> None:
        """Begins with another memory, and waits until it is played."""
        self.page.get_by_label("Begin with").click()
        self.page.get_by_role("option", name=preset).click()
        self.says("Request 1 of 7")
        self.figures()

    def type(self, label: str, text: str) -> None:
        field = self.page.get_by_label(label)
        if not field.is_visible():
            self.page.get_by_text("A memory and requests of my own").click()
        field.fill(text)
        field.press("Enter")

    def upload(self, file: Path | dict) -> None:
        """Chooses a file in the Compare tab, and waits until the server has it."""
        self.open("Compare")
        self.page.get_by_text("my own trace").click()
        with self.page.expect_response(lambda answer: "upload_file" in answer.url):
            self.page.set_input_files("input[type=file]", file)
        self.page.wait_for_timeout(300)  # the page tells the server that it has sent a file
        self.page.wait_for_selector(AT_REST)

    def figures(self) -> dict[str, list[str]]:
        """The rows of the table that is shown, by policy, once the page is at rest."""
        self.page.wait_for_selector(".jm-table")
        self.page.wait_for_selector(AT_REST)
        rows = self.page.locator(".jm-table tbody tr").all_inner_texts()
        return {row.split("\t")[0].strip(): [cell.strip() for cell in row.split("\t")[1:]]
                for row in rows}  # fmt: skip

    def says(self, text: str | re.Pattern[str]) -> None:
        self.page.get_by_text(text).first.wait_for()
