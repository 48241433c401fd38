"""What was decided is shown, compared with the log, and exported."""
