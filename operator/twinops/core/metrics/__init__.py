"""What a metric is, which queries are asked for it, and what an answer is worth. No I/O."""
