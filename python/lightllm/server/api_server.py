"""`python -m lightllm.server.api_server --model_dir …` is `lightllm serve --model_dir …`."""
from lightllm.launch import serve

if __name__ == "__main__":
    serve()
