"""The machine: sensors, LED, systemd, the journal, versions."""
