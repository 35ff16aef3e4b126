"""Annotation formats of object detection; every one is read to and from a BoxSet."""
