"""Regular expressions are compiled and sought in lines of a log."""

import random
import re

PATTERNS = (
    r"(?P<address>\d{1,3}(?:\.\d{1,3}){3})",
    r'"(?:GET|POST) (/[\w/]*)(?:\?(\S*))?"',
    r"(?i)\b(error|warning|failed)\b.*?(\d+)",
    r"(\w+)=(\"[^\"]*\"|\S+)",
    r"\s+$|^\s+|(?<=\s)\s+",
)
LEVELS = ("info", "warning", "ERROR", "failed")


def line(random: random.Random) -> str:
    """A line as a server writes it."""
    address = ".".join(str(random.randint(0, 255)) for _ in range(4))
    path = "/".join("".join(random.choices("abcxyz", k=5)) for _ in range(random.randint(1, 4)))
    asked = f'"GET /{path}?user={random.randint(1, 99)}"'
    return f"{address}  {asked} {random.choice(LEVELS)} after={random.randint(1, 5000)} ms "


def main() -> None:
    """The last lines are kept, and what was found in all of them is counted."""
    source, kept, counts = random.Random(0), [], {}
    compiled = [re.compile(pattern) for pattern in PATTERNS]
    for _ in range(150):
        text = line(source)
        found = [pattern.findall(text) for pattern in compiled]
        counts[found[0][0]] = counts.get(found[0][0], 0) + len(found[3])
        kept = [*kept[-20:], (compiled[4].sub(" ", text), found)]


if __name__ == "__main__":
    main()
