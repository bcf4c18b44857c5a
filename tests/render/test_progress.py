"""Lines of a training run: whose figure each is, and what is counted."""

from io import StringIO
from types import SimpleNamespace

from rich.console import Console

from jaxmem.names import TRAINING_WORDS
from jaxmem.render.progress import GridDisplay, SearchDisplay, TrainingDisplay

FITS = {"first": 6.5, "best": 3.59, "worst": 20.0}
AT = SimpleNamespace(steps=1_500_000, episodes=4_690, steps_per_second=12_345.0, loss=0.5, failed=4)


def shown(console: Console) -> list[str]:
    assert isinstance(console.file, StringIO)
    return console.file.getvalue().splitlines()


def page(width: int = 100) -> Console:
    return Console(file=StringIO(), width=width)


def test_a_line_says_whose_figure_it_is():
    console = page(width=80)
    display = TrainingDisplay(console)
    display.started(FITS, 2_000_000, [0])
    display.report(0, AT)
    lines = shown(console)
    assert lines[-1].endswith("12.3 k/s loss 0.50 failed 4.00 %, best-fit 3.59 %")
    assert "first-fit 6.50 %, best-fit 3.59 %, worst-fit 20.00 %" in " ".join(lines)


def test_what_is_counted_is_explained_once_where_it_first_appears():
    console = page()
    display = GridDisplay(console, ["gamma=0.9"], 1)
    for _ in range(2):  # programs of a grid
        display.started(FITS, 2_000_000, [0])
        display.report(0, AT)
    lines = shown(console)
    assert lines[: len(TRAINING_WORDS)] == list(TRAINING_WORDS)
    assert [word.partition(":")[0] for word in TRAINING_WORDS] == ["step", "state", "episode"]
    assert sum(line.startswith("step: ") for line in lines) == 1


def test_a_trial_is_told_beside_the_one_that_has_failed_least():
    console = page()
    display = SearchDisplay(console, done=1, trials=2)
    best = SimpleNamespace(number=0, settings={}, failed=3.5, note="")
    display.told(SimpleNamespace(number=1, settings={"gamma": 0.9}, failed=4.25, note=""), best)
    assert "failed 4.25 %  gamma 0.9  (least so far: trial 0, 3.50 %)" in shown(console)[-1]
