"""OpenVINO GenAI engines of Qwen2.5-VL: graphs exported from the checkpoint, weights compressed, cache hidden."""
