"""Verifiers: what the task's own tests say, read so that nobody but the tests decides."""
