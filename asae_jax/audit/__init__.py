"""What is wrong, or would mislead, in a data set: found before anything is trained on it."""

NOTICE = "For research, not a diagnosis."
