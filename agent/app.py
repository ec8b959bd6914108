"""The composition root of the coordinator."""
