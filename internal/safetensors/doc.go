// Package safetensors reads and writes the safetensors file format.
//
// # Overview
//
// A file is an 8-byte little-endian length, a JSON header of that length, and
// the data of all tensors, row-major and little-endian, without a gap:
//
//	{"__metadata__":{"format":"pt"},"w":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}
//
// [Open] and [ReadHeader] accept exactly the files whose header is consistent
// with itself and with the size of the file, so that whoever reads the data
// later needs no checks of its own: names are unique and free of NUL, every
// dtype is known, every dimension fits in 32 bits, the size of each tensor is
// that of its shape, and the tensors cover the data from its first byte to
// the last one of the file without overlaps.
//
// It is stricter than the reference library in that a dimension is at most
// 2^31-1 and a rank at most 64, names hold no NUL, no key comes twice, and an
// entry has no fields but dtype, shape and data_offsets. 8-bit and smaller
// floats and complex numbers are refused by name.
//
// [WriteFile] lays a file out as the reference library does. The same tensors
// and metadata always give the same bytes.
//
// [Header.EngineHeader] rewrites a checked header for a reader that trusts
// what it is given.
//
// # Lifetime
//
// A [File] holds one open file until Close. Its header stays valid after
// that. WriteFile replaces a file by renaming a complete new one over it, so a
// File that is open on the old one, or a memory map of it, keeps the old data.
//
// # Errors
//
// All errors are returned; nothing panics. They name the file, the tensor,
// what was expected and what was found. File names and tensor names are
// arguments of a message and never a format. Errors of the operating system
// stay in the chain, for errors.Is.
package safetensors
