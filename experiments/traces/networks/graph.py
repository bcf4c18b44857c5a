"""A network learns a number for each of many graphs, no two with as many nodes and edges."""

import torch  # pyright: ignore[reportMissingImports]
from torch import nn  # pyright: ignore[reportMissingImports]

WIDTH, ROUNDS = 32, 3
FEWEST = 6  # nodes of a graph
DEGREE = 4  # edges for each node


def batch(graphs: int, most: int) -> tuple:
    """Graphs side by side: features [N, WIDTH], edges [2, E], and the graph of each node [N]."""
    nodes = torch.randint(FEWEST, most, (graphs,))
    graph = torch.repeat_interleave(torch.arange(graphs), nodes)
    first = torch.cumsum(nodes, 0) - nodes
    chosen = torch.randint(len(graph), (DEGREE * len(graph),))
    within = (torch.rand(len(chosen)) * nodes[graph[chosen]]).long()
    edges = torch.stack([chosen, first[graph[chosen]] + within])
    return torch.randn(len(graph), WIDTH), edges, graph


def run(*, steps: int = 10, graphs: int = 16, most: int = 40) -> None:
    """Adam; nodes send messages along edges and take the sum of what arrives."""
    message, update = (
        nn.ModuleList(nn.Sequential(nn.Linear(2 * WIDTH, WIDTH), nn.ReLU()) for _ in range(ROUNDS))
        for _ in range(2)
    )
    read = nn.Linear(WIDTH, 1)
    parameters = [*message.parameters(), *update.parameters(), *read.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=1e-3, foreach=False)
    for _ in range(steps):
        state, (source, target), graph = batch(graphs, most)
        for send, take in zip(message, update, strict=True):
            sent = send(torch.cat([state[source], state[target]], dim=1))
            arrived = torch.zeros_like(state).index_add(0, target, sent)
            state = state + take(torch.cat([state, arrived], dim=1))
        pooled = torch.zeros(graphs, WIDTH).index_add(0, graph, state)
        loss = (read(pooled).squeeze(1) - torch.randn(graphs)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
