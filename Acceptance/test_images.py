"""Images: LightLLM's README's queries as they stand there but for the address and the file, and the SDKs' messages."""
import ast
import base64
import contextlib
import io
import json
import pathlib
import re
import unittest

import openai
import requests

from support import ROOT, server
from test_curl import at

VISION = ROOT / "Tests" / "Fixtures" / "goldens" / "vision"
LAUNCH = ["--enable_multimodal", "--cache_capacity", "1000", "--trust_remote_code"]

# LightLLM's README.
QWEN_VL = """
import time
import requests
import json
import base64

url = 'http://localhost:8080/generate'
headers = {'Content-Type': 'application/json'}

uri = "/local/path/of/image" # or "/http/path/of/image"
if uri.startswith("http"):
    images = [{"type": "url", "data": uri}]
else:
    with open(uri, 'rb') as fin:
        b64 = base64.b64encode(fin.read()).decode("utf-8")
    images=[{'type': "base64", "data": b64}]

data = {
    "inputs": "<img></img>Generate the caption in English with grounding:",
    "parameters": {
        "max_new_tokens": 200,
        # The space before <|endoftext|> is important, the server will remove the first bos_token_id, but QWen tokenizer does not has bos_token_id
        "stop_sequences": [" <|endoftext|>"],
    },
    "multimodal_params": {
        "images": images,
    }
}

response = requests.post(url, headers=headers, data=json.dumps(data))
if response.status_code == 200:
    print(response.json())
else:
    print('Error:', response.status_code, response.text)
"""

QWEN_VL_CHAT = """
import json
import requests
import base64

def run_once(query, uris):
    images = []
    for uri in uris:
        if uri.startswith("http"):
            images.append({"type": "url", "data": uri})
        else:
            with open(uri, 'rb') as fin:
                b64 = base64.b64encode(fin.read()).decode("utf-8")
            images.append({'type': "base64", "data": b64})

    data = {
        "inputs": query,
        "parameters": {
            "max_new_tokens": 200,
            # The space before <|endoftext|> is important, the server will remove the first bos_token_id, but QWen tokenizer does not has bos_token_id
            "stop_sequences": [" <|endoftext|>", " <|im_start|>", " <|im_end|>"],
        },
        "multimodal_params": {
            "images": images,
        }
    }

    # url = "http://127.0.0.1:8080/generate_stream"
    url = "http://127.0.0.1:8080/generate"
    headers = {'Content-Type': 'application/json'}
    response = requests.post(url, headers=headers, data=json.dumps(data))
    if response.status_code == 200:
        print(" + result: ({})".format(response.json()))
    else:
        print(' + error: {}, {}'.format(response.status_code, response.text))

run_once(
    uris = [
        "assets/mm_tutorial/Chongqing.jpeg",
        "assets/mm_tutorial/Beijing.jpeg",
    ],
    query = "<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n<|im_start|>user\\n<img></img>\\n<img></img>\\n上面两张图片分别是哪两个城市？请对它们进行对比。<|im_end|>\\n<|im_start|>assistant\\n根据提供的信息，两张图片分别是重庆和北京。<|im_end|>\\n<|im_start|>user\\n这两座城市分别在什么地方？<|im_end|>\\n<|im_start|>assistant\\n"
)
"""

LLAVA = QWEN_VL.replace(
    '"<img></img>Generate the caption in English with grounding:"',
    '"A chat between a curious human and an artificial intelligence assistant. The assistant gives helpful, '
    "detailed, and polite answers to the human's questions. USER: <image>\\nPlease explain the picture. ASSISTANT:\"",
).replace('        "stop_sequences": [" <|endoftext|>"],\n', "")


def images(folder):
    """The image files of a checkpoint's recorded cases."""
    return sorted(str(path) for path in folder.iterdir() if path.suffix in (".png", ".jpg"))


