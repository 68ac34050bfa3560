"""BloodMNIST: see README.md in this folder."""
