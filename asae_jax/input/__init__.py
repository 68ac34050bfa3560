"""From images on disk, or made up, to batches on the host: table, split, preparation, cache, order, feed."""
