"""How each engine spells each lever: flags, fields, environment variables.

Where they were read: vLLM 0.33's and SGLang 0.5.23's sources; the documentation of TensorRT-LLM
(the YAML of `trtllm-serve --config`), of llama.cpp's server, OpenVINO GenAI 2026.4 and Ollama.
A field of a request is written with a dot in front, after the path that it has in the body.
"""

from __future__ import annotations

from typing import NamedTuple

ENGINES = ("openvino", "llamacpp", "vllm", "sglang", "trtllm", "ollama")


class Spelling(NamedTuple):
    """`sure` is False for a name that we recall and have not found in a source or documentation."""

    text: str
    sure: bool = True

    def __str__(self) -> str:
        return self.text if self.sure else f"{self.text} ?"


_OPENAI_STREAM = Spelling(".stream")
_OPENAI_BUDGET = Spelling(".max_tokens")

SPELLINGS: dict[str, dict[str, Spelling]] = {
    "batch_limit": {
        # Its own max_num_seqs does nothing while prompts are taken in pieces (seen with 2026.4.1),
        # so the limit is kept where requests are handed to it.
        "openvino": Spelling("requests handed to the pipeline at once"),
        "llamacpp": Spelling("n_parallel (-np)"),
        "vllm": Spelling("--max-num-seqs"),
        "sglang": Spelling("--max-running-requests"),
        "trtllm": Spelling("max_batch_size"),
        "ollama": Spelling("OLLAMA_NUM_PARALLEL"),
    },
    "step_tokens": {
        "openvino": Spelling("SchedulerConfig.max_num_batched_tokens"),
        "llamacpp": Spelling("n_batch, n_ubatch (-b, -ub)"),
        "vllm": Spelling("--max-num-batched-tokens"),
        "sglang": Spelling("--chunked-prefill-size"),
        "trtllm": Spelling("max_num_tokens, with enable_chunked_prefill: true"),
        "ollama": Spelling(".options.num_batch"),
    },
    "prefix_cache": {
        "openvino": Spelling("SchedulerConfig.enable_prefix_caching"),
        "llamacpp": Spelling("cache_prompt (--cache-prompt)"),
        "vllm": Spelling("--enable-prefix-caching, --no-enable-prefix-caching"),
        "sglang": Spelling("--disable-radix-cache"),
        "trtllm": Spelling("kv_cache_config.enable_block_reuse"),
    },
    "kv_cache": {
        "openvino": Spelling("KV_CACHE_PRECISION"),
        "llamacpp": Spelling("cache_type_k, cache_type_v (-ctk, -ctv)"),
        "vllm": Spelling("--kv-cache-dtype"),
        "sglang": Spelling("--kv-cache-dtype"),
        "trtllm": Spelling("kv_cache_config.dtype"),
        "ollama": Spelling("OLLAMA_KV_CACHE_TYPE"),
    },
    "weights": {
        "openvino": Spelling("another GGUF file, made of the first"),
        "llamacpp": Spelling("another GGUF file, made of the first"),
        "vllm": Spelling("--quantization"),
        "sglang": Spelling("--quantization"),
        "trtllm": Spelling("the checkpoint's own quantisation"),
        "ollama": Spelling("the model's tag"),
    },
    "precision": {
        "openvino": Spelling("INFERENCE_PRECISION_HINT"),
        "vllm": Spelling("--dtype"),
        "sglang": Spelling("--dtype"),
        "trtllm": Spelling("dtype"),
    },
    "sparse_attention": {
        "openvino": Spelling("SchedulerConfig.sparse_attention_config.mode"),
        "vllm": Spelling("--attention-backend, for models that are trained so"),
        "sglang": Spelling("--attention-backend dsa, for models that are trained so"),
        "trtllm": Spelling("sparse_attention_config.algorithm"),
    },
    "cache_eviction": {
        "openvino": Spelling("SchedulerConfig.cache_eviction_config.max_cache_size"),
    },
    "speculation": {
        "openvino": Spelling("prompt_lookup, max_ngram_size"),
        "llamacpp": Spelling("speculative.types (--spec-type)"),
        "vllm": Spelling("--speculative-config"),
        "sglang": Spelling("--speculative-algorithm"),
        "trtllm": Spelling("speculative_config.decoding_type"),
    },
    "draft_tokens": {
        "openvino": Spelling("num_assistant_tokens"),
        "llamacpp": Spelling("--spec-draft-n-max"),
        "vllm": Spelling("num_speculative_tokens of --speculative-config"),
        "sglang": Spelling("--speculative-num-draft-tokens", sure=False),
        "trtllm": Spelling("speculative_config.max_draft_len"),
    },
    "threads": {
        "openvino": Spelling("INFERENCE_NUM_THREADS"),
        "llamacpp": Spelling("n_threads (-t)"),
        "ollama": Spelling(".options.num_thread"),
    },
    "model": {
        "openvino": Spelling("the GGUF file that is loaded"),
        "llamacpp": Spelling("model.path (-m)"),
        "vllm": Spelling("vllm serve MODEL"),
        "sglang": Spelling("--model-path"),
        "trtllm": Spelling("trtllm-serve MODEL"),
        "ollama": Spelling(".model"),
    },
    "context_limit": {
        "openvino": Spelling("checked by our server"),
        "llamacpp": Spelling("n_ctx (-c), divided by the slots"),
        "vllm": Spelling("--max-model-len"),
        "sglang": Spelling("--context-length"),
        "trtllm": Spelling("max_seq_len"),
        "ollama": Spelling(".options.num_ctx"),
    },
    "cache_gb": {
        "openvino": Spelling("SchedulerConfig.cache_size"),
        "vllm": Spelling("--kv-cache-memory-bytes"),
        "sglang": Spelling("--mem-fraction-static"),
        "trtllm": Spelling("kv_cache_config.free_gpu_memory_fraction"),
    },
    "queue_limit": {
        "openvino": Spelling("checked by our server"),
        "vllm": Spelling("--max-num-queued-reqs"),
        "sglang": Spelling("--max-queued-requests"),
        "ollama": Spelling("OLLAMA_MAX_QUEUE"),
    },
    "stream": dict.fromkeys(ENGINES, _OPENAI_STREAM),
    "output_budget": {
        **dict.fromkeys(ENGINES, _OPENAI_BUDGET),
        "ollama": Spelling(".options.num_predict"),
    },
    "reasoning": {
        "llamacpp": Spelling("--reasoning-budget, --reasoning-effort"),
        "vllm": Spelling(".reasoning_effort, .thinking_token_budget"),
        "ollama": Spelling(".think", sure=False),
    },
    "offline_batch": {
        "vllm": Spelling("vllm run-batch"),
        "sglang": Spelling("its offline engine"),
    },
}


def spelt(lever: str, engine: str) -> Spelling | None:
    """How that engine spells that lever; None where it has no such thing that we know of."""
    return SPELLINGS.get(lever, {}).get(engine)
