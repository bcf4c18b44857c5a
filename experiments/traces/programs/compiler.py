"""Programs are parsed, walked over and compiled by Python's own compiler."""

import ast
import random


def program(random: random.Random) -> str:
    """A few functions with loops, conditions and sums."""
    lines = []
    for number in range(random.randint(2, 4)):
        lines += [f"def function_{number}(a, b=({number}, 'text'), *more):", "    total = a"]
        for step in range(random.randint(2, 10)):
            sums = " + ".join(
                f"(a * {random.randint(1, 99)} - b[{n}])" for n in range(step % 4 + 1)
            )
            lines.append(f"    for x_{step} in range({step}):")
            lines.append(f"        total = {sums} if x_{step} > {step} else [x_{step}, total]")
        lines.append("    return {'total': total, **dict(enumerate(more))}")
    return "\n".join(lines)


def main() -> None:
    """The code of the last few programs is kept; the trees go when it is made."""
    source, kept = random.Random(0), []
    for number in range(2):
        tree = ast.parse(program(source))
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        kept = [*kept[-3:], (names, compile(tree, f"program {number}", "exec"))]


if __name__ == "__main__":
    main()
