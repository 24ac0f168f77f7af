"""What recipes and settings reach: the published systems, phase 2, label-free training. Each writes a result file."""
