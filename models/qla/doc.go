// Package qla provides a causal language model of gated delta rule layers, laid
// out as Qwen3-Next and Qwen3.5 lay out their linear-attention layers.
//
// # Overview
//
//	model, err := qla.New(qla.Config{Layers: 4, Hidden: 128}, tensor.Key(0))
//	...
//	logits := model.Forward(tape, ids) // [B, T] → [B, T, vocab]
//
// A model is an embedding, blocks and an output layer, tied to the embedding or
// not. A block adds two branches to the stream, each behind a zero-centred
// RMSNorm: a GatedDeltaNet, which mixes tokens, and a SwiGLU. Parameters carry
// Hugging Face's names, such as model.layers.0.linear_attn.A_log.
//
// Generate continues a prompt. It carries a Cache, whose size does not grow with
// the sequence, so a token costs the same wherever it stands. Save writes the
// weights together with the Config to one safetensors file, and Load rebuilds
// the model from it.
//
// # Lifetime
//
// Parameters live as long as the model; what Forward computes belongs to the
// tape. A Cache holds tensors until Close. Generate frees everything itself.
//
// # Memory
//
// Until the backward pass, a layer holds for each token
//
//	4·Hidden + 4·Intermediate + 3·(2·Hk·K + Hv·V) + 2·Hk·K + 5·Hv·V
//
// elements and a few per head, beside the states that package gateddelta tells:
// 13.5 KiB a token with the default sizes. On a GPU, where norms and convolutions
// are kernels, it is 2·Hk·K + 3·Hv·V elements less. A Cache holds for each sequence
// and layer (ConvWidth−1)·(2·Hk·K + Hv·V) + Hv·K·V elements.
//
// # Errors
//
// Bad settings, files and prompts are errors that name everything that is wrong.
// Shapes and token ids that don't fit a Forward panic with *tensor.Error.
package qla
