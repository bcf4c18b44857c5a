"""Logs of what a program asks C's allocator for: of ltrace, heaptrack, Android and Firefox."""

import pytest
from trace_samples import contents, read

from jaxmem.arena.arena import NEVER
from jaxmem.recordings import TraceError

ZERO = "allocations of zero bytes, counted as one byte: "
FAILED = "allocations that failed, left out: "
BEFORE = "frees of blocks from before the recording began, left out: "
OTHER = "lines that are no event, left out: "


ANDROID = """\
310: malloc 0xb6000010 48
311: calloc 0xb6000100 8 16
310: realloc 0xb6000200 0xb6000010 96
311: memalign 0xb6000300 32 64
311: free 0xb6000100
311: thread_done 0x0
310: free 0xb6000200
"""


def test_android_threads_share_one_order_of_events():
    recording = read(ANDROID)
    assert contents(recording) == ([48, 128, 96, 64], [3, 3, 2, NEVER])
    assert (recording.events, recording.peak_live) == (7, 288)
    assert recording.about.format == "android"
    assert recording.about.notes == ()


def test_android_tells_times_failures_and_reallocs_of_nothing():
    recording = read(
        "310: realloc 0xb600 0x0 40 100 200\n"
        "310: malloc 0x0 99999999999 200 300\n"
        "310: realloc 0x0 0xb600 99999999999 300 400\n"  # it fails: the block stays
        "310: malloc 0xb700 0 400 450\n"
        "310: realloc 0x0 0xb600 0 450 500\n"  # a free
        "310: free 0x0 500 510\n"
        "310: free 0xdead0 510 520\n"
        "310: thread_done 0x0 530\n"
        "310: malloc 0xb8"
    )
    assert contents(recording) == ([40, 1], [2, NEVER])
    assert set(recording.about.notes) == {f"{FAILED}2", f"{ZERO}1", f"{BEFORE}1", f"{OTHER}1"}


LOGALLOC = """\
901 901 malloc(32)=0x7f00001000
901 901 calloc(2,16)=0x7f00001040
901 901 free(0x7f00001000)
901 901 realloc(0x7f00001040,64)=0x7f00001080
"""


def test_a_log_of_firefox_is_read():
    recording = read(LOGALLOC)
    assert contents(recording) == ([32, 32, 64], [2, 2, NEVER])
    assert (recording.events, recording.peak_live) == (5, 96)
    assert recording.about.format == "logalloc"
    assert recording.about.notes == ()


def test_of_firefox_the_first_process_is_read_with_all_its_calls():
    recording = read(
        "Firefox says malloc(5)\n"
        "901 901 posix_memalign(256,240)=0x7f00\n"
        "902 907 malloc(7)=0x7f00\n"
        "901 905 aligned_alloc(64,128)=0x8000\n"
        "901 901 valloc(10)=0x9000\n"
        "901 901 memalign(32,20)=0xa000\n"
        "901 901 jemalloc_stats()\n"
        "901 901 malloc(99999999999)=0x0\n"
        "901 901 realloc(0x8000,0)=0x0\n"
        "901 901 free(0x0)\n"
        "902 907 free(0x7f00)\n"
        "901 901 malloc(3)=\n"
    )
    assert contents(recording) == ([240, 128, 10, 20], [NEVER, 3, NEVER, NEVER])
    assert set(recording.about.notes) == {
        f"{FAILED}1",
        "calls of other processes, left out: 2",
        f"{OTHER}2",
    }


def test_a_log_of_firefox_without_threads_is_read_as_old_ones_are():
    assert contents(read("9 malloc(5)=0x10\n9 free(0x10)\n9 malloc(6)=0x10\n")) == (
        [5, 6],
        [1, NEVER],
    )


LTRACE = """\
310 p->malloc(101)                               = 0x55d0
310 libstdc++.so.6->calloc(3, 7)                 = 0x55e0
310 p->posix_memalign(0x7ffe1148e408, 64, 300, 0) = 0
310 p->memalign(128, 77, 0x55, 18)               = 0x5600
310 p->strdup("malloc(9)")                       = 0x5700
310 p->free(0x5700)                              = <void>
310 p->malloc(4611686018427387904)               = 0
310 p->realloc(0x5600, 0)                        = 0
310 p->operator new(unsigned long)(24 <unfinished ...>
310 libstdc++.so.6->malloc(24)                   = 0x5800
310 <... operator new(unsigned long) resumed> )  = 0x5800
310 p->operator delete(void*)(0x5800, 1, 2 <unfinished ...>
310 libstdc++.so.6->free(0x5800)                 = <void>
310 <... operator delete(void*) resumed> )       = <void>
310 p->free(nil)                                 = <void>
310 p->reallocarray(0, 3, 20, 0)                 = 0x5900
hi malloc(3) = 0x10, says the program
310 +++ exited (status 0) +++
"""


def test_ltrace_tells_what_a_call_does_and_not_what_it_calls_in_turn():
    recording = read(LTRACE)
    assert contents(recording) == ([101, 21, 77, 24, 60], [NEVER, NEVER, 1, 1, NEVER])
    assert recording.about.program == "p"
    assert set(recording.about.notes) == {
        f"{FAILED}1",
        "allocations whose address or size is not in the file, left out: 1",
        "frees of blocks whose allocation is not in the file, left out: 1",
    }


