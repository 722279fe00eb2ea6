"""What the controllers of all kinds share: store, work queue, sync loop, status writer, lease."""
