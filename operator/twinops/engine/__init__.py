"""One twin's life without Kubernetes: its history, and the forecaster that learns from it."""
