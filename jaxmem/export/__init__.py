"""Policies for other programs: as C, as StableHLO, and as a page to be read."""
