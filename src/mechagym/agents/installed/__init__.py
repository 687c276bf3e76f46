"""Agents that are programs of others: put on the host once, mounted read-only into every box.

Their models are reached through the box's door alone: no key, no other way out.
"""
