"""Turns events into what others read: ATIF trajectories, Harbor's job folders, without secrets."""
