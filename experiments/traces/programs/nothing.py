"""The start and end of Python, with nothing between; its objects come from malloc too."""
