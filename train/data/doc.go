// Package data turns text into batches for byte-level language models, and fits
// the n-gram baselines that such a model has to beat.
//
// # Corpora
//
// [Load] reads a file or a folder and [GoStandardLibrary] the sources of the Go
// installation; both give a [Corpus], which is plain bytes with the file
// boundaries remembered. [Corpus.Split] holds out whole files. Every step is
// deterministic: the same files give the same bytes, the same split and, with
// the same seed, the same batches.
//
// # Batches
//
// A [Sampler] draws training windows at random and never ends. Its position is
// a small [SamplerState] that marshals to JSON; a sampler restored from it goes
// on exactly where the other one stood. [Windows] cuts a held-out text into
// windows that do not overlap, for evaluation.
//
// # Baselines
//
// An [NGram] counts bytes in their contexts. For a fair comparison fit it on
// [Sampler.Seen], which is every byte that the sampler has shown so far and no
// other, and evaluate it on the batches that the model is evaluated on.
//
// # Lifetime
//
// Nothing here refers to tensors or has to be closed. A Corpus, a Batch and the
// slices they return may be kept for as long as wanted; the bytes of a corpus
// must not be changed while a sampler reads them. A Sampler or an NGram serves
// one goroutine at a time; a Corpus and batches may be read by many.
//
// # Errors
//
// Everything that depends on files or on sizes returns an error that names what
// was expected and what came. A missing path still answers to errors.Is(err,
// fs.ErrNotExist). Nothing panics.
package data
