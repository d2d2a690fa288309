"""What is there, or supposed: devices, hosts, and how they are named."""
