"""The only door in."""
