"""A U-net learns to mark the parts of pictures: what goes down is kept until it comes up again."""

import torch  # pyright: ignore[reportMissingImports]
from torch import nn  # pyright: ignore[reportMissingImports]

CLASSES = 4
WIDTHS = (8, 16, 32, 64)  # channels, from the finest level to the coarsest


def convolutions(inputs: int, outputs: int) -> nn.Sequential:
    """Two convolutions, each normalised over groups of channels."""
    layers = []
    for first in (inputs, outputs):
        layers += [nn.Conv2d(first, outputs, 3, padding=1), nn.GroupNorm(4, outputs), nn.SiLU()]
    return nn.Sequential(*layers)


class UNet(nn.Module):
    """Down by halves, and up again beside what was there on the way."""

    def __init__(self) -> None:
        super().__init__()
        finer = WIDTHS[:-1]
        self.first = convolutions(3, WIDTHS[0])
        self.down = nn.ModuleList(convolutions(w, 2 * w) for w in finer)
        self.wider = nn.ModuleList(nn.ConvTranspose2d(2 * w, w, 2, 2) for w in reversed(finer))
        self.up = nn.ModuleList(convolutions(2 * w, w) for w in reversed(finer))
        self.mark = nn.Conv2d(WIDTHS[0], CLASSES, 1)

    def forward(self, x):
        levels = [self.first(x)]
        for down in self.down:
            levels.append(down(nn.functional.max_pool2d(levels[-1], 2)))
        x = levels.pop()
        for wider, up in zip(self.wider, self.up, strict=True):
            x = up(torch.cat([levels.pop(), wider(x)], dim=1))
        return self.mark(x)


def run(*, steps: int = 4, batch: int = 4, side: int = 64) -> None:
    """Adam on pictures whose every pixel has a label."""
    model = UNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(steps):
        pictures = torch.randn(batch, 3, side, side)
        labels = torch.randint(CLASSES, (batch, side, side))
        loss = nn.functional.cross_entropy(model(pictures), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
