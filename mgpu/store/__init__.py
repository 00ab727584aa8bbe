"""Durable state: jobs, specs, payloads, the audit trail, answers to retried requests."""
