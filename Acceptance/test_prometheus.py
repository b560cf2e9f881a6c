"""/metrics is what Prometheus's parser reads, under LightLLM's names and vLLM's, and counts what happened."""
import unittest

import requests
from prometheus_client.parser import text_string_to_metric_families

from support import MODEL_NAME, post, url

LIGHTLLM = {
    "lightllm_request_count": "counter", "lightllm_request_success": "counter",
    "lightllm_request_failure": "counter", "lightllm_request_inference_duration": "histogram",
    "lightllm_request_mean_time_per_token_duration": "histogram",
    "lightllm_request_first_token_duration": "histogram",
    "lightllm_request_queue_duration_bucket": "histogram", "lightllm_request_input_length": "histogram",
    "lightllm_request_generated_tokens": "histogram", "lightllm_request_max_new_tokens": "histogram",
    "lightllm_request_validation_duration": "histogram",
    "lightllm_batch_inference_count": "counter", "lightllm_batch_inference_duration_bucket": "histogram",
    "lightllm_batch_next_size": "histogram", "lightllm_cache_length": "histogram",
    "lightllm_cache_ratio": "histogram", "lightllm_batch_current_size": "gauge",
    "lightllm_batch_pause_size": "gauge", "lightllm_queue_size": "gauge",
    "lightllm_batch_current_max_tokens": "gauge",
}

VLLM = {
    "vllm:num_requests_running": "gauge", "vllm:num_requests_waiting": "gauge",
    "vllm:kv_cache_usage_perc": "gauge", "vllm:prefix_cache_queries": "counter",
    "vllm:prefix_cache_hits": "counter", "vllm:num_preemptions": "counter", "vllm:prompt_tokens": "counter",
    "vllm:generation_tokens": "counter", "vllm:request_success": "counter",
    "vllm:time_to_first_token_seconds": "histogram", "vllm:inter_token_latency_seconds": "histogram",
    "vllm:e2e_request_latency_seconds": "histogram", "vllm:request_queue_time_seconds": "histogram",
    "vllm:request_prompt_tokens": "histogram", "vllm:request_generation_tokens": "histogram",
    "vllm:iteration_tokens_total": "histogram", "vllm:cache_config_info": "gauge",
}


def scrape():
    answer = requests.get(url("/metrics"), timeout=20)
    assert answer.status_code == 200, answer.text
    return answer, list(text_string_to_metric_families(answer.text))


def value(families, name):
    return sum(sample.value for family in families for sample in family.samples if sample.name == name)


class MetricsTests(unittest.TestCase):
    def test_content_type(self):
        self.assertTrue(scrape()[0].headers["content-type"].startswith("text/plain; version=0.0.4"))

    def test_families(self):
        # A batch must have run for the metrics that only then appear.
        post("/generate", inputs="One, two,", parameters={"max_new_tokens": 2})
        types = {}
        for family in scrape()[1]:
            self.assertNotIn(family.name, types, "a family comes twice")
            types[family.name] = family.type
            self.assertNotEqual(family.documentation, "", family.name)
        for name, kind in {**LIGHTLLM, **VLLM}.items():
            with self.subTest(name):
                self.assertEqual(types.get(name), kind)

    def test_counts(self):
        before = scrape()[1]
        post("/generate", inputs="One, two,", parameters={"max_new_tokens": 3})
        refused = requests.post(url("/generate"), json={"inputs": 1, "parameters": {}}, timeout=20)
        self.assertEqual(refused.status_code, 400)
        after = scrape()[1]
        for name, more in {
            "lightllm_request_success_total": 1, "lightllm_request_failure_total": 1,
            "vllm:generation_tokens_total": 3, "vllm:prompt_tokens_total": 4,
            "lightllm_request_generated_tokens_sum": 3, "lightllm_request_generated_tokens_count": 1,
        }.items():
            with self.subTest(name):
                self.assertEqual(value(after, name) - value(before, name), more)

    def test_histograms_are_cumulative(self):
        for family in scrape()[1]:
            if family.type != "histogram":
                continue
            groups = {}
            for sample in family.samples:
                labels = tuple(sorted((k, v) for k, v in sample.labels.items() if k != "le"))
                groups.setdefault(labels, []).append(sample)
            for samples in groups.values():
                buckets = [s.value for s in samples if s.name == f"{family.name}_bucket"]
                count = [s.value for s in samples if s.name == f"{family.name}_count"]
                self.assertEqual(buckets, sorted(buckets), family.name)
                self.assertEqual([buckets[-1]], count, family.name)

    def test_labels_of_vllm(self):
        for family in scrape()[1]:
            for sample in family.samples:
                if family.name in VLLM and family.name != "vllm:cache_config_info":
                    self.assertEqual(sample.labels.get("model_name"), MODEL_NAME, sample.name)
