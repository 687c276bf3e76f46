"""Suites that every implementation of a seam must pass, ours and those of others."""
