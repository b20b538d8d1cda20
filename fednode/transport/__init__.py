"""How bytes reach the other nodes: one Protocol, an in-memory hub, MQTT, an embedded broker."""
