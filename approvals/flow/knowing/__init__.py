"""What a process has read of the log, and holds rows to."""
