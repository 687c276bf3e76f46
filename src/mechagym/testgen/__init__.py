"""Tests for a task, made from its instruction and its untouched box alone."""
