"""Long work, as it goes on, in a terminal."""

from collections.abc import Mapping, Sequence
from typing import Protocol, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from jaxmem.names import TRAINING_WORDS
from jaxmem.render.curves import short_count
from jaxmem.render.palette import policy_title
from jaxmem.render.search import three_figures


class ShownPoint(Protocol):
    """A validation of a training run, as far as it is shown."""

    @property
    def steps(self) -> int: ...  # environment steps done
    @property
    def episodes(self) -> int: ...  # sequences finished
    @property
    def steps_per_second(self) -> float: ...
    @property
    def loss(self) -> float: ...
    @property
    def failed(self) -> float: ...  # % on validation sequences


class Display:
    """A bar that is shown for as long as the `with` block lasts."""

    bar: Progress

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()


class TrainingDisplay(Display):
    """A bar with steps, episodes, speed, loss, and failures beside those of the strongest fit."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.references: dict[str, float] = {}
        self.bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
        )
        self.task = self.bar.add_task("preparing requests", total=None)

    def started(self, references: dict[str, float], steps: int, members: Sequence[int]) -> None:
        """Names the fits' failures (%), once, and the steps to come."""
        del members
        if not self.references:
            for words in TRAINING_WORDS:
                self.console.print(words, style="dim", highlight=False)
            self.console.print(
                "failed: % of the requests of the validation sequences, with the policy so far and "
                "with the fit that fails least",
                style="dim",
                highlight=False,
            )
        self.references = references
        fits = ", ".join(_failing(name, failed) for name, failed in references.items())
        self.console.print(f"failed on the validation sequences: {fits}", highlight=False)
        self.bar.update(self.task, description="compiling", total=steps)

    def report(self, member: int, at: ShownPoint) -> None:
        """Prints a line for a block of training, and moves the bar on."""
        del member
        best = min(self.references, key=lambda name: self.references[name])
        self.console.print(
            f"{short_count(at.steps):>6} steps {short_count(at.episodes):>6} episodes "
            f"{short_count(at.steps_per_second):>6}/s loss {at.loss:.2f} "
            f"failed {at.failed:.2f} %, {_failing(best, self.references[best])}",
            highlight=False,
        )
        self.bar.update(self.task, description="training", completed=at.steps)


class GridDisplay(TrainingDisplay):
    """The same for members side by side: a line when all of a program have reported."""

    def __init__(self, console: Console, choices: Sequence[str], seeds: int) -> None:
        """
        Args:
            choices: what each choice of the settings is; member m is of choice m // seeds.
        """
        super().__init__(console)
        self.choices, self.seeds = choices, seeds
        self.members: Sequence[int] = ()
        self.heard: dict[int, ShownPoint] = {}

    def started(self, references: dict[str, float], steps: int, members: Sequence[int]) -> None:
        """Names the fits' failures for the first seed (%), and the steps to come of each member."""
        super().started(references, steps, members)
        self.members, self.heard = members, {}

    def report(self, member: int, at: ShownPoint) -> None:
        """Tells that a member has been validated."""
        self.heard[member] = at
        latest = [found for found in self.heard.values() if found.steps == at.steps]
        if len(latest) < len(self.members):
            return
        failed: dict[int, list[float]] = {}
        for number, found in self.heard.items():
            failed.setdefault(number // self.seeds, []).append(found.failed)
        means = {choice: sum(all_) / len(all_) for choice, all_ in failed.items()}
        best = min(means, key=lambda choice: means[choice])
        self.console.print(
            f"{short_count(at.steps):>6} steps of {len(latest)} runs  "
            f"{short_count(at.steps_per_second):>6}/s  failed {means[best]:.2f} % to "
            f"{max(means.values()):.2f} %, least with {self.choices[best]}",
            highlight=False,
        )
        self.bar.update(self.task, description="training", completed=at.steps)


def _failing(name: str, failed: float) -> str:
    """Says whose figure it is, and the figure."""
    return f"{policy_title(name)} {failed:.2f} %"


class ShownTrial(Protocol):
    """Some settings that were tried."""

    @property
    def number(self) -> int: ...
    @property
    def settings(self) -> Mapping[str, object]: ...
    @property
    def failed(self) -> float | None: ...  # % on validation sequences, mean over seeds
    @property
    def note(self) -> str: ...  # why it has come to nothing


class SearchDisplay(TrainingDisplay):
    """A bar for the trials of a search, one for those in training, a line for each that is done."""

    def __init__(self, console: Console, done: int, trials: int) -> None:
        super().__init__(console)
        self.all = self.bar.add_task("trials", total=trials, completed=done)
        self.begins = "compiling"

    def begun(self, trials: Sequence[ShownTrial], seeds: int) -> None:
        """Names the trials that are trained next."""
        numbers = [trial.number for trial in trials]
        several = f"trials {numbers[0]} to {numbers[-1]}" if len(numbers) > 1 else ""
        named = several or f"trial {numbers[0]}"
        self.begins = f"{named}, {seeds} {'seed' if seeds == 1 else 'seeds each'}"
        self.bar.update(self.task, description=self.begins, total=None, completed=0)

    def started(self, references: dict[str, float], steps: int, members: Sequence[int]) -> None:
        """Names the fits' failures (%), once, and the steps of each trial."""
        del members
        if not self.references:
            super().started(references, steps, ())
        self.bar.update(self.task, description=self.begins, total=steps, completed=0)

    def report(self, member: int, at: ShownPoint) -> None:
        """Moves the bar on: what the trials come to is told when they are done."""
        del member
        self.bar.update(self.task, completed=at.steps)

    def told(self, trial: ShownTrial, best: ShownTrial | None) -> None:
        """Prints a line for the trial, and moves the bar of all on."""
        self.bar.advance(self.all)
        come = trial.note if trial.failed is None else f"failed {trial.failed:.2f} %"
        beside = ""
        if best is not None and best.failed is not None and best.number != trial.number:
            beside = f"  (least so far: trial {best.number}, {best.failed:.2f} %)"
        settings = ", ".join(
            f"{name} {three_figures(value)}" for name, value in trial.settings.items()
        )
        least = best is not None and best.number == trial.number
        self.console.print(
            f"trial {trial.number:>4}  {come}  {settings}{beside}",
            style="bold" if least else None,
            highlight=False,
        )


class ReadingDisplay(Display):
    """A bar with the bytes of a file that have been read; nothing where there is no terminal."""

    def __init__(self, console: Console, name: str) -> None:
        self.bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            DownloadColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self.task = self.bar.add_task(f"reading {name}", total=None)

    def report(self, read: int, size: int) -> None:
        """Shows that so many bytes of so many have been read."""
        self.bar.update(self.task, completed=read, total=size)


class TimeDisplay(Display):
    """A bar of the time that there is, and a line that says what has been found."""

    def __init__(self, console: Console, seconds: float) -> None:
        self.bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self.task = self.bar.add_task("planning", total=seconds)

    def report(self, seconds: float, found: str) -> None:
        """Says what has been found after so much time."""
        self.bar.update(self.task, completed=seconds, description=found)


class StagesDisplay(Display):
    """A line that says what is being done."""

    def __init__(self, console: Console) -> None:
        self.bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self.task = self.bar.add_task("starting", total=None)

    def report(self, doing: str) -> None:
        """Says what is being done now."""
        self.bar.update(self.task, description=doing)
