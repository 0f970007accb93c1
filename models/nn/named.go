package nn

import (
	"iter"
	"reflect"
	"strconv"
	"strings"
	"unicode"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/tensor"
)

// Named yields the parameters of a module with their dotted names, in the order
// of the struct's fields and the slices' elements.
//
// A module is a struct, or a slice or array of modules, or a pointer or
// interface that holds one. The name of a parameter is the path to it, joined by
// dots: the tag `param:"name"` of each field, or the field's own name in
// snake_case, and the index in a slice, as in "layers.0.mlp.up_proj.weight". A
// tag may contain dots itself. An embedded struct without a tag adds nothing to
// the path. Fields that are not exported or tagged `param:"-"` are passed over,
// and so are nil parameters and modules.
//
// A parameter that is reached twice, such as a tied one, is yielded once, under
// the name met first. Two parameters of one name, and a tag on a field that is
// not exported, panic with *tensor.Error.
func Named(module any) iter.Seq2[string, *autograd.Param] {
	return func(yield func(string, *autograd.Param) bool) {
		w := walker{
			yield:  yield,
			names:  map[string]bool{},
			params: map[*autograd.Param]bool{},
			open:   map[reference]bool{},
		}
		w.walk("", reflect.ValueOf(module))
	}
}

var paramType = reflect.TypeFor[*autograd.Param]()

// reference identifies what a pointer points to; a struct and its first field
// share an address but not a type.
type reference struct {
	typ  reflect.Type
	addr uintptr
}

type walker struct {
	yield  func(string, *autograd.Param) bool
	names  map[string]bool
	params map[*autograd.Param]bool
	open   map[reference]bool // pointers followed so far: cycles end here
}

// walk reports whether to go on.
func (w *walker) walk(name string, v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Interface:
		return v.IsNil() || w.walk(name, v.Elem())
	case reflect.Pointer:
		if v.IsNil() {
			return true
		}
		if v.Type() == paramType {
			return w.visit(name, v.Interface().(*autograd.Param))
		}
		r := reference{v.Type(), v.Pointer()}
		if w.open[r] {
			return true
		}
		w.open[r] = true
		return w.walk(name, v.Elem())
	case reflect.Slice, reflect.Array:
		if !holdsModules(v.Type().Elem().Kind()) {
			return true
		}
		for i := range v.Len() {
			if !w.walk(join(name, strconv.Itoa(i)), v.Index(i)) {
				return false
			}
		}
	case reflect.Struct:
		return w.fields(name, v)
	}
	return true
}

func (w *walker) fields(name string, v reflect.Value) bool {
	t := v.Type()
	for i := range t.NumField() {
		f := t.Field(i)
		tag, tagged := f.Tag.Lookup("param")
		switch {
		case tag == "-":
			continue
		case !f.IsExported():
			if tagged {
				panic(tensor.NewError("nn.Named", nil, "field %s of %s is tagged param:%q but not exported", f.Name, t, tag))
			}
			continue
		}
		path := name
		switch {
		case tag != "":
			path = join(name, tag)
		case !f.Anonymous:
			path = join(name, snakeCase(f.Name))
		}
		if !w.walk(path, v.Field(i)) {
			return false
		}
	}
	return true
}

func (w *walker) visit(name string, p *autograd.Param) bool {
	if w.params[p] {
		return true
	}
	if w.names[name] {
		panic(tensor.NewError("nn.Named", nil, "two parameters have the name %q", name))
	}
	w.params[p], w.names[name] = true, true
	return w.yield(name, p)
}

func holdsModules(k reflect.Kind) bool {
	switch k {
	case reflect.Interface, reflect.Pointer, reflect.Struct, reflect.Slice, reflect.Array:
		return true
	}
	return false
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// snakeCase turns InProjQKV into in_proj_qkv.
func snakeCase(name string) string {
	var b strings.Builder
	runes := []rune(name)
	for i, r := range runes {
		if unicode.IsUpper(r) && i > 0 {
			afterLower := !unicode.IsUpper(runes[i-1])
			beforeLower := i+1 < len(runes) && unicode.IsLower(runes[i+1])
			if afterLower || beforeLower {
				b.WriteByte('_')
			}
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
