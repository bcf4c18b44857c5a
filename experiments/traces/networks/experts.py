"""A mixture of experts learns to predict words: how many go to which expert, the words decide."""

import torch  # pyright: ignore[reportMissingImports]
from torch import nn  # pyright: ignore[reportMissingImports]

WIDTH, EXPERTS, LAYERS, VOCABULARY = 48, 6, 2, 500


class Experts(nn.Module):
    """Each word goes through the one expert that a gate chooses for it."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.gate = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, EXPERTS)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH))
            for _ in range(EXPERTS)
        )

    def forward(self, x):
        inputs = self.norm(x)
        weight, chosen = self.gate(inputs).softmax(1).max(1)
        outputs = torch.zeros_like(x)
        for number, expert in enumerate(self.experts):
            own = torch.nonzero(chosen == number).squeeze(1)
            outputs = outputs.index_add(0, own, expert(inputs[own]) * weight[own, None])
        return x + outputs


def run(*, steps: int = 3, words: int = 256) -> None:
    """Adam, with gradients gathered over two halves of every step."""
    embed = nn.Embedding(VOCABULARY, WIDTH)
    layers, write = nn.Sequential(*(Experts() for _ in range(LAYERS))), nn.Linear(WIDTH, VOCABULARY)
    parameters = [*embed.parameters(), *layers.parameters(), *write.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=1e-3)
    for _ in range(steps):
        for _ in range(2):
            text = torch.randint(VOCABULARY, (words + 1,))
            logits = write(layers(embed(text[:-1])))
            nn.functional.cross_entropy(logits, text[1:]).div(2).backward()
        optimizer.step()
        optimizer.zero_grad()
