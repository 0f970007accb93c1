package safetensors_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"

	"github.com/deltatape/deltatape/internal/safetensors"
)

func Example() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "weights.safetensors")

	err = safetensors.WriteFile(path, []safetensors.Entry{{
		Name:  "w",
		Dtype: "F32",
		Shape: []int{2, 3},
		Write: func(w io.Writer) error {
			return binary.Write(w, binary.LittleEndian, []float32{1, 2, 3, 4, 5, 6})
		},
	}}, map[string]string{"step": "200"})
	if err != nil {
		log.Fatal(err)
	}

	f, err := safetensors.Open(path)
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	for _, info := range f.Tensors {
		buf := make([]byte, info.Size)
		if err := f.ReadTensor(info, buf); err != nil {
			log.Fatal(err)
		}
		fmt.Println(info.Name, info.Dtype, info.Shape, info.Size, "bytes")
	}
	fmt.Println("step", f.Metadata["step"])
	// Output:
	// w F32 [2 3] 24 bytes
	// step 200
}
