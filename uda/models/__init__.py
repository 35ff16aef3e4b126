"""Backbones, heads and their averaged copies."""
