"""The evidence: sealed, verified, reported, archived, corroborated."""
