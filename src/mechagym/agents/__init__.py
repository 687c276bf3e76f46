"""Agents: what works on an instruction inside a box."""
