"""TOML and drop-ins to typed config."""
