"""Consistency objectives: target x gate x divergence."""
