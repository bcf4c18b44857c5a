"""Whatever a person types: numbers, or one friendly sentence."""

import pytest

from jaxmem.app.text_fields import (
    Unclear,
    cells_of,
    layout_of,
    layout_text,
    random_layout,
    sizes_of,
    sizes_text,
)

LONG = "9" * 400
ODD_CELLS = [
    "", "   ", "0", "-3", "1000000000", "4097", LONG, "1e3", "12.5", "ten", "😀", "0x10", "1_0",
    "١٢", "nan", "inf", "100 cells", "<script>alert(1)</script>", "'; DROP TABLE", "1" * 30_000,
]  # fmt: skip
ODD_LAYOUTS = [
    "5", "5:", ":5", "a:b", "5:0", "5:-1", "-1:5", "0:101", "99:2", "100:1", "0:10, 9:2",
    "5:5, 5:5", "1:2:3", "😀:3", "5:1000000000", f"{LONG}:1", "[[1,2]", "[[1,2,3]]", "{}",
    ",".join("0:1" for _ in range(300)), "x" * 30_000,
]  # fmt: skip
ODD_SIZES = [
    "", " , ", "[]", "0", "-3", "101", "1000000000", "1e9", "8.5", "eight", "😀", "8 free",
    "free:1", "8 free:0", "8 free:2", "8 free:1 free:1", "8 free:x", "8 free:-1", "None", "nan",
    "__import__('os')", "٨", "8:9", ", ".join(["1"] * 1000), "8" * 30_000,
]  # fmt: skip


@pytest.mark.parametrize("text", ODD_CELLS)
def test_an_odd_memory_size_gets_a_sentence(text):
    assert_friendly(lambda: cells_of(text))


@pytest.mark.parametrize("text", ODD_LAYOUTS)
def test_odd_blocks_get_a_sentence(text):
    assert_friendly(lambda: layout_of(text, 100))


@pytest.mark.parametrize("text", ODD_SIZES)
def test_odd_sizes_get_a_sentence(text):
    assert_friendly(lambda: sizes_of(text, 100))


def assert_friendly(parse):
    with pytest.raises(Unclear) as unclear:
        parse()
    said = str(unclear.value)
    assert said[0].isupper() or said[0] in "'f"
    assert said.endswith((".", ")"))
    assert 20 < len(said) < 250
    assert "\n" not in said


def test_a_memory_size_may_have_spaces_around():
    assert cells_of(" 4096 ") == 4096


@pytest.mark.parametrize(
    "text", ["5:10, 25:5", "5:10 25:5", "[[5, 10], [25, 5]]", "5 : 10; 25:5", " 5:10,25:5, "]
)
def test_blocks_may_be_typed_as_one_likes(text):
    assert layout_of(text, 100) == ((5, 10), (25, 5))


def test_blocks_may_touch_each_other_and_the_walls():
    assert layout_of("0:5, 5:5, 10:90", 100) == ((0, 5), (5, 5), (10, 90))


def test_no_block_is_a_layout():
    assert layout_of("", 100) == layout_of("[]", 100) == ()


@pytest.mark.parametrize("text", ["8, 12, free:1, 5", "8 12 free:1 5", "[8, 12, 'free:1', 5]"])
def test_sizes_may_be_typed_as_one_likes(text):
    assert sizes_of(text, 100) == (8, 12, "free:1", 5)


def test_what_is_shown_can_be_typed_again():
    assert layout_of(layout_text(((5, 10), (25, 5))), 100) == ((5, 10), (25, 5))
    assert sizes_of(sizes_text((8, "free:1", 5)), 100) == (8, "free:1", 5)


@pytest.mark.parametrize("cells", [1, 2, 7, 100, 4096])
def test_random_holes_are_a_layout_and_the_same_for_a_seed(cells):
    for seed in range(20):
        layout = random_layout(cells, seed)
        assert layout_of(layout_text(layout), cells) == layout
        assert random_layout(cells, seed) == layout
    assert len({random_layout(100, seed) for seed in range(20)}) > 15
