"""From what a sync has found to the status and the Events that people read. No I/O."""
