"""The named queries of screens and of the JSON API: one function per question, no SQL elsewhere.

Each takes a `Reading` and gives a frozen value; `Store.ask` runs it. Lists and figures read trial
rows and rollups; only what shows one trial reads its events.
"""
