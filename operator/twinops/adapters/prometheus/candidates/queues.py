"""Message queues: RabbitMQ's own plugin, Kafka brokers by the JMX exporter, kafka_exporter.

Sources: RabbitMQ "Monitoring with Prometheus" (``rabbitmq_global_*`` counters), the JMX exporter rules
that Strimzi ships, danielqsj/kafka_exporter. Throughput is in messages per second that producers send.
"""

from __future__ import annotations

from twinops.adapters.prometheus.candidates.datastores import beside_or_apart
from twinops.adapters.prometheus.candidates.shapes import NAMESPACE, SCRAPED, Thing, newest, rate, share, total
from twinops.core.metrics.queries import Query

# The broker's totals stand beside its topics'.
_ALL_TOPICS = 'topic=""'
_PARTITION = Thing("topic, partition", f"instance, {SCRAPED.ways}")
_KAFKA = "kafka_server_brokertopicmetrics"

THROUGHPUT = (
    *beside_or_apart("rabbitmq", rate("rabbitmq_global_messages_received_total")),
    *beside_or_apart("kafka", rate(f"{_KAFKA}_messagesin_total", _ALL_TOPICS)),
    # Each replica of this exporter exports all partitions.
    Query(
        "kafka-exporter-apart",
        rate("kafka_topic_partition_current_offset", of=_PARTITION),
        NAMESPACE,
        needs_labels=True,
    ),
)

# Messages that no queue took; produce requests that failed.
ERRORS = (
    *beside_or_apart(
        "rabbitmq",
        share(
            rate("rabbitmq_global_messages_unroutable_dropped_total"), rate("rabbitmq_global_messages_received_total")
        ),
    ),
    *beside_or_apart(
        "kafka",
        share(
            rate(f"{_KAFKA}_failedproducerequests_total", _ALL_TOPICS),
            rate(f"{_KAFKA}_totalproducerequests_total", _ALL_TOPICS),
        ),
    ),
)

# Percentiles of brokers cannot be merged; the slowest broker's counts.
_PRODUCING = newest("kafka_network_requestmetrics_totaltimems", 'request="Produce"', 'quantile="0.95"')
LATENCY = beside_or_apart("kafka", f"max({_PRODUCING})")

CONNECTIONS = (
    *beside_or_apart("rabbitmq", total("rabbitmq_connections")),
    *beside_or_apart("kafka", total("kafka_server_socket_server_metrics_connection_count")),
)
