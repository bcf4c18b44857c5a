"""The page in a real browser: every tab, as a visitor meets it.

Needs playwright and a Chromium (Debian's: `apt-get install chromium`); skipped without. Run by
`pytest -m browser`. Screenshots go to the folder that SCREENSHOTS names; by default they are lost.
"""

import gzip
import json
import re
import time
from pathlib import Path

import pytest

pytest.importorskip("streamlit", reason="the page needs streamlit")
pytest.importorskip("playwright.sync_api", reason="a browser needs playwright")

from visitor import UPLOAD, Visitor

from jaxmem.evaluation.compare import compare
from jaxmem.recordings import read_trace

pytestmark = pytest.mark.browser
EXAMPLE = "The example: holes of five sizes"
TITLES = {"first": "first-fit", "second": "second-fit", "best": "best-fit", "worst": "worst-fit"}


def test_the_page_opens_where_the_fits_fail_and_learning_does_not(chromium, server, shots):
    for width, height in ((1400, 1000), (1920, 1080), (400, 800)):
        visitor = Visitor(chromium, server[0], viewport={"width": width, "height": height})
        visitor.says("generalist (learned) can.")
        visitor.figures()
        assert visitor.page.get_by_text("no hole holds 15").count() == len(TITLES)
        visitor.page.screenshot(path=shots / f"play_{width}.png")
        table = visitor.page.locator(".jm-table").bounding_box()
        assert table["x"] + table["width"] <= width
        inside = "table => table.scrollWidth <= table.clientWidth"
        assert visitor.page.locator(".jm-table").evaluate(inside)
        visitor.context.close()


def test_the_example_has_the_figures_of_compare(chromium, server, shots):
    address, began = server
    arrived = time.monotonic()
    visitor = Visitor(chromium, address)
    visitor.page.wait_for_selector(".jm-bar")
    painted = time.monotonic()
    visitor.choose(EXAMPLE)
    found = compare(list(TITLES), "scenario").results["policies"]
    shown = visitor.figures()
    ready = time.monotonic()
    for name, title in TITLES.items():
        failed, holes, external = (
            found[name][measure]["mean"]
            for measure in ("failed_requests", "holes_per_cell", "external_fragmentation")
        )
        assert shown[title][:4] == ["5", f"{failed:.2f}", f"{holes:.3f}", f"{external:.3f}"]
    visitor.page.screenshot(path=shots / "example.png")
    times = {
        "server up after (s)": round(arrived - began, 2),
        "first paint after the visit (s)": round(painted - arrived, 2),
        "figures after the visit, compiling included (s)": round(ready - arrived, 2),
    }
    slider = visitor.page.get_by_role("slider")
    slider.focus()
    for step in (2, 3, 4, 5):
        before = time.monotonic()
        slider.press("ArrowRight")
        visitor.says(f"Request {step} of 7")
        times[f"step {step} (s)"] = round(time.monotonic() - before, 2)
    visitor.page.get_by_text("no hole holds 11").nth(len(TITLES) - 1).wait_for()
    visitor.page.screenshot(path=shots / "play_failed.png")
    (shots / "timings.json").write_text(json.dumps(times, indent=1), encoding="utf-8")
    print(times)
    visitor.context.close()


def test_a_scenario_can_be_typed_and_played(visitor, shots):
    visitor.choose(EXAMPLE)
    visitor.type("Memory (cells)", "40")
    visitor.says("does not lie inside the memory")
    visitor.type("Blocks already there", "0:2, 22:4, 38:2")
    visitor.type("Sizes (cells)", "12, 20")
    visitor.says("Request 1 of 2 asks for 12 cells.")
    placed = {name: cells[0] for name, cells in visitor.figures().items()}
    assert (placed["first-fit"], placed["best-fit"]) == ("1", "2")
    visitor.page.get_by_role("button", name=re.compile("Play$")).click()
    visitor.says("After the last of 2 requests.")


def test_a_person_places_beside_the_policies(visitor, shots):
    visitor.choose(EXAMPLE)
    visitor.type("Sizes (cells)", "8, 12")
    visitor.says("Request 1 of 2 asks for 8 cells.")
    visitor.page.get_by_text("Place the requests yourself").click()
    visitor.page.get_by_text("30 to 37").click()
    visitor.page.get_by_role("button", name="Request 2 asks for 12, and no hole holds it").click()
    visitor.says("placed 1 of 2 · done")
    visitor.page.locator(".jm-table td", has_text="you").wait_for()
    assert visitor.figures()["you"][:2] == ["1", "50.00"]
    visitor.page.screenshot(path=shots / "yours.png")


def test_odd_inputs_get_a_friendly_sentence(visitor):
    visitor.figures()
    for size, text in enumerate(
        ["", "0", "-3", "1000000000", "😀", "<script>alert(1)</script>"], 1
    ):
        visitor.type("Sizes (cells)", text)
        visitor.page.get_by_role("alert").wait_for()
        visitor.type("Sizes (cells)", str(size))
        visitor.says(f"Request 1 of 1 asks for {size} cell")


