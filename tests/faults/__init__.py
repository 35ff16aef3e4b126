"""Kills, signals and damage, against whole processes."""
