"""The Modular Agentic Planner: plans, acts, guards, checks its work and decides after each turn."""
