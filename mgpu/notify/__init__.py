"""The notifier process: sends what the scheduler hands over, by webhook and mail."""
