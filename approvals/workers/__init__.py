"""What runs beside the service: jobs that repeat, and the delivery of notices."""
