"""Raabin-WBC: see README.md in this folder."""
