"""Real cells for a first look: `--config.data.source=demo`."""
