"""The registry's HTTP API, one module per noun. Endpoints translate; what may happen is decided elsewhere."""
