"""A text goes through a pipeline: words, their stems, an index of where they stand, an extract."""

import random
from collections import Counter, defaultdict
from collections.abc import Iterator

SYLLABLES = ("ba", "do", "ki", "lum", "mer", "no", "pa", "ras", "ti", "vu")


def sentences(random: random.Random, number: int) -> Iterator[str]:
    """Sentences of words that are made up; short ones come often."""
    for _ in range(number):
        words = (
            "".join(random.choices(SYLLABLES, k=min(4, int(random.expovariate(0.8)) + 1)))
            for _ in range(random.randint(4, 14))
        )
        yield " ".join(words).capitalize() + "."


def stems(sentence: str) -> list[str]:
    """The words without their endings."""
    words = sentence.lower().strip(".").split()
    return [word[:-2] if len(word) > 4 else word for word in words]


def main() -> None:
    """The index grows from text to text; of each text a short extract is kept."""
    source, index, extracts = random.Random(0), defaultdict(list), []
    for text in range(5):
        counts, lines = Counter(), list(sentences(source, 20))
        for place, line in enumerate(lines):
            for stem in stems(line):
                counts[stem] += 1
                index[stem].append((text, place))
        common = {stem for stem, _ in counts.most_common(5)}
        extracts.append(" ".join(line for line in lines if common & set(stems(line)))[:200])


if __name__ == "__main__":
    main()
