"""`embed`: features of images, a map of them, and a probe of what they tell."""
