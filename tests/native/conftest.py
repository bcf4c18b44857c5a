"""C programs for tests of what is loaded into programs."""

import subprocess

import pytest


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """A cache of compiled programs for these tests, apart from the user's."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def own_cache(cache, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))


@pytest.fixture
def compiled(cache):
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
        (cache / "all.h").write_text(HEADERS)
        source, program = cache / f"{name}.c", cache / name
        source.write_text(text)
        if not program.exists():
            words = ["cc", "-O1", "-fno-builtin", "-pthread", "-w", f"-I{cache}"]
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
