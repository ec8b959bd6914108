"""The `brain` command, one file a group of verbs."""
