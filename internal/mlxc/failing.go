package mlxc

/*
#include "shim.h"
#cgo noescape dt_replace
#cgo nocallback dt_replace

static int dt_replace(uintptr_t a, uintptr_t by) {
  mlx_array dst = {(void*)a};
  return dt.mlx_array_set(&dst, (mlx_array){(void*)by});
}
*/
import "C"

import (
	"encoding/binary"
	"os"
	"strings"
)

// failingMark begins the label of a file that stands for a failure.
const failingMark = "\x01"

// failingHeader is that of a file with one float32.
var failingHeader = func() []byte {
	const text = `{"t0":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`
	return append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...)
}()

// Failing makes an array of one float32 whose evaluation, and that of whatever is
// computed from it, fails with an Error of the text. As after any failure, what is
// evaluated later finds it done, with NaN.
func Failing(text string) (Made, error) {
	none, err := os.Open(os.DevNull) // a file that ends before the data of its tensor
	if err != nil {
		return Made{}, err
	}
	defer none.Close()
	made, err := LoadSafetensors(none.Fd(), failingMark+text, failingHeader, 0, 4, []string{"t0"})
	if err != nil {
		return Made{}, err
	}
	return made[0], nil
}

// failure is the text that an array of Failing was made with, if that is what label
// belongs to.
func failure(label string) (text string, ok bool) { return strings.CutPrefix(label, failingMark) }

// Replace makes a another reference to the array by.
func Replace(a, by Array) error {
	if err := enter(); err != nil {
		return err
	}
	return failed(C.dt_replace(C.uintptr_t(a), C.uintptr_t(by)))
}
