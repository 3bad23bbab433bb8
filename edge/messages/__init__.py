"""Payloads, commands and topics. Pure: values in, JSON out, and back."""
