"""What every room uses: failures that a caller can cause, metrics, memory, processes, CSV tables, progress lines,
folders that are written whole or not at all.
"""
