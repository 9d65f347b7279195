"""The HTTP API: it parses requests and builds responses."""
