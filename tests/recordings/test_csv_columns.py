"""Columns that CSV files have beside the necessary ones, and blocks of zero bytes."""

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trace_samples import contents

from jaxmem.arena.arena import NEVER
from jaxmem.recordings import Recording, TraceError, read_trace_bytes

ZERO = "allocations of zero bytes, counted as one byte: 1"


def read(text: str) -> Recording:
    return read_trace_bytes(text.encode(), "trace.csv", 1000)


def test_minimallocs_offsets_are_left_out_with_a_note():
    recording = read("id,lower,upper,size,offset\nw1,0,4,8,16\nw2,4,9,8,16\nw3,0,9,16,0\n")
    assert contents(recording) == ([8, 16, 8], [2, 2, 1])
    assert (recording.peak_live, recording.about.format) == (24, "minimalloc")
    assert recording.about.notes == (
        "buffers with an offset, a place in a packing, which is left out: 3",
    )


def test_minimallocs_alignments_and_gaps_are_left_out_with_a_note():
    recording = read(
        "id,lower,upper,size,alignment,gaps\nw1,0,8,64,32,\nw2,2,9,64,1,4-6\nw3,1,3,32,1,\n"
    )
    assert (recording.requests, recording.peak_live) == (3, 160)
    assert set(recording.about.notes) == {
        "buffers with an alignment, which is left out: 1",
        "buffers with gaps, which are left out: they are live from beginning to end: 1",
    }


def test_columns_that_say_nothing_make_no_note():
    assert read("id,lower,upper,size,alignment,hint,gaps\nw1,0,8,64,1,-1,\n").about.notes == ()


@pytest.mark.parametrize(
    "header", ["buffer,start,end,size", "buffer_id,begin,end,size", "id,lower,end,size"]
)
def test_in_minimallocs_older_format_a_buffer_is_live_at_its_end_too(header):
    old = read(f"{header}\nx,0,2,10\ny,2,4,20\nz,3,3,30\n")
    new = read("id,lower,upper,size\nx,0,3,10\ny,2,5,20\nz,3,4,30\n")
    assert contents(old) == contents(new) == ([10, 20, 30], [2, 2, 1])


def test_an_end_before_the_start_is_named_as_the_file_names_it():
    with pytest.raises(TraceError, match="line 2: start 5 and end 4; end must be at least start"):
        read("buffer,start,end,size\nx,5,4,10\n")


@pytest.mark.parametrize(
    "header",
    ["id,lower,upper,end,size", "id,buffer,lower,upper,size", "id,lower,upper,size,offset,offset"],
)
def test_a_column_given_twice_is_refused(header):
    with pytest.raises(TraceError, match="unknown header"):
        read(f"{header}\n")


def test_events_with_a_site_keep_it():
    recording = read("op,id,size,site\na,1,8,main\na,2,9,f:3\nf,1,,\na,3,7,main\na,4,6,\n")
    assert contents(recording) == ([8, 9, 7, 6], [2, NEVER, NEVER, NEVER])
    assert recording.site is not None
    assert recording.site.tolist() == [0, 1, 0, -1]
    assert read("site,op,size,id\nmain,a,8,1\n").site is not None


def test_where_no_event_has_a_site_there_are_none():
    assert read("op,id,size,site\na,1,8,\nf,1,,\n").site is None


def test_a_block_of_zero_bytes_counts_as_one():
    events = read("op,id,size\na,1,0\na,2,5\nf,1,\n")
    assert (contents(events), events.about.notes) == (([1, 5], [2, NEVER]), (ZERO,))
    buffers = read("id,lower,upper,size\nw1,0,5,0\nw2,1,4,16\n")
    assert (contents(buffers), buffers.about.notes) == (([1, 16], [2, 1]), (ZERO,))


PIECES = (*",\n-0", "id", "end", "lower", "site", "gaps", "x", "9" * 20)


@settings(max_examples=200)
@given(
    st.sampled_from(
        [
            "op,id,size,site\na,1,8,main\na,2,9,f:3\nf,1,,\n",
            "id,lower,upper,size,alignment,gaps\nw1,0,8,64,32,\nw2,2,9,64,1,4-6\n",
            "buffer,start,end,size,hint,offset\nx,0,2,10,-1,0\ny,2,4,20,3,16\n",
        ]
    ),
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 9), st.sampled_from(PIECES))),
)
def test_no_change_of_a_file_does_more_than_raise_a_trace_error(text, changes):
    for at, length, piece in changes:
        text = text[:at] + piece + text[at + length :]
    with suppress(TraceError):
        assert read(text).requests
