"""Which GPUs there are and who uses them: from NVIDIA's driver, or simulated ones."""
