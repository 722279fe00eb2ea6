"""Plans the queries of a twin's metrics, and turns the answers into samples with a quality. No I/O."""
