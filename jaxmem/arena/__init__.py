"""The arena: which cells of memory are free, where a request fits, and how fragmented it is."""
