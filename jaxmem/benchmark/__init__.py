"""The speed of jaxmem, beside what else one would write or use."""
