"""The embedded engine: the part of Ollama's HTTP API that the Forge uses, over llama.cpp's server."""
