"""The guard rail: a small parser of shell commands, and rules on what they would do."""

from mechagym.agents.map.monitor.rules import RulesMonitor, signature

__all__ = ["RulesMonitor", "signature"]
