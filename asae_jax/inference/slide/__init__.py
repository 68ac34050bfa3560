"""Labelled cells on their slides: GeoJSON for QuPath, tasks for Label Studio."""
