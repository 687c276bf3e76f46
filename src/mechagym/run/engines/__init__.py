"""Engines: what spreads trials over this machine, or over many."""
