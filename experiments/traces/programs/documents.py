"""JSON documents are made, written, read and changed."""

import json
import random


def document(random: random.Random, depth: int) -> object:
    """A tree of objects, lists, texts and numbers."""
    if depth == 0 or random.random() < 0.2:
        text = "".join(random.choices("abcdefgh ", k=random.randint(0, 60)))
        return random.choice([text, random.randint(0, 10**6), random.random(), None, True])
    below = [document(random, depth - 1) for _ in range(random.randint(1, 6))]
    return below if random.random() < 0.4 else {f"field {n}": b for n, b in enumerate(below)}


def main() -> None:
    """Some documents stay for longer than others."""
    source, kept = random.Random(0), {}
    for number in range(7):
        text = json.dumps(document(source, 4), indent=1 if number % 3 else None)
        kept[number] = json.loads(text)
        if number % 4 == 3:
            del kept[source.choice(sorted(kept))]


if __name__ == "__main__":
    main()
