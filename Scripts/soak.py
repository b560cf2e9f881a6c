#!/usr/bin/env python3
"""Overloads a server for a while with clients of which some vanish, and checks that it keeps its promises.

Every request of a set is first answered alone. Then many clients send them at once, far more than the server's slots
hold; a part of them hangs up in the middle. Whoever stays must get what was answered alone, or 429. In the end all
slots must be free and the memory must be what it was when the load had become steady.

    Scripts/soak.py --url http://127.0.0.1:8000 [--seconds 120] [--clients 48] [--pid PID]
"""
import argparse
import http.client
import json
import random
import sys
import threading
import time
import urllib.parse

WORDS = "the river carried small boats past old houses while children counted stones and birds over water".split()


def make_requests(seed):
    """Prompts of which many share their beginning; greedy and drawn answers."""
    rng = random.Random(seed)
    shared = " ".join(rng.choice(WORDS) for _ in range(120))
    requests = []
    for index in range(24):
        own = " ".join(rng.choice(WORDS) for _ in range(rng.randint(5, 160)))
        parameters = {"max_new_tokens": rng.randint(8, 120), "ignore_eos": True}
        if index % 3 == 0:
            parameters |= {"do_sample": True, "temperature": 0.9, "top_p": 0.9, "seed": 1000 + index}
        inputs = f"{shared} {own}" if index % 2 else own
        requests.append({"inputs": inputs, "parameters": parameters})
    return requests


class Client:
    def __init__(self, url):
        parts = urllib.parse.urlsplit(url)
        self.host, self.port = parts.hostname, parts.port or 80

    def get(self, path):
        connection = http.client.HTTPConnection(self.host, self.port, timeout=60)
        connection.request("GET", path)
        body = connection.getresponse().read().decode()
        connection.close()
        return body

    def generate(self, request, vanish_after=None):
        """The status and the text of an answer; the text is None when the client hung up itself."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=300)
        path = "/generate_stream" if vanish_after is not None else "/generate"
        connection.request("POST", path, json.dumps(request), {"Content-Type": "application/json"})
        response = connection.getresponse()
        if vanish_after is None:
            body = response.read()
            connection.close()
            if response.status != 200:
                return response.status, body.decode(errors="replace")
            return 200, json.loads(body)["generated_text"][0]
        for _ in range(vanish_after):
            if not response.readline():
                break
        connection.close()
        return response.status, None

    def metric(self, name):
        for line in self.get("/metrics").splitlines():
            if line.startswith(name + " ") or line.startswith(name + "{"):
                return float(line.rsplit(" ", 1)[1])
        return None


def resident(pid):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon:"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--clients", type=int, default=48)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--pid", type=int, help="of the server, to watch its memory")
    arguments = parser.parse_args()
    client = Client(arguments.url)
    requests = make_requests(arguments.seed)
    expected = [client.generate(request)[1] for request in requests]
    counts, failures, lock = {"answered": 0, "refused": 0, "vanished": 0}, [], threading.Lock()
    end = time.monotonic() + arguments.seconds

    def load(number):
        rng = random.Random(arguments.seed * 1000 + number)
        while time.monotonic() < end:
            index = rng.randrange(len(requests))
            vanishes = rng.random() < 0.3
            try:
                status, text = client.generate(requests[index], rng.randint(0, 40) if vanishes else None)
            except Exception as error:  # whatever a client may see go wrong
                with lock:
                    failures.append(f"request {index}: {error!r}")
                continue
            with lock:
                if status == 429:
                    counts["refused"] += 1
                elif status != 200:
                    failures.append(f"request {index}: status {status}: {text}")
                elif vanishes:
                    counts["vanished"] += 1
                elif text != expected[index]:
                    failures.append(f"request {index}: {text!r} instead of {expected[index]!r}")
                else:
                    counts["answered"] += 1
            if status == 429:
                time.sleep(rng.uniform(0.05, 0.3))

    threads = [threading.Thread(target=load, args=(number,)) for number in range(arguments.clients)]
    for thread in threads:
        thread.start()
    time.sleep(arguments.seconds / 4)
    before = resident(arguments.pid) if arguments.pid else None
    for thread in threads:
        thread.join()
    after = resident(arguments.pid) if arguments.pid else None
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and client.metric("lightllm_kv_slots_free") != client.metric("lightllm_kv_slots"):
        time.sleep(0.1)
    free, total = client.metric("lightllm_kv_slots_free"), client.metric("lightllm_kv_slots")
    hits = client.metric("lightllm_prefix_cache_hit_tokens_total")
    print(f"{counts['answered']} answered as alone, {counts['refused']} refused with 429, "
          f"{counts['vanished']} hung up, {len(failures)} failures")
    print(f"{free:.0f} of {total:.0f} slots free, {hits or 0:.0f} prompt tokens from the prefix cache")
    if before:
        print(f"memory {before / 1024:.1f} MiB after a quarter of the time, {after / 1024:.1f} MiB at the end")
    for failure in failures[:10]:
        print(failure[:400])
    grew = before and after > before * 1.03 + 4096
    if failures or free != total or not counts["answered"] or hits == 0 or grew:
        sys.exit(1)


main()
