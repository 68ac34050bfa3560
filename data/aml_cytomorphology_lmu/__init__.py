"""AML-Cytomorphology_LMU: see README.md in this folder."""
