"""Puts the folders configs/ and data/ into the package, which `pyproject.toml` alone cannot say."""

from setuptools import find_packages, setup

setup(
    packages=[
        *find_packages(include=["asae_jax", "asae_jax.*"]),
        "asae_jax.recipes",
        "asae_jax.datasets",
        *(f"asae_jax.datasets.{name}" for name in find_packages("data")),
    ],
    package_dir={"asae_jax.recipes": "configs", "asae_jax.datasets": "data"},
)
