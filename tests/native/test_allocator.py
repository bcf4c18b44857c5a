"""The allocator that is loaded into programs: what it promises as malloc, on good days and bad."""

import os
import platform
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from test_native_table import BEST_LOW, NATIVE, SlowTable

from jaxmem.arena.arena import NEVER, NOWHERE
from jaxmem.commands.run import events_under, live_player_of
from jaxmem.export.c_source import c_source
from jaxmem.export.exported import Exported, read_exported
from jaxmem.export.indexes import kept_of
from jaxmem.native.allocator import BY_LENGTH, LiveArena, allocator_words
from jaxmem.native.recorder import recorder_words
from jaxmem.recordings import Recording, read_trace
from jaxmem.recordings.class_rule import RuleNumbers
from jaxmem.recordings.live_check import differences, replayed
from jaxmem.recordings.live_log import LiveLogError, LiveRun, read_live
from jaxmem.recordings.plan_search import packed_plan, unpacked_plan
from jaxmem.recordings.profile import profile_of
from jaxmem.recordings.profiled_policy import ProfiledPolicy

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64" or shutil.which("cc") is None,
    reason="the allocator needs Linux on x86-64 and a C compiler",
)

GROWS = LiveArena(units=0, unit=16, least=0)


def bounded(units: int, least: int = 0) -> LiveArena:
    return LiveArena(units, 16, least)


def words_of(log: Path, *command: str, arena=GROWS, depth: int = 0):
    source = c_source(read_exported("best"))
    return allocator_words(str(log), source, BY_LENGTH, arena, command, depth)


def run(log: Path, *command: str, before=(), env: Mapping[str, str] | None = None, **options):
    words = [*before, *words_of(log, *command, **options)]
    env = {**os.environ, **(env or {})}
    return subprocess.run(words, capture_output=True, text=True, timeout=120, env=env)


def played(tmp_path: Path, *command: str, status: int = 0, **options) -> LiveRun:
    """The log of a run that ends well, in which every placement is best-fit's."""
    done = run(tmp_path / "log", *command, **options)
    assert (done.returncode, done.stderr) == (status, "")
    found = read_live(tmp_path / "log", "run", "program")
    check_best_fit(found, options.get("arena", GROWS).units)
    return found


