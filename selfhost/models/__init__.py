"""config.json -> architecture, tensors per rank, KV cache. Pure: bytes in, numbers out."""
