"""Pictures of what a trained run looks at, and a measurement of whether that is what it needs."""