@pytest.mark.parametrize(
    "before",
    [
        "",
        "310 ",
        "[pid 310] ",
        "02:29:36 ",
        "310 02:29:36.980970 ",
        "1510617255.621613 ",
        "  0.000123 ",
        "310 02:29:36.980970 [0x5627d003a280] ",
        "libc.so.6->",
        "310 program-1.2->",
    ],
)
def test_ltrace_puts_many_things_before_a_call(before):
    recording = read(
        f"{before}malloc(5) = 0x10 <0.000089>\n{before}free(0x10) = <void>\n"
        f"{before}malloc@libc.so.6(0x20) = 0x30\n{before}realloc(NULL, 7) = 0x40\n"
    )
    assert recording.about.format == "ltrace"
    assert contents(recording) == ([5, 32, 7], [1, NEVER, NEVER])


def test_in_ltrace_the_instruction_is_the_call_site():
    recording = read("[0x55] malloc(5) = 0x10\n[0x56] malloc(5) = 0x20\n[0x55] malloc(5) = 0x30\n")
    assert recording.site is not None
    assert recording.site.tolist() == [0, 1, 0]


def test_in_ltrace_another_thread_can_get_an_address_before_a_call_ends():
    recording = read(
        "1 malloc(10) = 0x10\n"
        "1 malloc(20) = 0x20\n"
        "1 realloc(0x10, 11 <unfinished ...>\n"
        "2 malloc(12) = 0x10\n"
        "2 free(0x20 <unfinished ...>\n"
        "3 malloc(13) = 0x20\n"
        "2 <... free resumed> ) = <void>\n"
        "1 <... realloc resumed> ) = 0x30\n"
        "3 free(0x20) = <void>\n"
    )
    # The first block of 20 ends before the 13 bytes, and the 10 bytes after the 11.
    assert contents(recording) == ([10, 20, 12, 13, 11], [5, 2, NEVER, 2, NEVER])
    assert recording.about.notes == ()


def test_in_ltrace_a_block_stays_where_its_realloc_fails():
    recording = read(
        "1 malloc(10) = 0x10\n1 realloc(0x10, 99 <unfinished ...>\n1 <... realloc resumed> ) = 0\n"
        "1 malloc(11) = 0x20\n1 free(0x10) = <void>\n"
    )
    assert contents(recording) == ([10, 11], [2, NEVER])
    assert recording.about.notes == (f"{FAILED}1",)


HEAPTRACK = """\
v 10400 3
X ./program -x
I 1000 5e2921
s a /tmp/a + 1
t 1 0
a 20 1
+ 0
a 30 2
+ 1
c 1a
- 0
R 12
+ 0
+ 0
- 0
"""


def test_heaptrack_tells_sizes_call_stacks_and_the_program():
    recording = read(HEAPTRACK)
    # Of two live blocks of 0x20 bytes the last one is taken to be freed.
    assert contents(recording) == ([32, 48, 32, 32], [2, NEVER, NEVER, 1])
    assert recording.site is not None
    assert recording.site.tolist() == [0, 1, 0, 0]
    assert recording.about.program == "./program -x"
    assert recording.about.notes == (
        "frees that fit several live blocks of one size and call stack, put to the last of them: 1",
    )


RAW = "x a /tmp/a\nX ./a\n- dead0\n+ 20 1 7f10\n+ 0 2 7f20\n+ 20 1 7f30\n- 7f10\n+ 5 1 7f30\nA\n"


@pytest.mark.parametrize("version", ["v 10400 3", "v 10100 1", "v 10000"])
def test_raw_files_of_heaptrack_tell_blocks_apart(version):
    recording = read(f"{version}\n{RAW}")
    assert contents(recording) == ([32, 1, 32, 5], [3, NEVER, 1, NEVER])
    assert set(recording.about.notes) == {
        f"{BEFORE}1",
        f"{ZERO}1",
        "blocks whose free is not in the file: they end where their address is used again: 1",
    }


SCRIPT = "# heap of a small program\na 1 16\na 2 32\n\n# grow the second\nr 2 64\nf 1\nf 2\n"


def test_a_script_of_cs107_is_read_with_its_comments():
    recording = read(SCRIPT)
    assert contents(recording) == ([16, 32, 64], [3, 2, 1])
    assert (recording.events, recording.peak_live) == (6, 112)
    assert recording.about.format == "malloc-lab"


FAULTS = {
    "android: huge": (f"1: malloc 0x10 {2**63}\n", "line 1: size 9223372036854775808"),
    "android: only frees": ("1: free 0x10\n", "line 2: no allocation"),
    "logalloc: huge": (f"1 1 calloc({2**62},2)=0x10\n", "line 1: size 9223372036854775808"),
    "ltrace: huge": (f"calloc({2**62}, 2) = 0x10\n", "line 1: size 9223372036854775808"),
    "ltrace: empty": ("malloc(5) = 0\n", "line 2: no allocation"),
    "heaptrack: unknown pair": ("v 10400 3\na 20 1\n+ 5\n", "line 3: '\\+ 5', and 1 lines with a"),
    "heaptrack: cut pair": ("v 10400 3\na 20\n", "line 2: 'a 20' is not whole"),
    "heaptrack: no number": ("v 10400 3\na 20 zz\n", "line 2: 'zz' in 'a 20 zz' is no hexadecimal"),
    "heaptrack: huge": ("v 10400 3\n+ 8000000000000000 1 7f\n", "line 2: size 92233720368547758"),
    "script: unknown": ("# a\na 1 5\nf 2\n", "line 3: f of id 2, which is not live"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_wrong_is_named_with_its_line(fault):
    content, message = FAULTS[fault]
    with pytest.raises(TraceError, match=f"^trace.txt, {message}") as caught:
        read(content)
    assert len(str(caught.value).splitlines()) == 1
