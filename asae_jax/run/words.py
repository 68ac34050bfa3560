"""What choices of the settings are called in plain words, in the terminal and on pages."""

LAYERS = {
    "none": "plain network",
    "asae": "with the ASAE layer in training",
    "dropout": "with dropout",
    "spatial_dropout": "with spatial dropout",
    "maxdrop": "with MaxDrop",
    "dropblock": "with DropBlock",
    "adl": "with an attention-based dropout layer",
    "diversification": "with a diversification block",
}
"""Of `model.branching`."""

LOSSES = {
    "ce": "cross entropy",
    "gce": "gradient-boosting cross entropy (GCE)",
    "gmmce": "the paper's cross entropy over few classes (GMMCE)",
    "focal": "focal loss",
    "class_balanced": "cross entropy, rare classes weighted up",
    "logit_adjusted": "cross entropy, adjusted for how frequent the classes are",
}
"""Of `loss.name`."""

SAMPLERS = {
    "balanced": "each with equally many images of every class",
    "shuffled": "in a new random order each epoch",
    "weighted": "drawn so that every class is equally likely",
}
"""Of `data.sampler`, said of batches."""
