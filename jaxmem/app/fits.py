"""The rules in words: what each does, where it shines and where it fails, and one picture.

All pictures show one memory: twelve cells have just been placed between the second and the third
block, and five are asked for. Where each rule puts them is its `example`, so that the page need not
wait for anything, and tested against the rules themselves.
"""

from jaxmem.render import strip
from jaxmem.render.memory import FIRST_LAYOUT_OWNER, Stretch, with_holes
from jaxmem.render.palette import NEVER, lifetime_colours, policy_colour, policy_title
from jaxmem.rules import RULES, Rule

PICTURED_CELLS = 64
PICTURED_LAYOUT = ((0, 4), (12, 3), (27, 2), (36, 2), (48, 2), (56, 1))
SIZES = (12, 5)
FIRST_START = 15  # where every rule puts the twelve cells: no other hole holds them

LEARNED_RULE = Rule(
    "learned",
    policy_title("learned"),
    policy_colour("learned"),
    "A small network reads every hole that fits, at either end: its length, its neighbours and "
    "their ages, the request, the state of the memory. It was shown, for many placements, how "
    "many later requests fail after each of them. It takes the place that it thinks is worth "
    "most; Play shows what it thinks of the others.",
    "Tesauro and Galperin 1996, On-line Policy Improvement using Monte-Carlo Search; "
    "docs/how-it-works.md",
)
TOLD = (*(rule for rule in RULES.values() if rule.words), LEARNED_RULE)


def rule_picture(rule: Rule) -> str:
    """The memory with what the rule does, as a bar; nothing for a rule without a picture."""
    if rule.example is None:
        return ""
    blocks = [
        Stretch(at, many, FIRST_LAYOUT_OWNER - k) for k, (at, many) in enumerate(PICTURED_LAYOUT)
    ]
    memory = with_holes([*blocks, Stretch(FIRST_START, SIZES[0], 0)], PICTURED_CELLS)
    goes = Stretch(rule.example, SIZES[1], 1)
    return strip.bar(memory, lifetime_colours([NEVER] * len(SIZES)), goes, colour=rule.colour)
