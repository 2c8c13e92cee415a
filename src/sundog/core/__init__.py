"""What every room may use: errors, records, run folder, statistics, progress, seeds."""
