"""Logs of every version of valgrind are read whole, and what they do not show is said."""

import re
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxmem.arena.arena import NEVER
from jaxmem.recordings import Recording, TraceError, read_trace_bytes


def read(log: str) -> Recording:
    return read_trace_bytes(log.encode(), "heap.log", 10_000)


EVERY_WAY = """\
==9== Memcheck, a memory error detector
==9== Command: ./a.out --fast
a line of the program: --9-- it says
--9-- malloc(0) = 0x4A00000
--9-- calloc(10,8) = 0x4A00100
--9-- memalign(al 64, size 100) = 0x4A00200
--9-- _ZnwmSt11align_val_t(size 32, al 64) = 0x4A00300
--9-- _Znwm(16) = 0x4A00400
--9-- realloc(0x0,50)malloc(50) = 0x4A00500
--9-- realloc(0x4A00500,60) = 0x4A00500
--9-- malloc_usable_size(0x4A00500) = 60
--9-- malloc(99999) = 0x0
--9-- realloc(0x4A00500,99999) = 0x0
--9-- realloc(0x4A00400,0)free(0x4A00400)
--9--  = 0
--9-- free(0x0)
--9-- free(0x4AFFFF0)
--10-- malloc(7) = 0x4A00700
--9-- _ZdlPvm(0x4A00300)
--9-- malloc(5)
"""


def test_valgrind_knows_every_way_to_ask_for_memory():
    recording = read(EVERY_WAY)
    assert recording.size.tolist() == [1, 80, 100, 32, 16, 50, 60]
    # The realloc in place ends request 5 after request 6; then new and aligned new end.
    assert recording.lifetime.tolist() == [NEVER, NEVER, NEVER, 4, 3, 2, NEVER]
    assert recording.about.program == "./a.out --fast"
    assert set(recording.about.notes) == {
        "allocations of zero bytes, counted as one byte: 1",
        "allocations that failed, left out: 2",
        "frees of blocks that the log never shows, left out: 1",
        "lines of other processes, left out: 1",
        "allocations whose result is not in the file, left out: 1",
    }


