"""Pure functions on logits, per example."""
