"""A variational autoencoder of convolutions learns to draw pictures."""

import torch  # pyright: ignore[reportMissingImports]
from torch import nn  # pyright: ignore[reportMissingImports]

LATENT = 16


def run(*, steps: int = 10, batch: int = 32, side: int = 32) -> None:
    """Adam; what is drawn is compared pixel by pixel, and the code kept near a normal one."""
    code_side = side // 4
    encode = nn.Sequential(
        *(nn.Conv2d(1, 16, 4, 2, 1), nn.ELU(), nn.Conv2d(16, 32, 4, 2, 1), nn.ELU()),
        nn.Flatten(),
        nn.Linear(32 * code_side**2, 2 * LATENT),
    )
    decode = nn.Sequential(
        *(nn.Linear(LATENT, 32 * code_side**2), nn.ELU()),
        nn.Unflatten(1, (32, code_side, code_side)),
        *(nn.ConvTranspose2d(32, 16, 4, 2, 1), nn.ELU(), nn.ConvTranspose2d(16, 1, 4, 2, 1)),
    )
    optimizer = torch.optim.Adam([*encode.parameters(), *decode.parameters()], lr=1e-3)
    for _ in range(steps):
        pictures = torch.rand(batch, 1, side, side)
        mean, spread = encode(pictures).chunk(2, dim=1)
        code = mean + torch.exp(spread / 2) * torch.randn_like(spread)
        drawn = nn.functional.binary_cross_entropy_with_logits(decode(code), pictures)
        normal = (mean.square() + spread.exp() - 1 - spread).mean() / 2
        optimizer.zero_grad()
        (drawn + 0.01 * normal).backward()
        optimizer.step()
