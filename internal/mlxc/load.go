package mlxc

/*
#include <stdlib.h>
#include "shim.h"

static const char* version_text(char* out, size_t n) {
  mlx_string s = dt.mlx_string_new();
  out[0] = 0;
  if (!dt.mlx_version(&s)) {
    const char* text = dt.mlx_string_data(s);
    size_t i = 0;
    for (; text[i] && i + 1 < n; i++) out[i] = text[i];
    out[i] = 0;
  }
  dt.mlx_string_free(s);
  return out;
}

static void set_cache_limit_at_start(size_t limit) { size_t old; dt.mlx_set_cache_limit(&old, limit); }
*/
import "C"

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"unsafe"
)

// The pair of libraries that this package was written for.
const (
	WantMLX  = "0.32.2"
	WantMLXC = "0.7.0"
)

// Info says what was loaded.
type Info struct {
	Path    string // the library file
	MLX     string // version of MLX, by its own word
	MLXC    string // version of mlx-c, recorded when it was built; "" where unknown
	Backend string // cpu, cuda12, cuda13, metal or "" where unknown
	BLAS    string // the BLAS under the CPU backend; "" where unknown
}

// UnavailableError says why no library could be used and how to get one.
type UnavailableError struct {
	Reasons []string // one for each candidate that exists but can't be used
	Named   bool     // by DELTATAPE_MLX, so that set-up is of no use
}

func (e *UnavailableError) Error() string {
	var b strings.Builder
	if len(e.Reasons) == 0 {
		b.WriteString("MLX is not installed")
	} else {
		b.WriteString("MLX can't be loaded: " + strings.Join(e.Reasons, "; "))
	}
	if e.Named {
		b.WriteString("\n" + mlxVariable + " names no library that works: unset it, or let it name another install or library file")
		return b.String()
	}
	b.WriteString(`
to install it, type "make setup" in a clone of deltatape, or, where deltatape is a dependency:
	sh "$(go list -m -f '{{.Dir}}' github.com/deltatape/deltatape)/scripts/setup.sh"`)
	return b.String()
}

// ready, info and loadErr are guarded by mu.
var (
	ready   bool
	info    Info
	loadErr error
)

// Load loads the library if that was not done yet.
func Load() (Info, error) {
	if err := enter(); err != nil {
		return Info{}, err
	}
	defer mu.Unlock()
	return info, nil
}

// HasGPU reports whether the loaded library can use a GPU of this machine.
func HasGPU() bool {
	if enter() != nil {
		return false
	}
	defer mu.Unlock()
	return C.dt_has_gpu() != 0
}

// HasCUDA reports whether that GPU is one of NVIDIA's, whose memory the
// processor can't read.
func HasCUDA() bool {
	if enter() != nil {
		return false
	}
	defer mu.Unlock()
	return C.dt_has_cuda() != 0
}

func loadLocked() error {
	if loadErr != nil {
		return loadErr
	}
	setEnvironment()
	unavailable := &UnavailableError{Named: os.Getenv(mlxVariable) != ""}
	for _, path := range candidates() {
		if _, err := os.Stat(path); err != nil {
			if at := os.Getenv(mlxVariable); at != "" { // someone means this very place
				unavailable.Reasons = append(unavailable.Reasons, fmt.Sprintf("%s=%s: %s does not exist", mlxVariable, at, path))
			}
			continue
		}
		reason := open(path)
		if reason == "" {
			ready = true
			return nil
		}
		unavailable.Reasons = append(unavailable.Reasons, path+": "+reason)
		if C.dt.mlx_eval != nil { // half of MLX is in the process: trying another copy is not safe
			break
		}
	}
	loadErr = unavailable
	return loadErr
}

// open loads one library file and checks it; it returns what is wrong.
func open(path string) string {
	cpath := C.CString(path)
	defer C.free(unsafe.Pointer(cpath))
	var missing *C.char
	if text := C.dt_open(cpath, &missing); text != nil {
		if missing != nil {
			return fmt.Sprintf("it has no function %s; want mlx-c %s", C.GoString(missing), WantMLXC)
		}
		return C.GoString(text)
	}
	var buf [64]C.char
	found := Info{Path: path, MLX: C.GoString(C.version_text(&buf[0], C.size_t(len(buf))))}
	readBuildInfo(filepath.Join(filepath.Dir(filepath.Dir(path)), "build-info"), &found)
	if found.MLX != WantMLX || found.MLXC != "" && found.MLXC != WantMLXC {
		return fmt.Sprintf("it is MLX %s with mlx-c %s; want MLX %s with mlx-c %s", found.MLX, orUnknown(found.MLXC), WantMLX, WantMLXC)
	}
	if C.dt_start() != 0 {
		return takeError().Error()
	}
	info = found
	if found.Backend == "cpu" {
		// The default of 32 MB makes every large buffer page-fault again.
		C.set_cache_limit_at_start(C.size_t(min(4<<30, max(256<<20, PhysicalMemory()/4))))
	}
	return ""
}

func orUnknown(s string) string {
	if s == "" {
		return "of unknown version"
	}
	return s
}

// setEnvironment sets what MLX and its libraries read once, where the user has
// not: float32 products in full float32, and CUDA graph caches that hold the
// varied graphs of training.
func setEnvironment() {
	for name, value := range map[string]string{
		"MLX_ENABLE_TF32":                  "0",
		"MLX_CUDA_GRAPH_CACHE_SIZE":        "5000",
		"MLX_ENABLE_CACHE_THRASHING_CHECK": "0",
	} {
		if _, set := os.LookupEnv(name); !set {
			os.Setenv(name, value)
		}
	}
}

// mlxVariable names the environment variable that holds a library file or the
// folder of an install, and keeps other places from being tried.
const mlxVariable = "DELTATAPE_MLX"

// candidates lists where the library may be, best first.
func candidates() []string {
	name := "libmlxc.so"
	if runtime.GOOS == "darwin" {
		name = "libmlxc.dylib"
	}
	if at := os.Getenv(mlxVariable); at != "" {
		if abs, err := filepath.Abs(at); err == nil {
			at = abs // the system's search path does not apply
		}
		if st, err := os.Stat(at); err == nil && st.IsDir() {
			at = filepath.Join(at, "lib", name)
		}
		return []string{at}
	}
	var list []string
	if _, source, _, ok := runtime.Caller(0); ok && filepath.IsAbs(source) {
		root := filepath.Dir(filepath.Dir(filepath.Dir(source)))
		list = append(list, filepath.Join(root, ".deps", "lib", name))
	}
	if cache := cacheDir(); cache != "" {
		pair := fmt.Sprintf("mlx-%s-mlxc-%s-%s-%s", WantMLX, WantMLXC, runtime.GOOS, runtime.GOARCH)
		list = append(list, filepath.Join(cache, pair, "lib", name))
	}
	return append(list, filepath.Join("/opt/homebrew/lib", name), filepath.Join("/usr/local/lib", name))
}

// cacheDir is the folder where scripts/setup.sh installs.
func cacheDir() string {
	if dir := os.Getenv("DELTATAPE_CACHE"); dir != "" {
		return dir
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "deltatape")
}

// readBuildInfo reads the key=value lines that set-up leaves in an install.
func readBuildInfo(path string, to *Info) {
	f, err := os.Open(path)
	if err != nil {
		return
	}
	defer f.Close()
	for in := bufio.NewScanner(f); in.Scan(); {
		key, value, _ := strings.Cut(in.Text(), "=")
		switch key {
		case "mlxc":
			to.MLXC = value
		case "backend":
			to.Backend = value
		case "blas":
			to.BLAS = value
		}
	}
}
