"""What things cost, each measured in turn with the bare thing in the same run."""
