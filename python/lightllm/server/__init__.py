"""Where LightLLM keeps the modules that are run by name."""
