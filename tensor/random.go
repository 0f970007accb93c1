package tensor

import (
	"math"
	"runtime"

	"github.com/deltatape/deltatape/internal/mlxc"
)

// Random numbers are functions of a key and nothing else: the same key gives
// the same numbers, and independent numbers need keys from Split.

// Key makes a random key, uint32 [2], from a seed.
func Key(seed uint64) *Tensor {
	m, err := mlxc.RandomKey(seed)
	if err != nil {
		raise("Key", err)
	}
	return wrap(nil, &m)
}

// Split derives n independent keys from one, at most 2^20.
func Split(key *Tensor, n int) []*Tensor {
	h := keyHandle("Split", key)
	if n < 1 {
		panic(NewError("tensor.Split", []*Tensor{key}, "want n >= 1, got %d; SplitEqual and SplitAt cut tensors", n))
	}
	key.checkParts("Split", n)
	m, err := mlxc.RandomSplitNum(mlxc.Device(DefaultDevice()), h, n)
	return Unstack(made("Split", &m, err, key), 0)
}

func keyHandle(op string, key *Tensor) mlxc.Array {
	h := key.handle(op)
	if key.dtype != Uint32 || !sameShape(key.shape, []int{2}) {
		panic(NewError("tensor."+op, []*Tensor{key}, "want a key made by Key or Split (uint32 [2]), got %s", key.dtype))
	}
	return h
}

// Normal draws float32 numbers from the standard normal distribution.
func Normal(key *Tensor, shape ...int) *Tensor {
	h := keyHandle("Normal", key)
	checkShape("Normal", shape)
	m, err := mlxc.RandomNormal(mlxc.Device(DefaultDevice()), int32s(shape), mlxc.Dtype(Float32), 0, 1, h)
	return made("Normal", &m, err, key)
}

// Uniform draws float32 numbers from [low, high).
func Uniform(key *Tensor, low, high float64, shape ...int) *Tensor {
	h := keyHandle("Uniform", key)
	checkShape("Uniform", shape)
	if !(low <= high) || math.IsInf(high-low, 0) {
		panic(NewError("tensor.Uniform", nil, "want finite low <= high, got %v and %v", low, high))
	}
	s := NewScope()
	defer s.Close()
	a, b := scalarIn("Uniform", s, Float32, low), scalarIn("Uniform", s, Float32, high)
	m, err := mlxc.RandomUniform(mlxc.Device(DefaultDevice()), a.h, b.h, int32s(shape), mlxc.Dtype(Float32), h)
	runtime.KeepAlive(s)
	return made("Uniform", &m, err, key)
}

// RandInt draws int32 numbers from [low, high).
func RandInt(key *Tensor, low, high int, shape ...int) *Tensor {
	h := keyHandle("RandInt", key)
	checkShape("RandInt", shape)
	if low >= high || low < math.MinInt32 || high > math.MaxInt32 {
		panic(NewError("tensor.RandInt", nil, "want low < high, both in 32 bits, got %d and %d", low, high))
	}
	// The engine's own function draws float32 numbers, which miss integers above
	// 2^24 and can round up to high. So scale 32 random bits in 64.
	m, err := mlxc.RandomBits(mlxc.Device(DefaultDevice()), int32s(shape), 4, h)
	word := made("RandInt", &m, err, key)
	s := NewScope()
	defer s.Close()
	wide := MulScalar(AsType(s.Use(word), Uint64), float64(high-low))
	Free(word)
	offset := binary("RandInt", mlxc.FloorDivide, wide, Like(wide, 1<<32))
	t := AsType(AddScalar(AsType(offset, Int64), float64(low)), Int32)
	t.bounds = &bounds{int64(low), int64(high) - 1}
	t.moveTo(key.scope)
	return t
}

// Bernoulli draws bools that are true with probability p.
func Bernoulli(key *Tensor, p float64, shape ...int) *Tensor {
	h := keyHandle("Bernoulli", key)
	checkShape("Bernoulli", shape)
	if !(p >= 0 && p <= 1) {
		panic(NewError("tensor.Bernoulli", nil, "want a probability, got %v", p))
	}
	s := NewScope()
	defer s.Close()
	prob := scalarIn("Bernoulli", s, Float32, p)
	m, err := mlxc.RandomBernoulli(mlxc.Device(DefaultDevice()), prob.h, int32s(shape), h)
	runtime.KeepAlive(s)
	return made("Bernoulli", &m, err, key)
}

// Categorical draws indices, as uint32, from the distributions softmax(logits)
// over the last axis.
func Categorical(key, logits *Tensor) *Tensor {
	h := keyHandle("Categorical", key)
	l := logits.handle("Categorical")
	if logits.NDim() == 0 || logits.shape[logits.NDim()-1] == 0 {
		panic(NewError("tensor.Categorical", []*Tensor{logits}, "want a last axis of length 1 or more"))
	}
	if logits.Size() == 0 {
		return full("Categorical", scopeOf(logits, key), 0, Uint32, logits.shape[:logits.NDim()-1])
	}
	m, err := mlxc.RandomCategorical(deviceOf(logits), l, logits.NDim()-1, h)
	t := madeOf("Categorical", &m, err, logits, key)
	t.bounds = &bounds{0, int64(logits.shape[logits.NDim()-1]) - 1}
	return t
}

// Permutation returns the numbers from 0 to n−1 in random order, as uint32.
func Permutation(key *Tensor, n int) *Tensor {
	h := keyHandle("Permutation", key)
	checkShape("Permutation", []int{n})
	if n == 0 {
		return Zeros(Uint32, 0)
	}
	m, err := mlxc.RandomPermutationArange(mlxc.Device(DefaultDevice()), n, h)
	t := made("Permutation", &m, err, key)
	t.bounds = &bounds{0, int64(n) - 1}
	return t
}
