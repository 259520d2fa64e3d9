"""Rows scored on a cluster, by Spark or by Ray. What a Spark worker is sent imports little:
spark_worker."""
