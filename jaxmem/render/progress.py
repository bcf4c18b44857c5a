"""Long work, as it goes on, in a terminal."""

from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from jaxmem.render.curves import short_count


class Standing(Protocol):
    """Where a training run stands."""

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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.bar.stop()


class TrainingDisplay(Display):
    """A bar with steps, episodes, speed, loss, and failures beside those of the best fit."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.references: dict[str, float] = {}
        self.bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
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
        self.references = references
        fits = ", ".join(f"{name} {failed:.2f}" for name, failed in references.items())
        self.console.print(f"failed requests on validation sequences, %: {fits}")
        self.bar.update(self.task, description="compiling", total=steps)

    def report(self, member: int, at: Standing) -> None:
        """One line for a block of training, and the bar moved on."""
        del member
        best = min(self.references, key=lambda name: self.references[name])
        self.console.print(
            f"{short_count(at.steps):>6} steps {short_count(at.episodes):>6} episodes "
            f"{short_count(at.steps_per_second):>6}/s  loss {at.loss:.2f}  "
            f"failed {at.failed:.2f} % ({best} {self.references[best]:.2f})",
            highlight=False,
        )
        self.bar.update(self.task, description="training", completed=at.steps)


class SweepDisplay(TrainingDisplay):
    """The same for members side by side: a line when all of a program have reported."""

    def __init__(self, console: Console, choices: Sequence[str], seeds: int) -> None:
        """
        Args:
            choices: what each choice of the settings is; member m is of choice m // seeds.
        """
        super().__init__(console)
        self.choices, self.seeds = choices, seeds
        self.members: Sequence[int] = ()
        self.heard: dict[int, Standing] = {}

    def started(self, references: dict[str, float], steps: int, members: Sequence[int]) -> None:
        """Names the fits' failures for the first seed (%), and the steps to come of each member."""
        super().started(references, steps, members)
        self.members, self.heard = members, {}

    def report(self, member: int, at: Standing) -> None:
        """A member has been validated."""
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


class StagesDisplay(Display):
    """A line that says what is being done."""

    def __init__(self, console: Console) -> None:
        self.bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self.task = self.bar.add_task("starting", total=None)

    def report(self, doing: str) -> None:
        """Says what is being done now."""
        self.bar.update(self.task, description=doing)
