"""`jaxmem run`: programs under policies, what is refused before they run and said after."""

import json
import os
import platform
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from jaxmem.cli import main
from jaxmem.commands.run import DIFFERENT, bytes_of
from jaxmem.configuration import UsageError
from jaxmem.recordings import live_check, read_trace
from jaxmem.recordings.class_rule import RuleNumbers
from jaxmem.recordings.plan_search import packed_plan, unpacked_plan
from jaxmem.recordings.profile import profile_of
from jaxmem.recordings.profiled_policy import ProfiledPolicy, save_profiled

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64" or shutil.which("cc") is None,
    reason="the allocator needs Linux on x86-64 and a C compiler",
)
# Blocks of which half stay: 3 + 2 * 200 requests of 100 KB and more, and a line that is printed.
PROGRAM = """
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
int main(int n, char **v) {
    char line[99]; void *kept[200];
    if (n > 1 && fgets(line, 99, stdin)) printf("%s said %s", v[1], line);
    for (int k = 0; k < 200; k++) {
        kept[k] = malloc(100000 + 777 * (k * 7919 % 31));
        free(malloc(200000 + 1000 * k));
        if (k % 3 == 1) free(kept[k]);
    }
    return n > 2 ? atoi(v[2]) : 0;
}
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    folder = tmp_path_factory.mktemp("program")
    (folder / "program.c").write_text(PROGRAM)
    words = ["cc", "-fno-builtin", "-o", folder / "program", folder / "program.c"]
    subprocess.run(words, check=True)
    return str(folder / "program")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def here(tmp_path, cache, monkeypatch):
    """A folder to work in, and a cache of compiled programs apart from the user's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    monkeypatch.chdir(tmp_path)


def results(folder: str = "out"):
    return json.loads(Path(folder, "results.json").read_text(encoding="utf-8"))


def test_a_program_runs_and_every_placement_is_the_simulators(program, capfd, monkeypatch):
    Path("typed").write_text("hello\n")
    standard = os.dup(0)
    with open("typed") as typed:
        os.dup2(typed.fileno(), 0)
    try:
        assert main(["run", "best", "out=out", "--", program, "it", "7"]) == 7
    finally:
        os.dup2(standard, 0)
        os.close(standard)
    said = capfd.readouterr()
    assert said.out == "it said hello\n"
    assert "All 400 placements and every figure of the live run are those of its repla" in said.err
    assert "The program ended with exit status 7" in said.err
    found = results()
    assert (found["exit_status"], found["requests"], found["arena"]) == (7, 400, 0)
    assert list(found["replayed"]) == ["best", "first"]
    assert found["replayed"]["best"] == found["live"]
    assert found["live"]["high_water"] >= found["live"]["peak_live"] > 13_000_000
    assert found["peak_rss"] > 0
    kept = read_trace("out/recording.npz")
    assert (kept.requests, kept.sites) == (400, 2)
    assert "All 400 placements" in Path("out/table.md").read_text(encoding="utf-8")


def test_a_rule_learned_from_a_run_places_another_and_failures_are_counted(program, capfd):
    assert main(["run", "best", "out=earlier", "--", program]) == 0
    earlier = read_trace("earlier/recording.npz")
    rule = RuleNumbers(long=30, parts=64, fits=(1, 0, 3, 2))
    training = {"alignment": 64, "runs": [{"run": "1", "peak_live": earlier.peak_live}]}
    Path("mine").mkdir()
    save_profiled("mine/policy.safetensors", ProfiledPolicy(profile_of([earlier]), rule, training))
    assert main(["run", "mine", "arena=0.8", "out=out", "--", program]) == 0
    found = results()
    assert found["unit"] == 64
    assert found["arena"] == pytest.approx(0.8 * earlier.peak_live, rel=1e-4)
    assert found["foretold"] > 0.9
    assert found["live"]["failed"] == found["replayed"]["mine"]["failed"] > 5
    assert found["differences"] == []
    said = capfd.readouterr().err
    assert "The C library has given what found no hole" in said
    assert "are foretold by the runs that the policy is learned from." in said


def test_a_plan_is_followed_in_a_program(program, capfd):
    assert main(["run", "best", "out=earlier", "alignment=64", "--", program]) == 0
    earlier = read_trace("earlier/recording.npz")
    plan = packed_plan(unpacked_plan(earlier, [], 64), 0.02)
    rule = RuleNumbers(long=30, parts=64, fits=(0, 0, 2, 2))
    policy = ProfiledPolicy(profile_of([earlier]), rule, {"alignment": 64}, plan)
    Path("mine").mkdir()
    save_profiled("mine/policy.safetensors", policy)
    words = ["arena=12MiB", "least_alignment=16", "out=out"]
    assert main(["run", "mine", *words, "--", program]) == 0
    found = results()
    assert found["differences"] == []
    assert found["live"]["failed"] > 0
    assert np.count_nonzero(plan.planned(read_trace("out/recording.npz"), 64) >= 0) > 390
    assert "no alignment of at least 16 bytes is asked" in found["notes"][1]
    assert main(["export", "mine", "to=rule"]) == 2
    assert "mine has a plan, which to=rule cannot hold: to=c can" in capfd.readouterr().err


def test_the_scorer_of_the_package_places_a_program(program):
    words = ["arena=1.1", "recording=earlier/recording.npz", "alignment=256"]
    assert main(["run", "best", "out=earlier", "--", program]) == 0
    assert main(["run", "learned", *words, "out=out", "--", program]) == 0
    found = results()
    assert (found["unit"], found["requests"], found["differences"]) == (256, 400, [])


