"""One file per command: its help (the file's docstring), its arguments, and its implementation."""
