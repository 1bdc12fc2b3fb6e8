"""What the end-to-end tests are made of: real plugins, runtimes and network namespaces."""
