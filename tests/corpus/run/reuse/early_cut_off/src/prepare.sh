# Counts.
seq 3
