package mlxc

/*
#include <stdlib.h>
#include "shim.h"
*/
import "C"

import (
	"syscall"
	"unsafe"

	"github.com/pkg/errors"
)

// LoadSafetensors makes lazy arrays over the safetensors file with descriptor
// file, which the caller may close afterwards. header is what MLX sees in place
// of the file's own header; data is where the tensors' bytes start in the file
// and dataLen their number. names are the names in header, and the arrays come
// in their order.
func LoadSafetensors(file uintptr, label string, header []byte, data, dataLen int64, names []string) ([]Made, error) {
	fd, err := syscall.Dup(int(file))
	if err != nil {
		return nil, errors.Wrapf(err, "%s: duplicate the descriptor", label)
	}
	syscall.CloseOnExec(fd)
	if err := enter(); err != nil {
		syscall.Close(fd)
		return nil, err
	}
	defer mu.Unlock()
	clabel := C.CString(label)
	defer C.free(unsafe.Pointer(clabel))
	m := C.dt_load_safetensors(C.int(fd), (*C.char)(unsafe.Pointer(unsafe.SliceData(header))), C.size_t(len(header)),
		C.int64_t(data), C.int64_t(dataLen), clabel, C.int(CPU))
	if m == 0 {
		return nil, takeError()
	}
	defer C.dt_map_free(m)
	made := make([]Made, 0, len(names))
	for _, name := range names {
		cname := C.CString(name)
		r := C.dt_map_get(m, cname)
		C.free(unsafe.Pointer(cname))
		if r.ctx == 0 {
			err := takeError()
			for i := range made {
				freeLocked([]Array{made[i].Array})
			}
			return nil, err
		}
		live++
		made = append(made, describe(r))
	}
	return made, nil
}
