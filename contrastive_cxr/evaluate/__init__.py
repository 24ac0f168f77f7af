"""Arrays in, values out: scores, neighbours, intervals and blind baselines. No torch, no file, no model."""
