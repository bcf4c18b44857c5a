"""Work that several threads share: results in order, and what goes wrong ends it."""

import threading

import pytest

from jaxmem.recordings.abreast import abreast


def test_results_come_in_the_order_of_the_items():
    told = []
    assert abreast(lambda item: item * item, range(5), told.append) == [0, 1, 4, 9, 16]
    assert told == sorted(told)
    assert told[-1] == 1
    assert abreast(lambda item: item, []) == []


def test_the_first_is_done_before_the_others_begin():
    began = []
    abreast(lambda item: began.append((item, threading.current_thread().name)), range(4))
    assert began[0] == (0, threading.current_thread().name)
    assert sorted(item for item, _ in began) == [0, 1, 2, 3]


@pytest.mark.parametrize("at", [0, 1])
def test_an_interrupt_ends_the_work(at):
    began = []

    def find(item):
        began.append(item)
        if item == at:
            raise KeyboardInterrupt
        threading.Event().wait(0.01)

    with pytest.raises(KeyboardInterrupt):
        abreast(find, range(1_000))
    assert len(began) < 500


def test_what_report_raises_ends_the_work():
    def stop(done):
        raise SystemExit(3)

    began = []

    def find(item):
        began.append(item)
        threading.Event().wait(0.01)

    with pytest.raises(SystemExit):
        abreast(find, range(1_000), stop)
    assert len(began) < 500
