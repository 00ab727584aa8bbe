"""What tests share: waiting, golden files, throw-away users, a real daemon."""
