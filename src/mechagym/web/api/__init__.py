"""The JSON API under `/api/v1`: additions only, old clients ignore new fields."""

API = "/api/v1"
"""Where every route of it begins."""
