"""The node: training, aggregation, privacy, MQTT and the command line around `consensus`."""
