"""Protocol v2: any agent is told to write its own tests first, and whether it did is checked."""
