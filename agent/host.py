"""One driver's process: its ring, its beats, its side of the ingest socket."""
