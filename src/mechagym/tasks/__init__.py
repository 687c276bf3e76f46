"""Task folders and datasets: read, checked, never written to."""
