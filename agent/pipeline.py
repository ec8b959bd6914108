"""Ingest, processors, store, sinks, with group commit."""