def said(program, address, files):
    """What a README's program prints, run with these files for its own."""
    program = at(program, address)
    for name, file in zip(["/local/path/of/image", "assets/mm_tutorial/Chongqing.jpeg"], files):
        program = program.replace(f'"{name}"', json.dumps(file))
    if len(files) > 1:
        program = program.replace('"assets/mm_tutorial/Chongqing.jpeg"', json.dumps(files[0]))
        program = program.replace('"assets/mm_tutorial/Beijing.jpeg"', json.dumps(files[1]))
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(program, "README", "exec"), {"__name__": "__main__"})
    return output.getvalue()


def answer(text):
    """The answer in what a README's program printed."""
    found = re.search(r"\{'generated_text'.*\}", text)
    assert found, text
    return ast.literal_eval(found.group())


def counted(address, name):
    """A number of the server's metrics."""
    text = requests.get(f"{address}/metrics", timeout=30).text
    return float(re.search(rf"^{name}(?:_total)? ([0-9.e+]+)$", text, re.MULTILINE)[1])


class ImageTests(unittest.TestCase):
    @contextlib.contextmanager
    def serving(self, name):
        folder = VISION / name
        with server(str(folder), *LAUNCH, "--max_total_token_num", "12000", "--max_req_total_len", "4000") as (address, _):
            yield address, images(folder)

    def test_qwen_vl(self):
        queries = json.loads((VISION / "qwen_vl" / "config.json").read_text())["visual"]["n_queries"]
        with self.serving("qwen_vl") as (address, files):
            one = answer(said(QWEN_VL, address, files[:1]))
            self.assertGreater(one["prompt_tokens"], queries)
            self.assertEqual(answer(said(QWEN_VL, address, files[:1])), one)
            two = answer(said(QWEN_VL_CHAT, address, files[:2]))
            self.assertGreater(two["prompt_tokens"], 2 * queries)
            self.assertEqual(counted(address, "lightllm_images_encoded"), 2)

    def test_llava(self):
        for name in ["llava", "llava_original"]:
            with self.subTest(name), self.serving(name) as (address, files):
                one = answer(said(LLAVA, address, files[:1]))
                self.assertGreater(one["prompt_tokens"], 16)

    def test_images_that_are_not_there(self):
        with self.serving("llava") as (address, files):
            text = said(LLAVA.replace("<image>", ""), address, files[:1])
            self.assertIn("Error: 400", text)
            self.assertIn("invalid image tag num: 1 vs 0!", text)

    def test_openai(self):
        for name in ["llava", "qwen_vl", "qwen2_vl", "internvl_phi3"]:
            with self.subTest(name), self.serving(name) as (address, files):
                client = openai.OpenAI(base_url=f"{address}/v1", api_key="none")

                def ask(*parts, **more):
                    return client.chat.completions.create(
                        model="x", max_tokens=8, temperature=0,
                        messages=[{"role": "user", "content": list(parts)}], **more)

                def image(file):
                    data = base64.b64encode(pathlib.Path(file).read_bytes()).decode()
                    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}

                text = {"type": "text", "text": "What is in the picture, not <image>?"}
                none, one, two = ask(text), ask(image(files[0]), text), ask(image(files[0]), text, image(files[1]))
                self.assertLess(none.usage.prompt_tokens, one.usage.prompt_tokens)
                self.assertLess(one.usage.prompt_tokens, two.usage.prompt_tokens)
                streamed = "".join(
                    chunk.choices[0].delta.content or ""
                    for chunk in ask(image(files[0]), text, stream=True) if chunk.choices)
                self.assertEqual(streamed, one.choices[0].message.content)
                response = client.responses.create(
                    model="x", max_output_tokens=16, input=[{
                        "role": "user", "content": [
                            {"type": "input_text", "text": "a"},
                            {"type": "input_image", "detail": "auto", "image_url": image(files[0])["image_url"]["url"]},
                        ]}])
                self.assertEqual(response.status in ("completed", "incomplete"), True)
                with self.assertRaises(openai.BadRequestError):
                    ask({"type": "image_url", "image_url": {"url": "http://169.254.169.254/a.png"}}, text)


if __name__ == "__main__":
    unittest.main()
