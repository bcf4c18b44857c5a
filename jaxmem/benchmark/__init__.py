"""How fast jaxmem is, beside what else one would write or use."""
