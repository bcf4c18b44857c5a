"""Two networks learn against each other: one draws pictures, one tells them from true ones."""

import torch  # pyright: ignore[reportMissingImports]
from torch import nn  # pyright: ignore[reportMissingImports]

LATENT = 32


def run(*, steps: int = 6, batch: int = 24) -> None:
    """Adam for each; the pictures that were drawn serve both."""
    draw = nn.Sequential(
        *(nn.Linear(LATENT, 48 * 4 * 4), nn.Unflatten(1, (48, 4, 4)), nn.BatchNorm2d(48)),
        *(nn.ReLU(), nn.ConvTranspose2d(48, 24, 4, 2, 1), nn.BatchNorm2d(24), nn.ReLU()),
        *(nn.ConvTranspose2d(24, 12, 4, 2, 1), nn.BatchNorm2d(12), nn.ReLU()),
        *(nn.ConvTranspose2d(12, 3, 4, 2, 1), nn.Tanh()),
    )
    judge = nn.Sequential(
        *(nn.Conv2d(3, 16, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(16, 32, 4, 2, 1)),
        *(nn.LeakyReLU(0.2), nn.Conv2d(32, 64, 4, 2, 1), nn.LeakyReLU(0.2)),
        *(nn.Flatten(), nn.Linear(64 * 4 * 4, 1)),
    )
    drawing = torch.optim.Adam(draw.parameters(), lr=2e-4, betas=(0.5, 0.999))
    judging = torch.optim.Adam(judge.parameters(), lr=2e-4, betas=(0.5, 0.999))
    softplus = nn.functional.softplus
    for _ in range(steps):
        true, drawn = torch.randn(batch, 3, 32, 32), draw(torch.randn(batch, LATENT))
        judging.zero_grad()
        (softplus(-judge(true)).mean() + softplus(judge(drawn.detach())).mean()).backward()
        judging.step()
        drawing.zero_grad()
        softplus(-judge(drawn)).mean().backward()
        drawing.step()
