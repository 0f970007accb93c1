// Package examples has a folder for each example program:
//
//   - train trains a byte-level language model and compares it with n-grams
//   - generate continues a prompt with a model that train has saved
//   - custom_layer is an operation and a layer of one's own, in under 100 lines
//   - verify holds the gated delta rule against golden files
//   - bench measures the gated delta rule: time, memory, graph and operations
//   - doctor says what is installed, how fast it is, and what is wrong
//
// go run ./examples/NAME -h explains each.
package examples
