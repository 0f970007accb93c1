// Package rowmajor translates positions in row-major order.
package rowmajor

// Index turns a position among the elements of a shape into an index, one
// number an axis.
func Index(at int, shape []int) []int {
	index := make([]int, len(shape))
	for axis := len(shape) - 1; axis >= 0; axis-- {
		index[axis] = at % shape[axis]
		at /= shape[axis]
	}
	return index
}