# What versions write: size and alignment of a new, alignment and size of a memalign.
SIZED = """\
==46== Using Valgrind-3.27.0 and LibVEX; rerun with -h for copyright info
==46== Command: ./sample
--46-- _Znwm(32) = 0x4DA2040
--46-- _ZdlPvm(0x4DA2040, 32)
--46-- _ZnwmSt11align_val_t(128, 64) = 0x4DA2100
--46-- _ZdlPvmSt11align_val_t(0x4DA2100, 128, 64)
--46-- _Znam(48) = 0x4DA2200
--46-- _ZdaPvm(0x4DA2200, 48)
--46-- memalign(64, 256) = 0x4DA2300
--46-- free(0x4DA2300)
--46-- posix_memalign(0x1FFEFFF8A0, 64, 512) = 0x4DA2500
--46-- free_sized(0x4DA2500, 512)
--46-- aligned_alloc(64, 1024) = 0x4DA2800
--46-- free_aligned_sized(0x4DA2800, 64, 1024)
"""
REALLOC_OF_NULL = """\
==44== Command: ./sample
--44-- realloc(0x0,300) = 0x4A42040
--44-- realloc(0x4A42040,600) = 0x4A42220
--44-- malloc(50) = 0x4A42500
--44-- realloc(0x4A42500,0) = 0x0
--44-- malloc(70) = 0x4A42600
--44-- free(0x4A42220)
--44-- free(0x4A42600)
"""
OLD_REALLOC_OF_NULL = """\
==44== Command: ./sample
--44-- realloc(0x0,300)malloc(300) = 0x4A42040
--44-- realloc(0x4A42040,600) = 0x4A42220
--44-- malloc(50) = 0x4A42500
--44-- realloc(0x4A42500,0)free(0x4A42500)
--44--  = 0x0
--44-- malloc(70) = 0x4A42600
--44-- free(0x4A42220)
--44-- free(0x4A42600)
"""
REALLOCARRAY = """\
==41== Command: ./sample
--41-- malloc(40) = 0x4A41040
--41-- reallocarray(0x4A41040,8,16) = 0x4A41100
--41--  = 0x4A41100
--41-- reallocarray(0x0,4,16) = 0x4A41200
--41--  = 0x4A41200
--41-- free(0x4A41100)
--41-- malloc(24) = 0x4A41300
--41-- free(0x4A41200)
--41-- free(0x4A41300)
"""
STAMPED = """\
==00:00:00:00.000 17886== Command: ./sample
--00:00:00:00.322 17886-- malloc(40) = 0x4A41040
--00:00:00:00.323 17886-- free(0x4A41040)
"""
LABELLED = """\
==46== Command: ./sample
--46-- memalign(alignment 64, size 256) = 0x4DA2300
--46-- zone_memalign(0x1000, al 64, size 300) = 0x4DA2500
--46-- malloc_zone_malloc(0x1000, 20) = 0x4DA2800
--46-- malloc_type_malloc(10, 0x5 (0, 0x1, 2, 0x3)) = 0x4DA2900
--46-- malloc_zone_free(0x1000, 0x4DA2800)
--46-- zone_realloc(0x1000,0x4DA2300,50) = 0x4DA2A00
--46-- zone_calloc(0x1000, 3,5) = 0x4DA2B00
"""
VERSIONS = {
    "sizes in frees": (SIZED, [32, 128, 48, 256, 512, 1024], [1] * 6, 1024),
    "realloc of nothing": (REALLOC_OF_NULL, [300, 600, 50, 70], [2, 3, 1, 1], 900),
    "realloc of nothing, old": (OLD_REALLOC_OF_NULL, [300, 600, 50, 70], [2, 3, 1, 1], 900),
    "reallocarray": (REALLOCARRAY, [40, 128, 64, 24], [2, 2, 2, 1], 192),
    "time stamps": (STAMPED, [40], [1], 40),
    "labels and zones": (
        LABELLED,
        [256, 300, 20, 10, 50, 15],
        [5, NEVER, 2, NEVER, NEVER, NEVER],
        256 + 300 + 10 + 50,
    ),
}


@pytest.mark.parametrize("version", VERSIONS)
def test_what_a_version_writes_is_read_whole_and_without_a_note(version):
    log, sizes, lifetimes, peak = VERSIONS[version]
    recording = read(log)
    assert recording.size.tolist() == sizes
    assert recording.lifetime.tolist() == lifetimes
    assert recording.peak_live == peak
    assert recording.about.program == "./sample"
    assert recording.about.notes == ()


def test_a_block_whose_address_is_not_told_is_left_out_with_its_free():
    recording = read(
        """\
==42== Command: ./sample
--42-- malloc(40) = 0x4A41040
--42-- posix_memalign(al 64, size 4096)
--42-- aligned_alloc(al 64, size 512)malloc(20) = 0x4A42100
--42-- free(0x4A43000)
--42-- free(0x4A42100)
--42-- free(0x4A44000)
--42-- free(0x4A41040)
"""
    )
    assert recording.size.tolist() == [40, 20]
    assert recording.events == 4
    assert recording.about.notes == ("allocations whose result is not in the file, left out: 2",)


def test_a_realloc_to_nothing_that_gives_a_block_is_one_byte():
    recording = read("--9-- malloc(8) = 0x10\n--9-- realloc(0x10,0) = 0x20\n")
    assert recording.size.tolist() == [8, 1]
    assert recording.lifetime.tolist() == [2, NEVER]


ALLOCATES = "--9-- malloc(5) = 0x20\n"


