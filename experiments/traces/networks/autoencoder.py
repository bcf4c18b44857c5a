"""A variational autoencoder of convolutions learns to draw pictures."""

import torch  # pyright: ignore[reportMissingImports]
from torch import nn  # pyright: ignore[reportMissingImports]

STEPS, BATCH, SIDE, LATENT = 10, 32, 32, 16


def run() -> None:
    """Adam; what is drawn is compared pixel by pixel, and the code kept near a normal one."""
    encode = nn.Sequential(
        *(nn.Conv2d(1, 16, 4, 2, 1), nn.ELU(), nn.Conv2d(16, 32, 4, 2, 1), nn.ELU()),
        nn.Flatten(),
        nn.Linear(32 * 8 * 8, 2 * LATENT),
    )
    decode = nn.Sequential(
        *(nn.Linear(LATENT, 32 * 8 * 8), nn.ELU(), nn.Unflatten(1, (32, 8, 8))),
        *(nn.ConvTranspose2d(32, 16, 4, 2, 1), nn.ELU(), nn.ConvTranspose2d(16, 1, 4, 2, 1)),
    )
    optimizer = torch.optim.Adam([*encode.parameters(), *decode.parameters()], lr=1e-3)
    for _ in range(STEPS):
        pictures = torch.rand(BATCH, 1, SIDE, SIDE)
        mean, spread = encode(pictures).chunk(2, dim=1)
        code = mean + torch.exp(spread / 2) * torch.randn_like(spread)
        drawn = nn.functional.binary_cross_entropy_with_logits(decode(code), pictures)
        normal = (mean.square() + spread.exp() - 1 - spread).mean() / 2
        optimizer.zero_grad()
        (drawn + 0.01 * normal).backward()
        optimizer.step()
