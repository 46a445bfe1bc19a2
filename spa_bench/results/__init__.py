"""From the log to what people read: results and tables."""
