"""What all packages use: errors that a caller can cause, metrics, memory, processes, CSV tables, progress lines,
folders that are written atomically.
"""
