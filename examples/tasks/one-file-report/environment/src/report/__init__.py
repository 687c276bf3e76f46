"""Orders of a CSV file, in one currency."""
