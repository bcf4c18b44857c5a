"""C that runs inside other programs, shipped as source and compiled once on the user's machine."""
