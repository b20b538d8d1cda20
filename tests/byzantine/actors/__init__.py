"""Members that lie: each an honest member with an actor between it and the network."""
