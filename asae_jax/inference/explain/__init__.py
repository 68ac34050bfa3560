"""`explain`: pictures of what a trained run looks at, and a test of whether it needs that."""
