"""The preload recorder: what is in its log, and that nothing is lost or changed by bad days."""

import json
import os
import platform
import shutil
import signal
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from jaxmem.arena.arena import NEVER
from jaxmem.configuration import UsageError
from jaxmem.native.recorder import recorder_words
from jaxmem.recordings import Recording, TraceError, read_trace

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64" or shutil.which("cc") is None,
    reason="the recorder needs Linux on x86-64 and a C compiler",
)


@pytest.fixture(autouse=True)
def own_cache(recorder_cache, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(recorder_cache))


@pytest.fixture
def compiled(recorder_cache):
    """A function from C to the program that it becomes; what stands in `main` is enough."""

    def make(body: str, *options: str, whole: bool = False) -> str:
        text = (
            body
            if whole
            else '#include "all.h"\nint main(int n, char **v) {(void)n;(void)v;\n'
            + body
            + "\nreturn 0;}"
        )
        name = f"program-{abs(hash((body, options)))}"
        (recorder_cache / "all.h").write_text(HEADERS)
        source, program = recorder_cache / f"{name}.c", recorder_cache / name
        source.write_text(text)
        if not program.exists():
            words = ["cc", "-O1", "-fno-builtin", "-pthread", "-w", f"-I{recorder_cache}"]
            subprocess.run([*words, "-o", program, source, *options], check=True)
        return str(program)

    return make


