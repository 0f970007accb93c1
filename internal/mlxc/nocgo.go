//go:build !cgo

package mlxc

// Without cgo this package lacks all that calls C, and so would the importers: one
// error that says it stands for theirs.
var _ = deltatape_needs_cgo_and_a_C_compiler__set_CGO_ENABLED_1
