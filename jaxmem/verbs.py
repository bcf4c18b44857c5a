"""The verbs of the program, of one word or two, and how each is used."""

from typing import NamedTuple

from jaxmem.settings import recordings, verbs
from jaxmem.settings.fields import Settings


class Verb(NamedTuple):
    """A verb; the defaults of its settings are in conf/VERB.yaml, its module is in commands/."""

    settings: type[Settings]
    summary: str
    usage: str
    examples: tuple[str, ...]
    argument: str = ""  # the setting that its first word is, as in `jaxmem summarize DIR`
    ahead: str = ""  # the setting that a word ahead of it is, where there are two
    command: str = ""  # the setting that all words after -- are, a program with its arguments


VERBS = {
    "train": Verb(
        settings=verbs.TrainSettings,
        summary="train a placement policy, then judge it on requests it has never seen",
        usage="jaxmem train [-m] [key=value ...]",
        examples=(
            "jaxmem train",
            "jaxmem train workload=stack-with-leaks learner.states=3_000_000 seed=1 out=runs/stack",
            "jaxmem train workload=call-sites workload.lifetime_hints=class",
            "jaxmem train workload=trace workload.name=torch_cpu_mlp_train workload.slack=1.0 "
            "learner.states=100000",
            "jaxmem train -m learner=pqn,dqn seed=0,1 out=runs/grid",
            "jaxmem train -m 'seed=range(0,8)' hydra/launcher=slurm_gpu "
            "hydra.launcher.partition=gpu",
        ),
    ),
    "train runs": Verb(
        settings=recordings.TrainRunsSettings,
        summary="learn a policy for a program from recordings of its earlier runs",
        usage="jaxmem train workload=runs 'workload.paths=[RUN,...]' [key=value ...]",
        examples=(
            "jaxmem train workload=runs 'workload.paths=[1.npz,2.npz,3.npz]' out=runs/mine",
            "jaxmem train workload=runs workload.family=convnet held_out=2",
            "jaxmem trace info 4.npz 'policies=[first,best,two_ended,runs/mine]'",
        ),
    ),
    "search": Verb(
        settings=verbs.SearchSettings,
        summary="find the settings with which training fails least",
        usage="jaxmem search [key=value ...]",
        examples=(
            "jaxmem search",
            "jaxmem search learner=pqn trials=64 batch=16 seeds=3 out=runs/search",
            "jaxmem search learner=pqn 'space.learning_rate={low: 1e-4, high: 1e-2, log: true}' "
            "'space.gamma={low: 0.9, high: 0.999}' 'space.arenas=[64,128,256]'",
            "jaxmem search resume=runs/search",
        ),
    ),
    "compare": Verb(
        settings=verbs.CompareSettings,
        summary="judge placement policies on the same requests",
        usage="jaxmem compare [-m] [key=value ...]",
        examples=(
            "jaxmem compare workload=memoryless policies=[first,best,worst] sequences=4096",
            "jaxmem compare policies=[best,two_ended,runs/stack] workload=stack-with-leaks",
            "jaxmem compare workload=scenario 'workload.layout=[[5,10],[25,5]]' "
            "'workload.sizes=[8,12,\"free:1\",5]'",
            "jaxmem compare workload=trace workload.path=recording.csv.gz",
            "jaxmem compare workload=call-sites hindsight=true",
            "jaxmem compare -m workload=comb,memoryless cells=100,200 hydra/launcher=joblib",
        ),
    ),
    "bench": Verb(
        settings=verbs.BenchSettings,
        summary="measure environment and training steps a second, beside other simulators",
        usage="jaxmem bench [key=value ...]",
        examples=(
            "jaxmem bench quick=true",
            "jaxmem bench out=experiments/results/throughput",
            "jaxmem bench cells=[64,1024] arenas=[4096] policy=first observation=[packed] "
            "training=false",
        ),
    ),
    "summarize": Verb(
        settings=verbs.SummarizeSettings,
        summary="compare the runs below a folder: a row for each configuration, over its seeds",
        usage="jaxmem summarize DIR [key=value ...]",
        examples=("jaxmem summarize runs/grid", "jaxmem summarize runs out=tables"),
        argument="folder",
    ),
    "trace import": Verb(
        settings=recordings.TraceImportSettings,
        summary="read a recording of what a program allocated, and keep it for workload=trace",
        usage="jaxmem trace import FILE [key=value ...]",
        examples=(
            "jaxmem trace import heap.log",
            "jaxmem trace import run.bin.gz out=run.npz overwrite=true",
            "jaxmem trace import snapshot.pickle format=pytorch-cuda licence='CC BY 4.0'",
            "jaxmem compare workload=trace workload.path=heap.npz",
        ),
        argument="file",
    ),
    "trace record": Verb(
        settings=recordings.TraceRecordSettings,
        summary="run a program, and keep what it allocates for workload=trace",
        usage="jaxmem trace record [--python-objects] [key=value ...] -- COMMAND ...",
        examples=(
            "jaxmem trace record -- python train.py --epochs 3",
            "jaxmem trace record --python-objects -- -m json.tool large.json",
            "jaxmem trace record out=sort.npz licence='CC BY 4.0' -- sort names.txt",
            "jaxmem trace record recorder=preload children=true -- python -m pytest tests",
        ),
        command="program",
    ),
    "run": Verb(
        settings=recordings.RunSettings,
        summary="run a program whose memory a policy places, and compare that with the simulator",
        usage="jaxmem run POLICY [key=value ...] -- COMMAND ...",
        examples=(
            "jaxmem run best least=0 -- sqlite3 :memory: 'select 1'",
            "jaxmem run two_ended threshold=1MiB arena=512MiB -- python train.py",
            "jaxmem run runs/mine arena=1.05 out=runs/live -- python train.py --batch 24",
        ),
        argument="policy",
        command="program",
    ),
    "render": Verb(
        settings=verbs.RenderSettings,
        summary="draw what policies do with one request sequence, as pictures or as a video",
        usage="jaxmem render [--gif] [--mp4] [key=value ...]",
        examples=(
            "jaxmem render --gif",
            "jaxmem render workload=stack-with-leaks policies=[best,two_ended,generalist] --mp4",
            "jaxmem render workload=scenario 'workload.sizes=[8,12,\"free:1\",5]' out=pictures",
            "jaxmem render workload=trace workload.path=4.npz 'policies=[best,runs/mine]' --gif",
        ),
    ),
    "trace info": Verb(
        settings=recordings.TraceInfoSettings,
        summary="what a recording asks for, and what better placement could save on it",
        usage="jaxmem trace info [EARLIER] FILE [key=value ...]",
        examples=(
            "jaxmem trace info recording.csv.gz",
            "jaxmem trace info monday.npz tuesday.npz",
            "jaxmem trace info snapshot.pickle device=1 out=runs/cuda",
            "jaxmem trace info cuda.csv.gz alignment=512 'policies=[first,best,two_ended]'",
        ),
        argument="file",
        ahead="earlier",
    ),
    "plan": Verb(
        settings=recordings.PlanSettings,
        summary="find offsets for all buffers of a program whose lifetimes are all known",
        usage="jaxmem plan FILE [key=value ...]",
        examples=(
            "jaxmem plan buffers.csv out=runs/plan",
            "jaxmem plan module_0001.jit_step-live-range.txt alignment=64 seconds=300",
            "jaxmem plan buffers.csv 'planners=[search]' seconds=5",
        ),
        argument="file",
    ),
    "export": Verb(
        settings=verbs.ExportSettings,
        summary="write a policy as C, as StableHLO, for PyTorch on CUDA, or as a page to be read",
        usage="jaxmem export POLICY [key=value ...]",
        examples=(
            "jaxmem export learned out=policies/learned",
            "jaxmem export two_ended threshold=64 out=policies/two_ended",
            "jaxmem export runs/mine to=rule",
            "jaxmem export best to=cuda out=policies/cuda",
            "jaxmem export generalist to=stablehlo",
        ),
        argument="policy",
    ),
    "demo": Verb(
        settings=verbs.DemoSettings,
        summary="serve a page that shows what policies do, for a browser on this machine",
        usage="jaxmem demo [key=value ...]",
        examples=(
            "jaxmem demo",
            "jaxmem demo port=8600",
            "jaxmem demo address=0.0.0.0",
            "jaxmem demo 'policies=[runs/mine]'",
        ),
    ),
}
FLAGS = {
    "--gif": "gif=true",
    "--mp4": "mp4=true",
    "--python-objects": "python_objects=true",
}
