"""One writer for TensorBoard, tables, progress and alarms."""
