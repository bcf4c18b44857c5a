"""The recorder's own unwinder against libunwind, at every allocation of real programs."""

import ctypes.util
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import jaxmem.native
from jaxmem.native.build import OPTIONS

NATIVE = Path(jaxmem.native.__file__).parent
LIBRARY = ctypes.util.find_library("unwind")
DEPTH = 8

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64" or not shutil.which("cc"),
    reason="the recorder needs Linux on x86-64 and a C compiler",
)

# In place of `unwound`: the same, held against what libunwind finds from here on.
COMPARING = """
extern int unw_backtrace(void **, int);
static _Atomic uint64_t all_chains, other_chains, other_frames;

static uint32_t unwound(struct cached *cache, uint32_t depth, uintptr_t first, uintptr_t rsp,
                        uintptr_t rbp, uintptr_t *chain)
{
    uint32_t many = unwound_alone(cache, depth, first, rsp, rbp, chain);
    void *theirs[64];
    int found = unw_backtrace(theirs, 64), at = 0;
    while (at < found && (uintptr_t)theirs[at] != first)
        at++;
    uint32_t same = 0;
    while (same < many && at + (int)same < found && (uintptr_t)theirs[at + same] == chain[same])
        same++;
    all_chains++;
    bool whole = many == depth || at + (int)many >= found;
    other_chains += same < many || !whole;
    return many;
}

__attribute__((destructor)) static void tell(void)
{
    char text[128];
    int bytes = snprintf(text, sizeof text, "[%lu, %lu]", all_chains, other_chains);
    int file = open(getenv("CHAINS"), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (file >= 0 && write(file, text, (size_t)bytes) == bytes)
        close(file);
}

"""


@pytest.fixture(scope="module")
def comparing(tmp_path_factory):
    """The recorder as it is, with each chain compared."""
    if not LIBRARY:
        pytest.skip("libunwind is not here")
    text = (NATIVE / "unwinder.h").read_text()
    assert text.count("static uint32_t unwound(") == 1
    text = text.replace("static uint32_t unwound(", "static uint32_t unwound_alone(")
    after = "/* Where malloc was called from"
    assert text.count(after) == 1
    text = text.replace(after, COMPARING + after)
    folder = tmp_path_factory.mktemp("unwinder")
    for name in ("recorder.c", "preloaded.h", "loaded.h"):
        shutil.copy(NATIVE / name, folder)
    (folder / "unwinder.h").write_text(text)
    source, library = folder / "recorder.c", folder / "comparing.so"
    words = ["cc", "-o", library, source, "-w", *OPTIONS, f"-l:{LIBRARY}"]
    subprocess.run(words, check=True, capture_output=True)
    return library


def cc1():
    """gcc's compiler proper, where there is one."""
    gcc = shutil.which("gcc")
    if gcc is None:
        return None
    asked = subprocess.run([gcc, "-print-prog-name=cc1"], capture_output=True, text=True)
    return shutil.which(asked.stdout.strip())


PERL = 'my %h; $h{$_ % 700} .= "x$_" for 1 .. 20000; print join(",", sort keys %h)'
SQL = (
    "create table t(a, b); with recursive n(i) as (select 1 union all select i + 1 from n where "
    "i < 3000) insert into t select i, hex(i * 7919) from n; create index x on t(b); "
    "select count(*), max(b) from t where b like '%1%';"
)
PYTHON = "import json; print(len(json.dumps([{str(i): [i] * 9} for i in range(3000)])))"
C = "int f(int x) { int s = 0; for (int i = 0; i < x; i++) s += i * x; return s; }\n"


@pytest.mark.parametrize("program", ["perl", "sqlite3", "python", "cc1", "sort"])
def test_chains_are_those_of_libunwind(comparing, program, tmp_path):
    (tmp_path / "f.c").write_text(C + "int main(void) { return f(7); }\n")
    (tmp_path / "words").write_text("\n".join(str(i * 7919 % 10007) for i in range(20_000)))
    path = cc1() if program == "cc1" else shutil.which(program)
    command = {
        "perl": ["-e", PERL],
        "sqlite3": [":memory:", SQL],
        "python": ["-c", PYTHON],
        "cc1": ["-quiet", "-O2", "-o", os.devnull, "f.c"],
        "sort": ["--parallel=2", "words"],
    }[program]
    if program == "python":
        path = os.path.realpath(sys.executable)
    if path is None:
        pytest.skip(f"{program} is not here")
    environment = {
        **os.environ,
        "LD_PRELOAD": str(comparing),
        "CHAINS": str(tmp_path / "chains"),
        "JAXMEM_RECORDING": str(tmp_path / "log"),
        "JAXMEM_DEPTH": str(DEPTH),
        "JAXMEM_CHILDREN": "1",
        "PYTHONMALLOC": "malloc",
    }
    subprocess.run([path, *command], cwd=tmp_path, env=environment, check=True, capture_output=True)
    every, different = json.loads((tmp_path / "chains").read_text())
    assert every > 100
    assert different <= every / 1000
