"""MQTT: the connection to the broker, for the daemon, which publishes, and for commands, which subscribe."""
