"""What goes over the wire: topics, sealed envelopes, packets of bodies, typed messages."""
