"""Shipped doubles, and one conformance suite per seam: for our tests and for those of others."""
