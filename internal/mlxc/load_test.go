package mlxc

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/pkg/errors"
)

func libraryName() string {
	if runtime.GOOS == "darwin" {
		return "libmlxc.dylib"
	}
	return "libmlxc.so"
}

func TestCandidates(t *testing.T) {
	cache, home := t.TempDir(), t.TempDir()
	t.Setenv(mlxVariable, "")
	t.Setenv("DELTATAPE_CACHE", cache)
	t.Setenv("HOME", home)
	pair := "mlx-" + WantMLX + "-mlxc-" + WantMLXC + "-" + runtime.GOOS + "-" + runtime.GOARCH
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	name := libraryName()
	want := []string{
		filepath.Join(root, ".deps", "lib", name), filepath.Join(cache, pair, "lib", name),
		filepath.Join("/opt/homebrew/lib", name), filepath.Join("/usr/local/lib", name),
	}
	if got := candidates(); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	t.Setenv("DELTATAPE_CACHE", "")
	t.Setenv("XDG_CACHE_HOME", "")
	if got := candidates()[1]; !strings.HasPrefix(got, home) || !strings.Contains(got, filepath.Join("deltatape", pair)) {
		t.Errorf("the user's cache is %s", got)
	}

	t.Setenv(mlxVariable, home) // a folder
	if got := candidates(); !slices.Equal(got, []string{filepath.Join(home, "lib", name)}) {
		t.Errorf("a folder gives %q", got)
	}
	t.Setenv(mlxVariable, "/no/such%s.so")
	if got := candidates(); !slices.Equal(got, []string{"/no/such%s.so"}) {
		t.Errorf("a file gives %q", got)
	}
	t.Setenv(mlxVariable, name) // never looked up in the system's search path
	if got := candidates(); len(got) != 1 || !filepath.IsAbs(got[0]) {
		t.Errorf("a bare name gives %q", got)
	}
}

func TestReadBuildInfo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "build-info")
	if err := os.WriteFile(path, []byte("mlx=9\nmlxc=1.2\n\nnonsense\nbackend=cuda13\nblas=a=b\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	info := Info{MLX: "8"}
	readBuildInfo(path, &info)
	if want := (Info{MLX: "8", MLXC: "1.2", Backend: "cuda13", BLAS: "a=b"}); info != want {
		t.Errorf("got %+v, want %+v", info, want)
	}
	readBuildInfo(path+"no", &info)
}

const hint = "to install it, type \"make setup\" in a clone of deltatape, or, where deltatape is a dependency:\n" +
	"\tsh \"$(go list -m -f '{{.Dir}}' github.com/deltatape/deltatape)/scripts/setup.sh\""

const namedHint = "DELTATAPE_MLX names no library that works: unset it, or let it name another install or library file"

func TestUnavailableError(t *testing.T) {
	for want, e := range map[string]*UnavailableError{
		"MLX is not installed\n" + hint:              {},
		"MLX can't be loaded: a: %s; b: no\n" + hint: {Reasons: []string{"a: %s", "b: no"}},
		"MLX can't be loaded: a\n" + namedHint:       {Reasons: []string{"a"}, Named: true},
	} {
		if got := e.Error(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// fakeInstall makes a folder that holds what the install of the loaded library
// does, but for the facts about it.
func fakeInstall(t *testing.T, buildInfo string) string {
	t.Helper()
	info, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	library, err := filepath.EvalSymlinks(info.Path)
	if err != nil {
		t.Fatal(err)
	}
	real, dir := filepath.Dir(filepath.Dir(library)), t.TempDir()
	entries, err := os.ReadDir(real)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() == "build-info" {
			continue
		}
		if err := os.Symlink(filepath.Join(real, e.Name()), filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "build-info"), []byte(buildInfo), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Every way in which a library can be wrong ends in an error that names the
// place, what is the matter, and what to type.
func TestLoadFailures(t *testing.T) {
	text := filepath.Join(t.TempDir(), "text%s%n.so")
	if err := os.WriteFile(text, []byte("this is no library"), 0o644); err != nil {
		t.Fatal(err)
	}
	empty := t.TempDir()
	cases := map[string][]string{
		"/no/such%s%n":                 {"DELTATAPE_MLX=/no/such%s%n: /no/such%s%n does not exist"},
		empty:                          {"DELTATAPE_MLX=" + empty + ": " + filepath.Join(empty, "lib", libraryName()) + " does not exist"},
		text:                           {text + ": "},
		fakeInstall(t, "mlxc=0.6.0\n"): {": it is MLX 0.32.2 with mlx-c 0.6.0; want MLX 0.32.2 with mlx-c 0.7.0"},
	}
	if libc := loadedLibrary("/libc.so"); libc != "" {
		cases[libc] = []string{libc + ": it has no function mlx_array_new_data; want mlx-c 0.7.0"}
	}
	for at, parts := range cases {
		out := loadInChild(t, at)
		for _, p := range append(parts, "MLX can't be loaded: ", namedHint) {
			if !strings.Contains(out, p) {
				t.Errorf("%s: the error %q does not hold %q", at, out, p)
			}
		}
	}
	if out := loadInChild(t, fakeInstall(t, "mlxc=0.7.0\nbackend=none\n")); out != "loaded\n" {
		t.Errorf("a good library fails: %s", out)
	}
}

const childVariable = "DELTATAPE_TEST_LOAD"

// loadInChild loads the library at a place in a new process and returns what
// that prints.
func loadInChild(t *testing.T, at string) string {
	t.Helper()
	return inChild(t, at, "TestLoadChild")
}

// inChild runs a test in a new process, with the library at a place.
func inChild(t *testing.T, at, test string) string {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^"+test+"$")
	cmd.Env = append(os.Environ(), mlxVariable+"="+at, childVariable+"=1")
	out, err := cmd.Output()
	if err != nil {
		t.Errorf("%s: the process ended with %v: %s", at, err, out)
	}
	_, printed, _ := strings.Cut(string(out), "<<")
	printed, _, _ = strings.Cut(printed, ">>")
	return printed
}

// TestLoadChild is loadInChild's other half.
func TestLoadChild(t *testing.T) {
	if os.Getenv(childVariable) == "" {
		return
	}
	_, err := Load()
	if err == nil {
		os.Stdout.WriteString("<<loaded\n>>")
		return
	}
	var unavailable *UnavailableError
	if !errors.As(err, &unavailable) {
		t.Errorf("the error is %T", err)
	}
	for _, call := range []func() error{
		func() error { _, err := Add(CPU, 0, 0); return err }, func() error { _, err := Split(CPU, 0, 1, 0); return err },
		func() error { return Eval(nil, false) }, func() error { _, err := Memory(); return err }, func() error { return Synchronize(CPU) },
		func() error { _, _, err := VJP(CPU, nil, nil, nil); return err }, func() error { _, err := Compile(nil, CPU); return err },
		ClearCache, ResetPeakMemory,
	} {
		if again := call(); again != err {
			t.Errorf("a call gives %v", again)
		}
	}
	if HasGPU() || Live() != 0 {
		t.Error("without a library there is a GPU, or something lives")
	}
	Release(0)
	Drain()
	os.Stdout.WriteString("<<" + err.Error() + ">>")
}

// loadedLibrary finds the file of a library that this process has loaded; "" on
// systems that don't tell.
func loadedLibrary(part string) string {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(maps)) {
		if at := strings.Index(line, "/"); at >= 0 && strings.Contains(line[at:], part) {
			return strings.TrimSpace(line[at:])
		}
	}
	return ""
}
