"""Slow, literal versions of published formulas, for comparison in tests."""
