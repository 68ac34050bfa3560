"""`export`: a trained run in the forms that other programs read, each compared with the network."""
