"""`export`: a trained run in the formats that other programs read, each compared with the network."""
