"""The page, without a browser: what is typed, what is shown, and that nothing takes it down."""

import re
import time
from html import escape as html_escape
from pathlib import Path

import pytest

pytest.importorskip("streamlit", reason="the page needs streamlit")

from streamlit.testing.v1 import AppTest

import jaxmem.app
from jaxmem.app import choices, manual_play, play
from jaxmem.app.pool import Pool
from jaxmem.evaluation.compare import compare

# Streamlit's own, and none of ours: it asks asyncio for what Python 3.14 will not have.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:streamlit.*")

PAGE = Path(jaxmem.app.__file__).parent / "page.py"
FITS = ["first", "second", "best", "worst"]


EXAMPLE = "The example: holes of five sizes"


def on_the_example(**state) -> AppTest:
    """A page on which the student project's example has been chosen."""
    app = page(**state)
    app.selectbox(key="play_preset").set_value(EXAMPLE).run()
    assert not app.exception
    return app


def page(**state) -> AppTest:
    """A visitor's page after its first run, with these values in its fields."""
    app = AppTest.from_file(PAGE, default_timeout=120)
    for key, value in {"play_policies": FITS, **state}.items():
        app.session_state[key] = value
    app.run()
    assert not app.exception
    return app


def html(app: AppTest) -> str:
    """All HTML on the page but for its styles."""
    found = [element.proto.body for element in app.get("html")]
    return "\n".join(body for body in found if "<style>" not in body)


def warnings(app: AppTest) -> list[str]:
    """What the page says cannot be done, as HTML."""
    return re.findall(r'<div class="jm-words warning"[^>]*>(.*?)</div>', html(app))


def table(app: AppTest) -> dict[str, list[str]]:
    """The figures of each policy, by its title."""
    rows = re.findall(r"<tr><td[^>]*>(.*?)</td>(.*?)</tr>", html(app))
    return {name: re.findall(r"<td[^>]*>(.*?)</td>", cells) for name, cells in rows}


@pytest.fixture(scope="module")
def example():
    return on_the_example()


def test_the_page_opens_where_the_fits_fail_at_the_request_that_shows_it():
    app = page(play_policies=[*FITS, "generalist"])
    assert app.slider(key="play_step").value == 8
    (said,) = [element.value for element in app.markdown if "Request 9 of 9" in element.value]
    assert said.endswith("best-fit and worst-fit cannot place it; generalist (learned) can.")
    assert html(app).count("1 failed: no hole holds 15") == len(FITS)
    assert "request 9 goes to cells 49 to 63" in html(app)
    assert "chosen to show the difference" in app.caption[0].value


def test_the_example_has_the_figures_of_compare(example):
    found = compare(FITS, "scenario").results["policies"]
    titles = {"first-fit": "first", "second-fit": "second", "best-fit": "best"}
    for title, name in {**titles, "worst-fit": "worst"}.items():
        placed, failed, holes, external, unusable, utilization = table(example)[title]
        assert placed == "5"
        assert failed == f"{found[name]['failed_requests']['mean']:.2f}"
        assert holes == f"{found[name]['holes_per_cell']['mean']:.3f}"
        assert external == f"{found[name]['external_fragmentation']['mean']:.3f}"
        assert unusable == f"{found[name]['unusable_free']['mean']:.3f}"
        assert utilization == f"{found[name]['utilization']['mean']:.3f}"


def test_a_step_shows_where_the_request_goes():
    app = on_the_example()
    assert "request 1 goes to cells 15 to 22" in html(app)  # first-fit
    assert "request 1 goes to cells 30 to 37" in html(app)  # second-fit
    app.slider(key="play_step").set_value(1).run()
    assert html(app).count("no hole holds 12") == len(FITS)
    app.slider(key="play_step").set_value(7).run()
    assert any("After the last of 7 requests" in element.value for element in app.markdown)
    assert "holes, largest 10" in html(app)


