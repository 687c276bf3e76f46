"""Trials and jobs: one agent on one task, and many of them with one frozen config."""