def test_policies_race_and_the_film_can_be_taken_home(visitor, shots, tmp_path):
    visitor.open("Race")
    film = visitor.page.frame_locator("iframe")
    film.locator(".failed.some").first.wait_for()
    at = [film.locator("#time").inner_text() for _ in (0, 1) if not time.sleep(0.5)]
    assert at[0] != at[1]  # it goes on
    visitor.page.screenshot(path=shots / "race.png")
    film.locator("#slider").evaluate("s => { s.value = s.max; s.oninput(); }")
    counts = [int(text.split()[0]) for text in film.locator(".failed").all_inner_texts()]
    assert len(counts) == 3
    assert counts[2] < counts[0]  # the learned policy, and first-fit
    with visitor.page.expect_download() as started:
        visitor.page.get_by_role("button", name="Download as GIF").click()
    assert Path(started.value.path()).read_bytes().startswith(b"GIF8")


def test_an_uploaded_trace_has_the_figures_of_compare(visitor, shots, tmp_path):
    trace = tmp_path / "tiny.csv"
    blocks = [
        f"a,{k},{64 * (1 + k % 7)}\n" + (f"f,{k - 5},0\n" if k >= 5 else "") for k in range(90)
    ]
    trace.write_text("op,id,size\n" + "".join(blocks), encoding="utf-8")
    assert read_trace(trace).requests == 90
    visitor.upload(trace)
    visitor.press("Compare")
    shown = visitor.figures()
    visitor.page.wait_for_timeout(1500)
    visitor.page.screenshot(path=shots / "compare.png")
    names = [*TITLES]
    options = {"path": str(trace), "slack": 1.1}
    found = compare(names, "trace", **options).results["policies"]
    for name, title in TITLES.items():
        assert shown[title][0] == f"{found[name]['failed_requests']['mean']:.2f}"


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("../../etc/evil.csv", b"\x80\x04cposix\nsystem\n.", "the pickle asks for"),
        ("empty.csv", b"", "empty"),
        ("bomb.csv.gz", None, "lines are read"),
        ("page.html", b"<script>alert(1)</script>\n", "unknown header"),
        ("double.csv", b"op,id,size\na,1,8\nf,1,0\nf,1,0\n", "double free"),
    ],
)
def test_a_hostile_file_gets_a_friendly_sentence(visitor, name, data, said):
    if data is None:
        data = gzip.compress(b"op,id,size\n" + b"a,1,8\nf,1,0\n" * 3_000_000)
    visitor.upload({"name": name, "mimeType": "text/csv", "buffer": data})
    visitor.press("Compare")
    visitor.says(said)
    visitor.open("About")
    visitor.says("Takes the shortest hole")


def test_an_upload_that_is_too_large_is_refused(visitor, tmp_path, shots):
    large = tmp_path / "large.csv"
    with large.open("wb") as file:
        file.truncate(100 * 2**20)
    visitor.open("Compare")
    visitor.page.get_by_text("my own trace").click()
    visitor.page.set_input_files("input[type=file]", large)
    visitor.says(f"File must be {UPLOAD}")
    visitor.page.screenshot(path=shots / "too_large.png")


def test_two_visitors_do_not_disturb_each_other(chromium, server):
    one, other = (Visitor(chromium, server[0]) for _ in range(2))
    one.figures()
    other.figures()
    one.type("Sizes (cells)", "8")
    one.says("Request 1 of 1 asks for 8 cells.")
    other.type("Sizes (cells)", "9, 9")
    other.says("Request 1 of 2 asks for 9 cells.")
    one.says("Request 1 of 1 asks for 8 cells.")
    assert {cells[0] for cells in one.figures().values()} == {"1"}
    assert {cells[0] for cells in other.figures().values()} == {"2"}
    one.context.close()
    other.context.close()


def test_a_phone_shows_every_tab_without_scrolling_sideways(chromium, server, shots):
    phone = Visitor(chromium, server[0], viewport={"width": 390, "height": 2600})
    phone.figures()
    for tab, sign in (
        ("Play", "asks for 15 cells"), ("Race", "Download as GIF"), ("Compare", "Also search"),
        ("Train", "A network learns"), ("About", "worst-fit"),
    ):  # fmt: skip
        phone.open(tab)
        phone.says(sign)
        phone.page.wait_for_timeout(1200)
        phone.page.screenshot(path=shots / f"phone_{tab.lower()}.png")
        assert phone.page.evaluate("document.documentElement.scrollWidth") <= 390
    phone.context.close()


def test_nothing_is_asked_of_the_network(visitor, shots):
    visitor.figures()
    for tab, sign in (("Race", "Download as GIF"), ("About", "worst-fit")):
        visitor.open(tab)
        visitor.says(sign)
    visitor.page.screenshot(path=shots / "about.png")
    hosts = {address.split("/")[2].split(":")[0] for address in visitor.asked if "//" in address}
    assert hosts <= {"localhost", ""}


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="no /proc here to look into")
def test_the_server_listens_on_this_machine_only(server):
    port = int(server[0].rsplit(":", 1)[1])
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    if Path("/proc/net/tcp6").exists():
        lines += Path("/proc/net/tcp6").read_text().splitlines()[1:]
    sockets = [(line.split()[1].rsplit(":", 1), line.split()[3]) for line in lines]
    listening = {at for (at, where), state in sockets if state == "0A" and int(where, 16) == port}
    loopback = {"0100007F", "00000000000000000000000001000000"}
    assert listening
    assert listening <= loopback
