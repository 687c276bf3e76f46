"""Boxes to run commands in: one file or folder per backend behind the two protocols of `base`."""