def check_best_fit(found: LiveRun, units: int) -> None:
    """Places the requests in the slow table of the other tests."""
    table, size = SlowTable(units), -(-found.recording.size // found.unit)
    lifetime = found.recording.lifetime
    dying: dict[int, list[int]] = {}
    for number in range(size.size):
        for dead in dying.pop(number, ()):
            if found.start[dead] != NOWHERE:
                table.free(int(found.start[dead]), int(size[dead]))
        start = table.place(int(size[number]), BEST_LOW)
        assert found.start[number] == (start if start != 2**32 - 1 else NOWHERE), number
        if lifetime[number] != NEVER:
            dying.setdefault(number + int(lifetime[number]), []).append(number)
    figures = found.figures
    assert (figures.peak_live, figures.high_water) == (table.peak, table.high)
    failed = found.start == NOWHERE
    assert (figures.failed, figures.failed_bytes) == (
        failed.sum(),
        found.recording.size[failed].sum(),
    )


def test_every_function_of_malloc_is_placed_as_the_simulator_has_it(compiled, tmp_path):
    program = compiled("""
        void *a = malloc(1001), *b = calloc(3, 701), *c = 0, *d;
        a = realloc(a, 5003);
        c = realloc(c, 307);
        d = reallocarray(0, 11, 101);
        void *e; if (posix_memalign(&e, 64, 409) || (uintptr_t)e % 64) return 1;
        void *f = aligned_alloc(32, 608), *g = memalign(128, 811), *h = valloc(100);
        if ((uintptr_t)f % 32 || (uintptr_t)g % 128 || (uintptr_t)h % 4096) return 2;
        if (malloc_usable_size(a) != 5008 || malloc_usable_size(g) < 811) return 3;
        free(b); free(0);
        c = realloc(c, 0);
        if (c || realloc(d, (size_t)1 << 62) || errno != ENOMEM) return 4;
        if (calloc((size_t)1 << 62, 8) || reallocarray(d, (size_t)1 << 62, 8)) return 5;
        if (posix_memalign(&e, 24, 8) != EINVAL) return 6;
        free(d); free(e); free(f); free(g); free(malloc(0));
    """)
    found = played(tmp_path, program)
    # An alignment takes what it needs beside 16; zero bytes are one.
    sizes = [1001, 2103, 5003, 307, 1111, 409 + 48, 608 + 16, 811 + 112, 100 + 4080, 1]
    assert found.recording.size.tolist() == sizes
    assert found.recording.lifetime.tolist() == [3, 8, NEVER, 6, 5, 4, 3, 2, NEVER, 1]
    assert found.refused == 1


def test_blocks_of_gigabytes_are_logged_whole(compiled, tmp_path):
    found = played(tmp_path, compiled("free(malloc(3ul << 30)); free(malloc((1 << 30) - 1));"))
    assert found.recording.size.tolist() == [3 << 30, (1 << 30) - 1]


RANDOM_CALLS = """
struct held { unsigned char *at; size_t size; unsigned char mark; };
static int whole(struct held *h) {
    for (size_t k = 0; k < h->size; k++) if (h->at[k] != h->mark) return 0;
    return 1;
}
static void *play(void *seed) {
    unsigned s = (unsigned)(uintptr_t)seed; struct held held[64] = {0};
    for (int k = 0; k < CALLS; k++) {
        struct held *h = held + rand_r(&s) % 64; int what = rand_r(&s) % 9;
        size_t size = rand_r(&s) % 4 ? rand_r(&s) % 900 : rand_r(&s) % 40000;
        if (!whole(h)) abort();
        if (what < 3) { free(h->at); h->at = malloc(size); }
        else if (what < 5) {
            size_t kept = h->size < size ? h->size : size;
            h->at = realloc(h->at, size + 1);
            for (size_t n = 0; n < kept; n++) if (h->at[n] != h->mark) abort();
        } else if (what < 7) {
            free(h->at); h->at = calloc(size + 1, 1);
            for (size_t n = 0; n <= size; n++) if (h->at[n]) abort();
        } else if (what < 8) {
            free(h->at); size_t alignment = 16 << rand_r(&s) % 9;
            if (posix_memalign((void **)&h->at, alignment, size)) abort();
            if ((uintptr_t)h->at % alignment) abort();
        } else { free(h->at); h->at = 0; h->size = 0; continue; }
        size_t usable = malloc_usable_size(h->at);
        if (usable < size) abort();
        h->size = usable; h->mark = rand_r(&s);
        memset(h->at, h->mark, usable);
    }
    for (int k = 0; k < 64; k++) { if (!whole(held + k)) abort(); free(held[k].at); }
    return 0;
}
"""


def threaded(compiled, threads: int, calls: int, main: str = "") -> str:
    return compiled(
        f'#include "all.h"\n#define CALLS {calls}\n{RANDOM_CALLS}'
        f"""int main(void) {{
            pthread_t t[{threads}];
            for (uintptr_t k = 0; k < {threads}; k++)
                pthread_create(t + k, 0, play, (void *)(k + 1));
            {main}
            for (int k = 0; k < {threads}; k++) pthread_join(t[k], 0);
        }}""",
        whole=True,
    )


@pytest.mark.parametrize("arena", [GROWS, bounded(9_000)], ids=["grows", "bounded"])
def test_what_32_threads_write_stays_and_every_block_is_best_fits(compiled, tmp_path, arena):
    found = played(tmp_path, threaded(compiled, 32, 120), arena=arena)
    assert found.recording.requests > 32 * 70
    assert (found.figures.failed > 10) == bool(arena.units)


def test_small_blocks_are_left_to_the_library(compiled, tmp_path):
    found = played(tmp_path, threaded(compiled, 2, 800), arena=LiveArena(0, 64, 5000))
    assert found.recording.size.min() >= 5000
    assert found.unit == 64
    assert found.recording.requests > 100


def test_an_aligned_block_of_no_bytes_is_not_the_next_block(compiled, tmp_path):
    program = compiled("""
        char *all[200]; void *none[200];
        for (int k = 0; k < 200; k++) {
            posix_memalign(none + k, 32 << k % 4, 0);
            all[k] = malloc(16); *all[k] = k;
        }
        for (int k = 0; k < 200; k++) { free(none[k]); free(malloc(16)); }
        for (int k = 0; k < 200; k++) { if (*all[k] != (char)k) return 1; free(all[k]); }
    """)
    assert played(tmp_path, program).recording.size.min() == 16


def test_blocks_that_are_not_aligned_are_left_to_the_library(compiled, tmp_path):
    program = compiled("""
        free(malloc(9000)); free(calloc(9, 1000)); free(realloc(malloc(100), 9000));
        void *a; if (posix_memalign(&a, 64, 9001)) return 1;
        free(aligned_alloc(128, 9088)); free(memalign(32, 9003)); free(memalign(64, 100));
        a = realloc(a, 9004); free(a); free(valloc(9005));
    """)
    found = played(tmp_path, program, arena=LiveArena(0, 64, 5000, 64))
    assert found.recording.size.tolist() == [9001, 9088 + 64, 9005 + 4032]
    assert found.recording.lifetime.tolist() == [2, 1, 1]


MORE_THAN_THERE_IS = """
    void *all[4096]; int many = 0;
    while (many < 4096 && (all[many] = malloc(1 << 20))) many++;
    if (many == 4096 || errno != ENOMEM || many < 20) return 1;
    while (many) free(all[--many]);
    return malloc(1 << 20) ? 7 : 2;
"""


def test_where_there_is_no_memory_malloc_says_so(compiled, tmp_path):
    program, log = compiled(MORE_THAN_THERE_IS), tmp_path / "log"
    limited = ("/bin/sh", "-c", 'ulimit -v 600000; exec "$@"', "sh")
    assert run(log, program, before=limited).returncode == 7
    found = read_live(log, "run", "program")
    check_best_fit(found, 0)
    assert found.refused > 0


def test_an_arena_for_which_there_is_no_memory_is_told(compiled, tmp_path):
    log = tmp_path / "log"
    limited = ("/bin/sh", "-c", 'ulimit -v 600000; exec "$@"', "sh")
    done = run(log, compiled("free(malloc(9));"), before=limited, arena=bounded(1 << 28))
    assert done.returncode == 0
    with pytest.raises(LiveLogError, match=r"no memory for the arena .Cannot allocate memory"):
        read_live(log, "run", "program")


BROKEN = {
    "twice": ("char *p = malloc(50); free(p); free(p);", "free: 0x.* is in memory that is free"),
    "merged": (
        "char *p = malloc(50), *q = malloc(50), *r = malloc(9); free(p); free(q); free(q);",
        "free: 0x.* is in memory that is free",
    ),
    "inside": ("char *p = malloc(50); free(p + 16);", "points into a block"),
    "odd": ("char *p = malloc(50); free(p + 3);", "points into a block"),
    "wild": ("char *p = malloc(50); free(p + (1 << 20));", "is in memory that is free"),
    "resized": ("char *p = malloc(50); free(p); p = realloc(p, 70);", "realloc: 0x"),
    "written": (
        "char *p = malloc(50), *q = malloc(9); free(p); memset(p, 7, 64); free(q);",
        "was written by the program",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_program_is_ended_with_a_line_that_says_what(compiled, tmp_path, what):
    body, said = BROKEN[what]
    done = run(tmp_path / "log", compiled(body))
    assert done.returncode == -signal.SIGABRT
    (line,) = done.stderr.splitlines()
    assert line.startswith("jaxmem: ")
    assert re.search(said, line)
    assert read_live(tmp_path / "log", "run", "program").recording.requests > 0


def test_forks_beside_threads_hang_nowhere_and_leave_the_log_alone(compiled, tmp_path):
    main = """
        for (int k = 0; k < 60; k++) {
            void *p = malloc(77777);
            pid_t child = fork();
            if (!child) {
                free(p);
                for (int n = 0; n < 30; n++) free(malloc(55555));
                _exit(3);
            }
            int how; waitpid(child, &how, 0);
            if (how != 3 << 8) return 1;
            free(p);
        }
    """
    found = played(tmp_path, threaded(compiled, 4, 500, main))
    assert np.count_nonzero(found.recording.size == 77777) == 60
    assert not np.count_nonzero(found.recording.size == 55555)


def test_programs_that_it_starts_are_left_alone(compiled, tmp_path):
    other = compiled("for (int k = 0; k < 10; k++) malloc(99999);")
    program = compiled(f"""
        malloc(11111);
        if (!fork()) execl("{other}", "{other}", (char *)0);
        wait(0);
        malloc(33333);
    """)
    found = played(tmp_path, program)
    assert found.recording.size[found.recording.size > 10000].tolist() == [11111, 33333]


def test_a_program_with_a_malloc_of_its_own_is_told(compiled, tmp_path):
    program = compiled("""
        #include <stddef.h>
        static char room[1 << 20]; static size_t used;
        void *malloc(size_t size) { used += (size + 15) & ~15ul; return room + used - size; }
        void free(void *p) {}
        void *calloc(size_t n, size_t m) { return malloc(n * m); }
        void *realloc(void *p, size_t n) { return malloc(n); }
        int main(void) { return malloc(9) ? 5 : 6; }
    """, "-rdynamic", whole=True)  # fmt: skip
    assert run(tmp_path / "log", program).returncode == 5
    with pytest.raises(LiveLogError, match="brings a malloc of its own"):
        read_live(tmp_path / "log", "run", "program")


def test_where_the_log_may_not_grow_the_program_goes_on(compiled, tmp_path):
    program, log = compiled("for (int k = 0; k < 90000; k++) free(malloc(50));"), tmp_path / "log"
    limited = ("/bin/sh", "-c", 'ulimit -f 2000; exec "$@"', "sh")  # blocks of 512 bytes
    assert run(log, program, before=limited).returncode == 0
    found = read_live(log, "run", "program")
    assert found.stopped == "File too large"
    assert 10_000 < found.recording.requests < 90_000


def test_call_sites_have_the_keys_that_the_recorder_gives_them(compiled, tmp_path):
    program = compiled(
        '#include "all.h"\n'
        + """
        __attribute__((noinline)) void *one(int n) { void *p = malloc(n); __asm__(""); return p; }
        __attribute__((noinline)) void *two(int n) { void *p = one(n); __asm__(""); return p; }
        int main(void) {
            for (int k = 0; k < 9; k++) { two(1111); free(calloc(1, 2222)); }
            one(3333);
        }
        """,
        whole=True,
    )
    assert run(tmp_path / "live", program, depth=4).returncode == 0
    live = read_live(tmp_path / "live", "run", "program").recording
    words = recorder_words(str(tmp_path / "log"), [program], 4)
    subprocess.run(words, check=True, timeout=120)
    recording = read_trace(tmp_path / "log")
    keys = []
    for found in (live, recording):
        assert found.site_key is not None
        ours = {n: set(found.site_key[found.size == n].tolist()) for n in (1111, 2222, 3333)}
        assert all(len(sites) == 1 for sites in ours.values())
        keys.append(ours)
    assert keys[0] == keys[1]


def test_errno_is_the_programs_own(compiled, tmp_path):
    program = compiled("""
        for (int k = 0; k < 30000; k++) { errno = 77; free(malloc(k)); if (errno != 77) return 1; }
    """)
    played(tmp_path, program)


def test_a_damaged_log_is_told_as_such(compiled, tmp_path):
    log, damaged = tmp_path / "log", tmp_path / "damaged"
    run(log, threaded(compiled, 2, 300), arena=bounded(5000))
    whole, random, told = log.read_bytes(), np.random.default_rng(0), 0
    for _ in range(100):
        data = bytearray(whole)
        for at in random.integers(0, 20_000, 30):
            data[at] = random.integers(256)
        damaged.write_bytes(bytes(data[: random.integers(len(data))]))
        told += 1
        with suppress(LiveLogError):
            assert read_live(damaged, "run", "program").recording.requests
            told -= 1
    assert told > 50


# The functions have other names here, since malloc itself is that of the sanitizers.
RENAMED = ("malloc", "calloc", "realloc", "reallocarray", "free", "posix_memalign")
RENAMED = (*RENAMED, "aligned_alloc", "memalign", "valloc", "malloc_usable_size", "dlclose")
SANITIZED = ("-std=gnu11", "-O1", "-g", "-fno-omit-frame-pointer", "-fno-sanitize-recover=all")


def sanitized_policies():
    """A rule with exceptions, without and with a plan, of runs unlike the program; the scorer."""
    size = np.geomspace(16, 9000, 40).astype(np.int64)[np.arange(400) * 7 % 40]
    run = Recording("run", size, np.where(np.arange(400) % 9, 5, NEVER))
    plan = packed_plan(unpacked_plan(run, [], 16), 0.1)
    profile = profile_of([run])
    rule = RuleNumbers(30, 64, (0, 1, 2, 3), ((3, 2), (9, 0)))
    return {
        "rule": Exported("rule", ProfiledPolicy(profile, rule)),
        "plan": Exported("plan", ProfiledPolicy(profile, rule, plan=plan)),
        "scorer": read_exported("learned"),
    }


@pytest.mark.parametrize("name", ["plan", *(pytest.param(name, marks=pytest.mark.slow)
                                           for name in ("rule", "scorer"))])  # fmt: skip
def test_sanitizers_find_nothing_in_allocator_and_policy(name, tmp_path):
    policy = sanitized_policies()[name]
    (tmp_path / "jaxmem_policy.c").write_text(c_source(policy))
    calls = RANDOM_CALLS.replace("CALLS", "300").replace("struct held", "struct marked")
    threads = "pthread_t t[4]; for (uintptr_t k = 0; k < 4; k++) pthread_create(t + k, 0, play, "
    (tmp_path / "program.c").write_text(
        f'#include "allocator.c"\n{calls}int main(void) {{ {threads} (void *)(k + 1));'
        "for (int k = 0; k < 4; k++) pthread_join(t[k], 0); return 0; }"
    )
    words = ["cc", *SANITIZED, "-fsanitize=address,undefined", f"-DKEPT={kept_of(policy)}", "-w"]
    words += [f"-D{call}=live_{call}" for call in RENAMED]
    folders = (tmp_path, NATIVE, NATIVE / "policy")
    words += [*(f"-I{folder}" for folder in folders), "-o", "program", "program.c", "-lm"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    if "-lasan" in done.stderr or "-fsanitize" in done.stderr:
        pytest.skip("the compiler has no sanitizers")
    assert not done.returncode, done.stderr
    told = {"LIVE": tmp_path / "log", "UNIT": 16, "ARENA": 9000, "LEAST": 0, "DEPTH": 0}
    environment = {f"JAXMEM_{name}": str(value) for name, value in told.items()}
    shell = ["/bin/sh", "-c", 'JAXMEM_PROCESS=$$ exec "$1"', "sh", str(tmp_path / "program")]
    # What libraries keep to the end is no leak of ours.
    environment |= {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}
    done = subprocess.run(shell, env=environment, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    run = read_live(tmp_path / "log", "run", "program")
    again = replayed(events_under(policy, run), 9000, live_player_of(policy), lambda share: None)
    assert differences(run, again) == []
    assert run.recording.requests > 700
    assert run.figures.failed > 0


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_half_an_hour_of_threads_and_forks(compiled, tmp_path):
    minutes = float(os.environ.get("JAXMEM_SOAK_MINUTES", "30"))
    main = """
        for (int k = 0; k < 20000; k++) {
            pid_t child = fork();
            if (!child) { for (int n = 0; n < 300; n++) free(malloc(n * 7)); _exit(0); }
            int how; waitpid(child, &how, 0);
            if (how) return 1;
        }
    """
    program = threaded(compiled, 8, 400_000_000, main)
    # Of all that it does the first 500 MB are logged, and it is ended when the time is over.
    limits = f'ulimit -f 1000000; exec timeout {60 * minutes:.0f} "$@"'
    before = ("/bin/sh", "-c", limits, "sh")
    words = [*before, *words_of(tmp_path / "log", program, arena=bounded(200_000))]
    done = subprocess.run(words, capture_output=True, text=True, timeout=2200)
    assert (done.returncode, done.stderr) == (124, "")
    assert read_live(tmp_path / "log", "run", "program").recording.requests > 10**6
