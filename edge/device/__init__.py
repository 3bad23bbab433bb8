"""The machine: sensors, LED, systemd, journal, versions."""
