"""PBC_dataset_normal_DIB: see README.md in this folder."""
