"""`predict`: a trained run on new images: classes, a differential count, and a page of the cells."""
