"""Status records and the supervision table behind the watchdog."""
