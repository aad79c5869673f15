"""Classifiers: linear and transformer, their calibration and thresholds, and the folders that they are kept in."""
