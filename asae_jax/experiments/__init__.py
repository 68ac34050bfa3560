"""The paper's tables and what else one would compare with, as a grid of ordinary training runs."""
