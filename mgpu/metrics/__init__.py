"""The exporter process: serves metrics of the scheduler to Prometheus."""
