"""An LSTM learns to tell what texts of varying length are about."""

import torch  # pyright: ignore[reportMissingImports]
from torch import nn  # pyright: ignore[reportMissingImports]

STEPS, BATCH, WORDS, WIDTH, CLASSES = 4, 16, 2000, 64, 5
SHORTEST, LONGEST = 8, 48  # words of a text


def run() -> None:
    """Every batch is as long as its longest text."""
    embed, cell = nn.Embedding(WORDS, WIDTH), nn.LSTMCell(WIDTH, WIDTH)
    classify = nn.Linear(WIDTH, CLASSES)
    parameters = [*embed.parameters(), *cell.parameters(), *classify.parameters()]
    optimizer = torch.optim.RMSprop(parameters, lr=1e-3)
    for _ in range(STEPS):
        lengths = torch.randint(SHORTEST, LONGEST, (BATCH,))
        words = torch.randint(WORDS, (BATCH, int(lengths.max())))
        hidden = torch.zeros(BATCH, WIDTH), torch.zeros(BATCH, WIDTH)
        outputs = []
        for vector in embed(words).unbind(1):
            hidden = cell(vector, hidden)
            outputs.append(hidden[0])
        last = torch.stack(outputs, 1)[torch.arange(BATCH), lengths - 1]
        loss = nn.functional.cross_entropy(classify(last), torch.randint(CLASSES, (BATCH,)))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
