"""A C compiler, cc1 -O2, translates functions that this makes up: loops, sums, calls, switches."""

import random
import sys

START = """
typedef struct {{ long value; int kind; double share; }} Part;
static Part parts[{parts}];
extern long other(long, const char *);
"""


def expression(source: random.Random, depth: int) -> str:
    """A sum or product of what a function knows."""
    if depth == 0 or source.random() < 0.2:
        leaves = (
            "a",
            "b",
            "i",
            "parts[i & 7].value",
            "parts[a & 3].kind",
            str(source.randint(1, 99)),
        )
        return source.choice(leaves)
    left, right = (expression(source, depth - 1) for _ in range(2))
    sign = source.choice(("+", "-", "*", "&", "^", "|", "<", "==", ">> 3 &", "/ 7 -"))
    return f"({left} {sign} {right})"


def statement(source: random.Random, depth: int, functions: int) -> str:
    """A loop, condition, switch, call or assignment, with others inside."""
    value = expression(source, 1 + depth)
    inner = statement(source, depth - 1, functions) if depth else f"b += {value};"
    kinds = [
        f"for (i = 0; i < {source.randint(3, 40)}; i++) {{ {inner} }}",
        f"if ({value} > b) {{ {inner} }} else b -= {expression(source, 1)};",
        f"while (a-- > {value}) {{ {inner} if (b == a) break; }}",
        f"parts[i & 7].value = {value}; {inner}",
        f"parts[b & 7].share *= {source.random():.3f} * ({value}); {inner}",
        f'b ^= other({value}, "text {source.randint(1, 99)}"); {inner}',
    ]
    cases = " ".join(f"case {n}: {inner} b = {expression(source, 1)}; break;" for n in range(3))
    kinds.append(f"switch ({value} & 3) {{ {cases} default: b++; }}")
    if functions:
        kinds.append(f"b += function_{source.randrange(functions)}(a, {value}); {inner}")
    return source.choice(kinds)


def main(seed: int = 0, functions: int = 6) -> None:
    """Functions call those before them."""
    source = random.Random(seed)
    print(START.format(parts=source.randint(8, 90)))
    for number in range(functions):
        statements = "\n    ".join(
            statement(source, 1, number) for _ in range(source.randint(1, 3))
        )
        storage = source.choice(("", "static __attribute__((noinline)) "))
        print(f"{storage}long function_{number}(long a, long b) {{\n    long i = a & 7;")
        print(f"    {statements}\n    return b;\n}}")
    calls = " + ".join(f"function_{number}(n, {number})" for number in range(functions))
    print(f"int main(int n, char **words) {{ return (int)({calls}); }}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
