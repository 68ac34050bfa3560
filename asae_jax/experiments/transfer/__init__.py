"""What a run is worth in another laboratory: as it is, with each remedy of `adapt`, with all, with labels.

The remedies get images of the other laboratory's training part, and labels of some of them; every score is
of its test part, by which nothing is chosen. An answer is right only if it is the right one of *all* classes
that the run knows.
"""
