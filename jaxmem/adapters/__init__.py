"""The environment as other people's trainers expect it; each module needs the extra of its name."""
