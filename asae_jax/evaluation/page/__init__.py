"""The page of a run: what was trained, how good it is, what to look at, and how to go on."""
