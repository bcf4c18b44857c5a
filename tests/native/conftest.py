"""C programs for tests of what is loaded into programs."""

import subprocess

import pytest


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
