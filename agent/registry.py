"""Entry points `brain.drivers` to classes."""
