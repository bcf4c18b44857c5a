"""What a user sets, as frozen dataclasses: checked when they are made, and without JAX."""