HEADERS = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
"""


def run(log: Path, *command: str, depth: int = 4, children: bool = False, **options):
    words = recorder_words(str(log), command, depth, children)
    return subprocess.run(words, capture_output=True, text=True, timeout=120, **options)


def recorded(tmp_path: Path, *command: str, **options) -> Recording:
    log = tmp_path / "log"
    run(log, *command, **options)
    return read_trace(log)


def test_every_function_of_malloc_is_recorded_as_it_is_called(compiled, tmp_path):
    program = compiled("""
        void *a = malloc(1001), *b = calloc(3, 701), *c = 0, *d;
        a = realloc(a, 5003);
        c = realloc(c, 307);
        d = reallocarray(0, 11, 101);
        void *e; if (posix_memalign(&e, 64, 409)) return 1;
        void *f = aligned_alloc(32, 608), *g = memalign(128, 811);
        free(b); free(0);
        c = realloc(c, 0);
        if (realloc(d, (size_t)1 << 62)) return 2;
        free(d); free(e); free(f); free(g); free(malloc(0));
    """)
    found = recorded(tmp_path, program)
    sizes = [1001, 2103, 5003, 307, 1111, 409, 608, 811, 1]
    assert found.size.tolist() == sizes
    # A block freed before request j has lifetime j - its own number; a moved one stays for its new.
    assert found.lifetime.tolist() == [3, 7, NEVER, 5, 4, 3, 2, 1, 1]
    notes = dict(note.rsplit(": ", 1) for note in found.about.notes)
    assert notes["allocations that failed, left out"] == "1"
    assert notes["allocations of zero bytes, counted as one byte"] == "1"
    assert found.about.program == program


def slow_reading(log: Path) -> tuple[list[int], list[int]]:
    """Sizes and lifetimes of a log, one event after another."""
    data, events = log.read_bytes(), []
    for start in range(4096, len(data), 131072):
        if int.from_bytes(data[start : start + 4], "little") != 1:
            continue
        rows = np.frombuffer(data, "<u8", 3 * 5460, start + 16).reshape(-1, 3).tolist()
        events += [(row[0] >> 2, row[0] & 3, row[1], row[2] >> 24, at + start)
                   for at, row in enumerate(rows) if row[0]]  # fmt: skip
    after = {at: (kind, address) for _, kind, address, _, at in events}
    size, lifetime, live, moving = [], [], {}, {}
    for _, kind, address, many, at in sorted(events):
        if kind == 2:
            then = after.get(at + 1)
            if then and then[0] == 3:
                if then[1]:
                    moving[at + 1] = live.pop(address, None)
                continue
        if kind in (1, 2):
            if (old := live.pop(address, None)) is not None:
                lifetime[old] = len(size) - old
            continue
        if not address:
            continue
        if (old := live.pop(address, None)) is not None:
            lifetime[old] = len(size) - old
        live[address] = len(size)
        size.append(max(many, 1))
        lifetime.append(NEVER)
        if kind == 3 and (old := moving.pop(at, None)) is not None:
            lifetime[old] = len(size) - old
    return size, lifetime


RANDOM_CALLS = """
static void *play(void *seed) {
    unsigned s = (unsigned)(uintptr_t)seed; void *held[64] = {0};
    for (int k = 0; k < 20000; k++) {
        int at = rand_r(&s) % 64, what = rand_r(&s) % 8, size = rand_r(&s) % 3000;
        if (what < 3) { free(held[at]); held[at] = malloc(size); }
        else if (what < 6) held[at] = realloc(held[at], size + 1);
        else if (what < 7) { free(held[at]); held[at] = calloc(size % 7 + 1, 40); }
        else { free(held[at]); held[at] = 0; }
    }
    for (int k = 0; k < 64; k += 2) free(held[k]);
    return 0;
}
"""


def test_what_is_read_as_arrays_is_what_is_read_one_by_one(compiled, tmp_path):
    program = compiled(
        '#include "all.h"\n'
        + RANDOM_CALLS
        + """
        int main(void) {
            pthread_t t[6];
            for (uintptr_t k = 0; k < 6; k++) pthread_create(t + k, 0, play, (void *)(k + 1));
            for (int k = 0; k < 6; k++) pthread_join(t[k], 0);
        }""",
        whole=True,
    )
    log = tmp_path / "log"
    assert run(log, program).returncode == 0
    found = read_trace(log)
    size, lifetime = slow_reading(log)
    assert found.size.tolist() == size
    assert found.lifetime.tolist() == lifetime
    assert len(size) > 60_000


def test_call_sites_are_told_apart_and_are_the_same_in_every_run(compiled, tmp_path):
    program = compiled(
        '#include "all.h"\n'
        + """
        __attribute__((noinline)) void *one(int n) { void *p = malloc(n); __asm__(""); return p; }
        __attribute__((noinline)) void *two(int n) { void *p = one(n); __asm__(""); return p; }
        __attribute__((noinline)) void *three(int n) { void *p = one(n); __asm__(""); return p; }
        int main(void) { for (int k = 0; k < 9; k++) { two(11); three(22); } one(33); }
        """,
        whole=True,
    )
    runs = [recorded(tmp_path, program) for _ in range(2)]
    for found in runs:
        ours = {size: set(found.site[found.size == size].tolist()) for size in (11, 22, 33)}
        assert all(len(sites) == 1 for sites in ours.values())
        assert len(set.union(*ours.values())) == 3
    assert runs[0].site.tolist() == runs[1].site.tolist()
    alone = recorded(tmp_path, program, depth=1)  # malloc's caller only: `one`
    assert len({int(s) for n in (11, 22, 33) for s in alone.site[alone.size == n]}) == 1
    assert recorded(tmp_path, program, depth=0).site is None


@pytest.mark.parametrize(
    ("end", "status"),
    [
        ("kill(getpid(), SIGKILL);", -signal.SIGKILL),
        ("abort();", -signal.SIGABRT),
        ("*(volatile int *)8 = 1;", -signal.SIGSEGV),
        ("_exit(7);", 7),
        ("exit(9);", 9),
    ],
)
def test_however_the_program_ends_nothing_is_lost(compiled, tmp_path, end, status):
    program = compiled(f"for (int k = 1; k <= 12345; k++) free(malloc(k)); {end}")
    log = tmp_path / "log"
    assert run(log, program).returncode == status
    assert read_trace(log).size.tolist()[-12345:] == list(range(1, 12346))


def test_closed_files_do_not_matter(compiled, tmp_path):
    program = compiled("""
        for (int k = 0; k < 50000; k++) { malloc(64); if (k % 1000 == 0) closefrom(3); }
    """)
    found = recorded(tmp_path, program)
    assert np.count_nonzero(found.size == 64) == 50000
    assert not [note for note in found.about.notes if "stopped" in note]


FORKS = """
    for (int k = 0; k < 40; k++) {
        void *p = malloc(777);
        pid_t child = fork();
        if (!child) { for (int n = 0; n < 50; n++) free(malloc(555)); _exit(3); }
        int how; waitpid(child, &how, 0);
        if (how != 3 << 8) return 1;
        free(p);
    }
