"""Finds what is wrong or misleading in a data set, before anything is trained on it."""
