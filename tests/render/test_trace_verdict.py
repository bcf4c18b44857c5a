"""The sentence that `jaxmem trace info` ends with."""

import pytest

from jaxmem.render.trace_verdict import trace_verdict


def verdict(bounded, offline, **more) -> str:
    found = {"bounded": bounded, "offline": offline, "lower_bound": 1.0, **more}
    return trace_verdict({"headroom": found})


@pytest.mark.parametrize(
    ("bounded", "offline", "said"),
    [
        (
            {"best": 1.055, "first": 1.06},
            1.012,
            "best-fit needs 5.5 % over peak live, the best packing found 1.2 %: with every "
            "lifetime known, 4.1 % of the memory could be saved, and no other policy that played "
            "saves any of it.",
        ),
        (
            {"first": 1.3, "best": 1.25, "two_ended": 1.1},
            1.0,
            "best-fit needs 25.0 % over peak live, the best packing found 0 %: with every "
            "lifetime known, 20.0 % of the memory could be saved; two-ended, which knows none, "
            "saves 12.0 %.",
        ),
        (
            {"best": 1.0},
            1.0,
            "best-fit needs 0 % over peak live, which is the least there can be: nothing is left "
            "to gain.",
        ),
        (
            {"best": 1.02},
            1.02,
            "best-fit needs 2.0 % over peak live, and no better packing was found: at most 2.0 % "
            "is left to gain.",
        ),
        (
            {"best": 1.005},
            1.0001,
            "best-fit needs 0.5 % over peak live, the best packing found less than 0.1 %: little "
            "is left to gain, 0.5 % of the memory.",
        ),
        (
            {"worst": 1.5},
            1.2,
            "worst-fit needs 50.0 % over peak live, the best packing found 20.0 %: with every "
            "lifetime known, 20.0 % of the memory could be saved, and no other policy that played "
            "saves any of it.",
        ),
    ],
)
def test_the_sentence_says_what_is_left_to_gain_and_who_gains_it(bounded, offline, said):
    assert verdict(bounded, offline) == said


def test_what_pytorch_had_reserved_ends_the_sentence_where_it_is_told():
    reserved = {"recorded": 1.512, "by_its_rules": 1.4}
    said = verdict({"best": 1.0}, 1.0, caching_allocator=reserved)
    assert said.endswith("gain; PyTorch's own allocator had reserved 51.2 % over peak live.")
    assert "PyTorch" not in verdict({"best": 1.0}, 1.0, caching_allocator={"by_its_rules": 1.4})
