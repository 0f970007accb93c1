// Package doccheck holds the tests of the documentation: that every exported
// name has a comment, that every package has an overview and an example, and
// that the code on the pages of docs is code that the tests run.
package doccheck
