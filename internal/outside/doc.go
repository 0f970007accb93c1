// Package outside holds the test of deltatape as others use it: testdata/module
// is a module of its own, with an operation, a layer, a proof of the gradient
// and a training run, made of the public packages only.
package outside
