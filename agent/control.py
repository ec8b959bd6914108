"""The local door for status, watch and commands."""
