"""Labels that people gave: joined with the data of a run for the next one, and compared with each other."""