def test_what_is_typed_is_played():
    app = page()
    app.text_input(key="play_sizes").set_value("8, free:1, 8").run()
    assert {cells[0] for cells in table(app).values()} == {"2"}
    assert app.session_state.play_preset == "(as typed)"


def test_a_preset_fills_the_fields():
    app = page()
    app.selectbox(key="play_preset").set_value("Where best-fit loses").run()
    placed = {title: cells[0] for title, cells in table(app).items()}
    assert (placed["first-fit"], placed["best-fit"]) == ("7", "6")
    app.selectbox(key="play_preset").set_value("Two holes where best-fit loses").run()
    assert app.text_input(key="play_cells").value == "60"
    placed = {title: cells[0] for title, cells in table(app).items()}
    assert (placed["first-fit"], placed["best-fit"]) == ("3", "2")
    app.selectbox(key="play_preset").set_value("Two holes where first-fit loses").run()
    placed = {title: cells[0] for title, cells in table(app).items()}
    assert (placed["first-fit"], placed["best-fit"]) == ("1", "2")


def test_random_holes_are_typed_into_the_field():
    app = page()
    before = app.text_input(key="play_layout").value
    app.button(key="play_holes_button").click().run()
    assert app.text_input(key="play_layout").value not in ("", before)
    assert not warnings(app)
    assert table(app)


def test_requests_can_be_drawn_from_a_workload():
    app = page()
    app.radio(key="play_source").set_value("a workload").run()
    assert any("Request 1 of 120" in element.value for element in app.markdown)
    assert not warnings(app)
    assert "memory of 112 cells" in html(app)


@pytest.mark.parametrize(
    ("field", "text"),
    [
        *(("play_cells", text) for text in ("", "0", "-3", "ten", "1000000000", "😀", "<b>9</b>")),
        *(("play_layout", text) for text in ("5", "0:10, 9:2", "99:5", "😀", "[[", "5:1e9")),
        *(
            ("play_sizes", text)
            for text in ("", "0", "-3", "1000000000", "eight", "😀", "free:1", "1 " * 1000)
        ),
    ],
)
def test_an_odd_input_gets_a_friendly_sentence_and_the_page_lives(example, field, text):
    kept = example.text_input(key=field).value
    example.text_input(key=field).set_value(text).run()
    assert not example.exception
    assert not example.error
    (said,) = warnings(example)
    assert len(said) > 20
    assert html_escape(text.strip()) == text.strip() or text not in said
    example.text_input(key=field).set_value(kept).run()
    assert not warnings(example)
    assert table(example)["first-fit"][0] == "5"


def test_no_policy_gets_a_friendly_sentence(example):
    example.multiselect(key="play_policies").set_value([]).run()
    assert "take at least one" in warnings(example)[0]
    example.multiselect(key="play_policies").set_value(FITS).run()
    assert table(example)


def test_two_visitors_do_not_disturb_each_other():
    one, other = on_the_example(), on_the_example()
    one.text_input(key="play_sizes").set_value("8").run()
    other.run()
    assert other.text_input(key="play_sizes").value == "8, 12, 5, 9, 11, 4, 6"
    assert {cells[0] for cells in table(one).values()} == {"1"}
    assert {cells[0] for cells in table(other).values()} == {"5"}


def test_a_person_places_beside_the_policies():
    app = page(play_yours=True, play_cells="20", play_layout="5:2", play_sizes="6, 5")
    app.pills(key="mine_button").set_value(14).run()
    assert app.session_state.mine == [14]
    app.number_input(key="mine_cell_button").set_value(4).run()
    app.button(key="mine_there_button").click().run()
    assert "not free" in app.warning[0].value
    app.pills(key="mine_button").set_value(0).run()
    assert app.session_state.mine == [14, 0]
    assert table(app)["you"][0] == "2"
    app.button(key="mine_back_button").click().run()
    assert app.session_state.mine == [14]


