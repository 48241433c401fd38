"""An approval is issued, spent, and reported on."""