@pytest.mark.parametrize(
    ("begins", "note"),
    [
        ("", "frees of blocks from before the recording began, left out: 1"),
        ("==9== Command: ./a\n", "frees of blocks that the log never shows, left out: 1"),
        ("==8== Command: ./a\n", "frees of blocks from before the recording began, left out: 1"),
    ],
)
def test_only_where_a_log_can_have_begun_late_a_free_is_of_an_earlier_block(begins, note):
    assert read(f"{begins}--9-- free(0x10)\n{ALLOCATES}").about.notes == (note,)


def test_calls_of_unknown_functions_are_counted_and_named():
    calls = "".join(f"--9-- {name}(3) = 0x40\n" for name in ["grab", "grab", *"abcdefgh"])
    notes = read(ALLOCATES + calls + "--9-- mallopt(1, 2)\n").about.notes
    assert notes[0] == "calls of 'grab', which is no function known here, left out: 2"
    assert notes[-1] == "calls of further unknown functions, left out: 1"
    assert len(notes) == 9


def test_a_line_that_the_program_has_begun_is_read_to_its_end():
    assert read("a prompt> --9-- malloc(5) = 0x20\n--9-- free(0x20)\n").events == 2


def summary(allocations: str, frees: str, total: str, process: int = 9) -> str:
    return (
        f"=={process}==   total heap usage: {allocations} allocs, {frees} frees, "
        f"{total} bytes allocated\n"
    )


COUNTED = """\
==9== Command: ./a
--9-- malloc(1000) = 0x10
--9-- malloc(0) = 0x20
--9-- realloc(0x10,2000) = 0x30
--9-- realloc(0x30,99999) = 0x0
--9-- free(0x20)
"""


@pytest.mark.parametrize(
    ("end", "differences"),
    [
        (summary("3", "2", "3,000"), set()),
        (summary("4", "3", "102,999"), set()),  # with the one that failed
        (summary("1", "1", "9", process=8), set()),
        (
            summary("12", "1", "1,003,000"),
            {
                "allocations in valgrind's own total that the log does not show: 9",
                "frees that the log shows beyond valgrind's own total: 1",
                "bytes in valgrind's own total that the log does not show: 1,000,000",
            },
        ),
    ],
)
def test_where_valgrinds_own_total_differs_it_is_said(end, differences):
    notes = set(read(COUNTED + end).about.notes)
    assert notes - differences == {
        "allocations of zero bytes, counted as one byte: 1",
        "allocations that failed, left out: 1",
    }
    assert differences <= notes


UNTRACED = """\
==55== Memcheck, a memory error detector
==55== Using Valgrind-3.22.0 and LibVEX; rerun with -h for copyright info
==55== Command: ./sample
==55==
==55== HEAP SUMMARY:
==55==     in use at exit: 0 bytes in 0 blocks
"""


@pytest.mark.parametrize("usage", ["", summary("9", "9", "5,000", process=55)])
def test_a_log_without_calls_is_named_for_what_it_is(usage):
    message = "heap.log, line 1: a valgrind log without --trace-malloc=yes"
    with pytest.raises(TraceError, match=re.escape(message)):
        read(UNTRACED + usage)


def test_the_log_of_a_program_that_allocates_nothing_says_so():
    with pytest.raises(TraceError, match="no allocation"):
        read(UNTRACED + summary("0", "0", "0", process=55))


PIECES = (
    *"(), =0\n",
    "--9-- ",
    "==9== ",
    "0x10",
    "size ",
    "al ",
    "realloc",
    "free",
    "grab",
    "\ufffd",
)


@settings(max_examples=200)
@given(
    st.sampled_from([SIZED, LABELLED, REALLOCARRAY, COUNTED + summary("3", "2", "3,000")]),
    st.lists(st.tuples(st.integers(0, 600), st.integers(0, 9), st.sampled_from(PIECES))),
)
def test_no_change_of_a_log_does_more_than_raise_a_trace_error(log, changes):
    for at, length, piece in changes:
        log = log[:at] + piece + log[at + length :]
    with suppress(TraceError):
        assert read(log).requests


def test_a_total_without_digits_is_passed_over():
    assert read(ALLOCATES + summary(",", ",", ",")).about.notes == ()
