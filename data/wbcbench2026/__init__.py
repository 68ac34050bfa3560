"""WBCBench 2026: see README.md in this folder."""