def test_where_the_replay_is_another_it_is_said_and_the_status_is_3(program, capfd, monkeypatch):
    real = live_check.replayed

    def other(events, cells, player, report):
        again = real(events, cells, player, report)
        start = np.where(np.arange(again.start.size) == 5, 12_345, again.start)
        return live_check.Placements(start, live_check.figures_of(events, start))

    monkeypatch.setattr(live_check, "replayed", other)
    assert main(["run", "best", "out=out", "--", program]) == DIFFERENT
    said = capfd.readouterr().err
    assert "The live run is not its replay, of 400 placements:" in said
    assert "1 of 400 placements, first that of request 5" in said
    assert "in the replay at unit 12,345" in said
    assert len(results()["differences"]) == 1


def test_where_nothing_was_placed_it_is_said_and_the_status_is_3(program, capfd):
    assert main(["run", "best", "least=1GiB", "--", program]) == DIFFERENT
    assert "nothing was placed: it has asked for no block that is" in capfd.readouterr().err
    assert os.listdir() == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "sqlite3",
            [":memory:", "select sum(length(hex(randomblob(9000)))) from json_each('[1,2]')"],
        ),
        ("perl", ["-e", 'my %h; $h{$_ % 70} .= "x$_" for 1 .. 2000; print scalar keys %h']),
        ("sort", ["--parallel=4", "--buffer-size=32K", "lines"]),
        ("python", ["-c", "import json; print(len(json.dumps([[k] * 9 for k in range(900)])))"]),
    ],
)
def test_programs_of_others_print_what_they_print(name, words, capfd):
    Path("lines").write_text("\n".join(str(k * 7919 % 10007) for k in range(20_000)))
    path = os.path.realpath(sys.executable) if name == "python" else shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not here")
    plain = subprocess.run([path, *words], capture_output=True, text=True, check=True).stdout
    assert main(["run", "best", "least=1000", "depth=0", "out=out", "--", path, *words]) == 0
    assert capfd.readouterr().out == plain
    assert results()["differences"] == []


BAD = (
    (["--", "ls"], "run: which policy? usage: jaxmem run POLICY"),
    (["best"], "run: which program? it stands after --"),
    (["bset", "--", "ls"], "no policy bset"),
    (["random", "--", "ls"], "no policy random to export"),
    (["generalist", "--", "ls"], "cells"),
    (["two_ended", "--", "ls"], "two_ended needs threshold=BYTES, of the largest"),
    (["best", "threshold=9", "--", "ls"], "threshold=0 is for two_ended"),
    (["best", "--", "no-such-program"], "there is no program 'no-such-program'"),
    (["best", "--", "./static"], "./static cannot be run under a policy: it is a static program"),
    (["learned", "--", "ls"], "learned plays in arenas that are bounded: give arena="),
    (["best", "arena=1.05", "--", "ls"], "arena=1.05 is times the peak live of an earlier run"),
    (["best", "arena=4096", "--", "ls"], "arena is 4096; times the peak live"),
    (["best", "arena=-1", "--", "ls"], "arena is -1; times the peak live"),
    (["best", "arena=lots", "--", "ls"], "arena is 'lots'; an amount of bytes, as 4096, 32KiB"),
    (["best", "arena=1PiB", "--", "ls"], "arena is '1PiB'; an amount"),
    (["best", "arena=4TiB", "--", "ls"], "there may be 1 to 2,147,483,646"),
    (["best", "least=-1", "--", "ls"], "least is -1"),
    (["best", "recording=none.npz", "--", "ls"], "recording= is for arena=1.05"),
    (["best", "recording=none.npz", "arena=2", "--", "ls"], "none.npz: cannot be read (no"),
    (["best", "alignment=8", "--", "ls"], "alignment is 8; a power of two from 16 to 4,096"),
    (["best", "depth=33", "--", "ls"], "depth is 33; a whole number from 0 to 32"),
)  # fmt: skip


@pytest.mark.parametrize(("words", "said"), BAD, ids=lambda value: str(value)[:40])
def test_bad_input_is_refused_in_one_line_before_the_program_runs(words, said, capfd):
    # The head of a program for x86-64, without a dynamic loader.
    head = struct.pack("<2HI3QI6H", 2, 62, 1, 0, 64, 0, 0, 64, 56, 0, 0, 0, 0)
    Path("static").write_bytes(b"\x7fELF\2\1\1" + bytes(9) + head)
    Path("static").chmod(0o755)
    assert main(["run", *words]) == 2
    heard = capfd.readouterr()
    assert heard.out == ""
    assert heard.err.count("\n") == 1
    assert said in heard.err
    assert os.listdir() == ["static"]


def test_without_a_compiler_it_is_told(program, capfd, monkeypatch, tmp_path):
    monkeypatch.setenv("CC", "no-such-compiler")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))
    assert main(["run", "best", "--", program]) == 2
    assert "there is no C compiler: install gcc" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("given", "many"),
    [("4096", 4096), (4096, 4096), ("32KiB", 32768), ("1.5 GiB", 3 << 29), ("2m", 2 << 20), (0, 0)],
)
def test_amounts_are_read_as_people_write_them(given, many):
    assert bytes_of("least", given) == many


@pytest.mark.parametrize("given", ["", "x", "-1", "1e3", "KiB", "9" * 40])
def test_what_is_no_amount_is_refused(given):
    with pytest.raises(UsageError, match=r"least is .*; an amount of bytes, as 4096"):
        bytes_of("least", given)
