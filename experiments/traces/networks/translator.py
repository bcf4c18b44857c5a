"""A transformer with encoder and decoder learns to translate sentences of varying length."""

import torch  # pyright: ignore[reportMissingImports]
from torch import nn  # pyright: ignore[reportMissingImports]

WORDS, WIDTH = 1000, 64
SHORTEST = 6  # words of a sentence


def run(*, steps: int = 3, batch: int = 8, longest: int = 40) -> None:
    """AdamW; every step has sentences of other lengths."""
    embed = nn.Embedding(WORDS, WIDTH)
    model = nn.Transformer(WIDTH, 4, 2, 2, 4 * WIDTH, dropout=0.1, batch_first=True)
    write = nn.Linear(WIDTH, WORDS)
    parameters = [*embed.parameters(), *model.parameters(), *write.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=1e-3)
    for _ in range(steps):
        source, target = (
            torch.randint(WORDS, (batch, int(torch.randint(SHORTEST, longest, ()))))
            for _ in range(2)
        )
        later = nn.Transformer.generate_square_subsequent_mask(target.shape[1] - 1)
        states = model(embed(source), embed(target[:, :-1]), tgt_mask=later)
        loss = nn.functional.cross_entropy(write(states).flatten(0, 1), target[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
