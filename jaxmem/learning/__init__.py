"""Learning to place: Q-learners on many arenas at once."""
