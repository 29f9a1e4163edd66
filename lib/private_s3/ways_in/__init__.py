"""The ways onto an instance for its checks: Run Command, OpenSSH, and a person's own hands."""
