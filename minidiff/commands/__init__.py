"""One file a command: its help (the file's docstring), its arguments, and what it does."""
