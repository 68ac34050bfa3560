"""`adapt`: a trained network made fit for another laboratory's images, without labels or with a few."""
