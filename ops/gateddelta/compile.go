package gateddelta

import (
	"fmt"
	"slices"
	"sync"

	"github.com/deltatape/deltatape/tensor"
)

// Compile says whether MLX keeps and optimises the graphs of the forward and the
// backward pass, which saves launches and memory traffic on GPUs.
//
// A compiled pass serves one set of shapes, dtypes and options, Options.CuSeqlens
// and which inputs need gradients among them, on any tape and goroutine. The
// process keeps the 32 that were used last, with their constants, until
// FreeCompiled.
type Compile string

const (
	// CompileAuto compiles the Chunk implementation on GPUs, what comes a second time
	// among the last 64 that were new: a graph that is used once isn't worth it.
	CompileAuto Compile = "auto"

	// CompileOn compiles at once, whatever the device. On the CPU, where nothing is
	// fused, results have the bits of CompileOff, and no time is gained.
	CompileOn Compile = "on"

	// CompileOff builds each graph anew.
	CompileOff Compile = "off"
)

const (
	mostPrograms = 32
	mostSeen     = 64
)

// programs are the compiled passes of the process.
var programs struct {
	sync.Mutex
	list []*program // from the one not used for longest
	seen []string   // keys that came once, from the oldest
}

// program is a compiled pass.
type program struct {
	key     string
	pass    *tensor.Compiled
	users   int  // calls under way; guarded by programs
	dropped bool // from the list, so that the last user closes it
}

// FreeCompiled releases all compiled passes and their constants. Those in use go
// when they are through; what is needed again is compiled again.
func FreeCompiled() {
	programs.Lock()
	list := programs.list
	programs.list, programs.seen = nil, nil
	unused := dropped(list)
	programs.Unlock()
	closeAll(unused)
}

// dropped marks programs that have left the list, and returns those that nobody
// uses; the last user closes the others. programs must be locked.
func dropped(list []*program) (unused []*program) {
	for _, p := range list {
		if p.dropped = true; p.users == 0 {
			unused = append(unused, p)
		}
	}
	return unused
}

// closeAll releases programs. A trace may be under way that waits for programs, so
// these must not be locked.
func closeAll(list []*program) {
	for _, p := range list {
		p.pass.Close()
	}
}

// take returns the program with the key for a call, which ends with leave. It is
// nil if the pass is not to be compiled yet.
func take(key string, atOnce bool, f func([]*tensor.Tensor) []*tensor.Tensor) *program {
	programs.Lock()
	i := slices.IndexFunc(programs.list, func(p *program) bool { return p.key == key })
	var p *program
	switch {
	case i >= 0:
		p = programs.list[i]
		programs.list = slices.Delete(programs.list, i, i+1)
	case !atOnce && !seenBefore(key):
		programs.Unlock()
		return nil
	default:
		p = &program{key: key, pass: tensor.Compile(f)}
	}
	p.users++
	programs.list = append(programs.list, p)
	over := max(0, len(programs.list)-mostPrograms)
	unused := dropped(programs.list[:over])
	programs.list = slices.Delete(programs.list, 0, over)
	programs.Unlock()
	closeAll(unused)
	return p
}

// seenBefore reports whether a key came before, and forgets it then. programs must
// be locked.
func seenBefore(key string) bool {
	if i := slices.Index(programs.seen, key); i >= 0 {
		programs.seen = slices.Delete(programs.seen, i, i+1)
		return true
	}
	programs.seen = append(programs.seen, key)
	programs.seen = slices.Delete(programs.seen, 0, max(0, len(programs.seen)-mostSeen))
	return false
}

// leave ends a call.
func (p *program) leave() {
	programs.Lock()
	p.users--
	last := p.users == 0 && p.dropped
	programs.Unlock()
	if last {
		p.pass.Close()
	}
}

// call runs a pass f of tensors, some of which may be nil, compiled if the options
// and what came before say so. What f does must hang on the name, on z and on
// which tensors there are, of what shapes and dtypes, alone.
func (z geometry) call(name string, f func(in []*tensor.Tensor) []*tensor.Tensor, in []*tensor.Tensor) []*tensor.Tensor {
	if z.compile == CompileOff {
		return f(in)
	}
	given := make([]bool, len(in))
	for i, x := range in {
		given[i] = x != nil
	}
	p := take(z.key(name, in), z.compile == CompileOn, func(list []*tensor.Tensor) []*tensor.Tensor {
		in := make([]*tensor.Tensor, len(given))
		for i := range in {
			if given[i] {
				in[i], list = list[0], list[1:]
			}
		}
		return f(in)
	})
	if p == nil {
		return f(in)
	}
	defer p.leave()
	out, err := p.pass.Call(present(in...)...)
	if err != nil {
		panic(mistake(present(in...), "the compiled %s pass failed: %v", name, err))
	}
	return out
}

// key names a pass by all that its graph hangs on.
func (z geometry) key(name string, in []*tensor.Tensor) string {
	key := fmt.Sprintln(name, tensor.DefaultDevice(), z.implementation, z.C, z.segment, z.scan, z.scanLength, z.scale, z.noDelta, z.final, z.cuSeqlens)
	for _, x := range in {
		if x == nil {
			key += "none\n"
		} else {
			key += fmt.Sprintln(x.Dtype(), x.Shape())
		}
	}
	return key
}

// chooseCompile returns whether passes are compiled, and why.
func (opt Options) chooseCompile(z geometry, gpu bool) (Compile, string) {
	switch opt.Compile {
	case CompileOn, CompileOff:
		return opt.Compile, asked
	case "", CompileAuto:
		switch {
		case !gpu:
			return CompileOff, "the CPU gains nothing by it"
		case z.implementation == Recurrent:
			return CompileOff, "a few tokens are not worth it"
		}
		return CompileAuto, "a GPU launches less if elementwise operations are fused, from the second time on that the same shapes and options come"
	}
	panic(mistake(nil, "there is no Compile %q, want %q, %q or %q", opt.Compile, CompileAuto, CompileOn, CompileOff))
}
