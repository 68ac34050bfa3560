"""What a trained run is used for: predict, explain, export."""
