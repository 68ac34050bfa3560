"""From images to batches on the host: data-set index, split, preparation, cache, sampler, feed."""
