// Package outside holds the tests of deltatape as others use it: testdata/module
// is a module of its own, with an operation, a layer, a proof of the gradient
// and a training run, made of the public packages only; the code of
// docs/custom-ops.md makes another.
package outside
