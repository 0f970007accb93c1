// Package doccheck holds the tests of the documentation: that every exported
// name has a comment, that every package has an overview and an example, that
// the code on the pages of docs is code that the tests run, and that the tests,
// options and files that the pages name exist.
package doccheck
