"""An LSTM learns to tell what texts of varying length are about."""

import torch  # pyright: ignore[reportMissingImports]
from torch import nn  # pyright: ignore[reportMissingImports]

WORDS, WIDTH, CLASSES = 2000, 64, 5
SHORTEST = 8  # words of a text


def run(*, steps: int = 4, batch: int = 16, longest: int = 48) -> None:
    """Every batch is as long as its longest text."""
    embed, cell = nn.Embedding(WORDS, WIDTH), nn.LSTMCell(WIDTH, WIDTH)
    classify = nn.Linear(WIDTH, CLASSES)
    parameters = [*embed.parameters(), *cell.parameters(), *classify.parameters()]
    optimizer = torch.optim.RMSprop(parameters, lr=1e-3)
    for _ in range(steps):
        lengths = torch.randint(SHORTEST, longest, (batch,))
        words = torch.randint(WORDS, (batch, int(lengths.max())))
        hidden = torch.zeros(batch, WIDTH), torch.zeros(batch, WIDTH)
        outputs = []
        for vector in embed(words).unbind(1):
            hidden = cell(vector, hidden)
            outputs.append(hidden[0])
        last = torch.stack(outputs, 1)[torch.arange(batch), lengths - 1]
        loss = nn.functional.cross_entropy(classify(last), torch.randint(CLASSES, (batch,)))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