def test_a_click_that_comes_twice_answers_one_request():
    mine: list[int] = []
    for _ in range(2):
        manual_play.answer(mine, 0, 14)
    assert mine == [14]
    manual_play.answer(mine, 1, -1)
    assert mine == [14, -1]


def test_an_error_in_the_game_is_told_and_the_page_goes_on(monkeypatch, caplog):
    app = page()
    monkeypatch.setattr(play, "figures", lambda everyone: 1 / 0)
    app.run()
    assert "the page goes on" in app.error[0].value
    assert not app.exception
    monkeypatch.undo()
    app.run()
    assert not app.error
    assert table(app)


def test_the_fields_of_a_tab_are_kept_while_another_is_open():
    app = page()
    app.text_input(key="play_sizes").set_value("3, 4").run()
    app.session_state.tab = "About"
    app.run()
    assert any("first-fit" in element.value for element in app.markdown)
    app.session_state.tab = "Play"
    app.run()
    assert app.text_input(key="play_sizes").value == "3, 4"


def test_policies_race_on_one_sequence():
    app = page(tab="Race", race_policies=["first", "best"], race_count=40)
    (film,) = app.get("iframe")
    assert "first-fit" in film.proto.srcdoc
    assert '"length": 40' in film.proto.srcdoc


def test_a_comparison_is_worked_at_beside_the_page_and_shown():
    app = page(tab="Compare", compare_policies=["first", "best"], compare_sequences=64)
    app.button(key="compare_button").click().run()
    assert app.button(key="compare_button").disabled
    job = app.session_state.compare_job
    job.wait(240)
    app.run()
    found = job.result.results["policies"]
    shown = table(app)["first-fit"]
    assert shown[0].startswith(f"{found['first']['failed_requests']['mean']:.2f} <")
    assert 'src="data:image/png;base64,' in html(app)


@pytest.fixture
def chores(monkeypatch):
    """Processes that find `tests/app/chores.py`, and the Train tab with a chore for its work."""
    pool = Pool()
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    monkeypatch.setattr("jaxmem.app.work.POOL", pool)
    monkeypatch.setattr("jaxmem.app.watch.POOL", pool)
    monkeypatch.setattr("jaxmem.app.train.LEARN", "chores.learn")
    yield pool
    pool.close()


def test_a_run_shows_its_curve_can_be_stopped_and_leaves_a_policy_to_play(chores):
    app = page(tab="Train")
    app.button(key="train_button").click().run()
    job = app.session_state.train_job
    assert app.button(key="train_button").disabled
    while not job.keeps:
        assert not job.done, job.fault or job.refusal
        time.sleep(0.01)
    app.run()
    assert "25,000 of 50,000 steps" in html(app)
    assert 'src="data:image/png;base64,' in html(app)
    app.button(key="train_job_stop_button").click().run()
    job.wait(120)
    app.session_state.tab = "About"  # without having seen the result
    app.run()
    assert app.session_state.play_policies[0] == choices.TRAINED
    assert app.session_state.trained == job.result.policy
    app.session_state.tab = "Train"
    app.run()
    assert app.success[0].value.startswith("25,000 steps in 1 s.")
    assert "fails 5.00 % of the requests" in app.success[0].value


def test_what_cannot_be_done_is_said_as_text_and_not_as_markdown(chores, monkeypatch):
    monkeypatch.setattr("jaxmem.app.train.LEARN", "chores.refuse_in_markdown")
    app = page(tab="Train")
    app.button(key="train_button").click().run()
    app.session_state.train_job.wait(60)
    app.run()
    assert "![x](http://a.example/b) &lt;img src=c&gt;" in html(app)
    assert "](http" not in "".join(element.value for element in [*app.markdown, *app.caption])
    assert not app.warning


def test_a_tab_that_fails_does_not_take_the_page_with_it(monkeypatch, caplog):
    monkeypatch.setattr(choices, "workloads", lambda: 1 / 0)
    app = page(tab="Race")
    assert "the page goes on" in app.error[0].value
    assert "ZeroDivisionError" in caplog.text
