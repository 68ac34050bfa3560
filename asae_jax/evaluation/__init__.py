"""Scores of a run with intervals, calibration, abstention, conformal sets, outlier scores, figures."""
