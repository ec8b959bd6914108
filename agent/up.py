"""Plays PID 1 on a laptop."""
