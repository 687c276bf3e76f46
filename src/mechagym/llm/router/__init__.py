"""Which model does what: `models.yaml`, and the one order in which it decides."""
