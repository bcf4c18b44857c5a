"""The environment as other people's trainers expect it; each module needs the extra of its name."""

from jaxmem import extensions

extensions.load()  # workloads, rewards and observations of others are tasks of trainers, too
