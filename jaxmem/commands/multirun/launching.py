"""Hydra's launchers: in this process, in several, or in the queue of a cluster."""

from collections.abc import Sequence
from pathlib import Path

from hydra import compose, initialize_config_dir

# A launcher asks for callbacks, and Hydra makes them nowhere in public.
from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf.errors import OmegaConfBaseException

from jaxmem.commands.multirun.jobs import LAUNCHER, MultirunJob
from jaxmem.configuration import UsageError, configuration_folder
from jaxmem.extras import how_to_get
from jaxmem.names import nearest
from jaxmem.overrides import parsed, quoted

EXTRA = "launchers"
# What a run says and leaves behind is its own affair, not Hydra's.
QUIET = (
    *("hydra/hydra_logging=none", "hydra/job_logging=none"),
    *("hydra.output_subdir=null", "hydra.job.chdir=false", "hydra.mode=MULTIRUN"),
)


def launcher_of(
    verb: str, overrides: Sequence[str], folder: Path, task: TaskFunction
) -> tuple[str, Launcher]:
    """Makes and names the launcher that `overrides` ask for; it starts `task` for each job.

    Args:
        folder: that the jobs' folders are made in.
        task: can be pickled by its name.
    Raises:
        UsageError: there is no such launcher, or it has no such setting.
    """
    where = [f"hydra.sweep.dir={quoted(str(folder))}"]
    with initialize_config_dir(
        config_dir=str(configuration_folder()), job_name="jaxmem", version_base="1.3"
    ):
        loader = GlobalHydra.instance().config_loader()
        known = loader.get_group_options(LAUNCHER)
        for override in parsed(overrides):
            name = str(override.value())
            if override.key_or_group == LAUNCHER and name not in known:
                raise UsageError(
                    f"unknown {LAUNCHER} {name!r}{nearest(name, known)} "
                    "(joblib, submitit_local and submitit_slurm come with the extra launchers: "
                    f"{how_to_get(EXTRA)})"
                )
        try:
            config = compose(verb, [*QUIET, *where, *overrides], return_hydra_config=True)
            launcher = Plugins.instance().instantiate_launcher(
                hydra_context=HydraContext(config_loader=loader, callbacks=Callbacks(config)),
                task_function=task,
                config=config,
            )
        except (HydraException, OmegaConfBaseException) as error:
            reason = str(error).splitlines()[0].rstrip(".")
            missing = "" if "submitit_local" in known else f"; it needs more: {how_to_get(EXTRA)}"
            raise UsageError(f"{' '.join(overrides)}: {reason}{missing}") from None
    return str(config.hydra.runtime.choices[LAUNCHER]), launcher


def launch(launcher: Launcher, jobs: Sequence[MultirunJob]) -> list[str | None]:
    """Starts the jobs, waits, and returns what `task` returned for each, in their order.

    Raises:
        Exception: whatever a launcher makes of a queue that is not there, or a process that died.
    """
    overrides = [[*job.overrides, f"hydra.sweep.subdir={quoted(job.name)}"] for job in jobs]
    return [done.return_value for done in launcher.launch(overrides, initial_job_idx=0)]
