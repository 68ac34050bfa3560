"""What a trained run is used for, a folder for each command, and beside them what several of them share.

The commands: `predict`, `explain`, `embed`, `adapt`, `export`, `slide` and `cut`. None imports from the
folder of another.
"""
