"""The run folder on disk: written atomically by one process, read by everybody, never executed."""
