"""Bone-Marrow-Cytomorphology_MLL_Helmholtz_Fraunhofer: see README.md in this folder."""
