"""What `pyproject.toml` cannot say: recipes and data-set knowledge lie beside the package and travel inside it."""

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
