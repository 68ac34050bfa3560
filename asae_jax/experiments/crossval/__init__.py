"""Cross-validation: a run of each fold, and what they say together of every image."""