"""


def test_a_child_writes_nothing_into_the_log_of_its_parent(compiled, tmp_path):
    program = compiled(FORKS)
    found = recorded(tmp_path, program)
    assert Counter(found.size.tolist())[777] == 40
    assert 555 not in found.size
    assert [file.name for file in tmp_path.iterdir()] == ["log"]


def test_children_write_logs_of_their_own(compiled, tmp_path):
    found = recorded(tmp_path, compiled(FORKS), children=True)
    assert 555 not in found.size
    logs = sorted(tmp_path.glob("log.*"))
    assert len(logs) == 40
    assert all(read_trace(log).size.tolist() == [555] * 50 for log in logs)


def test_a_child_that_becomes_another_program_writes_that_ones_log(compiled, tmp_path):
    other = compiled("for (int k = 0; k < 10; k++) malloc(99);")
    program = compiled(f"""
        malloc(11111);
        pid_t child = fork();
        if (!child) {{ malloc(22222); execl("{other}", "{other}", (char *)0); }}
        waitpid(child, 0, 0);
        malloc(33333);
    """)
    found = recorded(tmp_path, program, children=True)
    assert found.size[found.size > 10000].tolist() == [11111, 33333]
    (log,) = tmp_path.glob("log.*")
    child = read_trace(log)
    assert (child.about.program, Counter(child.size.tolist())[99]) == (other, 10)
    assert 22222 not in child.size


def test_forks_beside_threads_hang_nowhere(compiled, tmp_path):
    program = compiled(
        '#include "all.h"\n'
        + RANDOM_CALLS
        + """
        int main(void) {
            pthread_t t[4];
            for (uintptr_t k = 0; k < 4; k++) pthread_create(t + k, 0, play, (void *)(k + 1));
            for (int k = 0; k < 200; k++) {
                pid_t child = fork();
                if (!child) { for (int n = 0; n < 20; n++) free(malloc(n)); _exit(0); }
                int how; waitpid(child, &how, 0);
                if (how) return 1;
            }
            for (int k = 0; k < 4; k++) pthread_join(t[k], 0);
        }""",
        whole=True,
    )
    log = tmp_path / "log"
    assert run(log, program, children=True).returncode == 0
    assert read_trace(log).size.tolist() == slow_reading(log)[0]


def test_threads_that_end_give_their_part_of_the_log_back(compiled, tmp_path):
    program = compiled(
        '#include "all.h"\n'
        + """
        static void *one(void *k) { free(malloc(4321)); return 0; }
        int main(void) {
            pthread_t t;
            for (int k = 0; k < 400; k++) { pthread_create(&t, 0, one, 0); pthread_join(t, 0); }
        }""",
        whole=True,
    )
    found = recorded(tmp_path, program)
    assert Counter(found.size.tolist())[4321] == 400
    assert (tmp_path / "log").stat().st_size < 10 * 131072


def test_a_program_that_becomes_another_is_recorded_as_that(compiled, tmp_path):
    other = compiled("for (int k = 0; k < 10; k++) malloc(99);")
    first = compiled(f'malloc(11111); execl("{other}", "{other}", (char *)0);')
    found = recorded(tmp_path, first)
    assert Counter(found.size.tolist())[99] == 10
    assert 11111 not in found.size
    assert found.about.program == other


def test_where_the_log_may_not_grow_the_program_goes_on(compiled, tmp_path):
    program = compiled('for (int k = 0; k < 90000; k++) free(malloc(50)); puts("done");')
    log = tmp_path / "log"
    bounded = ["/bin/sh", "-c", 'ulimit -f 2000; exec "$@"', "sh"]  # blocks of 512 bytes
    words = [*bounded, *recorder_words(str(log), [program])]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "done\n")
    found = read_trace(log)
    assert 10_000 < found.requests < 90_000
    assert any("stopped before the program did (File too large)" in n for n in found.about.notes)


def test_where_there_can_be_no_log_the_program_runs_all_the_same(compiled, tmp_path):
    program = compiled('free(malloc(50)); puts("done"); return 5;')
    done = run(tmp_path / "absent" / "log", program)
    assert (done.returncode, done.stdout, done.stderr) == (5, "done\n", "")


def test_a_static_program_leaves_no_log(compiled, tmp_path):
    program = compiled('free(malloc(50)); puts("done");', "-static")
    done = run(tmp_path / "log", program)
    assert (done.returncode, done.stdout) == (0, "done\n")
    assert not (tmp_path / "log").exists()


def test_what_the_user_loads_into_programs_is_loaded_too(compiled, tmp_path):
    library = compiled(
        '#include "all.h"\npid_t getppid(void) { return -77; }',
        *("-shared", "-fPIC"),
        whole=True,
    )
    program = compiled("free(malloc(4321)); return getppid() == -77 ? 5 : 6;")
    log = tmp_path / "log"
    assert run(log, program, env={**os.environ, "LD_PRELOAD": library}).returncode == 5
    assert 4321 in read_trace(log).size


def test_a_cache_that_the_dynamic_loader_cannot_be_told_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "of me"))
    with pytest.raises(UsageError, match="may have no space and no colon"):
        recorder_words("log", ["ls"])


def test_errno_is_the_programs_own(compiled, tmp_path):
    program = compiled("""
        for (int k = 0; k < 30000; k++) { errno = 77; free(malloc(k)); if (errno != 77) return 1; }
        errno = 0;
        if (malloc((size_t)1 << 62) || errno != ENOMEM) return 2;
    """)
    assert run(tmp_path / "log", program).returncode == 0


def test_modules_that_come_and_go_are_told_apart(compiled, tmp_path):
    library = 'void *get(int n) { void *p = malloc(n); __asm__(""); return p; }'
    paths = [compiled(f'#include "all.h"\n{library}// {k}', "-shared", "-fPIC", whole=True)
             for k in range(2)]  # fmt: skip
    program = compiled(f"""
        const char *path[] = {{"{paths[0]}", "{paths[1]}"}};
        for (int k = 0; k < 20; k++) {{
            void *library = dlopen(path[k % 2], RTLD_NOW);
            ((void *(*)(int))dlsym(library, "get"))(60000 + k % 2);
            dlclose(library);
        }}
    """)
    found = recorded(tmp_path, program)
    sites = [set(found.site[found.size == 60000 + k].tolist()) for k in range(2)]
    assert [len(one) for one in sites] == [1, 1]
    assert sites[0] != sites[1]


def test_a_damaged_log_is_told_as_such(compiled, tmp_path):
    log = tmp_path / "log"
    run(log, compiled("for (int k = 0; k < 100; k++) malloc(k);"))
    whole, damaged = log.read_bytes(), tmp_path / "damaged"
    rng = np.random.default_rng(0)
    for _ in range(150):
        data = bytearray(whole)
        for at in rng.integers(0, len(data), 20):
            data[at] = rng.integers(256)
        where = 4096 + 131072 * rng.integers(0, 3)
        data[where : where + 200] = rng.bytes(200)
        damaged.write_bytes(bytes(data[: rng.integers(len(data))] if rng.random() < 0.3 else data))
        with suppress(TraceError):
            assert isinstance(read_trace(damaged), Recording)


def test_python_is_recorded_as_it_runs(tmp_path):
    code = "import json; print(json.dumps([b'x' * 100_000 is None for _ in range(3)]))"
    log = tmp_path / "log"
    done = run(log, os.path.realpath(sys.executable), "-c", code)
    assert (json.loads(done.stdout), done.stderr) == ([False] * 3, "")
    assert read_trace(log).requests > 500
