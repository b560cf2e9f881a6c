"""Starts the LightLLM server, a native program, from Python: see `lightllm.launch`."""
