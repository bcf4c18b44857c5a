"""A small language model writes texts: what it remembers of each word grows with every one."""

import torch  # pyright: ignore[reportMissingImports]
from torch import nn  # pyright: ignore[reportMissingImports]

WORDS, WIDTH, HEADS, LAYERS = 800, 64, 4, 3


class Block(nn.Module):
    """Attention to the words so far, then two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(2))
        self.ask, self.answer = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.think = nn.Sequential(
            nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH)
        )

    def forward(self, x, past):
        """x [B, T, WIDTH] and keys and values [B, HEADS, S, D] of the words before."""
        heads = self.ask(self.norms[0](x)).unflatten(2, (3 * HEADS, -1)).transpose(1, 2)
        query, key, value = heads.chunk(3, dim=1)
        if past is not None:
            key, value = torch.cat([past[0], key], 2), torch.cat([past[1], value], 2)
        attend = nn.functional.scaled_dot_product_attention
        found = attend(query, key, value, is_causal=past is None)
        x = x + self.answer(found.transpose(1, 2).flatten(2))
        return x + self.think(self.norms[1](x)), (key, value)


def run(*, texts: int = 2, batch: int = 4, longest: int = 40) -> None:
    """Each text begins with words that are given, of which there are other numbers each time."""
    embed, write = nn.Embedding(WORDS, WIDTH), nn.Linear(WIDTH, WORDS)
    blocks = nn.ModuleList(Block() for _ in range(LAYERS))
    with torch.no_grad():
        for _ in range(texts):
            words = torch.randint(WORDS, (batch, int(torch.randint(4, longest // 2, ()))))
            text, past = [words], [None] * LAYERS
            while sum(part.shape[1] for part in text) < longest:
                x = embed(text[-1])
                for number, block in enumerate(blocks):
                    x, past[number] = block(x, past[number])
                chances = write(x[:, -1]).softmax(1)
                text.append(torch.multinomial(chances, 1))
