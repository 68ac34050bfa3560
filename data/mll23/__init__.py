"""MLL23: see README.md in this folder."""
