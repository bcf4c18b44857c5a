"""Compiles the C of this folder into the user's cache, once for each source and compiler."""

import os
import platform
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

from jaxmem.configuration import UsageError

# -Bsymbolic and hidden names: what the library calls inside itself, no program can replace.
OPTIONS = (
    *("-std=gnu11", "-O2", "-fPIC", "-shared", "-fno-omit-frame-pointer", "-fvisibility=hidden"),
    *("-Wl,-Bsymbolic", "-Wl,-z,now", "-ldl", "-lpthread"),
)
LIBRARY_OPTIONS = ("-std=c99", "-O2", "-fPIC", "-shared", "-fvisibility=hidden", "-lm")
COMPILING = 120  # seconds that a compiler may take


def built(name: str) -> Path:
    """Returns the library made of `name`.c, which can be loaded into programs ahead of others.

    Raises:
        UsageError: this is no Linux with glibc on x86-64, there is no compiler, it fails, or the
            path of the user's cache cannot be named to the dynamic loader.
    """
    unsuited = _unsuited()
    if unsuited:
        raise UsageError(f"it works on Linux with glibc on x86-64 only; this is {unsuited}")
    library = compiled(name, OPTIONS)
    if {" ", ":"} & set(str(library)):  # which part the names in LD_PRELOAD
        raise UsageError(
            f"it would be kept as {library}, whose path may have no space and no colon; set "
            "XDG_CACHE_HOME to another folder"
        )
    return library


def compiled(name: str, options: tuple[str, ...] = LIBRARY_OPTIONS) -> Path:
    """Returns the shared library made of `name`.c, which is compiled where it is not there yet.

    Raises:
        UsageError: there is no compiler, or it fails.
    """
    compiler = c_compiler()
    source = Path(__file__).with_name(f"{name}.c")
    # The compiler as it is now: its path, size and time tell when another one has come.
    facts = os.stat(compiler)
    made_of = repr((compiler, facts.st_size, facts.st_mtime_ns, options)).encode()
    key = sha256(source.read_bytes() + made_of).hexdigest()[:16]
    library = _cache() / f"{name}-{key}.so"
    if not library.is_file():
        compile_library(compiler, source, library, options)
    return library


def c_compiler() -> str:
    """Returns the path of the C compiler.

    Raises:
        UsageError: there is none.
    """
    compiler = shutil.which(os.environ.get("CC") or "cc")
    if compiler is None:
        raise UsageError("it is compiled on first use, and there is no C compiler: install gcc")
    return compiler


def _unsuited() -> str:
    """Says what this machine is, if not what the library is written for."""
    machine = platform.machine()
    if sys.platform != "linux" or machine not in ("x86_64", "AMD64"):
        return f"{sys.platform} on {machine or 'an unknown machine'}"
    return "" if platform.libc_ver()[0] == "glibc" else "Linux with another C library"


def _cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(home, "jaxmem", "native")


def compile_library(compiler: str, source: Path, library: Path, options: tuple[str, ...]) -> None:
    """Makes a shared library; raises as `compiled`."""
    # Renamed when it is whole: two runs at once, or one that is killed, leave nothing half made.
    partial = library.with_suffix(f".{os.getpid()}")
    try:
        library.parent.mkdir(parents=True, exist_ok=True)
        words = [compiler, "-o", str(partial), str(source), *options]
        done = subprocess.run(words, capture_output=True, text=True, timeout=COMPILING)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[0]
            raise UsageError(f"{compiler} cannot compile it: {reason}")
        partial.replace(library)
    except subprocess.TimeoutExpired:
        raise UsageError(f"{compiler} has not compiled it in {COMPILING} seconds") from None
    except OSError as error:
        raise UsageError(f"no room for it in {library.parent}: {error.strerror}") from None
    finally:
        partial.unlink(missing_ok=True)
